"""Upsample, filter with a FIR kernel, downsample: the one resampling operator of StyleGAN2."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from ..files.checks import Limits, checked, explained
from . import native

Factor = Annotated[int, Limits(least=1, most=64)]
IMPLS = ("auto", "ref", "fast", "native")
_meaning_of_auto = "auto"


def choose_impl(impl: str) -> str:
    """The implementation that `impl` stands for, now; 'auto' is what native.py measured here, or else 'fast'.  Raises
    ValueError for an unknown name."""
    if impl not in IMPLS:
        raise ValueError(f"impl={impl!r} is not known; choose one of {', '.join(IMPLS)}")
    return _meaning_of_auto if impl == "auto" else impl


@contextmanager
def implementation(impl: str) -> Iterator[None]:
    """Within it, `impl='auto'` means `impl`, for whole networks too: `with ops.implementation("ref"): G(z)`."""
    global _meaning_of_auto
    before, _meaning_of_auto = _meaning_of_auto, choose_impl(impl)
    try:
        yield
    finally:
        _meaning_of_auto = before


@checked
def fir_kernel(taps: tuple[float, ...] | list[float] = (1, 3, 3, 1), gain: float = 1) -> Tensor:
    """The separable 2-D kernel of 1-D `taps`, `[len, len]`, summing to `gain` (StyleGAN2: binomial 1 3 3 1)."""
    row = torch.tensor(taps, dtype=torch.float32)
    kernel = torch.outer(row, row)
    return kernel * (gain / kernel.sum())


@explained
def upfirdn2d(x: Tensor, kernel: Tensor, up: Factor = 1, down: Factor = 1, pad: tuple[int, int] = (0, 0),
              impl: str = "auto") -> Tensor:
    """Insert zeros, pad, convolve with `kernel`, keep every `down`-th pixel; the same on both axes.

    Args:
        x: `[N, C, H, W]`.
        kernel: `[kh, kw]` FIR kernel shared by all channels; convolution, so it is flipped against correlation.
        up, down: integer factors; `up` puts `up - 1` zeros after each pixel.
        pad: zeros (before, after) each axis, counted at the upsampled size; not negative.
    Returns:
        `[N, C, H', W']` with `H' = (H * up + sum(pad) - kh) // down + 1`.

    After Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B.
    """
    if up < 1 or down < 1 or min(pad) < 0:
        raise ValueError(f"upfirdn2d wants up, down >= 1 and pad >= 0, not up={up}, down={down}, pad={pad}")
    impl, kernel = choose_impl(impl), kernel.to(x.dtype)
    if impl == "ref":
        return _upfirdn2d_ref(x, kernel, up, down, pad)
    if impl == "native" or impl == "auto" and native.taken("upfirdn2d", x, x.shape[1]):
        native.library()
        size = [(length * up + sum(pad) - taps) // down + 1 for length, taps in zip(x.shape[2:], kernel.shape)]
        return _Native.apply(x, kernel, up, down, (pad[0], pad[0]), size)
    return _upfirdn2d_fast(x, kernel, up, down, pad)


def _upfirdn2d_ref(x: Tensor, kernel: Tensor, up: int, down: int, pad: tuple[int, int]) -> Tensor:
    n, c, h, w = x.shape
    x = x.reshape(n * c, 1, h, 1, w, 1)
    x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).reshape(n * c, 1, h * up, w * up)
    x = F.pad(x, (pad[0], pad[1], pad[0], pad[1]))
    x = F.conv2d(x, kernel.flip(0, 1)[None, None])[:, :, ::down, ::down]
    return x.reshape(n, c, *x.shape[2:])


def _upfirdn2d_fast(x: Tensor, kernel: Tensor, up: int, down: int, pad: tuple[int, int]) -> Tensor:
    # One depthwise convolution whose stride does the decimation; zeros are inserted only where up > 1.
    c = x.shape[1]
    if up > 1:
        return _upfirdn2d_ref(x, kernel, up, down, pad)
    if pad[0] != pad[1]:
        x, pad = F.pad(x, (pad[0], pad[1], pad[0], pad[1])), (0, 0)
    weight = kernel.flip(0, 1)[None, None].expand(c, 1, *kernel.shape)
    if down > 1 and torch.is_autocast_enabled("cpu") and x.device.type == "cpu":
        # The gradient of a strided depthwise convolution is five times slower in bfloat16 than in float32 on a CPU.
        with torch.autocast("cpu", enabled=False):
            return F.conv2d(x.float(), weight.float(), stride=down, padding=pad[0], groups=c).to(x.dtype)
    return F.conv2d(x, weight, stride=down, padding=pad[0], groups=c)


class _Native(torch.autograd.Function):
    """The compiled operator, linear, and its own adjoint: up and down exchanged, the kernel turned round."""

    @staticmethod
    def forward(ctx, x, kernel, up, down, before, size):
        ctx.save_for_backward(kernel)
        ctx.how = up, down, before, list(x.shape[2:])
        return torch.ops.sketchgan.upfirdn2d(x, kernel, up, down, *before, *size)

    @staticmethod
    def backward(ctx, g):
        (kernel,), (up, down, before, size) = ctx.saved_tensors, ctx.how
        turned = [taps - 1 - zeros for taps, zeros in zip(kernel.shape, before)]
        return _Native.apply(g, kernel.flip(0, 1), down, up, turned, size), None, None, None, None, None


@explained
def upsample2d(x: Tensor, kernel: Tensor, impl: str = "auto") -> Tensor:
    """Double the size of `x [N, C, H, W]` with a 4x4 `kernel` of sum 4: `[N, C, 2H, 2W]` (the skip of ToRGB)."""
    if choose_impl(impl) in ("ref", "native"):
        return upfirdn2d(x, kernel, up=2, pad=(2, 1), impl=impl)
    c = x.shape[1]
    return F.conv_transpose2d(x, kernel.to(x.dtype)[None, None].expand(c, 1, 4, 4), stride=2, padding=1, groups=c)
