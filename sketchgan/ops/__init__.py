"""Operators of StyleGAN2, each beside its plain reference.

Every function takes `impl`: `'ref'` is the definition, line by line as in the papers; `'fast'` computes the same
numbers in fewer passes over memory; `'native'` is compiled (C++, CUDA) on first use; `'auto'` is the fast one, or the
native one where that was measured to be faster on this machine (`python -m sketchgan tune`).  All run on any device and
differentiate twice (R1 needs that).  Importing compiles nothing.
"""
from .bias_act import GAIN, SLOPE, bias_act
from .conv2d import conv2d
from .modulated_conv import modulated_conv2d
from .resampled_conv import conv2d_down, conv2d_up
from .upfirdn2d import IMPLS, fir_kernel, implementation, upfirdn2d, upsample2d

__all__ = ["GAIN", "IMPLS", "SLOPE", "bias_act", "conv2d", "conv2d_down", "conv2d_up", "fir_kernel", "implementation",
           "modulated_conv2d", "upfirdn2d", "upsample2d"]
