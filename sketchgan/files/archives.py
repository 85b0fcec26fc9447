"""Zip files from elsewhere: looked at before they are believed, unpacked whole or not at all."""

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from tqdm import tqdm

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


def open_zip(path: str | Path) -> zipfile.ZipFile:
    """The zip file at `path`, opened.

    Raises:
        ArchiveError: if it is no whole zip, or promises to unpack to far more than real files do (a zip bomb).
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ArchiveError(f"{path} is not a whole zip file ({error}); it was cut short or is something else: fetch it again") from error
    promised = sum(member.file_size for member in archive.infolist())
    if promised > max(BOMB_BYTES, BOMB_RATIO * os.path.getsize(path)):
        archive.close()
        raise ArchiveError(f"{path} of {os.path.getsize(path):,} bytes would unpack to {promised:,}: a zip bomb, and is not touched. "
                           f"If you trust it, unpack it by hand and pass the folder")
    return archive


def unpack(path: str | Path, folder: str | Path, progress: bool = True) -> None:
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
            if reason := suspicion(member):
                raise ArchiveError(f"{path} is not unpacked: of its member {member.filename!r}, {reason}. Do not use this file")
        size, free = sum(member.file_size for member in members), shutil.disk_usage(folder.parent).free
        if size > free:
            raise OSError(f"{path} unpacks to {size:,} bytes and {folder.parent} has {free:,} free; make room, or move the cache (SKETCHGAN_CACHE)")
        try:
            unfinished.mkdir(parents=True)
            with tqdm(total=size, desc=f"unpacking {Path(path).name}", unit="B", unit_scale=True, disable=not progress, leave=False) as bar:
                for member in members:
                    _unpack_one(archive, member, unfinished)
                    bar.update(member.file_size)
            os.replace(unfinished, folder)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, FileExistsError, NotADirectoryError) as error:
            raise ArchiveError(f"{path} cannot be unpacked: {type(error).__name__}: {error}. Delete it and fetch it again") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _unpack_one(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder.joinpath(*member.filename.replace("\\", "/").split("/"))
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, open(target, "xb") as file:      # x: no member overwrites another
        shutil.copyfileobj(packed, file, 1 << 20)
