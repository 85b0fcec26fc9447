"""Tensors as they lie in a file: found and checked first, read one by one afterwards, each straight into its memory.

PyTorch writes a pickle that describes tensors, and beside it the numbers they are views of: as members of a zip (since
1.6), behind the pickle (before), or as such a file within a pickle (NVIDIA).  The description comes from a stranger, so
it is compared with what is there: no tensor lies outside of its numbers, and together they are not larger than the file.
A safetensors file has a JSON header in the pickle's place.
"""
import dataclasses
import json
import math
import os
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

from .pickles import LIMIT, CheckpointError, Name, Record, Window, unpickle, unpickle_bytes

LEGACY_MAGIC = 0x1950a86a20f9469cfc6c  # first object of a PyTorch file from before 1.6
STORAGES = {"Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16,
            "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
            "Bool": torch.bool}
SAFETENSORS = {"F32": torch.float32, "F64": torch.float64, "F16": torch.float16, "BF16": torch.bfloat16,
               "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
               "BOOL": torch.bool}


@dataclasses.dataclass(frozen=True)
class Storage:
    """Numbers in a file: `numel` of `dtype`, from byte `start` on."""
    dtype: torch.dtype
    start: int
    numel: int


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A view of a storage: shape, strides and offset in elements, as PyTorch counts them."""
    storage: Storage
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return math.prod(self.shape) * self.storage.dtype.itemsize

    def read(self, file: BinaryIO) -> Tensor:
        """The tensor, in memory of its own; floating-point numbers become float32."""
        size = self.storage.dtype.itemsize
        span = _span(self.shape, self.stride)
        data = torch.empty(span, dtype=self.storage.dtype)
        file.seek(self.storage.start + self.offset * size)
        if span and file.readinto(memoryview(data.view(torch.uint8).numpy())) != span * size:
            raise CheckpointError(f"{getattr(file, 'name', 'the file')} ended while it was read; fetch it again")
        tensor = data.as_strided(self.shape, self.stride).contiguous()
        return tensor.float() if tensor.is_floating_point() else tensor


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


def _span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """How many elements lie between the first and the last of a view, both included."""
    return 1 + sum((n - 1) * step for n, step in zip(shape, stride)) if math.prod(shape) else 0


def stored_tensor(storage: Storage, offset, shape, stride, path) -> StoredTensor:
    """A view that has been found to lie inside of its storage.

    Raises:
        CheckpointError: for anything but small non-negative integers, or a view that reaches beyond the storage.
    """
    numbers = (offset, *shape, *stride) if type(shape) is tuple and type(stride) is tuple else (None,)
    sane = len(numbers) <= 20 and all(type(n) is int and 0 <= n < 2 ** 40 for n in numbers)
    if not sane or len(shape) != len(stride) or offset + _span(shape, stride) > storage.numel:
        raise CheckpointError(f"{path} describes a tensor of shape {str(shape)[:60]} that reaches beyond the "
                              f"{storage.numel:,} numbers stored for it; the file is damaged or made to deceive")
    return StoredTensor(storage, shape, stride, offset)


def read_all(tensors: Mapping[str, StoredTensor], file: BinaryIO, path) -> dict[str, Tensor]:
    """Read tensors that are together no larger than the file, so that no small file fills the memory.

    Raises:
        CheckpointError: if they are larger (many names for the same numbers), or a value is NaN or infinite.
    """
    size, wanted = os.fstat(file.fileno()).st_size, sum(tensor.nbytes for tensor in tensors.values())
    if wanted > size:
        raise CheckpointError(f"{path} has {size:,} bytes and describes tensors of {wanted:,}; it is made to exhaust the "
                              f"memory, and was not read")
    read = {key: tensor.read(file) for key, tensor in tensors.items()}
    require_finite(read, f"{path} is damaged", "use an earlier checkpoint")
    return read


def require_finite(tensors: Mapping[str, Tensor], what: str, remedy: str) -> None:
    """Raise CheckpointError naming the tensors with NaN or infinite values; `what` and `remedy` frame the message."""
    bad = [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise CheckpointError(f"{what}: {len(bad)} of {len(tensors)} tensors have values that are NaN or infinite "
                              f"({', '.join(bad[:3])}); {remedy}")


# ---------------------------------------------------------------------------------------------------------------------
# Safetensors

def open_safetensors(path: Path) -> tuple[dict[str, StoredTensor], dict]:
    """Tensors and metadata of a safetensors file, its header checked by the safetensors library."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            text, names = file.metadata() or {}, file.keys()
        with open(path, "rb") as file:
            length, = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
    except (safetensors.SafetensorError, OSError, ValueError, RecursionError, struct.error) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}); it was cut short or damaged: "
                              f"copy, fetch or train it again") from error
    tensors = {}
    for name in names:
        entry = header[name]
        if entry["dtype"] not in SAFETENSORS:
            raise CheckpointError(f"{path} stores {name} as {entry['dtype']}; known are {', '.join(SAFETENSORS)}")
        dtype, shape, (start, end) = SAFETENSORS[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
        storage = Storage(dtype, 8 + length + start, (end - start) // dtype.itemsize)
        tensors[name] = stored_tensor(storage, 0, shape, _row_major(shape), path)
    return tensors, {key: _json_or_text(value) for key, value in text.items()}


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1:]) for i in range(len(shape)))


def _json_or_text(value: str):
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


# ---------------------------------------------------------------------------------------------------------------------
# PyTorch

def open_torch(path: Path, limit: int = LIMIT) -> Any:
    """The content of a `.pt` or `.pth` file of any age, with `StoredTensor`s for its tensors.

    Returns:
        what `pickles.unpickle` gives; each `Record` that describes a tensor has it as `record.tensor`.
    Raises:
        CheckpointError: if it is damaged, deceives, or asks for code to be run.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(4) == b"PK\x03\x04":
            content, places = _open_zip(path, file, size, limit)
        else:
            content, places = open_legacy(Window(file, 0, size, path), limit)
    find_tensors(content, storage_finder(places, path), path)
    return content


def _open_zip(path: Path, file: BinaryIO, size: int, limit: int) -> tuple[Any, dict]:
    try:
        archive = zipfile.ZipFile(file)
        members = {info.filename: info for info in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise CheckpointError(f"{path} has two members of the same name; it is damaged or made to deceive")
        root = next((name.removesuffix("data.pkl") for name in members if re.fullmatch(r"[^/]+/data\.pkl", name)), None)
        starts = {name: _data_start(path, file, info, size) for name, info in members.items()}
        if root is None or f"{root}constants.pkl" in members:
            what = "a program (TorchScript)" if root else "a zip archive without PyTorch's data.pkl"
            raise CheckpointError(f"{path} is {what}; wanted is a checkpoint: unpack it, or save the state_dict() of the "
                                  f"network with torch.save")
        if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
            raise CheckpointError(f"{path} was written on a big-endian machine; save it again on a common one")
        content = unpickle_bytes(archive.read(f"{root}data.pkl"), path, limit)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, struct.error) as error:
        raise CheckpointError(f"{path} is not a whole PyTorch file ({error}): it was cut short or damaged; use an earlier "
                              f"checkpoint, or fetch it again") from error
    prefix = f"{root}data/"
    sizes = {name.removeprefix(prefix): (start, members[name].file_size) for name, start in starts.items()
             if name.startswith(prefix)}
    return content, sizes


def _data_start(path: Path, file: BinaryIO, info: zipfile.ZipInfo, size: int) -> int:
    """Where the bytes of a zip's member begin, if it is an ordinary file, stored as it is."""
    name, mode = info.filename, info.external_attr >> 16
    if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or ":" in name:
        raise CheckpointError(f"{path} has a member that would escape from its folder ({name[:80]!r}); it was not read")
    if stat.S_ISLNK(mode):
        raise CheckpointError(f"{path} has a symbolic link as a member ({name[:80]!r}); it was not read")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
        raise CheckpointError(f"{path} has a compressed or encrypted member ({name[:80]!r}: {info.compress_size:,} bytes "
                              f"that say they become {info.file_size:,}), which PyTorch never writes; it was not read")
    file.seek(info.header_offset)
    header = file.read(30)
    start = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
    if start + info.file_size > size:
        raise CheckpointError(f"{path} was cut short or is damaged: its member {name[:80]!r} reaches beyond its end; "
                              f"fetch it again")
    return start


def open_legacy(window: Window, limit: int = LIMIT) -> tuple[Any, dict]:
    """Content, and place of each storage, of a file as PyTorch wrote it before 1.6, at the window's position."""
    path = window.path
    if unpickle(window, 10) != LEGACY_MAGIC or unpickle(window, 10) != 1001:
        raise CheckpointError(f"{path} is not a PyTorch file; check that this is the file you meant")
    system = unpickle(window, 100)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise CheckpointError(f"{path} was written on a big-endian machine; save it again on a common one")
    content = unpickle(window, limit)
    references = [r.args[0] for r in records(content) if r.name == "persistent" and _is_storage(r.args[0])]
    dtypes = {str(reference[2]): _dtype(reference[1], path) for reference in references}
    places = {}
    window.file.seek(window.position)
    keys = unpickle(window, limit)
    for key in keys if type(keys) is list else []:
        numel, = struct.unpack("<q", window.read(8))
        length = numel * dtypes[str(key)].itemsize if str(key) in dtypes else -1
        if not 0 <= length <= window.end - window.position:
            raise CheckpointError(f"{path} was cut short or is damaged: a storage of {numel:,} numbers does not fit into the "
                                  f"{window.end - window.position:,} bytes that are left; fetch it again")
        places[str(key)] = (window.position, length)
        window.position += length
        window.file.seek(window.position)
    return content, places


def records(content) -> list[Record]:
    """Every `Record` in all that a pickle holds, once; lists of one list twice, nested, would otherwise take for ever."""
    found, queue, seen = [], [content], set()
    while queue:
        item = queue.pop()
        if type(item) not in (dict, list, tuple, Record) or id(item) in seen:
            continue
        seen.add(id(item))
        if type(item) is Record:
            found.append(item)
            queue += [item.args, item.state, item.items]
        else:
            queue += item.values() if type(item) is dict else item
    return found


def _is_storage(reference) -> bool:
    return type(reference) is tuple and len(reference) in (5, 6) and reference[0] == "storage"


def _dtype(kind, path) -> torch.dtype:
    name = kind.text.rpartition(".")[2].removesuffix("Storage") if type(kind) is Name else None
    if name not in STORAGES:
        raise CheckpointError(f"{path} stores numbers as {str(name)[:40]}; known are {', '.join(STORAGES)}")
    return STORAGES[name]


def find_tensors(content, storage, path) -> None:
    """Give every `Record` that describes a tensor its `StoredTensor`, as `record.tensor`.

    Args:
        content: what `pickles.unpickle` gave.
        storage: function from the description of a storage to a `Storage`.
        path: for messages.
    """
    for record in records(content):
        if record.name.startswith("torch._utils._rebuild_"):
            args = record.args
            if record.name.endswith("_rebuild_parameter") and args and type(args[0]) is Record:
                args = args[0].args
            if len(args) < 4:
                raise CheckpointError(f"{path} describes a tensor in a way that PyTorch does not; it is damaged")
            shape, stride = (a.args[0] if type(a) is Record and a.name == "torch.Size" and a.args else a for a in args[2:4])
            record.tensor = stored_tensor(storage(args[0]), args[1], shape, stride, path)


def storage_finder(places: dict[str, tuple[int, int]], path):
    """The function that finds the numbers a pickle refers to: `places` has byte position and length under each key."""
    def storage(reference) -> Storage:
        if type(reference) is not Record or reference.name != "persistent" or not _is_storage(reference.args[0]):
            raise CheckpointError(f"{path} describes a tensor without numbers; it is damaged or made to deceive")
        _, kind, key, _, numel, *view = reference.args[0]
        dtype, (start, length) = _dtype(kind, path), places.get(str(key), (0, -1))
        if type(numel) is not int or not 0 <= numel * dtype.itemsize <= length:
            raise CheckpointError(f"{path} promises a storage of {str(numel)[:40]} numbers ({dtype}) and holds "
                                  f"{max(length, 0):,} bytes of it; it was cut short, is damaged or made to deceive")
        if view and view[0] is not None:
            raise CheckpointError(f"{path} was written by a PyTorch of before 0.4; open and save it with a newer one")
        return Storage(dtype, start, numel)
    return storage
