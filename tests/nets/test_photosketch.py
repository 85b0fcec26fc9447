"""PhotoSketch against the reference implementation, and its two ways of normalising."""
import pytest
import torch

from sketchgan.nets.photosketch import PhotoSketch
from tests.parity.reference import assert_agrees, case, filled


def small(**changes):
    torch.manual_seed(1)
    return PhotoSketch(**dict(ngf=4, n_blocks=2) | changes)


def buffers(F):
    return {name: value.clone() for name, value in F.named_buffers()}


@torch.no_grad()
def test_parity():
    c = case("photosketch")
    F = filled(PhotoSketch(), "photosketch", c["seed"])
    before = buffers(F)
    assert_agrees(F(c["x"]), c["sketch_batch_stats"])
    assert_agrees(F(c["x"][:1]), c["sketch_batch_stats_single"])
    F.batch_stats = False
    assert_agrees(F(c["x"]), c["sketch_running_stats"])
    assert all(torch.equal(value, before[name]) for name, value in F.named_buffers())


@pytest.mark.parametrize("ngf, n_blocks, size", [(1, 0, (8, 12)), (3, 1, (16, 16)), (4, 5, (32, 20))])
def test_any_size(ngf, n_blocks, size):
    out = PhotoSketch(ngf, n_blocks)(torch.rand(2, 3, *size) * 2 - 1)
    assert out.shape == (2, 1, *size) and out.abs().max() <= 1


def test_official_size():
    with torch.device("meta"):
        F = PhotoSketch()
    assert sum(p.numel() for p in F.parameters()) == 11_377_153 and len(F.state_dict()) == 140


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_batch_statistics_whatever_the_mode(mode):
    F, x = getattr(small(), mode)(), torch.randn(3, 3, 16, 16)
    before = buffers(F)
    assert F.batch_stats  # the default
    assert not torch.allclose(F(x)[:1], F(x[:1]), atol=1e-4)  # depends on the neighbours
    F.batch_stats = False
    torch.testing.assert_close(F(x)[:1], F(x[:1]))
    assert all(torch.equal(value, before[name]) for name, value in F.named_buffers())


def test_measured_statistics_reproduce_the_batch():
    F, x = small(), torch.randn(6, 3, 32, 32)
    F.measure_running_stats([x])
    sketch = F(x)
    assert F.batch_stats
    F.batch_stats = False
    torch.testing.assert_close(F(x), sketch, atol=0.05, rtol=0)  # up to n / (n - 1) in the variances
    fresh = small()
    fresh.batch_stats = False
    assert (fresh(x) - sketch).abs().max() > 0.1


def test_measure_running_stats_wants_images():
    with pytest.raises(ValueError, match="no images"):
        small().measure_running_stats([])


def test_gradient_passes_through_a_frozen_network():
    F, x = small().requires_grad_(False), torch.randn(2, 3, 16, 16, requires_grad=True)
    F(x).square().sum().backward()
    assert x.grad.abs().sum() > 0 and all(p.grad is None for p in F.parameters())


@pytest.mark.parametrize("shape", [(1, 3, 18, 16), (1, 3, 16, 4), (1, 1, 16, 16), (3, 16, 16)])
def test_wrong_shapes_are_explained(shape):
    with pytest.raises(ValueError, match="multiples of 4"):
        small()(torch.zeros(shape))


def test_wrong_sizes_are_explained():
    with pytest.raises(ValueError, match="ngf of PhotoSketch is 0"):
        PhotoSketch(0, 2)
