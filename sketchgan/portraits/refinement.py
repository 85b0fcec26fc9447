"""Refinement of a style's code, and new styles: what comes after training (Yang et al. 2022, section 3.4).

An encoder sees a style only roughly. `refine` descends from its answer, the network frozen, until the portrait of the
example's own content looks like the example; rows of structure move more slowly than rows of colour.

`StyleSampler` draws codes that are like the known ones and none of them: two small networks, one for structure and one
for colour, from 128 normal numbers each, fitted by implicit maximum likelihood (Li and Malik 2018): every known code
takes the nearest of many drawn ones, and draws it nearer. So no known style is left out, which a GAN would do.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..files.checks import Count, Images, Positive, Seed, Share, Weight, Whole, check_fields, checked, shape
from ..pretraining.fitting import step_generator
from . import losses
from .destylisation import spread_of_w
from .network import DualStyleGAN

Codes = shape("N", "L", "D")


@dataclass(frozen=True)
class RefineConfig:
    """How a style's code is refined; rates are in units of w's spread."""

    steps: Whole = 100          # as published
    lr_structure: Positive = 0.02   # Adam, rows before the border; the published ratio to colour is 1 to 2
    lr_colour: Positive = 0.04  # rows from the border on
    l_cx: Weight = 0.25         # contextual loss beside the perceptual one
    __post_init__ = check_fields


@checked
def refine(network: DualStyleGAN, extrinsic: Codes, intrinsic: Codes, styles: Images, features: nn.Module,
           config: RefineConfig = RefineConfig()) -> Tensor:
    """Codes `[N, num_ws, w_dim]` near `extrinsic` in which the contents `intrinsic` look like the examples `styles
    [N, 3, R, R]`; of all steps, for each example, the best.

    The loss is `L_perc + l_cx L_CX`, at weights 1 and without noise.
    """
    unit, border = spread_of_w(network.generator), network.border
    with torch.no_grad():
        wanted = losses.maps(features, styles)
    rows = [extrinsic[:, :border].clone().requires_grad_(True), extrinsic[:, border:].clone().requires_grad_(True)]
    optimizer = torch.optim.Adam([{"params": rows[:1], "lr": config.lr_structure * unit},
                                  {"params": rows[1:], "lr": config.lr_colour * unit}])
    best, kept = torch.full((len(styles),), torch.inf, device=styles.device), extrinsic.clone()
    for step in range(config.steps + 1):
        code = torch.cat(rows, 1)
        seen = losses.maps(features, network.synthesis(intrinsic, code, 1.0, "none"))
        each = sum((a - b).abs().flatten(1).mean(1) for a, b in zip(seen[:3], wanted[:3]))              # [N]
        better = each.detach() < best
        best, kept = torch.minimum(each.detach(), best), torch.where(better[:, None, None], code.detach(), kept)
        if step == config.steps:
            return kept
        coarse = next((i for i, x in enumerate(seen) if x.shape[-1] <= 16), len(seen) - 1)
        loss = each.sum() + config.l_cx * len(styles) * losses.contextual(seen[coarse], wanted[coarse])
        for row, grad in zip(rows, torch.autograd.grad(loss, rows)):
            row.grad = grad
        optimizer.step()


class StyleSampler(nn.Module):
    """New styles: `sample(n, seed)` gives extrinsic codes. Fit it with `fit_sampler`.

    Args:
        num_ws, w_dim: of the codes. border: the first row of colour. noise: length of the numbers it draws from.
    """

    def __init__(self, num_ws: int, w_dim: int, border: int, noise: int = 128):
        super().__init__()
        self.config = dict(num_ws=num_ws, w_dim=w_dim, border=border, noise=noise)

        def network(rows: int) -> nn.Sequential:
            layers = [nn.Linear(noise, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU(),
                      nn.Linear(128, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU()]
            return nn.Sequential(*layers, nn.Linear(128, rows * w_dim, bias=False))

        self.structure, self.color = network(border), network(num_ws - border)
        self.register_buffer("mean", torch.zeros(num_ws, w_dim))
        self.register_buffer("spread", torch.ones(()))

    def parts(self) -> tuple[tuple[nn.Sequential, slice], ...]:
        """Each network and the rows that it draws."""
        border = self.config["border"]
        return (self.structure, slice(0, border)), (self.color, slice(border, None))

    @checked
    @torch.no_grad()
    def sample(self, n: Count = 1, seed: Seed = 0, structure_seed: Seed | None = None) -> Tensor:
        """n new codes `[n, num_ws, w_dim]`; structure of a seed of its own where `structure_seed` is given.

        Running statistics decide, so a code does not depend on those beside it (the published sampler's does).
        """
        self.eval()
        rows = []
        for k, ((network, _), own) in enumerate(zip(self.parts(), (seed if structure_seed is None else structure_seed,
                                                                   seed))):
            random = torch.Generator().manual_seed(2 * own + k)
            noise = torch.randn(n, self.config["noise"], generator=random).to(self.mean)
            rows.append(network(noise).unflatten(1, (-1, self.config["w_dim"])))
        return torch.cat(rows, 1) * self.spread + self.mean


@checked
def fit_sampler(codes: Codes, border: Count, steps: Count = 600, lr: Positive = 1e-3, jitter: Share = 0.05,
                batch: Count = 128, seed: Seed = 0) -> StyleSampler:
    """A sampler of styles like the `codes [S, num_ws, w_dim]`: IMLE, structure and colour apart.

    jitter: noise on the codes, in units of their spread; with it a known code is a small cloud, not a point.
    """
    if len(codes) < 2:
        raise ValueError(f"codes holds {len(codes)} style; a sampler of new ones needs at least two to lie between")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sampler = StyleSampler(codes.shape[1], codes.shape[2], border)
    sampler.mean.copy_(codes.mean(0))
    sampler.spread.copy_((codes - codes.mean(0)).square().mean().sqrt().clamp_min(1e-6))
    known = ((codes - sampler.mean) / sampler.spread).cpu()
    optimizer = torch.optim.Adam(sampler.parameters(), lr, (0.5, 0.999), weight_decay=1e-5)
    sampler.train()
    for step in range(steps):
        rng = step_generator(seed, step)
        optimizer.param_groups[0]["lr"] = lr * 0.5 ** (5 * step // steps)
        pick = known[torch.randint(len(known), (batch,), generator=rng)]
        pick = pick + jitter * torch.randn(pick.shape, generator=rng)
        loss = 0.0
        for network, rows in sampler.parts():
            data, noise = pick[:, rows].flatten(1), torch.randn(2 * batch, sampler.config["noise"], generator=rng)
            drawn = network(noise)
            nearest = torch.cdist(data, drawn.detach()).argmin(1)               # each datum's, so that none is left out
            loss = loss + (drawn[nearest] - data).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return sampler.eval()
