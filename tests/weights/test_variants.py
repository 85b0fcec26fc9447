"""Checkpoints as the field writes them, files that promise too much, and broken copies of every format by the
hundred."""
import argparse
import io
import json
import pathlib
import struct
import time
import types

import pytest
import torch

from sketchgan.nets.judge import Judge
from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Discriminator, Generator, minibatch_stddev
from sketchgan.weights import (
    CheckpointError,
    load_discriminator,
    load_generator,
    load_judge,
    load_photosketch,
    load_training,
    rebuild,
    save,
    save_delta,
    save_training,
)
from tests import nvidia_files
from tests.fuzz import assert_survives
from tests.weights.test_formats import small_nvidia

CHANNELS = {4: 3, 8: 2}


def generator(seed=0, **changes):
    torch.manual_seed(seed)
    return Generator(**dict(resolution=8, z_dim=3, w_dim=4, num_mapping=2, channels=CHANNELS) | changes).eval()


class Options:
    """Somebody's own class of options, a list and a dictionary in one."""

    def __reduce__(self):
        return (Options, (), {"lr": 1}, iter([1, 2]), iter([(pathlib.Path("key"), types.SimpleNamespace(a=1))]))

    append = __setitem__ = lambda self, *what: None


def without(state, *ends):
    return {key: value for key, value in state.items() if not key.startswith(ends) and not key.endswith(ends)}


def prefixed(prefix, state):
    return {f"{prefix}{key}": value for key, value in state.items()}


VARIANTS = {
    "without noise (the published 256 px file)": lambda s: {"g_ema": without(s, "noises")},
    "without what can be computed": lambda s: without(s, "noises", ".kernel"),
    "options with a path": lambda s: {"g_ema": s, "args": argparse.Namespace(path=pathlib.Path("/data"))},
    "options of a class of one's own": lambda s: {"g_ema": s, "config": Options(), "when": types.SimpleNamespace(lr=1)},
    "a function among the options": lambda s: {
        "g_ema": s, "args": argparse.Namespace(loss=torch.nn.functional.mse_loss)},
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "params_ema": lambda s: {"params_ema": s, "params": prefixed("", generator(1).state_dict())},
    "DataParallel": lambda s: prefixed("module.", s),
    "compiled": lambda s: {"netG": prefixed("_orig_mod.", s)},
    "a part of a larger network": lambda s: {"state_dict": prefixed("generator.", s) | {"encoder.a": torch.ones(2)}},
    "wrappers in wrappers": lambda s: {"models": {"netG": {"weights": prefixed("module.", s)}}, "step": 1},
    "a parameter for each tensor": lambda s: {key: torch.nn.Parameter(value) for key, value in s.items()},
}


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_checkpoints_as_the_field_writes_them(tmp_path, name):
    G, z = generator(), torch.randn(2, 3)
    torch.save(VARIANTS[name](G.state_dict()), tmp_path / "a.pt")
    first, again = load_generator(tmp_path / "a.pt"), load_generator(tmp_path / "a.pt")
    assert torch.equal(first(z, noise_mode="none"), G(z, noise_mode="none"))
    assert torch.equal(first(z, noise_mode="const"),
                       again(z, noise_mode="const")), "computed noise is the same each time"


def test_mean_latents_of_every_shape(tmp_path):
    G, mean = generator(), torch.arange(4.0)
    for given in (mean, mean[None], mean.expand(6, 4), mean.expand(1, 6, 4)):
        torch.save({"state_dict": prefixed("decoder.", G.state_dict()), "latent_avg": given.clone()}, tmp_path / "a.pt")
        assert torch.equal(load_generator(tmp_path / "a.pt").mean_w(), mean)
    torch.save({"g_ema": G.state_dict(), "latent_avg": torch.randn(6, 4)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="another mean latent for each of 6 layers.*set_w_avg"):
        load_generator(tmp_path / "a.pt")


@pytest.mark.parametrize("content, words", [
    (lambda G: G, "whole pickled module.*Generator.*save its state_dict()"),
    (lambda G: {"epoch": 1, "ema": torch.nn.DataParallel(G)},
     "whole pickled module.*DataParallel.*save its state_dict()"),
    (lambda G: {"a": G.state_dict(), "b": generator(1).state_dict()}, "2 networks of that kind .a., b..*state_dict"),
    (lambda G: {"synthesis.b4.const": torch.ones(3, 4, 4)}, "NVIDIA's networks are read from their whole .pkl"),
    (lambda G: without(G.state_dict(), "noise_1"), "noises.noise_1 is missing"),
    (lambda G: G.state_dict() | {"input.input": torch.empty(1, 400_000_000, 0, 4)}, "input.input as of shape"),
    (lambda G: G.state_dict() | {"input.input": torch.ones((1,) * 60)}, "input.input|beyond its numbers"),
])
def test_what_cannot_be_unwrapped_is_named(tmp_path, content, words):
    torch.save(content(generator()), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=words):
        load_generator(tmp_path / "a.pt")


def test_rebuild_shares_nothing_and_leaves_the_random_stream_alone():
    base, weights = generator(conv_clamp=9.0), {"style.3.w_shift": torch.ones(1, 4), "style.1.bias": torch.ones(4)}
    before = torch.get_rng_state()
    G = rebuild(base, weights)
    assert torch.equal(torch.get_rng_state(), before) and G.config == base.config | {"w_shift": True}
    assert torch.equal(G.style[3].w_shift, weights["style.3.w_shift"])
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.zero_()
    assert base.input.input.any() and weights["style.1.bias"].all()
    with pytest.raises(CheckpointError, match="style.1.bias is .2. instead of .4."):
        rebuild(base, {"style.1.bias": torch.ones(2)})


# ---------------------------------------------------------------------------------------------------------------------
# Files that promise too much

def safetensors_file(tensors: dict[str, list[int]], **metadata) -> bytes:
    """Empty or one-byte tensors of any shape, and any metadata."""
    header = {key: {"dtype": "U8", "shape": shape, "data_offsets": [0, 0 if 0 in shape else 1]}
              for key, shape in tensors.items()}
    text = json.dumps(header | {"__metadata__": {key: json.dumps(value) for key, value in metadata.items()}}).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * (0 if all(0 in shape for shape in tensors.values()) else 1)


JUDGE = dict(categories=["cat"], targets=[], predicates=[], widths=[400_000_000] * 4, dim=400_000_000)


@pytest.mark.parametrize("data, load, words", [
    (safetensors_file({"input.input": [1] * 200_000}), load_generator, "200000 dimensions"),
    (safetensors_file({"d.x": [1]}, config={"d": {"mbstd_group": 10 ** 18}}), load_discriminator,
     "mbstd_group=1000000000"),
    (safetensors_file({"g_ema.x": [1]}, config={"g_ema": {"conv_clamp": float("nan")}}), load_generator,
     "conv_clamp=nan"),
    (safetensors_file({"stem.weight": [1]}, config={"judge": JUDGE}), load_judge,
     "sizes that its 1 numbers cannot fill"),
    (safetensors_file({"stem.weight": [1]}, config={"judge": JUDGE | {"widths": "xx"}}), load_judge, "judge|Judge"),
    (safetensors_file({"stem.weight": [1]}, config=[[1]]), load_judge, "holds no judge"),
    (safetensors_file({"stem.weight": [400_000_000, 0]}, config={"judge": JUDGE}), load_judge,
     "stem.weight as of shape"),
])
def test_small_files_ask_for_little(tmp_path, data, load, words):
    (tmp_path / "a.safetensors").write_bytes(data)
    began = time.process_time()
    with pytest.raises(CheckpointError, match=words):
        load(tmp_path / "a.safetensors")
    assert time.process_time() - began < 2


def test_a_group_larger_than_the_batch_costs_nothing():
    x, began = torch.randn(4, 2, 4, 4), time.process_time()
    assert torch.equal(minibatch_stddev(x, 10 ** 9), minibatch_stddev(x, 4)) and time.process_time() - began < 2


# ---------------------------------------------------------------------------------------------------------------------
# Broken files

def training_state():
    G = generator()
    adam = torch.optim.Adam(G.parameters())
    G(torch.randn(2, 3)).sum().backward()
    adam.step()
    return {"kind": "customize", "iteration": 3, "G": G.state_dict(), "optimizer": adam.state_dict(),
            "log": [[1, None, "a"]]}


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return all(map(same, a, b)) if isinstance(a, (list, tuple)) else a == b


def test_every_flipped_bit_of_a_training_file_is_noticed_or_changes_nothing(tmp_path):
    path, state = tmp_path / "training.pt", training_state()
    save_training(path, state)
    data, noticed = path.read_bytes(), 0
    assert same(load_training(path), state)
    for at in range(0, len(data), 211):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1:])
        try:
            assert same(load_training(path), state), f"byte {at}"
        except CheckpointError:
            noticed += 1
    assert noticed > len(data) / 211 / 4


@pytest.mark.parametrize("item, words", [
    (torch.ones(1).expand(1000, 1000), "larger than itself"), (torch.float16, "only tensors and plain containers"),
    (argparse.Namespace(a=1), "argparse.Namespace.*only tensors and plain containers"),
                                         (torch.nn.Linear(1, 1), "only tensors"),
])
def test_training_files_hold_tensors_and_plain_containers(tmp_path, item, words):
    torch.save({"a": item}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=words):
        load_training(tmp_path / "a.pt")


def torch_bytes(content, **how) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


def written(write, path) -> bytes:
    write(path)
    return path.read_bytes()


def of_nvidia(path) -> bytes:
    G, D = small_nvidia(resolution=8, num_mapping=1, c=2)
    return nvidia_files.training_pickle(None, nvidia_files.discriminator(D), nvidia_files.generator(G))


def of_a_judge(path) -> bytes:
    from sketchgan.weights.checkpoints import write_safetensors
    judge = Judge(("cat",), (), ("sits",), (2, 2, 2, 2), 2)
    return written(lambda path: write_safetensors(path, judge.state_dict(), {"config": {"judge": judge.config}}), path)


FORMATS = {
    "ours": (load_generator, lambda path: written(
        lambda path: save(path, generator(), Discriminator(8, CHANNELS), PhotoSketch(1, 1), {"note": [1, 2]}), path)),
    "delta": (lambda path: load_generator(path, base=generator()), lambda path: written(
        lambda path: save_delta(path, generator(), generator()), path)),
    "judge": (load_judge, of_a_judge),
    "rosinality": (load_generator, lambda path: torch_bytes({
        "g_ema": generator().state_dict(), "latent_avg": torch.ones(4), "args": argparse.Namespace(size=8)})),
    "old": (load_photosketch, lambda path: torch_bytes(
        PhotoSketch(1, 1).state_dict(), _use_new_zipfile_serialization=False)),
    "nvidia": (load_discriminator, of_nvidia),
    "training": (load_training, lambda path: written(lambda path: save_training(path, training_state()), path)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_broken_copies_of_every_format(tmp_path, name):
    read, make = FORMATS[name]
    data = make(tmp_path / "good")
    (tmp_path / "good").write_bytes(data)
    read(tmp_path / "good")
    outcome = assert_survives(read, "broken", data, CheckpointError, tmp_path)
    assert outcome["refused"] > 100
