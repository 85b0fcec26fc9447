"""Networks from tensors: what sizes they have, whether every tensor has its place, and a base with other weights in
it."""
import os
from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..files.checks import Filled, checked
from ..nets.photosketch import PhotoSketch
from ..nets.stylegan2 import Discriminator, Generator
from .pickles import CheckpointError

MAPPING = "style."
NOISE = "noises."

MADE = {torch.randn, torch.rand, torch.empty, torch.zeros, torch.ones}
SKIPPED = {"div", "__truediv__", "uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_", "zero_",
           "fill_"}


class _Hollow(TorchFunctionMode):
    """Networks built inside have weights of no memory and draw no random numbers: the file's take their place.

    `torch.device('meta')` would do it, but the first random tensor and the first product on that device import
    PyTorch's
    compiler: seconds, and more memory than many a network.  So initialisation is skipped instead.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in MADE:
            return torch.empty(*args, **kwargs | {"device": "meta"})
        if func is torch.full:
            return torch.empty(args[0], **kwargs | {"device": "meta"})
        filled = args[0] if args else kwargs.get("tensor")
        if getattr(func, "__name__", "") in SKIPPED and isinstance(filled, Tensor) and filled.is_meta:
            return filled
        return func(*args, **kwargs)


def build(cls: type[nn.Module], config: dict, state: Mapping[str, Tensor], path: str | os.PathLike) -> nn.Module:
    """A network of `cls(**config)` holding exactly `state`, in evaluation mode; draws no random numbers of others'
    streams.

    Buffers that every network of the class has alike are computed if they are missing: FIR kernels, counters of
    batches, and the fixed noise, where there is none at all (the published 256 px file), from a seed.

    Raises:
        CheckpointError: naming the tensors that are missing, left over or of another shape.
    """
    try:
        with _Hollow():
            network = cls(**config)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path} describes a {cls.__name__} that cannot be: {str(error)[:300]}") from error
    own = network.state_dict()
    state = _computed(own, state) | dict(state)
    if wrong := disagreements(own, state):
        raise CheckpointError(f"{path} is not a {cls.__name__} with {str(config)[:300]}: {wrong}; "
                              "it was made by another architecture or is incomplete")
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def disagreements(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """In words, the tensors of a file that are missing, left over or of another shape than a network's own; '' if
    none."""
    wrong = [f"{key} is {list(given[key].shape)} instead of {list(own[key].shape)}" for key in own
             if key in given and given[key].shape != own[key].shape]
    wrong += [f"{key} is missing" for key in own if key not in given]
    wrong += [f"{key} is not part of it" for key in given if key not in own]
    return f"{len(wrong)} tensors disagree ({'; '.join(wrong[:3])}{', ...' * (len(wrong) > 3)})" if wrong else ""


def _computed(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    made = {key: value for key, value in own.items()
            if key not in given and not value.is_meta and key.endswith((".kernel", ".num_batches_tracked"))}
    if not any(key.startswith(NOISE) for key in given):
        seeded = torch.Generator().manual_seed(0)
        made |= {key: torch.randn(value.shape, generator=seeded) for key, value in own.items() if key.startswith(NOISE)}
    return made


def infer(cls: type[nn.Module], state: Mapping[str, Tensor], unseen: dict, path: str | os.PathLike) -> nn.Module:
    """The network of `cls` that `state` belongs to: sizes from the tensors, the rest from `unseen`; raises like
    `build`."""
    try:
        config = CONFIGS[cls](state, path) | unseen
    except (ValueError, IndexError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} has tensors of another number of dimensions than a {cls.__name__}'s ({error}); "
                              f"it was made by another architecture") from error
    return build(cls, config, state, path)


@checked
def rebuild(base: Generator, weights: Annotated[dict[str, Tensor], Filled()],
            path: str | os.PathLike = "the weights") -> Generator:
    """A generator like `base`, on its device, with `weights` in the place of its own; it shares no memory with either.

    Args:
        base: the generator that the weights were trained from.
        weights: those that differ, by name; a W-shift may be new.
        path: where they are from, for messages.
    Raises:
        CheckpointError: if they do not belong to such a generator.
    """
    device = next(base.parameters()).device
    state = {key: value.detach().to(device, copy=True) for key, value in (base.state_dict() | dict(weights)).items()}
    return infer(Generator, state, {"conv_clamp": base.conv_clamp}, path)


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
                              f"is not among its {len(state)} tensors (it has {', '.join(list(state)[:3])[:200]}, "
                              f"...); "
                              f"check that this is the file you meant")


CONFIGS = {Generator: generator_config, Discriminator: discriminator_config, PhotoSketch: photosketch_config}
