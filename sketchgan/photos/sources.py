"""Where picture files come from: a folder with all below it, a zip, or an LSUN LMDB, unpacked or in the zip it came in.

Each lists names and reads bytes, and keeps nothing. What it will not even try is in `left_out` once it has listed.
"""
from __future__ import annotations

import itertools
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ..files.archives import ArchiveError, open_zip, place_of, read_member, suspicion
from .lsun import Lmdb, LmdbError
from .pictures import MAX_BYTES, PictureError

# Keys of an LMDB that holds each picture at several sizes: size-number, as stylegan2-pytorch writes them.
SIZED = re.compile(r"(\d{1,5})-(\d+)")


def open_source(path: str | Path) -> Source:
    """The source at `path`, by what it is: also a folder that holds nothing but an LMDB's folder, and a zip of that.

    Raises:
        ValueError: if it is neither a folder, nor a zip, nor an LMDB (a folder with data.mdb), or is damaged.
    """
    path = Path(path)
    if path.is_dir():
        bases = [path] if (path / "data.mdb").is_file() else sorted(base.parent for base in path.glob("*/data.mdb"))
        if bases and (bases[0] == path or all(child in bases for child in path.iterdir() if child.name[0] != ".")):
            if len(bases) > 1:
                raise ValueError(f"{path} holds several LMDBs ({', '.join(base.name for base in bases)}); pass one")
            return Database(bases[0], bases[0] / "data.mdb")
        return Folder(path)
    if path.is_file():
        if path.suffix.lower() == ".mdb":
            return Database(path.parent if path.name == "data.mdb" else path, path)
        if zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
            return open_zipped(path)
    what = "is a file of another kind" if path.is_file() else "is not there"
    raise ValueError(f"{path} {what}: it is no folder of pictures, no zip, and no LSUN LMDB (a folder that holds "
                     f"data.mdb); check the path")


def open_zipped(path: Path) -> Source:
    """A zip of pictures, or the LMDB in a zip as LSUN gives it."""
    archive = open_zip(path)
    bases = [member for member in archive.infolist() if Path(member.filename).name == "data.mdb"]
    if not bases:
        return Zip(path, archive)
    with archive:
        base = bases[0]
        if len(bases) > 1 or base.compress_type != zipfile.ZIP_STORED or suspicion(base):
            raise ValueError(f"{path} holds an LMDB that cannot be read in it (packed, or one of several): unpack it "
                             f"with `unzip {path}` and pass the folder with data.mdb")
        return Database(path, path, place_of(archive, base), base.file_size)


class Source:
    """Names and bytes of picture files.  left_out: (name, reason) of what `list` came upon and did not list."""

    def __init__(self, path: Path):
        self.path, self.left_out = path, []

    def list(self, limit: int | None = None) -> list[tuple[str, int]]:
        """(name, a number that changes with the file where that is cheap to tell) of each file, sorted by name."""
        self.left_out = []
        return list(itertools.islice(self._found(), limit))

    def _leave(self, name: str, reason: str) -> None:
        self.left_out.append((name, reason))


class Folder(Source):
    """All files below a folder, in every depth. Links are followed, and no folder is read twice."""

    def _found(self) -> Iterator[tuple[str, int]]:
        # Folders themselves come before links to them, so that a picture's name does not depend on who links to it.
        found, ahead, links, seen = [], [""], [], set()
        while ahead or links:
            name = (ahead or links).pop()
            try:
                status = os.stat(self.path / name)
                if (status.st_dev, status.st_ino) in seen:
                    self._leave(name, "a link to a folder that is read already")
                    continue
                seen.add((status.st_dev, status.st_ino))
                entries = sorted(os.scandir(self.path / name), key=lambda entry: entry.name, reverse=True)
            except OSError as error:
                self._leave(name or ".", f"a folder that cannot be read: {error.strerror}")
                continue
            for entry in entries:
                below = f"{name}{entry.name}"
                if entry.is_dir():
                    (links if entry.is_symlink() else ahead).append(below + "/")
                elif below.lower().endswith((".zip", "data.mdb")):
                    self._leave(below, "a zip or an LMDB among pictures: pass its own path to read it")
                else:
                    found.append(below)
        yield from ((name, _stamp(self.path / name)) for name in sorted(found))

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


class Zip(Source):
    """The members of a zip file, read in place: nothing is unpacked to disk."""

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        super().__init__(path)
        self.archive = archive
        self.members = {member.filename: member for member in archive.infolist() if not member.is_dir()}

    def _found(self) -> Iterator[tuple[str, int]]:
        for member in self.archive.infolist():
            if not member.is_dir() and self.members[member.filename] is not member:
                self._leave(member.filename, "another file of the same name follows in the zip")
        yield from ((name, self.members[name].CRC) for name in sorted(self.members))

    def read(self, name: str) -> bytes:
        """The bytes of a member, or PictureError."""
        try:
            return read_member(self.archive, self.members[name], MAX_BYTES)
        except ArchiveError as error:
            raise PictureError(str(error)) from error


class Database(Source):
    """The values of an LMDB: files of pictures. Their names are the keys, percent-encoded where needed."""

    def __init__(self, path: Path, file: Path, start: int = 0, size: int | None = None):
        super().__init__(path)
        try:
            self.base = Lmdb(file, start, size)
        except (LmdbError, OSError) as error:
            raise ValueError(f"{path} is no LMDB that can be read ({error}); fetch it again") from error

    def _found(self) -> Iterator[tuple[str, int]]:
        try:
            names = [quote_from_bytes(key, safe=" ") for key in self.base.keys()]
        except LmdbError as error:
            raise ValueError(f"{self.path} is no LMDB that can be read ({error}); fetch it again") from error
        largest: dict[str, tuple[int, str]] = {}
        for name in names:
            if sized := SIZED.fullmatch(name):
                largest[sized[2]] = max(largest.get(sized[2], (0, "")), (int(sized[1]), name))
        for name in names:
            sized = SIZED.fullmatch(name)
            if sized and largest[sized[2]][1] != name:
                self._leave(name, f"a smaller copy: of the same picture as {largest[sized[2]][1]}")
            else:
                yield name, 0

    def read(self, name: str) -> bytes:
        """The bytes of a value, or PictureError."""
        try:
            return self.base.value(unquote_to_bytes(name), MAX_BYTES)
        except (LmdbError, OSError) as error:
            raise PictureError(str(error)) from error
