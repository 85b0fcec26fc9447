"""Every operator: the fast one equals the reference, and both differentiate once and twice."""
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from sketchgan import ops

KERNEL = ops.fir_kernel().double()


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def modulated(demodulate, up, gain=1.0):
    kernel = 4 * KERNEL if up else None
    return lambda x, w, s, impl: ops.modulated_conv2d(x, w, s, demodulate, kernel, gain, impl=impl)


CASES = {
    "upfirdn2d": (lambda x, impl: ops.upfirdn2d(x, KERNEL, pad=(2, 1), impl=impl), [(2, 2, 5, 4)]),
    "upfirdn2d_up": (lambda x, impl: ops.upfirdn2d(x, KERNEL, up=2, pad=(2, 1), impl=impl), [(2, 2, 3, 4)]),
    "upfirdn2d_down": (lambda x, impl: ops.upfirdn2d(x, KERNEL, down=2, pad=(1, 1), impl=impl), [(2, 2, 6, 4)]),
    "upsample2d": (lambda x, impl: ops.upsample2d(x, 4 * KERNEL, impl=impl), [(2, 3, 3, 4)]),
    "bias_act": (lambda x, b, impl: ops.bias_act(x, b, impl=impl), [(2, 3, 2, 2), (3,)]),
    "bias_act_linear": (lambda x, b, impl: ops.bias_act(x, b, gain=1, impl=impl), [(4, 3), (3,)]),
    "conv2d_up": (lambda x, w, impl: ops.conv2d_up(x, w, 4 * KERNEL, impl=impl), [(2, 2, 3, 3), (3, 2, 3, 3)]),
    "conv2d_down_3": (lambda x, w, b, impl: ops.conv2d_down(x, w, KERNEL, b, impl=impl),
                      [(2, 2, 4, 6), (3, 2, 3, 3), (3,)]),
    "conv2d_down_1": (lambda x, w, impl: ops.conv2d_down(x, w, KERNEL, impl=impl), [(2, 2, 4, 6), (3, 2, 1, 1)]),
    "modulated": (modulated(True, False, 1.4), [(2, 2, 3, 3), (3, 2, 3, 3), (2, 2)]),
    "modulated_up": (modulated(True, True), [(2, 2, 3, 3), (2, 2, 3, 3), (2, 2)]),
    "modulated_rgb": (modulated(False, False, 0.5), [(2, 4, 3, 3), (3, 4, 1, 1), (2, 4)]),
}


@pytest.mark.parametrize("name", CASES)
def test_fast_equals_reference(name):
    op, shapes = CASES[name]
    args = [rand(*s) for s in shapes]
    ref = op(*args, impl="ref")
    for impl in ("fast", "auto"):
        for layout in (torch.contiguous_format, torch.channels_last):
            inputs = [a.detach().contiguous(memory_format=layout) if a.ndim == 4 else a for a in args]
            torch.testing.assert_close(op(*inputs, impl=impl), ref.detach())


@pytest.mark.parametrize("impl", ["ref", "fast"])
@pytest.mark.parametrize("name", CASES)
def test_gradients(name, impl):
    op, shapes = CASES[name]
    args = [rand(*s) for s in shapes]
    assert torch.autograd.gradcheck(lambda *a: op(*a, impl=impl), args)
    assert torch.autograd.gradgradcheck(lambda *a: op(*a, impl=impl), args)


def test_frozen_inputs_get_no_gradient():
    x, w, s = rand(2, 2, 3, 3), rand(3, 2, 3, 3).detach(), rand(2, 2)
    ops.modulated_conv2d(x, w, s).sum().backward()
    assert w.grad is None and x.grad is not None and s.grad is not None


def test_upfirdn2d_by_hand():
    x = torch.tensor([[[[1.0, 2.0]]]])
    kernel = torch.tensor([[1.0, 10.0]])  # a convolution puts tap 0 on the newest pixel: y[i] = x[i] + 10 x[i - 1]
    for impl in ("ref", "fast"):
        assert ops.upfirdn2d(x, kernel, impl=impl).flatten().tolist() == [12.0]
        up = ops.upfirdn2d(x, kernel, up=2, impl=impl)  # [1, 0, 2, 0] on a row, a row of zeros under it
        assert up[0, 0, 0].tolist() == [10.0, 2.0, 20.0]


def test_filters_keep_a_constant_picture():
    x = torch.full((1, 2, 8, 8), 0.7)
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(ops.upsample2d(x, ops.fir_kernel(gain=4))[inside], torch.full((1, 2, 12, 12), 0.7))
    torch.testing.assert_close(ops.upfirdn2d(x, ops.fir_kernel(), pad=(2, 1))[inside], torch.full((1, 2, 4, 4), 0.7))


def test_demodulation_gives_unit_variance():
    x, w = torch.randn(4, 32, 24, 24), torch.randn(16, 32, 3, 3)
    styles = 5 * torch.randn(4, 32)
    y = ops.modulated_conv2d(x, w, styles)[..., 1:-1, 1:-1]
    assert y.std((2, 3)).mean().item() == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(ops.modulated_conv2d(x, w, 3 * styles), ops.modulated_conv2d(x, w, styles))


def test_half_precision_survives_large_styles():
    x, w, styles = torch.randn(2, 8, 6, 6), torch.randn(4, 8, 3, 3), 1e5 * torch.randn(2, 8)
    half = ops.modulated_conv2d(x.half(), w.half(), styles)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), ops.modulated_conv2d(x, w, styles), rtol=0.02, atol=0.02)


def test_autocast_stays_near_full_precision():
    x, w, styles = torch.randn(2, 8, 6, 6), torch.randn(4, 8, 3, 3), torch.randn(2, 8)
    with torch.autocast("cpu", torch.bfloat16):
        low = ops.modulated_conv2d(x, w, styles, up_kernel=ops.fir_kernel(gain=4))
    full = ops.modulated_conv2d(x, w, styles, up_kernel=ops.fir_kernel(gain=4))
    assert (low.float() - full).abs().max() < 0.05 * full.abs().max()


def test_bias_act_leaves_its_input_alone():
    x = torch.randn(2, 3, 4, 4)
    before = x.clone()
    torch.testing.assert_close(ops.bias_act(x, torch.ones(3)), 2 ** 0.5 * F.leaky_relu(before + 1, 0.2))
    assert torch.equal(x, before)


@pytest.mark.parametrize("call, words", [
    (lambda: ops.bias_act(torch.ones(1, 1), torch.ones(1), impl="quick"), "auto, ref, fast, native"),
    (lambda: ops.upfirdn2d(torch.ones(1, 1, 4, 4), KERNEL, pad=(-1, 0)), "pad >= 0"),
])
def test_wrong_arguments_are_explained(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_import_compiles_nothing():
    code = ("import sys, sketchgan.ops, sketchgan.nets.stylegan2; "
            "sys.exit('torch.utils.cpp_extension' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
