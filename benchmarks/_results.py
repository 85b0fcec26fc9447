"""What all benchmarks do with their numbers: a table on the screen, a CSV in results/, the machine beside it."""
from pathlib import Path

from sketchgan.files.tables import groups, machine, number, read, show, text, write

__all__ = ["RESULTS", "ROOT", "WEIGHTS", "groups", "machine", "number", "read", "show", "text", "write"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
WEIGHTS = ROOT / "data" / "weights"
