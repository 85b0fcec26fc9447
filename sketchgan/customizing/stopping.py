"""Stopping: which iterate of a customisation to keep, when nobody has real pictures of the target to measure with.

The published runs keep the iterate of the best FID, for which 2,500 photographs of the target are needed; whoever only
has sketches gets the last iterate, which can be far worse (37 against 20 for one user). What is at hand is this:

    distance    mean chamfer distance of F(G(z)) to the nearest sketch: small when the samples obey
    diversity   spread of colours over samples, relative to the base GAN's: falls when G forgets how to vary
    overfit     how much better D_sketch likes the sketches it learns from than sketches kept from it, where there are
    any unseen      the distance again, to the sketches kept from it

The rule: of all looks that kept enough diversity, the nearest to the sketches. `overfit` and `unseen` are only noted,
so that rules may be compared: in the ablation runs a gate on overfitting cost more than it saved, since D knows a
single sketch by heart long before G has followed it (notebook 05 prints by how much). A look
needs few samples for that: z and noise are always the same, so differences are those of G. Stop when nothing nearer has
come for a while.

`customize` looks by itself; `CustomizeConfig(stopping=None)` trains to the end without, as published.
"""

import dataclasses
from collections.abc import Callable, Collection
from typing import Annotated

import torch
from torch import Tensor, nn

from ..drawing.chamfer import chamfer
from ..files.checks import Count, Limits, Positive, Seed, Weight, Whole, check, check_fields, checked
from ..measure.metrics import color_spread
from ..nets.sampling import sample
from ..weights import rebuild
from ..weights.stored_states import require_like
from .state import frozen_sketcher


@dataclasses.dataclass(frozen=True)
class StoppingRule:
    """When to look, what to accept, when to give up; each number with its reason."""

    every: Count = 250             # iterations between looks: a look costs about as much as 10 to 20 of them
    samples: Annotated[int, Limits(least=2)] = 256  # of a look, of fixed z and noise: differences are those of G
    keep: Weight = 0.8             # least diversity to accept, as a share of the base's
    overfit: float | None = None   # most overfit to accept; None: any (see above). ADA's target would be 0.6
    patience: Count = 8            # looks without a nearer one, after which training is over
    truncate: Annotated[float, Limits(least=1e-3)] = 1 / 6  # of the side: farther counts as this, as in warmstart.py
    seed: Seed = 17                # of z and noise

    __post_init__ = check_fields


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at a generator. distance and unseen in pixels; diversity relative to the base's; overfit and unseen are
    None where no sketches were kept back."""

    iteration: Whole
    distance: Weight
    diversity: Weight
    overfit: float | None = None
    unseen: Weight | None = None

    __post_init__ = check_fields


def accepted(look: Look, rule: StoppingRule) -> bool:
    """Whether a look is good enough in all but its distance."""
    return look.diversity >= rule.keep and (None in (look.overfit, rule.overfit) or look.overfit <= rule.overfit)


def better(look: Look, kept: Look, rule: StoppingRule) -> bool:
    """Whether a look takes the place of an earlier one that was kept until now."""
    if not accepted(kept, rule):
        return accepted(look, rule) or look.diversity > kept.diversity
    return accepted(look, rule) and look.distance < kept.distance


@checked
def choose(trace: list[Look] | tuple[Look, ...], rule: StoppingRule) -> int:
    """Which look to keep, as an index into the trace; with none accepted, the most diverse one.

    Whatever comes later, only the look that is chosen now can lose to it: nothing else needs to be remembered.
    """
    if not trace:
        raise ValueError("There is nothing to choose from: the trace holds no look; wanted is at least one.")
    kept = 0
    for i, look in enumerate(trace):
        kept = i if better(look, trace[kept], rule) else kept
    return kept


def is_over(trace: list[Look], rule: StoppingRule) -> bool:
    """Whether the last `patience` looks have brought no accepted one nearer than all before them."""
    good = [i for i, look in enumerate(trace) if accepted(look, rule)]
    best = min(good, key=lambda i: trace[i].distance) if good else 0
    return len(trace) - 1 - best >= rule.patience


def verdict(trace: list[Look], rule: StoppingRule) -> str:
    """What is kept and why, as a line for people."""
    kept, last = trace[choose(trace, rule)], trace[-1].iteration
    if not accepted(kept, rule):
        return f"kept iteration {kept.iteration} of {last}: everywhere too much variety was lost, least of it there"
    if kept.iteration == last:
        return f"kept iteration {last}, the last: nothing before was as near to the sketches"
    return f"kept iteration {kept.iteration} of {last}: nothing as varied came nearer to the sketches afterwards"


@torch.no_grad()
def overfitting(D: nn.Module, taught: Tensor, held_out: Tensor, generated: Tensor) -> float:
    """(E D(taught) - E D(held out)) / (E D(taught) - E D(generated)): 0 if D likes both alike, 1 if it holds unseen
    sketches for generated ones. Sketches [N, 1, R, R]. Source: Karras et al. 2020 (ADA), equation 1."""
    device = next(D.parameters()).device
    mean = lambda x: torch.cat([D(part.to(device).repeat(1, 3, 1, 1)) for part in x.split(64)]).mean().item()
    taught_mean = mean(taught)
    gap = taught_mean - mean(generated)
    # A D that cannot tell sketches from samples has learned nothing by heart.
    return (taught_mean - mean(held_out)) / gap if gap > 1e-6 else 0.0


class Watch:
    """Looks at a generator while it is customised, and keeps what may be chosen in the end.

    G: the original generator. F: photograph to sketch; its running statistics are used, so that no distance depends on
    a batch. sketches: those it is customised with [S, 1, R, R]. held_out: sketches kept from it, [K, 1, R, R].
    trains: names of the parameters that change, all without it. draw: (F, images) -> sketches, where not F(images).
    Attributes: trace, the looks so far. Nothing is measured before the first of them.
    """

    def __init__(self, rule: StoppingRule, G: nn.Module, F: nn.Module, sketches: Tensor, held_out: Tensor | None = None,
                 trains: Collection[str] | None = None,
                 draw: Callable[[nn.Module, Tensor], Tensor] = nn.Module.__call__):
        self.rule, self.G, self.F = rule, G, frozen_sketcher(F, batch_stats=False)
        self.sketches, self.held_out, self.trains, self.draw = sketches, held_out, trains, draw
        self.trace: list[Look] = []
        self.kept: dict[str, Tensor] = {}          # the trained parameters of the chosen look
        self.start: dict[str, Tensor] | None = None
        self.spread: float | None = None           # of the base's colours

    def weights(self, G: nn.Module) -> dict[str, Tensor]:
        """Copies, on the CPU, of what trains in G."""
        return {name: p.detach().to("cpu", copy=True) for name, p in G.named_parameters()
                if self.trains is None or name in self.trains}

    def generator(self, weights: dict[str, Tensor]) -> nn.Module:
        """The original with these weights; it shares nothing with any other."""
        return rebuild(self.G, weights)

    def begin(self, G: nn.Module) -> None:
        """G as it is before training, such as after a warm start, is a candidate too; looked at with the first look."""
        self.start = self.weights(G)

    def look(self, iteration: int, G: nn.Module, D_sketch: nn.Module | None = None) -> Look:
        """Measure G as it is after `iteration` steps, with its D_sketch where there is one, and keep it if it is
        better."""
        if self.spread is None:
            self.spread = max(color_spread(self.samples(self.G)), 1e-9)
        if self.start is not None:
            start, self.start = self.generator(self.start), None
            self.look(0, start)
        self.trace.append(self.measure(iteration, G, D_sketch))
        if choose(self.trace, self.rule) == len(self.trace) - 1:
            self.kept = self.weights(G)
        return self.trace[-1]

    def samples(self, G: nn.Module) -> Tensor:
        """Always of the same z and the same noise, from a stream of their own: training draws what it would without."""
        return sample(G, self.rule.samples, self.rule.seed)

    @torch.no_grad()
    def measure(self, iteration: int, G: nn.Module, D_sketch: nn.Module | None) -> Look:
        images, device = self.samples(G), next(self.F.parameters()).device
        drawn = torch.cat([self.draw(self.F, part.to(device)) for part in images.split(64)])
        limit = self.rule.truncate * images.shape[-1]
        nearest = lambda sketches: torch.cat([chamfer(part, sketches.to(device), limit).amin(1)
                                              for part in drawn.split(64)]).mean().item()
        overfit = unseen = None
        if self.held_out is not None and len(self.held_out):
            unseen = nearest(self.held_out)
            if D_sketch is not None:
                overfit = overfitting(D_sketch, self.sketches, self.held_out, drawn)
        return Look(iteration, nearest(self.sketches), color_spread(images) / self.spread, overfit, unseen)

    def over(self) -> bool:
        """Whether training has gone on for long enough."""
        return bool(self.trace) and is_over(self.trace, self.rule)

    def chosen(self) -> nn.Module:
        """The generator to keep; a copy."""
        return self.generator(self.kept)

    # ---- for checkpoints

    def state_dict(self) -> dict:
        """What a resumed run must know to choose what an unbroken one would."""
        return dict(rule=dataclasses.asdict(self.rule), trace=[dataclasses.asdict(look) for look in self.trace],
                    kept=dict(self.kept), start=self.start, spread=self.spread)

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state_dict; looks by another rule cannot be compared with ours, and are forgotten.

        Raises ValueError if it is none of this generator's.
        """
        if state["rule"] != dataclasses.asdict(self.rule):
            return
        trace, ours = [Look(**look) for look in state["trace"]], self.weights(self.G)
        for name, weights in (("kept", state["kept"]), ("start", state["start"])):
            if weights or trace and name == "kept":
                require_like(weights, ours, f"the generator of the watch's {name}")
        self.trace, self.kept, self.start = trace, dict(state["kept"]), state["start"]
        self.spread = check("spread of the watch", state["spread"], Positive | None)
