"""Drawings as strokes: what a pen did, where it stands in the frame, and the files that hold strokes.

Strokes are the truth and pixels are made from them, so a drawing is as sharp at 256 px as it is at 64.
A stroke is {"width": 5.5, "smooth": true, "points": [[x, y], ...]}, x to the right and y down; a `smooth` stroke is the
curve through its points. A drawing document (`data/sketches/*.json`) is

    {"name", "task", "origin", "license", "size": 256, "sketches": [{"strokes": [...]}, ...]}

in units of 1/size of the frame. Quick, Draw! files hold strokes too, but in no frame: see placing.py.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw

from ..files.atomic import write_atomically
from ..files.checks import Count, Place, Positive, checked
from ..files.places import sketches_folder
from ..files.readers import reading

SUPERSAMPLING = 4   # strokes are drawn this many times larger and averaged down: 17 levels of grey at a line's edge
FRAME = 256         # strokes live in a frame of 256 units, whatever the size of the screen or the picture
PEN = 5.0           # width of a pen: 1.25 px at 64 px, as the contours F has learnt from


class SketchError(ValueError):
    """A drawing that cannot be used; the message says what was given, what was wanted and what to do."""


class Limit(NamedTuple):
    """How much of something is taken at most, what it is, and what to do about more."""

    most: float
    of: str
    remedy: str


# All that a drawing may ask for. A small file can ask for any time and memory, so each is looked at before work begins.
SMALLER = "simplify the drawing, or save it again from a SketchPad"
LIMITS = {
    "resolution": Limit(2048, "pixels a side", "ask for a lower resolution: 64 to 256 are trained here, 1024 is "
                                               "StyleGAN2's most"),
    "sketches": Limit(1000, "drawings at once", "say which: which=[0, 1, 2]"),
    "pixels": Limit(1 << 26, "pixels of sketches at once", "say which, for instance which=[0, 1, 2], or ask for a "
                                                           "lower resolution"),
    "strokes": Limit(10_000, "strokes", SMALLER),
    "points": Limit(100_000, "points", SMALLER),
    "width": Limit(1, "frames as the width of a pen", "5/256 of the frame is usual: mend the file, or draw it again"),
    "paint": Limit(2e9, "pixels to paint", SMALLER),
    "document bytes": Limit(8 << 20, "bytes", SMALLER),
    "line bytes": Limit(2 << 20, "bytes in one line", "leave that drawing out"),
    "svg bytes": Limit(8 << 20, "bytes", "simplify it (Inkscape: Path > Simplify)"),
    "svg seconds": Limit(2, "seconds to draw", "simplify it (Inkscape: Path > Simplify), or save it as PNG"),
    "svg memory": Limit(400 << 20, "bytes of memory to draw", "simplify it, or save it as PNG"),
    "file pixels": Limit(100_000_000, "pixels", "save it smaller: a drawing needs no more than a thousand a side"),
    "open pixels": Limit(40_000_000, "pixels", "save it smaller, or as JPEG: a drawing needs no more than a thousand a "
                                               "side"),
}


def within(what, value, name):
    """Raises SketchError if `name` has more of something than LIMITS[what] allows."""
    most, of, remedy = LIMITS[what]
    if not value <= most:
        value = f"{value:,.5g}" if -1e300 < value < 1e300 else "endlessly many"
        raise SketchError(f"{name} has {value} {of}, and {most:,.5g} are taken at most; {remedy}")


# ---------------------------------------------------------------------------------------------------- strokes to pixels

def smooth(points, step=2.0):
    """The centripetal Catmull-Rom curve through `points` (Yuksel et al. 2011: no loops, no overshoot).

    points: [P, 2]. A point given twice is a sharp corner; a curve that ends where it starts is closed smoothly.
    Returns [Q, 2], neighbours at most about `step` apart.
    """
    points = np.asarray(points, np.float64)
    runs = np.split(points, np.flatnonzero((points[1:] == points[:-1]).all(1)) + 1)
    closed = len(runs) == 1 and len(points) > 3 and (points[0] == points[-1]).all()
    return np.concatenate([_smooth_run(run, step, closed) for run in runs])


def _smooth_run(p, step, closed):
    if len(p) < 3:
        return p
    # Neighbours beyond the ends: the other end of a closed curve, a mirror image of an open one.
    before, after = (p[-2], p[1]) if closed else (2 * p[0] - p[1], 2 * p[-1] - p[-2])
    p = np.concatenate([before[None], p, after[None]])
    knots = np.sqrt(np.linalg.norm(np.diff(p, axis=0), axis=1))      # centripetal: |chord| ** 0.5
    within("points", (knots**2).sum() / step, "a smooth stroke")
    p0, p1, p2, p3 = p[:-3], p[1:-2], p[2:-1], p[3:]
    a, b, c = (knots[i:len(knots) - 2 + i, None] for i in range(3))
    # Hermite tangents at p1 and p2 of the non-uniform curve, in units of the middle interval b.
    m1 = b * ((p1 - p0) / a - (p2 - p0) / (a + b) + (p2 - p1) / b)
    m2 = b * ((p2 - p1) / b - (p3 - p1) / (b + c) + (p3 - p2) / c)
    count = np.maximum(1, np.ceil(b[:, 0]**2 / step).astype(int))     # of points from p1 on, p2 left out
    i = np.repeat(np.arange(len(count)), count)
    t = ((np.arange(len(i)) - (count.cumsum() - count)[i]) * (1 / count)[i])[:, None]
    curve = ((2 * t**3 - 3 * t**2 + 1) * p1[i] + (t**3 - 2 * t**2 + t) * m1[i]
             + (3 * t**2 - 2 * t**3) * p2[i] + (t**3 - t**2) * m2[i])
    return np.concatenate([curve, p[-2:-1]])


def stroke_points(stroke):
    """The polyline [Q, 2] of one stroke, whether it was drawn point by point or given as a smooth curve."""
    try:
        within("points", len(stroke["points"]), "a stroke")
        points = np.asarray(stroke["points"], np.float64)
        width = float(stroke["width"])
        is_smooth = stroke.get("smooth", False)
    except SketchError:
        raise
    except (TypeError, KeyError, ValueError, OverflowError, AttributeError) as error:
        raise SketchError(f'a stroke is {{"width": number, "points": [[x, y], ...]}}, but this one is '
                          f"{str(stroke)[:80]}; mend the file or draw it again in a SketchPad") from error
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all() or not 0 < width < np.inf:
        raise SketchError(f"a stroke has points of shape {points.shape} and width {width}; wanted finite points "
                          "[P, 2] with P >= 1 and a width above 0; remove the stroke or draw it again")
    if np.abs(points).max() > 1e12:
        raise SketchError("a stroke runs beyond all bounds; numbers below 1e12 are wanted: mend the file")
    return smooth(points) if is_smooth else points


@checked
def rasterize(strokes: list | tuple, resolution: Count = 64, size: Positive = 256):
    """Draws strokes in ink on paper.

    strokes: sequence of {"width", "points"} in a frame of `size` units; parts outside the frame are cut off, and no
    line is thinner than a pixel.
    Returns float32 [1, 1, resolution, resolution], paper +1, ink -1, anti-aliased. An empty sequence gives blank paper.
    """
    within("resolution", resolution, "the sketch")
    within("strokes", len(strokes), "the drawing")
    scale = SUPERSAMPLING * resolution / size
    lines = [stroke_points(stroke) * scale - 0.5 for stroke in strokes]  # PIL puts integer coordinates at pixel centres
    for stroke in strokes:
        within("width", float(stroke["width"]) / size, "a stroke")
    within("points", sum(map(len, lines)), "the drawing")
    within("paint", sum(len(points) * (float(s["width"]) * scale)**2 for points, s in zip(lines, strokes, strict=True)),
           "the drawing")
    canvas = Image.new("L", (SUPERSAMPLING * resolution,) * 2, 255)
    pen = ImageDraw.Draw(canvas)
    for stroke, points in zip(strokes, lines, strict=True):
        width = max(SUPERSAMPLING, round(float(stroke["width"]) * scale))   # under one pixel a line fades to grey
        pen.line([tuple(p) for p in points], fill=0, width=width)
        radius = (width - 1) / 2
        for x, y in points:                                          # round joints and round ends
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    grey = np.asarray(canvas.resize((resolution, resolution), Image.Resampling.BOX), np.float32)
    return torch.from_numpy(grey / 127.5 - 1)[None, None]


# ------------------------------------------------------------------------------------------------- files with strokes

def sketch_names():
    """Names of the ready-made drawings in data/sketches, for `load_sketches`."""
    return sorted(path.stem for path in sketches_folder().glob("*.json"))


@checked
def read_document(path: Place):
    """Reads a drawing document (module docstring) and checks that it holds sketches."""
    path = Path(path)
    if not path.is_file():
        raise SketchError(f"there is no file {path}; the ready-made drawings are {', '.join(sketch_names())}")
    within("document bytes", path.stat().st_size, path.name)
    with reading(path.name, SketchError, "it is no drawing document: save it again from a SketchPad", also=()):
        document = json.loads(path.read_text("utf-8"))
    if not isinstance(document, dict) or not ({"sketches", "strokes"} & document.keys()):
        raise SketchError(f'{path.name} has no "sketches"; wanted {{"size": 256, "sketches": [{{"strokes": [...]}}]}}')
    return document


@checked
def write_document(path: Place, sketches: list[dict] | tuple[dict, ...], size: Positive | None = 256, **about):
    """Writes stroke sketches whole or not at all; `about` holds name, task, origin, license."""
    write_atomically(path, json.dumps({**about, "size": size, "sketches": sketches}).encode() + b"\n")


def stroke_sets(document):
    """One {"strokes", "size"} for each sketch of a document; `size` None means strokes in no frame."""
    sketches, size = document.get("sketches", [document]), document.get("size", FRAME)
    if not isinstance(sketches, list) or not all(isinstance(s, dict) and isinstance(s.get("strokes"), (list, tuple))
                                                 for s in sketches):
        raise SketchError('a drawing document has "sketches": [{"strokes": [...]}, ...] and this one has not; mend it, '
                          'or save '
                          "the drawings again from a SketchPad")
    within("sketches", len(sketches), "the document")
    if size is not None and not (type(size) in (int, float) and 1e-9 < size < 1e9):
        raise SketchError(f"the size of the frame is {size!r}; wanted a number above 0, 256 for drawings of a "
                          f"SketchPad")
    return [{**(document if s is document else {}), "strokes": s["strokes"], "size": size} for s in sketches]


def read_quickdraw(path, which=None):
    """Drawings of a Quick, Draw! file: a list of {"strokes": [...], "size": None}, in the units of the file and in no
    frame.

    path: ndjson, one drawing a line, as {"drawing": [[xs, ys], ...]} (simplified), [[xs, ys, times], ...] (raw), or
    "strokes" in place of "drawing". which: index from 0, or a sequence of them, in the order wanted; None takes all,
    which is refused for more than 1000 (the published files have a hundred thousand). Only the lines wanted are parsed.
    """
    path, found, count = Path(path), {}, 0
    wanted = None if which is None else [which] if isinstance(which, int) else [int(i) for i in which]
    if wanted is not None and (not wanted or min(wanted) < 0):
        raise SketchError(f"which is {which!r}; wanted the index of a drawing, from 0, or several of them")
    if not path.is_file():
        raise SketchError(f"there is no file {path}; give the path of an .ndjson file of drawings")
    most = LIMITS["line bytes"].most
    with reading(path.name, SketchError, "wanted ndjson, one drawing a line", also=()), path.open("rb") as file:
        while line := file.readline(most + 1):
            within("line bytes", len(line), f"drawing {count} of {path.name}")
            if not line.strip():
                continue
            if wanted is None:
                within("sketches", count + 1, path.name)
            if wanted is None or count in wanted:
                found[count] = {"strokes": _quickdraw_strokes(line, f"drawing {count} of {path.name}"), "size": None}
                if wanted is not None and len(found) == len(set(wanted)):
                    break
            count += 1
    missing = [i for i in wanted or () if i not in found]
    if missing:
        raise SketchError(f"{path.name} has no drawing {missing[0]}: it holds {count}, counted from 0")
    return [found[i] for i in wanted or found]


def _quickdraw_strokes(line, name):
    wanted = 'wanted one JSON object a line with "drawing": [[xs, ys], ...], as Quick, Draw! publishes them'
    with reading(name, SketchError, wanted, also=()):
        record = json.loads(line)
        drawing = record["drawing"] if "drawing" in record else record["strokes"]
        within("strokes", len(drawing), name)
        within("points", sum(len(stroke[0]) for stroke in drawing), name)
        strokes = [np.array([stroke[0], stroke[1]], np.float64).T for stroke in drawing]
        if not all(s.ndim == 2 and len(s) and np.isfinite(s).all() for s in strokes):
            raise SketchError(f"{name} has a stroke without finite points; {wanted}")
    if not strokes:
        raise SketchError(f"{name} is empty: it has no stroke; leave it out with which=[...]")
    return [{"width": PEN, "points": s.tolist()} for s in strokes]
