"""The recipe of a base GAN: what decides its training, the presets that made the shipped weights, the stages of
growth."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from ..files.checks import Count, Positive, Probability, Seed, Weight, Whole, check_fields
from ..nets.augment import parse_policy

CHANNELS = {4: 128, 8: 128, 16: 96, 32: 64, 64: 32, 128: 24, 256: 16}      # what two cores can carry


@dataclass(frozen=True)
class GanConfig:
    """Everything that decides a base GAN's training; saved in its checkpoint and in the metadata of its weights."""

    resolution: Count = 64          # pixels a side of the finished network
    z_dim: Count = 64               # small worlds need few dimensions; official networks have 512
    w_dim: Count = 128              # likewise
    num_mapping: Count = 4          # layers of the mapping network; official networks have 8
    channels: dict[int, Count] = field(default_factory=lambda: dict(CHANNELS))      # of G
    d_channels: dict[int, Count] = field(default_factory=lambda: dict(CHANNELS))    # of D
    batch: Count = 16               # images a step, over all processes
    kimg: Weight = 60.0             # length, in thousands of real images shown
    growth: dict[int, Weight] = field(default_factory=lambda: {32: 16.0})   # resolution -> kimg at which it is left
    paired_kimg: Weight = 0.0       # until here only pairs are regressed; from here the game is played
    paired_share: Probability = 0.25    # size of the paired part of a batch during the game, as a share of it
    paired_weight: Weight = 3.0     # weight of the regression during the game
    paired_lr: Positive = 0.004     # of G while only pairs are regressed; falls to a tenth along a cosine
    critic_kimg: Weight = 0.0       # of the game's beginning, in which only the critics learn: after long pairs they know
    #                                 nothing yet, and what they say would spoil a generator that paints well
    known_w: bool = False           # pairs alone teach the synthesis network with the w that the mapping network should
    #                                 find, not with what it finds; it is taught when the game begins
    teach_steps: Whole = 6000       # in which the mapping network is taught what z means, without pictures
    teach_batch: Count = 384        # codes a step of that
    lr: Positive = 0.002            # Adam, both players (Karras et al. 2020, appendix B)
    mapping_lr: Weight = 1.0        # factor on the mapping network's rate, which LR_MUL_MAPPING slows a hundredfold
    r1_gamma: Weight = 0.3          # gradient penalty; the rule of stylegan2-ada gives 0.05 to 0.5 at 64 px
    d_reg_every: Count = 16         # lazy R1 (Karras et al. 2020, section 3.1)
    mixing: Probability = 0.9       # probability of style mixing
    ema_kimg: Weight = 3.0          # half-life of the generator's average, in kimg
    ema_rampup: Weight = 0.08       # ... but never more than this share of what was shown
    heads_weight: Weight = 0.0      # weight of the feature heads in the generator's loss; 0 does without them
    heads_mix: Whole = 0            # width of the heads' random mixing of features across channels and scales; 0: none
    d_weight: Weight = 1.0          # weight of StyleGAN2's discriminator in the generator's loss
    augment: Annotated[str, parse_policy] = ""  # differentiable, of what D sees ('color,translation,cutout')
    mirror: bool = False            # photographs: each is also shown turned left to right
    code_dims: Count = 48           # photographs: numbers of the code that pairs give them (mapping.CodedPhotos)
    bf16: bool = False              # all but R1 in bfloat16, where the processor has it: up to twice as fast
    seed: Seed = 0                  # of everything random

    __post_init__ = check_fields


# What made the shipped weights; every other choice is a flag away.
PRESETS = {
    "plain": {},
    "laptop": dict(growth={32: 16.0}, paired_kimg=56.0, kimg=125.0, paired_share=0.125, paired_weight=0.7,
                   mapping_lr=20.0, heads_weight=0.3),
    "photos": dict(growth={32: 16.0}, paired_kimg=48.0, kimg=83.0, paired_share=0.125, paired_weight=0.7,
                   mapping_lr=20.0, heads_weight=0.3, augment="color,translation,cutout", mirror=True),
}

# What a resumed training may do otherwise than before: how long, how fast, in which precision. Not what it is.
MAY_CHANGE = {"kimg", "batch", "growth", "paired_kimg", "paired_share", "paired_weight", "paired_lr", "lr",
              "mapping_lr", "heads_weight", "d_weight", "critic_kimg", "bf16", "r1_gamma", "augment"}


def stages(config: GanConfig) -> dict[int, float]:
    """Each resolution below the full one at which the networks are trained -> the kimg at which they leave it.

    `config.growth` may name fewer or more resolutions than there are: a stage that it does not name lasts as long as
    the one before, and what is not below the full resolution is no stage.
    """
    size, left = min((r for r in config.growth if r < config.resolution), default=config.resolution), {}
    while size < config.resolution:
        before = left.get(size // 2, 0.0)
        left[size] = config.growth.get(size, 2 * before - left.get(size // 4, 0.0))
        size *= 2
    return left
