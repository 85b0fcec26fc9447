"""Carrying latents over: an unchanged model changes nothing, and z decides what a customised one does."""
import copy

import pytest
import torch

from sketchgan.editing import PhotoEdit, ProjectConfig, carry, nearest_z, project
from sketchgan.nets import Generator


@pytest.fixture(scope="module")
def G():
    torch.manual_seed(0)
    return Generator(16, 8, 8, 2, {4: 8, 8: 8, 16: 8}).eval()


@pytest.fixture(scope="module")
def customised(G):
    other = copy.deepcopy(G)
    other.style[2].bias.data += 40 * torch.randn(8)
    return other


@pytest.fixture(scope="module")
def ws(G):
    torch.manual_seed(1)
    return G.mapping(torch.randn(2, 8)).detach() + 0.1 * torch.randn(2, G.num_ws, 8)


def test_a_model_that_was_not_changed_gives_the_latents_back(G, ws):
    assert torch.allclose(carry(ws, G, copy.deepcopy(G), nearest_z(G, ws.mean(1), 5)), ws, atol=1e-5)


def test_the_rule_row_by_row(G, customised, ws):
    z = torch.randn(2, 8)
    carried = carry(ws, G, customised, z, layers=range(2, G.num_ws))
    assert torch.allclose(carried[:, :2], customised.mapping(z)[:, :2], atol=1e-6)
    assert torch.allclose(carried[:, 2:], (customised.mapping(z) + ws - G.mapping(z))[:, 2:], atol=1e-6)
    assert torch.allclose(carry(ws, G, customised, z, keep=0.0), customised.mapping(z), atol=1e-6), "the paper's rule"


def test_a_photograph_is_swapped_edited_and_painted(G, customised):
    images = G(torch.randn(2, 8), noise_mode="const").detach().clamp(-1, 1)
    found = project(G, images, None, ProjectConfig(steps=5), progress=False)
    photo = PhotoEdit(found, customised)
    assert torch.allclose(photo.paint(swapped=False), found.images.clamp(-1, 1), atol=1e-5)
    swapped = photo.paint()
    assert swapped.shape == images.shape and (swapped - images).abs().mean() > 0.01
    assert torch.equal(photo.paint(lambda ws: ws), swapped)
    assert not torch.allclose(photo.paint(lambda ws: ws + 1), swapped)


def test_models_that_do_not_belong_together_are_told(G, ws):
    with pytest.raises(ValueError, match="customised from"):
        carry(ws, G, Generator(16, 8, 4, 2, {4: 8, 8: 8, 16: 8}))
    with pytest.raises(ValueError, match="rows 0 to 5"):
        carry(ws, G, G, layers=[6])
    with pytest.raises(ValueError, match="wanted one for each"):
        carry(ws, G, G, z=torch.zeros(1, 8))
