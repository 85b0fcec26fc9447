"""Pictures as tensors: photographs prepared on disk, and rendered scenes kept in a cache. Both hold uint8, both give float on demand.

Seeds of scenes are never mixed, so that nothing is judged on what it has seen:
0 trains GANs and the feature network, 1 trains F, 2 trains the judge, 3 makes sketches to customise with, 4 is for evaluation.
"""

import ast
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..files.places import cache_folder
from ..world import scenes
from . import preparation

SEED_GAN, SEED_SKETCHER, SEED_JUDGE, SEED_SKETCHES, SEED_EVALUATION = range(5)
HELD_OUT = 0.2      # the share of photographs that nothing trains on
CHUNK = 64
# Which range a view is stored from: pictures come in [-1,1], depth in [0,1], parts are indices already.
_SIGNED = {"image", "contour", "albedo", "portrait"}


def to_uint8(x: Tensor) -> Tensor:
    """[-1,1] float to 0..255 uint8, rounded."""
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_float(x: Tensor) -> Tensor:
    """0..255 uint8 to [-1,1] float32."""
    return x.float().mul_(1 / 127.5).sub_(1)


def _world_version() -> str:
    """Changes when the code that makes the world changes (not its comments and docstrings), so that a stale cache is never used."""
    source = ""
    for path in sorted(Path(scenes.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
                node.body[0].value.value = ""
        source += ast.dump(tree)
    return hashlib.sha256(source.encode()).hexdigest()[:10]


def _render_chunk(job: tuple) -> dict[str, np.ndarray]:
    category, resolution, seed, predicate, start, stop, views = job
    torch.set_num_threads(1)
    world = scenes.Menagerie(category, resolution, seed, predicate)
    seen = world.render(range(start, stop), views)
    out = {}
    for name, x in seen.views().items():
        out[name] = (to_uint8(x) if name in _SIGNED else (x * 255).round().to(torch.uint8) if name == "depth" else x).numpy()
    return out


def rendered(category: str, count: int, resolution: int = 64, seed: int = SEED_GAN, views: Sequence[str] = ("image",),
             predicate: str | None = None, progress: bool = True, workers: int | None = None) -> dict:
    """The first `count` scenes of a category as uint8 tensors, rendered once and kept in the cache folder.

    Returns {view: uint8 [count,C,R,R] (parts: [count,R,R])} for each of `views`, 'code': float [count,K], and 'params': {name: float [count]}.
    Pictures are 0..255 for [-1,1]; depth is 0..255 for [0,1]. `workers` processes render (default: one a core).
    """
    world = scenes.Menagerie(category, resolution, seed, predicate)
    folder = cache_folder() / "menagerie" / f"{_world_version()}-{category}-{resolution}-{seed}-{predicate or 'all'}"
    chunks = range(-(-count // CHUNK))
    path = lambda view, c: folder / f"{view}-{c:05d}.npy"
    missing: dict[int, list[str]] = {c: [v for v in views if not path(v, c).exists()] for c in chunks}
    jobs = [(category, resolution, seed, predicate, c * CHUNK, (c + 1) * CHUNK, tuple(v)) for c, v in missing.items() if v]
    if jobs:
        folder.mkdir(parents=True, exist_ok=True)
        bar = tqdm(total=len(jobs) * CHUNK, desc=f"rendering {category}", unit="img", disable=not progress, leave=False)
        workers = min(workers or os.cpu_count() or 1, len(jobs))
        for job, made in zip(jobs, preparation.spread(_render_chunk, jobs, workers)):
            for view, array in made.items():
                _write_whole(path(view, job[4] // CHUNK), array)
            bar.update(CHUNK)
        bar.close()
    out: dict = {v: torch.from_numpy(np.concatenate([np.load(path(v, c)) for c in chunks])[:count]) for v in views} if count else {}
    out["code"] = world.codes(range(count))
    out["params"] = scenes.parameters(category, out["code"])
    return out


def _write_whole(path: Path, array: np.ndarray) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with open(temporary, "wb") as f:
        np.save(f, array)
    os.replace(temporary, path)


def split_of(file: str | Path | bytes, held_out: float = HELD_OUT) -> str:
    """Whether a file (its path, or its bytes) is for 'train' or 'held_out', by the sha256 of its bytes and nothing else.

    So the split needs no list, survives renaming and new files, and copies of one picture never stand on both sides.
    `held_out` is the expected share of files held out, in [0,1].
    """
    data = file if isinstance(file, bytes) else Path(file).read_bytes()
    return _part_of(hashlib.sha256(data).hexdigest(), held_out)


def _part_of(digest: str, held_out: float = HELD_OUT) -> str:
    return "held_out" if int(digest[:16], 16) < held_out * 2 ** 64 else "train"


def _check_part(part: str | None) -> None:
    if part not in (None, "train", "held_out"):
        raise ValueError(f"part is {part!r}; wanted 'train', 'held_out', or None for all pictures")


def open_images(source: str | Path, resolution: int, count: int = 9216, progress: bool = True, part: str | None = None):
    """A category of Menagerie (its first `count` scenes), or anything that ImageFolder reads (those of `part`), as a data set of `resolution` px."""
    _check_part(part)
    if source not in scenes.CATEGORIES:
        return ImageFolder(source, resolution, progress, part)
    if part:
        raise ValueError(f"part is {part!r}, and {source} is rendered: scenes are split by their seed, not by files; leave part out")
    return RenderedScenes(source, count, resolution, progress=progress)


class ImageFolder:
    """The pictures of a folder (with all below it), a zip, an LSUN LMDB, or a data set made by preparation.prepare, read from disk.

    What is not prepared yet is prepared into the cache first, once; nothing but the pictures asked for is ever in memory.
    `folder[index]` with an int64 tensor [B] gives float [B,3,R,R] in [-1,1].

    Args:
        part: 'train' or 'held_out' takes one side of `split_of`.
    Attributes:
        files: [N] paths.  left_out: (name, reason) of every file that could not be read.
    Raises:
        ValueError: if there is nothing to read or no readable picture in it, or a prepared set has another resolution.
    """

    def __init__(self, path: str | Path, resolution: int = 64, progress: bool = True, part: str | None = None):
        _check_part(part)
        prepared, index = Path(path), preparation.read_index(path)
        if index is None:
            prepared = preparation.prepare(path, None, resolution, progress=progress).out
            index = preparation.read_index(prepared)
        else:
            path = index["plan"]["source"]
        if index["plan"]["resolution"] != resolution:
            raise ValueError(f"{prepared} was prepared at {index['plan']['resolution']} px and {resolution} px are wanted; pass the photographs "
                             f"themselves ({path}), or prepare them at {resolution} px")
        self.left_out = preparation.report(prepared).left_out
        kept = [i for i, digest in enumerate(index["sha256"]) if part in (None, _part_of(digest))]
        if not kept:
            raise ValueError(f"none of the {len(index['rows'])} pictures of {path} is of the part {part}: there are too few to split")
        self.files = [Path(path, index["files"][i]) for i in kept]
        self._rows = torch.tensor(index["rows"])[kept]
        try:
            # Copy-on-write, so that torch may hold it; only what is indexed is read.
            self._mapped = torch.from_numpy(np.load(prepared / "images.npy", mmap_mode="c"))     # uint8 [files,3,R,R], zero where left out
        except (OSError, ValueError) as error:
            raise ValueError(f"{prepared / 'images.npy'} is damaged ({error}); delete {prepared} and prepare it again") from error

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Tensor) -> Tensor:
        return to_float(self._mapped[self._rows[index]])

    @property
    def images(self) -> Tensor:
        """All of them in memory, uint8 [N,3,R,R]: for a few thousand small ones."""
        return self._mapped[self._rows]


class RenderedScenes:
    """Scenes of Menagerie as an image data set: `scenes[index]` with int64 [B] gives float [B,3,R,R]; `scenes.code [N,K]` beside it."""

    def __init__(self, category: str, count: int, resolution: int = 64, seed: int = SEED_GAN, predicate: str | None = None, progress: bool = True):
        data = rendered(category, count, resolution, seed, ("image",), predicate, progress=progress)
        self.category = category
        self.images, self.code, self.params = data["image"], data["code"], data["params"]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor) -> Tensor:
        return to_float(self.images[index])
