"""An ordinary convolution whose derivatives are made in the layout, and by the algorithm, that is fastest for each.

Channels last is the fastest layout for what flows through the networks, but PyTorch's gradient of the *weight* is slow
in it on a CPU: of wide layers a half to a seventh of the other layout's speed, where it was measured.  So the weight's
gradient is made in the other.  With `impl='native'`, 3x3 convolutions of stride 1 are Winograd's (csrc/conv3x3.cpp):
four times fewer products, the same numbers to four or five digits.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

from ..files.checks import explained
from . import native
from .upfirdn2d import choose_impl

WIDE = 192          # channels from which the weight's gradient is worth two copies into the other layout
SMALLEST = 1024     # pixels of a batch of maps below which turning the weight into tiles takes longer than it saves


@explained
def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0,
           impl: str = "auto") -> Tensor:
    """`torch.nn.functional.conv2d`, twice differentiable.

    Args:
        x: `[N, I, H, W]`.
        weight: `[O, I, k, k]`.
        bias: `[O]` or None.
        stride, padding: the same on both axes.
    Returns:
        `[N, O, (H + 2 padding - k) // stride + 1, ...]`.
    Raises:
        NativeError: 'native' without a compiler.
    """
    impl, (out, in_) = choose_impl(impl), weight.shape[:2]
    if impl == "ref" or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return F.conv2d(x, weight, bias, stride, padding)
    fits = suits_winograd(x, weight, stride, padding)
    tiled = fits and (impl == "native" or impl == "auto" and len(x) * x.shape[2] * x.shape[3] >= SMALLEST
                      and native.taken("conv3x3", x, min(in_, out)))
    if tiled:
        native.library()
    elif min(in_, out) < WIDE or not weight.requires_grad:
        return F.conv2d(x, weight, bias, stride, padding)
    y = _Conv.apply(x, weight, stride, padding, tiled)
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def suits_winograd(x: Tensor, weight: Tensor, stride: int, padding: int) -> bool:
    """Whether the native 3x3 convolution can take these."""
    out, in_, *k = weight.shape
    return (k == [3, 3] and stride == 1 and padding <= 2 and out % 8 == in_ % 8 == 0 and x.dtype == weight.dtype
            and x.dtype in (torch.float32, torch.float64))


# A convolution is linear in both arguments, so that the derivatives of these three are again these three: y of (x, w),
# the gradient of x of (g, w), and the gradient of w of (x, g). R1 differentiates twice, and stays among them.

class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, stride, padding, tiled):
        ctx.save_for_backward(x, w)
        ctx.how = stride, padding, tiled
        return torch.ops.sketchgan.conv3x3(x, w, padding, False) if tiled else F.conv2d(x, w, None, stride, padding)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return (_ConvInput.apply(g, w, x.shape, *ctx.how) if ctx.needs_input_grad[0] else None,
                _ConvWeight.apply(x, g, w.shape, *ctx.how) if ctx.needs_input_grad[1] else None, None, None, None)


class _ConvInput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, g, w, shape, stride, padding, tiled):
        ctx.save_for_backward(g, w)
        ctx.how = stride, padding, tiled
        if tiled:
            return torch.ops.sketchgan.conv3x3(g, w, 2 - padding, True)
        x = torch.empty(shape, dtype=g.dtype, device=g.device, memory_format=torch.channels_last)   # for its shape
        return _gradients(g, x, w, stride, padding, (True, False))[0]

    @staticmethod
    def backward(ctx, x):
        g, w = ctx.saved_tensors
        return (_Conv.apply(x, w, *ctx.how) if ctx.needs_input_grad[0] else None,
                _ConvWeight.apply(x, g, w.shape, *ctx.how) if ctx.needs_input_grad[1] else None,
                None, None, None, None)


class _ConvWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, g, shape, stride, padding, tiled):
        ctx.save_for_backward(x, g)
        ctx.how = stride, padding, tiled
        if tiled:
            return torch.ops.sketchgan.conv3x3_weight(x, g, padding)
        w = torch.empty(shape, dtype=g.dtype, device=g.device)
        return _gradients(g.contiguous(), x.contiguous(), w, stride, padding, (False, True))[1]

    @staticmethod
    def backward(ctx, w):
        x, g = ctx.saved_tensors
        return (_ConvInput.apply(g, w, x.shape, *ctx.how) if ctx.needs_input_grad[0] else None,
                _Conv.apply(x, w, *ctx.how) if ctx.needs_input_grad[1] else None, None, None, None, None)


def _gradients(g: Tensor, x: Tensor, w: Tensor, stride: int, padding: int, wanted: tuple[bool, bool]):
    """PyTorch's own gradients of a convolution, of x, of w."""
    return torch.ops.aten.convolution_backward(g, x, w, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1,
                                               [*wanted, False])
