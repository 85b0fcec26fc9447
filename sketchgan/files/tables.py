"""Tables of measurements: rows as dicts, in a CSV file that is written whole, on the screen, and as Markdown."""

import contextlib
import csv
import io
import os
import platform
from collections.abc import Collection
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
        print(line[0].ljust(widths[0]), *(word.rjust(width) for word, width in zip(line[1:], widths[1:])), sep="  ")


def markdown(rows: list[dict]) -> str:
    """Rows as a Markdown table, columns in the order of the first row."""
    names = list(rows[0]) if rows else []
    lines = [names, ["---"] * len(names), *([text(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(path: str | os.PathLike, rows: list[dict]) -> None:
    """Write rows as a CSV file, whole or not at all."""
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, dict) for row in rows):
        raise TypeError(f"rows of write are {rows!r:.80}; wanted a list of dicts, column name to value.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, file.getvalue().encode())


def read(path: str | os.PathLike, text: Collection[str] = ()) -> list[dict]:
    """The rows of a CSV file; none if there is no file.

    text: columns that stay as they are written. In the others a cell becomes a number if writing that number gives the
    cell again, so that nothing is lost: 12 and 0.5 do, 007, 1e3 and a hash such as 12e45678 do not. A hash may also be
    all digits, so whoever reads hashes names their column.
    Raises ValueError, which names file and line, if it is no table.
    """
    if not Path(path).is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        try:
            names, rows = next(lines, []), []
            for line in filter(None, lines):
                if len(line) != len(names):
                    raise ValueError(f"{len(line)} cells under {len(names)} names")
                rows.append({name: cell if name in text else number(cell) for name, cell in zip(names, line)})
        except (csv.Error, ValueError) as error:
            raise ValueError(f"{path}, line {lines.line_num + 1}, is no row of a table ({error}); repair or remove the "
                             "file.") from error
    return rows


def number(cell: str) -> int | float | str:
    """A cell as the number that is written so, or else the text it is."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            if str(kind(cell)) == cell:
                return kind(cell)
    return cell


def groups(rows: list[dict], *keys: str) -> dict[tuple, list[dict]]:
    """Rows by the values of some columns, in order of appearance."""
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        found.setdefault(tuple(row[k] for k in keys), []).append(row)
    return found
