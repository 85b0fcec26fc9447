"""Every layout of a checkpoint that can be read, told apart by what is in the file and never by its name.

| file | what it holds |
|---|---|
| ours, `.safetensors` | `g_ema.*`, `d.*`, `f.*` or `delta.*`, the mean latent `w_avg`, a configuration as JSON |
| rosinality's `.pt` | dictionaries `g_ema`, `g` and `d`, and `latent_avg` |
| GANSketching's `.pth` | the bare state dict of one network: generator (W-shift included), discriminator or PhotoSketch |
| NVIDIA's `.pkl` | modules `G_ema`, `G` and `D` of stylegan2-ada-pytorch or of the stylegan3 repository's StyleGAN2 |

Sizes are inferred from the tensors.  What tensors do not tell (a clamp, the group of the minibatch statistics) stands in
our JSON and in NVIDIA's modules; the two layouts between have no place for it, and writing them says so.
"""
import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..nets.photosketch import PhotoSketch
from ..nets.stylegan2 import Discriminator, Generator
from . import nvidia
from .pickles import CheckpointError, Record
from .stored_tensors import LEGACY_MAGIC, Network, StoredTensor, open_safetensors, open_torch, read_all

# Section of a file -> what it holds.
SECTIONS = {"g_ema": "a generator", "g": "a generator", "d": "a discriminator", "f": "a sketcher (PhotoSketch)",
            "delta": "the mapping network of a customised generator"}
MEANS = ("w_avg", "latent_avg")
LOOKS_LIKE = {b"<": "a web page, so the download went wrong: fetch it again, in a browser if need be",
              b"version https://git-lfs": "a pointer of git-lfs: run git lfs pull, or download the file itself",
              b"\x1f\x8b": "a gzip archive: unpack it", b"\x89HDF": "an HDF5 file, of Keras perhaps: look for a PyTorch one",
              b"Rar!": "a RAR archive: unpack it", b"7z\xbc\xaf": "a 7z archive: unpack it", b"{": "text"}


@dataclasses.dataclass
class Contents:
    """What a file holds: networks by section, every tensor by its flat name, and the metadata of ours."""
    path: Path
    networks: dict[str, Network]
    tensors: dict[str, StoredTensor]
    metadata: dict

    def section(self, *wanted: str) -> Network:
        """The first of the wanted sections that is there; raises CheckpointError naming both what is and what was asked."""
        for name in wanted:
            if name in self.networks:
                return self.networks[name]
        asked = SECTIONS[wanted[0]]
        if self.networks:
            held = " and ".join(dict.fromkeys(SECTIONS[name] for name in self.networks))
            raise CheckpointError(f"{self.path} holds {held}, and not {asked}; pass the file that does")
        names = [name[:60] for name in list(self.tensors)[:3]]
        raise CheckpointError(f"{self.path} is not {asked} in a layout known here: it has {len(self.tensors)} tensors "
                              f"({', '.join(names)}{', ...' if len(self.tensors) > 3 else ''}); check that this is the file "
                              f"you meant")

    def read(self, network: Network) -> tuple[dict[str, Tensor], Tensor | None]:
        """The tensors of a network, float32 where floating and all finite, and the mean latent if there is one."""
        with open(self.path, "rb") as file:
            mean = {} if network.w_avg is None else {"w_avg": network.w_avg}
            tensors = read_all(network.tensors | mean, file, self.path)
        w_avg = tensors.pop("w_avg", None)
        try:
            state = {key: network.changes[key](value) if key in network.changes else value for key, value in tensors.items()}
        except (RuntimeError, IndexError) as error:
            raise CheckpointError(f"{self.path} has tensors of unknown shapes ({error}); it is damaged") from error
        return {key: value.contiguous() for key, value in state.items()}, w_avg


# ---------------------------------------------------------------------------------------------------------------------
# Recognising

def open_checkpoint(path: str | os.PathLike) -> Contents:
    """What a file holds, whatever it is called; no tensor is read yet and nothing of it is run.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is damaged, made to deceive, or of another kind; the message says of which.
    """
    path = existing(path)
    with open(path, "rb") as file:
        head = file.read(512)
    if head[8:9] == b"{":
        return _ours(path)
    legacy = head[:2] == b"\x80\x02" and head[2:14] == b"\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")
    if head[:4] == b"PK\x03\x04" or legacy:
        return _public(path)
    if head[:1] == b"\x80" and len(head) > 1 and 2 <= head[1] <= 5:
        return _nvidia(path)
    raise CheckpointError(f"{path} is {_looks_like(head)}. Known are .safetensors of this project, PyTorch files (.pt, .pth) in "
                          f"the layouts of rosinality and GANSketching, and NVIDIA's StyleGAN2 pickles (.pkl)")


def existing(path: str | os.PathLike) -> Path:
    """`path`, if it is a file; raises FileNotFoundError, or CheckpointError for a folder or a device."""
    path = Path(path)
    if path.is_file():
        return path
    if path.exists():
        raise CheckpointError(f"{path} is a {'folder' if path.is_dir() else 'device'}; wanted is a file of weights, perhaps one "
                              f"inside of it")
    raise FileNotFoundError(f"there is no file {path}; check the path, or train or fetch the weights first "
                            f"(data/README.md says how)")


def _looks_like(head: bytes) -> str:
    if not head:
        return "empty: it was cut short or damaged"
    if head[257:262] == b"ustar":
        return "a tar archive, or a PyTorch file from before 2018: unpack it, or open and save it with PyTorch 1.x"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return next((what for start, what in LOOKS_LIKE.items() if text.startswith(start)), "no checkpoint known here")


def _ours(path: Path) -> Contents:
    tensors, metadata = open_safetensors(path)
    config = metadata.get("config")
    networks = {}
    for section in SECTIONS:
        part = {key.removeprefix(f"{section}."): t for key, t in tensors.items() if key.startswith(f"{section}.")}
        if part:
            kind = config.get("g_ema" if section == "delta" else section) if type(config) is dict else None
            unseen = _unseen(kind, path) if type(kind) is dict else {}
            networks[section] = Network(part, unseen, w_avg=_mean(tensors))
    return Contents(path, networks or _bare(tensors), tensors, metadata)


def _unseen(config: dict, path: Path) -> dict:
    """The arguments that no tensor tells, from a configuration that anybody may have written."""
    clamp, group = config.get("conv_clamp"), config.get("mbstd_group", 4)
    if clamp is not None and not (type(clamp) in (int, float) and 0 < clamp < math.inf):
        raise CheckpointError(f"{path} says conv_clamp={str(clamp)[:40]}; wanted is a positive number or null")
    if group is not None and not (type(group) is int and group > 0):
        raise CheckpointError(f"{path} says mbstd_group={str(group)[:40]}; wanted is a positive integer or null")
    return {key: value for key, value in (("conv_clamp", clamp), ("mbstd_group", group)) if key in config}


def _public(path: Path) -> Contents:
    content = open_torch(path)
    if type(content) is not dict:
        kind = content.name if type(content) is Record else type(content).__name__
        raise CheckpointError(f"{path} holds a {kind}; wanted is a dictionary, such as a state_dict()")
    flat, networks = _tensors(content), {}
    for section in ("g_ema", "g", "d", "f"):
        part = _tensors(content.get(section))
        if part:
            networks[section] = Network(part, w_avg=_mean(flat))
            flat |= {f"{section}.{key}": t for key, t in part.items()}
    return Contents(path, networks or _bare(flat), flat, {})


def _tensors(item) -> dict[str, StoredTensor]:
    if type(item) is not dict:
        return {}
    return {key: value.tensor for key, value in item.items()
            if type(key) is str and type(value) is Record and value.tensor is not None}


def _mean(tensors: dict[str, StoredTensor]) -> StoredTensor | None:
    return next((tensors[name] for name in MEANS if name in tensors), None)


def _bare(tensors: dict[str, StoredTensor]) -> dict[str, Network]:
    """The one network of a bare state dict, by the names of its tensors; nothing if they are strange."""
    signs = {"g": ("input.input", "style.1.weight"), "d": ("convs.0.0.weight", "final_conv.0.weight"),
             "f": ("model.1.weight", "model.4.weight")}
    kind = next((kind for kind, keys in signs.items() if all(key in tensors for key in keys)), None)
    part = {key: tensor for key, tensor in tensors.items() if key not in MEANS}
    return {kind: Network(part, w_avg=_mean(tensors))} if kind else {}


def _nvidia(path: Path) -> Contents:
    networks = {name.lower(): (nvidia.discriminator if name == "D" else nvidia.generator)(module, path)
                for name, module in nvidia.open_pickle(path).items()}
    flat = {f"{section}.{key}": t for section, network in networks.items() for key, t in network.tensors.items()}
    return Contents(path, networks, flat, {})


# ---------------------------------------------------------------------------------------------------------------------
# Building

SKIPPED = {"div", "__truediv__", "uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_"}


class _Hollow(TorchFunctionMode):
    """Networks built inside have weights of no memory and draw no random numbers: the file's take their place.

    `torch.device('meta')` would do it, but the first random tensor and the first product on that device import PyTorch's
    compiler: seconds, and more memory than many a network.  So initialisation is skipped instead.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.randn, torch.empty):
            return torch.empty(*args, **kwargs | {"device": "meta"})
        filled = args[0] if args else kwargs.get("tensor")
        if getattr(func, "__name__", "") in SKIPPED and isinstance(filled, Tensor) and filled.is_meta:
            return filled
        return func(*args, **kwargs)


def build(cls: type[nn.Module], config: dict, state: dict[str, Tensor], path: str | os.PathLike) -> nn.Module:
    """A network of `cls(**config)` holding exactly `state`, in evaluation mode; draws no random numbers.

    Raises:
        CheckpointError: naming the tensors that are missing, left over or of another shape.
    """
    try:
        with _Hollow():
            network = cls(**config)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path} describes a {cls.__name__} that cannot be: {str(error)[:300]}") from error
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


def infer(cls: type[nn.Module], state: dict[str, Tensor], unseen: dict, path: str | os.PathLike) -> nn.Module:
    """The network of `cls` that `state` belongs to: sizes from the tensors, the rest from `unseen`; raises like `build`."""
    try:
        config = CONFIGS[cls](state, path) | unseen
    except (ValueError, IndexError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} has tensors of another number of dimensions than a {cls.__name__}'s ({error}); "
                              f"it was made by another architecture") from error
    return build(cls, config, state, path)


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


CONFIGS = {Generator: generator_config, Discriminator: discriminator_config, PhotoSketch: photosketch_config}


# ---------------------------------------------------------------------------------------------------------------------
# Writing the public layouts

FORMATS = {"rosinality": "rosinality's stylegan2-pytorch", "gansketching": "GANSketching"}


def public_layout(format: str, G: Generator | None, D: Discriminator | None, F: PhotoSketch | None,
                  without: tuple[str, ...]) -> dict:
    """What `torch.save` writes so that the program of that layout reads it; see `checkpoints.export`.

    Raises:
        CheckpointError: naming everything that the layout has no place for and `without` does not give up.
    """
    networks = {name: network for name, network in (("g_ema", G), ("d", D), ("f", F)) if network is not None}
    if format not in FORMATS:
        raise CheckpointError(f"format={format!r} is not known; choose one of {', '.join(map(repr, FORMATS))}, or use save()")
    single = format == "gansketching"
    if not networks or single and len(networks) > 1 or not single and F is not None:
        wants = "exactly one of G=, D=, F=: it holds one network" if single else "G=, D= or both: it has no place for F"
        raise CheckpointError(f"{FORMATS[format]}'s layout wants {wants}; got {', '.join(networks) or 'none'}. "
                              f"Call export once for each file")
    lost = {} if F is not None else _lost(format, G, D)
    kept = {name: why for name, why in lost.items() if name not in without or name in ("z_dim", "w_shift")}
    if kept:
        may = [name for name in kept if name not in ("z_dim", "w_shift")]
        accept = f", or accept the loss with without={tuple(may)}" if len(may) == len(kept) else ""
        raise CheckpointError(f"{FORMATS[format]}'s layout cannot hold this network; lost would be: "
                              f"{'; '.join(kept.values())}. Use save(), which keeps everything{accept}")
    states = {name: {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
              for name, network in networks.items()}
    if single:
        return next(iter(states.values()))
    return states | ({"latent_avg": G.mean_w().detach().cpu().clone()} if G is not None else {})


def _lost(format: str, G: Generator | None, D: Discriminator | None) -> dict[str, str]:
    """What a layout has no place for: name -> in words."""
    lost = {}
    for network in filter(None, (G, D)):
        if network.conv_clamp is not None:
            lost["conv_clamp"] = f"conv_clamp={network.conv_clamp:g}, the clamp of every layer"
    if D is not None and D.mbstd_group != 4:
        lost["mbstd_group"] = f"mbstd_group={D.mbstd_group}, where its D always takes 4"
    if G is not None and G.z_dim != G.w_dim:
        lost["z_dim"] = f"z_dim={G.z_dim}: it has one size for z and w, which is {G.w_dim} here"
    if G is not None and format == "rosinality" and G.config["w_shift"]:
        lost["w_shift"] = "the shift of w, which only GANSketching's layout has"
    if G is not None and format == "gansketching" and not G.w_avg_is_measured():
        lost["w_avg"] = "w_avg, the mean latent that came with the model (it is not the one that samples of z give)"
    return lost
