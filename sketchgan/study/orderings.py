"""Orderings: which row beats which, asked of the measurements and never assumed.

The paper's orderings are hypotheses here. Each is printed as held, reversed or undecided. A budget that ends before
training does favours whatever moves fastest, so each is asked again where both rows have come equally far.
"""
import math
from dataclasses import dataclass

import numpy as np
import torch

LEAST_PAIRS = 3  # fewer runs cannot tell a difference from chance, however sure each measurement is


@dataclass(frozen=True)
class Ordering:
    """A claim: the row `better` has the smaller Frechet distance than the row `worse`."""

    claim: str
    better: str
    worse: str


ORDERINGS = (
    Ordering("30 sketches beat 5", "full method", "5 sketches"),
    Ordering("5 sketches beat 1", "5 sketches", "1 sketch"),
    Ordering("1 sketch beats the original", "1 sketch", "original"),
    Ordering("a pretrained D beats D from scratch", "full method", "D from scratch"),
    Ordering("W-shift loses to the full method", "full method", "W-shift"),
    Ordering("W-shift beats the original", "W-shift", "original"),
    Ordering("image regularisation beats weight", "full method", "weight regularisation"),
    Ordering("weight regularisation beats none", "weight regularisation", "sketch loss only"),
    Ordering("image regularisation beats none", "full method", "sketch loss only"),
    Ordering("sketch retrieval loses to the full method", "full method", "sketch retrieval"),
    Ordering("chamfer matching loses to the full method", "full method", "chamfer matching"),
)


@dataclass(frozen=True)
class Verdict:
    """What became of a claim. verdict: 'held', 'reversed', 'undecided' or 'not run'; ratio: of the Frechet distance of
    the better row to that of the worse one, geometric mean over pairs of runs, with its 95 % interval; pairs: how
    many."""

    claim: str
    verdict: str
    pairs: int
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        if not self.pairs:
            return f"{self.claim}: {self.verdict}"
        few = f", fewer than the {LEAST_PAIRS} that can decide" if self.pairs < LEAST_PAIRS else ""
        runs = f"{self.pairs} pair{'s' * (self.pairs != 1)} of runs{few}"
        ratio = f"Frechet ratio {self.ratio:.2f}, {self.low:.2f} to {self.high:.2f}"
        return f"{self.claim}: {self.verdict} ({ratio}; {runs})"


def current(rows: list[dict], iterations: int) -> list[dict]:
    """The rows of one budget that began from the newest base of their task: what belongs into one table."""
    return newest([row for row in rows if row["iterations"] == iterations])


def newest(rows: list[dict]) -> list[dict]:
    """Those that began from the newest base of their task."""
    base = {row["task"]: row["base"] for row in rows}
    return [row for row in rows if row["base"] == base[row["task"]]]


def final(rows: list[dict]) -> list[dict]:
    """Of each run the measurement at the end of its budget; those that are not trained have only one."""
    return [row for row in rows if row["at"] in (0, row["iterations"])]


def judge_ordering(ordering: Ordering, rows: list[dict]) -> Verdict:
    """Compare two rows over all (task, seed) that have both, at the end of their budget."""
    by_run = {(row["task"], row["seed"], row["row"]): row for row in final(rows)}
    pairs = [(by_run[task, seed, ordering.better], by_run[task, seed, ordering.worse])
             for task, seed, name in by_run if name == ordering.better and (task, seed, ordering.worse) in by_run]
    return decide(ordering.claim, [(a["frechet"] / b["frechet"], math.hypot(relative_error(a), relative_error(b)))
                                   for a, b in pairs])


def decide(claim: str, pairs: list[tuple[float, float]], resamples: int = 4000, seed: int = 0) -> Verdict:
    """A verdict from pairs of runs (ratio of their distances, its relative standard error), by a bootstrap over them.

    The logarithm of a ratio, so that tasks of different difficulty weigh alike. Each draw also moves every ratio
    by its own error of measurement, so that few runs do not look surer than their samples allow.
    """
    if not pairs:
        return Verdict(claim, "not run", 0)
    ratio, error = torch.tensor(pairs).double().T
    random = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(pairs), (resamples, len(pairs)), generator=random)
    noise = torch.randn(resamples, len(pairs), generator=random).double()
    draws = (ratio.log()[picked] + error[picked] * noise).mean(1)
    low, high = torch.quantile(draws, torch.tensor([0.025, 0.975]).double()).exp().tolist()
    verdict = "undecided" if len(pairs) < LEAST_PAIRS or low <= 1 <= high else "held" if high < 1 else "reversed"
    return Verdict(claim, verdict, len(pairs), ratio.log().mean().exp().item(), low, high)


def course(rows: list[dict], task: str, seed: int, name: str) -> list[dict]:
    """The measurements of one run in the order they were made, the original generator first, where it was measured."""
    mine = [row for row in rows if (row["task"], row["seed"], row["row"]) == (task, seed, name) and row["at"] > 0]
    start = [row for row in rows if (row["task"], row["seed"], row["row"]) == (task, seed, "original")]
    return start[:1] + sorted(mine, key=lambda row: row["at"]) if mine else []


def at_equal_share(ordering: Ordering, rows: list[dict]) -> Verdict:
    """The same comparison where both rows have come equally far: at the largest share of samples showing the target
    that both of them reached, interpolated between the measurements of their courses.

    What is left of a difference is one of quality: which samples show the target, and how varied they are. A course
    that goes back and forth is taken in the order of its shares. Rows without a course (baselines) cannot be compared
    so.
    """
    pairs = []
    for task, seed in dict.fromkeys((row["task"], row["seed"]) for row in rows):
        both = [course(rows, task, seed, name) for name in (ordering.better, ordering.worse)]
        if all(len(walk) > 1 for walk in both):
            share = min(max(row["share"] for row in walk) for walk in both)
            error = math.hypot(*(relative_error(walk[-1]) for walk in both))
            pairs.append((frechet_at(both[0], share) / frechet_at(both[1], share), error))
    return decide(ordering.claim, pairs)


def frechet_at(walk: list[dict], share: float) -> float:
    """The Frechet distance of a course where it reaches a share."""
    walk = sorted(walk, key=lambda row: row["share"])
    return math.exp(np.interp(share, [row["share"] for row in walk], [math.log(row["frechet"]) for row in walk]))


def explanation(verdict: Verdict, equal: Verdict) -> str:
    """What a claim comes to at an equal share, whether it held or not; nothing where that cannot be asked. No
    difference seen is not proof that there is none: the interval says how large it may be."""
    if not (verdict.pairs and equal.pairs):
        return ""
    found = {"held": "the claim holds", "reversed": "it is reversed too, a difference of quality",
             "undecided": "no difference is seen"}[equal.verdict]
    pace = ": the verdict is one of pace" if verdict.verdict != "undecided" == equal.verdict else ""
    ratio = f"(ratio {equal.ratio:.2f}, {equal.low:.2f} to {equal.high:.2f})"
    return f". Where both show the target equally often, {found}{pace} {ratio}."


def relative_error(row: dict) -> float:
    """The standard error of a row's Frechet distance, relative to it, from its 95 % interval."""
    return (row["frechet_high"] - row["frechet_low"]) / (2 * 1.96 * row["frechet"])
