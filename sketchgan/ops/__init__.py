"""Operators of StyleGAN2, each beside its plain reference.

Every function takes `impl`: `'ref'` is the definition, line by line as in the papers; `'fast'` computes the same
numbers in fewer passes over memory; `'auto'` is the fast one.  All are plain PyTorch, so they run on any device,
differentiate twice (R1 needs that) and never compile anything.  There is no native kernel, because it would not pay:
of a step at 64 px on a CPU, PyTorch's own convolutions take 80 % (G) to 93 % (D): see `benchmarks/network_speed.py`.
"""
from .bias_act import GAIN, SLOPE, bias_act
from .modulated_conv import modulated_conv2d
from .resampled_conv import conv2d_down, conv2d_up
from .upfirdn2d import IMPLS, fir_kernel, implementation, upfirdn2d, upsample2d

__all__ = ["GAIN", "IMPLS", "SLOPE", "bias_act", "conv2d_down", "conv2d_up", "fir_kernel", "implementation",
           "modulated_conv2d", "upfirdn2d", "upsample2d"]
