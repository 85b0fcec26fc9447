"""Distances of feature sets against closed forms, scipy, torchmetrics, and loops that anybody can check."""
import math

import numpy as np
import pytest
import scipy.linalg
import torch

from sketchgan.measure import distances


def test_frechet_distance_of_diagonal_gaussians_is_the_closed_form():
    mean1, mean2 = torch.randn(5), torch.randn(5)
    var1, var2 = torch.rand(5) + 0.1, torch.rand(5) + 0.1
    expected = (mean1 - mean2).square().sum() + (var1.sqrt() - var2.sqrt()).square().sum()
    found = distances.frechet_distance(mean1, var1.diag(), mean2, var2.diag())
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_frechet_distance_agrees_with_scipys_matrix_root():
    a, b = torch.randn(200, 8) @ torch.randn(8, 8), torch.randn(150, 8) @ torch.randn(8, 8) + 1
    (mean1, cov1), (mean2, cov2) = distances.moments(a), distances.moments(b)
    root = scipy.linalg.sqrtm((cov1 @ cov2).numpy()).real
    expected = (mean1 - mean2).square().sum() + np.trace((cov1 + cov2).numpy() - 2 * root)
    assert distances.frechet_distance(mean1, cov1, mean2, cov2) == pytest.approx(expected.item(), rel=1e-8)
    assert distances.frechet_distance(mean1, cov1, mean1, cov1) == pytest.approx(0, abs=1e-9 * cov1.trace().item())


@pytest.mark.parametrize("dim", [4, 2048])
def test_frechet_distance_of_equal_covariances_is_that_of_the_means(dim):
    mean, cov = torch.zeros(dim), torch.eye(dim)
    assert distances.frechet_distance(mean, cov, mean + 1, cov) == pytest.approx(dim, rel=1e-3)


def test_frechet_distance_agrees_with_torchmetrics_on_the_same_features():
    """torchmetrics is another implementation; it is shown features as pictures, which its network lets through."""
    image = pytest.importorskip("torchmetrics.image", reason="torchmetrics is not installed: pip install "
                                                             "'sketchgan[test]'")

    class Through(torch.nn.Module):
        num_features = 12

        def forward(self, x):
            return x.flatten(1)

    real, fake = torch.rand(300, 3, 2, 2), torch.rand(200, 3, 2, 2) ** 2
    theirs = image.fid.FrechetInceptionDistance(feature=Through(), normalize=True, input_img_size=(3, 2, 2))
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    ours = distances.frechet_distance(*(m for x in (real, fake) for m in distances.moments(x.flatten(1))))
    assert ours == pytest.approx(theirs.compute().item(), rel=1e-3) and ours > 0.1


def test_kid_subsets_scatter_around_the_kid_of_all():
    x, y = torch.randn(60, 4), torch.randn(50, 4) + 0.5
    subsets = distances.kid_subsets(x, y, subsets=200, size=25)
    assert len(subsets) == 200 and subsets.mean() == pytest.approx(distances.kid(x, y), abs=0.3 * subsets.std().item())
    assert distances.kid_subsets(x, y, 3, size=1000).std() < 1e-12, "subsets of all are all alike"


def test_frechet_distance_bears_covariances_of_low_rank():
    few = torch.randn(4, 16)  # rank 3 in 16 dimensions
    mean, cov = distances.moments(few)
    shift = torch.ones(16)
    assert distances.frechet_distance(mean, cov, mean + shift, cov) == pytest.approx(16, rel=1e-6)


def test_moments_want_at_least_two_rows():
    with pytest.raises(ValueError, match="at least 2"):
        distances.moments(torch.randn(1, 4))


def test_kid_is_the_unbiased_sum_over_pairs(monkeypatch):
    monkeypatch.setattr(distances, "CHUNK", 3)
    x, y = torch.randn(7, 4).double(), torch.randn(5, 4).double() + 0.5
    kernel = lambda a, b: (float(a @ b) / 4 + 1) ** 3
    xx = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    yy = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    xy = np.mean([kernel(a, b) for a in x for b in y])
    assert distances.kid(x, y) == pytest.approx(xx + yy - 2 * xy, rel=1e-9)


def brute_force_manifolds(real, fake, k):
    """Everything that precision, recall, density and coverage need, by sorting lists."""
    distance = lambda a, b: math.dist(a.tolist(), b.tolist())
    radius = lambda i, points: sorted(distance(points[i], p) for j, p in enumerate(points) if j != i)[k - 1]
    real_radii, fake_radii = ([radius(i, points) for i in range(len(points))] for points in (real, fake))
    in_real = [[distance(f, r) <= radius for r, radius in zip(real, real_radii)] for f in fake]
    in_fake = [[distance(r, f) <= radius for f, radius in zip(fake, fake_radii)] for r in real]
    return in_real, in_fake


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_agree_with_brute_force(k, monkeypatch):
    monkeypatch.setattr(distances, "CHUNK", 7)
    real, fake = torch.randn(24, 3), 0.6 * torch.randn(17, 3) + 0.5
    in_real, in_fake = brute_force_manifolds(real, fake, k)
    precision, recall = distances.precision_recall(real, fake, k)
    assert precision == pytest.approx(np.mean([any(row) for row in in_real]))
    assert recall == pytest.approx(np.mean([any(row) for row in in_fake]))
    assert 0 < recall < precision, "the narrow set is precise but does not cover the wide one"


def test_density_and_coverage_agree_with_brute_force(monkeypatch):
    monkeypatch.setattr(distances, "CHUNK", 5)
    real, fake = torch.randn(20, 3), torch.randn(13, 3) + 0.3
    in_real, _ = brute_force_manifolds(real, fake, 2)
    density, coverage = distances.density_coverage(real, fake, 2)
    assert density == pytest.approx(np.sum(in_real) / (2 * 13))
    assert coverage == pytest.approx(np.mean(np.any(in_real, axis=0)))


def test_equal_sets_have_full_precision_and_recall_and_distant_ones_none():
    x = torch.randn(30, 4)
    assert distances.precision_recall(x, x.clone()) == (1.0, 1.0)
    assert distances.precision_recall(x, x + 100) == (0.0, 0.0)
    with pytest.raises(ValueError, match="at least 4"):
        distances.precision_recall(x[:3], x)
