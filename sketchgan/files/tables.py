"""Tables of measurements: rows as dicts, in a CSV file that is written whole, on the screen, and as Markdown."""

import csv
import io
import os
import platform
from pathlib import Path

import torch

from .atomic import write_atomically


def machine() -> str:
    """What the numbers were measured on, in a few words."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"


def text(value) -> str:
    """A value as it stands in tables: three significant digits, nothing for nothing."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.3g}"
    return str(value)


def show(rows: list[dict]) -> None:
    """Print rows as a table, columns in the order of the first row."""
    if not rows:
        print("no rows yet")
        return
    names = list(rows[0])
    cells = [[text(row.get(name, "")) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    for line in (names, ["-" * width for width in widths], *cells):
        print("  ".join(word.rjust(width) if i else word.ljust(width) for i, (word, width) in enumerate(zip(line, widths))))


def markdown(rows: list[dict]) -> str:
    """Rows as a Markdown table, columns in the order of the first row."""
    names = list(rows[0]) if rows else []
    lines = [names, ["---"] * len(names), *([text(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(path: Path, rows: list[dict]) -> None:
    """Write rows as a CSV file, whole or not at all."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, file.getvalue().encode())


def read(path: Path) -> list[dict]:
    """The rows of a CSV file, numbers as numbers; none if there is no file."""
    if not Path(path).is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: number(value) for name, value in row.items()} for row in csv.DictReader(file)]


def number(value: str):
    """A cell as an int, a float or, failing that, the text it is."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    return value


def groups(rows: list[dict], *keys: str) -> dict[tuple, list[dict]]:
    """Rows by the values of some columns, in order of appearance."""
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        found.setdefault(tuple(row[k] for k in keys), []).append(row)
    return found
