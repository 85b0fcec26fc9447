"""Metrics of a customised generator: its samples, how many obey the sketches, and what diversity is left.

How far two sets of pictures are apart is measured in evaluation.py, from the functions in distances.py and the
features of extractors.py.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..files.checks import Count, Flags, GeneratorLike, Images, JudgeLike, Seed, Sees, Sketches, Whole, checked, shape
from ..nets.sampling import sample
from .distances import frechet_distance, moments, precision_recall
from .evaluation import Estimate, middle
from .extractors import features_of

# ---------------------------------------------------------------------------------------------------------- samples

@checked
@torch.no_grad()
def satisfying_samples(G: GeneratorLike, judge: JudgeLike, predicate: str, n: Count, seed: Seed = 0, batch: Count = 64,
                       most: Count = 100_000) -> tuple[Tensor, float]:
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


# ----------------------------------------------------------------------------------------------------------- shares

class Share(Estimate):
    """A share of samples, with its 95 % bootstrap interval."""

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


@checked
def predicate_share(decided: Flags, confusion: tuple[Whole, Whole, Whole, Whole] | None = None,
                    resamples: Count = 2000, seed: Seed = 0) -> Share:
    """The share of samples that satisfy a predicate, with a 95 % bootstrap interval.

    decided: booleans [N], as from `judge.satisfies`. confusion: the judge's (true positive, false positive, false
    negative, true negative) counts on pictures of known truth. With it, the share is corrected for the judge's errors:
    (share - false positive rate) / (true positive rate - false positive rate) (Rogan and Gladen 1978), and the interval
    includes the uncertainty of those rates. Raises ValueError if the judge is no better than chance.
    """
    random = Generator().manual_seed(seed)
    share = decided.double().mean()
    shares = _resample(share, len(decided), resamples, random)
    if confusion is not None:
        tp, fp, fn, tn = confusion
        if not (tp + fn and fp + tn) or tp * (fp + tn) <= fp * (tp + fn):
            raise ValueError(f"confusion is {tuple(confusion)} (true positive, false positive, false negative, "
                             "true negative): a judge no better than chance; no share can be corrected by them.")
        hit, false_alarm = torch.tensor(tp / (tp + fn)).double(), torch.tensor(fp / (fp + tn)).double()
        hits, false_alarms = (_resample(p, n, resamples, random) for p, n in ((hit, tp + fn), (false_alarm, fp + tn)))
        correct = lambda s, h, f: ((s - f) / (h - f).clamp_min(1e-9)).clamp(0, 1)
        share, shares = correct(share, hit, false_alarm), correct(shares, hits, false_alarms)
    return Share(share.item(), *middle(shares))


def _resample(share: Tensor, n: int, resamples: int, random: Generator) -> Tensor:
    """Shares of n booleans drawn with replacement from n of the given share: [resamples]. (A binomial, no loop.)"""
    return torch.binomial(torch.full((resamples,), float(n)).double(), share.double().expand(resamples), random) / n


@checked
def bootstrap_interval(statistic: Callable[[Tensor], float], values: Tensor, resamples: Count = 1000,
                       seed: Seed = 0) -> tuple[float, float]:
    """95 % bootstrap interval of any statistic of the rows of `values` [N, ...]."""
    random = Generator().manual_seed(seed)
    draws = [statistic(values[torch.randint(len(values), (len(values),), generator=random)]) for _ in range(resamples)]
    return tuple(middle(torch.tensor(draws)))


# -------------------------------------------------------------------------------------------------------- diversity

@checked
def color_spread(images: shape("N", 3, "H", "W", rows=2)) -> float:
    """How much pictures [N, 3, H, W] in [-1, 1] differ in colour: the standard deviation over pictures of their mean
    colour, mean of the three channels."""
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


@checked
def reference(judge: Sees, scenes: Images, base: Images, k: Count = 3) -> Reference:
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


@checked
def diversity(judge: Sees, against: Reference, samples: Images, k: Count = 3) -> Diversity:
    """What diversity a customised generator kept.

    samples: random samples of it [N, 3, R, R], whether they satisfy the predicate or not. The paper compares 2,500 with
    2,500 at k = 3. Recall grows with the number of samples, so there must be as many as there were of the base.
    """
    if len(samples) < against.count:
        raise ValueError(f"against was measured with {against.count} samples of the base; got {len(samples)} samples. "
                         "Draw at least as many.")
    fake = features_of(judge, samples)
    precision, recall = precision_recall(against.scenes, fake[:against.count], k)
    color = color_spread(samples)
    return Diversity(precision, recall, color, recall / max(against.recall, 1e-9), color / max(against.color, 1e-9),
                     frechet_distance(*moments(against.scenes), *moments(fake)))


# --------------------------------------------------------------------------------------------------------- contours

@checked
def contour_f1(drawn: Sketches, truth: Sketches, tolerance: Whole = 1) -> dict[str, float]:
    """Precision, recall and F1 of drawn ink against true ink, over all pictures together.

    drawn, truth: [N, 1, H, W], paper +1, ink -1; a pixel is ink below 0. Ink counts as right if there is ink of the
    other picture within `tolerance` pixels along either axis. 'ink' is the ratio of the amounts, since thick lines are
    forgiven.
    """
    if drawn.shape != truth.shape:
        raise ValueError(f"contour_f1 wants drawn and truth of one shape [N, 1, H, W]; got {tuple(drawn.shape)} and "
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
