"""Add a bias, apply leaky ReLU, restore the variance."""
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..files.checks import explained
from . import native
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
    impl = choose_impl(impl)
    if impl == "native" or impl == "auto" and native.taken("bias_act", x, x.shape[1]):
        native.library()
        return _Native.apply(x, bias.to(x.dtype), gain)
    x = x + bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
    if impl == "ref":
        return F.leaky_relu(x, SLOPE) * gain
    x = F.leaky_relu(x, SLOPE, inplace=True)  # x is ours since the sum
    return x if gain == 1 else x * gain


class _Native(torch.autograd.Function):
    """The compiled operator: one pass, and of what went in nothing is kept but the sign of what came out."""

    @staticmethod
    def forward(ctx, x, bias, gain):
        y = torch.ops.sketchgan.bias_act(x, bias, gain, SLOPE)
        ctx.save_for_backward(y)
        ctx.gain = gain
        return y

    @staticmethod
    def backward(ctx, g):
        y, = ctx.saved_tensors
        gx = _NativeBackward.apply(g, y, ctx.gain)
        return gx, gx.sum([d for d in range(gx.ndim) if d != 1]) if ctx.needs_input_grad[1] else None, None


class _NativeBackward(torch.autograd.Function):
    """Linear in the gradient, so its own derivative; the slopes do not change where the output is not zero."""

    @staticmethod
    def forward(ctx, g, y, gain):
        ctx.save_for_backward(y)
        ctx.gain = gain
        return torch.ops.sketchgan.bias_act_backward(g, y, gain, SLOPE)

    @staticmethod
    def backward(ctx, v):
        y, = ctx.saved_tensors
        return _NativeBackward.apply(v, y, ctx.gain), None, None
