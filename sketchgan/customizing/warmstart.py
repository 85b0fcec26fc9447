"""Warm start: bring the mapping network near the sketches before adversarial training (beyond the paper).

The published recipe needs tens of thousands of iterations, because D_sketch has to find out, a batch of four at a
time, which of all the poses G can paint are wanted.  But G can paint them already.  So search first, then fit:

1. Sample the original generator, draw each sample with F, and rank by chamfer distance to the user's sketches.  Each
   sketch has its own unit: the distance that 5 % of the samples come within.  In pixels, a sketch of few lines would
   be near to everything and have nearly all the accepted samples, and the other poses that were drawn next to none.
2. A small network learns to predict that nearness from w alone.  It screens many thousand w in a moment; those it
   likes best are rendered and measured.  The accepted set, the w that are as near as the best fifth of the plain
   samples, nearly doubles for the price of a few more renderings.
3. Fit the mapping network so that its w are distributed like the accepted ones.

Accepted w are samples of the original generator that happen to have the pose.  In every direction of W that has
nothing to do with pose they vary as widely as all samples do, and the fit matches their distribution instead of
pulling each sample to its nearest accepted w: this is what keeps the colours, textures and backgrounds.
"""

import copy
import dataclasses
from collections.abc import Callable, Generator, Iterator
from typing import Annotated

import torch
from torch import Tensor, nn

from ..drawing.chamfer import chamfer, targets
from ..files.checks import (
    Count,
    GeneratorLike,
    Limits,
    Positive,
    Probability,
    Share,
    Sketches,
    Weight,
    Whole,
    check_fields,
    check_gradients,
    checked,
)
from .state import frozen_sketcher

# samples of either mapping network that decide whether the fit is a gain
TRIED = 128
Several = Annotated[int, Limits(least=2)]


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """How to search and how to fit; each number with its reason."""

    samples: Several = 3072      # plain samples to rank: a fifth kept is 600 to learn from
    keep: Share = 0.2            # share of them whose nearness is enough to be accepted: more is more variety and less
                                 # likeness; for a pose that the base paints in less than a tenth of its samples, try
                                 # 0.08
    unit: Share = 0.05           # the share of plain samples within a sketch's unit of distance
    rounds: Whole = 1            # of screening and measuring; each learns from what the last one measured
    pool: Count = 50_000         # fresh w a round screens; costs only the mapping network
    candidates: Count = 512      # of those, how many are rendered and measured
    shift: Probability = 1 / 32  # a drawing may lie this share of the side beside its match, either way
    scale: Probability = 0.06    # and be larger or smaller by this
    # distances beyond this share of the side count as this: one stray line is not everything
    truncate: Positive = 1 / 6
    steps: Count = 800           # of fitting the mapping network; a few seconds
    batch: Several = 256         # w per step: enough to see a distribution
    lr: Positive = 0.1           # Adam; the mapping network's lr_mul of 0.01 makes 0.001 of it
    pose: Weight = 0.2           # of the predicted nearness in the fit, as far as it exceeds the accepted ones'
    stay: Weight = 0.1           # of staying where each z was, which keeps its own colours
    shown: Count = 16            # nearest samples to report while searching

    __post_init__ = check_fields

    @property
    def costs(self) -> list[float]:
        """Of ranking, of each round's learning and screening, of the last learning, of the fit, of its trial: as
        measured at 64 px, in samples that are rendered, drawn and measured."""
        rounds = [100, self.candidates + self.pool / 3000] * self.rounds
        return [self.samples, *rounds, 100, 0.65 * self.steps, 2 * TRIED]


@dataclasses.dataclass(frozen=True)
class Progress:
    """One report: what was done, numbers, the nearest samples so far [shown, 3, R, R] or None, and the share that is
    done, of all by what each part costs."""

    message: str
    losses: dict[str, float]
    samples: Tensor | None
    done: float


@checked
def warm_start(G: GeneratorLike, F: nn.Module, sketches: Sketches, config: WarmStart,
               generator: torch.Generator) -> Iterator[Progress]:
    """Fit G's mapping network to the w whose samples look like the sketches, in place; yields as it goes.

    Args:
        G: a generator; only `G.style` changes, in the last moment, and not at all if that brings nothing.
        F: photograph to sketch; its running statistics are used, so that no rank depends on a batch.
        sketches: [S, 1, R, R], paper +1, ink -1.
        generator: CPU generator, all the randomness there is.
    Yields:
        `Progress`: while searching the nearest samples so far, at the end the distances before and after.
    """
    check_gradients("warm_start")
    costs, part = config.costs, 0
    for progress in search_and_fit(Search(G, F, sketches, config, generator), generator):
        done = (sum(costs[:part]) + costs[part] * progress.done) / sum(costs)
        yield dataclasses.replace(progress, done=done)
        part += progress.done == 1


def search_and_fit(search: "Search", generator: torch.Generator) -> Iterator[Progress]:
    """The three parts; each report tells the share of its own part."""
    config, G = search.config, search.G
    yield from search.measure(search.draw(config.samples), "ranking samples")
    units = search.distances.quantile(config.unit, 0).clamp(min=1e-3)  # [S]
    nearness = lambda: (search.distances / units).amin(1)              # [N], of all that is measured so far
    threshold = nearness().quantile(config.keep)
    for i in range(config.rounds):
        predict = yield from fit_predictor(search.coordinates(search.w), nearness(), generator)
        pool = search.draw(config.pool)
        likely = predict(search.coordinates(pool)).argsort()[: config.candidates]
        yield from search.measure(pool[likely], f"screening, round {i + 1} of {config.rounds}")
    accepted = search.w[nearness() <= threshold]
    predict = yield from fit_predictor(search.coordinates(search.w), nearness(), generator)
    style = copy.deepcopy(G.style)
    for step, loss in fit_mapping(style, search, accepted, predict):
        yield Progress("fitting the mapping network", loss, None, step / config.steps)
    yield search.adopt(style, len(accepted))


class Search:
    """The w [N, w_dim] measured so far, their distances [N, S] to each sketch in pixels, and the nearest samples."""

    def __init__(self, G, F, sketches, config, generator):
        self.G, self.config, self.generator = G, config, generator
        self.device = next(G.parameters()).device
        self.F = frozen_sketcher(F, batch_stats=False).to(self.device)
        moved = variants(sketches.to(self.device), config.shift, config.scale)  # [27 S], all alike, then all otherwise
        self.targets = targets(moved, config.truncate * G.resolution)
        self.w = torch.empty(0, G.w_dim, device=self.device)
        self.distances = torch.empty(0, len(sketches), device=self.device)
        self.nearest = torch.empty(0, 3, G.resolution, G.resolution, device=self.device)
        self.nearest_distances = torch.empty(0, device=self.device)
        # W is compared in units of its own spread, or a few wide directions would decide everything.
        w = self.draw(4096)
        self.mean, self.std = w.mean(0), w.std(0) + 1e-6

    @torch.no_grad()
    def draw(self, n: int, style: nn.Module | None = None) -> Tensor:
        """w [n, w_dim] of fresh z, by G's mapping network or another."""
        z = torch.randn(n, self.G.z_dim, generator=self.generator).to(self.device)
        return (style or self.G.style)(z)

    def coordinates(self, w: Tensor) -> Tensor:
        """w in units of the spread of W, [N, w_dim]."""
        return (w - self.mean) / self.std

    @torch.no_grad()
    def distance(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Distances [N, S] of the samples of w [N, w_dim] to each sketch as it best fits, in pixels, and the
        samples."""
        images = self.G.synthesis(w[:, None].expand(-1, self.G.num_ws, -1), generator=self.generator)
        moved = chamfer(self.F(images), self.targets)  # [N, 27 S]
        return moved.unflatten(1, (-1, self.distances.shape[1])).amin(1), images

    def measure(self, w: Tensor, message: str, chunk: int = 64) -> Iterator[Progress]:
        """Render, draw and measure w [N, w_dim], and take them in."""
        for start in range(0, len(w), chunk):
            part = w[start : start + chunk]
            distances, images = self.distance(part)
            self.w, self.distances = torch.cat([self.w, part]), torch.cat([self.distances, distances])
            near = torch.cat([self.nearest_distances, distances.amin(1)])
            best = near.sort(stable=True).indices[: self.config.shown]
            self.nearest = torch.cat([self.nearest, images])[best]
            self.nearest_distances = near[best]
            losses = {"nearest": self.nearest_distances.mean().item(),
                      "typical": self.distances.amin(1).median().item()}
            yield Progress(message, losses, self.nearest, min(1, (start + chunk) / len(w)))

    def adopt(self, style: nn.Module, accepted: int, n: int = TRIED) -> Progress:
        """Give G the fitted mapping network, if fresh samples are nearer to the sketches with it than without."""
        before = self.distance(self.draw(n))[0].amin(1).mean().item()
        after, images = self.distance(self.draw(n, style))
        losses = {"before": before, "after": after.amin(1).mean().item()}
        message = f"mean distance to the sketches {before:.2f} px before, {losses['after']:.2f} px after the fit " \
                  f"to {accepted} accepted samples"
        if losses["after"] < before:
            self.G.style.load_state_dict(style.state_dict())
        else:
            message += "; that is no gain, so the mapping network stays as it was"
        return Progress(message, losses, images[: self.config.shown], 1.0)


def variants(sketches: Tensor, shift: float, scale: float) -> Tensor:
    """Sketches [S, 1, R, R] moved by up to `shift` of the side and scaled by up to `scale`: [27 S, 1, R, R].

    Where exactly on the page and how large somebody draws is mostly chance; shape and pose are not.
    """
    offsets = [0.0, -2 * shift, 2 * shift] if shift else [0.0]  # grid_sample's side is 2 long
    factors = [1.0, 1 - scale, 1 + scale] if scale else [1.0]
    paper = sketches - 1  # so that what comes in from outside, 0, is paper
    moved = []
    for factor in factors:
        for dx in offsets:
            for dy in offsets:
                theta = torch.tensor([[1, 0, dx], [0, 1, dy]], device=sketches.device) / factor
                grid = nn.functional.affine_grid(theta.expand(len(sketches), 2, 3), list(sketches.shape), False)
                moved.append(nn.functional.grid_sample(paper, grid, align_corners=False) + 1)
    return torch.cat(moved)


def fit_predictor(x: Tensor, nearness: Tensor, generator: torch.Generator,
                  steps: int = 600) -> Generator[Progress, None, Callable]:
    """A small network from coordinates x [N, w_dim] to the standardised log nearness [N], frozen; yields as it goes
    and returns the network: `predict = yield from fit_predictor(...)`.

    Near samples are few and are the ones that matter: they weigh more.
    """
    y = nearness.clamp(min=1e-3).log()
    y = (y - y.mean()) / (y.std() + 1e-6)
    weight = (-y).exp().clamp(max=5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.randint(2**31, (1,), generator=generator).item())
        network = nn.Sequential(nn.Linear(x.shape[1], 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(),
                                nn.Linear(128, 1)).to(x.device)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.1, fused=True)
    for step in range(steps):
        batch = torch.randint(len(x), (256,), generator=generator).to(x.device)
        loss = (weight[batch] * (network(x[batch])[:, 0] - y[batch]).square()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if report_due(step, steps):
            yield Progress("learning which samples are near", {"predictor": loss.item()}, None, (step + 1) / steps)
    network.requires_grad_(False)
    return lambda x: network(x)[:, 0]


def report_due(step: int, steps: int) -> bool:
    """Every 20th step and the last: Stop and Pause act between two reports, and must within a second on a slow
    machine."""
    return step % 20 == 0 or step == steps - 1


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'| between samples x [N, d] and y [M, d], N and M from 2; 0 in expectation
    for equal distributions, above 0 for all others.

    Source: Szekely & Rizzo, Energy statistics (2013).
    """
    def within(a: Tensor) -> Tensor:  # every pair of two different points
        d = distances(a, a)
        return (d.sum() - d.diagonal().sum()) / (len(a) * (len(a) - 1))

    return 2 * distances(x, y).mean() - within(x) - within(y)


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances [N, M] by one matrix product, whose gradient is quick on a CPU (torch.cdist's is not)."""
    squared = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return (squared.clamp(min=0) + 1e-6).sqrt()  # the little keeps the gradient finite at 0


def fit_mapping(style: nn.Module, search: Search, accepted: Tensor, predict: Callable) -> Iterator[tuple[int, dict]]:
    """Train `style` so that its w are distributed like the accepted ones; yields (step, losses) now and then.

        energy distance(w, accepted) + pose * E max(0, d(w) - E d(accepted)) + stay * E |w - w of the original|^2 / dim

    with d the predicted nearness (small is near).  Nothing is gained by being predicted nearer than the accepted ones:
    out there the predictor has seen nothing, and what it likes is no picture.
    """
    config, original, generator = search.config, search.G.style, search.generator
    target = search.coordinates(accepted)
    level = predict(target).mean()
    style.requires_grad_(True)
    optimizer = torch.optim.Adam(style.parameters(), config.lr, (0.9, 0.99), fused=True)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * (1 - step / config.steps)
        z = torch.randn(config.batch, search.G.z_dim, generator=generator).to(search.device)
        pick = torch.randint(len(target), (config.batch,), generator=generator).to(search.device)
        with torch.no_grad():
            before = search.coordinates(original(z))
        x = search.coordinates(style(z))  # [B, w_dim]
        losses = {"energy": energy_distance(x, target[pick]), "pose": (predict(x) - level).clamp(min=0).mean(),
                  "stay": (x - before).square().mean()}
        loss = losses["energy"] + config.pose * losses["pose"] + config.stay * losses["stay"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if report_due(step, config.steps):
            yield step + 1, {name: value.item() for name, value in losses.items()}
