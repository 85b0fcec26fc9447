"""Several sketches under one hand: what a sketch pad does to them, and the way back from all of it. Knows no
widgets."""

import numpy as np

from .strokes import FRAME, stroke_points
from .tracing import distance_to_path


def mirror(strokes):
    """The sketch with left and right exchanged."""
    return tuple(stroke | {"points": [[FRAME - x, y] for x, y in stroke["points"]]} for stroke in strokes)


def erase(strokes, path, width):
    """What an eraser of `width` leaves of a sketch when it is drawn along `path` ([P, 2]); strokes are cut where it
    passes.

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


class Drawing:
    """Several sketches, one of them in hand; every change can be undone.

    A sketch is a tuple of strokes {"width", "points"} ; tuples are never changed, so a past state costs
    nothing. Not safe for threads by itself: who shares it holds a lock.
    """

    def __init__(self):
        self.sketches, self.current = ((),), 0
        self.past, self.future = [], []

    @property
    def strokes(self):
        """Strokes of the sketch in hand."""
        return self.sketches[self.current]

    @property
    def drawn(self):
        """The sketches that have strokes."""
        return [strokes for strokes in self.sketches if strokes]

    # ---- the sketch in hand

    def change(self, sketches, current):
        """Goes to a new state and remembers the present one for undo."""
        self.past.append((self.sketches, self.current))
        self.future.clear()
        self.sketches, self.current = tuple(sketches), current

    def replace(self, strokes):
        """Gives the sketch in hand other strokes; the same ones are no change."""
        if strokes != self.strokes:
            self.change((*self.sketches[:self.current], tuple(strokes), *self.sketches[self.current + 1:]),
                        self.current)

    def draw(self, *strokes):
        """Adds strokes to the sketch in hand."""
        self.replace((*self.strokes, *strokes))

    def erase(self, path, width):
        """Rubs out what an eraser of `width` touches along `path` [P, 2]."""
        self.replace(erase(self.strokes, path, width))

    def clear(self):
        """Removes all strokes of the sketch in hand."""
        self.replace(())

    def mirror(self):
        """Exchanges left and right of the sketch in hand."""
        self.replace(mirror(self.strokes))

    # ---- the row of sketches

    def select(self, index):
        """Takes sketch number `index` (from 0) in hand; one that is not there leaves the hand where it is."""
        if 0 <= index < len(self.sketches):
            self.current = index

    def add(self):
        """Puts a blank sketch behind the last one and takes it in hand; a blank one that waits there is used."""
        if self.sketches[-1]:
            self.change((*self.sketches, ()), len(self.sketches))
        self.current = len(self.sketches) - 1

    def extend(self, sketches):
        """Adds sketches behind those that have strokes and takes the first of them in hand."""
        drawn = self.drawn
        self.change((*drawn, *sketches), len(drawn))

    def copy(self):
        """Puts a copy of the sketch in hand behind it and takes the copy in hand."""
        after = self.current + 1
        self.change((*self.sketches[:after], self.strokes, *self.sketches[after:]), after)

    def move(self, places):
        """Moves the sketch in hand by `places`, to the left below 0; it stops at the ends of the row."""
        to = min(max(self.current + places, 0), len(self.sketches) - 1)
        if to != self.current:
            rest = [*self.sketches[:self.current], *self.sketches[self.current + 1:]]
            rest.insert(to, self.strokes)
            self.change(rest, to)

    def delete(self):
        """Removes the sketch in hand; the last one that is left becomes blank."""
        rest = (*self.sketches[:self.current], *self.sketches[self.current + 1:]) or ((),)
        if rest != self.sketches:
            self.change(rest, min(self.current, len(rest) - 1))

    # ---- the way back

    def undo(self):
        """Goes back by one change, if there is one."""
        self._travel(self.past, self.future)

    def redo(self):
        """Does again what undo took back."""
        self._travel(self.future, self.past)

    def _travel(self, source, target):
        if source:
            target.append((self.sketches, self.current))
            self.sketches, self.current = source.pop()
