"""Features: the network whose frozen features help to train a GAN on two cores.

A GAN's discriminator must first learn to see, which is most of its work. *Projected GANs Converge Faster*
(Sauer et al., NeurIPS 2021, section 3) puts small heads on the features of a network that sees already. Theirs was
trained on ImageNet; ours on the dense truth that the Menagerie gives away beside each picture: albedo, depth,
contour, parts and pose. Dense targets matter, because a network that learns pose alone is blind to colour.

It never measures anything: that is the judge's work (another architecture, other scenes; see judge.py).
"""

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..files.checks import Count, Filled, Whole, Widths, checked, explained

STRIDES = (2, 4, 8, 16)  # of the four tensors that Features.features returns
POOL = 4                 # pose is read from the deepest features averaged to POOL x POOL, so any resolution will do


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution with batch norm: when frozen it is a fixed affine map, so absolute colours survive it,
    which a norm over each image's own statistics would erase."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
                         nn.BatchNorm2d(out_channels), nn.LeakyReLU(0.2))


class Features(nn.Module):
    """A small U-Net (Ronneberger et al. 2015): an encoder worth keeping and a decoder that exists to train it.

    dense: output channels of each dense target, name -> count (teachers.py trains albedo, depth, contour, parts).
    pose: number of pose outputs.
    channels: widths at strides 1, 2, 4, 8 and 16.
    """

    @checked
    def __init__(self, dense: Annotated[dict[str, Count], Filled()], pose: Count,
                 channels: Widths = (24, 48, 72, 96, 120)):
        super().__init__()
        if len(channels) != 1 + len(STRIDES):
            raise ValueError(f"Features wants {1 + len(STRIDES)} channels, widths at strides 1, 2, 4, 8 and 16; "
                             f"got {tuple(channels)}. Give one width a stride, like (24, 48, 72, 96, 120).")
        self.config = dict(dense=dict(dense), pose=pose, channels=tuple(channels))
        self.channels = tuple(channels[1:])
        self.stem = _conv(3, channels[0])
        self.down = nn.ModuleList(nn.Sequential(_conv(a, b, stride=2), _conv(b, b))
                                  for a, b in zip(channels[:-1], channels[1:]))
        # The decoder is thrown away in the end: it has half the widths, and its last step to full resolution is a pixel
        # shuffle (Shi et al. 2016), a quarter of the work.
        narrow = [channels[-1], *(c // 2 for c in channels[-2:0:-1])]
        self.up = nn.ModuleList(_conv(a + skip, b) for a, skip, b in zip(narrow, channels[-2:0:-1], narrow[1:]))
        self.dense = nn.Conv2d(narrow[-1], 4 * sum(self.config["dense"].values()), 3, 1, 1)
        self.pose = nn.Linear(channels[-1] * POOL * POOL, pose)

    @explained
    def features(self, x: Tensor, levels: int = len(STRIDES)) -> list[Tensor]:
        """Encoder features of images [N, 3, H, W] in [-1, 1]; H and W multiples of 16.

        Returns the first `levels` of four tensors [N, self.channels[i], H / s, W / s] at the strides s = 2, 4, 8, 16.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % STRIDES[-1] or x.shape[3] % STRIDES[-1]:
            raise ValueError(f"Features wants RGB images [N, 3, H, W] with H and W multiples of {STRIDES[-1]}; "
                             f"got {tuple(x.shape)}. Resize them first.")
        x, out = self.stem(x), []
        for down in self.down[:levels]:
            x = down(x)
            out.append(x)
        return out

    levels = features  # what measure.perceptual asks of a network

    def forward(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Dense targets {name: [N, count, H, W]} (raw outputs; the loss decides what they mean) and pose [N, pose]."""
        *skips, deepest = self.features(x)
        pose = self.pose(functional.adaptive_avg_pool2d(deepest, POOL).flatten(1))
        y = deepest
        for up, skip in zip(self.up, reversed(skips)):
            y = up(torch.cat([functional.interpolate(y, scale_factor=2, mode="nearest"), skip], dim=1))
        y = functional.pixel_shuffle(self.dense(y), 2)
        dense = self.config["dense"]
        return dict(zip(dense, y.split(list(dense.values()), dim=1))), pose


class Mixing(nn.Module):
    """Fixed random mixing of features across channels and scales (Sauer et al. 2021, section 3.2): without it heads
    look at a few telling channels and miss the rest; with it each of them sees a little of everything.

    channels: widths of the levels, finest first. width: of the mixed levels; the second has twice, the others four
    times.
    """

    def __init__(self, channels: tuple[int, ...], width: int):
        super().__init__()
        self.channels = tuple(width * 2 ** min(i, 2) for i in range(len(channels)))
        pairs = zip(self.channels[1:], self.channels)
        self.across = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in zip(channels, self.channels))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairs)
        for conv in (*self.across, *self.down):
            nn.init.kaiming_normal_(conv.weight)
        self.requires_grad_(False)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Levels [N, channels[i], H_i, W_i] -> mixed levels of self.channels and the same sizes."""
        out = [across(x) for across, x in zip(self.across, levels)]
        for i in range(len(out) - 2, -1, -1):
            coarser = functional.interpolate(out[i + 1], size=out[i].shape[-2:], mode="bilinear", align_corners=False)
            out[i] = (out[i] + self.down[i](coarser)) * 0.5 ** 0.5
        return out


class FeatureHeads(nn.Module):
    """One small patch discriminator on each level of frozen features (Sauer et al. 2021, section 3.2), with spectral
    norm.

    channels: widths of the levels, finest first. mix: width of their `Mixing`; 0 does without. With it the levels are
    those of ImageNetFeatures, which begin at stride 4; without, those of Features, whose two finest are halved: speed.
    """

    @checked
    def __init__(self, channels: Widths, width: Count = 64, mix: Whole = 0):
        super().__init__()
        norm = nn.utils.parametrizations.spectral_norm
        self.mixing = Mixing(channels, mix) if mix else None

        def head(level: int, c: int) -> nn.Sequential:
            first = nn.Conv2d(c, width, 3, 2 if level < 2 and not mix else 1, 1)
            return nn.Sequential(norm(first), nn.LeakyReLU(0.2), norm(nn.Conv2d(width, width, 3, 1, 1)),
                                 nn.LeakyReLU(0.2), norm(nn.Conv2d(width, 1, 3, 1, 1)))

        self.heads = nn.ModuleList(head(i, c) for i, c in enumerate(self.mixing.channels if mix else channels))

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Patch logits [N, M_i], one tensor a level."""
        levels = self.mixing(levels) if self.mixing else levels
        return [head(x).flatten(1) for head, x in zip(self.heads, levels)]
