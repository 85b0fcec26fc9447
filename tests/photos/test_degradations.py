"""Degradations stay within the ranges of the library, obey their generator, and do what they are named after."""
import pytest
import torch

from sketchgan.photos import degradations


def test_degradations_keep_the_range_and_depend_on_the_generator_alone():
    images = torch.rand(32, 3, 64, 64) * 2 - 1
    contours = torch.ones(8, 1, 64, 64)
    contours[..., 20:44, 30:32] = -1
    seeded = lambda seed: torch.Generator().manual_seed(seed)
    for function, x in ((degradations.degrade_photo, images), (degradations.spoil, images),
                        (degradations.redraw, contours)):
        once, again, other = function(x, seeded(1)), function(x, seeded(1)), function(x, seeded(2))
        assert torch.equal(once, again) and not torch.equal(once, other)
        assert once.shape == x.shape and once.min() >= -1 and once.max() <= 1
    kept = (degradations.degrade_photo(images, seeded(1)) == images).flatten(1).all(1).float().mean()
    assert 0.1 < kept < 0.5, "a part of the pictures stays clean"


def test_blur_is_a_gaussian_and_spares_flat_pictures():
    point = torch.zeros(2, 1, 33, 33)
    point[..., 16, 16] = 1
    blurred = degradations.gaussian_blur(point, torch.tensor([1.0, 2.0]))
    x = torch.arange(33) - 16.0
    for k, sigma in enumerate((1.0, 2.0)):
        variance = (blurred[k, 0].sum(0) * x.square()).sum() / blurred[k].sum()
        assert variance == pytest.approx(sigma ** 2, rel=0.1)
    assert torch.allclose(degradations.gaussian_blur(torch.full((1, 3, 8, 8), 0.3), 1.5), torch.tensor(0.3))


def test_warp_moves_and_blocks_quantise():
    image = torch.rand(1, 1, 16, 16)
    moved = degradations.warp(image, torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 16, 16))
    assert torch.allclose(moved[..., :13], image[..., 3:], atol=1e-5)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    strength = torch.tensor([0.0, 4.0]).reshape(2, 1, 1, 1)
    blocky = degradations.block_artefacts(images, strength)
    assert torch.allclose(blocky[0], images[0], atol=0.01) and (blocky[1] - images[1]).abs().mean() > 0.1


def test_redrawn_lines_stay_near_and_have_gaps_and_widths():
    contours = torch.ones(64, 1, 64, 64)
    contours[..., 12:52, 31:33] = -1
    drawn = degradations.redraw(contours, torch.Generator().manual_seed(0))
    near = torch.zeros(64, 64, dtype=torch.bool)
    near[9:55, 28:36] = True
    ink = drawn[:, 0] < 0
    assert ink[:, near].sum() > 0.97 * ink.sum(), "within three pixels of the true line"
    widths = ink.sum((1, 2)) / ink.any(2).sum(1)
    assert widths.min() < 2.1 and widths.max() > 2.4, "pens differ"
    gaps = 1 - ink.any(2)[:, 14:50].float().mean(1)
    assert gaps.max() > 0.03 and gaps.mean() < 0.2
    blank = degradations.redraw(torch.ones(1, 1, 64, 64), torch.Generator().manual_seed(0))
    assert (blank > 0.9).all(), "no ink, no drawing"
