"""The two paths: g where the weights are 0, the published formula where they are not, near g at the start."""
import math

import pytest
import torch
from torch.nn import functional

from sketchgan.nets.stylegan2 import Generator
from sketchgan.portraits import network
from sketchgan.portraits.network import DualStyleGAN, border

CHANNELS = {4: 8, 8: 8, 16: 6, 32: 6, 64: 4}


def dual(resolution=64, seed=0):
    torch.manual_seed(seed)
    return DualStyleGAN(Generator(resolution, 8, 12, 2, CHANNELS).eval())


def rough(seed=1):
    """A network whose every extrinsic weight is random, as no training would leave it."""
    P = dual()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in P.extrinsic():
            p.copy_(torch.randn(p.shape, generator=random) * (100 if p.ndim == 2 and p is P.style[1].weight else 1))
    return P.eval()


def codes(n=3, seed=2):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 10, 12, generator=random), torch.randn(n, 10, 12, generator=random)


def reference(P, ws, styles, weights):
    """Section 3.2 written out from the tensors' published names; of g only its layers are called."""
    t, G = P.state_dict(), P.generator

    def linear(x, name, lr_mul=1.0):
        weight = t[f"{name}.weight"]
        return x @ (weight * lr_mul / math.sqrt(weight.shape[1])).T + t[f"{name}.bias"] * lr_mul

    lrelu = lambda x: functional.leaky_relu(x, 0.2) * math.sqrt(2)

    def conv(x, name):
        weight = t[f"{name}.0.weight"]
        y = functional.conv2d(x, weight / math.sqrt(weight[0].numel()), padding=1)
        return lrelu(y + t[f"{name}.1.bias"].reshape(1, -1, 1, 1))

    def adain(x, s, name):
        mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
        gamma, beta = (s @ t[f"{name}.style.weight"].T + t[f"{name}.style.bias"])[:, :, None, None].chunk(2, 1)
        return gamma * (x - mean) / (var + 1e-5).sqrt() + beta

    def modres(i, x):
        if i >= 5:
            return x
        s = styles[:, i] / (styles[:, i].square().mean(1, keepdim=True) + 1e-8).sqrt()
        s = lrelu(linear(lrelu(linear(s, "style.1", 0.01)), "style.2", 0.01))
        y = conv(adain(x, s, f"res.{i}.norm"), f"res.{i}.conv")
        return x + weights[i] * conv(adain(y, s, f"res.{i}.norm2"), f"res.{i}.conv2")

    row = [ws[:, i] if i < 5 else weights[i] * linear(styles[:, i], f"res.{i}") + (1 - weights[i]) * ws[:, i]
           for i in range(10)]
    x = modres(0, G.conv1(G.input(len(ws)), row[0], None))
    rgb = G.to_rgb1(x, row[1])
    for j in range(4):
        x = modres(2 * j + 1, G.convs[2 * j](x, row[2 * j + 1], None))
        x = modres(2 * j + 2, G.convs[2 * j + 1](x, row[2 * j + 2], None))
        rgb = G.to_rgbs[j](x, row[2 * j + 3], rgb)
    return rgb


def test_the_border_is_the_published_one_and_scales():
    assert [border(r) for r in (8, 16, 32, 64, 128, 256, 512, 1024)] == [1, 1, 3, 5, 7, 7, 7, 7]


@torch.no_grad()
@pytest.mark.parametrize("noise_mode", ["none", "const", "random"])
def test_weight_0_is_g_bit_for_bit_whatever_was_learnt(noise_mode):
    P, (ws, styles) = rough(), codes()
    seeded = lambda: torch.Generator().manual_seed(3)
    for weights in (0, 0.0, [0.0] * 10, torch.zeros(3, 10)):
        made = P.synthesis(ws, styles, weights, noise_mode, seeded())
        assert torch.equal(made, P.generator.synthesis(ws, noise_mode, seeded()))
    # Within a batch, the pictures of weight 0 are g's too, beside others that are not.
    mixed = P.synthesis(ws, styles, torch.tensor([[0.0] * 10, [1.0] * 10, [0.0] * 10]), noise_mode, seeded())
    plain = P.generator.synthesis(ws, noise_mode, seeded())
    assert torch.equal(mixed[::2], plain[::2]) and not torch.allclose(mixed[1], plain[1])


@torch.no_grad()
def test_the_formula_of_the_paper():
    P, (ws, styles) = rough(), codes()
    weights = [0.75, 1.0, 0.5, 0.0, 0.25, 1.0, 0.0, 0.5, 0.25, 1.0]
    wanted = reference(P, ws, styles, weights)
    made = P.synthesis(ws, styles, weights, "none")
    assert (made - wanted).abs().max() < 1e-4 * wanted.abs().max()


@torch.no_grad()
def test_at_the_start_it_is_style_mixing_of_g():
    """Stage I: with full weights, rows of colour come from the style, shapes stay g's."""
    P, (ws, styles) = dual(), codes()
    mixed = torch.cat([ws[:, :5], styles[:, 5:]], 1)
    wanted = P.generator.synthesis(mixed, "none")
    away = (P.synthesis(ws, styles, 1.0, "none") - wanted).square().mean().sqrt()
    assert away < 0.05 * wanted.std()
    assert away < 0.1 * (P.generator.synthesis(ws, "none") - wanted).square().mean().sqrt()


@torch.no_grad()
def test_rows_reach_what_they_should():
    """Of the style, weights of structure let through the first rows alone, weights of colour the last alone."""
    P, (ws, styles) = rough(), codes()
    other = codes(seed=9)[1]
    first, last = styles.clone(), styles.clone()
    first[:, :5], last[:, 5:] = other[:, :5], other[:, 5:]
    structure, colour = [1.0] * 5 + [0.0] * 5, [0.0] * 5 + [1.0] * 5
    at = lambda code, weights: P.synthesis(ws, code, weights, "none")
    assert torch.equal(at(styles, structure), at(last, structure))
    assert torch.equal(at(styles, colour), at(first, colour))
    assert not torch.allclose(at(styles, structure), at(first, structure))
    assert not torch.allclose(at(styles, colour), at(last, colour))


def test_only_the_extrinsic_path_learns():
    P, (ws, styles) = dual(), codes()
    P.synthesis(ws, styles[:1], 1.0, "none").square().mean().backward()
    assert all(p.grad is None for p in P.generator.parameters())
    learns = {id(p) for p in P.parameters() if p.requires_grad}
    assert learns == {id(p) for p in P.extrinsic()} and all(p.grad is not None for p in P.extrinsic())


@torch.no_grad()
def test_a_code_of_z_plus_goes_through_gs_mapping_row_by_row():
    P = dual()
    z = torch.randn(2, 10, 8)
    ws = P.rows(z)
    for i in (0, 4, 9):
        assert torch.allclose(ws[:, i], P.generator.mapping(z[:, i])[:, 0], atol=1e-6)


@pytest.mark.parametrize("change, said", [
    (dict(ws=torch.zeros(3, 8, 12)), "codes of another base do not fit"),
    (dict(styles=torch.zeros(3, 10, 16)), "codes of another base do not fit"),
    (dict(styles=torch.zeros(2, 10, 12)), "as many as pictures"),
    (dict(weights=[1.0] * 9), "or 10 of them, one a row of the latent \\(5 of structure first\\)"),
    (dict(weights=[math.nan] * 10), "all finite"), (dict(weights=torch.ones(2, 10)), "as many as pictures"),
    (dict(noise_mode="loud"), "noise_mode"),
])
def test_what_does_not_fit_is_told(change, said):
    P, (ws, styles) = dual(), codes()
    with pytest.raises(ValueError, match=said):
        P.synthesis(**(dict(ws=ws, styles=styles, weights=1.0) | change))


def test_codes_are_checked_by_row_and_number():
    with pytest.raises(ValueError, match="a code of Z\\+ is \\[N, 10, 8\\]"):
        dual().rows(torch.zeros(2, 8))
    assert network.weight_rows(0.5, 4).tolist() == [[0.5] * 4]
