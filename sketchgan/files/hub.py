"""Downloads by name (those of catalogue.csv): weights, sketches and photographs that others have published.

    python -m sketchgan hub list               # what there is: size, licence, what for
    python -m sketchgan hub fetch hands        # into the cache; prints where it lies
    python -m sketchgan hub path hands         # where it lies, without fetching

Nothing of it belongs to this project, and nothing is fetched unasked. The sha256 of what came is recorded beside it in
the cache, and something else later is an error. SKETCHGAN_OFFLINE=1 uses the cache only. SKETCHGAN_CACHE moves it; a
file fetched by hand is put where `path` says, and is checked the same way.
"""

import argparse
import csv
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from . import archives
from .atomic import locked, write_atomically
from .checks import Filled, checked
from .downloads import DownloadError, check, download
from .places import cache_folder, remedy
from .readers import reading

Name = Annotated[str, Filled()]


@dataclass(frozen=True)
class Item:
    """One download."""

    name: str
    what: str                       # it is, and is for
    licence: str
    urls: tuple[str, ...]           # of the same file: the first that works is taken
    file: str                       # its name in the cache
    kind: str = "zip"               # what it must begin like, a key of downloads.MAGIC; a zip is unpacked
    page: str = ""                  # where a person finds it, and its licence
    inside: str = ""                # the folder of the unpacked zip that matters
    about: str = ""                 # its size, in words
    group: str = ""                 # items of a group lie in one folder
    sha256: str = ""                # where published

    @property
    def place(self) -> Path:
        """The file in the cache, whether it is there or not."""
        return cache_folder() / "downloads" / (self.group or self.name) / self.file

    @property
    def result(self) -> Path:
        """What `fetch` returns: the file, or the folder that it unpacks to."""
        return self.place.parent / "unpacked" / self.inside if self.kind == "zip" else self.place

    @property
    def record(self) -> Path:
        """The JSON beside the file: address, time, bytes, sha256."""
        return self.place.with_name(self.file + ".json")

    def by_hand(self) -> str:
        """What to do when the host does not give it."""
        return (f"By hand: find {self.file} at {self.page or self.urls[0]} with a browser, save it as {self.place}, "
                f"and call again. Another place for the cache: SKETCHGAN_CACHE")


def _items() -> Iterator[Item]:
    with open(Path(__file__).with_name("catalogue.csv"), newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield Item(**row | {"urls": tuple(row["urls"].split())})


ITEMS = {item.name: item for item in _items()}


@checked
def fetch(name: Name, progress: bool = True) -> Path:
    """The file, or the unpacked folder, of a named download: from the cache, else from its addresses.

    Raises:
        DownloadError: if it cannot be had (with a reason for each address, and the way by hand), or is not what it was.
        ArchiveError: if what came is a damaged or hostile zip.
    """
    item = _item(name)
    if item.kind == "zip" and item.result.exists():
        return item.result                                       # also where the cache cannot be written
    with remedy(item.place.parent), locked(item.place.parent, f"hub fetch {name}", wait=True):
        if item.kind == "zip" and item.result.exists():
            return item.result
        known = _read(item.record)
        try:
            if item.place.exists():
                known = _recognise(item, known)
            elif os.environ.get("SKETCHGAN_OFFLINE", "0") not in ("", "0"):
                raise DownloadError("it is not in the cache, and SKETCHGAN_OFFLINE forbids to fetch it")
            else:
                known = download(item.urls, item.place, item.kind, item.sha256 or known.get("sha256"), progress)
                _write(item, known)
        except DownloadError as error:
            changed = f" If the publisher has changed the file and you trust the new one, delete {item.record}."
            raise DownloadError(f"{name} could not be fetched: {error}\n{item.by_hand()}."
                                f"{changed if 'sha256 is' in str(error) else ''}") from error
        if item.kind == "zip":
            archives.unpack(item.place, item.place.parent / "unpacked", progress)
            item.place.unlink()                                  # its record stays
            if not item.result.is_dir():
                raise DownloadError(f"{name} lies in {item.place.parent / 'unpacked'} and holds no {item.inside}: "
                                    f"it is arranged in another way than it was: pass the folder you need yourself")
    return item.result


@checked
def find_data(name: Name) -> Path:
    """The folder `name` ('hands', 'quickdraw', a download) below SKETCHGAN_DATA or in the cache; nothing is fetched.

    Raises:
        FileNotFoundError: if it is nowhere, saying how to get it.
    """
    root = os.environ.get("SKETCHGAN_DATA")
    if root and (Path(root) / name).is_dir():
        return Path(root) / name
    items = [item for item in ITEMS.values() if name in (item.name, item.group)] or [_item(name)]
    if all(item.result.exists() for item in items):
        return items[0].result if items[0].name == name else items[0].place.parent
    commands = "; ".join(f"python -m sketchgan hub fetch {item.name}" for item in items)
    mine = Path(root) / name if root else "SKETCHGAN_DATA (not set)"
    raise FileNotFoundError(f"{name} is neither in {mine} nor in the cache. Get it with\n"
                            f"  {commands}\nor set SKETCHGAN_DATA to a folder that holds a folder {name}")


def table() -> str:
    """All downloads as a Markdown table: name, what it is for, size, licence, page."""
    rows = ["| name | what it is | size | licence | page |", "|---|---|---|---|---|"]
    for item in ITEMS.values():
        size = item.about or "unknown"
        if item.result.exists():
            files = item.result.rglob("*") if item.result.is_dir() else [item.result]
            size = f"{sum(file.stat().st_size for file in files) / 1e6:,.0f} MB, in the cache"
        rows.append(f"| {item.name} | {item.what} | {size} | {item.licence} | {item.page} |")
    return "\n".join(rows)


def _item(name: str) -> Item:
    if name not in ITEMS:
        raise ValueError(f"there is no download {name!r}; there are {', '.join(ITEMS)}")
    return ITEMS[name]


def _read(record: Path) -> dict:
    with reading(record, DownloadError, "delete this record if you trust the file beside it"):
        known = dict(json.loads(record.read_bytes())) if record.exists() else {}
        if not all(isinstance(known.get(name, ""), str) for name in ("url", "sha256")):
            raise TypeError("an address or a sha256 that is no text")
        return known


def _write(item: Item, known: dict) -> None:
    stamp = item.place.stat().st_mtime_ns
    about = {"name": item.name, "licence": item.licence, "fetched": time.strftime("%Y-%m-%d"), "modified": stamp}
    write_atomically(item.record, (json.dumps(known | about, indent=1) + "\n").encode())


def _recognise(item: Item, known: dict) -> dict:
    """Check a file that lies in the cache against its record; one that was put there by hand gets its record now."""
    status = item.place.stat()
    if (status.st_size, status.st_mtime_ns) == (known.get("size"), known.get("modified")):
        return known                                             # untouched since its sha256 was taken
    try:
        digest = check(item.place, item.kind, item.sha256 or known.get("sha256"))
    except DownloadError as error:
        raise DownloadError(f"of {item.place}, {error}. Delete that file to fetch it again") from error
    known = {"url": "by hand", **known, "size": status.st_size, "sha256": digest}
    _write(item, known)
    return known


def main(argv: list[str] | None = None) -> None:
    """The command line; see the module's first lines."""
    parser = argparse.ArgumentParser(prog="python -m sketchgan hub", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what can be fetched")
    for command, what in (("fetch", "fetch a download into the cache"),
                          ("path", "where a download lies, or belongs, in the cache"),
                          ("find", "where data lie: below SKETCHGAN_DATA, else in the cache")):
        commands.add_parser(command, help=what).add_argument("name", help="as in the list")
    args = parser.parse_args(argv)
    try:
        if args.command == "list":
            print(table())
        elif args.command == "fetch":
            print(fetch(args.name))
        elif args.command == "find":
            print(find_data(args.name))
        else:
            item = _item(args.name)
            print(item.result if item.result.exists() else item.place)
    except (ValueError, OSError) as error:
        raise SystemExit(f"sketchgan hub {args.command}: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; what has arrived stays, and the same command goes on from there") from None
