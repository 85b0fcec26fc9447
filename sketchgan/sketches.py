"""Drawings as tensors: strokes to pixels, files to strokes, and how far one drawing is from another.

A sketch is float32 `[N, 1, R, R]` with paper = +1 and ink = -1, the convention of PhotoSketch (Li et al. 2019).
Strokes are the truth and pixels are made from them, so a drawing is as sharp at 256 px as it is at 64.
A drawing document (`data/sketches/*.json`) is

    {"name", "task", "origin", "license", "size": 256,
     "sketches": [{"strokes": [{"width": 5.5, "smooth": true, "points": [[x, y], ...]}, ...]}, ...]}

with x to the right and y down, in units of 1/size of the frame. A `smooth` stroke is the curve through its points.
"""

import json
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

from .checkpoints import write_atomically

SKETCH_FOLDER = Path(__file__).resolve().parents[1] / "data" / "sketches"
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
SUPERSAMPLING = 4   # strokes are drawn this many times larger and averaged down: 17 levels of grey at a line's edge


class SketchError(ValueError):
    """A drawing that cannot be used; the message says what was given, what was wanted and what to do."""


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
    pieces = []
    for i in range(1, len(p) - 2):
        p0, p1, p2, p3 = p[i - 1:i + 3]
        a, b, c = knots[i - 1:i + 2]
        # Hermite tangents at p1 and p2 of the non-uniform curve, in units of the middle interval b.
        m1 = b * ((p1 - p0) / a - (p2 - p0) / (a + b) + (p2 - p1) / b)
        m2 = b * ((p2 - p1) / b - (p3 - p1) / (b + c) + (p3 - p2) / c)
        t = np.linspace(0, 1, max(2, int(np.ceil(b * b / step)) + 1))[:-1, None]
        pieces.append((2 * t**3 - 3 * t**2 + 1) * p1 + (t**3 - 2 * t**2 + t) * m1
                      + (3 * t**2 - 2 * t**3) * p2 + (t**3 - t**2) * m2)
    return np.concatenate([*pieces, p[-2:-1]])


def stroke_points(stroke):
    """The polyline [Q, 2] of one stroke, whether it was drawn point by point or given as a smooth curve."""
    try:
        points = np.asarray(stroke["points"], np.float64)
        width = float(stroke["width"])
    except (TypeError, KeyError, ValueError) as error:
        raise SketchError(f'a stroke is {{"width": number, "points": [[x, y], ...]}}, but this one is '
                          f"{str(stroke)[:80]}; mend the file or draw it again in a SketchPad") from error
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all() or not 0 < width < np.inf:
        raise SketchError(f"a stroke has points of shape {points.shape} and width {width}; wanted finite points "
                          "[P, 2] with P >= 1 and a width above 0; remove the stroke or draw it again")
    return smooth(points) if stroke.get("smooth") else points


def rasterize(strokes, resolution=64, size=256):
    """Draws strokes in ink on paper.

    strokes: sequence of {"width", "points"} in a frame of `size` units; parts outside the frame are cut off, and no
    line is thinner than a pixel.
    Returns float32 [1, 1, resolution, resolution], paper +1, ink -1, anti-aliased. An empty sequence gives blank paper.
    """
    canvas = Image.new("L", (SUPERSAMPLING * resolution,) * 2, 255)
    pen = ImageDraw.Draw(canvas)
    scale = SUPERSAMPLING * resolution / size
    for stroke in strokes:
        points = stroke_points(stroke) * scale - 0.5                 # PIL puts integer coordinates at pixel centres
        width = max(SUPERSAMPLING, round(float(stroke["width"]) * scale))   # under one pixel a line fades to grey
        pen.line([tuple(p) for p in points], fill=0, width=width)
        radius = (width - 1) / 2
        for x, y in points:                                          # round joints and round ends
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    grey = np.asarray(canvas.resize((resolution, resolution), Image.Resampling.BOX), np.float32)
    return torch.from_numpy(grey / 127.5 - 1)[None, None]


# ------------------------------------------------------------------------------------------------- anything to a sketch

def normalize_sketch(x, resolution=64, invert=False, pad=False, thicken=0):
    """Makes one sketch `[1, 1, resolution, resolution]`, paper +1 and ink -1, of whatever holds a drawing.

    x: path of an image or of a drawing document with one sketch; PIL image; uint8, uint16 or bool array or tensor
       [H, W], [H, W, 1|3|4] or [1, H, W] (0 = ink); float array or tensor [H, W], [1, H, W] or [1, 1, H, W] in
       [-1, 1]; or strokes ({"strokes": [...], "size": 256}). Transparent pixels are paper. Larger drawings are
       averaged down; smaller ones are refused.
    invert: False refuses light lines on a dark ground, True turns them round, 'auto' turns them round with a warning.
    pad: True pads a drawing that is not square with paper, subject in the middle; False refuses it.
    thicken: lines are made this many pixels wider (in pixels of the original) before they are scaled down.
    Raises SketchError for a drawing that is blank, all ink, inverted, not square, too small, too thin, unreadable,
    not finite or out of range.
    """
    if isinstance(x, dict):
        strokes, size = _only_sketch(x)
        x = rasterize(strokes, resolution, size)
    grey, name = _grey(x)                                            # [H, W], paper 1, ink 0
    if invert is True:
        grey = 1 - grey
    ink = float((grey < 0.5).mean())
    if ink > 0.5 and grey.max() > 0.5 and invert == "auto":
        warnings.warn(f"{name} has light lines on a dark ground ({ink:.0%} dark): turned round", stacklevel=2)
        grey = 1 - grey
    _check_ink(grey, name)
    grey = _square(grey, name, pad)
    if grey.shape[0] < resolution:
        raise SketchError(f"{name} is {grey.shape[0]} px wide, but a sketch of {resolution} px was wanted; draw it at "
                          f"{resolution} px or more (256 is good), or ask for a lower resolution")
    image = Image.fromarray(grey)
    if thicken:                                                      # the filter knows only 8 bits
        darkest = ImageFilter.MinFilter(2 * ((thicken + 1) // 2) + 1)
        image = Image.fromarray((grey * 255).round().astype(np.uint8)).filter(darkest)
        image = Image.fromarray(np.asarray(image, np.float32) / 255)
    if grey.shape[0] != resolution:
        image = image.resize((resolution, resolution), Image.Resampling.BOX)
    sketch = torch.from_numpy(np.array(image, np.float32)) * 2 - 1
    if sketch.min() >= 0:
        pen = int(np.ceil(1.4 * grey.shape[0] / resolution))
        raise SketchError(f"the lines of {name} are so thin or so pale that nothing dark is left at {resolution} px; "
                          f"use a black pen of about {pen} px, or pass thicken={pen}")
    return sketch.clamp(-1, 1)[None, None]


def _grey(x):
    """([H, W] float32 in [0, 1] with paper 1, a name for messages) of a path, PIL image, array or tensor."""
    if isinstance(x, (str, os.PathLike)):
        path = Path(x)
        if path.suffix == ".json":
            strokes, size = _only_sketch(read_document(path))
            return _grey(rasterize(strokes, 256, size))[0], path.name
        return _grey_image(_open_image(path), path.name), path.name
    if isinstance(x, Image.Image):
        return _grey_image(x, "the image"), "the image"
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().numpy()
    if not isinstance(x, np.ndarray):
        raise SketchError(f"a {type(x).__name__} is not a drawing; give a path, a PIL image, an array, a tensor "
                          '[1, 1, R, R] or {"strokes": [...], "size": 256}')
    if np.issubdtype(x.dtype, np.floating):
        return _grey_floats(x), "the sketch"
    if x.dtype not in (np.uint8, np.uint16, np.bool_):
        raise SketchError(f"an array of {x.dtype} has no known range; give uint8 (0 ink to 255 paper) or float in [-1, 1]")
    if x.ndim in (3, 4) and x.shape[:-2] in ((1,), (1, 1)):          # [1, H, W], [1, 1, H, W]
        x = x.reshape(x.shape[-2:])
    if x.ndim == 3 and x.shape[-1] == 1:                             # [H, W, 1]
        x = x[..., 0]
    if x.ndim == 3 and x.shape[-1] in (3, 4) and x.dtype == np.uint8:
        return _grey_image(Image.fromarray(x), "the array"), "the array"
    if x.ndim != 2:
        raise SketchError(f"an array of shape {x.shape} is not one sketch; wanted [H, W] or [H, W, 3|4]; "
                          "give the drawings one at a time, or all of them to load_sketches")
    return x.astype(np.float32) / (1 if x.dtype == np.bool_ else np.iinfo(x.dtype).max), "the array"


def _grey_floats(x):
    if x.ndim > 2 and x.shape[:-2] in ((1,), (1, 1)):
        x = x.reshape(x.shape[-2:])
    if x.ndim != 2 or not x.size:
        raise SketchError(f"floats of shape {x.shape} are not one sketch; wanted [H, W], [1, H, W] or [1, 1, H, W]; "
                          "turn a photograph into a sketch with F(image) first, and give several drawings to load_sketches")
    if not np.isfinite(x).all():
        raise SketchError(f"the sketch has {int((~np.isfinite(x)).sum())} values that are NaN or infinite; "
                          "wanted numbers in [-1, 1]; look at what computed it")
    low, high = float(x.min()), float(x.max())
    if low < -1.001 or high > 1.001 or (low >= 0 and high > low):
        raise SketchError(f"the floats of the sketch run from {low:.3g} to {high:.3g}; wanted ink -1 to paper +1; "
                          "use x * 2 - 1 for values in [0, 1], x / 127.5 - 1 for [0, 255]")
    return np.clip(x.astype(np.float32) / 2 + 0.5, 0, 1)


def _open_image(path):
    if not path.is_file():
        raise SketchError(f"there is no file {path}; give the path of a drawing, or one of {', '.join(sketch_names())} "
                          "to load_sketches")
    try:
        image = Image.open(path)
        image.load()
    except Exception as error:                                       # Pillow raises OSError, SyntaxError, ValueError ...
        raise SketchError(f"{path.name} cannot be read as an image ({error}); it may be cut off or of another kind: "
                          "save it again as PNG") from error
    return image


def _grey_image(image, name):
    """Luminance in [0, 1] of any PIL mode, see-through pixels laid on white paper."""
    if image.mode.startswith("I;16"):
        # convert('L') clips sixteen bits at 255, which turns every grey to white: scale by hand.
        return np.asarray(image).astype(np.float32) / 65535
    if image.mode in ("I", "F"):
        raise SketchError(f"{name} has pixels of mode {image.mode}, whose range is unknown; save it with 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        if image.convert("L").getextrema()[0] > 127 and layer.getextrema()[3][0] < 128:
            raise SketchError(f"{name} is white or empty on a transparent ground: on paper nothing is left of it; "
                              "draw in black, or fill the ground with black and pass invert=True")
    return np.asarray(image.convert("L"), np.float32) / 255


def _check_ink(grey, name):
    ink = float((grey < 0.5).mean())
    if grey.max() <= 0.5:
        raise SketchError(f"{name} is all black: paper is white (+1) and ink black (-1); draw lines, not a filled frame")
    if ink > 0.5:
        raise SketchError(f"{name} has light lines on a dark ground ({ink:.0%} of it is dark); wanted black on white: "
                          "pass invert=True, or invert='auto' to be warned each time it is needed")
    if grey.min() > 0.95:
        raise SketchError(f"{name} is empty: it has no dark line; draw something first (SketchPad), with a black pen")


def _square(grey, name, pad):
    height, width = grey.shape
    if height == width:
        return grey
    if not pad:
        raise SketchError(f"{name} is {width} x {height} px, not square; crop it round the subject, or pass pad=True "
                          "to add paper at the short sides")
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.ones((side, side), np.float32)
    square[top:top + height, left:left + width] = grey
    return square


# ------------------------------------------------------------------------------------------------- files with drawings

def sketch_names():
    """Names of the ready-made drawings in data/sketches, for `load_sketches`."""
    return sorted(path.stem for path in SKETCH_FOLDER.glob("*.json"))


def load_sketches(source, resolution=64, **options):
    """Loads one or several drawings as `[S, 1, resolution, resolution]`.

    source: a name of `sketch_names()`; the path of a drawing document or of an image; a folder of images (in order of
    name); or a list of anything `normalize_sketch` takes. `options` go to normalize_sketch (invert, pad, thicken).
    Raises SketchError when there is nothing to load or a drawing cannot be used (its name is in the message).
    """
    if isinstance(source, dict):
        items = _stroke_sets(source)
    elif isinstance(source, (str, os.PathLike)):
        items = _items_of(Path(source), str(source))
    elif isinstance(source, torch.Tensor) and source.ndim == 4:
        items = list(source)
    else:
        items = list(source)
    if not items:
        raise SketchError("there are no sketches; give at least one, for instance load_sketches('standing_cat')")
    return torch.cat([normalize_sketch(item, resolution, **options) for item in items])


def _items_of(path, name):
    if name in sketch_names():
        path = SKETCH_FOLDER / f"{name}.json"
    if path.suffix == ".json":
        return _stroke_sets(read_document(path))
    if path.is_dir():
        items = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not items:
            raise SketchError(f"the folder {path} has no image; wanted PNG or JPEG drawings directly inside it")
        return items
    return [path]


def read_document(path):
    """Reads a drawing document (module docstring) and checks that it holds sketches."""
    path = Path(path)
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise SketchError(f"there is no file {path}; the ready-made drawings are {', '.join(sketch_names())}") from error
    except ValueError as error:                                      # not JSON, or not text
        raise SketchError(f"{path.name} is not a drawing document ({error}); save it again from a SketchPad") from error
    if not isinstance(document, dict) or not ({"sketches", "strokes"} & document.keys()):
        raise SketchError(f'{path.name} has no "sketches"; wanted {{"size": 256, "sketches": [{{"strokes": [...]}}]}}')
    return document


def write_document(path, sketches, size=256, **about):
    """Writes stroke sketches whole or not at all; `about` holds name, task, origin, license."""
    write_atomically(path, json.dumps({**about, "size": size, "sketches": sketches}).encode() + b"\n")


def _stroke_sets(document):
    """One {"strokes", "size"} for each sketch of a document."""
    size = document.get("size", 256)
    return [{"strokes": s["strokes"], "size": size} for s in document.get("sketches", [document])]


def _only_sketch(document):
    sets = _stroke_sets(document)
    if len(sets) != 1:
        raise SketchError(f"the document holds {len(sets)} sketches, wanted one; use load_sketches for all of them")
    return sets[0]["strokes"], sets[0]["size"]


# ---------------------------------------------------------------------------------------- how far apart are two sketches

def distance_transform(ink, truncate=None):
    """Exact Euclidean distance of every pixel to the nearest ink (Felzenszwalb & Huttenlocher 2012, in two passes).

    ink: bool [N, H, W]. Returns float32 [N, H, W] in pixels, at most `truncate` (default: the diagonal, which is
    also the value where there is no ink at all).
    """
    n, height, width = ink.shape
    diagonal = float(np.hypot(height, width))
    limit = diagonal if truncate is None else min(float(truncate), diagonal)
    # Pass 1, along columns: rows to the nearest ink above (a running maximum of its row number) and below.
    far = 2.0 * (height + width)
    row = torch.arange(height, device=ink.device, dtype=torch.float32)[:, None]          # [H1]
    above = row - torch.where(ink, row, -far).cummax(1).values
    below = torch.where(ink, row, far).flip(1).cummin(1).values.flip(1) - row
    column = torch.minimum(above, below).square()                                         # [NHW]
    # Pass 2, along rows: the lower envelope of one parabola per column; beyond the limit none can win.
    squared = column.clone()
    for shift in range(1, min(width, int(np.ceil(limit)) + 1)):
        torch.minimum(squared[:, :, shift:], column[:, :, :-shift] + shift**2, out=squared[:, :, shift:])
        torch.minimum(squared[:, :, :-shift], column[:, :, shift:] + shift**2, out=squared[:, :, :-shift])
    return squared.sqrt().clamp(max=limit)


def chamfer(a, b, truncate=None):
    """Symmetric chamfer distance between every sketch of `a` and every sketch of `b` (Barrow et al. 1977).

    Half the mean distance from a's ink to b's nearest ink, plus half of the same from b to a. Ink is where the
    sketch is below 0. a: [N, 1, R, R], b: [M, 1, R, R]. Returns float32 [N, M] in pixels, between 0 and `truncate`
    (default: the diagonal). A sketch without ink is that limit away from every other.
    """
    if a.ndim != 4 or b.ndim != 4 or a.shape[1:] != b.shape[1:] or a.shape[1] != 1:
        raise SketchError(f"chamfer got sketches of shapes {tuple(a.shape)} and {tuple(b.shape)}; wanted "
                          "[N, 1, R, R] and [M, 1, R, R] of one size; scale them with normalize_sketch")
    ink_a, ink_b = a[:, 0] < 0, b[:, 0] < 0                                               # [NRR], [MRR]
    return (_one_way(ink_a, ink_b, truncate) + _one_way(ink_b, ink_a, truncate).T) / 2


def _one_way(source, target, truncate):
    """[N, M]: mean over the ink of source[n] of the distance to the ink of target[m]; a matrix product."""
    distance = torch.cat([distance_transform(part, truncate) for part in target.split(256)])
    limit = float(np.hypot(*source.shape[1:])) if truncate is None else float(truncate)
    pixels = source.flatten(1).float()                                                    # [NP]
    total, count = pixels @ distance.flatten(1).T, pixels.sum(1, keepdim=True)
    return torch.where(count > 0, total / count.clamp(min=1), limit)


class Nearest(NamedTuple):
    """Result of `nearest`: indices [k] and distances [k] in pixels, best first."""

    indices: torch.Tensor
    distances: torch.Tensor


@torch.no_grad()
def nearest(sketch, images, F=None, k=16, truncate=None, batch=64):
    """Ranks images by how near their sketches come to the drawn ones.

    sketch: [S, 1, R, R]; an image counts by the nearest of them. images: photographs [M, 3, R, R], which F turns into
    sketches, or sketches [M, 1, R, R] (F is not needed). F uses its running statistics here, so that the order does
    not depend on how images are put into batches. Returns Nearest(indices [k], distances [k]), nearest first.
    """
    if images.shape[1] == 3 and F is None:
        raise SketchError("nearest got photographs and no F; pass F=load_photosketch(...), or sketches [M, 1, R, R]")
    if images.shape[1] == 3:
        images = sketch_of(images, F, batch)
    distances = chamfer(sketch.to(images.device), images, truncate).min(0).values         # [M]
    best = distances.sort(stable=True)
    return Nearest(best.indices[:k], best.values[:k])


@torch.no_grad()
def sketch_of(images, F, batch=64):
    """F's sketches [M, 1, R, R] of images [M, 3, R, R] with running statistics; leaves F's mode as it was."""
    before = F.batch_stats
    F.batch_stats = False
    try:
        return torch.cat([F(part) for part in images.split(batch)])
    finally:
        F.batch_stats = before
