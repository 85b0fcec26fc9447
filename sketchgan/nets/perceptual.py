"""Perceptual distance: how different two pictures are to a network that sees, rather than pixel by pixel.

    d(a, b) = sum over levels of  mean over positions of  | a_hat - b_hat |^2

with a_hat the features of one level, scaled to length 1 over the channels at each position. It is LPIPS (Zhang et al.,
CVPR 2018, equation 1) with all weights 1 and with features of ours instead of VGG's: its numbers have a meaning only
beside others of the same network. It lets gradients through.
"""

from torch import Tensor, nn
from torch.nn import functional

from .features import Features
from .judge import Judge


def levels_of(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Feature maps [N, C_i, H_i, W_i] of images [N, 3, H, W] in [-1, 1], from fine to coarse.

    network: `encoder.Features`, a `Judge`, or anything whose method `levels` gives such a list.
    """
    if isinstance(network, Features):
        return network.features(images)
    if isinstance(network, Judge):
        x, levels = network.stem(images), []
        for block in network.blocks:
            x = block(x)
            levels.append(x)
        return levels
    if hasattr(network, "levels"):
        return network.levels(images)
    raise ValueError(f"{type(network).__name__} has no levels to compare pictures by. Give encoder.Features, a Judge, or "
                     "a network with a method levels(images) -> list of feature maps.")


def perceptual_distance(network: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """The distance of each pair of images a, b [N, 3, H, W] in [-1, 1]: [N], at least 0; see the module's first
    lines."""
    if a.shape != b.shape:
        raise ValueError(f"perceptual_distance compares pictures in pairs; got {tuple(a.shape)} and {tuple(b.shape)}.")
    total = a.new_zeros(len(a))
    for x, y in zip(levels_of(network, a), levels_of(network, b)):
        x, y = (functional.normalize(level, dim=1, eps=1e-10) for level in (x, y))
        total = total + (x - y).square().sum(1).mean((1, 2))
    return total
