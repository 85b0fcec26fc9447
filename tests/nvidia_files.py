"""Pickles as NVIDIA's stylegan2-ada-pytorch writes them: real names, source code inside, tensors as PyTorch pickles
them.

The classes are ours and stand in only while a file is written; afterwards nothing of theirs can be imported, so that a
reader which tried to would fail.
"""
import contextlib
import io
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import torch

SOURCE = "raise SystemExit('the source code inside of the pickle was executed')\n" + "# as long as the real one\n" * 800


class EasyDict(dict):
    """Stands for `dnnlib.util.EasyDict`."""


class Module:
    """A persistent object: its class's name, its source code and its `__dict__`."""

    def __init__(self, class_name: str, tensors: dict, modules: dict, **attributes):
        as_parameter = {key: value for key, value in tensors.items() if not key.endswith(BUFFERS)}
        self.class_name = class_name
        self.state = dict(
            training=False, _parameters=OrderedDict((k, torch.nn.Parameter(v)) for k, v in as_parameter.items()),
            _buffers=OrderedDict((k, v) for k, v in tensors.items() if k not in as_parameter),
            _non_persistent_buffers_set=set(), _backward_hooks=OrderedDict(), _modules=OrderedDict(modules),
            _init_args=(), _init_kwargs=EasyDict(attributes), weight_gain=np.float64(0.5), **attributes)

    def __reduce__(self):
        persistence = sys.modules["torch_utils.persistence"]
        meta = dict(type="class", version=6, module_src=SOURCE, class_name=self.class_name, state=self.state)
        return persistence._reconstruct_persistent_obj, (meta,), None


BUFFERS = ("resample_filter", "noise_const", "w_avg")


def _reconstruct_persistent_obj(meta):
    raise AssertionError("called while reading")


@contextlib.contextmanager
def pretended():
    """While this lasts, the stand-ins have the names that NVIDIA's code has."""
    modules = {name: types.ModuleType(name)
               for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util",
                                                         "dnnlib.tflib", "dnnlib.tflib.network")}
    places = {_reconstruct_persistent_obj: "torch_utils.persistence", EasyDict: "dnnlib.util",
              Network: "dnnlib.tflib.network"}
    for thing, module in places.items():
        setattr(modules[module], thing.__name__, thing)
    before = {thing: thing.__module__ for thing in places}
    try:
        sys.modules.update(modules)
        for thing, module in places.items():
            thing.__module__ = module
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        for thing, module in before.items():
            thing.__module__ = module


class Network:
    """Stands for the class of TensorFlow networks."""


def tree(arrays: dict[str, np.ndarray], attributes: dict[str, dict], class_name: str, prefix: str = "") -> Module:
    """Nested modules from flat names; `attributes` has those of each module under its name ('' is the root)."""
    own, parts = {}, {}
    for key, value in arrays.items():
        head, _, rest = key.partition(".")
        if rest:
            parts.setdefault(head, {})[rest] = value
        else:
            own[key] = torch.from_numpy(np.array(value))
    modules = {name: tree(part, attributes, name.title(), f"{prefix}{name}.") for name, part in parts.items()}
    if prefix == "b4." and "out" in parts:  # the discriminator's epilogue has a layer without tensors
        modules["mbstd"] = Module("MinibatchStdLayer", {}, {},
                                  **attributes.get("b4.mbstd", dict(group_size=4, num_channels=1)))
    given = attributes.get(prefix.rstrip("."), {})
    return Module(class_name, own, modules, **_layer(prefix, attributes) | given)


def _layer(prefix: str, attributes: dict[str, dict]) -> dict:
    name = prefix.rstrip(".").rpartition(".")[2]
    if name in ("conv0", "conv1", "conv", "fromrgb", "torgb"):
        return dict(conv_clamp=attributes.get("clamp"), activation="lrelu")
    if name.startswith("fc") and name != "fc":
        return dict(activation="lrelu", bias_gain=0.01)
    if name.startswith("b") and name[1:].isdigit():
        return dict(architecture="skip" if "synthesis" in prefix else "resnet", use_fp16=False)
    return {}


def generator(arrays: dict[str, np.ndarray], clamp=256, **attributes) -> Module:
    """A pickled generator; attributes of single modules as `{'mapping': dict(c_dim=10)}`."""
    sizes = dict(z_dim=arrays["mapping.fc0.weight"].shape[1], c_dim=0, img_channels=3)
    base = {"": sizes, "mapping": dict(c_dim=0), "synthesis": dict(img_channels=3), "clamp": clamp}
    return tree(arrays, base | attributes, "Generator")


def discriminator(arrays: dict[str, np.ndarray], clamp=256, **attributes) -> Module:
    """A pickled discriminator, like `generator`."""
    return tree(arrays, {"": dict(c_dim=0, img_channels=3), "clamp": clamp} | attributes, "Discriminator")


def dump(content, protocol: int = 4) -> bytes:
    """The bytes of the pickle."""
    with pretended():
        return pickle.dumps(content, protocol)


def training_pickle(G=None, D=None, G_ema=None, protocol: int = 4) -> bytes:
    """What NVIDIA's training writes: the networks, the augmentation and how the data set was opened."""
    networks = {name: network for name, network in (("G", G), ("D", D), ("G_ema", G_ema)) if network is not None}
    pipe = Module("AugmentPipe", {"p": torch.zeros(())}, {}, xflip=1)
    return dump(dict(training_set_kwargs=EasyDict(path="photos.zip", max_size=np.int64(5)), augment_pipe=pipe,
                     **networks),
                protocol)


def legacy_torch(content) -> bytes:
    """The bytes of a PyTorch file from before 1.6."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()
