"""A judge of photographs that lie in folders, one folder for each pose: what measures a GAN of real pictures.

    python -m sketchgan pretrain photo-judge path/to/hands --out outputs/judge_hands.safetensors

It is the judge of judge.py with one predicate a folder ("pose 5" for folder 5) and one category, the name of the whole.
Photographs have no scene parameters, so it reads none. Only the files whose hash puts them in the part 'train' teach it
(datasets.split_of); the held-out ones measure it, and neither it nor a GAN trained with `--part train` has seen them.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..files.checks import Count, Positive, Probability, Weight, Whole, Widths
from ..nets.judge import Judge, confusion
from ..photos import datasets
from ..photos.degradations import chance, degrade_photo, spoil, uniform
from .fitting import LossOf, TeacherConfig, in_batches, publish, seeded, step_generator, train


@dataclass(frozen=True)
class PhotoJudgeConfig(TeacherConfig):
    """Few photographs: they are turned, moved, mirrored and degraded, so that none is seen twice alike."""

    categories: tuple[str, ...] = ()      # found from the folder's name
    scenes: Whole = 0                     # no scenes: photographs
    held_out: Whole = 0                   # the split is by hash
    kimg: Positive = 60.0
    mirror: bool = True                   # a left hand shows the same pose as a right one
    turn: Weight = 0.25                   # radians, either way
    zoom: Probability = 0.15              # share, either way
    move: Probability = 0.1               # of the side, either way
    spoiled: Probability = 0.15           # share of the pictures that are spoiled beyond recognition
    widths: Widths = (32, 64, 96, 128)
    dim: Count = 128


def predicate_of(folder: str) -> str:
    """The name of the predicate that a folder of photographs stands for."""
    return f"pose {folder}"


def labelled(folder: datasets.ImageFolder) -> tuple[tuple[str, ...], Tensor]:
    """Names of the folders that hold the pictures, sorted, and which of them each picture lies in [N]."""
    parents = [Path(file).parent.name for file in folder.files]
    names = tuple(sorted(set(parents)))
    if len(names) < 2:
        raise ValueError(f"the photographs lie in {len(names)} folder{'s' * (len(names) != 1)} ({', '.join(names)}); a "
                         "judge of poses needs one folder for each pose, at least two")
    return names, torch.tensor([names.index(parent) for parent in parents])


def jiggle(images: Tensor, config: PhotoJudgeConfig, random: Generator) -> Tensor:
    """Turned, zoomed, moved and mirrored copies of images [N,3,R,R]; what comes in from outside repeats the edge."""
    angle = uniform(images, -config.turn, config.turn, random).flatten()
    scale = uniform(images, 1 - config.zoom, 1 + config.zoom, random).flatten()
    side = 1.0 - 2.0 * (chance(images, 0.5, random).flatten() & config.mirror)
    dx, dy = (uniform(images, -2 * config.move, 2 * config.move, random).flatten() for _ in range(2))
    rows = [torch.stack([scale * angle.cos() * side, -scale * angle.sin(), dx], 1),
            torch.stack([scale * angle.sin() * side, scale * angle.cos(), dy], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def photo_judge_loss(judge: Judge, photos: datasets.ImageFolder, labels: Tensor, config: PhotoJudgeConfig,
                     device: str) -> LossOf:
    """Binary cross entropy of every pose, and cross entropy of the name; spoiled pictures have no name and no pose."""
    def loss_of(indices: Tensor, random: Generator) -> dict[str, Tensor]:
        x = jiggle(photos[indices].to(device), config, random)
        spoiled = torch.rand(len(indices), generator=random) < config.spoiled
        x = torch.where(spoiled[:, None, None, None].to(device), spoil(x, random), x)
        outputs = judge.outputs(degrade_photo(x, random))
        truth = functional.one_hot(labels[indices], len(judge.predicates)).float()
        each = functional.binary_cross_entropy_with_logits(outputs["predicates"], truth.to(device),
                                                           reduction="none").sum(1)
        keep = ~spoiled.to(device)
        return {"poses": (each * keep).sum() / keep.sum().clamp_min(1) / math.log(len(judge.predicates)),
                "name": 0.5 * functional.cross_entropy(outputs["category"], spoiled.long().to(device))}

    return loss_of


@torch.no_grad()
def evaluate_photo_judge(judge: Judge, photos: datasets.ImageFolder, labels: Tensor, config: PhotoJudgeConfig,
                         device: str) -> dict:
    """Held-out quality: 'accuracy' of the likeliest pose, 'confusion' [true positive, false positive, false negative,
    true negative] by pose at probability 0.5, clean and degraded; 'refused', the share of spoiled pictures without
    name."""
    random = step_generator(config.seed, -2)
    clean, quality = photos[torch.arange(len(photos))], {"held_out": len(photos)}
    for condition, x in (("clean", clean), ("degraded", degrade_photo(clean, random))):
        judged = in_batches(judge, x, device)
        score = torch.stack([judged[name] for name in judge.predicates], 1)
        said, true = score > 0.5, functional.one_hot(labels, len(judge.predicates)).bool()
        quality[condition] = {"accuracy": (score.argmax(1) == labels).float().mean().item(),
                              "named": (judged[judge.categories[0]] > 0.5).float().mean().item(),
                              "confusion": {name: confusion(said[:, k], true[:, k])
                                            for k, name in enumerate(judge.predicates)}}
    judged = in_batches(judge, spoil(clean, random), device)
    return quality | {"refused": (judged[judge.categories[0]] <= 0.5).float().mean().item()}


def train_photo_judge(photos: str | Path, config: PhotoJudgeConfig, out: str | Path, minutes: float | None = None,
                      device: str = "cpu") -> dict:
    """Train a judge on the part 'train' of a folder of folders and write it to `out`; returns its held-out quality.

    Raises ValueError if there is no picture, or only one folder.
    """
    taught, held_out = (datasets.ImageFolder(photos, config.resolution, part=part) for part in ("train", "held_out"))
    (names, labels), (others, truth) = labelled(taught), labelled(held_out)
    if names != others:
        raise ValueError(f"the parts have other folders ({names} to train on, {others} held out): give more "
                         "photographs of each pose")
    build = lambda: Judge((Path(photos).name,), (), tuple(predicate_of(name) for name in names), config.widths,
                          config.dim)
    judge = seeded(build, config).to(device)
    images = train(judge, photo_judge_loss(judge, taught, labels, config, device), len(taught), config, Path(out),
                   minutes)
    quality = evaluate_photo_judge(judge.eval(), held_out, truth, config, device)
    publish(judge, config, Path(out), images, quality)
    return quality
