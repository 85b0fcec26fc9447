"""Distances between two sets of pictures, as functions of their feature vectors: Frechet, KID, precision and recall,
density and coverage.

Nothing here knows where the features come from; `evaluation.evaluate` does, and names it beside every number. Sets are
tensors [N, D], one row for each picture. Each measure is a short formula on sums, or on who lies in whose ball, so that
whole sets (row by row, in bounded memory) and their halves (cut out of one matrix) are measured by the same lines.
"""
import torch
from torch import Tensor

from ..files.checks import Count, Seed, Vectors, checked, shape

CHUNK = 1024  # rows of a distance matrix that exist at one time
Sample = shape("N", "D", rows=2)


def _same_length(a: Tensor, b: Tensor, names: str) -> None:
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(f"{names} have {a.shape[-1]} and {b.shape[-1]} numbers for each picture; only features of one "
                         "extractor can be compared.")


# ------------------------------------------------------------------------------------------------------ two Gaussians

@checked
def moments(features: Sample) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] of features [N, D], in double precision."""
    x = features.double()
    return x.mean(0), torch.cov(x.T).reshape(x.shape[1], x.shape[1])


@checked
def frechet_distance(mean1: shape("D"), cov1: shape("D", "D"), mean2: shape("D"), cov2: shape("D", "D")) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)): the squared Frechet distance of two Gaussians.

    Means [D] and covariances [D, D], as from `moments`. With Inception features this is FID (Heusel et al. 2017,
    equation 6). The trace of the root is the sum of the roots of the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2),
    so no complex numbers arise.
    """
    if len({len(mean1), len(mean2), *cov1.shape, *cov2.shape}) > 1:
        raise ValueError(f"mean1, cov1, mean2, cov2 have shapes {[list(x.shape) for x in (mean1, cov1, mean2, cov2)]}; "
                         "wanted [D], [D, D], [D], [D, D] of one D.")
    values, vectors = torch.linalg.eigh(cov1.double())
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov2.double() @ root).clamp_min(0).sqrt().sum()
    distance = (mean1 - mean2).double().square().sum() + cov1.trace() + cov2.trace() - 2 * cross
    return max(0.0, distance.item())


# ----------------------------------------------------------------------------------------------------------- a kernel

def polynomial_kernel(a: Tensor, b: Tensor) -> Tensor:
    """(a.b / D + 1)^3 for each pair of rows of a [N, D] and b [M, D]: [N, M], in double precision."""
    return (a.double() @ b.double().T / a.shape[1] + 1).pow(3)


def unbiased_mmd(xx: tuple[float, float], yy: tuple[float, float], xy: float, n: int, m: int) -> float:
    """The unbiased squared MMD of n and m vectors (Binkowski et al. 2018, equation 4):

        mean over i != j of k(x_i, x_j)  +  mean over i != j of k(y_i, y_j)  -  2 mean over i, j of k(x_i, y_j)

    xx, yy: sum of the kernel over all pairs of one set, and over its own diagonal; xy: sum over all pairs across.
    """
    off_diagonal = lambda sums, size: (sums[0] - sums[1]) / (size * (size - 1))
    return off_diagonal(xx, n) + off_diagonal(yy, m) - 2 * xy / (n * m)


@checked
def kid(real: Sample, fake: Sample) -> float:
    """Kernel distance of features [N, D] and [M, D]: `unbiased_mmd` with `polynomial_kernel`, over all pairs. May be
    slightly negative."""
    _same_length(real, fake, "real and fake")
    total = lambda x, y: sum(polynomial_kernel(rows, y).sum().item() for rows in x.split(CHUNK))
    own = lambda x: (x.double().square().sum(1) / x.shape[1] + 1).pow(3).sum().item()
    within = lambda x: (total(x, x), own(x))
    return unbiased_mmd(within(real), within(fake), total(real, fake), len(real), len(fake))


@checked
def kid_subsets(real: Sample, fake: Sample, subsets: Count = 100, size: Count = 1000, seed: Seed = 0) -> Tensor:
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


def kth_nearest(distances: Tensor, k: int) -> Tensor:
    """The distance to the k-th nearest other vector, in rows of a distance matrix [N, M] that hold the vector
    itself."""
    if not 1 <= k < distances.shape[1]:
        raise ValueError(f"k={k}: the {k}-th nearest neighbour needs at least {k + 1} feature vectors; got "
                         f"{distances.shape[1]}.")
    return distances.kthvalue(k + 1, dim=1).values  # the nearest one is the vector itself, at distance 0: so k + 1


def share_held(held: Tensor) -> float:
    """The share of the rows of booleans [N, M] in which any is true."""
    return held.any(1).double().mean().item()


def density(held: Tensor, k: int) -> float:
    """Of fake vectors in real balls, booleans [M, N]: how many there are, counted once for each ball, to k M."""
    return held.sum().item() / (k * len(held))


def neighbour_radii(features: Tensor, k: int) -> Tensor:
    """The distance of each of the features [N, D] to its k-th nearest other one: [N]."""
    return torch.cat([kth_nearest(pairwise(rows, features), k) for rows in features.split(CHUNK)])


def inside(points: Tensor, centers: Tensor, radii: Tensor) -> Tensor:
    """Whether each point [N, D] lies in the ball of radius radii [M] around each center [M, D]: booleans [N, M]."""
    return torch.cat([pairwise(rows, centers) <= radii for rows in points.split(CHUNK)])


@checked
def precision_recall(real: Vectors, fake: Vectors, k: Count = 3) -> tuple[float, float]:
    """Share of fake features [M, D] within the manifold of the real ones [N, D], and the other way round.

    A manifold is the union of balls around its vectors that reach to the k-th neighbour (Kynkaanniemi et al. 2019,
    equations 1 and 2). Recall is the share of reality that the generator covers.
    """
    _same_length(real, fake, "real and fake")
    return (share_held(inside(fake, real, neighbour_radii(real, k))),
            share_held(inside(real, fake, neighbour_radii(fake, k))))


@checked
def density_coverage(real: Vectors, fake: Vectors, k: Count = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, equations 4 and 5): like precision and recall, but only around real
    vectors, so that a few outliers among the fakes cannot raise them.

        density = (fake vectors in real balls, counted once for each ball) / (k M)      may exceed 1
        coverage = share of the real balls that hold a fake vector
    """
    _same_length(real, fake, "real and fake")
    held = inside(fake, real, neighbour_radii(real, k))  # [M, N]
    return density(held, k), share_held(held.T)
