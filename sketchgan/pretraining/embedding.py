"""A sketch embedding: two small networks that send a photograph and its drawing to the same place, for retrieval.

    python -m sketchgan pretrain sketch-embedding --out data/weights/sketch_embedding.safetensors

The paper compares itself with sketch-based image retrieval (Bui et al.): take the pictures whose embedding has the
smallest angle to that of a sketch. Ours learns by contrast, as CLIP does (Radford et al. 2021, section 2.3): among the
photographs of a batch, find the one that a drawing was made of, and the other way round. It shares no scenes and no
layer with the judge, which measures, nor with F, which guides the method that it competes with.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ..photos import datasets
from ..weights.checkpoints import load_own
from ..photos.degradations import degrade_photo, redraw
from .fitting import LossOf, TeacherConfig, publish, seeded, step_generator, train
from .teachers import SceneData, load_scenes, mirror_images

CELLS = 4  # the last features are averaged to CELLS x CELLS, so any resolution from 32 px will do


@dataclass(frozen=True)
class SketchEmbeddingConfig(TeacherConfig):
    """The sketch embedding: photographs and their drawings side by side, for retrieval."""

    scenes: int = 2048
    scene_seed: int = 5        # of no other network, sketch or evaluation
    kimg: float = 60.0
    batch: int = 64            # each drawing is told from 63 others
    widths: tuple[int, ...] = (24, 48, 72, 96)
    dim: int = 64              # of an embedding


class Tower(nn.Module):
    """Plain convolutions (no shortcuts: the judge has those), each level half the size: [N, C, H, W] -> [N, dim] of length 1."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], dim: int):
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip((in_channels, *widths[:-1]), widths):
            layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.embed = nn.Linear(widths[-1] * CELLS * CELLS, dim)  # where things are is what a pose is, so cells stay apart

    def forward(self, x: Tensor) -> Tensor:
        cells = functional.adaptive_avg_pool2d(self.layers(x), CELLS)
        return functional.normalize(self.embed(cells.flatten(1)), dim=1)


class SketchEmbedding(nn.Module):
    """Two towers and the sharpness of their comparison.

    widths: channels at strides 2, 4, 8, ...; dim: length of an embedding.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 72, 96), dim: int = 64):
        super().__init__()
        self.config = dict(widths=tuple(widths), dim=dim)
        self.photo, self.sketch = Tower(3, tuple(widths), dim), Tower(1, tuple(widths), dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))  # 1 / temperature; learned, as in CLIP

    def photos(self, images: Tensor) -> Tensor:
        """Embeddings [N, dim] of length 1, of images [N, 3, H, W] in [-1, 1]."""
        return self.photo(self._checked(images, 3))

    def sketches(self, sketches: Tensor) -> Tensor:
        """Embeddings [N, dim] of length 1, of sketches [N, 1, H, W], paper +1, ink -1."""
        return self.sketch(self._checked(sketches, 1))

    def _checked(self, x: Tensor, channels: int) -> Tensor:
        least = CELLS << len(self.config["widths"])
        if x.ndim != 4 or x.shape[1] != channels or min(x.shape[2:]) < least:
            raise ValueError(f"SketchEmbedding wants [N, {channels}, H, W] in [-1, 1] of at least {least} px; got "
                             f"{tuple(x.shape)}. Resize first, and keep photos() and sketches() apart.")
        return x


def contrast(network: SketchEmbedding, images: Tensor, sketches: Tensor) -> Tensor:
    """InfoNCE in both directions: which of N photographs belongs to each of N drawings, and which drawing to each photograph.

        -1/2 mean_i log softmax_j(s_i.p_j / t)[i]  -  1/2 mean_i log softmax_j(p_i.s_j / t)[i]

    Source: Radford et al. 2021, figure 3; t is kept above 0.01.
    """
    logits = network.log_scale.clamp(max=math.log(100)).exp() * network.sketches(sketches) @ network.photos(images).T
    own = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def embedding_loss(network: SketchEmbedding, data: SceneData, config: SketchEmbeddingConfig, device: str) -> LossOf:
    """Photographs as a GAN might make them, drawings as a hand might; the animal may face either way, but both the same."""
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


def train_sketch_embedding(config: SketchEmbeddingConfig, out: str | Path, minutes: float | None = None, device: str = "cpu") -> dict:
    """Train the two towers on renders of their own and write them to `out`; returns the measured quality."""
    data = load_scenes(config, ("image", "contour"))
    network = seeded(lambda: SketchEmbedding(config.widths, config.dim), config).to(device)
    images = train(network, embedding_loss(network, data, config, device), data.train, config, Path(out), minutes)
    quality = evaluate_embedding(network.eval(), data, config, device)
    publish(network, config, Path(out), images, quality)
    return quality


def load_sketch_embedding(path: str | os.PathLike, device: str | torch.device = "cpu") -> SketchEmbedding:
    """The sketch embedding in a weight file, in evaluation mode.

    Raises FileNotFoundError if there is no such file, CheckpointError if it holds something else or is damaged.
    """
    return load_own(SketchEmbedding, path, "Train one with `python -m sketchgan pretrain sketch-embedding`.", device)
