"""Metrics: how far apart two sets of pictures are, how many samples obey the sketches, and what diversity is left.

Everything works on tensors of features or of images, so any feature extractor will do. Where none is named, it is our
own judge (judge.py), never Inception, and numbers are comparable only among themselves.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from .judge import Judge

CHUNK = 1024  # rows of a distance matrix that exist at one time


# ---------------------------------------------------------------------------------------------------------- samples

@torch.no_grad()
def sample(G: nn.Module, n: int, seed: int = 0, batch: int = 64, truncation_psi: float = 1.0) -> Tensor:
    """n random samples of a generator: [n, 3, R, R] on the CPU, clamped to [-1, 1].

    z and the noise of each layer come from `seed`, so two generators are shown with the same z and the same noise.
    """
    random = Generator().manual_seed(seed)
    device = next(G.parameters()).device
    pieces = []
    for start in range(0, n, batch):
        # Always a whole batch, so that the first images do not depend on n.
        ws = G.mapping(torch.randn(batch, G.z_dim, generator=random).to(device), truncation_psi)
        pieces.append(G.synthesis(ws, generator=random).clamp(-1, 1).cpu()[:n - start])
    return torch.cat(pieces)


@torch.no_grad()
def features_of(judge: Judge, images: Tensor, batch: int = 128) -> Tensor:
    """The judge's feature vectors [N, dim] of images [N, 3, H, W], on the CPU."""
    device = next(judge.parameters()).device
    return torch.cat([judge.features(x.to(device)).cpu() for x in images.split(batch)])


@torch.no_grad()
def satisfying_samples(G: nn.Module, judge: Judge, predicate: str, n: int, seed: int = 0, batch: int = 64,
                       most: int = 100_000) -> tuple[Tensor, float]:
    """The first n samples of a generator that show the predicate, and the share of all samples that do.

    Returns ([m, 3, R, R], share); m < n if `most` samples hold no more.
    """
    kept, drawn, count = [], 0, 0
    block = 16 * batch
    while count < n and drawn < most:
        images = sample(G, block, seed=seed + 1_000_000 * (1 + drawn // block), batch=batch)
        yes = images[torch.cat([judge.satisfies(predicate, x) for x in images.split(128)])]
        kept.append(yes)
        drawn, count = drawn + block, count + len(yes)
    return torch.cat(kept)[:n], count / drawn


# -------------------------------------------------------------------------------------------------------- distances

def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] of features [N, D], in double precision."""
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"moments wants features [N, D] with N at least 2; got {tuple(features.shape)}.")
    x = features.double()
    return x.mean(0), torch.cov(x.T).reshape(x.shape[1], x.shape[1])


def frechet_distance(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)): the squared Frechet distance of two Gaussians.

    Means [D] and covariances [D, D], as from `moments`. With Inception features this is FID (Heusel et al. 2017, equation
    6); here the features are those of the judge. The trace of the root is the sum of the roots of the eigenvalues of
    the symmetric C1^(1/2) C2 C1^(1/2), so no complex numbers arise.
    """
    values, vectors = torch.linalg.eigh(cov1.double())
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov2.double() @ root).clamp_min(0).sqrt().sum()
    distance = (mean1 - mean2).double().square().sum() + cov1.trace() + cov2.trace() - 2 * cross
    return max(0.0, distance.item())


def kid(real: Tensor, fake: Tensor) -> float:
    """Kernel distance of features [N, D] and [M, D]: the unbiased squared MMD with the kernel (x.y / D + 1)^3.

    Binkowski et al. 2018, section 4 and equation 4, over all pairs rather than random subsets. May be slightly negative.
    """
    real, fake = real.double(), fake.double()

    def total(x: Tensor, y: Tensor) -> float:
        return sum((rows @ y.T / y.shape[1] + 1).pow(3).sum().item() for rows in x.split(CHUNK))

    def off_diagonal(x: Tensor) -> float:
        own = (x.square().sum(1) / x.shape[1] + 1).pow(3).sum().item()
        return (total(x, x) - own) / (len(x) * (len(x) - 1))

    return off_diagonal(real) + off_diagonal(fake) - 2 * total(real, fake) / (len(real) * len(fake))


def neighbour_radii(features: Tensor, k: int) -> Tensor:
    """The distance of each of the features [N, D] to its k-th nearest other one: [N]."""
    if not 1 <= k < len(features):
        raise ValueError(f"The {k}-th nearest neighbour needs at least {k + 1} feature vectors; got {len(features)}.")
    # The nearest one is the vector itself, at distance 0: so k + 1.
    return torch.cat([_distances(rows, features).kthvalue(k + 1, dim=1).values for rows in features.split(CHUNK)])


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances [N, M]. The exact form: the quick one by matrix products loses the small ones to rounding."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _covered(points: Tensor, centers: Tensor, radii: Tensor) -> Tensor:
    """Which points [N, D] lie in a ball around any of the centers [M, D]: booleans [N]."""
    return torch.cat([(_distances(rows, centers) <= radii).any(1) for rows in points.split(CHUNK)])


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Share of fake features [M, D] within the manifold of the real ones [N, D], and the other way round.

    A manifold is the union of balls around its vectors that reach to the k-th neighbour (Kynkaanniemi et al. 2019,
    equations 1 and 2). Recall is the share of reality that the generator covers.
    """
    precision = _covered(fake, real, neighbour_radii(real, k)).double().mean().item()
    recall = _covered(real, fake, neighbour_radii(fake, k)).double().mean().item()
    return precision, recall


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, equations 4 and 5): like precision and recall, but only around real
    vectors, so that a few outliers among the fakes cannot raise them. Density may exceed 1."""
    radii = neighbour_radii(real, k)
    inside = torch.cat([_distances(rows, real) <= radii for rows in fake.split(CHUNK)])  # [M, N]
    return inside.sum().item() / (k * len(fake)), inside.any(0).double().mean().item()


# ----------------------------------------------------------------------------------------------------------- shares

@dataclass(frozen=True)
class Share:
    """A share of samples, with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


def predicate_share(decided: Tensor, confusion: tuple[int, int, int, int] | None = None, resamples: int = 2000,
                    seed: int = 0) -> Share:
    """The share of samples that satisfy a predicate, with a 95 % bootstrap interval.

    decided: booleans [N], as from `judge.satisfies`. confusion: the judge's (true positive, false positive, false
    negative, true negative) counts on pictures of known truth. With it, the share is corrected for the judge's errors:
    (share - false positive rate) / (true positive rate - false positive rate) (Rogan and Gladen 1978), and the interval
    includes the uncertainty of those rates.
    Raises ValueError if there are no samples, or if the judge is no better than chance.
    """
    if not len(decided):
        raise ValueError("predicate_share got no samples; judge at least one.")
    random = Generator().manual_seed(seed)
    share = decided.double().mean()
    shares = _resample(share, len(decided), resamples, random)
    if confusion is not None:
        tp, fp, fn, tn = confusion
        if not (tp + fn and fp + tn) or tp * (fp + tn) <= fp * (tp + fn):
            raise ValueError(f"The confusion counts {tuple(confusion)} (true positive, false positive, false negative, "
                             "true negative) are of a judge no better than chance; no share can be corrected by them.")
        hit, false_alarm = torch.tensor(tp / (tp + fn)).double(), torch.tensor(fp / (fp + tn)).double()
        hits, false_alarms = (_resample(p, n, resamples, random) for p, n in ((hit, tp + fn), (false_alarm, fp + tn)))
        correct = lambda s, h, f: ((s - f) / (h - f).clamp_min(1e-9)).clamp(0, 1)
        share, shares = correct(share, hit, false_alarm), correct(shares, hits, false_alarms)
    low, high = torch.quantile(shares, torch.tensor([0.025, 0.975]).double()).tolist()
    return Share(share.item(), low, high)


def _resample(share: Tensor, n: int, resamples: int, random: Generator) -> Tensor:
    """Shares of n booleans drawn with replacement from n of the given share: [resamples]. (A binomial, no loop.)"""
    return torch.binomial(torch.full((resamples,), float(n)).double(), share.double().expand(resamples), random) / n


def bootstrap_interval(statistic: Callable[[Tensor], float], values: Tensor, resamples: int = 1000,
                       seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of any statistic of the rows of `values` [N, ...]."""
    random = Generator().manual_seed(seed)
    draws = [statistic(values[torch.randint(len(values), (len(values),), generator=random)]) for _ in range(resamples)]
    return tuple(torch.quantile(torch.tensor(draws).double(), torch.tensor([0.025, 0.975]).double()).tolist())


# -------------------------------------------------------------------------------------------------------- diversity

def color_spread(images: Tensor) -> float:
    """How much pictures differ in colour: the standard deviation over pictures of their mean colour, mean of the
    three channels. images [N, 3, H, W] in [-1, 1]."""
    return images.mean((2, 3)).std(0).mean().item()


@dataclass(frozen=True)
class Reference:
    """What customised generators of one task are compared with, made once by `reference`.

    scenes: judge features [N, D] of renders that satisfy the predicate. recall, color: of the base generator's samples
    that satisfy it already. count: how many those are; precision and recall of other sets are taken with as many.
    """

    scenes: Tensor
    recall: float
    color: float
    count: int


def reference(judge: Judge, scenes: Tensor, base: Tensor, k: int = 3) -> Reference:
    """Measure the base. scenes: renders that satisfy the predicate [N, 3, R, R] (Menagerie with predicate=..., of the
    evaluation seed). base: samples of the original generator that satisfy it [n, 3, R, R] (`satisfying_samples`)."""
    real = features_of(judge, scenes)
    _, recall = precision_recall(real, features_of(judge, base), k)
    return Reference(real, recall, color_spread(base), len(base))


@dataclass(frozen=True)
class Diversity:
    """What variety a generator has, and relative to what its base had within the predicate (1: nothing is lost)."""

    precision: float
    recall: float
    color: float
    relative_recall: float
    relative_color: float
    frechet: float


def diversity(judge: Judge, against: Reference, samples: Tensor, k: int = 3) -> Diversity:
    """What diversity a customised generator kept.

    samples: random samples of it [N, 3, R, R], whether they satisfy the predicate or not. The paper compares 2,500 with
    2,500 at k = 3. Recall grows with the number of samples, so there must be as many as there were of the base.
    """
    if len(samples) < against.count:
        raise ValueError(f"The base was measured with {against.count} samples; got {len(samples)}. Draw at least as many.")
    fake = features_of(judge, samples)
    precision, recall = precision_recall(against.scenes, fake[:against.count], k)
    color = color_spread(samples)
    return Diversity(precision, recall, color, recall / max(against.recall, 1e-9), color / max(against.color, 1e-9),
                     frechet_distance(*moments(against.scenes), *moments(fake)))


# --------------------------------------------------------------------------------------------------------- contours

def contour_f1(drawn: Tensor, truth: Tensor, tolerance: int = 1) -> dict[str, float]:
    """Precision, recall and F1 of drawn ink against true ink, over all pictures together.

    drawn, truth: [N, 1, H, W], paper +1, ink -1; a pixel is ink below 0. Ink counts as right if there is ink of the other
    picture within `tolerance` pixels along either axis. 'ink' is the ratio of the amounts, since thick lines are forgiven.
    """
    if drawn.shape != truth.shape or drawn.ndim != 4:
        raise ValueError(f"contour_f1 wants two tensors of one shape [N, 1, H, W]; got {tuple(drawn.shape)} and "
                         f"{tuple(truth.shape)}.")
    drawn, truth = (drawn < 0).float(), (truth < 0).float()
    near = lambda ink: functional.max_pool2d(ink, 2 * tolerance + 1, 1, tolerance)
    precision = ((drawn * near(truth)).sum() / drawn.sum().clamp_min(1)).item()
    recall = ((truth * near(drawn)).sum() / truth.sum().clamp_min(1)).item()
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    ink = (drawn.sum() / truth.sum().clamp_min(1)).item()
    return {"precision": precision, "recall": recall, "f1": f1, "ink": ink}


def spread(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation over seeds (0 for one value)."""
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1))
