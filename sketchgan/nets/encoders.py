"""Networks that turn pictures into numbers: latents of a generator (encoder), places among drawings (embedding).

The **encoder** is one network for all who ask which latents would paint this: the sketch encoder (one channel of ink
distances, one row), the photo encoder (three channels, a row a layer), the mask encoder (a channel a class, a row a
layer). Like pSp (Richardson et al. 2021, section 3) it answers with an offset to the mean latent and reads coarse rows
from coarse maps; unlike pSp it is a plain residual pyramid of a few million parameters, which two cores train in
minutes.

The **sketch embedding** is two small networks that send a photograph and its drawing to the same place, for retrieval.
It learns by contrast, as CLIP does (Radford et al. 2021, section 2.3), in pretraining/embedding.py.
"""
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..files.checks import Count, Widths, checked, explained
from .judge import Residual

COARSE, MEDIUM = 3, 7   # rows below these belong to pose, to shape; the rest to colour (pSp's borders at any size)


class Encoder(nn.Module):
    """Pictures -> `w_avg + delta`.

    in_channels: 3 for pictures, 1 for sketches, the number of classes for layouts. resolution: of its input, a power
    of two from 16 on. num_rows: G.num_ws, or 1 for one w. width: channels of the first maps; doubled at each halving up
    to eight times that. The buffer `w_avg`, [w_dim], is the generator's; set it before training.
    """

    @checked
    def __init__(self, in_channels: Count, resolution: Count, num_rows: Count, w_dim: Count, width: Count = 32):
        super().__init__()
        self.config = dict(in_channels=in_channels, resolution=resolution, num_rows=num_rows, w_dim=w_dim, width=width)
        halvings = int(math.log2(resolution)) - 2                       # down to 4x4
        if 2 ** (halvings + 2) != resolution or halvings < 2:
            raise ValueError(f"an encoder reads pictures of 16, 32, 64, ... pixels; resolution is {resolution}: "
                             "resize them")
        channels = [width * min(2 ** i, 8) for i in range(halvings + 1)]
        self.stem = nn.Conv2d(in_channels, channels[0], 3, 1, 1, bias=False)
        self.blocks = nn.ModuleList(Residual(a, b, 2) for a, b in zip(channels, channels[1:]))
        # Each group of rows reads the map of its size, 4, 8 or 16 pixels a side, pooled to 4x4.
        rows = [range(0, min(COARSE, num_rows)), range(COARSE, min(MEDIUM, num_rows)), range(MEDIUM, num_rows)]
        self.rows = [len(group) for group in rows if len(group)]
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(16 * channels[-1 - i], 8 * width), nn.SiLU(), nn.Linear(8 * width, n * w_dim))
            for i, n in enumerate(self.rows))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels[-1 - i]) for i in range(len(self.rows)))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, in_channels, resolution, resolution] in [-1, 1] or one-hot -> ws [N, num_rows, w_dim]."""
        wanted = (self.config["in_channels"], *[self.config["resolution"]] * 2)
        if x.ndim != 4 or tuple(x.shape[1:]) != wanted:
            raise ValueError(f"this encoder reads [N, {', '.join(map(str, wanted))}], not {list(x.shape)}: "
                             "resize the pictures or use the encoder of the other size")
        x, maps = self.stem(x), []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        answers = []
        for i, (norm, head, n) in enumerate(zip(self.norms, self.heads, self.rows)):
            seen = functional.adaptive_avg_pool2d(functional.silu(norm(maps[-1 - i])), 4).flatten(1)  # [N, 16 C]
            answers.append(head(seen).unflatten(1, (n, -1)))                                          # [N, n, w_dim]
        return self.w_avg + torch.cat(answers, 1)


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
