"""Reading and writing networks and training states: whole files or none, checked before they are believed.

Our own format is safetensors with JSON metadata.  One file may hold a generator (keys `g_ema.*`, and its mean latent
`w_avg`), a discriminator (`d.*`) and a sketcher (`f.*`); a delta holds only the mapping network of a customised
generator and names the base it belongs to by the hash of its contents.  Bare PyTorch state dicts (`.pt`, `.pth`) in
the public layout are read too.  Sizes are inferred from the tensors, never assumed.
"""
import contextlib
import glob
import hashlib
import io
import json
import os
import pickle
import secrets
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from .photosketch import PhotoSketch
from .stylegan2 import Discriminator, Generator

PREFIX = {"g_ema": "a generator", "d": "a discriminator", "f": "a sketcher"}
MAPPING = "style."


class CheckpointError(ValueError):
    """A file is not what was asked for, is damaged, or must not be written; the message says what to do."""


# ---------------------------------------------------------------------------------------------------------------------
# Files, whole or not at all

def write_atomically(path: str | os.PathLike, data: bytes | memoryview) -> None:
    """Make `path` hold `data`; whatever happens before the end, the previous file stays as it was.

    The bytes go to a temporary name beside `path`, reach the disk (fsync), and then take its name in one step.

    Raises:
        OSError: if they cannot be written (full disk, no permission); the temporary file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        kept = "the previous file is untouched" if path.exists() else "nothing was left behind"
        raise OSError(error.errno, f"could not write {path} ({len(data):,} bytes): {error.strerror}; {kept}. "
                                   f"Free some space or choose another folder, and save again") from error
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)
    # A process killed while writing leaves its partial file; a day later nobody can still be writing it.
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - stale.stat().st_mtime > 86400:
                stale.unlink()


def _sync_folder(folder: Path) -> None:
    # The new name is safe against a power cut only when the folder is on the disk too; Windows has no such call.
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _existing(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; check the path, or train or fetch the weights first "
                                f"(data/README.md says how)")
    return path


# ---------------------------------------------------------------------------------------------------------------------
# Networks: writing

def save(path: str | os.PathLike, G: Generator | None = None, D: Discriminator | None = None,
         F: PhotoSketch | None = None, metadata: Mapping | None = None) -> None:
    """Write any of a generator, a discriminator and a sketcher to one safetensors file.

    Args:
        path: file to write; by convention it ends in `.safetensors`.
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


def save_delta(path: str | os.PathLike, G: Generator, base: Generator, metadata: Mapping | None = None) -> None:
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
    _require_finite(tensors, f"refusing to write {path}", "keep the last good checkpoint")
    text = {key: json.dumps(value) for key, value in metadata.items()}
    write_atomically(path, safetensors.torch.save(tensors, metadata=text))


def content_hash(network: nn.Module) -> str:
    """Sha256 of names, shapes and values of a network's parameters and persistent buffers, in hexadecimal."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(f"{key} {list(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# Networks: reading

def load_generator(path: str | os.PathLike, base: Generator | str | os.PathLike | None = None,
                   device: str | torch.device = "cpu") -> Generator:
    """The generator in a file, in evaluation mode: ours, a delta, or a public `.pt`/`.pth`.

    Args:
        path: the file.  Of a public training checkpoint, `g_ema` and `latent_avg` are taken.
        base: only for a delta: the generator, or the file, that it was saved against.
    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is damaged, holds something else, has values that are not finite, or is a delta and the
            base is missing or another one.
    """
    tensors, metadata = read_tensors(path)
    if any(key.startswith("delta.") for key in tensors):
        state, base_state = _section(tensors, "delta", path), _delta_base(path, metadata, base)
        state = {key: value for key, value in base_state.items() if not key.startswith(MAPPING)} | state
    elif base is not None:
        raise CheckpointError(f"{path} holds a whole generator, not a delta; load it without base=")
    else:
        state = _section(tensors, "g_ema", path)
    G = build(Generator, generator_config(state, path), state, path).to(device)
    w_avg = tensors.get("w_avg", tensors.get("latent_avg"))
    G.set_w_avg(None if w_avg is None else w_avg.reshape(-1))
    return G


def load_discriminator(path: str | os.PathLike, device: str | torch.device = "cpu") -> Discriminator:
    """The discriminator in a file, in evaluation mode; raises like `load_generator`."""
    state = _section(read_tensors(path)[0], "d", path)
    return build(Discriminator, discriminator_config(state, path), state, path).to(device)


def load_photosketch(path: str | os.PathLike, device: str | torch.device = "cpu") -> PhotoSketch:
    """The sketcher in a file, in batch-statistics mode; raises like `load_generator`."""
    state = _section(read_tensors(path)[0], "f", path)
    # Files from before PyTorch 0.4.1 lack the counters.
    for key in [key for key in state if key.endswith("running_mean")]:
        state.setdefault(key.replace("running_mean", "num_batches_tracked"), torch.zeros((), dtype=torch.int64))
    return build(PhotoSketch, photosketch_config(state, path), state, path).to(device)


def load_own(cls: type[nn.Module], path: str | os.PathLike, remedy: str, device: str | torch.device = "cpu") -> nn.Module:
    """A network of `cls` from one of our files, whose metadata says how to build it, in evaluation mode.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is damaged or holds something else; the message ends with `remedy`.
    """
    tensors, metadata = read_tensors(path)
    kind, config = cls.__name__.lower(), metadata.get("config", {})
    if kind not in config:
        raise CheckpointError(f"{path} holds no {kind} (it holds {', '.join(config) or 'no network of ours'}). {remedy}")
    return build(cls, config[kind], tensors, path).to(device)


def read_metadata(path: str | os.PathLike) -> dict:
    """The metadata of one of our files (`config`, and whatever `save` was given); empty for other formats."""
    return read_tensors(path)[1]


def _delta_base(path: str | os.PathLike, metadata: dict, base: Generator | str | os.PathLike | None) -> dict:
    wanted = str(metadata.get("base", "unknown"))
    if base is None:
        raise CheckpointError(f"{path} is a delta: it holds only a mapping network and needs the generator it was "
                              f"made from (content {wanted[:12]}); pass base=G or base='file of the base'")
    base = base if isinstance(base, Generator) else load_generator(base)
    if content_hash(base) != wanted:
        raise CheckpointError(f"{path} is a delta of the generator with content {wanted[:12]}, and the base given has "
                              f"content {content_hash(base)[:12]}; pass the generator it was made from")
    return {key: value.cpu() for key, value in base.state_dict().items()}


def _section(tensors: dict[str, Tensor], prefix: str, path: str | os.PathLike) -> dict[str, Tensor]:
    """The tensors under `prefix.`, or all of them if the file has no prefixes at all (a bare state dict)."""
    present = [p for p in (*PREFIX, "delta") if any(key.startswith(f"{p}.") for key in tensors)]
    if prefix in present:
        return {key.removeprefix(f"{prefix}."): v for key, v in tensors.items() if key.startswith(f"{prefix}.")}
    if present:
        found = ", ".join(PREFIX.get(p, "the mapping network of a customised generator") for p in present)
        raise CheckpointError(f"{path} holds {found}, and not {PREFIX[prefix]}; pass the file that does")
    return {key: value for key, value in tensors.items() if key not in ("w_avg", "latent_avg")}


def build(cls: type[nn.Module], config: dict, state: dict[str, Tensor], path: str | os.PathLike) -> nn.Module:
    """A network of `cls(**config)` holding exactly `state`, in evaluation mode; draws no random numbers.

    Raises:
        CheckpointError: naming the tensors that are missing, left over or of another shape.
    """
    with torch.device("meta"):
        network = cls(**config)
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    wrong = [f"{key} is {list(given[key])} instead of {list(wanted[key])}" for key in wanted
             if key in given and given[key] != wanted[key]]
    wrong += [f"{key} is missing" for key in wanted if key not in given]
    wrong += [f"{key} is not part of it" for key in given if key not in wanted]
    if wrong:
        raise CheckpointError(f"{path} is not a {cls.__name__} with {config}: {len(wrong)} tensors disagree "
                              f"({'; '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''}); "
                              f"it was made by another architecture or is incomplete")
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


# ---------------------------------------------------------------------------------------------------------------------
# Sizes from tensors

def generator_config(state: Mapping[str, Tensor], path: str | os.PathLike) -> dict:
    """The arguments of the `Generator` that `state` belongs to."""
    _require_keys(state, ("style.1.weight", "input.input", "conv1.conv.weight"), "generator", path)
    w_dim, z_dim = state["style.1.weight"].shape
    blocks = _count(state, "to_rgbs.{}.conv.weight")
    channels = {4: state["input.input"].shape[1]}
    for j in range(blocks):
        _require_keys(state, (f"convs.{2 * j}.conv.weight",), "generator", path)
        channels[8 * 2 ** j] = state[f"convs.{2 * j}.conv.weight"].shape[1]
    return dict(resolution=4 * 2 ** blocks, z_dim=z_dim, w_dim=w_dim, num_mapping=_count(state, "style.{}.weight", 1),
                channels=channels, w_shift=any(key.endswith("w_shift") for key in state))


def discriminator_config(state: Mapping[str, Tensor], path: str | os.PathLike) -> dict:
    """The arguments of the `Discriminator` that `state` belongs to."""
    _require_keys(state, ("convs.0.0.weight", "convs.1.conv1.0.weight", "final_conv.0.weight"), "discriminator", path)
    blocks = _count(state, "convs.{}.skip.1.weight", 1)
    resolution = 4 * 2 ** blocks
    channels = {resolution // 2 ** i: state[f"convs.{i}.skip.1.weight"].shape[0] for i in range(1, blocks + 1)}
    return dict(resolution=resolution, channels={resolution: state["convs.0.0.weight"].shape[0]} | channels)


def photosketch_config(state: Mapping[str, Tensor], path: str | os.PathLike) -> dict:
    """The arguments of the `PhotoSketch` that `state` belongs to."""
    _require_keys(state, ("model.1.weight", "model.7.weight"), "PhotoSketch network", path)
    return dict(ngf=state["model.1.weight"].shape[0], n_blocks=_count(state, "model.{}.conv_block.1.weight", 10))


def _count(state: Mapping[str, Tensor], pattern: str, start: int = 0) -> int:
    n = 0
    while pattern.format(start + n) in state:
        n += 1
    return n


def _require_keys(state: Mapping[str, Tensor], keys: tuple[str, ...], what: str, path: str | os.PathLike) -> None:
    missing = [key for key in keys if key not in state]
    if missing:
        raise CheckpointError(f"{path} is not a {what} in the layout of the public PyTorch checkpoints: {missing[0]} "
                              f"is not among its {len(state)} tensors (it has {', '.join(list(state)[:3])}, ...); "
                              f"check that this is the file you meant")


def _require_finite(tensors: Mapping[str, Tensor], what: str, remedy: str) -> None:
    bad = [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise CheckpointError(f"{what}: {len(bad)} of {len(tensors)} tensors have values that are NaN or infinite "
                              f"({', '.join(bad[:3])}); {remedy}")


# ---------------------------------------------------------------------------------------------------------------------
# Formats.  A reader gives (flat tensors, metadata); another format is another line of READERS.

def read_tensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict]:
    """Every tensor of a checkpoint under its flat name (float32 where floating), and its metadata; all finite."""
    path = _existing(path)
    if path.suffix not in READERS:
        raise CheckpointError(f"{path} ends in {path.suffix!r}; known are {', '.join(READERS)}")
    tensors, metadata = READERS[path.suffix](path)
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    _require_finite(tensors, f"{path} is damaged", "use an earlier checkpoint")
    return tensors, metadata


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            text = file.metadata() or {}
            # Copies, so that nothing in memory hangs on the file, which somebody may overwrite.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}); it was cut short or damaged: "
                              f"copy, fetch or train it again") from error
    return tensors, {key: _json_or_text(value) for key, value in text.items()}


def _json_or_text(value: str):
    try:
        return json.loads(value)
    except ValueError:
        return value


def _read_torch(path: Path) -> tuple[dict[str, Tensor], dict]:
    content = load_training(path)
    # A public training checkpoint is {'g_ema': {...}, 'd': {...}, 'latent_avg': tensor, ...}, a bare one {key: tensor}.
    flat = {}
    for key, value in content.items():
        if isinstance(value, Tensor):
            flat[key] = value
        elif isinstance(value, Mapping) and key in PREFIX:
            flat |= {f"{key}.{name}": v for name, v in value.items() if isinstance(v, Tensor)}
    return flat, {}


READERS = {".safetensors": _read_safetensors, ".pt": _read_torch, ".pth": _read_torch}


# ---------------------------------------------------------------------------------------------------------------------
# Training states

def save_training(path: str | os.PathLike, state: Mapping) -> None:
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


def load_training(path: str | os.PathLike) -> dict:
    """The dictionary that `save_training` wrote, with all tensors on the CPU; runs no code from the file.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is damaged or holds other Python objects.
    """
    path = _existing(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} is damaged, or holds Python objects beyond tensors and plain containers, which "
                              f"could run code and are not read; save a bare state_dict() instead") from error
    except (RuntimeError, EOFError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is not a whole PyTorch file: it was cut short or damaged; use an earlier "
                              f"checkpoint") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; wanted is a dictionary, such as a "
                              f"state_dict()")
    return dict(content)


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
