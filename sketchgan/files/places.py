"""Where things lie: what ships with the library (drawings, small weights), and the cache of what it fetches."""
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def data_folder() -> Path:
    """The folder with sketches/ and weights/: data/ of a checkout, or the copy of it inside an installed wheel.

    Raises:
        FileNotFoundError: if neither place has them.
    """
    for folder in (PACKAGE.parent / "data", PACKAGE / "data"):
        if (folder / "sketches").is_dir():
            return folder
    raise FileNotFoundError(f"the data of sketchgan are neither in {PACKAGE.parent / 'data'} nor in {PACKAGE / 'data'};"
                            f" clone the repository, or install a wheel that was built with its data")


def weights_folder() -> Path:
    """The folder of the weights that ship."""
    return data_folder() / "weights"


def sketches_folder() -> Path:
    """The folder of the drawings that ship."""
    return data_folder() / "sketches"


def cache_folder() -> Path:
    """Where downloads, prepared pictures and rendered scenes are kept: SKETCHGAN_CACHE, else the user's cache folder.

    It may be moved, and deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SKETCHGAN_CACHE") or Path(base) / "sketchgan")


def where_else(folder: Path) -> str:
    """What to do when `folder` cannot take more, in words."""
    inside = folder.resolve().is_relative_to(cache_folder().resolve())
    return "move the cache (set SKETCHGAN_CACHE to another folder)" if inside else "choose another folder"


@contextlib.contextmanager
def remedy(folder: Path) -> Iterator[None]:
    """What the system refuses while the block writes in `folder` is raised again with what to do about it."""
    try:
        yield
    except OSError as error:
        if not error.errno:                                      # one of ours, which says it already
            raise
        raise OSError(error.errno, f"{error.strerror or error}: {error.filename or folder}; make room in {folder}, or "
                                   f"{where_else(folder)}") from error
