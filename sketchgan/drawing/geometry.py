"""Strokes as geometry: cut by an eraser, mirrored, and read from whatever holds a drawing.

A stroke is {"width", "points": [[x, y], ...]} in a frame of FRAME units, x to the right and y down; a sketch is a tuple
of strokes. Nothing here changes its arguments: a stroke that stays as it was is returned itself.
"""

import os
import warnings
from pathlib import Path

import numpy as np

from ..files.places import sketches_folder
from .sketches import load_sketches
from .strokes import FRAME, SketchError, read_document, sketch_names, stroke_points
from .tracing import distance_to_path, trace


def mirror(strokes):
    """The sketch with left and right exchanged."""
    return tuple(stroke | {"points": [[FRAME - x, y] for x, y in stroke["points"]]} for stroke in strokes)


def erase(strokes, path, width):
    """What an eraser of `width` leaves of a sketch when it is drawn along `path` ([P, 2]); strokes are cut where it passes.

    A line goes where the eraser touches any of its width, so that no round end reaches back into what was rubbed out.
    """
    path, kept = np.asarray(path, np.float64).reshape(-1, 2), []
    for stroke in strokes:
        points, given = _dense(stroke_points(stroke))
        outside = distance_to_path(points, path) > (width + stroke["width"]) / 2
        if outside.all():
            kept.append(stroke)
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[False], outside, [False]])))    # start, end, start, end ...
        for start, end in edges.reshape(-1, 2):
            if end - start > 1:
                chosen = given[start:end].copy()
                chosen[[0, -1]] = True                      # a cut is a new end
                kept.append({"width": stroke["width"], "points": points[start:end][chosen].round(1).tolist()})
    return tuple(kept)


def _dense(points, step=1.0):
    """`points` with others in between, at most `step` apart, and which of them were given: ([Q, 2], bool [Q])."""
    pieces, given = [points[:1]], [[True]]
    for a, b in zip(points, points[1:], strict=False):
        count = max(1, int(np.ceil(np.linalg.norm(b - a) / step)))
        pieces.append(a + (b - a) * np.arange(1, count + 1)[:, None] / count)
        given.append([False] * (count - 1) + [True])
    return np.concatenate(pieces), np.concatenate(given)


# -------------------------------------------------------------------------------------------------- anything to strokes

def read_strokes(source):
    """Every drawing of `source` as a tuple of strokes: documents keep their strokes, pictures of lines are traced.

    source: a name of `sketch_names()`, a drawing document, or anything that `load_sketches` takes. Raises SketchError
    for what is no drawing.
    """
    if isinstance(source, (str, os.PathLike)):
        path = sketches_folder() / f"{source}.json" if source in sketch_names() else Path(source)
        if path.suffix == ".json":
            load_sketches(path)                             # refuses a bad file, with its reason
            source = read_document(path)
        else:
            source = path
    if isinstance(source, dict):
        scale = FRAME / source.get("size", FRAME)
        return [tuple({"width": stroke["width"] * scale, "points": (stroke_points(stroke) * scale).tolist()}
                      for stroke in sketch["strokes"]) for sketch in source.get("sketches", [source])]
    return [trace(sketch[None]) for sketch in _finest(source)]


def _finest(source):
    """`source` as sketches at the highest resolution it has, up to the frame's own: as drawn, or put right where that fails."""
    for keep in ({"pen": None, "box": None}, {}):
        for resolution in (FRAME, FRAME // 2, FRAME // 4):
            try:
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    found = load_sketches(source, resolution, pad=True, **keep)
                for warning in said:                        # of the attempt that came to something
                    warnings.warn(warning.message, warning.category, stacklevel=4)
                return found
            except SketchError as error:
                reason = error
    raise reason
