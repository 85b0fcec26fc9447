"""One label map under one hand: brush, fill, and the way back from all of it. Knows no widgets."""
from __future__ import annotations

import numpy as np

from ..drawing.tracing import distance_to_path

STEPS = 100     # of undo


class LabelBoard:
    """A label map uint8 [R, R] that is painted on; 0 says nothing. Every change can be undone.

    Points are (x, y) in pixels of the map, (0, 0) its upper left corner. Not safe for threads by itself.
    """

    def __init__(self, resolution: int):
        self.resolution, self.past, self.future = resolution, [], []
        self.mask = np.zeros((resolution, resolution), np.uint8)
        row, column = np.mgrid[:resolution, :resolution] + 0.5
        self._centres = np.stack([column.ravel(), row.ravel()], 1)          # [R R, 2]

    @property
    def blank(self) -> bool:
        """Whether nothing is said anywhere."""
        return not self.mask.any()

    def replace(self, mask) -> None:
        """Another map in place of this one; the same is no change."""
        mask = np.asarray(mask, np.uint8)
        if mask.shape != self.mask.shape:
            raise ValueError(f"mask is {list(mask.shape)} and this board {list(self.mask.shape)}")
        if not np.array_equal(mask, self.mask):
            self.past = [*self.past[-STEPS:], self.mask]
            self.future.clear()
            self.mask = mask.copy()

    def brush(self, points, width: float, label: int) -> None:
        """Paints a line of `width` pixels along points [P, 2]; whatever the width, a dot leaves a pixel."""
        points = np.asarray(points, np.float64).reshape(-1, 2)
        near = distance_to_path(self._centres, points) <= width / 2
        at = np.clip(points.astype(int), 0, self.resolution - 1)
        mask = np.where(near.reshape(self.mask.shape), label, self.mask)
        mask[at[:, 1], at[:, 0]] = label
        self.replace(mask)

    def fill(self, x: float, y: float, label: int) -> None:
        """Gives the region of one class round a point, joined by edges, to another class."""
        column, row = (min(max(int(v), 0), self.resolution - 1) for v in (x, y))
        old, region = self.mask[row, column], np.zeros(self.mask.shape, bool)
        region[row, column] = True
        same = self.mask == old
        while True:
            grown = region.copy()
            grown[1:] |= region[:-1]
            grown[:-1] |= region[1:]
            grown[:, 1:] |= region[:, :-1]
            grown[:, :-1] |= region[:, 1:]
            grown &= same
            if grown.sum() == region.sum():
                break
            region = grown
        self.replace(np.where(region, label, self.mask))

    def clear(self) -> None:
        """Says nothing any more."""
        self.replace(np.zeros_like(self.mask))

    def undo(self) -> None:
        """Goes back by one change, if there is one."""
        self._travel(self.past, self.future)

    def redo(self) -> None:
        """Does again what undo took back."""
        self._travel(self.future, self.past)

    def _travel(self, source, target):
        if source:
            target.append(self.mask)
            self.mask = source.pop()
