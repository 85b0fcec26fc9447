"""Tensors as they lie in a file: found and checked first, read afterwards, each straight into its memory.

PyTorch writes a pickle that describes tensors, and beside it the numbers they are views of: as members of a zip (since
1.6), behind the pickle (before), or as such a file within a pickle (NVIDIA).  The description comes from a stranger, so
it is compared with what is there: no tensor lies outside of its numbers, and together they are no larger than the file.
"""
import dataclasses
import io
import json
import math
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import torch
from torch import Tensor

from .pickles import LIMIT, CheckpointError, Name, Unpickler, Window

LEGACY_MAGIC = 0x1950a86a20f9469cfc6c  # first object of a PyTorch file from before 1.6
STORAGES = {"Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16,
            "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
            "Bool": torch.bool}
MOST_DIMENSIONS = 8


@dataclasses.dataclass(eq=False)
class Storage:
    """Numbers in a file: `numel` of `dtype`; `open` gives a stream that begins with them, once it is known where."""
    dtype: torch.dtype
    numel: int
    open: Callable[[], BinaryIO] | None = None

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return self.numel * self.dtype.itemsize

    def read(self, path) -> Tensor:
        """The numbers `[numel]`, in memory of their own."""
        data = torch.empty(self.numel, dtype=self.dtype)
        if self.open is None or self.open().readinto(memoryview(data.view(torch.uint8).numpy())) != self.nbytes:
            raise CheckpointError(f"{path} promises a storage of {self.numel:,} numbers and does not hold them; it "
                                  f"was cut "
                                  f"short, is damaged or made to deceive")
        return data


@dataclasses.dataclass(eq=False)
class StoredTensor:
    """A tensor that is still to be read: shape, size in memory, and a function that reads it.

    read: takes a dict, in which it keeps storages that other tensors may share.
    """
    shape: tuple[int, ...]
    nbytes: int
    read: Callable[[dict], Tensor]


@dataclasses.dataclass
class Network:
    """One network of a file, before its tensors are read.

    tensors: under our names.  config: the arguments of the class that tensors do not tell.  changes: what to do with a
    tensor once it is read.  w_avg: the mean latent, of a generator that has one.
    """
    tensors: dict[str, StoredTensor]
    config: dict = dataclasses.field(default_factory=dict)
    changes: dict[str, Callable[[Tensor], Tensor]] = dataclasses.field(default_factory=dict)
    w_avg: StoredTensor | None = None


def view(storage: Storage, offset, shape, stride, path) -> StoredTensor:
    """A view that has been found to lie inside of its storage; offset and strides in elements, as PyTorch counts them.

    Raises:
        CheckpointError: for anything but small non-negative integers, or a view that reaches beyond the storage.
    """
    numbers = (offset, *shape, *stride) if type(shape) is type(stride) is tuple else (None,)
    sane = type(storage) is Storage and all(type(n) is int and 0 <= n < 2 ** 40 for n in numbers)
    if not sane or len(shape) != len(stride) or len(shape) > MOST_DIMENSIONS or (
            math.prod(shape) and offset + sum((n - 1) * s for n, s in zip(shape, stride)) >= storage.numel):
        raise CheckpointError(f"{path} describes a tensor of shape {str(shape)[:60]} that reaches beyond its numbers; "
                              f"the "
                              f"file is damaged or made to deceive")

    def read(storages: dict) -> Tensor:
        if storage not in storages:
            storages[storage] = storage.read(path)
        return storages[storage].as_strided(shape, stride, offset if math.prod(shape) else 0)

    return StoredTensor(shape, math.prod(shape) * storage.dtype.itemsize, read)


def read_all(tensors: Mapping[str, StoredTensor], path: Path) -> dict[str, Tensor]:
    """Read the tensors of networks, float32 where floating.

    Raises:
        CheckpointError: if they are together larger than the file (many names for the same numbers, so that a small
            file fills the memory), if one is longer than the file, or if a value is NaN or infinite.
    """
    size, wanted = path.stat().st_size, sum(tensor.nbytes for tensor in tensors.values())
    if wanted > size:
        raise CheckpointError(f"{path} has {size:,} bytes and describes tensors of {wanted:,}; it is made to exhaust "
                              f"the "
                              f"memory, and was not read")
    # The sizes of networks are taken from shapes, and a shape without numbers costs nothing to claim.
    for key in [key for key, tensor in tensors.items() if max(tensor.shape, default=0) > size]:
        raise CheckpointError(f"{path} has {size:,} bytes and describes {key[:60]} as of shape "
                              f"{list(tensors[key].shape)}; "
                              f"it is damaged or made to deceive")
    storages, read = {}, {}
    for key, tensor in tensors.items():
        value = tensor.read(storages).contiguous()
        read[key] = value.float() if value.is_floating_point() else value
    require_finite(read, f"{path} is damaged", "use an earlier checkpoint")
    return read


def require_finite(tensors: Mapping[str, Tensor], what: str, remedy: str) -> None:
    """Raise CheckpointError naming the tensors with NaN or infinite values; `what` and `remedy` frame the message."""
    bad = [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise CheckpointError(f"{what}: {len(bad)} of {len(tensors)} tensors have values that are NaN or infinite "
                              f"({', '.join(bad[:3])[:200]}); {remedy}")


def open_safetensors(path: Path) -> tuple[dict[str, StoredTensor], dict]:
    """Tensors and metadata of a safetensors file; the library has compared its header with its size."""
    file, tensors = safetensors.safe_open(path, "pt"), {}
    for name in file.keys():
        part = file.get_slice(name)
        shape, bits = tuple(part.get_shape()), re.search(r"\d+", part.get_dtype())
        if len(shape) > MOST_DIMENSIONS:
            raise CheckpointError(f"{path} has {name[:60]} with {len(shape)} dimensions; no network here has more than "
                                  f"{MOST_DIMENSIONS}")
        # Out of the mapped file at once: weights must not change when the file does.
        tensors[name] = StoredTensor(shape, math.prod(shape) * (int(bits[0]) // 8 if bits else 1),
                                     lambda storages, name=name: file.get_tensor(name).clone())
    return tensors, {key: _json_or_text(value) for key, value in (file.metadata() or {}).items()}


def _json_or_text(value: str):
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


# ---------------------------------------------------------------------------------------------------------------------
# PyTorch

def open_torch(file: BinaryIO, path: Path) -> Any:
    """What a PyTorch file of any age, or another pickle, holds, with `StoredTensor`s for its tensors.

    Args:
        file: it, open for as long as tensors are to be read.
    Raises:
        CheckpointError: if it is damaged, deceives, or asks for code to be run.
    """
    head, size = file.read(14), path.stat().st_size
    if head[:4] == b"PK\x03\x04":
        return open_zip(file, path)
    window = Window(file, 0, size, path)
    legacy = head[:2] == b"\x80\x02" and head[2:] == b"\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")
    return _legacy(window) if legacy else _unpickler(window).load()


def open_zip(file: BinaryIO, path: Path, whole: bool = False, limit: int = LIMIT) -> Any:
    """`open_torch` of a file since PyTorch 1.6; checksums are compared as its parts are read.

    Args:
        whole: give tensors themselves, and refuse whatever is neither a tensor nor a plain container.
    """
    archive, size = zipfile.ZipFile(file), path.stat().st_size
    members = {info.filename: info for info in archive.infolist()}
    root = next((name.removesuffix("data.pkl") for name in members if re.fullmatch(r"[^/]+/data\.pkl", name)), None)
    if root is None or f"{root}constants.pkl" in members:
        what = "a program (TorchScript)" if root else "a zip archive without PyTorch's data.pkl"
        raise CheckpointError(f"{path} is {what}; wanted is a checkpoint: unpack it, or save the state_dict() of the "
                              f"network with torch.save")
    for info in archive.infolist():
        if not info.filename.startswith(root) or ".." in info.filename or stat.S_ISLNK(info.external_attr >> 16):
            raise CheckpointError(f"{path} has a member that would escape from its folder ({info.filename[:80]!r})")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.file_size > size:
            raise CheckpointError(f"{path} has a compressed or cut member ({info.filename[:80]!r}: "
                                  f"{info.compress_size:,} "
                                  f"bytes that say they become {info.file_size:,}), which PyTorch never writes")
    if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
        raise CheckpointError(f"{path} was written on a big-endian machine; save it again on a common one")

    def find(reference) -> Storage:
        key, storage = _storage(reference, path)
        info = members.get(f"{root}data/{key}")
        if info is None or storage.nbytes != info.file_size:
            raise CheckpointError(f"{path} promises a storage of {storage.numel:,} numbers ({storage.dtype}) and holds "
                                  f"{info.file_size if info else 0:,} bytes of it; it is damaged or made to deceive")
        storage.open = lambda: archive.open(info)
        return storage

    data = archive.read(f"{root}data.pkl")
    return _unpickler(Window(io.BytesIO(data), 0, len(data), path, limit), find, size if whole else None).load()


def _legacy(window: Window) -> Any:
    """What a file holds that was written by a PyTorch before 1.6, at the window's position."""
    path = window.path
    if [Unpickler(window).load() for _ in range(2)] != [LEGACY_MAGIC, 1001]:
        raise CheckpointError(f"{path} is not a PyTorch file; check that this is the file you meant")
    system = Unpickler(window).load()
    if type(system) is not dict or system.get("little_endian") is not True:
        raise CheckpointError(f"{path} was written on a big-endian machine; save it again on a common one")
    storages: dict[str, Storage] = {}

    def find(reference) -> Storage:
        key, storage = _storage(reference, path)
        return storages.setdefault(key, storage)

    content = _unpickler(window, find).load()
    for key in Unpickler(window).load():
        numel, = struct.unpack("<q", window.read(8))
        storage = storages.get(str(key))
        length = storage.nbytes if storage and storage.numel == numel else -1
        if not 0 <= length <= window.end - window.position:
            raise CheckpointError(f"{path} was cut short or is damaged: a storage of {numel:,} numbers does not fit "
                                  f"into "
                                  f"the {window.end - window.position:,} bytes that are left; fetch it again")
        storage.open = lambda start=window.position: (window.file.seek(start), window.file)[1]
        window.position += length
    return content


def _unpickler(window: Window, find: Callable | None = None, memory: int | None = None) -> Unpickler:
    """A reader of tensors: `find` gives the storage that a reference means; `memory`: read them at once, bytes at
    most."""
    left, storages = [memory], {}

    def tensor(storage, offset, shape, stride, *rest) -> StoredTensor | Tensor:
        stored = view(storage, offset, shape, stride, window.path)
        if memory is None:
            return stored
        left[0] -= stored.nbytes
        if left[0] < 0:
            raise CheckpointError(f"{window.path} describes tensors that are larger than itself ({memory:,} bytes); "
                                  f"it is "
                                  f"made to exhaust the memory")
        return stored.read(storages)

    def storage(blob) -> Storage:  # a PyTorch file within a pickle
        return _legacy(blob if type(blob) is Window else Window(io.BytesIO(blob), 0, len(blob), window.path))

    builders = {"torch._utils._rebuild_tensor": tensor, "torch._utils._rebuild_tensor_v2": tensor,
                "torch._utils._rebuild_parameter": lambda data, *rest: data, "torch.Size": lambda items: items,
                "torch._utils._rebuild_parameter_with_state": lambda data, *rest: data,
                "torch.storage._load_from_bytes": storage}
    return Unpickler(window, builders, find, strict=memory is not None)


def _storage(reference, path) -> tuple[str, Storage]:
    """Key and storage that a pickle refers to, `('storage', kind, key, place, numel[, view])`."""
    if type(reference) is not tuple or len(reference) not in (5, 6) or reference[0] != "storage":
        raise CheckpointError(f"{path} describes a tensor without numbers; it is damaged or made to deceive")
    _, kind, key, _, numel, *of = reference
    name = kind.text.rpartition(".")[2].removesuffix("Storage") if type(kind) is Name else None
    if name not in STORAGES:
        raise CheckpointError(f"{path} stores numbers as {str(name)[:40]}; known are {', '.join(STORAGES)}")
    if type(numel) is not int or not 0 <= numel < 2 ** 40 or of and of[0] is not None:
        raise CheckpointError(f"{path} promises a storage of {str(numel)[:40]} numbers, or a part of one as PyTorch "
                              f"wrote "
                              f"before 0.4; it is damaged, or to be saved again with a newer PyTorch")
    return str(key), Storage(STORAGES[name], numel)
