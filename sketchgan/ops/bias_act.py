"""Add a bias, apply leaky ReLU, restore the variance."""
import math

import torch.nn.functional as F
from torch import Tensor

from .upfirdn2d import choose_impl

SLOPE = 0.2
GAIN = math.sqrt(2)


def bias_act(x: Tensor, bias: Tensor, impl: str = "auto") -> Tensor:
    """`sqrt(2) * leaky_relu(x + bias, 0.2)`.

    Args:
        x: `[N, C]` or `[N, C, H, W]`.
        bias: `[C]`.
    Returns:
        the shape of `x`.  sqrt(2) undoes the loss of variance of the rectifier (He initialisation; StyleGAN2).
    """
    bias = bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
    if choose_impl(impl) == "ref":
        return F.leaky_relu(x + bias, SLOPE) * GAIN
    # leaky ReLU is homogeneous, so the gain may as well be the slope of its two halves.
    x = x + bias
    return F.leaky_relu(x, SLOPE) * GAIN
