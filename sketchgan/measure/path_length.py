"""Perceptual path length: how evenly pictures change along paths through the latent space (Karras et al. 2019).

    PPL = E[ d(G(w), G(w + eps (w' - w))) / eps^2 ]         w, w': styles of two random z; d: a perceptual distance

A generator whose pictures jump somewhere has a long path. The paper measures 50,000 pairs with LPIPS at the ends of
paths in W (eps 1e-4), and leaves out the lowest and the highest hundredth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..files.checks import Count, GeneratorLike, Positive, Seed, checked
from ..files.progress import Progress
from .evaluation import Estimate
from .extractors import name_of
from .metrics import bootstrap_interval
from .perceptual import perceptual_distance

TRIM = (0.01, 0.99)  # quantiles between which pairs count


@dataclass(frozen=True)
class PathLength:
    """distance: by what pictures were compared. pairs: how many of them. length: the trimmed mean."""

    distance: str
    pairs: int
    length: Estimate

    def __str__(self) -> str:
        return f"perceptual path length {self.length}; by {self.distance}, {self.pairs} pairs"


def network_distance(network: nn.Module) -> tuple[str, Callable[[Tensor, Tensor], Tensor]]:
    """Our default distance and its name: `perceptual_distance` of a network, such as the judge or nets.Features."""
    return f"levels of {name_of(network)}", lambda a, b: perceptual_distance(network, a, b)


@checked
@torch.no_grad()
def path_lengths(G: GeneratorLike, distance: Callable[[Tensor, Tensor], Tensor], pairs: Count = 50_000,
                 epsilon: Positive = 1e-4, space: Literal["w", "z"] = "w", sampling: Literal["end", "full"] = "end",
                 seed: Seed = 0, batch: Count = 25, progress: bool = True) -> Tensor:
    """d / epsilon^2 of each pair, [pairs].

    distance: images a, b [N, 3, R, R] in about [-1, 1] -> [N]. space: 'w', or 'z', where the path is an arc. sampling:
    'end' begins each path at its first end (as the paper does), 'full' anywhere on it. Both pictures of a pair have the
    same noise. Source: Karras et al. 2019, section 4.1 and equations 2 and 3; StyleGAN2's settings.
    """
    random = torch.Generator().manual_seed(seed)
    device = next(G.parameters()).device
    lengths = []
    for start in Progress(range(0, pairs, batch), desc="path length", disable=not progress, leave=False):
        z = torch.randn(2, batch, G.z_dim, generator=random).to(device)
        t = torch.rand(batch, 1, generator=random).to(device) * (sampling == "full")
        noise = torch.randint(2**31, (1,), generator=random).item()
        if space == "w":
            a, b = G.mapping(z[0])[:, 0], G.mapping(z[1])[:, 0]  # [N, w_dim]
            ends = [a + s * (b - a) for s in (t, t + epsilon)]
        else:
            ends = [G.mapping(slerp(z[0], z[1], s))[:, 0] for s in (t, t + epsilon)]
        pictures = [G.synthesis(w[:, None].expand(-1, G.num_ws, -1), generator=torch.Generator().manual_seed(noise))
                    for w in ends]
        lengths.append(distance(*pictures).double().cpu() / epsilon**2)
    return torch.cat(lengths)[:pairs]


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Points at t [N, 1] in [0, 1] on the arcs from the directions of a to those of b [N, D]; of length 1."""
    a, b = (x / x.norm(dim=1, keepdim=True) for x in (a, b))
    angle = (a * b).sum(1, keepdim=True).clamp(-1, 1).acos()
    across = b - (a * b).sum(1, keepdim=True) * a
    return a * (t * angle).cos() + across / across.norm(dim=1, keepdim=True) * (t * angle).sin()


def trimmed_mean(lengths: Tensor) -> float:
    """The mean of the lengths [N] between their 1 % and 99 % quantiles, as published: the lower neighbour of the one,
    the higher of the other, and both included."""
    low = lengths.quantile(TRIM[0], interpolation="lower")
    high = lengths.quantile(TRIM[1], interpolation="higher")
    return lengths[(lengths >= low) & (lengths <= high)].mean().item()


@checked
def perceptual_path_length(G: GeneratorLike, distance: nn.Module | tuple[str, Callable], pairs: Count = 50_000,
                           **options) -> PathLength:
    """PPL of a generator, with its 95 % bootstrap interval.

    distance: a network, for `network_distance`, or (name, function of two batches of images [N, 3, R, R] -> [N]).
        With LPIPS-VGG it is the published number. options: see `path_lengths`.
    """
    name, function = network_distance(distance) if isinstance(distance, nn.Module) else distance
    lengths = path_lengths(G, function, pairs, **options)
    return PathLength(name, pairs, Estimate(trimmed_mean(lengths), *bootstrap_interval(trimmed_mean, lengths)))
