"""StyleGAN2 as NVIDIA pickles it (stylegan2-ada-pytorch, stylegan3): the same networks under other names.

Such a file holds Python source code beside the weights and expects to have it executed.  Here the pickle is only read
(`pickles`), and from it what a module is made of: parameters, buffers, submodules and plain attributes.  Layer by layer
the functions are those of `stylegan2`; what differs is how they are stored:

- ToRGB multiplies its gain into the styles, which is the same number as into the weight;
- the FIR kernels lack the gain of 4 for upsampling, and most layers carry one without using it;
- noise is one plane and one strength per layer; the mean of w is a buffer of the mapping network.
"""
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from ..nets.stylegan2 import LR_MUL_MAPPING
from .pickles import CheckpointError, Record
from .stored_tensors import Network, StoredTensor

MODULE = "torch_utils.persistence._reconstruct_persistent_obj"
TENSORFLOW = "dnnlib.tflib.network.Network"
MOST_GROUP = 2 ** 16  # samples of the minibatch standard deviation


def modules(content, path: Path) -> dict[str, Record]:
    """The networks in what was pickled, `{'G_ema': module, 'G': module, 'D': module}` or some of them.

    Raises:
        CheckpointError: if they are of TensorFlow.
    """
    held = list(content) if type(content) is tuple else [content]
    if any(type(item) is Record and item.name == TENSORFLOW for item in held):
        raise CheckpointError(f"{path} is a TensorFlow pickle of StyleGAN, and wanted is a PyTorch one: convert it "
                              f"with "
                              f"legacy.py of NVIDIA's stylegan3 repository, or look for the .pkl in its own list")
    return {key: content[key] for key in ("G_ema", "G", "D") if type(content) is dict and _is_module(content.get(key))}


def _is_module(item) -> bool:
    return (type(item) is Record and item.name == MODULE and len(item.args) == 1 and type(item.args[0]) is dict
            and type(item.args[0].get("state")) is dict and type(item.args[0].get("class_name")) is str)


def flatten(module: Record, path) -> tuple[dict[str, StoredTensor], dict[str, dict[str, Any]]]:
    """Parameters and buffers `{'synthesis.b4.const': ...}` and attributes `{'synthesis.b4': {'architecture': ...}}`."""
    tensors, attributes, queue, seen = {}, {}, [("", module)], set()
    while queue:
        prefix, item = queue.pop()
        if not _is_module(item) or id(item) in seen:
            raise CheckpointError(f"{path}: {prefix or 'a network'} is no module of NVIDIA's, or stands in two "
                                  f"places; the "
                                  f"file is damaged or made to deceive")
        seen.add(id(item))
        state = item.args[0]["state"]
        attributes[prefix.rstrip(".")] = {**state, "class_name": item.args[0]["class_name"]}
        for part in ("_parameters", "_buffers"):
            for name, value in _dict(state.get(part)).items():
                if type(value) is StoredTensor:
                    tensors[f"{prefix}{name}"] = value
        queue += [(f"{prefix}{name}.", child) for name, child in _dict(state.get("_modules")).items()
                  if child is not None]
    return tensors, attributes


def _dict(item) -> dict:
    return item if type(item) is dict else {}


# ---------------------------------------------------------------------------------------------------------------------
# Generator

def generator(module: Record, path) -> Network:
    """A pickled generator under our names; raises CheckpointError for one that ours cannot be."""
    stored, attributes = flatten(module, path)
    synthesis = attributes.get("synthesis", {})
    if any(re.match(r"synthesis\.(L\d+_|input$)", name) for name in attributes):
        raise CheckpointError(f"{path} holds a StyleGAN3 generator, and wanted is a StyleGAN2 one: StyleGAN3 has other "
                              f"layers. Take a model whose name begins with stylegan2")
    mapping = attributes.get("mapping", {})
    rate = attributes.get("mapping.fc0", {}).get("bias_gain", LR_MUL_MAPPING)
    _require(path, "a generator", c_dim=(mapping.get("c_dim", 0), 0),
             img_channels=(synthesis.get("img_channels", 3), 3),
             lr_multiplier=(rate, LR_MUL_MAPPING))
    _check_layers(attributes, "skip", path)
    tensors, changes = {}, {}
    for key, tensor in stored.items():
        name, change = _generator_name(key)
        if name:
            tensors[name] = tensor
            changes |= {name: change} if change else {}
    clamp = _conv_clamp(attributes, r"synthesis\.b\d+\.(conv\d|torgb)", path)
    return Network(tensors, dict(conv_clamp=clamp), changes, stored.get("mapping.w_avg"))


LAYER = {"weight": "conv.weight", "affine.weight": "conv.modulation.weight", "affine.bias": "conv.modulation.bias",
         "bias": "activate.bias", "noise_strength": "noise.weight", "resample_filter": "conv.blur.kernel"}


def _generator_name(key: str) -> tuple[str | None, Callable | None]:
    """Our name of a tensor of the generator, None for what we do not keep, and how to change it, if at all."""
    if match := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", key):
        return f"style.{int(match[1]) + 1}.{match[2]}", None
    if key == "synthesis.b4.const":
        return "input.input", lambda t: t[None]
    match = re.fullmatch(r"synthesis\.b(\d+)\.(?:(conv0|conv1|torgb)\.)?(.+)", key)
    if not match or int(match[1]) not in SIZES:
        return (None if key == "mapping.w_avg" else key), None
    j, layer, part = SIZES.index(int(match[1])) - 1, match[2], match[3]  # j: our number of the block, -1 at 4 px
    if layer is None:  # the block's own filter upsamples the picture
        return (f"to_rgbs.{j}.upsample.kernel" if j >= 0 and part == "resample_filter" else None), _times_4
    if layer == "torgb":
        owner = "to_rgb1" if j < 0 else f"to_rgbs.{j}"
        return f"{owner}.{'bias' if part == 'bias' else LAYER.get(part, part)}", CHANGES.get(f"rgb {part}")
    number = 2 * j + (layer == "conv1")
    if part == "noise_const":
        return f"noises.noise_{number + 1}", lambda t: t[None, None]
    if part == "resample_filter" and layer == "conv1":
        return None, None
    owner = "conv1" if j < 0 else f"convs.{number}"
    return f"{owner}.{LAYER.get(part, part)}", CHANGES.get(f"{layer} {part}")


def _times_4(t: Tensor) -> Tensor:
    return t * 4


SIZES = [2 ** i for i in range(2, 11)]
CHANGES = {"conv0 weight": lambda t: t[None], "conv1 weight": lambda t: t[None],
           "conv0 noise_strength": lambda t: t.reshape(1), "conv1 noise_strength": lambda t: t.reshape(1),
           "conv0 resample_filter": _times_4, "rgb weight": lambda t: t[None],
           "rgb bias": lambda t: t.reshape(1, -1, 1, 1)}


# ---------------------------------------------------------------------------------------------------------------------
# Discriminator

def discriminator(module: Record, path) -> Network:
    """A pickled discriminator under our names; raises like `generator`."""
    stored, attributes = flatten(module, path)
    epilogue = attributes.get("b4.mbstd", {})
    root = attributes[""]
    _require(path, "a discriminator", c_dim=(root.get("c_dim", 0), 0), img_channels=(root.get("img_channels", 3), 3),
             mbstd_num_channels=(epilogue.get("num_channels", 1), 1))
    _check_layers(attributes, "resnet", path)
    blocks = sorted((int(m[1]) for name in attributes if (m := re.fullmatch(r"b(\d+)", name))), reverse=True)
    tensors = {name: tensor for key, tensor in stored.items() if (name := _discriminator_name(key, blocks))}
    group = epilogue.get("group_size", 4)
    if group is not None and not (type(group) is int and 0 < group <= MOST_GROUP):
        raise CheckpointError(f"{path}: the group of the minibatch standard deviation is {str(group)[:40]}; the file "
                              f"is damaged")
    clamp = _conv_clamp(attributes, r"b\d+\.(fromrgb|conv\d?)", path)
    return Network(tensors, dict(conv_clamp=clamp, mbstd_group=group))


BLOCK = {"conv0.weight": "conv1.0.weight", "conv0.bias": "conv1.1.bias", "conv1.weight": "conv2.1.weight",
         "conv1.bias": "conv2.2.bias", "conv1.resample_filter": "conv2.0.kernel", "skip.weight": "skip.1.weight",
         "skip.resample_filter": "skip.0.kernel"}
ENDS = {"fromrgb.weight": "convs.0.0.weight", "fromrgb.bias": "convs.0.1.bias", "conv.weight": "final_conv.0.weight",
        "conv.bias": "final_conv.1.bias", "fc.weight": "final_linear.0.weight", "fc.bias": "final_linear.0.bias",
        "out.weight": "final_linear.1.weight", "out.bias": "final_linear.1.bias"}


def _discriminator_name(key: str, blocks: list[int]) -> str | None:
    match = re.fullmatch(r"b(\d+)\.(.+)", key)
    if not match or int(match[1]) not in blocks:
        return key
    if match[2] in ENDS:
        return ENDS[match[2]]
    if match[2] in BLOCK:
        return f"convs.{blocks.index(int(match[1])) + 1}.{BLOCK[match[2]]}"
    return None if match[2].endswith("resample_filter") else key


# ---------------------------------------------------------------------------------------------------------------------
# What our networks do not do is refused by name

def _require(path, what: str, **values) -> None:
    for name, (given, wanted) in values.items():
        if given == wanted:
            continue
        if name == "c_dim":
            raise CheckpointError(f"{path} holds {what} that is conditional (c_dim={str(given)[:20]} class labels), "
                                  f"and wanted "
                                  f"is an unconditional one: take a model that was trained without labels")
        raise CheckpointError(f"{path} holds {what} with {name}={str(given)[:40]}, and only {wanted} is known here; "
                              f"take a "
                              f"model that was trained with it")


def _check_layers(attributes: dict[str, dict], architecture: str, path) -> None:
    for name, attribute in attributes.items():
        given = attribute.get("architecture", architecture)
        if given != architecture:
            raise CheckpointError(f"{path}: {name} has the architecture {str(given)[:20]!r}, and StyleGAN2's own is "
                                  f"{architecture!r}, the only one known here")
        if attribute.get("activation", "lrelu") not in ("lrelu", "linear"):
            raise CheckpointError(f"{path}: {name} has the activation {str(attribute['activation'])[:20]!r}; only "
                                  f"lrelu is "
                                  f"known here")


def _conv_clamp(attributes: dict[str, dict], pattern: str, path) -> float | None:
    values = {name: a.get("conv_clamp") for name, a in attributes.items() if re.fullmatch(pattern, name)}
    kinds = {type(value) for value in values.values()}
    if not kinds <= {int, float, type(None)} or len(set(values.values())) > 1:
        raise CheckpointError(f"{path}: its layers clamp differently ({str(values)[:120]}); only one conv_clamp for "
                              f"all is known")
    clamp = next(iter(values.values()), None)
    if clamp is not None and not (math.isfinite(clamp) and clamp > 0):
        raise CheckpointError(f"{path}: conv_clamp is {clamp}, which lets nothing through; the file is damaged")
    return clamp
