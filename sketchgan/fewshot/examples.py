"""Labelled examples: one to five pictures of a generator with label maps, as exact codes or projected photographs."""
from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from .. import plotting
from ..files.atomic import write_atomically
from ..files.checks import Filled, GeneratorLike, Images, Seed, Whole, check_fields, checked, shape
from ..files.readers import reading
from ..photos.pictures import read_square
from ..weights.checkpoints import content_hash, read_tensors, write_safetensors
from .classes import Classes, LayoutError, Masks

Latents = shape("N", "L", "D")
ABOUT = "examples.json"


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled pictures. classes: what the labels mean; ws [N, num_ws, w_dim]: latents whose pictures are labelled;
    masks [N, R, R]: label maps, 0 where nothing is said."""

    classes: Classes
    ws: Latents
    masks: Masks

    def __post_init__(self):
        check_fields(self)
        if len(self.ws) != len(self.masks):
            raise LayoutError(f"ws are of {len(self.ws)} pictures and masks of {len(self.masks)}: give one for each")
        object.__setattr__(self, "masks", self.classes.require(self.masks, self.masks.shape[-1]))

    def __len__(self) -> int:
        return len(self.ws)

    def __add__(self, other: Examples) -> Examples:
        if self.classes != other.classes:
            raise LayoutError("these examples have other classes; give all of them the same names and colours")
        return Examples(self.classes, torch.cat([self.ws, other.ws]), torch.cat([self.masks, other.masks]))

    def __getitem__(self, part: slice) -> Examples:
        return Examples(self.classes, self.ws[part], self.masks[part])

    def scribbled(self, share: float, seed: int = 0) -> Examples:
        """The same with only about a `share` of the labelled pixels left, in short strokes of each class: what a
        hurried hand would label. Every class of every example keeps a pixel at least."""
        random, masks = torch.Generator().manual_seed(seed), []
        for mask in self.masks:
            kept = torch.zeros_like(mask)
            for c in mask.unique().tolist():
                where = (mask == c).nonzero()
                if c and len(where):
                    for start in where[torch.randint(len(where), (max(1, round(share * len(where) / 8)),),
                                                     generator=random)]:
                        near = (where - start).square().sum(1).float()
                        line = torch.randn(2, generator=random)
                        off = ((where - start).float() @ torch.stack([-line[1], line[0]])).abs() / line.norm()
                        stroke = where[(near <= 20) & (off < 0.6)]          # 9 pixels at most, along one direction
                        kept[stroke[:, 0], stroke[:, 1]] = c
            masks.append(kept)
        return Examples(self.classes, self.ws, torch.stack(masks))

    @checked
    def save(self, folder: str | os.PathLike, G: GeneratorLike) -> None:
        """Writes picture_N.png and mask_N.png for people, examples.json and codes.safetensors for `load_examples`."""
        self.write(folder, G, self.classes, self.ws, self.masks)

    @staticmethod
    def write(folder: str | os.PathLike, G: GeneratorLike, classes: Classes, ws: Tensor, masks: Tensor) -> None:
        """`save` of examples whose masks may still be blank."""
        folder = Path(folder)
        with torch.no_grad():
            images = G.synthesis(ws, noise_mode="const").clamp(-1, 1)
        for i in range(len(ws)):
            write_atomically(folder / f"picture_{i}.png", plotting.png(plotting.image_grid(images[i:i + 1])))
            classes.save_mask(folder / f"mask_{i}.png", masks[i:i + 1])
        about = dict(names=classes.names, colors=classes.colors)
        write_atomically(folder / ABOUT, json.dumps(about, indent=1).encode())
        write_safetensors(folder / "codes.safetensors", {"ws": ws}, {"base": content_hash(G)})


@torch.no_grad()
@checked
def sample_codes(G: GeneratorLike, seeds: Annotated[list[Seed] | tuple[Seed, ...] | range, Filled()]) -> Tensor:
    """Latents ws [N, num_ws, w_dim] of samples, one for each seed: pictures to label whose codes are exact."""
    z = torch.cat([torch.randn(1, G.z_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    return G.mapping(z.to(next(G.parameters()).device)).clone()


@checked
def of_pictures(G: GeneratorLike, classes: Classes, pictures: Images, masks: Masks,
                project: Callable[[object, Tensor], Tensor]) -> Examples:
    """Examples from pictures [N, 3, R, R] in [-1, 1] of one's own with label maps [N, R, R].

    project: (G, pictures) -> ws [N, num_ws, w_dim]; whatever its picture gets wrong is labelled wrongly, so look at
    `G.synthesis(examples.ws, "const")` before you train.
    """
    masks = classes.require(masks, G.resolution)
    if len(pictures) != len(masks) or pictures.shape[2:] != masks.shape[1:]:
        raise LayoutError(f"pictures are {list(pictures.shape)} and masks {list(masks.shape)}; give one mask of the "
                          "same size for each")
    return Examples(classes, project(G, pictures).detach(), masks)


@checked
def load_examples(folder: str | os.PathLike, G: GeneratorLike, project: Callable | None = None) -> Examples:
    """Examples from a folder: mask_N.png beside codes.safetensors (what `save` wrote, labelled on), or beside
    picture_N.png of one's own, which `project` brings into G's latents.

    examples.json names the classes: {"names": [...], "colors": [[r, g, b], ...]}.
    Raises LayoutError for a folder without them, masks of a wrong size or colour, codes of another generator.
    """
    folder = Path(folder)
    with reading(folder / ABOUT, LayoutError, 'it should read {"names": ["sky", ...], "colors": [[86, 180, 233], ...]}',
                 also=()):
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        classes = Classes(tuple(about["names"]), tuple(map(tuple, about.get("colors", ()))))
    numbers = sorted(int(path.stem[5:]) for path in folder.glob("mask_*.png") if path.stem[5:].isdigit())
    if not numbers:
        raise LayoutError(f"{folder} holds no mask_0.png, mask_1.png, ...: label a sample first, with "
                          "`python -m sketchgan fewshot label` or on the pad")
    masks = [classes.load_mask(folder / f"mask_{i}.png", G.resolution) for i in numbers]
    told = [(i, mask) for i, mask in zip(numbers, masks) if mask.any()]         # a blank one waits to be painted
    if not told:
        raise LayoutError(f"all masks in {folder} are blank: paint in the classes' colours, which {ABOUT} lists")
    numbers, masks = [i for i, _ in told], torch.cat([mask for _, mask in told])
    if (folder / "codes.safetensors").is_file():
        return Examples(classes, _codes(folder / "codes.safetensors", G, numbers), masks)
    if project is None:
        raise LayoutError(f"{folder} holds no codes.safetensors, so its pictures are photographs: give project=, which "
                          "finds latents that paint them")
    pictures = [torch.from_numpy(read_square((folder / f"picture_{i}.png").read_bytes(), G.resolution)[0].copy())
                for i in numbers]
    pictures = torch.stack(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return of_pictures(G, classes, pictures, masks, project)


def _codes(path: Path, G, numbers: list[int]) -> Tensor:
    with reading(path, LayoutError):
        tensors, metadata = read_tensors(path)
        if metadata.get("base") != content_hash(G):
            raise LayoutError(f"{path} holds codes of another generator; give the base that painted these pictures")
        if max(numbers) >= len(tensors["ws"]):
            raise LayoutError(f"there is mask_{max(numbers)}.png and {path.name} holds {len(tensors['ws'])} codes")
        return tensors["ws"][numbers]


def fresh_masks(classes: Classes, count: Whole, resolution: int) -> Tensor:
    """Label maps that say nothing yet, int64 [count, R, R]."""
    return torch.zeros(count, resolution, resolution, dtype=torch.long)
