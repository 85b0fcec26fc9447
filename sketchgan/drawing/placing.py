"""Where a drawing stands in its frame: its bounds, the place where a GAN paints, and a drawing put there.

A sketch that is small or off the centre asks for a subject that the base never paints, and the training fails in
silence. So each is held against the place where the base does paint, and moved and scaled to it if it stands elsewhere.
"""

from typing import NamedTuple

import numpy as np
import torch

from ..files.checks import Count, GeneratorLike, NetworkLike, Seed, checked
from ..nets.sampling import sample
from .chamfer import sketch_of
from .strokes import FRAME, PEN, SketchError, stroke_points


class UsualBox(NamedTuple):
    """Where subjects stand, in shares of the frame: (low, middle, high) of the centre's x and y and of the longer side.

    `box` (left, top, right, bottom) is a square round the middle of all three, for a ghost outline and for `fit`.
    """

    x: tuple
    y: tuple
    side: tuple

    @property
    def box(self):
        """(left, top, right, bottom) in shares of the frame, all of it inside."""
        side = float(np.clip(self.side[1], 0.1, 1))
        left, top = (float(np.clip(middle - side / 2, 0, 1 - side)) for middle in (self.x[1], self.y[1]))
        return tuple(round(v, 4) for v in (left, top, left + side, top + side))

    def holds(self, box):
        """Whether a drawing with these bounds (left, top, right, bottom), in shares of the frame, stands as subjects
        do."""
        left, top, right, bottom = box
        found = (left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top)
        return all(low <= value <= high for value, (low, _, high) in zip(found, self, strict=True))


# Of 192 contours of Menagerie: longer side 0.48 to 0.92 of the frame for nine in ten, and 0.71 in the middle. This
# leaves room.
USUAL = UsualBox((0.36, 0.5, 0.64), (0.36, 0.52, 0.72), (0.45, 0.72, np.inf))
BOX = USUAL.box                             # (0.14, 0.16, 0.86, 0.88)


@checked
def usual_box(G: GeneratorLike, F: NetworkLike, samples: Count = 96, seed: Seed = 0):
    """Where a generator paints its subject: the `UsualBox` of F's sketches of `samples` random samples; some seconds.

    Low and high leave out one sample in twenty at either end, and give 0.03 of the frame more: what a hand cannot
    judge. Raises SketchError if F sees a line in few of the samples only.
    """
    found = [ink_bounds(sketch) for sketch in sketch_of(sample(G, samples, seed).to(next(F.parameters()).device), F)]
    found = np.array([box for box in found if box is not None]).reshape(-1, 4)
    if len(found) < samples / 4:
        raise SketchError(f"F sees lines in {len(found)} of {samples} samples of this GAN only, so that nobody can "
                          f"say where it "
                          "paints; give the place yourself: box=(left, top, right, bottom) in shares of the frame")
    left, top, right, bottom = found.T
    spread = (np.quantile(v, [0.05, 0.5, 0.95]) + [-0.03, 0, 0.03]
              for v in ((left + right) / 2, (top + bottom) / 2, np.maximum(right - left, bottom - top)))
    return UsualBox(*(tuple(v.tolist()) for v in spread))


def ink_bounds(sketch):
    """(left, top, right, bottom) of the ink of a sketch [..., R, R] in shares of its side; None without ink."""
    rows, columns = torch.nonzero(sketch.reshape(-1, sketch.shape[-1]) < 0, as_tuple=True)
    if not len(rows):
        return None
    side = sketch.shape[-1]
    low, high = ([f(v).item() for v in (columns, rows)] for f in (torch.min, torch.max))
    return tuple(v / side for v in (*low, high[0] + 1, high[1] + 1))


def bounds(strokes):
    """The box [left, top, right, bottom] round all points of `strokes`, in their units; the pen's width does not
    count."""
    if not strokes:
        raise SketchError("the drawing is empty: it has no stroke; draw something first")
    points = np.concatenate([stroke_points(stroke) for stroke in strokes])
    return np.array([*points.min(0), *points.max(0)])


def fit(strokes, box=BOX, size=FRAME, width=PEN):
    """Strokes in any units, scaled (with their proportions) and moved into the middle of a box of a frame of `size`
    units.

    box: (left, top, right, bottom) in shares of the frame. width: of all strokes afterwards, in units of the new frame.
    Returns a list of strokes. Raises SketchError for a box that is none, or for strokes that are a single point.
    """
    left, top, right, bottom = _checked(box)
    x0, y0, x1, y1 = bounds(strokes)
    if x1 - x0 <= 0 and y1 - y0 <= 0:
        raise SketchError("the drawing is a single point, which has no size to scale; draw a line at least")
    if not np.isfinite([x1 - x0, y1 - y0]).all() or max(abs(x0), abs(x1), abs(y0), abs(y1)) > 1e12:
        raise SketchError("the drawing runs beyond all bounds; numbers below 1e12 are wanted: mend the file")
    room = np.array([right - left, bottom - top]) * size - width
    scale = (room / np.maximum([x1 - x0, y1 - y0], 1e-12)).min()
    middle = np.array([left + right, top + bottom]) * size / 2
    points = ((stroke_points(s) - [(x0 + x1) / 2, (y0 + y1) / 2]) * scale + middle for s in strokes)
    return [{"width": width, "points": p.tolist()} for p in points]


def _checked(box):
    try:
        left, top, right, bottom = (float(v) for v in box)
    except (TypeError, ValueError) as error:
        raise SketchError(f"box is {box!r}; wanted (left, top, right, bottom) in shares of the frame, for instance "
                          f"{BOX}, or "
                          "None for the place as drawn") from error
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1 and min(right - left, bottom - top) >= 0.1 - 1e-9):
        raise SketchError(f"box is {box!r}; wanted (left, top, right, bottom) with 0 <= left < right <= 1, the same "
                          f"for top "
                          f"and bottom, and sides of 0.1 at least, for instance {BOX}")
    return left, top, right, bottom
