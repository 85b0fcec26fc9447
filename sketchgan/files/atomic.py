"""Files that appear whole or not at all, and one owner at a time for a folder that several processes may write.

    write_atomically("run/log.csv", data)
    with locked("run", "this training"):         # a second process is refused, or waits with wait=True
        ...
"""
import contextlib
import errno
import glob
import itertools
import json
import os
import secrets
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from .checks import Bytes, Place, checked

try:
    import fcntl
except ImportError:                                              # Windows: no locks between processes
    fcntl = None


class FolderInUse(OSError):
    """Another run, in this process or another, writes in the folder; the message says which and what to do."""


@checked
def write_atomically(path: Place, data: Bytes) -> None:
    """Make `path` hold `data`; whatever happens before the end, the previous file stays as it was.

    The bytes go to a temporary name beside `path`, reach the disk (fsync), and then take its name in one step.

    Raises:
        OSError: if they cannot be written (full disk, no permission); the temporary file is removed.
    """
    path = Path(path)
    begin = f".{path.name[:40]}."                                # short, since names have a largest length
    partial = path.with_name(f"{begin}{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        kept = "the previous file is untouched" if os.path.exists(path) else "nothing was left behind"
        raise OSError(error.errno, f"could not write {path} ({len(data):,} bytes): {error.strerror}; {kept}. "
                                   f"Free some space or choose another folder, and save again") from error
    finally:
        # Where nothing can be written nothing can be removed either; that must not hide what went wrong.
        with contextlib.suppress(OSError):
            partial.unlink()
    # A process killed while writing leaves its partial file; a day later nobody can still be writing it.
    with contextlib.suppress(OSError):
        _sync_folder(path.parent)
        for stale in path.parent.glob(f"{glob.escape(begin)}*.partial"):
            if time.time() - stale.stat().st_mtime > 86400:
                stale.unlink()


def _sync_folder(folder: Path) -> None:
    # The new name is safe against a power cut only when the folder is on the disk too; Windows has no such call.
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def locked(folder: str | os.PathLike, owner: str = "a run", wait: bool = False, name: str = ".lock") -> Iterator[None]:
    """Own `folder` (made if missing) while the block runs; the system lets go when the process ends, however it ends.

    Args:
        owner: who asks, for the message that a second one gets.
        wait: until the other is done, instead of being refused.
        name: of the lock file, which goes when the block ends; '.a.pt.lock' owns the file a.pt alone.
    Raises:
        FolderInUse: if another run owns the folder, in this process or another.
        OSError: if nothing can be written there.
    """
    path = Path(folder) / name
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+", encoding="utf-8")
        except OSError as error:
            raise OSError(error.errno, f"cannot write in {folder}: {error.strerror}; choose another folder") from error
        with file:
            _take(file, path, wait)
            # Its owner may have removed the file between our opening it and our lock: then this is a lock on nothing.
            if not _is(file, path):
                continue
            file.truncate(0)
            about = {"owner": owner, "pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}
            file.write(json.dumps(about))
            file.flush()
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    path.unlink()
            return


def owned(file: Path | None, owner: str):
    """A block in which nobody else may write a file, None for none; raises FolderInUse if somebody does."""
    return locked(file.parent, owner, name=f".{file.name}.lock") if file else contextlib.nullcontext()


def _is(file, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _take(file, path: Path, wait: bool) -> None:
    if not fcntl:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            owned = path.parent / path.name.removeprefix(".").removesuffix("lock").rstrip(".")
            raise FolderInUse(f"{owned} is in use by {_owner(path)}: wait until it ends, stop it, or choose "
                              f"another folder") from None
        # Some network file systems have no locks; work there is the user's to guard.
        warnings.warn(f"{path.parent} lies on a file system without locks ({error.strerror}): see to it that nothing "
                      f"else writes there meanwhile", stacklevel=5)


def _owner(path: Path) -> str:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        here = " (this very process)" if about["pid"] == os.getpid() else ""
        return f"{about['owner']}, process {about['pid']}{here} on {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"


def stamp(path) -> tuple | None:
    """What tells one version of a file from the next; None if there is none."""
    with contextlib.suppress(FileNotFoundError):
        status = Path(path).stat()
        return status.st_ino, status.st_mtime_ns, status.st_size


def set_aside(path: Path | None) -> Path | None:
    """Give what is there, if anything, the first free name of '*.before.pt', '*.before-2.pt', ...; returns it."""
    if path is None or not path.exists():
        return None
    names = (path.with_name(f"{path.stem}.before{f'-{i}' if i > 1 else ''}{path.suffix}") for i in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    return path.replace(aside)
