"""Baselines: the samples that the original generator makes anyway, and of those the nearest to the sketches.

Nothing is trained. The question they answer is whether customising is needed at all, or searching would do: a
pool of random samples is ranked by a distance to the sketches, and the nearest stand for a customised generator.
Wang et al. 2021 search by a learned embedding (sketch-based image retrieval) and by chamfer distance; so do we.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..drawing.sketches import chamfer, sketch_of
from ..files.checks import Count, GeneratorLike, Seed, checked
from ..files.progress import Progress
from ..nets.encoders import SketchEmbedding
from ..nets.sampling import sample

Distance = Callable[[Tensor], Tensor]  # images [N, 3, R, R] -> distance of each to the nearest sketch, [N]


def by_embedding(embedding: SketchEmbedding, sketches: Tensor) -> Distance:
    """1 - cosine between a picture's embedding and that of the nearest sketch [S, 1, R, R]: 0 to 2."""
    device = next(embedding.parameters()).device
    with torch.no_grad():
        targets = embedding.sketches(sketches.to(device))  # [S, dim]

    @torch.no_grad()
    def distance(images: Tensor) -> Tensor:
        return (1 - embedding.photos(images.to(device)) @ targets.T).amin(1).cpu()

    return distance


def by_chamfer(F: nn.Module, sketches: Tensor, truncate: float = 1 / 6) -> Distance:
    """Chamfer distance in pixels between F of a picture and the nearest sketch [S, 1, R, R].

    truncate: pixels farther apart than this share of the side count as that far, as in warmstart.py.
    """
    device = next(F.parameters()).device
    limit = truncate * sketches.shape[-1]

    @torch.no_grad()
    def distance(images: Tensor) -> Tensor:
        return chamfer(sketch_of(images.to(device), F), sketches.to(device), limit).amin(1).cpu()

    return distance


class Retrieved(NamedTuple):
    """The nearest samples [n, 3, R, R] and their distances [n], nearest first."""

    images: Tensor
    distances: Tensor


@checked
def retrieve(G: GeneratorLike, distance: Distance, n: Count = 2500, pool: Count = 25_000, seed: Seed = 0,
             batch: Count = 64, progress: bool = True) -> Retrieved:
    """The n samples of the original generator that are nearest to the sketches, of a pool of random ones.

    distance: `by_embedding` or `by_chamfer`. pool: how many are searched; with as many as n nothing is chosen.
    Raises ValueError if the pool is smaller than n.
    """
    if n > pool:
        raise ValueError(f"retrieve got a pool of {pool} samples to choose n={n} from; search at least as many.")
    block, bar = 16 * batch, Progress(total=pool, unit="img", desc="searching", disable=not progress, leave=False)
    images, distances = torch.empty(0), torch.empty(0)
    with bar:
        for start in range(0, pool, block):
            fresh = sample(G, min(block, pool - start), seed=seed + 1_000_000 * (1 + start // block), batch=batch)
            near = torch.cat([distances, *(distance(x) for x in fresh.split(batch))])
            best = near.sort(stable=True).indices[:n]
            images, distances = (torch.cat([images, fresh]) if len(images) else fresh)[best], near[best]
            bar.update(len(fresh))
    return Retrieved(images, distances)
