"""Pseudo labels: what one to five labelled pictures say about every other picture of the same generator.

G paints a leg with the same features wherever it paints one (its features at 32 px, say, before it knows the pixels).
So a class is a direction among features, and a sample is labelled by asking each of its pixels which direction is
nearest. **Dense**: one direction a class, the mean over its pixels (masked average pooling), and every pixel answers.
**Sparse**: each labelled pixel is a direction of its own; it chooses the few places of a sample that resemble it most,
and the rest stays unknown. Source: Endo and Kanamori, "Few-shot Semantic Image Synthesis Using StyleGAN Prior", 2021
(arXiv 2103.14877); what we do otherwise is said where it is done.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..files.checks import Count, Filled, GeneratorLike, Limits, Vectors, check_fields, checked, shape
from .classes import Ids, LayoutError, Masks, coverage, reduced

Cosine = Annotated[float, Limits(-1, 1)]
Kind = Literal["dense", "sparse"]
Maps = shape("N", "C", "H", "W")
Resolutions = Annotated[tuple[Count, ...], Filled()]


def default_resolutions(G) -> tuple[int, ...]:
    """Whose features are asked: 16 and 32 px of a generator of 64, a quarter and a half below 256 px, 64 from there
    on."""
    size = max(G.channels)
    return (64,) if size >= 256 else tuple(r for r in (size // 4, size // 2) if r in G.channels)


def feature_map(G, ws: Tensor, resolutions: tuple[int, ...]) -> Tensor:
    """Features of pictures with latents ws, [N, C, r, r] for the largest of the resolutions r.

    Those of several sizes are put on top of each other, each with vectors of length 1, so that each has the same say in
    a cosine.
    """
    found = G.features(ws, resolutions)
    size = (max(resolutions),) * 2
    maps = [functional.normalize(functional.interpolate(x, size, mode="bilinear", align_corners=False)
                                 if x.shape[-1] != size[0] else x, dim=1) for x in found.values()]
    return torch.cat(maps, 1)


@checked
def prototypes(features: Maps, masks: Masks, count: Count) -> tuple[Tensor, Tensor]:
    """The mean direction of each class, [count, C] of length 1, and which classes the masks have, bool [count].

    features [N, C, r, r] of the labelled pictures, masks [N, R, R]. Each picture has one vote, the mean of its features
    over the pixels of the class, weighted by how much of each the class covers; a picture without the class has none.
    A class that no picture has gets a vector of zeros and False.
    """
    if len(features) != len(masks):
        raise LayoutError(f"features are of {len(features)} pictures and masks of {len(masks)}: give one for each")
    share = coverage(masks, features.shape[-1], count)                                  # [N, count, r, r]
    there = share.sum((2, 3))                                                           # [N, count]
    means = torch.einsum("nkij,ncij->nkc", share, features) / there.clamp_min(1e-9)[..., None]
    votes = (there > 0).float()[..., None]
    pooled = (means * votes).sum(0) / votes.sum(0).clamp_min(1)                         # [count, C]
    return functional.normalize(pooled, dim=1), there.sum(0) > 0


@checked
def cosines(features: Maps, vectors: Vectors) -> Tensor:
    """Cosine of each pixel [N, C, r, r] with each vector [V, C]: [N, V, r, r]."""
    if features.shape[1] != vectors.shape[1]:
        raise LayoutError(f"features have {features.shape[1]} channels and vectors {vectors.shape[1]}: take both from "
                          "the same layers of the same generator")
    return functional.conv2d(functional.normalize(features, dim=1),
                             functional.normalize(vectors, dim=1)[..., None, None])


@checked
def dense_labels(features: Maps, vectors: Vectors, resolution: Count | None = None) -> Tensor:
    """The class of the nearest prototype at each pixel, 1 .. V: int64 [N, R, R].

    resolution: R; cosines are interpolated before they are compared, so that edges are smooth. Without it r.
    A prototype of zeros (a class that no example has) is never chosen.
    """
    near = cosines(features, vectors)
    near = near.masked_fill((vectors.square().sum(1) == 0)[:, None, None], -2)
    if resolution not in (None, near.shape[-1]):
        near = functional.interpolate(near, (resolution,) * 2, mode="bilinear", align_corners=False)
    return near.argmax(1) + 1


@checked
def sparse_vectors(features: Maps, masks: Masks, count: Count) -> tuple[Tensor, Tensor]:
    """Every labelled pixel's direction [V, C] of length 1, and its class, int64 [V]."""
    if len(features) != len(masks):
        raise LayoutError(f"features are of {len(features)} pictures and masks of {len(masks)}: give one for each")
    small = reduced(masks, features.shape[-1], count)
    vectors = functional.normalize(features, dim=1).permute(0, 2, 3, 1)[small > 0]
    return vectors, small[small > 0]


@checked
def sparse_labels(features: Maps, vectors: Vectors, ids: Ids, k: Count = 3, threshold: Cosine = 0.5) -> Tensor:
    """What scribbles say of other pictures: int64 [N, r, r], mostly 0.

    Each vector (class ids [V]) takes the k pixels that resemble it most, if their cosine is above the threshold;
    several may take the same (many to one). Of several classes the one with the higher cosine stays.
    """
    near = cosines(features, vectors).flatten(2)                                        # [N, V, P]
    best, place = near.topk(min(k, near.shape[2]), dim=2)                               # [N, V, k]
    best = torch.where(best > threshold, best, -2.0)
    # Of all that take a pixel, in each class the highest cosine; then over the classes.
    count = int(ids.max())
    # vector by class: [N, V k] places go to pixel + class * P
    target = (place + (ids - 1).to(place.device)[None, :, None] * near.shape[2]).flatten(1)
    claims = near.new_full((len(near), count * near.shape[2]), -2.0)
    claims = claims.scatter_reduce(1, target, best.flatten(1), "amax").unflatten(1, (count, -1))
    most, chosen = claims.max(1)                                                        # [N, P]
    side = features.shape[-1]
    return torch.where(most > -2, chosen + 1, 0).unflatten(1, (side, side))


@dataclass(frozen=True, eq=False)
class Labeller:
    """What the examples say, ready to be asked: labels any latents of the same generator.

    kind: 'dense' or 'sparse'. vectors [V, C] with their classes ids [V]; prototypes [count, C] of each class, zeros for
    those that no example has. resolutions: whose features. k, threshold: of the sparse rule.
    """

    kind: Kind
    vectors: Vectors
    ids: Ids
    prototypes: Vectors
    resolutions: Resolutions
    k: Count = 3
    threshold: Cosine = 0.5
    __post_init__ = check_fields

    @checked
    def labels(self, G: GeneratorLike, ws: shape("N", "L", "D"), batch: Count = 64) -> Tensor:
        """Pseudo labels int64 [N, R, R] of the pictures with latents ws, at G's size, without painting them."""
        if self.kind == "sparse":                       # each vector looks at each pixel: some 100 MB at once
            batch = max(1, min(batch, 2**25 // (len(self.vectors) * max(self.resolutions) ** 2)))
        with torch.no_grad():
            return torch.cat([self.of_features(feature_map(G, part, self.resolutions), G.resolution)
                              for part in ws.split(batch)])

    def of_features(self, features: Tensor, resolution: int) -> Tensor:
        """Pseudo labels int64 [N, R, R] of features [N, C, r, r]."""
        if self.kind == "dense":
            return dense_labels(features, self.prototypes, resolution)
        small = sparse_labels(features, self.vectors, self.ids, self.k, self.threshold)
        return small.repeat_interleave(resolution // small.shape[-1], 1).repeat_interleave(
            resolution // small.shape[-1], 2)

    def shown(self, features: Tensor, resolution: int) -> Tensor:
        """The nearest class of every pixel, int64 [N, R, R], whatever the kind: to see whether a layout is followed."""
        return dense_labels(features, self.prototypes, resolution)

    def agreement(self, features: Tensor, masks: Tensor) -> Tensor:
        """How well features [N, C, r, r] are what masks [N, R, R] ask for: the mean cosine of each labelled pixel with
        its class's prototype, [N], 1 at best. Differentiable."""
        wanted = coverage(masks, features.shape[-1], len(self.prototypes))              # [N, count, r, r]
        near = cosines(features, self.prototypes)
        return (near * wanted).sum((1, 2, 3)) / wanted.sum((1, 2, 3)).clamp_min(1e-9)


@checked
def learn_labels(G: GeneratorLike, ws: shape("N", "L", "D"), masks: Masks, count: Count, kind: Kind = "dense",
                 resolutions: Resolutions | None = None, k: Count = 3, threshold: Cosine = 0.5) -> Labeller:
    """A Labeller from labelled pictures: their latents ws [N, num_ws, w_dim] and label maps [N, R, R].

    Raises LayoutError if no picture has a pixel of some class: what was never shown cannot be recognised.
    """
    resolutions = resolutions or default_resolutions(G)
    with torch.no_grad():
        features = feature_map(G, ws, resolutions)
        pooled, present = prototypes(features, masks, count)
        vectors, ids = sparse_vectors(features, masks, count)
    if not present.all():
        missing = [i + 1 for i in (~present).nonzero().flatten().tolist()]
        raise LayoutError(f"masks hold no labelled pixel of class {', '.join(map(str, missing))}: label one in some "
                          "example, or leave the class out")
    return Labeller(kind, vectors, ids, pooled, tuple(resolutions), k, threshold)
