"""Mixtures: alone a model is itself, in between both ways are what their formulas say; strangers are refused."""
import copy

import pytest
import torch
from stand_ins import small_generator

from sketchgan.editing import Mixer, added, agreement, barycentric, strength
from sketchgan.nets import Generator


def family():
    """An original and two that differ from it in their mapping networks."""
    G = small_generator()
    models = {"original": G, "a": copy.deepcopy(G), "b": copy.deepcopy(G)}
    with torch.no_grad():
        for name in ("a", "b"):
            for p in models[name].style.parameters():
                p += 50 * torch.randn_like(p) if p.ndim > 1 else 0.0    # weights are stored a hundred times larger
    return models


def test_a_model_alone_is_itself_bit_by_bit():
    models, z = family(), torch.randn(4, 8)
    mixer = Mixer(models)
    for name, G in models.items():
        for space in ("w", "weights"):
            for psi in (1.0, 0.5):
                assert torch.equal(mixer.ws({name: 1.0}, z, space, psi), G.mapping(z, psi))
    assert torch.equal(mixer.ws(strength("a", 0.0), z), models["original"].mapping(z))
    assert torch.equal(mixer.ws(strength("a", 1.0), z), models["a"].mapping(z))


@pytest.mark.parametrize("amount", [0.25, 1.5, -0.5])
def test_strength_goes_along_the_line_and_beyond(amount):
    models, z = family(), torch.randn(4, 8)
    mixer = Mixer(models)
    w0, w1 = models["original"].mapping(z), models["a"].mapping(z)
    assert torch.allclose(mixer.ws(strength("a", amount), z), w0 + amount * (w1 - w0), atol=1e-5)
    network = mixer.network(strength("a", amount))
    for key, value in network.style.state_dict().items():
        x, y = (models[name].style.state_dict()[key] for name in ("original", "a"))
        assert torch.allclose(value, x + amount * (y - x), atol=1e-5)
    assert torch.equal(mixer.ws(strength("a", amount), z, "weights"), network.mapping(z))
    assert torch.allclose(mixer.ws(strength("a", amount), z, "weights", 0.7), network.mapping(z, 0.7))
    assert not network.w_avg_is_measured() or torch.allclose(network.mean_w(), network._measured_w(), atol=1e-4)


def test_two_customisations_add_in_any_order():
    models, z = family(), torch.randn(4, 8)
    mixer, w = Mixer(models), {name: G.mapping(z) for name, G in models.items()}
    both = mixer.ws(added({"a": 1.0, "b": 0.5}), z)
    assert torch.allclose(both, w["original"] + (w["a"] - w["original"]) + 0.5 * (w["b"] - w["original"]), atol=1e-5)
    assert torch.allclose(both, mixer.ws(added({"b": 0.5, "a": 1.0}), z), atol=1e-5)
    assert torch.allclose(both, mixer.ws({"a": 1.0, "b": 0.5}, z)), "the original takes what is missing to 1"


def test_truncation_of_a_mixture_goes_to_the_mean_of_the_mixture():
    models, z = family(), torch.randn(4, 8)
    mixer, shares = Mixer(models), {"a": 0.5, "b": 0.5}
    mean = 0.5 * (models["a"].mean_w() + models["b"].mean_w())
    assert torch.allclose(mixer.ws(shares, z, "w", 0.0), mean.expand(4, 4, 8), atol=1e-5)


def test_the_models_that_are_mixed_stay_as_they_are_and_none_is_shared():
    models = family()
    before = {name: copy.deepcopy(G.state_dict()) for name, G in models.items()}
    made = Mixer(models).network({"a": 0.5, "b": 0.5})
    with torch.no_grad():
        next(made.parameters()).add_(1)
    assert all(torch.equal(value, models[name].state_dict()[key]) for name in models
               for key, value in before[name].items())


def test_strangers_are_refused_and_told_apart():
    models = family()
    other = copy.deepcopy(models["a"])
    with torch.no_grad():
        other.conv1.conv.weight.add_(0.01)
    with pytest.raises(ValueError, match="different synthesis networks.*conv1.conv.weight"):
        Mixer(models | {"stranger": other})
    with pytest.raises(ValueError, match="built differently"):
        Mixer(models | {"larger": Generator(16, 8, 8, 2, {4: 8, 8: 8, 16: 8})})
    with pytest.raises(ValueError, match="wanted generators"):
        Mixer({"a": type("G", (), dict(mapping=0, synthesis=0, z_dim=8))()})
    for wrong in ({}, [], {"a": None}, None):
        with pytest.raises(ValueError, match="models"):
            Mixer(wrong)


@pytest.mark.parametrize("shares, message", [
    ({"c": 1.0}, "'c'"), ({"original": 0.5, "a": 1.0}, "sum to 1.5"), ({}, "shares"), ({"a": float("nan")}, "shares")])
def test_shares_that_mean_nothing_are_refused(shares, message):
    with pytest.raises(ValueError, match=message):
        Mixer(family()).ws(shares, torch.randn(2, 8))


def test_without_the_original_shares_must_sum_to_one():
    models = {name: G for name, G in family().items() if name != "original"}
    mixer, z = Mixer(models), torch.randn(2, 8)
    assert torch.allclose(mixer.ws({"a": 0.5, "b": 0.5}, z), (models["a"].mapping(z) + models["b"].mapping(z)) / 2)
    with pytest.raises(ValueError, match="no model 'original'"):
        mixer.ws({"a": 0.5}, z)
    with pytest.raises(ValueError, match="of one"):
        strength("original", 0.5)


def test_places_on_the_map_are_shares():
    corners = ((0.0, 0.0), (4.0, 0.0), (0.0, 2.0))
    assert barycentric((4.0, 0.0), corners) == (0, 1, 0)
    assert barycentric((4 / 3, 2 / 3), corners) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert barycentric((8.0, 0.0), corners) == pytest.approx((-1, 2, 0)), "beyond a corner"
    assert barycentric((1.0, 5.0), corners[:2]) == pytest.approx((0.75, 0.25))
    for wrong in (corners[:1], ((0.0, 0.0), (1.0, 1.0), (2.0, 2.0)), corners + corners):
        with pytest.raises(ValueError, match="corners"):
            barycentric((0.0, 0.0), wrong)


def test_the_two_ways_agree_where_the_models_do_and_differ_where_they_differ():
    models = family()
    z = torch.randn(16, 8)
    same = agreement(Mixer({"original": models["original"], "a": copy.deepcopy(models["original"])}), {"a": 0.5}, z)
    assert same["ways"] < 1e-5 < same["samples"]
    differ = agreement(Mixer(models), {"a": 0.5, "b": 0.5}, z)
    assert differ["ways"] > 1e-4 and 0 < differ["w"] < 1
