"""Layers of StyleGAN2: what a generator and a discriminator are put together from.

Every parameter has the key that the public PyTorch checkpoints give it. Weights are stored at unit variance and scaled
by 1/sqrt(fan_in) when they are used (equalised learning rate).
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..files.checks import Count, Maps, explained
from .bias_act import GAIN, SLOPE, bias_act
from .conv2d import conv2d
from .modulated_conv import modulated_conv2d
from .resampled_conv import conv2d_down
from .upfirdn2d import fir_kernel, upsample2d


class EqualLinear(nn.Module):
    """`[N, in_dim] -> [N, out_dim]`, followed by leaky ReLU if `activation`; `lr_mul` slows its learning."""

    def __init__(self, in_dim: int, out_dim: int, bias_init: float = 0, lr_mul: float = 1, activation: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_dim, in_dim) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_dim,), float(bias_init)))
        self.scale, self.lr_mul, self.activation = lr_mul / math.sqrt(in_dim), lr_mul, activation

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight * self.scale, self.bias * self.lr_mul
        return bias_act(F.linear(x, weight), bias) if self.activation else F.linear(x, weight, bias)


class EqualConv2d(nn.Module):
    """Weight `[O, I, k, k]` of a convolution without bias; `ConvLayer` applies it."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.scale = 1 / math.sqrt(in_channels * kernel_size ** 2)


class Activation(nn.Module):
    """Bias `[C]` of a leaky ReLU; the layer that owns it applies both."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))


def clamped(x: Tensor, limit: float | None) -> Tensor:
    """`x` within +-`limit`, or as it is without one: NVIDIA's networks clamp activations for half precision."""
    return x if limit is None else x.clamp(-limit, limit)


class Fir(nn.Module):
    """Holder of a FIR kernel `[4, 4]`, so that it stands in the state dict where public checkpoints have it."""

    def __init__(self, gain: float):
        super().__init__()
        self.register_buffer("kernel", fir_kernel(gain=gain))


# --- Of the generator ------------------------------------------------------------------------------------------------

class PixelNorm(nn.Module):
    """Scale each z to unit mean square, so that only its direction matters."""

    def forward(self, z: Tensor) -> Tensor:
        return z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)


class WShift(nn.Module):
    """A learned constant added to every w: the "W-shift" ablation of GANSketching."""

    def __init__(self, w_dim: int):
        super().__init__()
        self.w_shift = nn.Parameter(torch.zeros(1, w_dim))

    def forward(self, w: Tensor) -> Tensor:
        return w + self.w_shift


class ModulatedConv2d(nn.Module):
    """Convolution modulated by a style that is an affine function of w."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, w_dim: int, demodulate: bool = True,
                 upsample: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, kernel_size, kernel_size))
        self.modulation = EqualLinear(w_dim, in_channels, bias_init=1)
        if upsample:
            self.blur = Fir(gain=4)
        self.upsample, self.demodulate = upsample, demodulate
        self.scale = 1 / math.sqrt(in_channels * kernel_size ** 2)

    def forward(self, x: Tensor, w: Tensor, gain: float = 1) -> Tensor:
        up_kernel = self.blur.kernel if self.upsample else None
        return modulated_conv2d(x, self.weight[0] * self.scale, self.modulation(w), self.demodulate, up_kernel, gain)


class NoiseInjection(nn.Module):
    """Add one plane of noise `[N or 1, 1, H, W]` to all channels, scaled by one learned number."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, noise: Tensor | None, gain: float = 1) -> Tensor:
        return x if noise is None else x + (self.weight * gain * noise).to(x.dtype)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU, and a clamp where `conv_clamp` is given."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, upsample: bool = False,
                 conv_clamp: float | None = None):
        super().__init__()
        self.conv_clamp = conv_clamp
        self.conv = ModulatedConv2d(in_channels, out_channels, 3, w_dim, upsample=upsample)
        self.noise = NoiseInjection()
        self.activate = Activation(out_channels)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        # gain * lrelu(x) = lrelu(gain * x) for a positive gain, so the gain goes into the three things that are summed:
        # it costs three small products instead of a pass over the activations (a fifth of G's time on a CPU).
        x = self.conv(x, w, GAIN)
        x = self.noise(x, noise, GAIN)
        return clamped(bias_act(x, self.activate.bias * GAIN, gain=1), self.conv_clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to three channels, added to the upsampled picture of the previous resolution."""

    def __init__(self, in_channels: int, w_dim: int, upsample: bool = True, conv_clamp: float | None = None):
        super().__init__()
        self.conv_clamp = conv_clamp
        if upsample:
            self.upsample = Fir(gain=4)
        self.conv = ModulatedConv2d(in_channels, 3, 1, w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, w: Tensor, skip: Tensor | None = None) -> Tensor:
        rgb = clamped(self.conv(x, w) + self.bias, self.conv_clamp)  # [N3HW]
        return rgb if skip is None else rgb + upsample2d(skip, self.upsample.kernel)


class ConstantInput(nn.Module):
    """The learned `[1, C, 4, 4]` that every picture starts from."""

    def __init__(self, channels: int):
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))

    def forward(self, n: int) -> Tensor:
        return self.input.expand(n, -1, -1, -1)


# --- Of the discriminator --------------------------------------------------------------------------------------------

class ConvLayer(nn.Sequential):
    """Convolution, bias, leaky ReLU; with `downsample`, a FIR filter first and stride 2.

    The public checkpoints count the filter as a layer of its own, so the indices differ: [conv, act] or
    [fir, conv, act], and [fir, conv] for the linear skip of a residual block.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, downsample: bool = False,
                 activate: bool = True, conv_clamp: float | None = None):
        conv = EqualConv2d(in_channels, out_channels, kernel_size)
        super().__init__(*([Fir(gain=1)] if downsample else []), conv,
                         *([Activation(out_channels)] if activate else []))
        self.downsample, self.conv_clamp = downsample, conv_clamp

    def forward(self, x: Tensor, gain: float = 1) -> Tensor:
        """`[N, I, H, W] -> [N, O, H or H/2, W or W/2]`, times `gain`, which goes into the weight (see `StyledConv`)."""
        conv, *act = list(self)[self.downsample:]
        limit = None if self.conv_clamp is None else self.conv_clamp * gain
        gain = gain * GAIN if act else gain
        weight, bias = conv.weight * (conv.scale * gain), act[0].bias * gain if act else None
        if self.downsample:
            x = conv2d_down(x, weight, self[0].kernel, bias)
        else:
            x = conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        return clamped(F.leaky_relu(x, SLOPE, inplace=True) if act else x, limit)


class ResBlock(nn.Module):
    """Residual block that halves the resolution."""

    def __init__(self, in_channels: int, out_channels: int, conv_clamp: float | None = None):
        super().__init__()
        self.conv1 = ConvLayer(in_channels, in_channels, 3, conv_clamp=conv_clamp)
        self.conv2 = ConvLayer(in_channels, out_channels, 3, downsample=True, conv_clamp=conv_clamp)
        self.skip = ConvLayer(in_channels, out_channels, 1, downsample=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        half = 1 / math.sqrt(2)  # keeps the variance of the sum of two
        return self.conv2(self.conv1(x), half) + self.skip(x, half)


@explained
def minibatch_stddev(x: Maps, max_group: Count = 4) -> Tensor:
    """`x [N, C, H, W]` and one more channel: the mean standard deviation of the features over a group of samples.

    max_group: samples of a group; the largest divisor of N up to it is used. Karras et al. 2018, "Progressive Growing
    of GANs", section 3.
    """
    n, c, h, w = x.shape
    group = max(g for g in range(1, min(max_group, n) + 1) if n % g == 0)
    y = x.float().reshape(group, n // group, c, h, w)  # [GMCHW]: sample g * M + m belongs to set m
    std = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))  # [M]
    std = std.repeat(group).reshape(n, 1, 1, 1).expand(n, 1, h, w).to(x.dtype)
    return torch.cat([x, std], 1)
