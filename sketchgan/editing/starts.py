"""Where a projection begins, and what is asked of the mapping network alone: the spread of w, the z nearest to a w.

Three starts: the mean w (Karras et al. 2020, appendix D), which needs nothing; an encoder's answer (pretraining/
photo_encoder.py), milliseconds; and a search of z without gradients, CMA-ES, which looks in many places where a descent
from one would stay in its valley. Huh et al. 2020 (pix2latent), whom Sketch Your Own GAN uses, let gradient steps work
inside the search (BasinCMA): `inner` steps here.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from ..files.checks import Count, GeneratorLike, Limits, Positive, Seed, Vectors, Whole, check_fields, checked
from ..nets.encoders import Encoder

SAMPLES, SEED = 4096, 0
Z_STEPS, Z_RATE = 200, 0.1      # of the search for a z, by the mapping network alone: a fifth of a second


@dataclass(frozen=True)
class Search:
    """CMA-ES over z; pix2latent's BasinCMA has 30 rounds of 30 inner steps, a minute a picture on two cores."""

    rounds: Count = 30              # generations
    population: Annotated[int, Limits(least=4)] = 16    # candidates of each; about 4 + 3 ln(z_dim)
    sigma: Positive = 0.7           # spread of the first, in units of z's own
    inner: Whole = 0                # gradient steps that each candidate may take before it is judged
    rate: Positive = 0.05           # of these
    __post_init__ = check_fields


@torch.no_grad()
def spread_of_w(G: GeneratorLike) -> tuple[Tensor, float]:
    """The mean of w [w_dim] and its spread, one number: the root mean square of its distance from the mean, by
    numbers."""
    w = G.mapping(some_z(G))[:, 0]
    return G.mean_w(), (w - w.mean(0)).square().mean().sqrt().item()


def some_z(G: GeneratorLike, n: int = SAMPLES) -> Tensor:
    """The same n random z [n, z_dim] for everybody."""
    z = torch.randn(n, G.z_dim, generator=torch.Generator().manual_seed(SEED))
    return z.to(next(G.parameters()).device)


def on_sphere(z: Tensor) -> Tensor:
    """z [N, z_dim] with the length that random ones nearly have, the root of z_dim; StyleGAN2 sees directions only."""
    return z * (z.shape[1] / z.square().sum(1, keepdim=True)).sqrt()


@checked
def nearest_z(G: GeneratorLike, w: Vectors, steps: Whole = Z_STEPS) -> Tensor:
    """z [N, z_dim] whose w comes nearest to w [N, w_dim], in the sense of least squares.

    From the nearest of 4,096 random ones by gradient. Not every w has a z: `G.mapping(z)` says how near it came. No
    picture is painted.
    """
    if w.shape[1] != G.w_dim:
        raise ValueError(f"w has {w.shape[1]} numbers a row and this generator's {G.w_dim}: give w of this generator")
    with torch.no_grad():
        z = on_sphere(some_z(G))
        z = z[torch.cdist(w, G.mapping(z)[:, 0]).argmin(1)].clone()
    best, least = z.clone(), torch.full((len(w),), torch.inf, device=w.device)
    z.requires_grad_(True)
    optimizer = torch.optim.Adam([z], Z_RATE)
    with torch.enable_grad():
        for step in range(steps + 1):
            optimizer.param_groups[0]["lr"] = Z_RATE * max(1 - step / max(steps, 1), 0.02)
            error = (G.mapping(z)[:, 0] - w).square().sum(1)
            nearer = error.detach() < least
            best[nearer], least[nearer] = z.detach()[nearer], error.detach()[nearer]
            z.grad = torch.autograd.grad(error.sum(), z)[0]
            optimizer.step()
            z.data.copy_(on_sphere(z.data))
    return best


@torch.no_grad()
def encoder_start(encoder: Encoder, G: nn.Module, images: Tensor) -> Tensor:
    """ws [N, num_ws, w_dim] that the encoder tells of images [N, 3, R, R].

    Raises ValueError if the encoder was trained for another generator.
    """
    own, wanted = encoder.config, dict(in_channels=3, resolution=G.resolution, w_dim=G.w_dim)
    other = [f"{key} {own[key]} instead of {value}" for key, value in wanted.items() if own[key] != value]
    mean, spread = spread_of_w(G)
    if not other and (encoder.w_avg - mean).square().mean().sqrt() > 0.1 * spread:
        other = ["its mean w is another"]
    if other or own["num_rows"] not in (1, G.num_ws):
        raise ValueError(f"this encoder belongs to another generator ({', '.join(other) or 'other layers'}); train one "
                         "for this one: python -m sketchgan pretrain photo-encoder WEIGHTS")
    return encoder(images).expand(-1, G.num_ws, -1)


def search_z(G: nn.Module, loss_of: Callable[[Tensor, Tensor], Tensor], count: int, config: Search,
             seed: Seed = 0) -> Tensor:
    """The best z [count, z_dim] that CMA-ES finds for each of `count` pictures; each has a search of its own.

    loss_of: (ws [M, num_ws, w_dim], which picture each is for [M]) -> losses [M]. Source: Hansen 2016, "The CMA
    Evolution Strategy: A Tutorial"; with inner steps Huh et al. 2020, algorithm 1. Raises ImportError without the
    package.
    """
    try:
        import cma
    except ImportError as error:
        raise ImportError("the start 'cma' needs the package cma: pip install 'sketchgan[search]'") from error
    options = dict(popsize=config.population, verbose=-9, maxiter=config.rounds)
    searches = [cma.CMAEvolutionStrategy([0.0] * G.z_dim, config.sigma, options | {"seed": seed + 1 + i})
                for i in range(count)]
    best, least = torch.zeros(count, G.z_dim), torch.full((count,), torch.inf)
    device = next(G.parameters()).device
    owner = torch.arange(count).repeat_interleave(config.population).to(device)
    for _ in range(config.rounds):
        asked = [search.ask() for search in searches]
        z = torch.tensor([row.tolist() for rows in asked for row in rows], device=device)
        z = descend(G, z, lambda ws: loss_of(ws, owner), config.inner, config.rate)
        with torch.no_grad():
            losses = torch.cat([loss_of(G.mapping(part), who) for part, who in zip(z.split(32), owner.split(32))]).cpu()
        for i, search in enumerate(searches):
            own = slice(i * config.population, (i + 1) * config.population)
            search.tell(asked[i], losses[own].tolist())
            k = losses[own].argmin()
            if losses[own][k] < least[i]:
                best[i], least[i] = z[own][k].cpu(), losses[own][k]
    return on_sphere(best.to(device))


def descend(G: nn.Module, z: Tensor, loss_of: Callable[[Tensor], Tensor], steps: int, rate: float) -> Tensor:
    """z [M, z_dim] after some steps of Adam on their losses."""
    if not steps:
        return z
    z = z.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([z], rate)
    for _ in range(steps):
        z.grad = torch.autograd.grad(loss_of(G.mapping(z)).sum(), z)[0]
        optimizer.step()
    return z.detach()
