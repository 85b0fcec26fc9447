"""Files of portraits: the extrinsic path beside the fingerprint of its base, the published layout, codes by name."""
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..files.atomic import write_atomically
from ..files.checks import Filled, checked
from ..files.readers import reading
from ..nets.stylegan2 import Generator
from ..photos.datasets import to_float, to_uint8
from ..weights.building import disagreements, infer
from ..weights.checkpoints import content_hash, load_generator, read_tensors, write_safetensors
from ..weights.formats import existing
from ..weights.own import load_own
from ..weights.pickles import CheckpointError
from .network import DualStyleGAN
from .refinement import StyleSampler

BASE, SIGN = "generator.", "res.0.conv.0.weight"
REMEDY = "Make one with `python -m sketchgan portrait train`."


@checked
def save_portraits(path: str | os.PathLike, network: DualStyleGAN, metadata: dict | None = None) -> None:
    """Write the extrinsic path alone, a few megabytes, with the fingerprint of the base that it needs to be read.

    metadata: anything JSON can hold. Raises CheckpointError if a number is not finite; the file then stays as it was.
    """
    state = {key: value for key, value in network.state_dict().items() if not key.startswith(BASE)}
    write_safetensors(path, state, {"config": {"dualstylegan": {"resolution": network.resolution}},
                                    "base": content_hash(network.generator), **(metadata or {})})


@checked
def load_portraits(path: str | os.PathLike, base: Generator | str | os.PathLike | None = None,
                   device: str | torch.device = "cpu") -> DualStyleGAN:
    """The network in a file, in evaluation mode: one of ours, or the published `generator.pt` of any resolution.

    Args:
        base: g, or its file: the one that a file of ours was trained on. The published files hold it.
    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is damaged, holds something else, or belongs to another base.
    """
    with reading(path, CheckpointError, REMEDY):
        tensors, metadata = read_tensors(path)
        prefix = next((key.removesuffix(SIGN) for key in tensors if key.endswith(SIGN)), None)
        if prefix is None:
            raise CheckpointError(f"{path} holds no extrinsic path of DualStyleGAN ({SIGN} is not among its "
                                  f"{len(tensors)} tensors). {REMEDY}")
        state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        theirs = {key.removeprefix(BASE): value for key, value in state.items() if key.startswith(BASE)}
        state = {key: value for key, value in state.items() if not key.startswith(BASE)}
        generator = infer(Generator, theirs, {}, path) if theirs else _base(path, metadata, base)
        return built(generator, state, path).to(device)


def _base(path, metadata: Mapping, base) -> Generator:
    wanted = str(metadata.get("base", "unknown"))[:12]
    if base is None:
        raise CheckpointError(f"{path} holds only the extrinsic path and needs the generator that it was trained on "
                              f"(content {wanted}); pass base=G or base='file of the base'")
    base = base if isinstance(base, Generator) else load_generator(base)
    if (content := content_hash(base)[:12]) != wanted:
        raise CheckpointError(f"{path} was trained on the generator with content {wanted}, and the base given has "
                              f"content {content}; pass the one it was trained on")
    return base


def built(generator: Generator, state: Mapping[str, Tensor], path: str | os.PathLike) -> DualStyleGAN:
    """The network of g and exactly these tensors of an extrinsic path; CheckpointError names those that disagree."""
    with torch.random.fork_rng(devices=[]):             # its first weights, which are thrown away, disturb nobody
        network = DualStyleGAN(generator)
    own = {key: value for key, value in network.state_dict().items() if not key.startswith(BASE)}
    if wrong := disagreements(own, state):
        raise CheckpointError(f"{path} is not the extrinsic path of a DualStyleGAN of {generator.resolution} px with "
                              f"{network.border} rows of structure and {network.num_ws - network.border} of colour: "
                              f"{wrong}")
    network.load_state_dict(dict(state), strict=False)
    return network.eval()


# ---------------------------------------------------------------------------------------------------------------- codes

@checked
def save_codes(path: str | os.PathLike, codes: Annotated[dict[str, object], Filled()], base: Generator,
               pictures: dict[str, object] | None = None) -> None:
    """Write codes, picture's file name -> `[num_ws, w_dim]`, as one npz; it says which base they belong to.

    pictures: of each name the example itself `[3, R, R]` in [-1, 1], to be shown later.
    """
    arrays = {f"picture/{name}": to_uint8(x[None])[0].cpu().numpy() for name, x in (pictures or {}).items()}
    for name, code in codes.items():
        if not torch.is_tensor(code) or tuple(code.shape) != (base.num_ws, base.w_dim) or not code.isfinite().all():
            raise ValueError(f"codes[{name!r}] is {list(getattr(code, 'shape', ())) or repr(code)[:40]}; wanted finite "
                             f"numbers [{base.num_ws}, {base.w_dim}]")
        arrays[f"code/{name}"] = code.detach().cpu().numpy()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, base=np.frombuffer(content_hash(base).encode(), np.uint8), **arrays)
    write_atomically(path, buffer.getbuffer())


@checked
def load_codes(path: str | os.PathLike, base: Generator) -> dict[str, Tensor]:
    """The codes in an npz of `save_codes`, name -> `[num_ws, w_dim]`, in its order; nothing in the file is run.

    Raises FileNotFoundError; CheckpointError if it is damaged, or its codes are another base's.
    """
    path = existing(Path(path))
    with reading(path, CheckpointError, "Make them with `python -m sketchgan portrait codes`."), \
            np.load(path, allow_pickle=False) as file:
        content = bytes(file["base"]).decode()
        if content != content_hash(base):
            raise CheckpointError(f"{path} holds codes of the generator with content {content[:12]}, and the base "
                                  f"given has content {content_hash(base)[:12]}; make codes for this one")
        codes = {key.removeprefix("code/"): torch.from_numpy(file[key]) for key in file.files
                 if key.startswith("code/")}
        wrong = [name for name, code in codes.items() if tuple(code.shape) != (base.num_ws, base.w_dim)
                 or code.dtype != torch.float32 or not code.isfinite().all()]
        if wrong or not codes:
            raise CheckpointError(f"{path} holds {len(codes)} codes, {len(wrong)} of them no finite float32 "
                                  f"[{base.num_ws}, {base.w_dim}]; it is damaged")
        return codes


@checked
def load_pictures(path: str | os.PathLike) -> dict[str, Tensor]:
    """The examples in an npz of `save_codes`, name -> `[3, R, R]` in [-1, 1]; empty if it was written without."""
    path = existing(Path(path))
    with reading(path, CheckpointError, "Make it with `python -m sketchgan portrait train`."), \
            np.load(path, allow_pickle=False) as file:
        return {key.removeprefix("picture/"): to_float(torch.from_numpy(file[key])[None])[0] for key in file.files
                if key.startswith("picture/")}


@checked
def save_sampler(path: str | os.PathLike, sampler: StyleSampler, base: Generator) -> None:
    """Write a sampler of styles, with the fingerprint of the base."""
    write_safetensors(path, sampler.state_dict(), {"config": {"stylesampler": sampler.config},
                                                   "base": content_hash(base)})


@checked
def load_sampler(path: str | os.PathLike, base: Generator) -> StyleSampler:
    """A sampler of styles in evaluation mode; raises FileNotFoundError, or CheckpointError as `load_portraits` does."""
    with reading(path, CheckpointError, REMEDY):
        _, metadata = read_tensors(path)
        _base(path, metadata, base)
        return load_own(StyleSampler, path, REMEDY)
