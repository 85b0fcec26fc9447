"""StyleGAN2 against the reference implementation, at other sizes, and its manners."""
import copy
import math

import numpy as np
import pytest
import torch

from sketchgan import ops
from sketchgan.nets.stylegan2 import Discriminator, Generator, channel_table, minibatch_stddev
from tests.parity.reference import assert_agrees, case, filled

SMALL = {4: 12, 8: 8, 16: 6}


def small_generator(**changes):
    torch.manual_seed(3)
    G = Generator(**dict(resolution=16, z_dim=10, w_dim=14, num_mapping=2, channels=SMALL) | changes)
    for name, parameter in G.named_parameters():
        if name.endswith(("noise.weight", "w_shift")):
            torch.nn.init.constant_(parameter, 0.3)
    return G.eval()


# ---------------------------------------------------------------------------------------------------------------------
# Parity with the reference implementation

@pytest.mark.parametrize("resolution", [64, 256])
@torch.no_grad()
def test_generator_parity(resolution):
    c = case(f"generator_{resolution}")
    G = filled(Generator(resolution), f"generator_{resolution}", c["seed"])
    stride, inject = int(c["stride"]), int(c["inject_index"])
    ws, ws2 = G.mapping(c["z"]), G.mapping(c["z2"])
    assert_agrees(ws[:, 0], c["w"])
    assert_agrees(G.synthesis(ws, "const")[..., ::stride, ::stride], c["image"])
    # With constant noise a picture does not depend on its neighbours, so one of the two rows tells as much as both.
    G.set_w_avg(G.style(c["mapping_z"]).mean(0))
    truncated = G(c["z"][:1], float(c["truncation"]), "const")
    assert_agrees(truncated[..., ::stride, ::stride], c["image_truncated"][:1])
    mixed = torch.cat([ws[1:, :inject], ws2[1:, inject:]], 1)
    assert_agrees(G.synthesis(mixed, "const")[..., ::stride, ::stride], c["image_mixed"][1:])


@torch.no_grad()
def test_w_shift_parity():
    c = case("generator_64_wshift")
    G = filled(Generator(64, w_shift=True), "generator_64_wshift", c["seed"])
    assert_agrees(G(c["z"][:1], noise_mode="const"), c["image"][:1])


@pytest.mark.parametrize("resolution", [64, 256])
def test_discriminator_parity(resolution):
    c = case(f"discriminator_{resolution}")
    D = filled(Discriminator(resolution), f"discriminator_{resolution}", c["seed"])
    x = c["x"]
    if x.numel() == 0:
        drawn = np.random.default_rng(int(c["x_seed"])).standard_normal((4, 3, resolution, resolution))
        x = torch.from_numpy(drawn.astype(np.float32)).clamp(-1, 1)
    x = x.requires_grad_()
    logits = D(x)
    assert_agrees(logits, c["logits"])
    gradient, = torch.autograd.grad(logits.sum(), x)
    assert_agrees(gradient.square().flatten(1).sum(1).mean(), c["r1"])
    with torch.no_grad():
        assert_agrees(D(x[:2]), c["logits_batch2"])


def test_whole_networks_agree_with_the_reference_operators():
    G, D, z = small_generator(), Discriminator(16, SMALL), torch.randn(4, 10)
    results = []
    for impl in ("ref", "fast"):
        with ops.implementation(impl):
            img = G(z, noise_mode="const")
            logits = D(img)
        gradients = torch.autograd.grad(logits.sum(), [*G.style.parameters(), *D.parameters()])
        results.append([img, logits, *gradients])
    for ref, fast in zip(*results):
        assert_agrees(fast, ref)


# ---------------------------------------------------------------------------------------------------------------------
# Sizes

@pytest.mark.parametrize("resolution", [8, 32, 1024])
@torch.no_grad()
def test_any_resolution(resolution):
    channels = {4 * 2 ** i: 2 + i % 3 for i in range(9)}
    G = Generator(resolution, z_dim=3, w_dim=5, num_mapping=1, channels=channels)
    D = Discriminator(resolution, channels)
    ws = G.mapping(torch.randn(1, 3))
    assert ws.shape == (1, 2 * int(math.log2(resolution)) - 2, 5)
    img = G.synthesis(ws)
    assert img.shape == (1, 3, resolution, resolution)
    assert D(img).shape == (1, 1)


def test_official_sizes():
    with torch.device("meta"):
        G, D = Generator(1024), Discriminator(1024)
        assert sum(p.numel() for p in G.parameters()) == 30_370_060
        assert sum(p.numel() for p in D.parameters()) == 29_012_513
        assert sum(p.numel() for p in Generator(256).parameters()) == 30_034_338
    assert len(G.state_dict()) == 171 and len(D.state_dict()) == 64


def test_config_builds_the_same_network():
    G = small_generator(w_shift=True)
    G2 = Generator(**G.config)
    assert {k: v.shape for k, v in G.state_dict().items()} == {k: v.shape for k, v in G2.state_dict().items()}
    D = Discriminator(16, SMALL)
    assert D.config == Discriminator(**D.config).config


# ---------------------------------------------------------------------------------------------------------------------
# Noise, mixing, truncation

@torch.no_grad()
def test_noise_modes():
    G, z = small_generator(), torch.randn(2, 10)
    ws = G.mapping(z)

    def images(mode, seed=None):
        return G.synthesis(ws, mode, None if seed is None else torch.Generator().manual_seed(seed))

    assert torch.equal(images("const"), images("const"))
    assert torch.equal(images("none"), images("none")) and not torch.equal(images("none"), images("const"))
    assert torch.equal(images("random", 5), images("random", 5))
    assert not torch.equal(images("random", 5), images("random", 6))
    assert not torch.equal(images("random"), images("random"))


@torch.no_grad()
def test_mixing_rows_changes_only_their_layers():
    G = small_generator()
    ws, other = G.mapping(torch.randn(1, 10)), G.mapping(torch.randn(1, 10))
    last = ws.clone()
    last[:, -1] = other[:, -1]  # only the last ToRGB
    features = []
    hook = G.convs[-1].register_forward_hook(lambda module, args, output: features.append(output.clone()))
    a, b = G.synthesis(ws, "none"), G.synthesis(last, "none")
    hook.remove()
    assert torch.equal(*features) and not torch.equal(a, b)


@torch.no_grad()
def test_truncation():
    G, z = small_generator(), torch.randn(3, 10)
    mean, ws = G.mean_w(), G.mapping(z)
    torch.testing.assert_close(G.mapping(z, 0.5), mean + 0.5 * (ws - mean))
    torch.testing.assert_close(G.mapping(z, 0), mean.expand_as(ws))
    assert "w_avg" not in G.state_dict()


@torch.no_grad()
def test_mean_w_is_measured_again_when_the_mapping_changes():
    G = small_generator()
    given = torch.full((14,), 2.0)
    G.set_w_avg(given)
    assert torch.equal(copy.deepcopy(G).mean_w(), given)  # a copy is the same network
    G.conv1.conv.weight.mul_(2)
    assert torch.equal(G.mean_w(), given)  # w does not depend on the synthesis network
    G.style[1].bias.add_(0.5)
    measured = G.mean_w()
    assert not torch.equal(measured, given)
    z = torch.randn(4096, 10)
    torch.testing.assert_close(measured, G.style(z).mean(0), atol=0.1, rtol=0)
    assert torch.equal(measured, G.mean_w())


def test_w_shift_shifts_w():
    G, z = small_generator(w_shift=True), torch.randn(2, 10)
    before = G.mapping(z)
    with torch.no_grad():
        G.style[-1].w_shift.add_(1)
    torch.testing.assert_close(G.mapping(z), before + 1)
    assert "style.3.w_shift" in G.state_dict()


def test_frozen_synthesis_gets_no_gradients():
    G = small_generator().requires_grad_(False)
    G.style.requires_grad_(True)
    G(torch.randn(2, 10)).square().sum().backward()
    for name, parameter in G.named_parameters():
        assert (parameter.grad is not None) == name.startswith("style."), name


def test_gradients_reach_every_parameter():
    G, D = small_generator(w_shift=True), Discriminator(16, SMALL)
    D(G(torch.randn(4, 10))).sum().backward()
    dead = [name for net in (G, D) for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead


# ---------------------------------------------------------------------------------------------------------------------
# Discriminator

@pytest.mark.parametrize("n, group", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 1), (6, 3), (8, 4)])
def test_minibatch_stddev_group(n, group):
    x = torch.randn(n, 3, 2, 2)
    y = minibatch_stddev(x)
    assert y.shape == (n, 4, 2, 2) and torch.equal(y[:, :3], x)
    sets = n // group
    for m in range(sets):
        members = x[m::sets]
        expected = (members.var(0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[m::sets, 3], expected.expand(group, 2, 2))


def test_any_batch_size():
    D = Discriminator(16, SMALL)
    for n in range(1, 8):
        assert D(torch.randn(n, 3, 16, 16)).shape == (n, 1)


def test_overfits_one_picture():
    """Forty steps of Adam bring G from a random picture to a given one, through every layer."""
    G = small_generator(num_mapping=1)
    ramp = torch.linspace(-1, 1, 16)
    target = torch.stack([ramp.expand(16, 16), ramp[:, None].expand(16, 16), torch.zeros(16, 16)])[None]
    z, adam = torch.randn(1, 10), torch.optim.Adam(G.parameters(), lr=0.03)
    losses = []
    for _ in range(40):
        loss = (G(z, noise_mode="none") - target).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


# ---------------------------------------------------------------------------------------------------------------------
# Errors

@pytest.mark.parametrize("call, words", [
    (lambda: Generator(48), "48 is not a power of two"),
    (lambda: Generator(4), "4 is not a power of two"),
    (lambda: Generator(32, channels=SMALL), r"says nothing for \[32\]"),
    (lambda: Generator(16, num_mapping=0), "at least 1"),
    (lambda: small_generator()(torch.randn(2, 11)), r"\[2, 11\].*wants \[N, 10\]"),
    (lambda: small_generator().synthesis(torch.randn(2, 14)), r"wants \[N, 6, 14\]"),
    (lambda: small_generator().synthesis(torch.randn(2, 6, 14), "loud"), "'random', 'const' or 'none'"),
    (lambda: small_generator().set_w_avg(torch.zeros(3)), r"wants \[14\]"),
    (lambda: Discriminator(16, SMALL)(torch.randn(2, 1, 16, 16)), r"wants \[N, 3, 16, 16\].*repeat"),
])
def test_errors_say_what_was_wanted(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_channel_table_ignores_larger_sizes():
    assert channel_table(8, {4: 1, 8: 2, 16: 3}) == {4: 1, 8: 2}
    assert channel_table(1024)[1024] == 32


# ---------------------------------------------------------------------------------------------------------------------
# On the way to the picture

@torch.no_grad()
def test_features_are_those_that_the_picture_is_made_of():
    G, z = small_generator(), torch.randn(3, 10)
    ws = G.mapping(z)
    seen = {}
    hook = G.convs[1].register_forward_hook(lambda module, inputs, out: seen.update({8: out}))
    picture = G.synthesis(ws, "const")
    hook.remove()
    features = G.features(ws, (4, 8))
    assert {r: list(x.shape) for r, x in features.items()} == {4: [3, 12, 4, 4], 8: [3, 8, 8, 8]}
    assert torch.equal(features[8], seen[8])
    assert torch.equal(list(G.blocks(ws, "const"))[-1][1], picture)
    with pytest.raises(ValueError, match="features of 4, 8, 16 px"):
        G.features(ws, (32,))
