"""DualStyleGAN's network: a frozen generator g, and beside it a second path for the style of an example.

    G(w, w_e, weights) = g(w) where all weights are 0, bit for bit

*Pastiche Master: Exemplar-Based High-Resolution Portrait Style Transfer* (Yang et al., CVPR 2022, section 3.2). The
intrinsic code w says what is in the picture, the extrinsic code w_e whose style it has. Both have a row a layer. Rows
below the *border* are structure: behind each coarse convolution stands a modulative residual block (ModRes). The others
are colour: there the two codes are blended before g's own affine layers see them. Only the extrinsic path learns.

Keys are those of the published `generator.pt`: `generator.*` is g, `style.*` is T_s, `res.*` holds a ModRes for each
row of structure and a T_c for each row of colour.
"""
import copy
import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..files.checks import Limits, checked, explained
from ..nets.stylegan2 import Generator
from ..ops.layers import ConvLayer, EqualLinear, PixelNorm

LR_MUL = 0.01           # of T_s, as of a mapping network
NEARLY_NOTHING = 0.01   # of the weights of a ModRes at the start, and of the noise on T_c's identity
STRUCTURE_SIZE = 32     # structure ends at this many pixels, or at a quarter of the picture if that is less
Weights = float | list | tuple | Tensor


@checked
def border(resolution: Annotated[int, Limits(choices=tuple(2 ** i for i in range(3, 11)))]) -> int:
    """How many of the first rows of a latent are structure, at a resolution from 8 to 1024: the one place that says so.

    The published network of 1024 px has 7, the layers of 4 to 32 px. At 64 px, where 32 px is already the coat, it is
    those of 4 to 16 px: 5 of 10.
    """
    size = max(4, min(STRUCTURE_SIZE, resolution // 4))
    return 2 * int(math.log2(size)) - 3


def weight_rows(weights: Weights, num_ws: int) -> Tensor:
    """Fusion weights as a tensor `[1 or N, num_ws]`: of one number for all rows, of num_ws numbers, or as they are.

    Raises ValueError for another length, or numbers that are not finite.
    """
    rows = torch.as_tensor(weights, dtype=torch.float32)
    rows = rows.expand(1, num_ws) if rows.ndim == 0 else rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.shape[1] != num_ws or not rows.isfinite().all():
        raise ValueError(f"weights are {list(torch.as_tensor(weights).shape)}; wanted one number, or {num_ws} of them, "
                         f"one a row of the latent ({border(4 * 2 ** (num_ws // 2 - 1))} of structure first), all "
                         "finite")
    return rows


def fuse(intrinsic: Tensor, colour: Tensor, weights: Tensor, first: int) -> Tensor:
    """Rows of colour blended, `(1 - weight) w + weight T_c(w_e)`; rows of structure stay as they are (section 3.2).

    Args:
        intrinsic: `[N, num_ws, w_dim]`.
        colour: `[N, num_ws - first, w_dim]`, T_c of the extrinsic code.
        weights: `[1 or N, num_ws]`; a row of weight 0 stays bit for bit, one of weight 1 is replaced.
        first: the border, the first row of colour.
    """
    mixed = torch.lerp(intrinsic[:, first:], colour, weights[:, first:, None])
    return torch.cat([intrinsic[:, :first], mixed], 1)


class AdaIN(nn.Module):
    """Adaptive instance normalisation (Huang and Belongie 2017): `gamma(s) * (x - mean) / std + beta(s)`, channel by
    channel.

    At the start a style changes gamma around 1 and beta around 0.
    """

    def __init__(self, channels: int, w_dim: int):
        super().__init__()
        self.style = nn.Linear(w_dim, 2 * channels)
        with torch.no_grad():
            self.style.bias.copy_(torch.cat([torch.ones(channels), torch.zeros(channels)]))

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        gamma, beta = self.style(s)[:, :, None, None].chunk(2, 1)               # [N,C,1,1] twice
        return gamma * functional.instance_norm(x) + beta


class ModRes(nn.Module):
    """A modulative residual block: `x + weight * f(x, s)`, f twice AdaIN, 3x3 convolution and leaky ReLU.

    A residual changes shapes as fine-tuning a convolution does, and leaves g what it is where it is nothing; it begins
    as almost nothing.
    """

    def __init__(self, channels: int, w_dim: int):
        super().__init__()
        self.conv, self.conv2 = ConvLayer(channels, channels, 3), ConvLayer(channels, channels, 3)
        self.norm, self.norm2 = AdaIN(channels, w_dim), AdaIN(channels, w_dim)
        with torch.no_grad():
            for conv in (self.conv, self.conv2):
                conv[0].weight.mul_(NEARLY_NOTHING)

    def forward(self, x: Tensor, s: Tensor, weight: Tensor) -> Tensor:
        """x [N,C,H,W], s [N,w_dim], weight [1 or N]."""
        if not weight.any():
            return x
        change = self.conv2(self.norm2(self.conv(self.norm(x, s)), s))
        return x + weight[:, None, None, None] * change


def _identity(w_dim: int) -> EqualLinear:
    """T_c at its start: what comes in, and a trace of noise."""
    layer = EqualLinear(w_dim, w_dim)
    with torch.no_grad():
        layer.weight.mul_(NEARLY_NOTHING).add_(torch.eye(w_dim) * math.sqrt(w_dim))
    return layer


class DualStyleGAN(nn.Module):
    """See the first lines of this file.

    Args:
        generator: g; a copy of it is kept, frozen.
    Attributes:
        border: the first row of colour; style: T_s; res: ModRes for the rows before, T_c for those from it on.
    """

    @checked
    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = copy.deepcopy(generator).requires_grad_(False)
        self.resolution, self.num_ws = generator.resolution, generator.num_ws
        self.z_dim, self.w_dim = generator.z_dim, generator.w_dim
        self.border = border(generator.resolution)
        self.style = nn.Sequential(PixelNorm(), *(EqualLinear(self.w_dim, self.w_dim, lr_mul=LR_MUL, activation=True)
                                                  for _ in range(2)))
        sizes = [4] + [size for size in list(generator.channels)[1:] for _ in range(2)]     # of the convolutions
        blocks = [ModRes(generator.channels[size], self.w_dim) for size in sizes[:self.border]]
        self.res = nn.ModuleList(blocks + [_identity(self.w_dim) for _ in range(self.num_ws - self.border)])
        self.to(generator.input.input.device)

    def extrinsic(self) -> list[nn.Parameter]:
        """The parameters that learn, all but g's."""
        return [*self.style.parameters(), *self.res.parameters()]

    def mapping(self, z: Tensor, truncation_psi: float = 1) -> Tensor:
        """g's mapping: `[N, num_ws, w_dim]`, all rows of a picture alike, of `z [N, z_dim]`."""
        return self.generator.mapping(z, truncation_psi)

    @explained
    def rows(self, z: Tensor, truncation_psi: float = 1) -> Tensor:
        """A code of Z+, `z [N, num_ws, z_dim]`, as one of W+ `[N, num_ws, w_dim]`: g's mapping row by row."""
        if z.ndim != 3 or z.shape[1:] != (self.num_ws, self.z_dim):
            raise ValueError(f"z has shape {list(z.shape)}; a code of Z+ is [N, {self.num_ws}, {self.z_dim}]")
        return self.generator.mapping(z.flatten(0, 1), truncation_psi)[:, 0].unflatten(0, z.shape[:2])

    def colours(self, styles: Tensor) -> Tensor:
        """T_c of the rows of colour: `[N, num_ws - border, w_dim]` of extrinsic codes `[N, num_ws, w_dim]`."""
        return torch.stack([self.res[i](styles[:, i]) for i in range(self.border, self.num_ws)], 1)

    @explained
    def synthesis(self, ws: Tensor, styles: Tensor, weights: Weights = 1.0, noise_mode: str = "random",
                  generator: torch.Generator | None = None) -> Tensor:
        """Pictures `[N, 3, R, R]`, about [-1, 1], of what `ws` shows in the style of `styles`.

        Args:
            ws: intrinsic codes `[N, num_ws, w_dim]`, as g takes them.
            styles: extrinsic codes `[N or 1, num_ws, w_dim]`, of W+ too; of Z+, after `rows`.
            weights: how much of the style, row by row: one number, `num_ws` of them, or `[N, num_ws]`. 0 leaves g's.
            noise_mode, generator: as of `Generator.synthesis`; the same noise as without a style.
        Raises:
            ValueError: for codes of another network, or weights of another length.
        """
        G, wanted = self.generator, (self.num_ws, self.w_dim)
        for name, code in (("ws", ws), ("styles", styles)):
            if code.ndim != 3 or code.shape[1:] != wanted:
                raise ValueError(f"{name} has shape {list(code.shape)}; this network of {self.resolution} px wants "
                                 f"[N, {wanted[0]}, {wanted[1]}]: codes of another base do not fit")
        rows = weight_rows(weights, self.num_ws).to(ws)
        if len(styles) not in (1, len(ws)) or len(rows) not in (1, len(ws)):
            raise ValueError(f"ws holds {len(ws)} pictures, styles {len(styles)} and weights {len(rows)} rows; wanted "
                             f"one of each for all pictures, or as many as pictures")
        styles = styles.expand(len(ws), -1, -1)
        s = self.style(styles[:, :self.border].flatten(0, 1)).unflatten(0, (len(ws), self.border))
        if rows[:, self.border:].any():
            ws = fuse(ws, self.colours(styles), rows, self.border)

        def restyled(i: int, x: Tensor) -> Tensor:
            return self.res[i](x, s[:, i], rows[:, i]) if i < self.border else x

        # From here on it is g's own synthesis, with a ModRes behind each coarse convolution.
        noises = G._noises(len(ws), noise_mode, generator)
        x = G.input(len(ws)).contiguous(memory_format=torch.channels_last)
        x = restyled(0, G.conv1(x, ws[:, 0], noises[0]))
        rgb = G.to_rgb1(x, ws[:, 1])
        for j, to_rgb in enumerate(G.to_rgbs):
            i = 2 * j + 1
            x = restyled(i, G.convs[i - 1](x, ws[:, i], noises[i]))
            x = restyled(i + 1, G.convs[i](x, ws[:, i + 1], noises[i + 1]))
            rgb = to_rgb(x, ws[:, i + 2], rgb)
        return rgb.contiguous()

    forward = synthesis
