"""Zip files from elsewhere: looked at before they are believed, unpacked whole or not at all."""

import bz2
import errno
import lzma
import os
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from .checks import Place, checked
from .places import where_else
from .progress import Progress
from .readers import reading

# A zip is a bomb when it promises more than this: real pictures and weights hardly shrink at all.
BOMB_BYTES, BOMB_RATIO = 1 << 30, 100


class ArchiveError(ValueError):
    """A zip file is damaged or hostile; the message says which member and what to do."""


def suspicion(member: zipfile.ZipInfo) -> str | None:
    """Why a member must not be read or unpacked, or None: it leaves the folder, is a link, is encrypted."""
    name = member.filename.replace("\\", "/")
    if not name or "\0" in name or name.startswith("/") or ":" in name.split("/")[0] or ".." in name.split("/"):
        return "its path leaves the folder"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is a link or a device, not a file"
    return "it is encrypted" if member.flag_bits & 1 else None


@checked
def open_zip(path: Place) -> zipfile.ZipFile:
    """The zip file at `path`, opened.

    Raises:
        FileNotFoundError: if there is no such file.
        ArchiveError: if it is no whole zip, or promises to unpack to far more than real files do (a zip bomb).
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no zip file {path}; check the path")
    with reading(path, ArchiveError, "it is not a whole zip file (cut short, or something else): fetch it again"):
        archive = zipfile.ZipFile(path)
    promised = sum(member.file_size for member in archive.infolist())
    if promised > max(BOMB_BYTES, BOMB_RATIO * os.path.getsize(path)):
        archive.close()
        raise ArchiveError(f"{path} of {os.path.getsize(path):,} bytes would unpack to {promised:,}: a zip bomb, and "
                           f"is not touched. If you trust it, unpack it by hand and pass the folder")
    return archive


def place_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin in the zip file."""
    archive.fp.seek(member.header_offset)
    head = archive.fp.read(30)
    return member.header_offset + 30 + sum(struct.unpack_from("<26xHH", head))


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """The bytes of a member, in the memory of `most` bytes whatever it holds; ArchiveError says why not."""
    if reason := suspicion(member):
        raise ArchiveError(f"not read from the zip: {reason}")
    if max(member.file_size, member.compress_size) > most:
        raise ArchiveError(f"too large: {member.file_size:,} bytes, {most:,} are read at most")
    try:
        if member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return archive.read(member)
        data = _unpacked(archive, member)
        if zlib.crc32(data) != member.CRC or len(data) != member.file_size:
            raise zipfile.BadZipFile("its checksum is another")
        return data
    except Exception as error:                                   # zipfile and the decoders raise anything
        raise ArchiveError(f"damaged in the zip: {type(error).__name__}: {error}") from error


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    # zipfile gives bzip2 and LZMA all the memory that they ask for, which a small file can make any amount.
    archive.fp.seek(place_of(archive, member))
    packed = archive.fp.read(member.compress_size)
    if member.compress_type == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor().decompress(packed, member.file_size)
    if member.compress_type != zipfile.ZIP_LZMA:
        raise NotImplementedError(f"compression method {member.compress_type}")
    # In a zip: version, size of the properties (5), properties, data. Alone: properties, size (-1: unknown), data.
    decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=256 << 20)
    return decoder.decompress(packed[4:9] + b"\xff" * 8 + packed[9:], member.file_size)


@checked
def unpack(path: Place, folder: Place, progress: bool = True) -> None:
    """Unpack the zip at `path` into the new `folder`, which appears when everything is in it.

    Raises:
        ArchiveError: if it is damaged or any member is suspicious; then nothing is kept.
        OSError: if the disk has no room (looked at before the first byte).
    """
    folder = Path(folder)
    unfinished = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(unfinished, ignore_errors=True)                # left by a killed process
    with open_zip(path) as archive:
        members = archive.infolist()
        for member in members:
            reason = suspicion(member)
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                reason = reason or f"it is packed in a rare way (method {member.compress_type})"
            if reason:
                raise ArchiveError(f"{path} is not unpacked: of its member {member.filename!r}, {reason}. Leave it")
        size, free = sum(member.file_size for member in members), shutil.disk_usage(folder.parent).free
        if size > free:
            raise OSError(f"{path} unpacks to {size:,} bytes and {folder.parent} has {free:,} free; make room, or "
                          f"{where_else(folder)}")
        try:
            unfinished.mkdir(parents=True)
            with Progress(total=size, desc=f"unpacking {Path(path).name}", unit="B", unit_scale=True, leave=False,
                          disable=not progress) as bar:
                for member in members:
                    _unpack_one(archive, member, unfinished)
                    bar.update(member.file_size)
            os.replace(unfinished, folder)
        except Exception as error:
            # What the disk refuses is not the file's fault; what its names do to each other is.
            if getattr(error, "errno", None) not in (None, errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise
            raise ArchiveError(f"{path} cannot be unpacked: {type(error).__name__}: {error}. Delete it, and fetch it "
                               f"again") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _unpack_one(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder.joinpath(*member.filename.replace("\\", "/").split("/"))
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, open(target, "xb") as file:      # x: none overwrites another
        shutil.copyfileobj(packed, file, 1 << 20)
