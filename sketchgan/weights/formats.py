"""Every layout of a checkpoint that can be read, told apart by what is in the file and never by its name.

| file | what it holds |
|---|---|
| ours, `.safetensors` | `g_ema.*`, `d.*`, `f.*` or `delta.*`, the mean latent `w_avg`, a configuration as JSON |
| rosinality's `.pt` | dictionaries `g_ema`, `g` and `d`, and `latent_avg` |
| GANSketching's `.pth` | the bare state dict of one network: generator (W-shift included), discriminator or PhotoSketch
| | NVIDIA's `.pkl` | modules `G_ema`, `G` and `D` of stylegan2-ada-pytorch or of the stylegan3 repository's StyleGAN2 |

A state dict is known by the names of its tensors, so it may lie in wrappers (`state_dict`, `params_ema`, ...) and its
names begin with prefixes (`module.`, `generator.`, `decoder.`, ...).  Sizes are inferred from the tensors.  What
tensors do not tell (a clamp, the group of the minibatch statistics) stands in our JSON and in NVIDIA's modules; the two
layouts between have no place for it, and writing them says so.
"""
import contextlib
import dataclasses
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ..files.readers import reading
from . import nvidia
from .pickles import CheckpointError, Record
from .stored_tensors import Network, StoredTensor, open_safetensors, open_torch, read_all

# Section of a file -> what it holds, and two tensors that it always has.
SECTIONS = {"g_ema": "a generator", "g": "a generator", "d": "a discriminator", "f": "a sketcher (PhotoSketch)",
            "delta": "the mapping network of a customised generator"}
SIGNS = {"g": ("input.input", "style.1.weight"), "d": ("convs.0.0.weight", "final_conv.0.weight"),
         "f": ("model.1.weight", "model.4.weight")}
MEANS = ("w_avg", "latent_avg")
LOOKS_LIKE = {b"<": "a web page, so the download went wrong: fetch it again, in a browser if need be",
              b"version https://git-lfs": "a pointer of git-lfs: run git lfs pull, or download the file itself",
              b"\x1f\x8b": "a gzip archive: unpack it",
              b"\x89HDF": "an HDF5 file, of Keras perhaps: look for a PyTorch one",
              b"Rar!": "a RAR archive: unpack it", b"7z\xbc\xaf": "a 7z archive: unpack it", b"{": "text"}


@dataclasses.dataclass
class Contents:
    """What an open file holds.

    networks: section -> place in the file -> network.  tensors: every tensor by its flat name.  metadata: of ours.
    modules: the classes of whole modules that were pickled, of which only their own code could make use.
    """
    path: Path
    networks: dict[str, dict[str, Network]] = dataclasses.field(default_factory=dict)
    tensors: dict[str, StoredTensor] = dataclasses.field(default_factory=dict)
    metadata: dict = dataclasses.field(default_factory=dict)
    modules: list[str] = dataclasses.field(default_factory=list)

    def add(self, section: str, place: str, network: Network) -> None:
        """Note a network found at a place, '' if it is all there is."""
        self.networks.setdefault(section, {})[place] = network

    def section(self, *wanted: str) -> Network:
        """The network of the first wanted section; raises CheckpointError naming both what is there and what was
        asked."""
        for found in [self.networks[name] for name in wanted if name in self.networks]:
            if len(found) > 1:
                raise CheckpointError(f"{self.path} holds {len(found)} networks of that kind "
                                      f"({', '.join(found)[:200]}); "
                                      f"save the state_dict() of the one you mean alone, and pass that file")
            return next(iter(found.values()))
        asked = SECTIONS[wanted[0]]
        if self.modules:
            raise CheckpointError(f"{self.path} holds a whole pickled module ({self.modules[0][:80]}), which only the "
                                  f"code "
                                  f"it was made with can open; open it there and save its state_dict(): "
                                  f"torch.save(module.state_dict(), 'weights.pt')")
        if self.networks:
            held = " and ".join(dict.fromkeys(SECTIONS[name] for name in self.networks))
            raise CheckpointError(f"{self.path} holds {held}, and not {asked}; pass the file that does")
        names = [name[:60] for name in list(self.tensors)[:3]]
        nvidia_s = "synthesis.b4.const" in " ".join(self.tensors)
        hint = "NVIDIA's networks are read from their whole .pkl" if nvidia_s else (
            "check that this is the file you meant")
        raise CheckpointError(f"{self.path} is not {asked} in a layout known here: it has {len(self.tensors)} tensors "
                              f"({', '.join(names)}{', ...' if len(self.tensors) > 3 else ''}); {hint}")

    def read(self, network: Network) -> tuple[dict[str, Tensor], Tensor | None]:
        """The tensors of a network, float32 where floating and all finite, and its mean latent `[w_dim]` if it has
        one."""
        mean = {} if network.w_avg is None else {"w_avg": network.w_avg}
        tensors = read_all(network.tensors | mean, self.path)
        w_avg = tensors.pop("w_avg", None)
        if w_avg is not None:  # others keep one row for every layer
            w_avg = w_avg.reshape(-1, w_avg.shape[-1] if w_avg.ndim else 1)
            if not (w_avg == w_avg[0]).all():
                raise CheckpointError(f"{self.path} has another mean latent for each of {len(w_avg)} layers, and a "
                                      f"generator "
                                      f"here has one for all; set it with G.set_w_avg, and leave it out of the file")
        state = {key: network.changes[key](value) if key in network.changes else value
                 for key, value in tensors.items()}
        return {key: value.contiguous() for key, value in state.items()}, None if w_avg is None else w_avg[0]


@contextlib.contextmanager
def open_checkpoint(path: str | os.PathLike) -> Iterator[Contents]:
    """What a file holds, whatever it is called; no tensor is read yet and nothing of it is run.

    Raises, also for what happens while it is open:
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is damaged, made to deceive, or of another kind; the message says of which.
    """
    path = existing(path)
    with reading(path, CheckpointError), open(path, "rb") as file:
        head = file.read(512)
        file.seek(0)
        if head[8:9] == b"{":
            yield _ours(path)
        elif head[:4] == b"PK\x03\x04" or head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            yield _pickled(open_torch(file, path), path)
        else:
            raise CheckpointError(f"{path} is {_looks_like(head)}. Known are .safetensors of this project, PyTorch "
                                  f"files "
                                  f"(.pt, .pth) in the layouts of rosinality and GANSketching, and NVIDIA's StyleGAN2 "
                                  f"pickles (.pkl)")


def existing(path: str | os.PathLike) -> Path:
    """`path`, if it is a file; raises FileNotFoundError, or CheckpointError for a folder or a device."""
    path = Path(path)
    if path.is_file():
        return path
    if path.exists():
        raise CheckpointError(f"{path} is a {'folder' if path.is_dir() else 'device'}; wanted is a file of weights, "
                              f"perhaps "
                              f"one inside of it")
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
    contents, config = Contents(path, tensors=tensors, metadata=metadata), metadata.get("config")
    for section in SECTIONS:
        part = {key.removeprefix(f"{section}."): t for key, t in tensors.items() if key.startswith(f"{section}.")}
        if part:
            kind = config.get("g_ema" if section == "delta" else section) if type(config) is dict else None
            unseen = _unseen(kind, path) if type(kind) is dict else {}
            contents.add(section, section, Network(part, unseen, w_avg=_mean(tensors)))
    if not contents.networks:
        _recognise(contents, "", tensors, None)
    return contents


def _unseen(config: dict, path: Path) -> dict:
    """The arguments that no tensor tells, from a configuration that anybody may have written."""
    clamp, group = config.get("conv_clamp"), config.get("mbstd_group", 4)
    if clamp is not None and not (type(clamp) in (int, float) and 0 < clamp < math.inf):
        raise CheckpointError(f"{path} says conv_clamp={str(clamp)[:40]}; wanted is a positive number or null")
    if group is not None and not (type(group) is int and 0 < group <= nvidia.MOST_GROUP):
        raise CheckpointError(f"{path} says mbstd_group={str(group)[:40]}; wanted is an integer from 1 to "
                              f"{nvidia.MOST_GROUP} or null")
    return {key: value for key, value in (("conv_clamp", clamp), ("mbstd_group", group)) if key in config}


def _pickled(content, path: Path) -> Contents:
    """What was pickled: NVIDIA's modules, or else state dicts, which are searched through wrappers of any name."""
    contents = Contents(path)
    for name, module in nvidia.modules(content, path).items():
        network = (nvidia.discriminator if name == "D" else nvidia.generator)(module, path)
        contents.add(name.lower(), name, network)
        contents.tensors |= {f"{name.lower()}.{key}": t for key, t in network.tensors.items()}
    if contents.networks:
        return contents
    queue, seen = [("", content, None)], set()
    while queue:
        place, item, w_avg = queue.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        if type(item) is Record and type(item.state) is dict and "_modules" in item.state:
            contents.modules.append(item.name)
        elif type(item) is dict:
            tensors = {key: value for key, value in item.items() if type(key) is str and type(value) is StoredTensor}
            contents.tensors |= {f"{place}{key}": tensor for key, tensor in tensors.items()}
            w_avg = _mean(tensors) or w_avg
            _recognise(contents, place, tensors, w_avg)
            queue += [(f"{place}{key}.", value, w_avg) for key, value in item.items() if type(key) is str]
        elif not place:
            kind = item.name if type(item) is Record else type(item).__name__
            raise CheckpointError(f"{path} holds a {kind}; wanted is a dictionary, such as a state_dict()")
    return contents


def _recognise(contents: Contents, place: str, tensors: dict[str, StoredTensor], w_avg: StoredTensor | None) -> None:
    """Note the networks whose tensors are among these, after any prefix."""
    for kind, (first, second) in SIGNS.items():
        for prefix in [key.removesuffix(first) for key in tensors if key == first or key.endswith(f".{first}")]:
            if f"{prefix}{second}" not in tensors:
                continue
            part = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
            mean = _mean(part) or w_avg
            section = "g_ema" if kind == "g" and re.search("ema", f"{place}{prefix}", re.IGNORECASE) else kind
            contents.add(section, f"{place}{prefix}", Network(
                {key: tensor for key, tensor in part.items() if key not in MEANS}, w_avg=mean if kind == "g" else None))


def _mean(tensors: dict[str, StoredTensor]) -> StoredTensor | None:
    return next((tensors[name] for name in MEANS if name in tensors), None)
