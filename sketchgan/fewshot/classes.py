"""Classes of a layout: names, colours, and label maps as tensors or as PNG files with a palette.

A label map is int64 [N, R, R]: 0 says nothing ("unknown"), 1 .. C are the classes in their order. Dense and sparse
layouts are the same thing; a scribble is a map that is mostly 0.
"""
from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ..files.atomic import write_atomically
from ..files.checks import Count, Filled, Limits, Shape, check_fields, checked
from ..files.readers import reading

UNKNOWN = (255, 255, 255)       # the colour of 0: paper
# Told apart on a screen and by colour-blind readers as far as a dozen colours can be (after Okabe and Ito 2008).
COLORS = ((86, 180, 233), (0, 158, 115), (230, 159, 0), (213, 94, 0), (204, 121, 167), (0, 114, 178), (240, 228, 66),
          (117, 76, 36), (128, 128, 128), (150, 90, 200), (255, 150, 130), (40, 60, 60))
Color = tuple[Annotated[int, Limits(0, 255)], Annotated[int, Limits(0, 255)], Annotated[int, Limits(0, 255)]]
MOST = 255                      # what a PNG's palette can hold beside 0


class LayoutError(ValueError):
    """Labels that cannot be used; the message says what is wrong and what to do."""


class WholeNumbers(Shape):
    """An annotation's rule: a tensor of whole numbers."""

    def allow(self, value) -> bool:
        """Whether `value` is such a tensor."""
        return isinstance(value, Tensor) and value.ndim == len(self.dims) and len(value) >= self.rows \
            and min(value.shape) > 0 and not (value.is_floating_point() or value.is_complex()
                                              or value.dtype == torch.bool)

    def __str__(self):
        return f"a tensor [{', '.join(self.dims)}] of whole numbers: 0 says nothing, 1, 2, ... are classes"


Masks = Annotated[object, WholeNumbers(dims=("N", "R", "R"))]
Ids = Annotated[object, WholeNumbers(dims=("V",))]


@dataclass(frozen=True)
class Classes:
    """What can be asked for: names of the classes 1 .. C, and a colour for each (red, green, blue, 0 to 255).

    Without colours the first of our palette are taken. Raises ValueError for a name or a colour that comes twice, white
    (which says nothing), or another number of colours than names.
    """

    names: Annotated[tuple[str, ...], Filled()]
    colors: tuple[Color, ...] = ()

    def __post_init__(self):
        if isinstance(self.names, list):
            object.__setattr__(self, "names", tuple(self.names))
        if isinstance(self.colors, list):
            object.__setattr__(self, "colors", tuple(map(tuple, self.colors)))
        check_fields(self)
        if not self.colors:
            object.__setattr__(self, "colors", tuple(default_color(i) for i in range(len(self.names))))
        if len(self.names) > MOST or any(not name.strip() for name in self.names):
            raise ValueError(f"names are {list(self.names)}; wanted 1 to {MOST} that can be read")
        if len(set(self.names)) < len(self.names) or len(set(self.colors)) < len(self.colors):
            raise ValueError(f"names {list(self.names)} or colors {list(self.colors)} hold one twice: each class has "
                             "its own")
        if len(self.colors) != len(self.names) or UNKNOWN in self.colors:
            raise ValueError(f"colors are {list(self.colors)} for {len(self.names)} names; wanted one for each, and "
                             "none white, which says nothing")

    def __len__(self) -> int:
        return len(self.names)

    def id_of(self, name: str) -> int:
        """The number of a class, 1 .. C; LayoutError names those that there are."""
        if name not in self.names:
            raise LayoutError(f"there is no class {name!r}; the classes are {', '.join(self.names)}")
        return self.names.index(name) + 1

    def require(self, masks: Tensor, resolution: int, what: str = "masks") -> Tensor:
        """Label maps as int64 [N, R, R]; LayoutError for another size, a number that is no class, or nothing said."""
        if masks.ndim != 3 or tuple(masks.shape[1:]) != (resolution, resolution):
            raise LayoutError(f"{what} are {list(masks.shape)} and this generator paints {resolution} px; give "
                              f"[N, {resolution}, {resolution}] (`reduced` makes label maps smaller)")
        foreign = sorted(set(masks.unique().tolist()) - set(range(len(self) + 1)))
        if foreign:
            raise LayoutError(f"{what} hold {foreign[:5]}, which are no classes; there are 0 (says nothing) and "
                              + ", ".join(f"{i + 1} {name}" for i, name in enumerate(self.names)))
        silent = (masks == 0).flatten(1).all(1).nonzero().flatten().tolist()
        if silent:
            raise LayoutError(f"number {silent[0]} of {what} says nothing: every pixel is 0. Label some of it")
        return masks.long()

    @property
    def palette(self) -> np.ndarray:
        """uint8 [C + 1, 3]: the colours, that of 0 first."""
        return np.array([UNKNOWN, *self.colors], np.uint8)

    @checked
    def picture(self, masks: Masks) -> Tensor:
        """Label maps as pictures [N, 3, R, R] in [-1, 1], in the classes' colours."""
        colors = torch.from_numpy(self.palette).float() / 127.5 - 1
        return colors[self.checked_ids(masks)].permute(0, 3, 1, 2)

    def checked_ids(self, masks: Tensor) -> Tensor:
        """Label maps of any size, blank ones too, as int64 on the CPU; LayoutError for a number that is no class."""
        masks = masks.detach().cpu().long()
        if masks.numel() and not 0 <= int(masks.min()) <= int(masks.max()) <= len(self):
            raise LayoutError(f"masks hold numbers from {int(masks.min())} to {int(masks.max())}; there are 0 (says "
                              f"nothing) to {len(self)} ({self.names[-1]})")
        return masks

    @checked
    def save_mask(self, path: str | os.PathLike, mask: Masks) -> None:
        """Writes one label map [1, R, R] as a PNG with the palette: any painting program opens it."""
        if len(mask) != 1:
            raise LayoutError(f"mask is {list(mask.shape)}; a file holds one: masks[:1]")
        image = Image.fromarray(self.checked_ids(mask)[0].numpy().astype(np.uint8), "P")
        image.putpalette(self.palette.tobytes())
        file = io.BytesIO()
        image.save(file, "PNG")
        write_atomically(path, file.getvalue())

    @checked
    def load_mask(self, path: str | os.PathLike, resolution: Count | None = None) -> Tensor:
        """The label map [1, R, R] of a picture in exactly the classes' colours (or a PNG with our palette).

        resolution: R; a larger square is reduced so that thin classes survive, another size is refused.
        Raises LayoutError for colours outside the palette (JPEG changes colours: save PNG) or a wrong size,
        FileNotFoundError.
        """
        with reading(path, LayoutError, "save the mask as PNG in the classes' colours"):
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
        mask = self.of_colors(pixels, Path(path).name)[None]
        side = mask.shape[-1]
        if resolution is not None and side != resolution:
            if mask.shape[1] != side or side % resolution:
                raise LayoutError(f"{Path(path).name} has {side} x {mask.shape[1]} pixels; wanted {resolution} x "
                                  f"{resolution}, or a square a whole number of times as large")
            mask = reduced(mask, resolution, len(self))
        return mask

    def of_colors(self, pixels: np.ndarray, what: str = "the mask") -> Tensor:
        """Colours uint8 [H, W, 3] as classes int64 [H, W]; LayoutError for a colour that none of them has."""
        code = lambda rgb: rgb[..., 0].astype(np.int64) * 65536 + rgb[..., 1].astype(np.int64) * 256 + rgb[..., 2]
        known, seen = code(self.palette), code(pixels)
        order = known.argsort()
        place = np.minimum(np.searchsorted(known[order], seen), len(known) - 1)
        wrong = known[order][place] != seen
        if wrong.any():
            color = tuple(int(v) for v in pixels[wrong][0])
            nearest = np.abs(self.palette.astype(int) - color).sum(1).argmin()
            name = "unknown" if nearest == 0 else self.names[nearest - 1]
            raise LayoutError(f"{what} has {int(wrong.sum())} pixels in colours outside the palette, such as {color}; "
                              f"nearest is {name}, {tuple(self.palette[nearest].tolist())}. Save as PNG, without "
                              "smoothed edges")
        return torch.from_numpy(order[place])


def default_color(i: int) -> Color:
    """The colour of class number i (from 0): ours, then made ones that repeat nowhere."""
    if i < len(COLORS):
        return COLORS[i]
    return (37 * i % 200 + 20, 91 * i % 200 + 20, i)


def one_hot(masks: Tensor, count: int) -> Tensor:
    """Label maps [N, R, R] as floats [N, count, R, R]: a channel a class, and nothing where nothing is said."""
    return functional.one_hot(masks.long(), count + 1)[..., 1:].permute(0, 3, 1, 2).float()


@checked
def coverage(masks: Masks, resolution: Count, count: Count) -> Tensor:
    """Which share of each larger pixel each class covers, [N, count, resolution, resolution]; sums to at most 1."""
    if masks.shape[1] != masks.shape[2] or masks.shape[1] % resolution:
        raise LayoutError(f"masks of {masks.shape[1]} x {masks.shape[2]} cannot be reduced to resolution {resolution}: "
                          "give squares a whole number of times as large")
    return functional.avg_pool2d(one_hot(masks, count), masks.shape[1] // resolution)


@checked
def reduced(masks: Masks, resolution: Count, count: Count) -> Tensor:
    """Label maps [N, R, R] in fewer pixels [N, resolution, resolution], in which every class survives.

    A pixel goes to the class that covers most of it, and says nothing only where nothing is said: a stroke of one pixel
    stays a stroke. A class that would be left without a pixel gets the one that it covers most. (Picking each n-th
    pixel, as published code does, loses strokes and whole classes.)
    """
    share = coverage(masks, resolution, count)
    most, chosen = share.max(1)
    chosen = torch.where(most > 0, chosen + 1, 0)                                       # [N, r, r]
    present = share.amax((2, 3)) > 0                                                    # [N, count]
    for n, c in (present & (one_hot(chosen, count).amax((2, 3)) == 0)).nonzero().tolist():
        chosen[n].view(-1)[share[n, c].argmax()] = c + 1
    return chosen
