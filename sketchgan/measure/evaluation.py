"""Evaluation: how far a set of samples is from a set of real pictures, with an interval and a name on every number.

    result = evaluate(judge_features(judge), real, fake)
    print(result)          # Frechet 12.3 (11.9 to 12.8), ... by judge 1a2b3c4d, 2500 real and 2500 fake pictures
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Annotated

import torch
from torch import Tensor

from ..files.checks import Images, Limits, Seed, Sees, Vectors, checked
from . import distances
from .distances import density, frechet_distance, kth_nearest, moments, pairwise, polynomial_kernel, share_held
from .extractors import features_of, name_of

NEIGHBOURS = {"precision": 3, "density": 5}  # k, as published by Kynkaanniemi et al. 2019 and Naeem et al. 2020


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured. extractor: by what; real, fake: how many pictures of each."""

    extractor: str
    real: int
    fake: int
    frechet: Estimate
    kid: Estimate
    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate

    def __str__(self) -> str:
        numbers = ", ".join(f"{f.name} {getattr(self, f.name)}" for f in fields(self) if f.type is Estimate)
        return f"{numbers}; by {self.extractor}, {self.real} real and {self.fake} fake pictures"

    def columns(self) -> dict:
        """One flat row for a table: each number, its interval as name_low and name_high, the counts, the extractor."""
        row: dict = {}
        for name, found in asdict(self).items():
            parts = found if isinstance(found, dict) else {"value": found}
            row |= {name if part == "value" else f"{name}_{part}": value for part, value in parts.items()}
        return row


@checked
def evaluate(extractor: Sees, real: Images | Vectors, fake: Images | Vectors,
             resamples: Annotated[int, Limits(least=2)] = 100, seed: Seed = 0) -> Evaluation:
    """Compare two sets of pictures in every way there is, by one extractor.

    Args:
        extractor: `judge_features(judge)`, `inception_features(path)`, or anything `features_of` takes.
        real, fake: images [N, 3, H, W] and [M, 3, H, W] in [-1, 1], or their features [N, D] and [M, D]. The paper
            compares 2,500 with 2,500. All these numbers depend on how many there are: compare equal counts only.
        resamples: half-samples for the intervals. With 2,048 features and 2,500 pictures each takes seconds.
    """
    real, fake = (features_of(extractor, x) if x.ndim == 4 else x for x in (real, fake))
    if real.shape[1] != fake.shape[1] or min(len(real), len(fake)) < 12:
        raise ValueError("evaluate wants real and fake: two sets of at least 12 images [N, 3, H, W] or of features "
                         f"[N, D] of one length; it got features {tuple(real.shape)} and {tuple(fake.shape)}.")
    whole = {"frechet": frechet_distance(*moments(real), *moments(fake)), "kid": distances.kid(real, fake)}
    whole |= dict(zip(("precision", "recall"), distances.precision_recall(real, fake, NEIGHBOURS["precision"])))
    whole |= dict(zip(("density", "coverage"), distances.density_coverage(real, fake, NEIGHBOURS["density"])))
    halves = half_samples(of_halves(real, fake), len(real), len(fake), resamples, seed)
    estimates = {name: interval(value, halves[name]) for name, value in whole.items()}
    return Evaluation(name_of(extractor), len(real), len(fake), **estimates)


# ---------------------------------------------------------------------------------------------------------- intervals

def half_samples(statistics: Callable[[Tensor, Tensor], dict[str, float]], n: int, m: int, resamples: int,
                 seed: int = 0) -> dict[str, Tensor]:
    """Statistics of random halves, drawn without replacement, of n and m pictures: name -> [resamples].

    The usual bootstrap draws with replacement. That will not do here: a picture drawn twice is its own nearest
    neighbour, so balls shrink to points, and covariances lose rank. Halves without replacement vary as much around
    their mean as whole samples do around theirs (Var = s^2 (1/h - 1/n) = s^2 / n for h = n / 2), and repeat nothing.
    Source: the delete-d jackknife, Shao and Wu 1989; Politis, Romano and Wolf 1999, section 2.
    """
    random = torch.Generator().manual_seed(seed)
    half = lambda size: torch.randperm(size, generator=random)[:size // 2]
    rows = [statistics(half(n), half(m)) for _ in range(resamples)]
    return {name: torch.tensor([row[name] for row in rows], dtype=torch.double) for name in rows[0]}


def interval(value: float, halves: Tensor) -> Estimate:
    """The 95 % interval of a statistic from those of its halves [resamples].

    A half is half as large, and most of these numbers depend on size: a Frechet distance grows, a recall falls. So the
    halves tell the spread only, and it is laid around the value of the whole.
    """
    low, high = middle(halves - halves.mean())
    return Estimate(value, value + low, value + high)


def middle(values: Tensor) -> list[float]:
    """Where the middle 95 % of values [N] begin and end."""
    return torch.quantile(values.double(), torch.tensor([0.025, 0.975]).double()).tolist()


def of_halves(real: Tensor, fake: Tensor) -> Callable[[Tensor, Tensor], dict[str, float]]:
    """A function from rows of real and fake features to their statistics; what all halves share is computed once."""
    rr, fr, ff = pairwise(real, real), pairwise(fake, real), pairwise(fake, fake)
    k_rr, k_fr, k_ff = (polynomial_kernel(*pair) for pair in ((real, real), (fake, real), (fake, fake)))
    within = lambda kernel: (kernel.sum().item(), kernel.diagonal().sum().item())

    def statistics(i: Tensor, j: Tensor) -> dict[str, float]:
        r, x, f = rr[i][:, i], fr[j][:, i], ff[j][:, j]
        held = x <= kth_nearest(r, NEIGHBOURS["density"])
        return {"frechet": frechet_distance(*moments(real[i]), *moments(fake[j])),
                "kid": distances.unbiased_mmd(within(k_rr[i][:, i]), within(k_ff[j][:, j]),
                                              k_fr[j][:, i].sum().item(), len(i), len(j)),
                "precision": share_held(x <= kth_nearest(r, NEIGHBOURS["precision"])),
                "recall": share_held(x.T <= kth_nearest(f, NEIGHBOURS["precision"])),
                "density": density(held, NEIGHBOURS["density"]), "coverage": share_held(held.T)}

    return statistics
