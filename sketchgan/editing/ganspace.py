"""GANSpace: the principal directions of w, and moving pictures along them (Haerkoenen et al. 2020, sections 2 and 3).

    found = find_components(G)                                    # on the original, once
    edited = edit(ws, found.direction(3), sigma=2, layers=range(4, 8))
    G.synthesis(edited)                                           # or any model customised from G: same w, same meaning

The covariance of w is summed up batch by batch and then diagonalised: exact, in the room of one [w_dim, w_dim] matrix,
where the published code takes scikit-learn's incremental approximation. Files in the published `.npz` layout are read
and written; theirs for cats, horses and churches hold 512 components of 512 numbers.
"""
import dataclasses
import io
import math
import os
import zipfile
from collections.abc import Iterable
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from ..files.archives import open_zip, read_member
from ..files.atomic import write_atomically
from ..files.checks import Able, Count, GeneratorLike, Limits, Seed, Weight, Whole, check, check_fields, checked, shape
from ..files.readers import reading
from ..weights.formats import existing
from ..weights.pickles import CheckpointError

BATCH = 2048                    # z in a batch: a constant, since the numbers drawn depend on it
MOST_BYTES = 64_000_000         # of one array of a file: twenty times the published ones
Latents = shape("N", "L", "D")
Rows = shape("n", "D")
Layers = range | list[Whole] | tuple[Whole, ...] | None
Order = Literal["before", "after"]


@dataclasses.dataclass(frozen=True)
class Direction:
    """One way to go in w: a unit `vector` [w_dim], and `stdev`, the standard deviation of w along it (one sigma).

    layers: those it is meant for, or None for all. name: for people.
    """

    name: str
    vector: shape("D")
    stdev: Weight
    layers: Layers = None
    __post_init__ = check_fields


@dataclasses.dataclass(frozen=True)
class Components:
    """Principal components of w, the widest first.

    mean [w_dim]; vectors [K, w_dim], orthonormal rows; stdev [K] of w along each; share [K] of all variance.
    """

    mean: shape("D")
    vectors: shape("K", "D")
    stdev: shape("K")
    share: shape("K")

    def __post_init__(self):
        check_fields(self)
        rows, w_dim = self.vectors.shape
        if self.mean.shape != (w_dim,) or self.stdev.shape != (rows,) or self.share.shape != (rows,):
            raise ValueError(f"vectors {[rows, w_dim]}, mean {list(self.mean.shape)}, stdev {list(self.stdev.shape)} "
                             f"and share {list(self.share.shape)} do not belong together; wanted [K, w_dim], [w_dim], "
                             f"[K] and [K]")
        if (self.vectors @ self.vectors.T - torch.eye(rows)).abs().max() > 1e-3 or (self.stdev < 0).any():
            raise ValueError("vectors are no orthonormal rows, or stdev has a number below 0; principal components are "
                             "at right angles and of length 1")

    def __len__(self) -> int:
        return len(self.vectors)

    def direction(self, number: Whole) -> Direction:
        """Component `number`, from 0; raises ValueError if there are not so many."""
        if type(number) is not int or not 0 <= number < len(self):
            raise ValueError(f"there is no component {number!r}: these are numbered 0 to {len(self) - 1}")
        return Direction(f"component {number}", self.vectors[number], self.stdev[number].item())


# ---------------------------------------------------------------------------------------------------------------- found

@checked
@torch.no_grad()
def principal_components(batches: Iterable, count: Count | None = None) -> Components:
    """The first `count` principal components (all without it) of rows that come in batches [n, D].

    The mean and the scatter matrix of what has come are brought up to date in double precision with each batch (Chan,
    Golub and LeVeque 1983, equation 2.1), so the result is that of all rows at once. Signs are no property of the data:
    here the largest number of each component is positive, as scikit-learn has it.
    """
    seen, mean, scatter = 0, 0.0, 0.0
    for batch in batches:
        x = check("a batch of batches", batch, Rows).double().cpu()
        own = x.mean(0)
        gap, total = own - mean, seen + len(x)
        scatter = scatter + (x - own).T @ (x - own) + torch.outer(gap, gap) * (seen * len(x) / total)
        mean, seen = mean + gap * len(x) / total, total
    if seen < 2:
        raise ValueError(f"batches hold {seen} rows; a spread needs at least 2")
    values, vectors = torch.linalg.eigh(scatter / (seen - 1))
    values, vectors = values.flip(0).clamp(min=0), vectors.T.flip(0)
    vectors = vectors * vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    if count is not None and not 1 <= count <= len(values):
        raise ValueError(f"count is {count}; there are {len(values)} components")
    return Components(mean.float(), vectors[:count].float(), values[:count].sqrt().float(),
                      (values / values.sum().clamp(min=1e-300))[:count].float())


@checked
@torch.no_grad()
def find_components(G: GeneratorLike, count: Count | None = None, samples: Annotated[int, Limits(least=2)] = 100_000,
                    seed: Seed = 0) -> Components:
    """Principal components of w of a generator; costs its mapping network `samples` times and nothing else.

    count: how many, None for all w_dim. The same seed and samples give the same numbers on the same machine.
    """
    random, device = torch.Generator().manual_seed(seed), next(G.parameters()).device

    def batches():
        for start in range(0, samples, BATCH):
            z = torch.randn(BATCH, G.z_dim, generator=random)[:samples - start]
            yield G.mapping(z.to(device))[:, 0]

    return principal_components(batches(), count)


# --------------------------------------------------------------------------------------------------------------- edited

@checked
def edit(ws: Latents, direction: Annotated[object, Able(names=("vector", "stdev", "layers"))], sigma: float,
         layers: Layers = None, truncation_psi: float = 1.0, center: shape("D") | None = None,
         order: Order = "before") -> Tensor:
    """Latents [N, num_ws, w_dim] moved along a direction: `w + sigma * stdev * vector` in the rows `layers`.

    Args:
        ws: untruncated latents, `G.mapping(z)`.
        direction: `components.direction(k)`, or a named one.
        sigma: how far, in standard deviations of w; below 0 is the other way.
        layers: rows to move, counted from 0; None takes the direction's own, or all. What the published code writes
            as `--layers 2,4`, both included, is `range(2, 5)`.
        truncation_psi, center: drawn towards `center` [w_dim] (`G.mean_w()`) by the factor psi, all rows.
        order: 'before' moves first, as GANSketching does, so that an edit shrinks with psi; 'after' truncates first, as
            GANSpace does, so that it does not.
    Raises ValueError for another w_dim, layers that there are not, or psi below 1 without a center.
    """
    rows, w_dim = ws.shape[1:]
    if direction.vector.shape != (w_dim,):
        raise ValueError(f"direction has {direction.vector.numel()} numbers, and ws rows of {w_dim}: it was found on a "
                         f"generator with another w_dim. Find directions on the one that ws come from")
    chosen = [*(layers if layers is not None else direction.layers if direction.layers is not None else range(rows))]
    if not chosen or min(chosen) < 0 or max(chosen) >= rows:
        raise ValueError(f"layers are {chosen}; these ws have the rows 0 to {rows - 1}, and at least one must move")
    if truncation_psi != 1 and (center is None or center.shape != (w_dim,)):
        raise ValueError(f"truncation_psi is {truncation_psi} and center "
                         f"{None if center is None else list(center.shape)}; give center=G.mean_w(), [{w_dim}]")
    truncated = lambda x: x if truncation_psi == 1 else center.to(x).lerp(x, truncation_psi)
    moved = (ws if order == "before" else truncated(ws)).clone()
    moved[:, chosen] += sigma * direction.stdev * direction.vector.to(moved)
    return truncated(moved) if order == "before" else moved


# ---------------------------------------------------------------------------------------------------------------- files

@checked
def save_components(path: str | os.PathLike, components: Annotated[object, Able(names=("vectors", "share"))]) -> None:
    """Write components in the published layout, for the programs of others too: arrays act_* and lat_* (the same, since
    the layer looked at is w), var_ratio, random_stdevs; whole or not at all."""
    c = components
    random = torch.randn(c.vectors.shape, generator=torch.Generator().manual_seed(0))
    random = torch.nn.functional.normalize(random, dim=1)
    common = {"comp": c.vectors[:, None], "mean": c.mean[None], "stdev": c.stdev}
    arrays = {f"{of}_{name}": value for of in ("act", "lat") for name, value in common.items()}
    # Along random directions, what the components tell of the spread: the yardstick of the paper's figure 4.
    arrays |= {"var_ratio": c.share, "random_stdevs": ((random @ c.vectors.T * c.stdev) ** 2).sum(1).sqrt()}
    file = io.BytesIO()
    np.savez(file, **{name: value.numpy().astype(np.float32) for name, value in arrays.items()})
    write_atomically(path, file.getvalue())


@checked
def load_components(path: str | os.PathLike, w_dim: Count | None = None) -> Components:
    """Components from a file in the published layout, ours or GANSpace's.

    w_dim: of the generator they are meant for; another one in the file is refused.
    Raises FileNotFoundError, or CheckpointError if the file is damaged, made to deceive, something else, or of another
    w_dim. Nothing in it is ever run: pickled arrays are refused.
    """
    with reading(path, CheckpointError, "GANSpace's files and those of `save_components` can be read"):
        with open_zip(existing(path)) as archive:
            arrays = {name: _array(archive, f"lat_{name}", path) for name in ("comp", "mean", "stdev")}
            rows, size = arrays["comp"].shape[0], arrays["comp"].shape[-1]
            if rows > size or arrays["comp"].size != rows * size or arrays["mean"].size != size \
                    or arrays["stdev"].shape != (rows,):
                raise CheckpointError(f"{path} has components {arrays['comp'].shape}, a mean {arrays['mean'].shape} and"
                                      f" stdevs {arrays['stdev'].shape}; wanted (K, 1, D), (1, D) and (K,), K up to D")
            share = _array(archive, "var_ratio", path) if "var_ratio.npy" in archive.namelist() else \
                arrays["stdev"] ** 2 / max((arrays["stdev"] ** 2).sum(), 1e-30)
        if w_dim is not None and size != w_dim:
            raise CheckpointError(f"{path} holds components of w with {size} numbers, and this generator has w_dim "
                                  f"{w_dim}: they belong to another one. Find its own with find_components(G)")
        return Components(*(torch.from_numpy(np.array(x, np.float32)) for x in (
            arrays["mean"].reshape(size), arrays["comp"].reshape(rows, size), arrays["stdev"], share)))


def _array(archive: zipfile.ZipFile, name: str, path) -> np.ndarray:
    """One array of numbers of an npz file, measured before it is read."""
    members = [member for member in archive.infolist() if member.filename == f"{name}.npy"]
    if len(members) != 1:
        raise CheckpointError(f"{path} has no array {name} (it has {', '.join(archive.namelist())[:120] or 'none'}); it"
                              f" is no file of GANSpace's")
    file = io.BytesIO(read_member(archive, members[0], MOST_BYTES))
    header = np.lib.format.read_array_header_1_0 if np.lib.format.read_magic(file) == (1, 0) else \
        np.lib.format.read_array_header_2_0
    dims, fortran, dtype = header(file)
    if dtype.kind != "f" or not 1 <= len(dims) <= 3 or min(dims) < 1 or fortran \
            or math.prod(dims) * dtype.itemsize != len(file.getbuffer()) - file.tell():
        raise CheckpointError(f"{path} has an array {name} of {dtype} {dims} in {len(file.getbuffer())} bytes; wanted "
                              f"as many numbers as there are bytes for, floating")
    return np.frombuffer(file.getbuffer(), dtype, offset=file.tell()).reshape(dims)
