"""A sketch embedding: two small networks that send a photograph and its drawing to the same place, for retrieval.

    python -m sketchgan pretrain sketch-embedding --out data/weights/sketch_embedding.safetensors

The paper compares itself with sketch-based image retrieval (Bui et al.): take the pictures whose embedding has the
smallest angle to that of a sketch. Ours learns by contrast, as CLIP does (Radford et al. 2021, section 2.3): among the
photographs of a batch, find the one that a drawing was made of, and the other way round. It shares no scenes and no
layer with the judge, which measures, nor with F, which guides the method that it competes with.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..nets.encoders import SketchEmbedding
from ..photos import datasets
from ..photos.degradations import degrade_photo, redraw
from .fitting import LossOf, TeacherConfig, publish, seeded, step_generator, train
from .teachers import SceneData, load_scenes, mirror_images


@dataclass(frozen=True)
class SketchEmbeddingConfig(TeacherConfig):
    """The sketch embedding: photographs and their drawings side by side, for retrieval."""

    scenes: int = 2048
    scene_seed: int = 5        # of no other network, sketch or evaluation
    kimg: float = 60.0
    batch: int = 64            # each drawing is told from 63 others
    widths: tuple[int, ...] = (24, 48, 72, 96)
    dim: int = 64              # of an embedding


def contrast(network: SketchEmbedding, images: Tensor, sketches: Tensor) -> Tensor:
    """InfoNCE in both directions: which of N photographs belongs to each of N drawings, and which drawing to each
    photograph.

        -1/2 mean_i log softmax_j(s_i.p_j / t)[i]  -  1/2 mean_i log softmax_j(p_i.s_j / t)[i]

    Source: Radford et al. 2021, figure 3; t is kept above 0.01.
    """
    logits = network.log_scale.clamp(max=math.log(100)).exp() * network.sketches(sketches) @ network.photos(images).T
    own = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def embedding_loss(network: SketchEmbedding, data: SceneData, config: SketchEmbeddingConfig, device: str) -> LossOf:
    """Photographs as a GAN might make them, drawings as a hand might; the animal may face either way, but both the
    same."""
    def loss_of(indices: Tensor, random: Generator) -> dict[str, Tensor]:
        images, contours = (datasets.to_float(data.views[k][indices]).to(device) for k in ("image", "contour"))
        flip = torch.rand(len(indices), generator=random) < 0.5
        images, contours = mirror_images(images, flip), mirror_images(contours, flip)
        return {"contrast": contrast(network, degrade_photo(images, random), redraw(contours, random))}

    return loss_of


@torch.no_grad()
def evaluate_embedding(network: SketchEmbedding, data: SceneData, config: SketchEmbeddingConfig, device: str) -> dict:
    """How often the photograph of a redrawn held-out contour comes first, and among the first ten, by category.

    'gallery': how many photographs of the same category there were to choose from, so chance is 1 in as many.
    """
    quality: dict = {"first": {}, "first_10": {}, "gallery": {}}
    for k, category in enumerate(config.categories):
        rows = torch.arange(data.train, len(data))[data.category[data.train:] == k]
        images, contours = (datasets.to_float(data.views[view][rows]) for view in ("image", "contour"))
        drawn = redraw(contours, step_generator(config.seed, -2))
        photos = torch.cat([network.photos(x.to(device)) for x in images.split(config.batch)])
        lines = torch.cat([network.sketches(x.to(device)) for x in drawn.split(config.batch)])
        scores = lines @ photos.T  # [NN]
        rank = (scores > scores.diagonal()[:, None]).sum(1)
        quality["first"][category] = (rank < 1).float().mean().item()
        quality["first_10"][category] = (rank < 10).float().mean().item()
        quality["gallery"][category] = len(rows)
    return quality


def train_sketch_embedding(config: SketchEmbeddingConfig, out: str | Path, minutes: float | None = None,
                           device: str = "cpu") -> dict:
    """Train the two towers on renders of their own and write them to `out`; returns the measured quality."""
    data = load_scenes(config, ("image", "contour"))
    network = seeded(lambda: SketchEmbedding(config.widths, config.dim), config).to(device)
    images = train(network, embedding_loss(network, data, config, device), data.train, config, Path(out), minutes)
    quality = evaluate_embedding(network.eval(), data, config, device)
    publish(network, config, Path(out), images, quality)
    return quality
