"""Files: whole or not at all, the right network or a clear refusal."""
import copy
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch

from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.weights import checkpoints
from sketchgan.weights.checkpoints import CheckpointError, load_discriminator, load_generator, load_photosketch, save

CHANNELS = {4: 8, 8: 6, 16: 4}


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return Generator(16, 10, 12, 3, CHANNELS).eval(), Discriminator(16, CHANNELS).eval(), PhotoSketch(3, 2).eval()


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


def customised(G):
    G = copy.deepcopy(G)
    with torch.no_grad():
        for parameter in G.style.parameters():
            parameter.add_(torch.randn_like(parameter))
    return G


# ---------------------------------------------------------------------------------------------------------------------
# Round trips

def test_three_networks_in_one_file(tmp_path, networks):
    G, D, F = networks
    G.set_w_avg(torch.arange(12.0))
    path = tmp_path / "new folder" / "base.safetensors"
    save(path, G=G, D=D, F=F, metadata={"images": 1234, "note": "kept"})
    assert same(load_generator(path), G) and same(load_discriminator(path), D) and same(load_photosketch(path), F)
    assert torch.equal(load_generator(path).mean_w(), torch.arange(12.0))
    metadata = checkpoints.read_metadata(path)
    assert metadata["images"] == 1234 and metadata["note"] == "kept"
    assert Generator(**metadata["config"]["g_ema"]).config == G.config
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("changes", [dict(w_shift=True), dict(z_dim=12, num_mapping=1), dict(resolution=8)])
def test_sizes_are_inferred(tmp_path, changes):
    G = Generator(**dict(resolution=16, z_dim=10, w_dim=12, num_mapping=3, channels=CHANNELS) | changes)
    torch.save(G.state_dict(), tmp_path / "bare.pth")
    loaded = load_generator(tmp_path / "bare.pth")
    assert loaded.config == G.config and same(loaded, G)


def test_photosketch_from_before_the_counters(tmp_path, networks):
    F = networks[2]
    old = {key: value for key, value in F.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    assert same(load_photosketch(tmp_path / "old.pth"), F)


def test_loaded_networks_train(tmp_path, networks):
    save(tmp_path / "a.safetensors", G=networks[0])
    G = load_generator(tmp_path / "a.safetensors")
    assert all(p.requires_grad for p in G.parameters()) and not G.training
    G(torch.randn(2, 10)).sum().backward()


# ---------------------------------------------------------------------------------------------------------------------
# Deltas

def test_delta_is_small_and_exact(tmp_path, networks):
    base = networks[0]
    save(tmp_path / "base.safetensors", G=base)
    G = customised(base)
    G.set_w_avg(torch.zeros(12))
    checkpoints.save_delta(tmp_path / "mine.safetensors", G, base)
    assert (tmp_path / "mine.safetensors").stat().st_size < 0.5 * (tmp_path / "base.safetensors").stat().st_size
    for given in (base, tmp_path / "base.safetensors"):
        loaded = load_generator(tmp_path / "mine.safetensors", base=given)
        assert same(loaded, G) and torch.equal(loaded.mean_w(), torch.zeros(12))


def test_delta_of_a_w_shift(tmp_path, networks):
    base = networks[0]
    G = Generator(**base.config | {"w_shift": True})
    G.load_state_dict(base.state_dict() | {"style.4.w_shift": torch.ones(1, 12)})
    checkpoints.save_delta(tmp_path / "mine.safetensors", G, base)
    assert same(load_generator(tmp_path / "mine.safetensors", base=base), G)


def test_delta_refuses_the_wrong_base(tmp_path, networks):
    base = networks[0]
    path = tmp_path / "mine.safetensors"
    checkpoints.save_delta(path, customised(base), base)
    with pytest.raises(CheckpointError, match=f"delta.*{checkpoints.content_hash(base)[:12]}.*pass base="):
        load_generator(path)
    with pytest.raises(CheckpointError, match="pass the generator it was made from"):
        load_generator(path, base=customised(base))
    with pytest.raises(CheckpointError, match="mapping network of a customised generator, and not a discriminator"):
        load_discriminator(path)


def test_delta_refuses_to_lose_changes(tmp_path, networks):
    base = networks[0]
    G = customised(base)
    with torch.no_grad():
        G.conv1.conv.weight[0, 0, 0] += 1
    with pytest.raises(CheckpointError, match="conv1.conv.weight.*save"):
        checkpoints.save_delta(tmp_path / "mine.safetensors", G, base)
    assert not list(tmp_path.iterdir())


def test_base_is_refused_for_whole_files(tmp_path, networks):
    save(tmp_path / "base.safetensors", G=networks[0])
    with pytest.raises(CheckpointError, match="without base="):
        load_generator(tmp_path / "base.safetensors", base=networks[0])


# ---------------------------------------------------------------------------------------------------------------------
# Refusals

def test_missing_file_and_unknown_format(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_generator(tmp_path / "absent.pth")
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="no checkpoint known here.*safetensors.*PyTorch.*NVIDIA"):
        load_generator(tmp_path / "model.onnx")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
def test_truncated_file(tmp_path, networks, suffix, keep):
    path = tmp_path / f"cut{suffix}"
    save(path, G=networks[0]) if suffix == ".safetensors" else torch.save(networks[0].state_dict(), path)
    data = path.read_bytes()
    path.write_bytes(data[:int(keep * len(data))])
    with pytest.raises(CheckpointError, match="cut short or damaged|is damaged"):
        load_generator(path)


def test_not_a_number(tmp_path, networks):
    G = networks[0]
    path = tmp_path / "a.safetensors"
    save(path, G=G)
    before = path.read_bytes()
    with torch.no_grad():
        G.conv1.activate.bias[2] = float("nan")
    with pytest.raises(CheckpointError, match="refusing to write.*conv1.activate.bias.*last good"):
        save(path, G=G)
    assert path.read_bytes() == before
    torch.save(G.state_dict(), tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="NaN or infinite.*conv1.activate.bias.*earlier checkpoint"):
        load_generator(tmp_path / "bad.pth")


def test_another_architecture(tmp_path, networks):
    G, D, F = networks
    torch.save(F.state_dict(), tmp_path / "f.pth")
    with pytest.raises(CheckpointError, match=r"holds a sketcher \(PhotoSketch\), and not a generator"):
        load_generator(tmp_path / "f.pth")
    torch.save(D.state_dict(), tmp_path / "d.pth")
    with pytest.raises(CheckpointError, match="holds a discriminator, and not a generator; pass the file that does"):
        load_generator(tmp_path / "d.pth")
    with pytest.raises(CheckpointError, match="holds a discriminator, and not a sketcher"):
        load_photosketch(tmp_path / "d.pth")
    torch.save({"fc.weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="not a generator in a layout known here.*1 tensors.*fc.weight.*you "
                                              "meant"):
        load_generator(tmp_path / "other.pth")
    save(tmp_path / "g.safetensors", G=G)
    with pytest.raises(CheckpointError, match="holds a generator, and not a discriminator"):
        load_discriminator(tmp_path / "g.safetensors")


@pytest.mark.parametrize("key, change, words", [
    ("convs.2.conv.weight", lambda v: v[:, :3], "another architecture"),
    ("to_rgbs.1.conv.weight", lambda v: v[:, :, :2], r"to_rgbs.1.conv.weight is \[1, 3, 2, 1, 1\] instead of"),
    ("style.2.weight", lambda v: v[:5], r"style.2.weight is \[5, 12\] instead of \[12, 12\]"),
    ("noises.noise_3", None, "noises.noise_3 is missing"),
    ("extra.weight", lambda v: torch.ones(2), "extra.weight is not part of it"),
])
def test_another_channel_table(tmp_path, networks, key, change, words):
    state = networks[0].state_dict()
    if change is None:
        del state[key]
    else:
        state[key] = change(state.get(key)).clone()
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=words):
        load_generator(tmp_path / "other.pth")


def test_not_a_dictionary(tmp_path):
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_generator(tmp_path / "list.pth")


def test_nothing_to_save(tmp_path):
    with pytest.raises(CheckpointError, match="at least one of G=, D=, F="):
        save(tmp_path / "a.safetensors")


# ---------------------------------------------------------------------------------------------------------------------
# Training states

def training_state(value=1.0):
    w = torch.nn.Parameter(torch.full((3,), value))
    adam = torch.optim.Adam([w])
    w.sum().backward()
    adam.step()
    return {"iteration": 7, "config": {"lr": 0.002, "name": "run", "sizes": (1, 2)}, "optimizer": adam.state_dict(),
            "rng": torch.get_rng_state(), "log": [[1, "pause", None]], "w": w.detach()}


def test_training_state_round_trip(tmp_path):
    state = training_state()
    checkpoints.save_training(tmp_path / "run.pt", state)
    loaded = checkpoints.load_training(tmp_path / "run.pt")
    assert loaded["iteration"] == 7 and loaded["config"] == state["config"] and loaded["log"] == state["log"]
    assert torch.equal(loaded["rng"], state["rng"])
    w = torch.nn.Parameter(loaded["w"])
    adam = torch.optim.Adam([w])
    adam.load_state_dict(loaded["optimizer"])
    assert torch.equal(adam.state[w]["exp_avg"], state["optimizer"]["state"][0]["exp_avg"])


def test_training_state_refuses_objects(tmp_path):
    import numpy as np
    for item in (object(), {1, 2}, np.float32(1), torch.nn.Linear(1, 1)):
        with pytest.raises(CheckpointError, match=r"state\['a'\]\[1\] is a .*dataclasses.asdict"):
            checkpoints.save_training(tmp_path / "run.pt", {"a": [1, item]})
    assert not list(tmp_path.iterdir())


def full_disk(monkeypatch):
    def fsync(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("exists", [True, False])
def test_full_disk_keeps_the_previous_file(tmp_path, networks, monkeypatch, exists):
    writers = {"run.pt": lambda path: checkpoints.save_training(path, training_state()),
               "net.safetensors": lambda path: save(path, G=networks[0])}
    for name, write in writers.items():
        path = tmp_path / name
        if exists:
            path.write_bytes(b"previous")
        with monkeypatch.context() as patch:
            full_disk(patch)
            with pytest.raises(OSError, match="could not write.*Free some space") as caught:
                write(path)
        assert caught.value.errno == errno.ENOSPC
        assert list(tmp_path.iterdir()) == ([path] if exists else [])
        assert not exists or path.read_bytes() == b"previous"
        write(path)
        assert path.stat().st_size > 100
        path.unlink()


def test_kill_during_a_write_keeps_the_previous_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    checkpoints.save_training(path, {"iteration": 1})
    # The child stops for ever where the bytes are written and not yet safe; there it gets kill -9.
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent("""
        import os, sys, time
        from sketchgan.weights import checkpoints
        def stuck(handle):
            print("writing", flush=True)
            time.sleep(600)
        os.fsync = stuck
        checkpoints.save_training(sys.argv[1], {"iteration": 2, "weights": list(range(9999))})
    """), str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "writing\n"
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    finally:
        child.kill()
        child.stdout.close()
    partial, = tmp_path.glob(".run.pt.*.partial")
    assert partial.stat().st_size > 9999
    assert checkpoints.load_training(path) == {"iteration": 1}
    # What the dead process left is swept up a day later, by the next write.
    checkpoints.save_training(path, {"iteration": 3})
    assert partial.exists()
    os.utime(partial, (0, 0))
    checkpoints.save_training(path, {"iteration": 4})
    assert list(tmp_path.iterdir()) == [path] and checkpoints.load_training(path) == {"iteration": 4}


def test_metadata_survives_as_json(tmp_path, networks):
    save(tmp_path / "a.safetensors", D=networks[1], metadata={"nested": {"a": [1, 2.5, None, "x"]}})
    metadata = checkpoints.read_metadata(tmp_path / "a.safetensors")
    assert metadata["nested"] == json.loads('{"a": [1, 2.5, null, "x"]}')
