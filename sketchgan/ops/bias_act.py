"""Add a bias, apply leaky ReLU, restore the variance."""
import math

import torch.nn.functional as F
from torch import Tensor

from ..files.checks import explained
from .upfirdn2d import choose_impl

SLOPE = 0.2
GAIN = math.sqrt(2)


@explained
def bias_act(x: Tensor, bias: Tensor, gain: float = GAIN, impl: str = "auto") -> Tensor:
    """`gain * leaky_relu(x + bias, 0.2)`.

    Args:
        x: `[N, C]` or `[N, C, H, W]`.
        bias: `[C]`.
        gain: positive; sqrt(2) undoes the loss of variance of the rectifier (He initialisation, as in StyleGAN2).
    Returns:
        the shape of `x`.
    """
    x = x + bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
    if choose_impl(impl) == "ref":
        return F.leaky_relu(x, SLOPE) * gain
    x = F.leaky_relu(x, SLOPE, inplace=True)  # x is ours since the sum
    return x if gain == 1 else x * gain
