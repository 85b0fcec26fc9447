"""Reading and writing networks and training states: whole files or none, checked before they are believed.

Our own format is safetensors with JSON metadata.  One file may hold a generator (keys `g_ema.*`, and its mean latent
`w_avg`), a discriminator (`d.*`) and a sketcher (`f.*`); a delta holds only the mapping network of a customised
generator and names the base it belongs to by the hash of its contents.  `formats` knows the layouts of others.
"""
import hashlib
import io
import json
import os
from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor, nn

from ..files.atomic import write_atomically
from ..files.checks import NetworkLike, Place, checked
from ..files.readers import reading
from ..nets.photosketch import PhotoSketch
from ..nets.stylegan2 import Discriminator, Generator
from .building import MAPPING, infer, rebuild
from .exporting import export
from .formats import existing, open_checkpoint
from .pickles import CheckpointError
from .stored_tensors import open_zip, read_all, require_finite

__all__ = ["CheckpointError", "MAPPING", "content_hash", "export", "load_discriminator", "load_generator",
           "load_photosketch", "load_training", "read_metadata", "read_tensors", "save", "save_delta", "save_training",
           "write_safetensors"]

PREFIX = ("g_ema", "d", "f")
TRAINING_LIMIT = 16_000_000  # bytes of a training state without its tensors: the order of a large data set may be in it


# ---------------------------------------------------------------------------------------------------------------------
# Networks: writing

@checked
def save(path: Place, G: Generator | None = None, D: Discriminator | None = None,
         F: PhotoSketch | None = None, metadata: dict | None = None) -> None:
    """Write any of a generator, a discriminator and a sketcher to one safetensors file.

    Args:
        path: file to write; by convention it ends in `.safetensors`.  For the layouts of others, see `export`.
        G, D, F: networks; of a generator, its mean latent is stored beside it.
        metadata: anything JSON can hold (how the weights were made, ...); read it back with `read_metadata`.
    Raises:
        CheckpointError: if no network is given or one has values that are not finite.
        OSError: if the disk does not take it.  In both cases the previous file stays as it was.
    """
    networks = {prefix: network for prefix, network in zip(PREFIX, (G, D, F)) if network is not None}
    if not networks:
        raise CheckpointError("save got no network; pass at least one of G=, D=, F=")
    config = {prefix: network.config for prefix, network in networks.items()}
    tensors = {f"{prefix}.{key}": value for prefix, network in networks.items()
               for key, value in network.state_dict().items()}
    if G is not None:
        tensors["w_avg"] = G.mean_w()
    write_safetensors(path, tensors, {"config": config, **(metadata or {})})


@checked
def save_delta(path: Place, G: Generator, base: Generator, metadata: dict | None = None) -> None:
    """Write only the mapping network of `G`, a customised copy of `base`: a small file that needs `base` to be read.

    Raises:
        CheckpointError: if G differs from base outside its mapping network; save it whole then.
    """
    state, state0 = G.state_dict(), base.state_dict()
    others = [key for key in sorted(state.keys() | state0.keys()) if not key.startswith(MAPPING)]
    changed = [key for key in others if key not in state or key not in state0
               or not torch.equal(state[key].cpu(), state0[key].cpu())]
    if changed:
        raise CheckpointError(f"{len(changed)} tensors outside the mapping network differ from the base "
                              f"({', '.join(changed[:3])}, ...), so a delta would lose them; use save(path, G=G)")
    tensors = {f"delta.{key}": value for key, value in state.items() if key.startswith(MAPPING)}
    tensors["w_avg"] = G.mean_w()
    write_safetensors(path, tensors, {"config": {"g_ema": G.config}, "base": content_hash(base), **(metadata or {})})


def write_safetensors(path: str | os.PathLike, tensors: Mapping[str, Tensor], metadata: Mapping) -> None:
    """Write tensors and JSON-able `metadata` as safetensors, atomically; refuses values that are not finite."""
    tensors = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    require_finite(tensors, f"refusing to write {path}", "keep the last good checkpoint")
    text = {key: json.dumps(value) for key, value in metadata.items()}
    write_atomically(path, safetensors.torch.save(tensors, metadata=text))


@checked
def content_hash(network: NetworkLike) -> str:
    """Sha256 of names, shapes and values of a network's parameters and persistent buffers, in hexadecimal."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(f"{key} {list(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# Networks: reading

@checked
def load_generator(path: Place, base: Generator | Place | None = None,
                   device: str | torch.device = "cpu") -> Generator:
    """The generator in a file, in evaluation mode.

    Args:
        path: the file, of any layout that `formats` lists: ours, a delta, rosinality's `.pt`, GANSketching's `.pth`,
            NVIDIA's `.pkl`.  The running average (`g_ema`, `G_ema`) is taken where there is one, else `g` or `G`.
        base: only for a delta: the generator, or the file, that it was saved against.
    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is damaged, made to deceive, holds something else, has values that are not finite, or is
            a delta and the base is missing or another one.  Nothing in the file is ever run.
    """
    with open_checkpoint(path) as contents:
        if "delta" in contents.networks:
            network, base = contents.section("delta"), _delta_base(path, contents.metadata, base)
        elif base is not None:
            raise CheckpointError(f"{path} holds a whole generator, not a delta; load it without base=")
        else:
            network = contents.section("g_ema", "g")
        state, w_avg = contents.read(network)
        G = infer(Generator, state, network.config, path) if base is None else rebuild(base, state, path)
        if w_avg is not None and w_avg.numel() != G.w_dim:
            raise CheckpointError(f"{path} has a mean latent of {w_avg.numel()} numbers for a generator with "
                                  f"w_dim={G.w_dim}; they do not belong together")
        G.set_w_avg(w_avg)
    return G.to(device)


@checked
def load_discriminator(path: Place, device: str | torch.device = "cpu") -> Discriminator:
    """The discriminator in a file, in evaluation mode; reads the layouts of `load_generator` and raises like it."""
    return _plain_network(Discriminator, "d", path).to(device)


@checked
def load_photosketch(path: Place, device: str | torch.device = "cpu") -> PhotoSketch:
    """The sketcher in a file, in batch-statistics mode: ours, or PhotoSketch's `.pth`; raises like `load_generator`."""
    return _plain_network(PhotoSketch, "f", path).to(device)


def _plain_network(cls: type[nn.Module], section: str, path: str | os.PathLike) -> nn.Module:
    with open_checkpoint(path) as contents:
        network = contents.section(section)
        return infer(cls, contents.read(network)[0], network.config, path)


@checked
def read_metadata(path: Place) -> dict:
    """The metadata of one of our files (`config`, and whatever `save` was given); empty for other formats."""
    with open_checkpoint(path) as contents:
        return contents.metadata


@checked
def read_tensors(path: Place) -> tuple[dict[str, Tensor], dict]:
    """Every tensor of a checkpoint under its flat name (float32 where floating), and its metadata; all finite."""
    with open_checkpoint(path) as contents:
        return read_all(contents.tensors, contents.path), contents.metadata


def _delta_base(path: str | os.PathLike, metadata: dict, base: Generator | str | os.PathLike | None) -> Generator:
    wanted = str(metadata.get("base", "unknown"))
    if base is None:
        raise CheckpointError(f"{path} is a delta: it holds only a mapping network and needs the generator it was "
                              f"made from (content {wanted[:12]}); pass base=G or base='file of the base'")
    base = base if isinstance(base, Generator) else load_generator(base)
    if content_hash(base) != wanted:
        raise CheckpointError(f"{path} is a delta of the generator with content {wanted[:12]}, and the base given has "
                              f"content {content_hash(base)[:12]}; pass the generator it was made from")
    return base


# ---------------------------------------------------------------------------------------------------------------------
# Training states

@checked
def save_training(path: Place, state: dict) -> None:
    """Write a training state (networks, optimisers, random states, counters) so that `load_training` reads it again.

    Args:
        path: file to write.
        state: nested dicts, lists and tuples of tensors, numbers, strings, bytes and None; a dataclass goes in as
            `dataclasses.asdict(config)`, a NumPy array as a tensor.
    Raises:
        CheckpointError: naming the first item of another type.
        OSError: if the disk does not take it.  In both cases the previous file stays as it was.
    """
    _require_plain(state, "state")
    # Into memory first: a disk that fills up then fails in our write, not inside PyTorch's zip writer.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getbuffer())


@checked
def load_training(path: Place) -> dict:
    """The dictionary that `save_training` wrote, with all tensors on the CPU; runs no code from the file.

    Every part of the file has a checksum, which is compared: a flipped bit is noticed.  That shapes and numbers are
    those of the networks they are meant for is for the caller to check, before any of them is used.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is damaged or holds other Python objects.
    """
    path = existing(path)
    with reading(path, CheckpointError, "use an earlier checkpoint"), open(path, "rb") as file:
        content = open_zip(file, path, whole=True, limit=TRAINING_LIMIT)
    if type(content) is not dict:
        raise CheckpointError(f"{path} holds a {type(content).__name__}; wanted is a dictionary, such as a "
                              f"state_dict()")
    return content


def _require_plain(item, name: str) -> None:
    if isinstance(item, Mapping):
        for key, value in item.items():
            _require_plain(key, f"a key of {name}")
            _require_plain(value, f"{name}[{key!r}]")
    elif isinstance(item, (list, tuple)):
        for i, value in enumerate(item):
            _require_plain(value, f"{name}[{i}]")
    elif type(item) not in (Tensor, nn.Parameter, bool, int, float, str, bytes, type(None)):
        raise CheckpointError(f"{name} is a {type(item).__module__}.{type(item).__name__}, which a checkpoint does not "
                              f"hold; turn it into tensors, numbers, strings, lists or dicts (dataclasses.asdict)")
