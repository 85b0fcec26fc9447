"""Stopping: which iterate of a customisation to keep, when nobody has real pictures of the target to measure with.

The published runs keep the iterate of the best FID, for which 2,500 photographs of the target are needed; whoever only
has sketches gets the last iterate, which can be far worse (37 against 20 for one user). What is at hand is this:

    distance    mean chamfer distance of F(G(z)) to the nearest sketch: small when the samples obey
    diversity   spread of colours over samples, relative to the base GAN's: falls when G forgets how to vary
    overfit     how much better D_sketch likes the sketches it learns from than sketches kept from it

The rule: of all looks that kept enough diversity while D_sketch was not overfitted, the nearest to the sketches; and as
distances are measured on a few hundred samples, the earliest that is not clearly farther (within one standard
error, Breiman et al. 1984, section 3.4.3). Stop when nothing nearer has come for a while.

    watch = Watch(StoppingRule(), G, F, sketches)
    for step in watch.over(customize(G, D, F, sketches)):
        ...
    mine = watch.chosen()
"""

import copy
import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .metrics import color_spread, sample
from .sketches import chamfer, sketch_of


@dataclasses.dataclass(frozen=True)
class StoppingRule:
    """When to look, what to accept, when to give up; each number with its reason."""

    every: int = 250         # iterations between looks: a look costs about as much as 10 to 20 of them
    samples: int = 256       # of a look, always of the same z and noise: differences are those of G
    keep: float = 0.8        # least diversity to accept, as a share of the base's
    overfit: float = 0.6     # most overfit to accept: ADA's target (Karras et al. 2020, section 3)
    patience: int = 8        # looks without a nearer one, after which training is over
    truncate: float = 1 / 6  # distances beyond this share of the side count as this, as in warmstart.py
    seed: int = 17           # of z and noise


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at a generator. distance in pixels and its standard error; diversity relative to the base's; overfit, or
    None where no sketches were kept back."""

    iteration: int
    distance: float
    error: float
    diversity: float
    overfit: float | None = None


def accepted(look: Look, rule: StoppingRule) -> bool:
    """Whether a look is good enough in all but its distance."""
    return look.diversity >= rule.keep and (look.overfit is None or look.overfit <= rule.overfit)


def choose(trace: list[Look], rule: StoppingRule) -> int:
    """Which look to keep, as an index into the trace; with none accepted, the most diverse one."""
    if not trace:
        raise ValueError("There is nothing to choose from: the trace holds no look.")
    good = [i for i, look in enumerate(trace) if accepted(look, rule)]
    if not good:
        return max(range(len(trace)), key=lambda i: trace[i].diversity)
    kept = best = good[0]
    for i in good:  # one after the other, so that a longer trace never brings back what a shorter one let go
        best = min(best, i, key=lambda j: trace[j].distance)
        limit = trace[best].distance + trace[best].error
        kept = next(j for j in good if kept <= j <= i and (trace[j].distance <= limit or j == best))
    return kept


def is_over(trace: list[Look], rule: StoppingRule) -> bool:
    """Whether the last `patience` looks have brought no accepted one nearer than all before them."""
    good = [i for i, look in enumerate(trace) if accepted(look, rule)]
    best = min(good, key=lambda i: trace[i].distance) if good else 0
    return len(trace) - 1 - best >= rule.patience


def keep_back(sketches: Tensor) -> tuple[Tensor, Tensor]:
    """Sketches [S, 1, R, R] to train with, and every fifth one to judge overfitting by: none of fewer than five."""
    held = torch.arange(len(sketches)) % 5 == 4
    return sketches[~held], sketches[held]


@torch.no_grad()
def overfitting(D: nn.Module, taught: Tensor, held_out: Tensor, generated: Tensor) -> float:
    """(E D(taught) - E D(held out)) / (E D(taught) - E D(generated)): 0 if D likes both alike, 1 if it holds unseen sketches
    for generated ones. Sketches [N, 1, R, R]. Source: Karras et al. 2020 (ADA), equation 1."""
    device = next(D.parameters()).device
    mean = lambda x: torch.cat([D(part.to(device).repeat(1, 3, 1, 1)) for part in x.split(64)]).mean().item()
    taught_mean = mean(taught)
    gap = taught_mean - mean(generated)
    # A D that cannot tell sketches from samples has learned nothing by heart.
    return (taught_mean - mean(held_out)) / gap if gap > 1e-6 else 0.0


class Watch:
    """Looks at a generator while it is customised, and keeps what may be chosen in the end.

    G: the original generator. F: photograph to sketch. sketches: those it is customised with [S, 1, R, R]. held_out:
    sketches kept from it, [K, 1, R, R]. Attributes: trace, the looks so far, the first of them at the base.
    """

    def __init__(self, rule: StoppingRule, G: nn.Module, F: nn.Module, sketches: Tensor, held_out: Tensor | None = None):
        self.rule, self.F, self.sketches, self.held_out = rule, F, sketches, held_out
        self.trace: list[Look] = []
        self.kept: dict[int, nn.Module] = {}
        self.spread = max(color_spread(self.samples(G)), 1e-9)
        self.look(0, G)

    def samples(self, G: nn.Module) -> Tensor:
        """The same z and the same noise in every look."""
        return sample(G, self.rule.samples, self.rule.seed)

    @torch.no_grad()
    def look(self, iteration: int, G: nn.Module, D_sketch: nn.Module | None = None) -> Look:
        """Measure G as it is after `iteration` steps, with its D_sketch where there is one, and remember it."""
        images = self.samples(G)
        drawn = sketch_of(images.to(next(self.F.parameters()).device), self.F).cpu()
        limit = self.rule.truncate * images.shape[-1]
        distances = chamfer(drawn, self.sketches.cpu(), limit).amin(1)
        overfit = None
        if D_sketch is not None and self.held_out is not None and len(self.held_out):
            overfit = overfitting(D_sketch, self.sketches, self.held_out, drawn)
        self.trace.append(Look(iteration, distances.mean().item(), (distances.std() / len(distances) ** 0.5).item(),
                               color_spread(images) / self.spread, overfit))
        # As the trace grows the choice moves on or stays, never back (`choose`): whatever lies before it can go.
        self.kept[len(self.trace) - 1] = copy.deepcopy(G)
        best = choose(self.trace, self.rule)
        if accepted(self.trace[best], self.rule):
            self.kept = {i: network for i, network in self.kept.items() if i >= best}
        return self.trace[-1]

    def chosen(self) -> nn.Module:
        """The generator to keep."""
        return self.kept[choose(self.trace, self.rule)]

    def over(self, steps: Iterator) -> Iterator:
        """The steps of a customisation, looked at every `rule.every` iterations, until the rule says that it is over."""
        for step in steps:
            yield step
            if step.phase == "train" and (step.iteration + 1) % self.rule.every == 0:
                self.look(step.iteration + 1, step.G)
                if is_over(self.trace, self.rule):
                    steps.close()
                    return
