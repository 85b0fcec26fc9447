"""Pictures as tensors: photographs prepared on disk, rendered scenes kept in a cache. Both hold uint8, and give float.

Seeds of scenes are never mixed, so that nothing is judged on what it has seen:
0 trains GANs and the feature network, 1 trains F, 2 trains the judge, 3 makes sketches, 4 is for evaluation.
"""

import ast
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..files.atomic import write_atomically
from ..files.checks import Count, Limits, Maps, Whole, checked, explained
from ..files.places import cache_folder, remedy
from ..files.progress import Progress
from ..files.readers import reading
from ..world import scenes
from . import preparation
from .preparation import DataSetError, Resolution

SEED_GAN, SEED_SKETCHER, SEED_JUDGE, SEED_SKETCHES, SEED_EVALUATION = range(5)
HELD_OUT = 0.2      # the share of photographs that nothing trains on
CHUNK = 64
# Which range a view is stored from: pictures come in [-1,1], depth in [0,1], parts are indices already.
_SIGNED = {"image", "contour", "albedo", "portrait"}


@explained
def to_uint8(x: Maps) -> Tensor:
    """[-1,1] float to 0..255 uint8, rounded."""
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


@explained
def to_float(x: Tensor) -> Tensor:
    """0..255 uint8 to [-1,1] float32."""
    return x.float().mul_(1 / 127.5).sub_(1)


@checked
def check_images(images: Tensor, what: str = "images") -> Tensor:
    """A batch of pictures, if it can be one: float [N,3,R,R], finite, in [-1,1], and not all in [0,1].

    Give it 16 or more: a few photographs may all be bright.

    Raises:
        ValueError: if it is not, saying what would make it so.
    """
    shape = list(images.shape)
    if not images.is_floating_point() or len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
        raise ValueError(f"{what} are {images.dtype} {shape}; wanted float [N,3,R,R] in [-1, 1]: x / 127.5 - 1")
    if not images.numel():
        raise ValueError(f"{what} are none: the tensor is {shape}; give at least one picture")
    low, high = images.aminmax()
    if not -1.5 <= low <= high <= 1.5:                           # resampling may reach a little beyond; NaN fails too
        raise ValueError(f"{what} reach from {low:.3g} to {high:.3g}; wanted [-1, 1], of bytes x / 127.5 - 1")
    if low >= 0 and high > 0.5:
        raise ValueError(f"{what} lie between {low:.3g} and {high:.3g}, and nothing is darker than middle grey: they "
                         f"seem to be in [0, 1]; wanted [-1, 1], which is x * 2 - 1")
    return images


def _world_version() -> str:
    """Changes when the code that makes the world changes (not its comments and docstrings): no stale cache is used."""
    source = ""
    for path in sorted(Path(scenes.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
                node.body[0].value.value = ""
        source += ast.dump(tree)
    return hashlib.sha256(source.encode()).hexdigest()[:10]


def _render_chunk(job: tuple) -> None:
    """Renders the scenes of a chunk and writes a file for each of its views."""
    category, resolution, seed, predicate, start, paths = job
    torch.set_num_threads(1)
    seen = scenes.Menagerie(category, resolution, seed, predicate).render(range(start, start + CHUNK), tuple(paths))
    for view, x in seen.views().items():
        if view in paths:
            x = to_uint8(x) if view in _SIGNED else (x * 255).round().to(torch.uint8) if view == "depth" else x
            np.save(file := io.BytesIO(), x.numpy())
            write_atomically(paths[view], file.getbuffer())


@checked
def rendered(category: str, count: Whole, resolution: Resolution = 64, seed: int = SEED_GAN,
             views: Sequence[str] = ("image",), predicate: str | None = None, progress: bool = True,
             workers: Count | None = None) -> dict:
    """The first `count` scenes of a category as uint8 tensors, rendered once and kept in the cache folder.

    Returns {view: uint8 [count,C,R,R] (parts: [count,R,R])} for each of `views`, 'code': float [count,K], and
    'params': {name: float [count]}. Pictures are 0..255 for [-1,1]; depth is 0..255 for [0,1]. `workers` processes
    render (default: one a core).
    """
    world = scenes.Menagerie(category, resolution, seed, predicate)
    folder = cache_folder() / "menagerie" / f"{_world_version()}-{category}-{resolution}-{seed}-{predicate or 'all'}"
    chunks = [{view: folder / f"{view}-{chunk:05d}.npy" for view in views} for chunk in range(-(-count // CHUNK))]
    missing = [{view: path for view, path in paths.items() if not path.exists()} for paths in chunks]
    jobs = [(category, resolution, seed, predicate, k * CHUNK, paths) for k, paths in enumerate(missing) if paths]
    threads = torch.get_num_threads()
    with remedy(folder), Progress(total=len(jobs) * CHUNK, desc=f"rendering {category}", unit="img", leave=False,
                                  disable=not progress or not jobs) as bar:
        for _ in preparation.spread(_render_chunk, jobs, min(workers or os.cpu_count() or 1, len(jobs))):
            bar.update(CHUNK)
    torch.set_num_threads(threads)                               # a single worker is this process
    out: dict = {}
    for view in views if count else ():
        with reading(folder, DataSetError, "delete that folder, and it is rendered again"):
            out[view] = torch.from_numpy(np.concatenate([np.load(paths[view]) for paths in chunks])[:count])
    out["code"] = world.codes(range(count))
    out["params"] = scenes.parameters(category, out["code"])
    return out


def split_of(file: str | Path | bytes, held_out: float = HELD_OUT) -> str:
    """Whether a file (its path, or its bytes) is for 'train' or 'held_out', by the sha256 of its bytes alone.

    So the split needs no list, survives renaming and new files, and copies of one picture never stand on both sides.
    `held_out` is the expected share of files held out, in [0,1].
    """
    data = file if isinstance(file, bytes) else Path(file).read_bytes()
    return _part_of(hashlib.sha256(data).hexdigest(), held_out)


def _part_of(digest: str, held_out: float = HELD_OUT) -> str:
    return "held_out" if int(digest[:16], 16) < held_out * 2 ** 64 else "train"


Part = Annotated[str, Limits(choices=("train", "held_out"))] | None      # of `split_of`; None takes all pictures


@checked
def open_images(source: str | Path, resolution: Resolution, count: Count = 9216, progress: bool = True,
                part: Part = None):
    """A data set of `resolution` px: the first `count` scenes of a category of Menagerie, or what ImageFolder reads."""
    if source not in scenes.CATEGORIES:
        return ImageFolder(source, resolution, progress, part)
    if part:
        raise ValueError(f"part is {part!r}, and {source} is rendered: scenes are split by their seed, not by files; "
                         f"leave part out")
    return RenderedScenes(source, count, resolution, progress=progress)


class ImageFolder:
    """The pictures of a folder (with all below it), a zip, an LSUN LMDB, or a prepared data set, read from disk.

    What is not prepared yet is prepared into the cache first, once; nothing but the pictures asked for is in memory.
    `folder[index]` with an int64 tensor [B] gives float [B,3,R,R] in [-1,1].

    Args:
        part: 'train' or 'held_out' takes one side of `split_of`.
    Attributes:
        files: [N] paths.  left_out: (name, reason) of every file that could not be read.
    Raises:
        ValueError: if there is nothing to read or no readable picture in it, or a prepared set has another resolution.
    """

    @checked
    def __init__(self, path: str | Path, resolution: Resolution = 64, progress: bool = True, part: Part = None):
        prepared, index = Path(path), preparation.read_index(path)
        if index is None:
            prepared = preparation.prepare(path, None, resolution, progress=progress).out
            index = preparation.read_index(prepared)
        else:
            path = index["plan"]["source"]
        if index["plan"]["resolution"] != resolution:
            raise ValueError(f"{prepared} was prepared at {index['plan']['resolution']} px and {resolution} px are "
                             f"wanted; pass the photographs themselves ({path}), or prepare them at {resolution} px")
        self.left_out = preparation.report(prepared, index).left_out
        kept = [i for i, digest in enumerate(index["sha256"]) if part in (None, _part_of(digest))]
        if not kept:
            raise ValueError(f"none of the {len(index['rows'])} pictures of {path} is of the part {part}: too few")
        self.files = [Path(path, index["files"][i]) for i in kept]
        self._rows = torch.tensor(index["rows"])[kept]
        with reading(file := prepared / "images.npy", DataSetError, f"delete {prepared} and prepare it again"):
            mapped = np.load(file, mmap_mode="c")                # copy-on-write, so that torch may hold it
            if mapped.shape != (index["plan"]["count"], 3, resolution, resolution) or mapped.dtype != np.uint8:
                raise TypeError(f"it holds {mapped.dtype} {list(mapped.shape)}")
        self._mapped = torch.from_numpy(mapped)                  # [files,3,R,R], zero where left out; read when indexed

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Tensor) -> Tensor:
        return to_float(self._mapped[self._rows[index]])

    @property
    def images(self) -> Tensor:
        """All of them in memory, uint8 [N,3,R,R]: for a few thousand small ones."""
        return self._mapped[self._rows]


class RenderedScenes:
    """Scenes of Menagerie as a data set: `scenes[index]` with int64 [B] gives float [B,3,R,R]; `code [N,K]` beside."""

    def __init__(self, category: str, count: Count, resolution: Resolution = 64, seed: int = SEED_GAN,
                 predicate: str | None = None, progress: bool = True):
        data = rendered(category, count, resolution, seed, ("image",), predicate, progress=progress)
        self.category = category
        self.images, self.code, self.params = data["image"], data["code"], data["params"]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor) -> Tensor:
        return to_float(self.images[index])
