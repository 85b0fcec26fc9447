"""The modulated convolution of StyleGAN2: a convolution whose weight is scaled by each sample's style."""
import torch
import torch.nn.functional as F
from torch import Tensor

from ..files.checks import explained
from .conv2d import conv2d
from .resampled_conv import conv2d_up
from .upfirdn2d import choose_impl

EPS = 1e-8


@explained
def modulated_conv2d(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool = True,
                     up_kernel: Tensor | None = None, gain: float = 1, impl: str = "auto") -> Tensor:
    """Convolve every sample with its own weight `w'_oik = s_i w_oik`, rescaled to unit norm per output channel.

    Args:
        x: `[N, I, H, W]`.
        weight: `[O, I, k, k]`, k odd, already scaled by its learning-rate equalisation.
        styles: `[N, I]`.
        demodulate: divide by `sqrt(sum_ik w'^2 + 1e-8)`.
        up_kernel: `[4, 4]` FIR kernel of sum 4: double the resolution (see `conv2d_up`); None keeps it.
        gain: factor on the result; it costs nothing when demodulating.
    Returns:
        `[N, O, H, W]`, or `[N, O, 2H, 2W]` with `up_kernel`.

    Karras et al. 2020, section 2.2, equations 1 to 3.
    """
    impl = choose_impl(impl)
    if impl == "ref":
        return _modulated_conv2d_ref(x, weight, styles, demodulate, up_kernel) * gain
    if demodulate:
        scale = _demodulation(weight, styles) * gain  # [NO]
        if x.dtype == torch.float16:  # demodulation cancels the size of the styles, which half precision cannot hold
            size = styles.float().abs().amax(1, keepdim=True).clamp(min=EPS)
            styles, scale = styles / size, scale * size
    # Convolution is linear: scaling the weight's input channels is scaling the input, and dividing by the norm can
    # wait for the output.  So the whole batch shares one weight, and one ordinary convolution.
    x = x * styles[:, :, None, None].to(x.dtype)  # [NIHW]
    if up_kernel is None:
        y = conv2d(x, weight, padding=weight.shape[-1] // 2, impl=impl)
    else:
        y = conv2d_up(x, weight, up_kernel, impl=impl)
    if demodulate:
        return y * scale[:, :, None, None].to(y.dtype)
    return y if gain == 1 else y * gain


def _demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """`1 / sqrt(sum_ik (s_i w_oik)^2 + 1e-8)`, `[N, O]`; always in full precision, for the squares are small."""
    with torch.autocast(weight.device.type, enabled=False):
        s, w = (t.float() if t.dtype.itemsize < 4 else t for t in (styles, weight))
        return torch.rsqrt(s.square() @ w.square().sum((2, 3)).t() + EPS)


def _modulated_conv2d_ref(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool,
                          up_kernel: Tensor | None) -> Tensor:
    w = weight[None] * styles[:, None, :, None, None]  # [NOIkk], equation 1
    if demodulate:
        w = w * torch.rsqrt(w.square().sum((2, 3, 4), keepdim=True) + EPS)  # equation 3
    if up_kernel is None:
        rows = [F.conv2d(x[n:n + 1], w[n], padding=w.shape[-1] // 2) for n in range(len(x))]
    else:
        rows = [conv2d_up(x[n:n + 1], w[n], up_kernel, impl="ref") for n in range(len(x))]
    return torch.cat(rows)
