"""The native operators: one short build, then every shape and type against the reference, and both derivatives."""
import json
import random
import warnings

import pytest
import torch

from sketchgan import CustomizeConfig, customize, ops
from sketchgan.nets.losses import r1_penalty
from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.ops import native, tuning

KERNEL = ops.fir_kernel((1, 3, 3, 1)).double()
UNEVEN = torch.arange(1.0, 13.0, dtype=torch.float64).reshape(3, 4)      # tells rows from columns, and a turned kernel


@pytest.fixture(scope="module")
def built(cache):
    """The compiled operators; without a compiler these tests are skipped."""
    try:
        return native.library()
    except native.NativeError as error:
        pytest.skip(str(error))


def rand(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


CASES = {
    "bias_act": (lambda x, b: ops.bias_act(x, b, impl="native"), [(2, 3, 4, 2), (3,)]),
    "bias_act_rows": (lambda x, b: ops.bias_act(x, b, gain=0.7, impl="native"), [(4, 5), (5,)]),
    "upfirdn2d": (lambda x: ops.upfirdn2d(x, UNEVEN, pad=(2, 1), impl="native"), [(2, 3, 5, 4)]),
    "upfirdn2d_up": (lambda x: ops.upfirdn2d(x, KERNEL, up=2, pad=(2, 1), impl="native"), [(1, 2, 3, 4)]),
    "upfirdn2d_down": (lambda x: ops.upfirdn2d(x, UNEVEN, down=2, pad=(1, 1), impl="native"), [(1, 2, 6, 5)]),
    "upfirdn2d_both": (lambda x: ops.upfirdn2d(x, UNEVEN, up=3, down=2, pad=(0, 4), impl="native"), [(1, 2, 4, 5)]),
    "conv3x3": (lambda x, w: ops.conv2d(x, w, padding=1, impl="native"), [(1, 8, 9, 8), (8, 8, 3, 3)]),
}


@pytest.mark.parametrize("name", CASES)
def test_both_derivatives(built, name):
    op, shapes = CASES[name]
    args = [rand(*shape) for shape in shapes]
    if name == "conv3x3":       # of its 1,000 numbers only some directions are tried
        assert torch.autograd.gradcheck(op, args, fast_mode=True)
        assert torch.autograd.gradgradcheck(op, args, fast_mode=True)
    else:
        assert torch.autograd.gradcheck(op, args) and torch.autograd.gradgradcheck(op, args)


def test_filters_of_every_shape_and_type_equal_the_reference(built):
    draw = random.Random(5)
    for _ in range(60):
        shape = (draw.randint(1, 3), draw.randint(1, 9), draw.randint(2, 9), draw.randint(2, 9))
        up, down, pad = draw.randint(1, 3), draw.randint(1, 3), (draw.randint(0, 5), draw.randint(0, 5))
        kernel = torch.randn(draw.randint(1, 4), draw.randint(1, 4))
        if any(n * up + sum(pad) < k for n, k in zip(shape[2:], kernel.shape)):
            continue
        dtype = draw.choice((torch.float64, torch.float32, torch.float16, torch.bfloat16))
        x = torch.randn(shape, dtype=dtype)
        if draw.random() < 0.5:
            x = x.contiguous(memory_format=torch.channels_last)
        got = ops.upfirdn2d(x, kernel, up, down, pad, impl="native")
        wanted = ops.upfirdn2d(x.double(), kernel.to(dtype).double(), up, down, pad, impl="ref")
        assert got.dtype == dtype and got.shape == wanted.shape
        close = {torch.float16: 4e-3, torch.bfloat16: 4e-2}.get(dtype, 1e-5)
        torch.testing.assert_close(got.double(), wanted, rtol=close, atol=close)


def test_activations_of_every_shape_and_type_equal_the_reference(built):
    draw = random.Random(6)
    for _ in range(40):
        dtype = draw.choice((torch.float64, torch.float32, torch.float16, torch.bfloat16))
        sides = [draw.randint(1, 9), draw.randint(1, 9)] * draw.randint(0, 1)
        shape = [draw.randint(1, 4), draw.randint(1, 40), *sides]
        x, bias, gain = torch.randn(shape).to(dtype), torch.randn(shape[1]).to(dtype), draw.uniform(0.1, 3)
        if len(shape) == 4 and draw.random() < 0.5:
            x = x.contiguous(memory_format=torch.channels_last)
        got = ops.bias_act(x, bias, gain, "native")
        wanted = ops.bias_act(x.double(), bias.double(), gain, "ref")
        assert got.dtype == dtype
        close = {torch.float16: 4e-3, torch.bfloat16: 4e-2}.get(dtype, 1e-5)
        torch.testing.assert_close(got.double(), wanted, rtol=close, atol=close)


def test_convolutions_of_every_shape_equal_the_reference(built):
    draw = random.Random(7)
    for _ in range(25):
        n, i, o = draw.randint(1, 3), 8 * draw.randint(1, 4), 8 * draw.randint(1, 4)
        h, w, padding = draw.randint(8, 19), draw.randint(8, 19), draw.randint(0, 2)
        x, weight, bias = rand(n, i, h, w, dtype=torch.float32), rand(o, i, 3, 3, dtype=torch.float32), torch.randn(o)
        results = []
        for impl, cast in (("native", torch.Tensor.float), ("ref", torch.Tensor.double)):
            y = ops.conv2d(cast(x), cast(weight), cast(bias), padding=padding, impl=impl)
            g = cast(torch.linspace(-1, 1, y.numel()).reshape(y.shape))
            results.append([y, *torch.autograd.grad(y, (x, weight), g)])
        for got, wanted in zip(*results):
            assert (got - wanted).abs().max() < 1e-4 * wanted.abs().max(), (n, i, o, h, w, padding)


def test_a_discriminator_and_its_r1_are_the_same(built):
    """Native operators through a whole network and its second derivative: the losses to 1e-5."""
    D = Discriminator(16, {4: 16, 8: 16, 16: 16})
    x, seen = torch.randn(4, 3, 16, 16), {}
    for impl in ("ref", "native"):
        D.zero_grad()
        with ops.implementation(impl):
            loss = D(x).mean() + r1_penalty(D, x)
            loss.backward()
        seen[impl] = [loss.detach(), *(p.grad.clone() for p in D.parameters())]
    for a, b in zip(*seen.values()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_whole_customisation_has_the_losses_of_the_plain_operators(built):
    torch.manual_seed(0)
    channels = {4: 16, 8: 16, 16: 16}
    networks = Generator(16, 8, 8, 2, channels), Discriminator(16, channels), PhotoSketch(8, 1)
    config = CustomizeConfig(iterations=3, d_reg_every=2, sample_every=0, stopping=None, seed=2)
    page, losses = torch.randn(3, 1, 16, 16).sign(), []
    for least in ({"conv3x3": native.NEVER}, {"conv3x3": 8, "bias_act": 1, "upfirdn2d": 1}):
        with native.choosing(least):
            steps = [step.losses for step in customize(*networks, page, config=config)]
        losses.append(torch.tensor([list(step.values()) for step in steps if len(step) == 4]
                                   + [list(step.values())[:4] for step in steps if len(step) > 4]))
    assert not torch.equal(*losses), "the second run took other operators"
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)


def test_what_was_measured_to_be_faster_is_taken_and_nothing_else(built):
    x, w = torch.randn(4, 16, 16, 16), torch.randn(16, 16, 3, 3, requires_grad=True)
    taken = lambda x=x: type(ops.conv2d(x, w, padding=1).grad_fn).__name__ == "_ConvBackward"
    native.forget_choices()
    assert not taken(), "nothing was measured: plain PyTorch"
    cpu = torch.backends.cpu.get_cpu_capability()
    stored = dict(torch=torch.__version__, cpu=cpu, least_channels={"conv3x3": 16})
    native.choices_file().parent.mkdir(parents=True, exist_ok=True)
    for change, expected in (({}, True), ({"torch": "1.0"}, False), ({"cpu": "none"}, False),
                             ({"least_channels": 3}, False), ({"least_channels": {"conv3x3": 17}}, False)):
        native.choices_file().write_text(json.dumps(stored | change))
        native.forget_choices()
        assert taken() == expected, change
    tuning.main(["--forget"])
    native.forget_choices()
    assert not native.choices_file().exists() and not taken()
    with native.choosing({"conv3x3": 16}):
        assert taken() and not taken(x[:3]) and not taken(x.double().float().bfloat16().float()[:1])
        with torch.autocast("cpu", torch.bfloat16):
            assert not taken()
    assert not taken()


def test_the_least_width_is_that_from_which_on_all_win():
    ratios = dict(a=(0.5, 1.2, 0.6, 0.5), b=(0.1, 0.1, 0.1, 0.95))
    rows = [dict(operator=name, channels=c, ratio=r) for name, several in ratios.items()
            for c, r in zip((8, 16, 32, 64), several)]
    assert tuning.least_channels(rows) == {"a": 32, "b": native.NEVER}


def test_without_a_compiler_the_reader_is_told_once_what_to_do(monkeypatch, tmp_path):
    def broken(*_):
        raise RuntimeError("Error building extension\n/usr/bin/ld: no such thing\nx.cpp:1:2: error: no header")

    monkeypatch.setattr(native, "_load", broken)
    monkeypatch.setenv("SKETCHGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(native, "library", native.functools.cache(native.library.__wrapped__))
    with pytest.raises(native.NativeError, match="no header.*pip install ninja.*impl='fast'"):
        ops.bias_act(torch.ones(1, 2), torch.ones(2), impl="native")
    native.choices_file().parent.mkdir(parents=True, exist_ok=True)
    native.choices_file().write_text(json.dumps(dict(torch=torch.__version__, least_channels={"bias_act": 1},
                                                     cpu=torch.backends.cpu.get_cpu_capability())))
    native.forget_choices()
    with pytest.warns(UserWarning, match="plain PyTorch is used instead"):
        ops.bias_act(torch.ones(1, 2), torch.ones(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ops.bias_act(torch.ones(1, 2), torch.ones(2))
    native.forget_choices()


def test_shapes_that_do_not_fit_are_refused_not_read(built):
    for call in (lambda: built.bias_act(torch.ones(2, 3), torch.ones(4), 1.0, 0.2),
                 lambda: built.bias_act_backward(torch.ones(2, 3), torch.ones(3, 2), 1.0, 0.2),
                 lambda: built.conv3x3(torch.ones(1, 8, 9, 9), torch.ones(8, 16, 3, 3), 1, False),
                 lambda: built.conv3x3(torch.ones(1, 7, 9, 9), torch.ones(8, 7, 3, 3), 1, False),
                 lambda: built.conv3x3_weight(torch.ones(1, 8, 9, 9), torch.ones(1, 8, 8, 9), 1),
                 lambda: built.upfirdn2d(torch.ones(1, 8, 9), torch.ones(4, 4), 1, 1, 0, 0, 6, 6)):
        with pytest.raises(RuntimeError):
            call()
