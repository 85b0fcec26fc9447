"""What is drawn in a notebook: the pad, the live view, the explorers."""
from .explorer import SampleExplorer
from .live import LiveTraining
from .pad import SketchPad

__all__ = ["LiveTraining", "SampleExplorer", "SketchPad"]
