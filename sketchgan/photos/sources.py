"""Where picture files come from: a folder with all below it, a zip, or an LSUN LMDB. Each lists names and reads bytes, and keeps nothing."""
from __future__ import annotations

import itertools
import os
import stat
import zipfile
import zlib
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ..files.archives import open_zip, suspicion
from .pictures import MAX_BYTES, PictureError


def open_source(path: str | Path) -> Folder | Zip | Lmdb:
    """The source at `path`, by what it is.

    Raises:
        ValueError: if it is neither a folder, nor a zip, nor an LMDB (a folder with a data.mdb), or is a damaged or hostile zip.
    """
    path = Path(path)
    if path.name == "data.mdb" or (path / "data.mdb").is_file():
        return Lmdb(path.parent if path.name == "data.mdb" else path)
    if path.is_dir():
        return Folder(path)
    if path.is_file() and (zipfile.is_zipfile(path) or path.suffix.lower() == ".zip"):
        return Zip(path)
    what = "is a file of another kind" if path.is_file() else "is not there"
    raise ValueError(f"{path} {what}: it is no folder of pictures, no zip, and no LSUN LMDB (a folder that holds data.mdb); check the path")


class Folder:
    """All files below a folder, in every depth. Links to files are followed, links to folders are not."""

    def __init__(self, path: Path):
        self.path = path

    def list(self, limit: int | None = None) -> list[tuple[str, int]]:
        """(name relative to the folder, a number that changes with the file) of each file, sorted by name."""
        found = []
        for folder, _, files in os.walk(self.path):
            found += [Path(folder, file) for file in files]
        names = sorted((file.relative_to(self.path).as_posix(), file) for file in found)
        return [(name, _stamp(file)) for name, file in names[:limit]]

    def read(self, name: str) -> bytes:
        """The bytes of a file, or PictureError."""
        path = self.path / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):                 # a pipe would wait for ever
                raise PictureError("not a regular file")
            if status.st_size > MAX_BYTES:
                raise PictureError(f"too large: {status.st_size:,} bytes, {MAX_BYTES:,} are read at most")
            return path.read_bytes()
        except OSError as error:
            raise PictureError(f"cannot be read: {error.strerror}") from error


def _stamp(path: Path) -> int:
    try:
        status = path.stat()
    except OSError:
        return -1
    return hash((status.st_size, status.st_mtime_ns))


class Zip:
    """The members of a zip file, read in place: nothing is unpacked to disk."""

    def __init__(self, path: Path):
        self.path, self.archive = path, open_zip(path)
        self.members = {member.filename: member for member in self.archive.infolist() if not member.is_dir()}

    def list(self, limit: int | None = None) -> list[tuple[str, int]]:
        """(name, checksum) of each member, sorted by name."""
        return [(name, self.members[name].CRC) for name in sorted(self.members)[:limit]]

    def read(self, name: str) -> bytes:
        """The bytes of a member, or PictureError."""
        member = self.members[name]
        if reason := suspicion(member):
            raise PictureError(f"not read from the zip: {reason}")
        if member.file_size > MAX_BYTES:
            raise PictureError(f"too large: {member.file_size:,} bytes, {MAX_BYTES:,} are read at most")
        try:
            return self.archive.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise PictureError(f"damaged in the zip: {error}") from error


class Lmdb:
    """The values of an LMDB as LSUN ships it (keys are names, values are WebP files); names are its keys, percent-encoded where needed."""

    def __init__(self, path: Path):
        try:
            import lmdb
        except ImportError as error:
            raise ValueError(f"{path} is an LMDB, and the package that reads it is missing: pip install 'sketchgan[lsun]' (or lmdb alone)") from error
        self.path = path
        try:
            self.base = lmdb.open(str(path), readonly=True, lock=False, readahead=False)
        except lmdb.Error as error:
            raise ValueError(f"{path} is no LMDB that can be read ({error}); it was cut short or damaged: fetch it again") from error

    def list(self, limit: int | None = None) -> list[tuple[str, int]]:
        """(key, 0) of each value, sorted; values are not touched, since LSUN's are tens of gigabytes."""
        with self.base.begin() as view:
            keys = view.cursor().iternext(keys=True, values=False)
            return [(quote_from_bytes(key, safe=" "), 0) for key in itertools.islice(keys, limit)]

    def read(self, name: str) -> bytes:
        """The bytes of a value, or PictureError."""
        with self.base.begin(buffers=True) as view:
            value = view.get(unquote_to_bytes(name))
            if value is None or len(value) > MAX_BYTES:
                raise PictureError("no such key" if value is None else f"too large: {len(value):,} bytes, {MAX_BYTES:,} are read at most")
            return bytes(value)
