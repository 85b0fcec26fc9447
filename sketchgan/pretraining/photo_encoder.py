"""A photo encoder: which latents of a generator would paint this picture, told in milliseconds.

    python -m sketchgan pretrain photo-encoder data/weights/horse64.safetensors --out horse64_photo_encoder.safetensors

It is what projection (editing/projector.py) begins with. Its teacher is the generator itself: each step draws z, paints
G(z), spoils the picture a little, and asks for the ws it was painted from. No photograph is needed, so any generator of
any size can have one; a photograph whose like the generator never paints is answered with the nearest that it does.
Two terms:

    l_w      = |E(x) - ws|^2 / |ws - w_avg|^2        what is asked; 1 - l_w is the share of w's variance explained
    l_pixels = |G(E(x)) - x0|^2 / |x0 - mean x0|^2   what it is for; for a few pictures of each batch, since painting is
                                                     dear. It weighs the directions of w by what one sees of them

as in pSp (Richardson et al. 2021, equations 1 and 3, without its network of faces).
"""
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..files.checks import Count, Positive, Seed, Share, Weight, check_fields
from ..nets import stylegan2
from ..nets.encoders import Encoder
from ..photos.degradations import degrade_photo, uniform
from ..weights.checkpoints import content_hash, load_generator
from .fitting import LossOf, milliseconds, publish, seeded, step_generator, train

HELD_OUT = 128      # samples to measure on, of a stream that no step draws from


@dataclass(frozen=True)
class PhotoEncoderConfig:
    """A photo encoder of one generator, taught by that generator's own samples."""

    kimg: Positive = 10.0           # thousands of samples to see: some five minutes of one core at 64 px
    batch: Count = 16               # large enough for batch statistics, small enough for many steps
    lr: Positive = 2e-3             # peak of the cosine
    weight_decay: Weight = 1e-2     # AdamW's; samples are endless, so there is nothing to learn by heart
    warmup: Share = 0.05            # share of kimg over which lr rises from 0
    seed: Seed = 0                  # of weights, z and degradations
    width: Count = 24               # of the encoder's first maps: 3 million numbers at 64 px
    painted: Count = 4              # so many of each batch are painted again for l_pixels
    pixels: Weight = 1.0            # weight of l_pixels
    spoiled: Weight = 0.5           # how much of `degrade_photo` pictures suffer at most: 0 nothing, 1 all
    __post_init__ = check_fields


def relative_error(guess: Tensor, truth: Tensor, around: Tensor) -> Tensor:
    """|guess - truth|^2 as a share of |truth - around|^2, over the whole batch: 0 is perfect, 1 as bad as `around`."""
    return (guess - truth).square().mean() / (truth - around).square().mean()


def spoil_a_little(images: Tensor, most: float, random: Generator) -> Tensor:
    """Pictures [N,3,R,R] somewhere between themselves and what `degrade_photo` makes of them, at most so far."""
    share = uniform(images, 0.0, most, random)
    return images.lerp(degrade_photo(images, random).to(images), share) if most else images


def photo_encoder_loss(encoder: Encoder, G: stylegan2.Generator, config: PhotoEncoderConfig, device: str) -> LossOf:
    """The two terms of the first lines; the indices that `fit` gives are ignored, since samples are endless."""
    def loss_of(_: Tensor, random: Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            ws = G.mapping(torch.randn(config.batch, G.z_dim, generator=random).to(device))     # [N, num_ws, w_dim]
            images = G.synthesis(ws, generator=random).clamp(-1, 1)
        guess = encoder(spoil_a_little(images, config.spoiled, random))
        losses = {"w": relative_error(guess, ws, encoder.w_avg)}
        if config.pixels:
            some = images[:config.painted]
            again = G.synthesis(guess[:config.painted], noise_mode="none")
            losses["pixels"] = config.pixels * relative_error(again, some, some.mean((2, 3), keepdim=True))
        return losses

    return loss_of


@torch.no_grad()
def evaluate_photo_encoder(encoder: Encoder, G: stylegan2.Generator, config: PhotoEncoderConfig, device: str) -> dict:
    """Of fresh samples: 'explained', the share of w's variance; 'psnr' of painting them again, in dB over [-1, 1];
    'ms_per_image' of the encoder alone."""
    random = step_generator(config.seed, -2)
    ws = G.mapping(torch.randn(HELD_OUT, G.z_dim, generator=random).to(device))
    images = torch.cat([G.synthesis(part, generator=random).clamp(-1, 1) for part in ws.split(32)])
    guess = torch.cat([encoder(part) for part in images.split(32)])
    again = torch.cat([G.synthesis(part, noise_mode="none").clamp(-1, 1) for part in guess.split(32)])
    error = functional.mse_loss(again, images, reduction="none").mean((1, 2, 3))
    return {"explained": 1 - relative_error(guess, ws, encoder.w_avg).item(), "samples": HELD_OUT,
            "psnr": (10 * (4 / error).log10()).mean().item(),
            "ms_per_image": milliseconds(encoder, G.resolution, device), "generator": content_hash(G)[:12]}


def train_photo_encoder(generator: str | Path, config: PhotoEncoderConfig, out: str | Path,
                        minutes: float | None = None, device: str = "cpu") -> dict:
    """Train an encoder for the generator in a weight file and write it to `out`, as float16; returns its quality.

    Half precision halves the file; what is measured is what the file holds.
    """
    G = load_generator(generator).eval().requires_grad_(False).to(device)
    build = lambda: Encoder(3, G.resolution, G.num_ws, G.w_dim, config.width)
    encoder = seeded(build, config).to(device)
    encoder.w_avg.copy_(G.mean_w())
    images = train(encoder, photo_encoder_loss(encoder, G, config, device), config.batch, config, Path(out), minutes)
    quality = evaluate_photo_encoder(encoder.half().float().eval(), G, config, device)
    publish(encoder.half(), config, Path(out), images, quality)
    return quality
