"""Distances between two sets of pictures, as functions of their feature vectors: Frechet, KID, precision and recall,
density and coverage.

Nothing here knows where the features come from; `metrics.evaluate` does, and names it beside every number. Sets are
tensors [N, D], one row for each picture.
"""

import torch
from torch import Tensor

CHUNK = 1024  # rows of a distance matrix that exist at one time


# ------------------------------------------------------------------------------------------------------ two Gaussians

def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] of features [N, D], in double precision."""
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"moments wants features [N, D] with N at least 2; got {tuple(features.shape)}.")
    x = features.double()
    return x.mean(0), torch.cov(x.T).reshape(x.shape[1], x.shape[1])


def frechet_distance(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)): the squared Frechet distance of two Gaussians.

    Means [D] and covariances [D, D], as from `moments`. With Inception features this is FID (Heusel et al. 2017, equation
    6). The trace of the root is the sum of the roots of the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2), so no
    complex numbers arise.
    """
    values, vectors = torch.linalg.eigh(cov1.double())
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov2.double() @ root).clamp_min(0).sqrt().sum()
    distance = (mean1 - mean2).double().square().sum() + cov1.trace() + cov2.trace() - 2 * cross
    return max(0.0, distance.item())


# ----------------------------------------------------------------------------------------------------------- a kernel

def polynomial_kernel(a: Tensor, b: Tensor) -> Tensor:
    """(a.b / D + 1)^3 for each pair of rows of a [N, D] and b [M, D]: [N, M], in double precision."""
    return (a.double() @ b.double().T / a.shape[1] + 1).pow(3)


def kid(real: Tensor, fake: Tensor) -> float:
    """Kernel distance of features [N, D] and [M, D]: the unbiased squared MMD with `polynomial_kernel`.

        mean over i != j of k(x_i, x_j)  +  mean over i != j of k(y_i, y_j)  -  2 mean over i, j of k(x_i, y_j)

    Binkowski et al. 2018, section 4 and equation 4, over all pairs. May be slightly negative.
    """
    def total(x: Tensor, y: Tensor) -> float:
        return sum(polynomial_kernel(rows, y).sum().item() for rows in x.split(CHUNK))

    def off_diagonal(x: Tensor) -> float:
        own = (x.double().square().sum(1) / x.shape[1] + 1).pow(3).sum().item()
        return (total(x, x) - own) / (len(x) * (len(x) - 1))

    return off_diagonal(real) + off_diagonal(fake) - 2 * total(real, fake) / (len(real) * len(fake))


def kid_subsets(real: Tensor, fake: Tensor, subsets: int = 100, size: int = 1000, seed: int = 0) -> Tensor:
    """KID as it is published: of `subsets` random subsets of `size` features each (at most all), [subsets].

    Binkowski et al. 2018 report their mean and standard deviation. `kid` is the mean without the noise of drawing;
    the standard deviation is that of a set of `size`, not of all.
    """
    random = torch.Generator().manual_seed(seed)
    part = lambda x: x[torch.randperm(len(x), generator=random)[:size]]
    return torch.tensor([kid(part(real), part(fake)) for _ in range(subsets)], dtype=torch.double)


# ---------------------------------------------------------------------------------------------------------- manifolds

def pairwise(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances [N, M]. The exact form: the quick one by matrix products loses the small ones to rounding."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def neighbour_radii(features: Tensor, k: int) -> Tensor:
    """The distance of each of the features [N, D] to its k-th nearest other one: [N]."""
    if not 1 <= k < len(features):
        raise ValueError(f"The {k}-th nearest neighbour needs at least {k + 1} feature vectors; got {len(features)}.")
    # The nearest one is the vector itself, at distance 0: so k + 1.
    return torch.cat([pairwise(rows, features).kthvalue(k + 1, dim=1).values for rows in features.split(CHUNK)])


def inside(points: Tensor, centers: Tensor, radii: Tensor) -> Tensor:
    """Whether each point [N, D] lies in the ball of radius radii [M] around each center [M, D]: booleans [N, M]."""
    return torch.cat([pairwise(rows, centers) <= radii for rows in points.split(CHUNK)])


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Share of fake features [M, D] within the manifold of the real ones [N, D], and the other way round.

    A manifold is the union of balls around its vectors that reach to the k-th neighbour (Kynkaanniemi et al. 2019,
    equations 1 and 2). Recall is the share of reality that the generator covers.
    """
    precision = inside(fake, real, neighbour_radii(real, k)).any(1).double().mean().item()
    recall = inside(real, fake, neighbour_radii(fake, k)).any(1).double().mean().item()
    return precision, recall


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, equations 4 and 5): like precision and recall, but only around real
    vectors, so that a few outliers among the fakes cannot raise them.

        density = (fake vectors in real balls, counted once for each ball) / (k M)      may exceed 1
        coverage = share of the real balls that hold a fake vector
    """
    held = inside(fake, real, neighbour_radii(real, k))  # [M, N]
    return held.sum().item() / (k * len(fake)), held.any(0).double().mean().item()
