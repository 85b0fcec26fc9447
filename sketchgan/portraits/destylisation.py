"""Destylisation: for each style example the content it may have been made from (Yang et al. 2022, section 3.1).

    tuned = tuned_on(G, D, styles.images)                           # g', which paints in the styles, less content
    encode = nearest_codes(G, features)                             # or an encoder of this base
    found = destylise(G, tuned, styles.images, encode, features)    # codes of style and of content, a picture of it

Three stages. The encoder's answer to an example is its style code, `extrinsic`. From there a code is sought with which
g', the generator fine-tuned on all examples, paints it: because g' is still near g, g paints the same code as a
photograph; rows of colour are put back, and the code is drawn towards the mean, for what is not quite natural. Encoding
that picture gives `intrinsic`, a code of content within reach of g. No true pair is needed, and none is ever seen.
"""
from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..files.checks import Count, Images, Limits, Positive, Seed, Vectors, Weight, Whole, check_fields, checked
from ..files.progress import Progress
from ..nets import losses as game
from ..nets.augment import augment
from ..nets.stylegan2 import Discriminator, Generator
from ..pretraining.fitting import step_generator
from ..pretraining.mapping import z_of_code
from . import losses
from .network import border

Encode = Callable[[Tensor], Tensor]     # pictures [N,3,R,R] -> latents [N,num_ws,w_dim]


@dataclass(frozen=True)
class DestyliseConfig:
    """How contents are sought."""

    tune: Whole = 150               # steps of fine-tuning g'; paper 600 at batch 32. Too many, and g' forgets g
    tune_lr: Positive = 0.002       # Adam
    tune_ema: Positive = 0.5        # half-life of g's average in thousands of pictures, which keeps it near g
    steps: Whole = 80               # of latent optimisation; paper 300
    lr: Positive = 0.1              # Adam, in units of w's spread
    alike: Weight = 1.0             # weight of the spread over rows: codes whose rows are alike are natural (eq. 1)
    truncation_psi: Annotated[float, Limits(least=0, most=1)] = 0.7     # of the picture; paper 0.7, strange styles 0.5
    batch: Count = 16
    seed: Seed = 0
    __post_init__ = check_fields


@dataclass
class Destylised:
    """Of S style examples: `extrinsic` and `intrinsic` codes [S,num_ws,w_dim], `optimised` between them (what g' paints
    the example with), and `content` [S,3,R,R], the pictures that intrinsic codes stand for, as g paints the former."""

    extrinsic: Tensor
    optimised: Tensor
    intrinsic: Tensor
    content: Tensor


def spread_of_w(G: Generator) -> float:
    """How far w lies from its mean: one number, root mean square over 1,024 seeded z."""
    z = torch.randn(1024, G.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        w = G.mapping(z.to(G.input.input.device))[:, 0]
    return float((w - w.mean(0)).square().mean().sqrt())


def truncated(G: Generator, ws: Tensor, truncation_psi: float) -> Tensor:
    """Latents drawn towards the mean of w: 1 leaves them, 0 gives the mean (the published code draws towards 0)."""
    return ws if truncation_psi == 1 else G.mean_w().lerp(ws, truncation_psi)


def _described(features: nn.Module, images: Tensor) -> Tensor:
    """[N,D]: where deep features answer, whatever the style, and roughly which colours are where."""
    deep = functional.instance_norm(losses.maps(features, images)[-2]).flatten(1)
    colours = functional.adaptive_avg_pool2d(images, 4).flatten(1)
    return torch.cat([functional.normalize(deep), 0.5 * functional.normalize(colours)], 1)


@checked
def nearest_codes(G: Generator, features: nn.Module, samples: Count = 2048, steps: Whole = 0,
                  seed: Seed = 0) -> Encode:
    """An encoder without training: the latents of that one of many samples of g which looks most like the picture, and
    from there `steps` of descent, without which pictures that are alike share a code.

    features: a network that sees (`losses.CriticFeatures` of the base's discriminator). An encoder that was trained for
    this base is quicker, and is given in its place wherever one is asked for.
    """
    random = torch.Generator().manual_seed(seed)
    ws, seen = [], []
    with torch.no_grad():
        for n in [64] * (samples // 64) + [samples % 64] * (samples % 64 > 0):
            ws.append(G.mapping(torch.randn(n, G.z_dim, generator=random).to(G.input.input.device)))
            seen.append(_described(features, G.synthesis(ws[-1], "none").clamp(-1, 1)))
    ws, seen = torch.cat([w[:, 0] for w in ws]), torch.cat(seen)

    def encode(images: Tensor) -> Tensor:
        images = images.to(seen)
        with torch.no_grad():
            nearest = torch.cdist(_described(features, images), seen).argmin(1)
        start = ws[nearest][:, None].repeat(1, G.num_ws, 1)
        with torch.enable_grad():
            return optimised_codes(G, start, images, features, DestyliseConfig(steps=steps)) if steps else start

    return encode


@checked
def tuned_on(G: Generator, D: Discriminator, styles: Images, config: DestyliseConfig = DestyliseConfig()) -> Generator:
    """g': the average of g as it is fine-tuned on the examples, mapping network untouched, so that codes keep their
    meaning."""
    tuned, D = copy.deepcopy(G).requires_grad_(True), copy.deepcopy(D).requires_grad_(True)
    average = copy.deepcopy(G).requires_grad_(False)
    tuned.style.requires_grad_(False)
    learns = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    kept = dict(average.named_parameters())
    players = [(list(learns.values()), torch.optim.Adam(learns.values(), config.tune_lr, (0.0, 0.99))),
               (list(D.parameters()), torch.optim.Adam(D.parameters(), config.tune_lr, (0.0, 0.99)))]

    def update(player: int, loss: Tensor) -> None:
        parameters, optimizer = players[player]
        for p, grad in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True)):
            p.grad = grad
        optimizer.step()

    keep = 0.5 ** (config.batch / (config.tune_ema * 1000))
    for step in Progress(range(config.tune), desc="fine-tuning g'", leave=False):
        rng = step_generator(config.seed, step)
        seen = lambda x: D(augment(x, "translation,cutout", rng))
        real = styles[torch.randint(len(styles), (config.batch,), generator=rng)].to(G.input.input.device)
        z = torch.randn(config.batch, G.z_dim, generator=rng).to(real)
        fake = tuned.synthesis(tuned.mapping(z), generator=rng)
        loss = game.d_logistic(seen(real), seen(fake.detach()))
        update(1, loss + (0.15 * 16 * game.r1_penalty(seen, real) if step % 16 == 0 else 0))
        update(0, game.g_nonsaturating(seen(fake)))
        with torch.no_grad():
            for name, p in learns.items():
                kept[name].lerp_(p, 1 - keep)
    return average.eval()


def optimised_codes(G: Generator, start: Tensor, images: Tensor, features: nn.Module,
                    config: DestyliseConfig = DestyliseConfig()) -> Tensor:
    """Codes [N,num_ws,w_dim] near `start` with which a generator paints `images`: `L_perc + alike * std over rows`.

    Also the way in for a photograph, with g itself. Adam's rate rises over the first 5 % of the steps and falls over
    the last 25 %, as published.
    """
    unit = spread_of_w(G)
    with torch.no_grad():
        wanted = losses.maps(features, images)[:3]
    code = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([code], config.lr * unit)
    for step in range(config.steps):
        at = (step + 1) / config.steps
        rate = min(1.0, at / 0.05, (1 - at) / 0.25 + 1e-3)
        optimizer.param_groups[0]["lr"] = config.lr * unit * rate
        found = losses.maps(features, G.synthesis(code, "none"))[:3]
        alike = code.std(1).mean() / unit
        loss = losses.perceptual(found, wanted) + config.alike * alike
        code.grad, = torch.autograd.grad(loss * len(code), code)        # each code learns as if alone
        optimizer.step()
    return code.detach()


@checked
def destylise(G: Generator, tuned: Generator, styles: Images, encode: Encode, features: nn.Module,
              config: DestyliseConfig = DestyliseConfig()) -> Destylised:
    """The three stages for S examples `styles [S, 3, R, R]`; see the first lines of this file.

    tuned: g' of `tuned_on`. encode: pictures to latents of G. features: a network that sees.
    """
    colour, found = border(G.resolution), []
    for images in Progress(styles.split(config.batch), desc="destylising", leave=False):
        images = images.to(G.input.input.device)
        extrinsic = encode(images).detach()
        optimised = optimised_codes(tuned, extrinsic, images, features, config)
        code = torch.cat([optimised[:, :colour], extrinsic[:, colour:]], 1)
        with torch.no_grad():
            content = G.synthesis(truncated(G, code, config.truncation_psi), "none").clamp(-1, 1)
            intrinsic = encode(content)
            intrinsic = torch.cat([intrinsic[:, :colour], extrinsic[:, colour:]], 1)
        found.append((extrinsic, optimised, intrinsic, content))
    return Destylised(*(torch.cat(parts) for parts in zip(*found)))


@checked
def true_codes(G: Generator, code: Vectors, seed: Seed = 0) -> Tensor:
    """The latents [N,num_ws,w_dim] of scenes' codes [N,K], for a base that learnt them (preset 'laptop'): what
    destylisation should find."""
    with torch.no_grad():
        return G.mapping(z_of_code(code, G.z_dim, torch.Generator().manual_seed(seed)).to(G.input.input.device))
