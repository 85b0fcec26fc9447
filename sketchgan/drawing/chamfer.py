"""How far one drawing is from another: the chamfer distance, and the ranking of images by it.

It is the paper's baseline and the way its targets were picked (Wang et al. 2021). Sketches are float32 `[N, 1, R, R]`
with paper +1 and ink -1; ink is where a sketch is below 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from ..files.checks import Count, Pictures, Positive, Sketches, checked, shape
from .strokes import SketchError


@checked
def distance_transform(ink: shape("N", "H", "W", kind="booleans"), truncate: Positive | None = None):
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


class Targets(NamedTuple):
    """Sketches that others are measured against again and again, with what `chamfer` needs of them; made by `targets`.

    ink: bool [M, R, R]. distance: [M, R, R] in pixels, to the nearest ink. truncate: as for `chamfer`.
    """

    ink: torch.Tensor
    distance: torch.Tensor
    truncate: float | None


@checked
def targets(sketches: Sketches, truncate: Positive | None = None):
    """Prepares sketches [M, 1, R, R] for `chamfer(a, targets)`: their distances are the dear half of it, to the bit."""
    _check(sketches, sketches)
    ink = sketches[:, 0] < 0
    return Targets(ink, torch.cat([distance_transform(part, truncate) for part in ink.split(256)]), truncate)


@checked
def chamfer(a: Sketches, b: Targets | Sketches, truncate: Positive | None = None):
    """Symmetric chamfer distance between every sketch of `a` and every sketch of `b` (Barrow et al. 1977).

    Half the mean distance from a's ink to b's nearest ink, plus half of the same from b to a. Ink is where the
    sketch is below 0. a: [N, 1, R, R], b: [M, 1, R, R], or `targets` of them, whose `truncate` then counts. Returns
    float32 [N, M] in pixels, between 0 and `truncate` (default: the diagonal). A sketch without ink is that limit away
    from every other.
    """
    _check(a, b.ink[:, None] if isinstance(b, Targets) else b)
    b = b if isinstance(b, Targets) else targets(b, truncate)
    a = targets(a, b.truncate)
    return (_one_way(a.ink, b) + _one_way(b.ink, a).T) / 2


def _check(a, b):
    if a.ndim != 4 or b.ndim != 4 or a.shape[1:] != b.shape[1:] or a.shape[1] != 1:
        raise SketchError(f"chamfer got sketches of shapes {tuple(a.shape)} and {tuple(b.shape)}; wanted "
                          "[N, 1, R, R] and [M, 1, R, R] of one size; scale them with normalize_sketch")


def _one_way(source, target):
    """[N, M]: mean over the ink of source[n] of the distance to the ink of target[m]; a matrix product."""
    limit = float(np.hypot(*source.shape[1:])) if target.truncate is None else float(target.truncate)
    pixels = source.flatten(1).float()                                                    # [NP]
    total, count = pixels @ target.distance.flatten(1).T, pixels.sum(1, keepdim=True)
    return torch.where(count > 0, total / count.clamp(min=1), limit)


class Nearest(NamedTuple):
    """Result of `nearest`: indices [k] and distances [k] in pixels, best first."""

    indices: torch.Tensor
    distances: torch.Tensor


@checked
@torch.no_grad()
def nearest(sketch: Sketches, images: Pictures, F: Callable | None = None, k: Count = 16,
            truncate: Positive | None = None, batch: Count = 64):
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


@checked
@torch.no_grad()
def sketch_of(images: Pictures, F: Callable, batch: Count = 64):
    """F's sketches [M, 1, R, R] of images [M, 3, R, R] with running statistics; leaves F's mode as it was."""
    # None: a network without batch norm
    before = getattr(F, "batch_stats", None)
    if before is not None:
        F.batch_stats = False
    try:
        return torch.cat([F(part) for part in images.split(batch)])
    finally:
        if before is not None:
            F.batch_stats = before
