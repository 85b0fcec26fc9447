"""Files, whole or not at all; and one owner at a time for what several processes may write."""
import contextlib
import fcntl
import glob
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path


def write_atomically(path: str | os.PathLike, data: bytes | memoryview) -> None:
    """Make `path` hold `data`; whatever happens before the end, the previous file stays as it was.

    The bytes go to a temporary name beside `path`, reach the disk (fsync), and then take its name in one step.

    Raises:
        OSError: if they cannot be written (full disk, no permission); the temporary file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        kept = "the previous file is untouched" if path.exists() else "nothing was left behind"
        raise OSError(error.errno, f"could not write {path} ({len(data):,} bytes): {error.strerror}; {kept}. "
                                   f"Free some space or choose another folder, and save again") from error
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)
    # A process killed while writing leaves its partial file; a day later nobody can still be writing it.
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - stale.stat().st_mtime > 86400:
                stale.unlink()


def _sync_folder(folder: Path) -> None:
    # The new name is safe against a power cut only when the folder is on the disk too; Windows has no such call.
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file, which the system lets go when this process ends, however it ends; gives whether it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
