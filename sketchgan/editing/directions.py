"""Directions with names: what of w moves one attribute of the pictures and leaves the others where they are.

GANSpace's components come without names, and one has to look at each. Attributes are numbers that somebody reads off
pictures, the judge or any other function; a linear probe says how each depends on w (InterFaceGAN, Shen et al. 2020,
section 3.2), and the direction of an attribute is the likeliest one on which its probe rises and no other does.

    attributes = judged(judge, "horse")                  # images -> {"rider": [N], "neck": [N], ...}
    found = find_directions(G, attributes)
    found["rider"].direction                             # for `edit`; only what was tried and is pure is there

The slope of a probe through infinitely many samples of a normal w is the attribute's mean gradient (Stein's lemma), and
a gradient says as much as hundreds of samples; so it is taken where the attribute has one, for each layer by itself.
Other attributes are probed by least squares. Either is a straight line through what is not straight: the
directions are tried on fresh samples, and only one that moves its own attribute `PURE` times as far as any other, in
standard deviations, is offered.
"""
import dataclasses
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from ..files.checks import Able, Filled, GeneratorLike, Limits, Positive, Seed, checked
from .ganspace import Direction, edit

PURE = 3.0              # times as far as any other attribute, or it is not offered
LEAST = 0.05            # standard deviations that a sigma must move it, or it is as good as nothing
SIGMA = 2.0             # either way, when a direction is tried
PROMISING = 0.5         # of PURE in a first, short trial: what is below is not tried at length
RIDGE = 1e-2            # of the probes, in units of the spread of w
PROBED = 10             # samples of a least-squares probe for each that would give its gradient
BATCH, TINY = 32, 1e-6
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
        others = [abs(v) for name, v in self.moves.items() if name != self.direction.name]
        return self.own / max(others + [1e-9])


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
def movement(G: GeneratorLike, direction: Direction, attributes: Attributes, sigma: Positive = SIGMA,
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
def find_directions(G: GeneratorLike, attributes: Attributes, samples: Annotated[int, Limits(least=16)] = 192,
                    tried: Annotated[int, Limits(least=2)] = 192, pure: Positive = PURE,
                    layers: Annotated[tuple[range, ...], Filled()] | None = None,
                    seed: Seed = 0) -> dict[str, Named]:
    """Directions in w that move one attribute each, purest first; only those that were tried and are pure.

    Args:
        G: the generator. attributes: a function images -> {name: [N]}, see `judged`.
        samples: from which the slopes are taken (ten times as many where attributes have no gradient).
        tried: other samples, on which a direction is measured; a quarter of as many more says which is worth it.
        pure: what is offered, see `PURE`. layers: alternatives of rows to move, of which the purest is taken; None
            takes all rows, the coarser half, and the finer half.
    """
    slopes, spread, names = _slopes(G, samples, attributes, seed)               # [A, num_ws, D], [A]
    known = [i for i, name in enumerate(names) if spread[i] > TINY]             # what never changes has no direction
    half = G.num_ws // 2
    ranges = layers or (range(G.num_ws), range(half), range(half, G.num_ws))
    with torch.no_grad():
        covariance = _draw(G, 4096, seed + 3)[:, 0].double().T.cov()
        short, long = _draw(G, max(2, tried // 4), seed + 1), _draw(G, tried, seed + 2)
        measured = lambda ws, direction: Named(direction, dict(zip(names, _moves(
            G, ws, direction, attributes, SIGMA, spread).tolist())))
        best: dict[str, Named] = {}
        for rows in ranges:
            wanted = slopes[known][:, list(rows)].sum(1).T                       # [D, A]
            for i, v in zip(known, _likeliest(covariance, wanted)):
                if v.norm() < TINY:                         # these rows do not move it at all
                    continue
                v = v / v.norm()
                found = measured(short, Direction(names[i], v.float(), (v @ covariance @ v).sqrt().item(), rows))
                if names[i] not in best or _rank(found) > _rank(best[names[i]]):
                    best[names[i]] = found
        found = [measured(long, one.direction) for one in best.values() if one.purity >= PROMISING * pure]
    return {one.direction.name: one for one in sorted(found, key=lambda one: -one.purity)
            if one.purity >= pure and one.own >= LEAST}


def _rank(one: Named) -> tuple[bool, float]:
    """Of two for the same attribute: one that moves it at all, then the purer."""
    return one.own >= LEAST, one.purity


def _slopes(G, samples: int, attributes: Attributes, seed: int) -> tuple[Tensor, Tensor, list[str]]:
    """Mean slopes [A, num_ws, w_dim] of the attributes by each row of ws, in standard deviations of the attribute;
    these standard deviations [A]; and the names."""
    with torch.no_grad():
        ws = _draw(G, samples, seed).contiguous()
    sums, values = 0.0, []
    for part in ws.split(BATCH):
        part = part.clone().requires_grad_()
        read = attributes(G.synthesis(part, "const").clamp(-1, 1))
        names = list(read)
        values.append(torch.stack([read[name].detach().float() for name in names], 1))
        if not all(read[name].requires_grad for name in names):
            return _probed(G, PROBED * samples, attributes, seed)
        sums = sums + torch.stack([torch.autograd.grad(read[name].sum(), part, retain_graph=True)[0].sum(0)
                                   for name in names])
    spread = torch.cat(values).std(0)
    return (sums / samples).double() / spread.clamp(min=TINY)[:, None, None], spread, names


@torch.no_grad()
def _probed(G, samples: int, attributes: Attributes, seed: int) -> tuple[Tensor, Tensor, list[str]]:
    """The same by least squares over samples, in which all rows are one w: what each row does is not known, and an
    equal part of it is what each is given."""
    ws = _draw(G, samples, seed)
    values, names = read_attributes(G, ws, attributes)
    x, spread = (ws[:, 0] - ws[:, 0].mean(0)).double(), values.std(0)
    y = (values - values.mean(0)).double() / spread.clamp(min=TINY)
    covariance = x.T @ x / (len(x) - 1)
    ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.double, device=x.device)
    slopes = torch.linalg.solve(covariance + ridge, x.T @ y / (len(x) - 1)).T                   # [A, D]
    return slopes[:, None].expand(-1, G.num_ws, -1) / G.num_ws, spread, names


def _likeliest(covariance: Tensor, slopes: Tensor) -> Tensor:
    """Rows v_j [A, D]: attribute j rises along v_j and no other does; of all such, the likeliest for w.

    min v' C^-1 v subject to slopes' v = e_j gives V = C S (S' C S)^-1.
    """
    pulled = covariance @ slopes
    return (pulled @ torch.linalg.pinv(slopes.T @ pulled, rtol=1e-4)).T
