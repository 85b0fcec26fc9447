"""StyleGAN2: the generator and the discriminator of Karras et al. 2020, at any size.

Every parameter has the key, and at the official sizes the shape, of the public PyTorch checkpoints, so official
weights load strictly; the same classes with a smaller channel table train on a laptop.
"""
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..files.checks import Count, Positive, check, checked, explained
from ..ops.layers import (
    ConstantInput,
    ConvLayer,
    EqualLinear,
    PixelNorm,
    ResBlock,
    StyledConv,
    ToRGB,
    WShift,
    minibatch_stddev,
)

OFFICIAL_CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
LR_MUL_MAPPING = 0.01  # the mapping network learns 100 times slower than the rest
W_AVG_SAMPLES = 8192
W_AVG_SEED = 0


def channel_table(resolution: int, channels: dict[int, int] | None = None) -> dict[int, int]:
    """Channels at every resolution from 4 to `resolution`, a power of two from 8 to 1024: `{4: c, 8: c, ...}`.

    channels: the table to use, or None for the official one; sizes above `resolution` are ignored.
    Raises ValueError for another resolution, or a table with a size missing.
    """
    if resolution not in OFFICIAL_CHANNELS or resolution < 8:
        raise ValueError(f"resolution {resolution} is not a power of two from 8 to 1024; resize the images to one")
    sizes = [2 ** i for i in range(2, int(math.log2(resolution)) + 1)]
    sized = {int(r) if str(r).isdigit() else r: c for r, c in (channels or OFFICIAL_CHANNELS).items()}
    table = check("channels", sized, dict[int, Count])
    missing = [r for r in sizes if r not in table]
    if missing:
        raise ValueError(f"channels is {table} and says nothing for {missing}; "
                         f"a {resolution} px network wants a positive number for each of {sizes}")
    return {r: table[r] for r in sizes}


class Generator(nn.Module):
    """StyleGAN2 generator with skip connections (Karras et al. 2020, figure 7b).

    Args:
        resolution: pixels on a side, a power of two from 8 to 1024.
        z_dim, w_dim: sizes of the input and of the intermediate latent.
        num_mapping: layers of the mapping network `style`.
        channels: `{4: c, 8: c, ...}`, or None for the official table.
        w_shift: append a learned constant shift to the mapping network (key `style.{num_mapping + 1}.w_shift`).
        conv_clamp: keep the activations of every layer within +- this (256 in NVIDIA's networks), or None.
    Attributes:
        num_ws: how many layers take a row of `ws`, `2 log2(resolution) - 2`.
        style: the mapping network.
        w_avg: mean of w `[w_dim]`, or None until it is known; read it with `mean_w()`.
    """

    @checked
    def __init__(self, resolution: int, z_dim: Count = 512, w_dim: Count = 512, num_mapping: Count = 8,
                 channels: dict | None = None, w_shift: bool = False, conv_clamp: Positive | None = None):
        super().__init__()
        self.channels, self.conv_clamp = channel_table(resolution, channels), conv_clamp
        self.resolution, self.z_dim, self.w_dim, self.num_mapping = resolution, z_dim, w_dim, num_mapping
        sizes = list(self.channels)
        self.num_ws = 2 * len(sizes)

        dims = [z_dim] + [w_dim] * num_mapping
        mapping = [EqualLinear(a, b, lr_mul=LR_MUL_MAPPING, activation=True) for a, b in zip(dims[:-1], dims[1:])]
        self.style = nn.Sequential(PixelNorm(), *mapping, *([WShift(w_dim)] if w_shift else []))

        c4 = self.channels[4]
        self.input = ConstantInput(c4)
        self.conv1 = StyledConv(c4, c4, w_dim, conv_clamp=conv_clamp)
        self.to_rgb1 = ToRGB(c4, w_dim, upsample=False, conv_clamp=conv_clamp)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for low, high in zip(sizes[:-1], sizes[1:]):
            c_low, c_high = self.channels[low], self.channels[high]
            self.convs += [StyledConv(c_low, c_high, w_dim, upsample=True, conv_clamp=conv_clamp),
                           StyledConv(c_high, c_high, w_dim, conv_clamp=conv_clamp)]
            self.to_rgbs.append(ToRGB(c_high, w_dim, conv_clamp=conv_clamp))

        self.noises = nn.Module()
        for i, size in enumerate([4] + [r for r in sizes[1:] for _ in range(2)]):
            self.noises.register_buffer(f"noise_{i}", torch.randn(1, 1, size, size))
        self.register_buffer("w_avg", None, persistent=False)
        self._w_avg_stamp = None

    @property
    def config(self) -> dict:
        """The arguments that build this generator again."""
        return dict(resolution=self.resolution, z_dim=self.z_dim, w_dim=self.w_dim, num_mapping=self.num_mapping,
                    channels=dict(self.channels), w_shift=isinstance(self.style[-1], WShift),
                    conv_clamp=self.conv_clamp)

    def forward(self, z: Tensor, truncation_psi: float = 1, noise_mode: str = "random",
                generator: torch.Generator | None = None) -> Tensor:
        """`synthesis(mapping(z))`: images `[N, 3, R, R]`, about [-1, 1], from `z [N, z_dim]`."""
        return self.synthesis(self.mapping(z, truncation_psi), noise_mode, generator)

    @explained
    def mapping(self, z: Tensor, truncation_psi: float = 1) -> Tensor:
        """Latents of every layer, `ws [N, num_ws, w_dim]`, of standard normal `z [N, z_dim]`.

        All rows of a picture are equal; style mixing is exchanging rows between two such tensors.
        truncation_psi: 1 leaves w alone; below 1 draws it towards `mean_w()` (less variety, fewer failures).
        """
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z has shape {list(z.shape)}, this generator wants [N, {self.z_dim}]; "
                             f"draw it with torch.randn(N, G.z_dim)")
        with torch.autocast(z.device.type, enabled=False):  # eight layers of rounding would show
            w = self.style(z.to(self.input.input.dtype))  # [N, w_dim]
        if truncation_psi != 1:
            w = self.mean_w().lerp(w, truncation_psi)
        return w[:, None].expand(-1, self.num_ws, -1)

    def mean_w(self) -> Tensor:
        """The mean of w `[w_dim]`: the file's, or that of 8,192 seeded z, for the mapping network as it is now.

        A mean that was known before the mapping network changed (training, loading) is measured again.
        """
        stale = self._w_avg_stamp is not None and not math.isclose(self._w_avg_stamp, self._stamp(), rel_tol=1e-9)
        if self.w_avg is None or stale:
            self.set_w_avg(self._measured_w())
        return self.w_avg

    @torch.no_grad()
    def _measured_w(self) -> Tensor:
        z = torch.randn(W_AVG_SAMPLES, self.z_dim, generator=torch.Generator().manual_seed(W_AVG_SEED))
        return self.style(z.to(self.input.input.device)).mean(0)

    def w_avg_is_measured(self) -> bool:
        """Whether `mean_w()` is what measuring gives, so that a file without it gives it back (to rounding)."""
        return torch.allclose(self.mean_w(), self._measured_w(), rtol=1e-4, atol=1e-5)

    def set_w_avg(self, w_avg: Tensor | None) -> None:
        """Take `w_avg [w_dim]` as the mean of w of the mapping network as it is now; None forgets it."""
        if w_avg is not None and tuple(w_avg.shape) != (self.w_dim,):
            raise ValueError(f"w_avg has shape {list(w_avg.shape)}, this generator wants [{self.w_dim}]")
        self.w_avg = None if w_avg is None else w_avg.detach().clone().to(self.input.input)
        self._w_avg_stamp = None if w_avg is None else self._stamp()

    def _stamp(self) -> float:
        # A number that any change of the mapping network changes: it dates w_avg through training, EMA and copies.
        return sum(p.detach().double().sum().item() for p in self.style.parameters())

    @explained
    def synthesis(self, ws: Tensor, noise_mode: str = "random", generator: torch.Generator | None = None) -> Tensor:
        """Images `[N, 3, R, R]` of latents `ws [N, num_ws, w_dim]`, about [-1, 1], not clamped.

        noise_mode: 'random' draws fresh noise, 'const' takes the checkpoint's buffers, 'none' adds none.
        generator: source of random noise; the same state gives the same noise, before and after training.
        """
        for _, rgb in self.blocks(ws, noise_mode, generator):
            pass
        return rgb.contiguous()

    @explained
    def features(self, ws: Tensor, resolutions: tuple[Count, ...] | list[Count], noise_mode: str = "const",
                 generator: torch.Generator | None = None) -> dict[int, Tensor]:
        """What the network holds on its way to the picture: `{r: [N, channels[r], r, r]}` after the second layer of
        each size asked for. Nothing above the largest is computed."""
        missing = [r for r in resolutions if r not in self.channels]
        if missing or not resolutions:
            raise ValueError(f"resolutions are {list(resolutions)}; this generator has features of "
                             f"{', '.join(map(str, self.channels))} px")
        found = {}
        for x, _ in self.blocks(ws, noise_mode, generator):
            found |= {x.shape[-1]: x} if x.shape[-1] in resolutions else {}
            if x.shape[-1] == max(resolutions):
                break
        return found

    def blocks(self, ws: Tensor, noise_mode: str = "random", generator: torch.Generator | None = None,
               ) -> Iterator[tuple[Tensor, Tensor]]:
        """`synthesis` size by size: features `[N, C, r, r]` and picture `[N, 3, r, r]` for r = 4, 8, ..., R."""
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws has shape {list(ws.shape)}, this generator wants [N, {self.num_ws}, {self.w_dim}]; "
                             f"G.mapping(z) makes it")
        noises = self._noises(len(ws), noise_mode, generator)
        # Channels last is the layout in which convolutions of small channel counts run fastest, on CPU above all.
        x = self.input(len(ws)).contiguous(memory_format=torch.channels_last)
        x = self.conv1(x, ws[:, 0], noises[0])
        rgb = self.to_rgb1(x, ws[:, 1])
        yield x, rgb
        for j, to_rgb in enumerate(self.to_rgbs):
            i = 2 * j + 1
            x = self.convs[i - 1](x, ws[:, i], noises[i])
            x = self.convs[i](x, ws[:, i + 1], noises[i + 1])
            rgb = to_rgb(x, ws[:, i + 2], rgb)
            yield x, rgb

    def _noises(self, n: int, noise_mode: str, generator: torch.Generator | None) -> list[Tensor | None]:
        buffers = list(self.noises.buffers())
        if noise_mode not in ("random", "const", "none"):
            raise ValueError(f"noise_mode={noise_mode!r} is not known; choose 'random', 'const' or 'none'")
        if noise_mode != "random":
            return buffers if noise_mode == "const" else [None] * len(buffers)
        drawn = lambda b: torch.randn(n, *b.shape[1:], dtype=b.dtype, generator=generator,
                                      device=b.device if generator is None else generator.device)
        return [drawn(b).to(b.device) for b in buffers]


class Discriminator(nn.Module):
    """StyleGAN2 discriminator with residual blocks (Karras et al. 2020, figure 7c).

    Args:
        resolution: pixels on a side, a power of two from 8 to 1024.
        channels: `{4: c, 8: c, ...}`, or None for the official table.
        conv_clamp: keep the activations of every layer within +- this (256 in NVIDIA's networks), or None.
        mbstd_group: samples over which the minibatch standard deviation is taken, at most; None takes the whole batch.
    """

    @checked
    def __init__(self, resolution: int, channels: dict | None = None, conv_clamp: Positive | None = None,
                 mbstd_group: Count | None = 4):
        super().__init__()
        self.resolution, self.channels = resolution, channel_table(resolution, channels)
        self.conv_clamp, self.mbstd_group = conv_clamp, mbstd_group
        sizes = sorted(self.channels, reverse=True)
        blocks = [ResBlock(self.channels[a], self.channels[b], conv_clamp) for a, b in zip(sizes[:-1], sizes[1:])]
        self.convs = nn.Sequential(ConvLayer(3, self.channels[resolution], 1, conv_clamp=conv_clamp), *blocks)
        c4 = self.channels[4]
        self.final_conv = ConvLayer(c4 + 1, c4, 3, conv_clamp=conv_clamp)
        self.final_linear = nn.Sequential(EqualLinear(c4 * 16, c4, activation=True), EqualLinear(c4, 1))

    @property
    def config(self) -> dict:
        """The arguments that build this discriminator again."""
        return dict(resolution=self.resolution, channels=dict(self.channels), conv_clamp=self.conv_clamp,
                    mbstd_group=self.mbstd_group)

    @explained
    def forward(self, img: Tensor) -> Tensor:
        """Logits `[N, 1]` of images `[N, 3, R, R]` in [-1, 1]; they depend on the batch by its standard deviation."""
        wanted = (3, self.resolution, self.resolution)
        if img.ndim != 4 or tuple(img.shape[1:]) != wanted:
            raise ValueError(f"the discriminator got {list(img.shape)} and wants [N, {', '.join(map(str, wanted))}]; "
                             f"resize the images, or repeat a sketch's one channel three times")
        x = self.convs(img.contiguous(memory_format=torch.channels_last))
        x = self.final_conv(minibatch_stddev(x, self.mbstd_group or len(x)))  # [N, C, 4, 4]
        return self.final_linear(x.flatten(1))
