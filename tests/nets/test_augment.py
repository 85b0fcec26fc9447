"""Differentiable augmentation: the published numbers, randomness that belongs to the caller, gradients."""

import pytest
import torch

from sketchgan.nets.augment import POLICIES, augment


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("policy", [*POLICIES, "color,translation,cutout,upscale"])
def test_same_generator_state_same_result(policy):
    x = torch.rand(5, 3, 16, 16) * 2 - 1
    first, again, other = (augment(x, policy, seeded(s)) for s in (1, 1, 2))
    assert first.shape == x.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("policy", POLICIES)
def test_gradient(policy):
    x = (torch.rand(2, 3, 8, 8, dtype=torch.float64) * 2 - 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: augment(v, policy, seeded()), x)


def test_translation_reaches_an_eighth_each_way_and_pads_with_grey():
    # One black pixel in the middle of paper tells where its image went.
    x = torch.ones(2000, 1, 64, 64)
    x[:, :, 32, 32] = -1
    y = augment(x, "translation", seeded())
    rows, columns = (y == -1).nonzero()[:, 2:].T - 32
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (-8, 8, -8, 8)
    assert abs(rows.float().mean()) < 0.4 and abs(columns.float().mean()) < 0.4
    # Paper that came in from outside is 0, and exactly as much of it as the move uncovers.
    grey = (y == 0).sum((1, 2, 3))
    assert torch.equal(grey, 64 * 64 - (64 - rows.abs()) * (64 - columns.abs()))


def test_translation_is_drawn_for_each_image():
    x = torch.arange(64.0).reshape(1, 1, 8, 8).expand(16, 1, 8, 8)
    y = augment(x, "translation", seeded())
    assert len({tuple(image.flatten().tolist()) for image in y}) > 4


def test_color_ranges():
    x = torch.full((4000, 3, 2, 2), 0.25)
    y = augment(x, "color", seeded())  # of a flat grey image only the brightness changes
    assert torch.allclose(y, y.mean((1, 2, 3), keepdim=True).expand_as(y), atol=1e-6)
    shift = y[:, 0, 0, 0] - 0.25
    assert -0.5 <= shift.min() < -0.49 and 0.49 < shift.max() <= 0.5


def test_cutout_removes_at_most_a_quarter():
    y = augment(torch.ones(500, 1, 16, 16), "cutout", seeded())
    gone = (y == 0).sum((1, 2, 3))
    assert gone.max() == 64 and gone.min() >= 16


def test_empty_policy_changes_nothing_and_draws_nothing():
    x, generator = torch.rand(2, 3, 8, 8), seeded()
    before = generator.get_state()
    assert torch.equal(augment(x, "", generator), x)
    assert torch.equal(generator.get_state(), before)


def test_unknown_policy_is_named():
    with pytest.raises(ValueError, match="'flip'.*translation"):
        augment(torch.zeros(1, 1, 8, 8), "translation,flip", seeded())
