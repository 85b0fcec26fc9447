"""Convolutions that change the resolution by two, with the low-pass filter that keeps them free of aliases.

Folding the filter into the weight (one 6x6 kernel, or four 3x3 ones and a pixel shuffle) has four times the
multiplications and measured 2 to 8 times slower on a CPU; two 1-D filters measured the same as one depthwise 4x4.
"""
import torch.nn.functional as F
from torch import Tensor

from ..files.checks import explained
from .conv2d import conv2d
from .upfirdn2d import choose_impl, upfirdn2d


@explained
def conv2d_up(x: Tensor, weight: Tensor, kernel: Tensor, impl: str = "auto") -> Tensor:
    """Transposed convolution with stride 2, then a FIR filter: the upsampling convolution of StyleGAN2's generator.

    Args:
        x: `[N, I, H, W]`.
        weight: `[O, I, 3, 3]`.
        kernel: `[4, 4]` FIR kernel of sum 4.
    Returns:
        `[N, O, 2H, 2W]`.
    """
    impl = choose_impl(impl)
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [N, O, 2H+1, 2W+1]
    return upfirdn2d(y, kernel, pad=(1, 1), impl=impl)


@explained
def conv2d_down(x: Tensor, weight: Tensor, kernel: Tensor, bias: Tensor | None = None, impl: str = "auto") -> Tensor:
    """A FIR filter, then a convolution with stride 2: the downsampling convolution of StyleGAN2's discriminator.

    Args:
        x: `[N, I, H, W]`, H and W even.
        weight: `[O, I, k, k]`, k = 1 or 3.
        kernel: `[4, 4]` FIR kernel of sum 1.
        bias: `[O]` or None.
    Returns:
        `[N, O, H/2, W/2]`.
    """
    k = weight.shape[-1]
    pad = (1 + k // 2, 1 + k // 2)
    impl = choose_impl(impl)
    if impl == "ref":
        return F.conv2d(upfirdn2d(x, kernel, pad=pad, impl="ref"), weight, bias, stride=2)
    if k == 1:  # a 1x1 convolution looks only at every second pixel, so only those are filtered
        return conv2d(upfirdn2d(x, kernel, down=2, pad=pad, impl=impl), weight, bias, impl=impl)
    return conv2d(upfirdn2d(x, kernel, pad=pad, impl=impl), weight, bias, stride=2, impl=impl)
