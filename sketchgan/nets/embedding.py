"""A sketch embedding: two small networks that send a photograph and its drawing to the same place, for retrieval.

It learns by contrast, as CLIP does (Radford et al. 2021, section 2.3), in pretraining/embedding.py.
"""
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..files.checks import Count, Widths, checked, explained

CELLS = 4  # the last features are averaged to CELLS x CELLS, so any resolution from 32 px will do


class Tower(nn.Module):
    """Plain convolutions (no shortcuts: the judge has those), each level half the size: [N, C, H, W] -> [N, dim] of
    length 1."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], dim: int):
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip((in_channels, *widths[:-1]), widths):
            layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        # where things are is what a pose is, so cells stay apart
        self.embed = nn.Linear(widths[-1] * CELLS * CELLS, dim)

    def forward(self, x: Tensor) -> Tensor:
        cells = functional.adaptive_avg_pool2d(self.layers(x), CELLS)
        return functional.normalize(self.embed(cells.flatten(1)), dim=1)


class SketchEmbedding(nn.Module):
    """Two towers and the sharpness of their comparison.

    widths: channels at strides 2, 4, 8, ...; dim: length of an embedding.
    """

    @checked
    def __init__(self, widths: Widths = (24, 48, 72, 96), dim: Count = 64):
        super().__init__()
        self.config = dict(widths=tuple(widths), dim=dim)
        self.photo, self.sketch = Tower(3, tuple(widths), dim), Tower(1, tuple(widths), dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))  # 1 / temperature; learned, as in CLIP

    def photos(self, images: Tensor) -> Tensor:
        """Embeddings [N, dim] of length 1, of images [N, 3, H, W] in [-1, 1]."""
        return self.photo(self._checked(images, 3))

    def sketches(self, sketches: Tensor) -> Tensor:
        """Embeddings [N, dim] of length 1, of sketches [N, 1, H, W], paper +1, ink -1."""
        return self.sketch(self._checked(sketches, 1))

    @explained
    def _checked(self, x: Tensor, channels: int) -> Tensor:
        least = CELLS << len(self.config["widths"])
        if x.ndim != 4 or x.shape[1] != channels or min(x.shape[2:]) < least:
            raise ValueError(f"SketchEmbedding wants [N, {channels}, H, W] in [-1, 1] of at least {least} px; got "
                             f"{tuple(x.shape)}. Resize first, and keep photos() and sketches() apart.")
        return x
