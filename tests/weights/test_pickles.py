"""Hostile files: each ends in a clear error, quickly and in little memory, and nothing of it ran."""
import io
import json
import os
import pickle
import resource
import struct
import sys
import time
import zipfile
from collections import OrderedDict

import pytest
import torch

from sketchgan.nets.stylegan2 import Generator
from sketchgan.weights import checkpoints
from sketchgan.weights.checkpoints import CheckpointError, load_generator
from sketchgan.weights.pickles import Record, Unpickler, Window
from tests import nvidia_files

SENTINEL = "executed-by-a-checkpoint"
PROTO = b"\x80\x04"
MEGABYTE = 2 ** 20


class Call:
    """Pickles as a call of `function(*args)`, with a state if one is given."""

    def __init__(self, function, *args, state=None):
        self.parts = (function, args, state) if state is not None else (function, args)

    def __reduce__(self):
        return self.parts


def system() -> Call:
    return Call(os.system, f"touch {SENTINEL}")


def state() -> dict:
    return Generator(8, 3, 3, 1, {4: 2, 8: 2}).state_dict()


def torch_zip(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def rezipped(change=None, compression=zipfile.ZIP_STORED, more=(), drop=()) -> bytes:
    """A PyTorch file with its pickle changed, packed otherwise, with further members."""
    source, out = zipfile.ZipFile(io.BytesIO(torch_zip(state()))), io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name in source.namelist():
            data = source.read(name)
            if not name.endswith(drop or ("nothing",)):
                archive.writestr(name, change(data) if change and name.endswith("data.pkl") else data)
        for info, data in more:
            archive.writestr(info, data)
    return out.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


def with_persistent_id() -> bytes:
    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            return ("storage", system(), "0", "cpu", 4) if isinstance(item, Call) and item.parts[0] is print else None
    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"x": Call(print, "x")})
    return rezipped(lambda data: buffer.getvalue())


def storage_lie(numel: int) -> bytes:
    """A PyTorch zip whose pickle promises more numbers than there are."""
    data = torch_zip({"input.input": torch.ones(7)})
    source, out = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                content = content.replace(b"K\x07t", b"\x8a\x06" + numel.to_bytes(6, "little") + b"t")
            archive.writestr(name, content)
    return out.getvalue()


def safetensors_file(header: dict | bytes, data: bytes = b"\0" * 16, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape, start, end):
    return {"input.input": {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}}


def legacy_lie() -> bytes:
    whole = nvidia_files.legacy_torch({"input.input": torch.ones(7)})
    return whole.replace(b"K\x07N", b"\x8a\x06" + b"\xff" * 5 + b"\x00N")


def many_views() -> bytes:
    """Thousands of names for the same numbers: 100 kB that would become 160 MB."""
    numbers = torch.zeros(20_000)
    tensors = {key: value for key, value in state().items()}
    return torch_zip(tensors | {"input.input": numbers.view(1, 20_000, 1, 1)[:, :2].expand(1, 2, 4, 4)}
                     | {f"style.{i}.bias": numbers.view(20_000) for i in range(1, 2_000)})


def nvidia_with(thing) -> bytes:
    return nvidia_files.dump({"G_ema": nvidia_files.Module("Generator", {}, {}, z_dim=thing)})


def module_in_itself() -> bytes:
    module = nvidia_files.Module("Generator", {}, {})
    module.state["_modules"]["synthesis"] = module.state["_modules"]
    inner = nvidia_files.Module("Inner", {}, {})
    module.state["_modules"] = OrderedDict(a=inner, b=inner)
    return nvidia_files.dump({"G_ema": module})


def embedded_storage(blob: bytes) -> bytes:
    """A tensor whose storage is a PyTorch file of the attacker's."""
    storage = Call(torch.storage._load_from_bytes, blob)
    tensor = Call(torch._utils._rebuild_tensor_v2, storage, 0, (2,), (1,), False, OrderedDict())
    module = nvidia_files.Module("Generator", {}, {})
    module.state["_buffers"] = {"x": tensor}
    return nvidia_files.dump({"G_ema": module})


def nan_weights() -> bytes:
    content = state()
    content["conv1.activate.bias"][1] = float("nan")
    return torch_zip(content)


HOSTILE = {
    "os.system in a PyTorch file": lambda: torch_zip({"x": system()}),
    "os.system beside good weights": lambda: torch_zip(state() | {"x": system()}),
    "os.system in an old PyTorch file": lambda: nvidia_files.legacy_torch({"x": system()}),
    "os.system in a pickle": lambda: pickle.dumps({"G_ema": system()}),
    "os.system deep inside of a module": lambda: nvidia_with([{"a": (1, [system()])}]),
    "os.system as an argument of harmless names": lambda: nvidia_with(Call(complex, system())),
    "os.system through a persistent id": with_persistent_id,
    "os.system in a PyTorch file inside of a pickle": lambda: embedded_storage(nvidia_files.legacy_torch(system())),
    "subprocess": lambda: pickle.dumps(Call(__import__("subprocess").getoutput, f"touch {SENTINEL}")),
    "eval": lambda: pickle.dumps(Call(eval, f"open('{SENTINEL}', 'w')")),
    "exec in a module's state": lambda: nvidia_with(Call(exec, f"open('{SENTINEL}', 'w')")),
    "a chain of getattr": lambda: pickle.dumps(Call(getattr, Call(__import__, "os"), "system")),
    "a call of a call": lambda: PROTO + b"cbuiltins\nset\n)R(X\x01\x00\x00\x00atR.",
    "torch.load in a pickle": lambda: pickle.dumps(Call(torch.load, "other.pt")),
    "a state that is a call (BUILD)": lambda: pickle.dumps(Call(OrderedDict, state=system())),
    "INST": lambda: b"\x80\x02(S'touch " + SENTINEL.encode() + b"'\nios\nsystem\n.",
    "an extension code": lambda: PROTO + b"\x82\x01.",
    "an out-of-band buffer": lambda: b"\x80\x05\x97.",
    "the class of a torch program": lambda: rezipped(more=[("archive/constants.pkl", b"\x80\x02).")]),
    "bytes longer than the file": lambda: PROTO + b"\x8e" + struct.pack("<Q", 2 ** 62) + b"x.",
    "text longer than the file": lambda: PROTO + b"\x8d" + struct.pack("<Q", 2 ** 40) + b"x.",
    "an integer longer than the file": lambda: PROTO + b"\x8b" + struct.pack("<i", 2 ** 31 - 1) + b"x.",
    "a decimal number of a million digits": lambda: PROTO + b"I" + b"9" * 10 ** 6 + b"\n.",
    "a huge place in the memo": lambda: PROTO + b"}r\xff\xff\xff\xffh\x07.",
    "bytearray(10**12)": lambda: torch_zip({"x": Call(bytearray, 10 ** 12)}),
    "torch.Tensor(10**12)": lambda: torch_zip({"x": Call(torch.Tensor, 10 ** 12)}),
    "a storage of 10**12 numbers": lambda: storage_lie(10 ** 12),
    "a storage of 10**12 numbers in an old file": legacy_lie,
    "a tensor of 10**12 numbers over one": lambda: torch_zip(
        state() | {"input.input": torch.ones(1).expand(10 ** 6, 10 ** 6)}),
    "two thousand names of the same numbers": many_views,
    "lists doubled 100 times": lambda: PROTO + b"]" + b"\x94]h\x00h\x00\x86a" + b"2\x86" * 100 + b".",
    "a dictionary copied again and again": lambda: PROTO + b"]\x94(" + b"K\x01K\x02\x86" * 5000 + b"e0" + b"".join(
        b"ccollections\nOrderedDict\nh\x00\x85R0" for _ in range(500)) + b"N.",
    "lists nested deep": lambda: PROTO + b"]" * 60_000 + b"a" * 59_999 + b".",
    "tuples nested deep, as a key": lambda: PROTO + b"})" + b"\x85" * 100_000 + b"Ns.",
    "millions of instructions": lambda: PROTO + b"]0" * 400_000 + b"N.",
    "modules within each other": module_in_itself,
    "a zip bomb": lambda: rezipped(compression=zipfile.ZIP_DEFLATED,
                                   more=[("archive/data/extra", b"\0" * 20 * MEGABYTE)]),
    "a member above its folder": lambda: rezipped(more=[("archive/../../evil", b"x")]),
    "a member at the root": lambda: rezipped(more=[("/etc/evil", b"x")]),
    "a symbolic link as a member": lambda: rezipped(more=[(link("archive/data/extra"), b"/etc/passwd")]),
    "a zip without a pickle": lambda: rezipped(drop=("data.pkl",)),
    "a zip without its numbers": lambda: rezipped(drop=("data/0",)),
    "safetensors: a header beyond the end": lambda: safetensors_file(entry([4], 0, 16), length=2 ** 60),
    "safetensors: numbers beyond the end": lambda: safetensors_file(entry([2 ** 20, 2 ** 20], 0, 2 ** 42)),
    "safetensors: a shape that lies": lambda: safetensors_file(entry([2 ** 31, 2 ** 31], 0, 16)),
    "safetensors: no JSON": lambda: safetensors_file(b"{" * 50_000),
    "safetensors: a configuration that lies": lambda: safetensors_file(entry([1, 1, 2, 2], 0, 16) | {"__metadata__": {
        "config": json.dumps({"g_ema": {"conv_clamp": "__import__('os')"}})}}).replace(b"input.input", b"g_ema.input"),
    "weights that are not numbers": nan_weights,
    "a page of HTML": lambda: b"<!DOCTYPE html><html><title>404 Not Found</title></html>",
    "a pointer of git-lfs": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "a tar archive": lambda: b"\0" * 257 + b"ustar" + b"\0" * 250,
    "a wrong magic number": lambda: nvidia_files.legacy_torch(state())[:14] + b"K\x01.K\x02.",
    "half of a PyTorch file": lambda: (data := torch_zip(state()))[:len(data) // 2],
    "half of an old PyTorch file": lambda: (data := nvidia_files.legacy_torch(state()))[:len(data) * 3 // 4],
    "half of a pickle": lambda: (data := nvidia_with(5))[:len(data) // 2],
    "random bytes": lambda: bytes(range(256)) * 40,
    "nothing": lambda: b"",
}


@pytest.fixture(scope="module")
def warm():
    """What the first error imports is not counted."""
    with pytest.raises(CheckpointError):
        load_generator(__file__)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file(tmp_path, monkeypatch, warm, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").write_bytes(HOSTILE[name]())
    modules = set(sys.modules)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        load_generator(tmp_path / "weights.pt")
    assert len(str(caught.value)) < 1000 and "weights.pt" in str(caught.value)
    assert "could run code" in str(caught.value) or "os.system" not in name
    assert time.process_time() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - memory < 600, "megabytes"
    assert os.listdir(tmp_path) == ["weights.pt"], "something ran"
    assert not {module for module in set(sys.modules) - modules if not module.startswith(("torch", "encodings"))}


@pytest.mark.parametrize("name", ["os.system beside good weights", "a storage of 10**12 numbers", "bytearray(10**12)",
                                  "os.system through a persistent id", "a zip bomb"])
def test_hostile_training_state(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "training.pt").write_bytes(HOSTILE[name]())
    with pytest.raises(CheckpointError):
        checkpoints.load_training(tmp_path / "training.pt")
    assert os.listdir(tmp_path) == ["training.pt"]


def test_folders_links_and_devices(tmp_path):
    torch.save(state(), tmp_path / "real.pt")
    (tmp_path / "good.pt").symlink_to(tmp_path / "real.pt")
    assert load_generator(tmp_path / "good.pt").resolution == 8, "a link to a file is the file"
    (tmp_path / "loop.pt").symlink_to(tmp_path / "loop.pt")
    (tmp_path / "nowhere.pt").symlink_to(tmp_path / "absent.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    for name, error, words in (("loop.pt", FileNotFoundError, "there is no file"),
                               ("nowhere.pt", FileNotFoundError, "there is no file"),
                               ("", CheckpointError, "is a folder"), ("pipe.pt", CheckpointError, "is a device")):
        with pytest.raises(error, match=words):
            load_generator(tmp_path / name)


def unpickled(data: bytes):
    return Unpickler(Window(io.BytesIO(data), 0, len(data), "here")).load()


def test_values_of_every_protocol():
    value = {"a": [1, -2, 2 ** 70, 2.5, None, True, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
             "é": {"b": OrderedDict(c=1)}}
    for protocol in range(6):
        assert unpickled(pickle.dumps(value, protocol)) == value


def test_calls_stay_descriptions_and_long_bytes_in_the_file():
    data = pickle.dumps(Call(complex, 1, 2, state={"x": b"four", "long": b"7" * 10 ** 6}), 4)
    read = unpickled(data)
    assert type(read) is Record and read.name == "builtins.complex" and read.args == (1, 2)
    assert read.state["x"] == b"four"
    long = read.state["long"]
    assert type(long) is Window and data[long.position:long.end] == b"7" * 10 ** 6
