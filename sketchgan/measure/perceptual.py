"""Perceptual distance: how different two pictures are to a network that sees, rather than pixel by pixel.

    d(a, b) = sum over levels of  mean over positions of  | a_hat - b_hat |^2

with a_hat the features of one level, scaled to length 1 over the channels at each position. It is LPIPS (Zhang et al.,
CVPR 2018, equation 1) with all weights 1 and with features of ours instead of VGG's: its numbers have a meaning only
beside others of the same network. It lets gradients through.
"""

from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional

from ..files.checks import Able, Images, checked
from .extractors import name_of


@checked
def perceptual_distance(network: Annotated[object, Able(names=("levels",))], a: Images, b: Images) -> Tensor:
    """The distance of each pair of images a, b [N, 3, H, W] in [-1, 1]: [N], at least 0; see the first lines.

    network: `nets.Features`, a `Judge`, or anything whose `levels(images)` gives feature maps [N, C_i, H_i, W_i].
    """
    if a.shape != b.shape:
        raise ValueError(f"perceptual_distance compares a and b in pairs; got {tuple(a.shape)} and {tuple(b.shape)}.")
    total = a.new_zeros(len(a))
    for x, y in zip(network.levels(a), network.levels(b)):
        x, y = (functional.normalize(level, dim=1, eps=1e-10) for level in (x, y))
        total = total + (x - y).square().sum(1).mean((1, 2))
    return total


class Levels:
    """The eyes of a network under one name: `levels(images)` -> feature maps [N, C_i, H_i, W_i], fine to coarse.

    network: an `ImageNetFeatures` (extra `train`), `nets.Features`, a `Judge`; or a Discriminator, which sees what its
    own generator paints, is always at hand, and needs no package: its residual blocks are the levels. name: what stands
    in every result.
    """

    @checked
    def __init__(self, network: nn.Module):
        if not any(hasattr(network, word) for word in ("levels", "features", "convs")):
            raise ValueError(f"network is a {type(network).__name__}, which has neither levels, features nor convs; "
                             "give a discriminator, load_imagenet(), a Judge or Features")
        self.network, self.name = network, f"levels of {name_of(network)}"

    def levels(self, images: Tensor) -> list[Tensor]:
        """Feature maps of images [N, 3, H, W] in [-1, 1]."""
        if hasattr(self.network, "levels"):
            return self.network.levels(images)
        if not hasattr(self.network, "convs"):
            return self.network.features(images)
        x, found = images, []
        for i, block in enumerate(self.network.convs):
            x = block(x)
            found += [x] if i else []       # the first only makes channels of colours: pixels again
        return found
