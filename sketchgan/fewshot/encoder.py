"""The mask encoder: layouts to latents, trained on pairs that never end: the pseudo label of a sample, and its w.

Nobody labels these pairs and no picture is painted for them: labels come from features half way up the generator. The
loss is a distance in w, so the generator stands outside the gradient. Source: Endo and Kanamori 2021, section 3.3, with
the pyramid of pSp (Richardson et al. 2021). Ours is a fiftieth of theirs and reads coverages (how much of each coarse
pixel a class takes), so that thin strokes count.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Generator, Tensor

from ..files.checks import Count, GeneratorLike, Limits, Positive, Probability, Seed, Share, Weight, check_fields
from ..nets.encoders import Encoder
from ..photos.degradations import smooth_noise
from ..pretraining.fitting import LossOf, seeded
from .classes import coverage
from .labels import Labeller

Side = Annotated[int, Limits(choices=(32, 64, 128, 256))]


@dataclass(frozen=True)
class EncoderConfig:
    """What the training of a mask encoder depends on (`pretraining.fitting` reads the last six)."""

    resolution: Side = 32       # of the layouts that it reads: half of 64 px is a quarter of the time
    width: Count = 32           # channels of its first maps: 3 million parameters
    dropped: Probability = 0.6  # share of the layouts that lose regions, so that scribbles are understood
    kimg: Positive = 16.0       # thousands of pairs; minutes on two cores
    batch: Count = 32
    lr: Positive = 2e-3         # peak of the cosine
    weight_decay: Weight = 1e-2
    warmup: Share = 0.03
    seed: Seed = 0              # of the first weights, of z and of what is dropped
    __post_init__ = check_fields


def new_encoder(G: GeneratorLike, count: int, config: EncoderConfig) -> Encoder:
    """An untrained encoder for layouts of `count` classes and the rows of G, round G's mean w."""
    resolution = max(32, min(config.resolution, G.resolution))
    encoder = seeded(lambda: Encoder(count, resolution, G.num_ws, G.w_dim, config.width), config)
    encoder.w_avg.copy_(G.mean_w())
    return encoder


def layouts(masks: Tensor, encoder: Encoder) -> Tensor:
    """Label maps [N, R, R] as the encoder reads them: the share of each of its pixels that each class covers."""
    side, count = encoder.config["resolution"], encoder.config["in_channels"]
    if masks.shape[-1] < side:                          # three maps want 32 px at least
        masks = masks.repeat_interleave(side // masks.shape[-1], 1).repeat_interleave(side // masks.shape[-1], 2)
    return coverage(masks, side, count)


def drop(masks: Tensor, share: float, random: Generator) -> Tensor:
    """Label maps [N, R, R] of which a `share` have lost regions to 0, as scribbles and half-painted layouts have.

    A dropped one keeps where smooth noise is above a level of its own, so patches and strokes of every size; and it
    loses each class with a chance of one in six.
    """
    n, device = len(masks), masks.device
    cells = max(2, masks.shape[-1] // 8)
    noise = smooth_noise(masks[:, None].float(), 1, cells, random)[:, 0]                     # [N, R, R]
    level = torch.empty(n).uniform_(-1.2, 1.5, generator=random).to(device)
    hidden = noise < level[:, None, None]
    lost = torch.rand(n, int(masks.max()) + 1, generator=random).to(device) < 1 / 6
    hidden |= torch.take_along_dim(lost, masks.flatten(1), 1).view_as(masks)
    chosen = torch.rand(n, generator=random).to(device) < share
    return torch.where(hidden & chosen[:, None, None], 0, masks)


def pairs(G: GeneratorLike, labeller: Labeller, n: int, random: Generator) -> tuple[Tensor, Tensor]:
    """n pairs: pseudo label int64 [n, R, R] of a random sample, and its latents ws [n, num_ws, w_dim]."""
    with torch.no_grad():
        z = torch.randn(n, G.z_dim, generator=random).to(next(G.parameters()).device)
        ws = G.mapping(z)
        return labeller.labels(G, ws), ws


def spread(G: GeneratorLike) -> Tensor:
    """The mean square distance of w from its mean, of 1,024 seeded z: what an encoder that knows nothing is charged."""
    with torch.no_grad():
        z = torch.randn(1024, G.z_dim, generator=Generator().manual_seed(0)).to(next(G.parameters()).device)
        return (G.mapping(z)[:, 0] - G.mean_w()).square().mean()


def encoder_loss(encoder: Encoder, G: GeneratorLike, labeller: Labeller, config: EncoderConfig) -> LossOf:
    """The distance of the encoder's rows from w, as a share of w's own spread: 1 for the mean w, 0 at best."""
    unit = spread(G)

    def loss_of(indices: Tensor, random: Generator) -> dict[str, Tensor]:
        masks, ws = pairs(G, labeller, len(indices), random)                # endless: the indices name nothing
        masks = drop(masks, config.dropped, random)
        return {"w": (encoder(layouts(masks, encoder)) - ws).square().mean() / unit}

    return loss_of


@torch.no_grad()
def unexplained(encoder: Encoder, G: GeneratorLike, labeller: Labeller, count: int = 256, seed: int = 0,
                ) -> list[float]:
    """Of whole layouts of fresh samples: the distance in w of each row, as a share of w's spread (1 - R^2)."""
    masks, ws = pairs(G, labeller, count, Generator().manual_seed(1_000_000 + seed))
    encoder.eval()
    found = torch.cat([encoder(layouts(part, encoder)) for part in masks.split(64)])
    return ((found - ws).square().mean((0, 2)) / spread(G)).tolist()
