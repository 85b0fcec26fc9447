"""Directions with names: what of w moves one attribute of the pictures and leaves the others where they are.

GANSpace's components come without names, and one has to look at each. Attributes are numbers that somebody reads off
pictures, the judge or any other function; a linear probe says how each depends on w (InterFaceGAN, Shen et al. 2020,
section 3.2), and the direction of an attribute is the shortest one on which its probe rises and no other does.

    attributes = judged(judge, "horse")                  # images -> {"rider": [N], "neck": [N], ...}
    found = find_directions(G, attributes)
    found["rider"].direction                             # for `edit`; only what was tried and is pure is there

A probe is a straight line through what is not straight. So the directions are tried on fresh samples: what they move is
measured, the measured table is inverted once, and only a direction that moves its own attribute `PURE` times as far as
any other, in standard deviations, is offered.
"""
import dataclasses
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from ..files.checks import Able, Filled, GeneratorLike, Limits, Positive, Seed, checked
from .ganspace import Direction, edit

PURE = 3.0              # times as far as any other attribute, or it is not offered
RIDGE = 1e-2            # of the probes, in units of the spread of w
BATCH, TINY = 64, 1e-6
Reads = Annotated[object, Able(names=("targets", "outputs"))]
Moves = Annotated[dict[str, float], Filled()]
Attributes = Callable[[Tensor], dict[str, Tensor]]      # images [N, 3, R, R] in [-1, 1] -> name -> [N]


@dataclasses.dataclass(frozen=True)
class Named:
    """A direction and what it does: `moves`, name -> how far +1 sigma moves that attribute, in standard deviations of
    it over samples; `purity`, its own movement over the largest of the others."""

    direction: Direction
    moves: dict[str, float]

    @property
    def own(self) -> float:
        """How far its own attribute goes."""
        return self.moves[self.direction.name]

    @property
    def purity(self) -> float:
        """Its own movement over the largest of the others; below 0 where it goes the wrong way."""
        return self.own / max([abs(v) for name, v in self.moves.items() if name != self.direction.name], default=1e-9)


@checked
def judged(judge: Reads, category: str, colors: bool = True) -> Attributes:
    """What a judge reads off pictures of a category, as numbers that a probe can follow: 'name' -> [N].

    Angles become their cosine and sine, labels a score for each (for two, the second's over the first's). Attributes of
    the picture as a whole stand beside them, so that a direction of pose may not change the colours: brightness and
    warmth of its mean colour.
    """
    targets = [target for target in judge.targets if target.name.split(".")[0] == category]
    if not targets:
        raise ValueError(f"category is {category!r}, and this judge reads nothing of it; it knows "
                         f"{', '.join(judge.categories)}")

    def read(images: Tensor) -> dict[str, Tensor]:
        raw, found = judge.outputs(images), {}
        for target in targets:
            name, values = target.name.split(".")[1], raw[target.name]
            if target.kind == "angle":
                found |= {f"{name} cosine": values[:, 0], f"{name} sine": values[:, 1]}
            elif target.kind == "number":
                found[name] = values[:, 0]
            elif target.count == 2:
                found[name] = values[:, 1] - values[:, 0]
            else:
                found |= {f"{name} {i}": values[:, i] - values.mean(1) for i in range(target.count)}
        r, _, b = images.mean((2, 3)).unbind(1)
        return found | ({"brightness": images.mean((1, 2, 3)), "warmth": r - b} if colors else {})

    return read


# ------------------------------------------------------------------------------------------------------------- measured

@torch.no_grad()
def read_attributes(G, ws: Tensor, attributes: Attributes) -> tuple[Tensor, list[str]]:
    """Attributes [N, A] of the pictures of ws [N, num_ws, w_dim], with the noise of G's buffers, and their names."""
    read = [attributes(G.synthesis(part, "const").clamp(-1, 1)) for part in ws.split(BATCH)]
    names = list(read[0])
    return torch.stack([torch.cat([part[name] for part in read]).float() for name in names], 1), names


@checked
@torch.no_grad()
def movement(G: GeneratorLike, direction: Direction, attributes: Attributes, sigma: Positive = 1.0,
             samples: Annotated[int, Limits(least=2)] = 128, seed: Seed = 0) -> dict[str, float]:
    """How far a direction moves each attribute of a generator's samples: the mean change from -sigma to +sigma, halved
    and per sigma, in standard deviations of the attribute over the samples themselves."""
    ws = _draw(G, samples, seed)
    still, names = read_attributes(G, ws, attributes)
    return dict(zip(names, _moves(G, ws, direction, attributes, sigma, still.std(0)).tolist()))


@checked
def same_meaning(a: Moves, b: Moves) -> float:
    """Cosine between two movements: 1 if a direction does the same on two models, 0 if nothing of it is left."""
    if a.keys() != b.keys():
        raise ValueError(f"a tells of {', '.join(a)} and b of {', '.join(b)}; wanted movements of the same attributes")
    x, y = (torch.tensor([moves[name] for name in a]) for moves in (a, b))
    return (x @ y / (x.norm() * y.norm()).clamp(min=1e-12)).item()


def _draw(G, count: int, seed: int) -> Tensor:
    z = torch.randn(count, G.z_dim, generator=torch.Generator().manual_seed(seed))
    return G.mapping(z.to(next(G.parameters()).device))


def _moves(G, ws, direction, attributes, sigma, spread) -> Tensor:
    up, down = (read_attributes(G, edit(ws, direction, s), attributes)[0] for s in (sigma, -sigma))
    return (up - down).mean(0) / (2 * sigma) / spread.clamp(min=1e-6)


# ---------------------------------------------------------------------------------------------------------------- found

@checked
@torch.no_grad()
def find_directions(G: GeneratorLike, attributes: Attributes, samples: Annotated[int, Limits(least=16)] = 2048,
                    tried: Annotated[int, Limits(least=2)] = 96, corrections: Annotated[int, Limits(0, 4)] = 1,
                    pure: Positive = PURE, layers: Annotated[tuple[range, ...], Filled()] | None = None,
                    seed: Seed = 0) -> dict[str, Named]:
    """Directions in w that move one attribute each, purest first; only those that were tried and are pure.

    Args:
        G: the generator. attributes: a function images -> {name: [N]}, see `judged`.
        samples: from which the probes learn. tried: other samples, on which each direction is measured, and yet others
            at the end, which decide.
        corrections: how often the measured table of movements is inverted.
        pure: what is offered, see `PURE`. layers: alternatives of rows to move, of which the purest is taken; None
            takes all rows, the coarser half, and the finer half.
    """
    ws = _draw(G, samples, seed)
    values, names = read_attributes(G, ws, attributes)
    mean, spread = values.mean(0), values.std(0)
    known = spread > 1e-6                                   # what never changes has no direction
    covariance, slopes = _probe(ws[:, 0], (values - mean) / spread.clamp(min=1e-6))
    if not known.any():
        return {}
    half = G.num_ws // 2
    ranges = layers or (range(G.num_ws), range(half), range(half, G.num_ws))
    trial, final = (_draw(G, tried, seed + i) for i in (1, 2))
    best: dict[str, Named] = {}
    for rows in ranges:
        vectors = _shortest(covariance, slopes[:, known])   # [A, w_dim]
        make = lambda v, name: Direction(name, (v / v.norm()).float(), _stdev(covariance, v / v.norm()), rows)
        chosen = [name for name, k in zip(names, known) if k]
        for _ in range(corrections):
            table = torch.stack([_moves(G, trial, make(v, n), attributes, 1.0, spread)[known]
                                 for v, n in zip(vectors, chosen)])             # [A, A]: row: direction, in sigmas
            sizes = torch.stack([_stdev_tensor(covariance, v) for v in vectors])
            vectors = _corrected(table, vectors / sizes[:, None])
        for v, name in zip(vectors, chosen):
            if v.norm() < TINY:                             # these rows do not move it at all
                continue
            moves = _moves(G, final, make(v, name), attributes, 1.0, spread)
            found = Named(make(v, name), dict(zip(names, moves.tolist())))
            if name not in best or found.purity > best[name].purity:
                best[name] = found
    offered = [found for found in best.values() if found.purity >= pure]
    return {found.direction.name: found for found in sorted(offered, key=lambda f: -f.purity)}


def _probe(w: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance [D, D] of w [N, D], and the slopes [D, A] of the linear probes of standardised values [N, A]."""
    x = (w - w.mean(0)).double()
    covariance = x.T @ x / (len(x) - 1)
    ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.double, device=w.device)
    return covariance, torch.linalg.solve(covariance + ridge, x.T @ values.double() / (len(x) - 1))


def _shortest(covariance: Tensor, slopes: Tensor) -> Tensor:
    """Rows v_j [A, D]: probe k rises by 1 along v_k and by 0 along the others; of all such, the likeliest for w.

    min v' C^-1 v subject to slopes' v = e_j gives V = C S (S' C S)^-1.
    """
    pulled = covariance @ slopes
    table = slopes.T @ pulled
    return (pulled @ torch.linalg.pinv(table, rtol=1e-4)).T


def _corrected(table: Tensor, vectors: Tensor) -> Tensor:
    """Combinations of directions whose measured movements, to first order, are each of one attribute only."""
    return torch.linalg.pinv(table.double(), rtol=0.03) @ vectors


def _stdev_tensor(covariance: Tensor, v: Tensor) -> Tensor:
    return (v @ covariance @ v).clamp(min=1e-12).sqrt()


def _stdev(covariance: Tensor, v: Tensor) -> float:
    return _stdev_tensor(covariance, v).item()
