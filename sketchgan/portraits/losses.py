"""What a portrait should be: losses of DualStyleGAN's training as pure functions, and the frozen critic that sees.

The published losses see through VGG and through a network that recognises faces. Here anything that gives maps of
features will do: the base's own discriminator, frozen, knows every class that its generator paints.
"""
import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..files.checks import explained
from ..nets.stylegan2 import Discriminator
from .network import DualStyleGAN, ModRes

Levels = Sequence[Tensor]       # maps of features [N, C_i, H_i, W_i], from fine to coarse


class CriticFeatures(nn.Module):
    """A discriminator, copied and frozen, as a network that sees: its maps after each residual block, each of spread 1.

    D: of the base. The spread is measured on `images`, about 64 samples of the base [N, 3, R, R].
    """

    def __init__(self, D: Discriminator, images: Tensor):
        super().__init__()
        self.convs = copy.deepcopy(D.convs).requires_grad_(False)
        self.spread = [1.0] * (len(self.convs) - 1)
        with torch.no_grad():
            self.spread = [float(level.std()) for level in self.levels(images)]

    def levels(self, images: Tensor) -> list[Tensor]:
        """Maps `[N, C_i, R / 2^i, R / 2^i]`, i = 1, 2, ..., of images `[N, 3, R, R]` in [-1, 1]."""
        x, found = self.convs[0](images.contiguous(memory_format=torch.channels_last)), []
        for block, spread in zip(self.convs[1:], self.spread):
            x = block(x)
            found.append(x / spread)
        return found

    features = levels

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.levels(images)


def maps(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The feature maps of a network that sees: of its `levels` if it has them, else of its `features`."""
    return (network.levels if hasattr(network, "levels") else network.features)(images)


@explained
def perceptual(a: Levels, b: Levels) -> Tensor:
    """L_perc of paired pictures: `sum over levels of E|a - b|` (Johnson et al. 2016, with absolute differences).

    Args:
        a, b: maps of features of the portraits and of what they should be, level by level of the same shapes.
    """
    return torch.stack([(x - y).abs().mean() for x, y in zip(a, b, strict=True)]).sum()


@explained
def contextual(x: Tensor, y: Tensor, bandwidth: float = 0.2) -> Tensor:
    """L_CX of pictures that lie nowhere alike: each feature of y should find a partner in x that is like no other's.

    With d_ij the cosine distance of feature i of x and j of y, both less the mean of y,
    `w_ij = exp((1 - d_ij / min_k d_ik) / bandwidth)`, `CX = mean_j max_i w_ij / sum_k w_ik`, and the loss is `-log CX`
    (Mechrez et al. 2018, equations 2 to 5).

    Args:
        x, y: `[N, C, H, W]` of portraits and of their style examples; the sizes may differ.
        bandwidth: the published 0.2.
    Returns:
        a scalar of at least 0, the mean over the N pairs.
    """
    mean = y.mean((0, 2, 3), keepdim=True)
    x, y = (functional.normalize((v - mean).flatten(2), dim=1, eps=1e-6) for v in (x, y))       # [N,C,P]
    distance = (1 - x.transpose(1, 2) @ y).clamp_min(0)                                         # [N,P of x,P of y]
    relative = distance / (distance.amin(2, keepdim=True) + 1e-5)
    affinity = ((1 - relative) / bandwidth).softmax(2)
    return -affinity.amax(1).mean(1).clamp_min(1e-6).log().mean()


@explained
def feature_matching(a: Levels, b: Levels) -> Tensor:
    """L_FM: squared differences of the channels' means over the picture, summed over levels (Huang and Belongie 2017,
    eq. 13, without the spreads)."""
    return torch.stack([(x.mean((2, 3)) - y.mean((2, 3))).square().mean() for x, y in zip(a, b, strict=True)]).sum()


@explained
def content(a: Tensor, b: Tensor) -> Tensor:
    """L_con: `E[1 - cos(a, b)]` of deep features, each channel brought to mean 0 and spread 1 over the picture.

    It takes the place of the published identity loss. A channel's mean and spread are what a style changes (Huang and
    Belongie 2017); where the channel answers is what the picture shows.

    Args:
        a, b: `[N, C, H, W]` of the portraits and of g's own pictures.
    """
    a, b = functional.instance_norm(a), functional.instance_norm(b)
    return (1 - functional.cosine_similarity(a.flatten(1), b.flatten(1))).mean()


def extrinsic_penalty(network: DualStyleGAN) -> Tensor:
    """L_reg: `sum of ||W||_2` over the convolutions of the ModRes, whose zero is g.

    The published code also draws T_c and the gains of AdaIN towards 0, where neither is nothing; here they are free.
    """
    return torch.stack([conv[0].weight.square().sum().add(1e-12).sqrt() * conv[0].scale for block in network.res
                        if isinstance(block, ModRes) for conv in (block.conv, block.conv2)]).sum()


def spread_of(levels: Levels) -> Tensor:
    """How different pictures of a set are: the mean absolute difference of their features, over all pairs; a scalar."""
    n = len(levels[0])
    pairs = [(x[:, None] - x[None]).abs().flatten(2).mean(2).sum() / max(1, n * (n - 1)) for x in levels]
    return torch.stack(pairs).mean()
