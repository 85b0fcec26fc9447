"""From a layout to pictures: encode, judge how near it came, refine, and give it many appearances."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..files.checks import Count, GeneratorLike, Limits, Positive, Seed, Weight, Whole, check_fields, checked, shape
from .classes import Masks, coverage
from .encoder import layouts
from .labels import feature_map
from .model import LayoutModel

Start = Literal["encoder", "retrieval"]
Strength = Annotated[float, Limits(0, 1)]
One = shape(1, "L", "D")


@dataclass(frozen=True)
class Refinement:
    """How a picture comes nearer to its layout: along the directions in which w varies most, for all rows alike."""

    steps: Whole = 60
    components: Count = 32      # of the principal components of w; few: nothing that G never paints
    lr: Positive = 0.1          # of Adam, in standard deviations of a component
    stay: Weight = 0.002        # charge for each squared standard deviation away from the start
    __post_init__ = check_fields


@dataclass
class Synthesis:
    """Pictures of layouts. images [N, 3, R, R] in [-1, 1]; ws [N, num_ws, w_dim], their latents; score [N], the mean
    cosine of what was painted with what was asked; follows [N], the share of the labelled pixels that show the class
    asked for; far: bool [N], whether the score is below nearly all that this model has scored on samples of G."""

    images: Tensor
    ws: Tensor
    score: Tensor
    follows: Tensor
    far: Tensor

    def said(self, n: int = 0) -> str:
        """A line for people about picture number n."""
        near = f"{self.follows[n]:.0%} of the layout is followed (cosine {self.score[n]:.2f})"
        return f"this layout is far from anything this GAN paints: {near}" if self.far[n] else near


@torch.no_grad()
@checked
def synthesize(model: LayoutModel, G: GeneratorLike, masks: Masks, start: Start = "encoder",
               refinement: Refinement | None = None) -> Synthesis:
    """One picture of each layout.

    masks: label maps [N, R, R], 0 where nothing is asked. start: the mask encoder's answer, or the nearest of a
    thousand samples (`retrieve`). refinement: None for the first answer, at once; `Refinement()` for a better one,
    seconds later.
    Raises LayoutError for another generator than the model's, another size, numbers that are no classes, a layout that
    asks for nothing.
    """
    masks = model.accept(G, masks)
    if start == "encoder":
        ws = model.encoder.eval()(layouts(masks, model.encoder))
    else:
        ws = retrieve(model, G, masks)[0]
    if refinement is not None and refinement.steps:
        ws = refine(model, G, masks, ws, refinement)
    return judged(model, G, masks, ws)


def judged(model: LayoutModel, G, masks: Tensor, ws: Tensor) -> Synthesis:
    """Pictures of latents ws, and how well each is what its label map [N, R, R] asks for."""
    features = feature_map(G, ws, model.labeller.resolutions)
    score = model.labeller.agreement(features, masks)
    shown = model.labeller.shown(features, G.resolution)
    asked = masks > 0
    follows = ((shown == masks) & asked).sum((1, 2)) / asked.sum((1, 2)).clamp_min(1)
    images = G.synthesis(ws, noise_mode="const").clamp(-1, 1)
    return Synthesis(images, ws, score, follows, score < model.usual)


@torch.no_grad()
@checked
def appearances(model: LayoutModel, G: GeneratorLike, masks: Masks, count: Count = 8, seed: Seed = 0,
                alpha: Strength = 1.0, mix_from: Whole | None = None, ws: One | None = None) -> Synthesis:
    """`count` pictures of one layout [1, R, R] that differ in what a layout leaves open: rows from mix_from on come
    from random w.

    alpha: how much of those rows; 0 gives the same picture again. mix_from: the first row that is exchanged, the
    model's own without it; earlier for more variety and less of the layout. ws: latents [1, num_ws, w_dim] to begin
    with (a refined picture's), the encoder's without.
    """
    masks = model.accept(G, masks)
    if len(masks) != 1:
        raise ValueError(f"masks are {list(masks.shape)}; appearances are of one layout: give masks[:1]")
    ws = model.encoder.eval()(layouts(masks, model.encoder)) if ws is None else ws
    mix_from = model.mix_from if mix_from is None else mix_from
    random = torch.Generator().manual_seed(seed)
    other = G.mapping(torch.randn(count, G.z_dim, generator=random).to(ws.device))
    mixed = ws.expand(count, -1, -1).clone()
    mixed[:, mix_from:] = mixed[:, mix_from:].lerp(other[:, mix_from:], alpha)
    return judged(model, G, masks.expand(count, -1, -1), mixed)


def principal_components(G, components: int) -> tuple[Tensor, Tensor]:
    """The directions in which w varies most, [components, w_dim] of length 1, and how much, [components] (standard
    deviations), of 4,096 seeded z."""
    with torch.no_grad():
        z = torch.randn(4096, G.z_dim, generator=torch.Generator().manual_seed(0)).to(next(G.parameters()).device)
        w = G.mapping(z)[:, 0]
        values, vectors = torch.linalg.eigh(torch.cov(w.T).double())                    # ascending
        components = min(components, len(values))
        order = torch.arange(len(values) - 1, len(values) - 1 - components, -1, device=w.device)
        return vectors.T[order].float(), values[order].clamp_min(0).sqrt().float()


def refine(model: LayoutModel, G, masks: Tensor, ws: Tensor, how: Refinement) -> Tensor:
    """Latents [N, num_ws, w_dim] whose pictures come nearer to label maps [N, R, R] than those of ws, the start.

    The loss is 1 - `agreement` with the prototypes, the variables are coefficients of principal components of w, added
    to all rows below mix_from, so the first iterate is the start itself. Of each picture the best iterate is kept: none
    scores below its start.
    """
    basis, sizes = principal_components(G, how.components)
    move = (basis * sizes[:, None]).to(ws)                                              # [K, w_dim]
    coefficients = torch.zeros(len(ws), len(move), device=ws.device, requires_grad=True)
    optimizer = torch.optim.Adam([coefficients], how.lr, betas=(0.9, 0.9))
    best, kept = torch.full((len(ws),), -math.inf, device=ws.device), ws.clone()
    rows = (torch.arange(G.num_ws, device=ws.device) < model.mix_from).float()[None, :, None]
    with torch.enable_grad():
        for step in range(how.steps + 1):
            moved = ws.detach() + rows * (coefficients @ move)[:, None]
            score = model.labeller.agreement(feature_map(G, moved, model.labeller.resolutions), masks)
            better = score.detach() > best
            best = torch.where(better, score.detach(), best)
            kept = torch.where(better[:, None, None], moved.detach(), kept)
            if step == how.steps:
                break
            optimizer.zero_grad()
            ((1 - score) + how.stay * coefficients.square().sum(1)).sum().backward(inputs=[coefficients])
            optimizer.step()
    return kept


@torch.no_grad()
def retrieve(model: LayoutModel, G, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Of a thousand seeded samples those whose pseudo labels are nearest to label maps [N, R, R]: latents
    [N, num_ws, w_dim], and the share of labelled pixels that agree, each class counted alike, [N]."""
    bank, latents = model.bank(G)                                                       # [B, r, r], [B, w_dim]
    count, side = len(model.classes), bank.shape[-1]
    asked = coverage(masks, side, count).flatten(2)                                     # [N, C, P]
    shown = functional.one_hot(bank.long(), count + 1)[..., 1:].float().flatten(1, 2).transpose(1, 2)   # [B, C, P]
    # Where nothing is asked everything is right.
    shown_there = torch.einsum("bcp,np->nbc", shown, (asked.sum(1) > 0).float())
    both = torch.einsum("ncp,bcp->nbc", asked, shown)
    union = asked.sum(2)[:, None] + shown_there - both
    present = (asked.sum(2) > 0).float()[:, None]
    iou = ((both / union.clamp_min(1e-9)) * present).sum(2) / present.sum(2)
    best, place = iou.max(1)
    return latents[place][:, None].expand(-1, G.num_ws, -1), best
