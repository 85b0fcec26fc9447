"""Projection: from a picture to the latents with which a generator paints it (or comes nearest).

    found = project(G, images, D, ProjectConfig(start="encoder"), encoder)
    found.ws, found.images                                # latents [N, num_ws, w_dim], and what G paints of them
    for step in projecting(G, images, D, config): ...     # the same with a live view; leave the loop to stop

A loss is descended in one of three spaces. `z` is what the generator was trained with: its pictures are all samples,
and few photographs are among them. `w` is behind the mapping network, one vector for all layers. `w+` has a vector a
layer (Abdal et al. 2019), comes nearest, and edits worst: the further from w, the less directions mean. The loss of a
picture:

    pixels * mean |G(ws) - x|^2  +  perceptual * d(G(ws), x)       d: measure.perceptual_distance

StyleGAN2's projector (Karras et al. 2020, appendix D) is followed in the rate's ramps, in the noise that is added to w
while it is far from home, and in learning the layers' noise under a penalty on whatever is not white in it. Pivotal
tuning (Roich et al. 2021) then holds the latents and trains the synthesis network until they paint the picture. Of all
iterates the best is kept, for each picture.
"""
from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..files.checks import (
    Count,
    GeneratorLike,
    Images,
    Positive,
    Seed,
    Share,
    Weight,
    Whole,
    check_fields,
    checked,
)
from ..files.progress import Progress
from ..measure.perceptual import Levels, perceptual_distance
from ..nets.encoders import Encoder
from ..nets.stylegan2 import Generator
from .starts import Search, encoder_start, nearest_z, on_sphere, search_z, spread_of_w

Space, Start = Literal["z", "w", "w+"], Literal["mean", "encoder", "search"]


@dataclass(frozen=True)
class ProjectConfig:
    """How latents are sought; `Search` has the fields of CMA-ES."""

    space: Space = "w+"
    start: Start = "mean"           # 'encoder' needs one of this generator, 'search' the package cma
    steps: Whole = 300              # of descent; 0 keeps the start
    lr: Positive = 0.15             # Adam's peak, in units of w's spread (of z: in its own)
    rise: Share = 0.05              # share of the steps over which the rate rises, and ...
    fall: Share = 0.4               # ... over which it falls to 0 in the end, as half a cosine
    wander: Weight = 0.05           # noise on w in units of its spread; fades over the first three quarters
    pixels: Weight = 1.0
    perceptual: Weight = 0.01       # of no effect without a network to see with
    learn_noise: bool = False       # also fit the layers' noise; the bases that ship hardly listen to it
    noise_weight: Weight = 1e5      # of the penalty that keeps it white (Karras et al. 2020, equation 6)
    tune: Whole = 0                 # steps of pivotal tuning afterwards
    tune_lr: Positive = 1e-3        # Adam's; Roich et al. take 3e-4 for networks a hundred times larger
    search: Search = field(default_factory=Search)
    seed: Seed = 0                  # of the wandering and of the search
    __post_init__ = check_fields


DEFAULT = ProjectConfig()


@dataclass
class Projection:
    """The best of N pictures so far.

    ws [N, num_ws, w_dim]; z [N, z_dim] where that was the space; noises: a tensor [N, 1, s, s] a layer; images
    [N, 3, R, R] that `G` paints of them, and losses [N]; G: the generator given, or after tuning a copy of it.
    step of steps, and phase 'descent' or 'tuning'; seconds since the beginning. eyes: what saw the perceptual part.
    """

    config: ProjectConfig
    target: Tensor
    eyes: str
    ws: Tensor
    images: Tensor
    losses: Tensor
    noises: list[Tensor]
    G: nn.Module
    z: Tensor | None = None
    step: int = 0
    steps: int = 0
    phase: str = "start"
    seconds: float = 0.0

    @property
    def psnr(self) -> Tensor:
        """Peak signal to noise ratio of each picture [N] in dB; the peak is the whole range from -1 to 1."""
        return psnr(self.images, self.target)

    def strangeness(self, usual: Tensor) -> Tensor:
        """How many times the usual loss each picture's best is [N]; usual [K]: see `usual_losses`."""
        return self.losses / usual.to(self.losses).median()

    def verdict(self, usual: Tensor) -> list[str]:
        """A sentence for each picture: how near it came, beside what this generator's own samples reach. Every picture
        that it has not painted is further away, of its kind or not, so no number here says which it is."""
        return [f"{loss:.4f} from the picture, {times:.1f} times what is usual for samples of this generator"
                for loss, times in zip(self.losses.tolist(), self.strangeness(usual).tolist())]


@checked
def psnr(images: Images, target: Images) -> Tensor:
    """10 log10(2^2 / mean squared difference) of pairs of images [N, 3, H, W] in [-1, 1]: [N], in dB."""
    error = functional.mse_loss(images.clamp(-1, 1), target, reduction="none").mean((1, 2, 3))
    return 10 * (4 / error.clamp_min(1e-10)).log10()


class Likeness:
    """The loss of the first lines: images against targets, which see the network once."""

    def __init__(self, target: Tensor, eyes: Levels | None, config: ProjectConfig):
        self.target, self.eyes, self.config = target, eyes if config.perceptual else None, config
        self.name = self.eyes.name if self.eyes else "pixels alone"

    def __call__(self, images: Tensor, which: Tensor | slice = slice(None)) -> Tensor:
        """Losses [M] of images [M, 3, R, R], each against the target that `which` names."""
        target = self.target[which]
        loss = self.config.pixels * (images - target).square().mean((1, 2, 3))
        if self.eyes:
            loss = loss + self.config.perceptual * perceptual_distance(self.eyes, images, target)
        return loss


def with_noises(G: Generator, noises: list[Tensor]) -> Generator:
    """A generator of the same weights, shared, whose 'const' noise is `noises`: a tensor [N or 1, 1, s, s] a layer."""
    made = copy.copy(G)
    made._modules = dict(G._modules)
    made.noises = nn.Module()
    for i, noise in enumerate(noises):
        made.noises.register_buffer(f"noise_{i}", noise)
    return made


def not_white(noises: list[Tensor]) -> Tensor:
    """How far noises [N, 1, s, s] are from white: neighbours must not agree, at any scale (Karras et al. 2020, eq. 6).

        sum over layers and scales of  mean(n * n shifted by one to the right)^2 + the same downwards
    """
    total = noises[0].new_zeros(())
    for noise in noises:
        while noise.shape[-1] >= 8:
            total = total + sum((noise * noise.roll(1, d)).mean((1, 2, 3)).square().sum() for d in (2, 3))
            noise = functional.avg_pool2d(noise, 2) * 2             # of the same spread again
    return total


class _Descent:
    """The latents on their way: `v` is what Adam moves, in units of its spread; `ws()` is what it means."""

    def __init__(self, G: nn.Module, start: Tensor, noises: list[Tensor], config: ProjectConfig,
                 z: Tensor | None = None):
        self.G, self.config, self.noises = G, config, noises
        self.mean, self.spread = spread_of_w(G)
        if config.space == "z":
            self.v = on_sphere(z if z is not None else nearest_z(G, start.mean(1))).clone()
        else:
            rows = start.mean(1, keepdim=True) if config.space == "w" else start
            self.v = ((rows - self.mean) / self.spread).clone()              # [N, 1 or num_ws, w_dim]
        learnt = noises if config.learn_noise else []
        self.leaves = [x.requires_grad_(True) for x in (self.v, *learnt)]
        self.optimizer = torch.optim.Adam(self.leaves, config.lr)
        self.random = torch.Generator().manual_seed(config.seed)

    def ws(self, step: int) -> tuple[Tensor, Tensor]:
        """ws [N, num_ws, w_dim] to be painted, and v with the noise of this step that they are made of."""
        fade = max(0.0, 1 - step / max(0.75 * self.config.steps, 1)) ** 2
        noise = torch.randn(self.v.shape, generator=self.random).to(self.v) if step else torch.zeros_like(self.v)
        v = self.v + self.config.wander * fade * noise                       # the start itself is looked at first
        if self.config.space == "z":
            return self.G.mapping(v), v
        return (self.mean + self.spread * v).expand(-1, self.G.num_ws, -1), v

    def move(self, loss: Tensor, step: int) -> None:
        """One step of Adam down the sum of all pictures' losses: they do not see each other."""
        if self.config.learn_noise:
            loss = loss + self.config.noise_weight * not_white(self.noises)
        for leaf, grad in zip(self.leaves, torch.autograd.grad(loss, self.leaves)):
            leaf.grad = grad
        done = step / max(self.config.steps, 1)
        ramp = min(1.0, (1 - done) / self.config.fall, (done + 1 / max(self.config.steps, 1)) / self.config.rise)
        self.optimizer.param_groups[0]["lr"] = self.config.lr * (0.5 - 0.5 * math.cos(math.pi * ramp))
        self.optimizer.step()
        with torch.no_grad():
            if self.config.space == "z":
                self.v.copy_(on_sphere(self.v))
            for noise in self.noises if self.config.learn_noise else ():
                noise.copy_((noise - noise.mean((1, 2, 3), True)) / noise.std((1, 2, 3), keepdim=True))


def _begin(G: nn.Module, likeness: Likeness, config: ProjectConfig, encoder: Encoder | None,
           noises: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """ws [N, num_ws, w_dim] to start from, and their z where it is known."""
    n = len(likeness.target)
    if config.start == "encoder":
        if encoder is None:
            raise ValueError("encoder is None, and the start is 'encoder': give one, weights.own.load_encoder(path), "
                             "or start='mean'")
        return encoder_start(encoder, G, likeness.target), None
    if config.start == "search":
        paint = lambda ws, who: likeness(with_noises(G, [x[who] for x in noises]).synthesis(ws, "const"), who)
        z = search_z(G, paint, n, config.search, config.seed)
        return G.mapping(z), z
    return G.mean_w().expand(n, G.num_ws, -1), None


@checked
def projecting(G: GeneratorLike, images: Images, D: nn.Module | None = None, config: ProjectConfig = DEFAULT,
               encoder: Encoder | None = None) -> Iterator[Projection]:
    """Seek latents of images [N, 3, R, R]; yields the best so far after the start and after each step.

    Args:
        G: the generator; it is not changed.
        D: what sees the perceptual part: a discriminator of the same size, or any network that `Levels` takes, such as
            weights.own.load_imagenet(). Without one pixels alone count.
        encoder: for the start of that name.
    Raises:
        ValueError: if the images have another size, or the encoder belongs to another generator.
    """
    if D is not None and getattr(D, "resolution", G.resolution) != G.resolution:
        raise ValueError(f"D sees {D.resolution} px and this generator paints {G.resolution}: give its own D")
    if images.shape[1:] != (3, G.resolution, G.resolution):
        raise ValueError(f"images are {list(images.shape)} and this generator paints {G.resolution} px: crop and "
                         f"resize them first, photos.open_images(folder, {G.resolution}) does")
    began, device = time.monotonic(), next(G.parameters()).device
    G = copy.deepcopy(G).eval().requires_grad_(False)
    likeness = Likeness(images.to(device), None if D is None else Levels(D.eval()), config)
    noises = [x.detach().repeat(len(images), 1, 1, 1) for x in G.noises.buffers()]
    start, z = _begin(G, likeness, config, encoder, noises)
    descent = _Descent(G, start, noises, config, z)
    best = None
    for step in range(config.steps + 1):
        with torch.set_grad_enabled(step < config.steps):
            ws, v = descent.ws(step)
            painted = with_noises(G, noises).synthesis(ws, "const")
            losses = likeness(painted)
        now = Projection(config, likeness.target, likeness.name, ws.detach(), painted.detach(), losses.detach(),
                         [x.detach().clone() for x in noises], G, v.detach() if config.space == "z" else None,
                         step, config.steps + config.tune, "descent", time.monotonic() - began)
        best = now if best is None else better(best, now)
        yield best
        if step < config.steps:
            descent.move(losses.sum(), step)
    if config.tune:
        yield from tuning(best, likeness, began)


def better(best: Projection, now: Projection) -> Projection:
    """Of two projections the better one, picture by picture; the rest is the later one's."""
    take = now.losses < best.losses
    pick = lambda new, old: torch.where(take.view(-1, *[1] * (new.ndim - 1)), new, old)
    return replace(now, ws=pick(now.ws, best.ws), images=pick(now.images, best.images), losses=pick(
        now.losses, best.losses), noises=[pick(*pair) for pair in zip(now.noises, best.noises)],
        z=None if now.z is None else pick(now.z, best.z))


def tuning(pivot: Projection, likeness: Likeness, began: float = 0.0) -> Iterator[Projection]:
    """Pivotal tuning: latents and noise stay, the synthesis network learns to paint these pictures of them.

    One network for all pictures of the batch; the mapping network stays as it was. Yields like `projecting`; the best
    is that of the whole batch. Source: Roich et al. 2021, "Pivotal Tuning for Latent-based Editing of Real Images",
    section 3.2.
    """
    config, G = pivot.config, copy.deepcopy(pivot.G)
    learnt = [p.requires_grad_(True) for name, p in G.named_parameters() if not name.startswith("style.")]
    optimizer = torch.optim.Adam(learnt, config.tune_lr, (0.9, 0.99))
    seen = with_noises(G, pivot.noises)
    best = replace(pivot, phase="tuning")
    weights = None
    for step in range(config.tune + 1):
        painted = seen.synthesis(pivot.ws, "const")
        losses = likeness(painted)
        if losses.detach().mean() < best.losses.mean():
            weights = {name: p.detach().clone() for name, p in G.named_parameters()}
            best = replace(best, images=painted.detach(), losses=losses.detach())
        best = replace(best, step=config.steps + step, seconds=time.monotonic() - began)
        if step == config.tune:
            break
        yield best
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.param_groups[0]["lr"] = config.tune_lr * min(1.0, 2 * (1 - step / config.tune))
        optimizer.step()
    if weights:
        G.load_state_dict(weights, strict=False)
    yield replace(best, G=G.requires_grad_(False))


@checked
def project(G: GeneratorLike, images: Images, D: nn.Module | None = None, config: ProjectConfig = DEFAULT,
            encoder: Encoder | None = None, progress: bool = True) -> Projection:
    """`projecting` to its end, with a bar: the best for each picture."""
    with Progress(total=config.steps + config.tune, desc=f"projecting {len(images)}", unit="step",
                  disable=not progress) as bar:
        for found in projecting(G, images, D, config, encoder):
            bar.update(found.step - bar.n)
            bar.set_postfix({"psnr": f"{found.psnr.mean():.1f}"}, refresh=False)
    return found


@checked
def usual_losses(G: GeneratorLike, D: nn.Module | None = None, config: ProjectConfig = DEFAULT,
                 encoder: Encoder | None = None, count: Count = 8, seed: Seed = 0, progress: bool = True) -> Tensor:
    """What the same projection reaches for `count` of the generator's own samples [count]: what is usual.

    A picture that ends far above it has what this generator cannot paint: `Projection.verdict`.
    """
    z = torch.randn(count, G.z_dim, generator=torch.Generator().manual_seed(seed)).to(next(G.parameters()).device)
    with torch.no_grad():
        own = G(z, noise_mode="const").clamp(-1, 1)
    return project(G, own, D, replace(config, tune=0), encoder, progress).losses
