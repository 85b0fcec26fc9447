"""Tasks of the ablation table: which base GAN, which sketches, what the samples should look like, and who judges.

A task of Menagerie knows its truth: sketches are exact contours of scenes of seed 3, and the target is 2,500 scenes of
seed 4 that satisfy the predicate. Of photographs in folders (hands in ten poses) the folder is the truth: sketches
are drawn by F from photographs that are held out, and the target is all other photographs of the pose. In both, the
method sees nothing of the target but its sketches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..drawing.sketches import sketch_of
from ..files.checks import Count, checked
from ..photos import datasets
from ..pretraining.photo_judge import predicate_of
from ..weights import checkpoints
from ..weights.own import load_judge
from ..world.scenes import PREDICATES, Menagerie

TASKS = ("horse_on_a_side", "standing_cat", "horse_with_rider", "gabled_church")  # in order of importance
MAIN = TASKS[:2]     # the full grid; the others get the main rows
SCENES = 4096        # for D_image: of those that trained the base GAN


@dataclass(frozen=True)
class Task:
    """One target, and all that is needed to go for it and to measure it.

    name: also what `judge.satisfies(name, images)` is asked. G, D: the base GAN. F: photograph to sketch. judge:
    anything with `satisfies(name, images)` and `features(images)`. sketches: (seed, count) -> [count, 1, R, R], others
    for each seed.
    target: count -> images [M, 3, R, R] in [-1, 1], at most `count`. images: () -> what D_image takes for real. main:
    whether all rows are wanted, with all seeds.
    """

    name: str
    G: torch.nn.Module
    D: torch.nn.Module
    F: torch.nn.Module
    judge: torch.nn.Module
    sketches: Callable[[int, int], Tensor]
    target: Callable[[int], Tensor]
    images: Callable[[], object]
    main: bool = True


def base_networks(path: Path, weights: Path, judge: Path, device: str) -> dict:
    """G, D, F and the judge of a task, from their files; raises FileNotFoundError naming what is missing."""
    return dict(G=checkpoints.load_generator(path, device=device), judge=load_judge(judge, device),
                D=checkpoints.load_discriminator(path, device=device),
                F=checkpoints.load_photosketch(weights / "photosketch.safetensors", device=device))


@checked
def menagerie_task(name: Literal[TASKS], weights: str | Path, device: str = "cpu") -> Task:
    """One of the paper's four tasks in the rendered world; weights: the folder data/weights."""
    category, weights = PREDICATES[name], Path(weights)
    networks = base_networks(weights / f"{category}64.safetensors", weights, weights / "judge.safetensors", device)
    resolution = networks["G"].resolution
    world = Menagerie(category, resolution, datasets.SEED_SKETCHES, predicate=name)

    def target(count: int) -> Tensor:
        scenes = datasets.rendered(category, count, resolution, datasets.SEED_EVALUATION, ("image",), name)
        return datasets.to_float(scenes["image"])

    def sketches(seed: int, count: int) -> Tensor:
        return world.render(range(1000 * seed, 1000 * seed + count), ("contour",)).contour

    return Task(name, **networks, target=target, main=name in MAIN, sketches=sketches,
                images=lambda: datasets.RenderedScenes(category, SCENES, resolution))


@checked
def photo_task(pose: str, photos: str | Path, base: str | Path, judge: str | Path, weights: str | Path,
               device: str = "cpu", most_sketched: Count = 36) -> Task:
    """One pose of real photographs: `photos` holds a folder for each pose, of which `pose` is one.

    base: the GAN of all poses. judge: of `pretrain photo-judge`. Each seed takes its sketches from the same first
    `most_sketched` held-out photographs of the pose, in an order of its own; those are no part of the target.
    """
    if not pose or not (Path(photos) / pose).is_dir():
        raise ValueError(f"photos {photos} hold no folder for the pose {pose!r}; name one of its folders.")
    networks = base_networks(base, Path(weights), judge, device)
    resolution = networks["G"].resolution
    held_out, taught = (datasets.ImageFolder(Path(photos) / pose, resolution, part=part).images
                        for part in ("held_out", "train"))
    held_out, others = held_out[:most_sketched], torch.cat([held_out[most_sketched:], taught])

    def sketches(seed: int, count: int) -> Tensor:
        order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(seed))[:count]
        drawn = sketch_of(datasets.to_float(held_out[order]).to(device), networks["F"]).cpu()
        if len(drawn) < count:
            raise ValueError(f"{photos} holds out {len(held_out)} photographs of pose {pose}; {count} sketches were "
                             "wanted of them. Choose rows with fewer sketches, or give more photographs.")
        return drawn

    return Task(predicate_of(pose), **networks, sketches=sketches,
                target=lambda count: datasets.to_float(others[:count]),
                images=lambda: datasets.ImageFolder(photos, resolution, part="train"), main=True)
