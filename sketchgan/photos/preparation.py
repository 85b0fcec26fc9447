"""Photographs of any size and kind into a data set of squares on disk.

    python -m sketchgan prepare SOURCE OUT --resolution 64

SOURCE is a folder (with all below it), a zip, or an LSUN LMDB. OUT becomes a folder with

    images.npy      uint8 [N,3,R,R], to be memory-mapped: any picture is read from disk in one piece, without decoding,
                    and none is kept in memory. One plain array does this with nothing but NumPy; PNGs in a zip would be
                    half the size and a decoder slower.
    index.json      how it was made, and of each picture its row, name and sha256
    left_out.csv    every file that is not in it, and why

The work can be stopped in any way at any time: the same call goes on from there and ends with the same bytes, with any
number of workers. Until then OUT/unfinished holds the plan and a file with the results of each job that is done.
"""

import argparse
import contextlib
import csv
import functools
import hashlib
import io
import itertools
import json
import multiprocessing
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from ..files.atomic import locked, write_atomically
from ..files.checks import Count, Place, check_fields, checked
from ..files.places import cache_folder, remedy, where_else
from ..files.progress import Progress
from ..files.readers import reading
from .pictures import CROPS, Crop, PictureError, Resolution, read_square
from .sources import Folder, open_source

VERSION = 1        # of the pixels and of the files: another one is prepared anew
JOB = 64           # files a worker does in one go; what a kill costs at most, for each worker


class DataSetError(ValueError):
    """A prepared data set is damaged; the message says which and what to do."""


@dataclass(frozen=True)
class Plan:
    """What a data set is made from, and how; two equal plans make the same bytes."""

    source: str                    # path
    listing: str                   # hash of the names in it and of their sizes or checksums
    count: Count                   # files in it
    resolution: Resolution
    crop: Crop
    min_side: Count                # smaller pictures are left out
    drop_duplicates: bool          # whether files with the same bytes as an earlier one are left out
    version: int = VERSION
    __post_init__ = check_fields

    @property
    def identity(self) -> dict:
        """All but the source: the same files in another place are the same."""
        return {key: value for key, value in asdict(self).items() if key != "source"}

    def difference(self, other: dict) -> str:
        """What makes this plan and an earlier one make other bytes, in words; '' if nothing does."""
        return ", ".join(f"{key} was {other.get(key)!r}, now {value!r}" for key, value in self.identity.items()
                         if other.get(key) != value)


@dataclass(frozen=True)
class Report:
    """What `prepare` did."""

    out: Path
    kept: int
    left_out: list[tuple[str, str]]    # (name, reason)
    duplicates: int                    # files with the same bytes as an earlier one, left out or not

    def __str__(self) -> str:
        reasons = Counter(reason.split(":")[0] for _, reason in self.left_out)
        why = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        repeat = f", {self.duplicates:,} files repeat an earlier one" if self.duplicates else ""
        left_out = f"; {len(self.left_out):,} left out ({why}), listed in left_out.csv" if self.left_out else ""
        return f"{self.kept:,} pictures in {self.out}{repeat}{left_out}"


@checked
def prepare(source: Place, out: Place | None = None, resolution: Resolution = 64,
            crop: Crop = "centre", min_side: Count = 1, limit: Count | None = None, drop_duplicates: bool = False,
            workers: Count | None = None, progress: bool = True) -> Report:
    """Crop and resize every picture of `source` into the data set `out` (see above), or go on with it.

    Args:
        out: the folder to make; without it one in the cache, made once for the same files and options.
        resolution: side of the squares.
        crop: 'centre', the largest square in the middle, or 'pad', all of the picture on white.
        min_side: leave out pictures with a shorter side.
        limit: only the first so many files, by name.
        workers: processes; without it one for every thousand files, up to one a core.
    Raises:
        ValueError: if there is nothing to read, no picture at all, or `out` holds something else.
        OSError: if the disk has no room (looked at first), or a worker was killed.
    """
    _opened.cache_clear()                                        # whatever lay there before may have changed
    opened = _opened(str(source))
    if out and isinstance(opened, Folder) and Path(out).resolve().is_relative_to(opened.path.resolve()):
        raise ValueError(f"{out} lies inside {source}, so that it would be read too; choose a folder outside")
    listing = opened.list(limit)
    if not listing:
        raise ValueError(f"no readable picture in {source}: it holds no file")
    text = "".join(f"{name}\0{stamp}\n" for name, stamp in listing).encode("utf-8", "surrogateescape")
    names = [name for name, _ in listing]
    plan = Plan(str(source), hashlib.sha256(text).hexdigest(), len(names), resolution, crop, min_side, drop_duplicates)
    key = hashlib.sha256(json.dumps(plan.identity).encode()).hexdigest()[:12]
    out = Path(out) if out else cache_folder() / "prepared" / f"{opened.path.stem}-{resolution}-{key}"
    index = read_index(out)
    if index is None:
        _check_room(plan, out)
        with remedy(out), locked(out, "prepare", wait=True):
            index = read_index(out)                              # another process may have made it meanwhile
            if index is None:
                index = _finish(plan, _do(plan, names, out, workers, progress), opened.left_out, out)
    if difference := plan.difference(index["plan"]):
        raise ValueError(f"{out} holds another data set ({difference}); choose another folder, or delete it")
    _opened.cache_clear()
    return report(out, index)


def read_index(out: str | Path) -> dict | None:
    """The index of a finished data set, or None if there is none (yet); DataSetError if it is damaged."""
    path = Path(out) / "index.json"
    if not (path.is_file() and path.with_name("images.npy").is_file()):
        return None                                              # photographs may have an index.json of their own
    with reading(path, DataSetError, f"delete {out} and prepare it again"):
        index = json.loads(path.read_bytes())
        left_out = index.setdefault("left_out", [])
        plan, rows, files, digests = Plan(**index["plan"]), index["rows"], index["files"], index["sha256"]
        texts = itertools.chain(files, digests, *left_out)
        if not (len(rows) == len(files) == len(digests)
                and all(type(row) is int and 0 <= row < plan.count for row in rows)
                and all(isinstance(text, str) for text in texts)
                and len(bytes.fromhex("".join(digests))) == 32 * len(rows)
                and isinstance(index["duplicates"], int) and all(len(pair) == 2 for pair in left_out)):
            raise DataSetError(f"{path} contradicts itself; delete {out} and prepare it again")
        return index


def report(out: str | Path, index: dict | None = None) -> Report:
    """What lies in a finished data set."""
    index = index or read_index(out)
    return Report(Path(out), len(index["rows"]), [tuple(pair) for pair in index["left_out"]], index["duplicates"])


def spread(function: Callable, jobs: list, workers: int) -> Iterator:
    """`function(job)` for each job, in order, from `workers` processes; with one worker, from this process.

    Raises:
        OSError: if a process was killed, which mostly means that memory ran out.
    """
    if workers <= 1:
        yield from map(function, jobs)
        return
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        with _nameless_main():
            results = pool.map(function, jobs)                   # starts all processes
        yield from results
    except BrokenProcessPool as error:
        raise OSError(f"one of {workers} worker processes was killed, which mostly means that memory ran out; the same "
                      f"call with fewer workers goes on from what is done") from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _nameless_main() -> Iterator[None]:
    # A new process runs the program's file again, so that functions of it are found; ours are in the library. Without
    # this, a script that has no `if __name__ == "__main__":` would start itself again in each worker, and die of it.
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


# --------------------------------------------------------------------------------------------------------------------
# The work. Each file has its row in images.npy, whoever writes it; a small file for each job has its results.

@functools.lru_cache(maxsize=1)
def _opened(source: str):
    return open_source(source)                                   # once in each worker


def _work(job: tuple) -> list:
    """Writes the pictures of one job to their rows, then its results: [name, sha256, reason or ''] of each file."""
    out, source, first, names, resolution, crop, min_side = job
    results = []
    with open(out / "images.npy", "r+b") as file:                # other workers write to other rows of it
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        start, stride = file.tell(), 3 * resolution ** 2
        for row, name in enumerate(names, first):
            digest, reason = "", ""
            try:
                data = _opened(source).read(name)
                digest = hashlib.sha256(data).hexdigest()
                square, size = read_square(data, resolution, crop)
                if min(size) < min_side:
                    raise PictureError(f"too small: {size[0]} x {size[1]} pixels, a side of {min_side} is wanted")
                file.seek(start + row * stride)
                file.write(square.transpose(2, 0, 1).tobytes())
            except PictureError as error:
                reason = str(error)
            results.append([name, digest, reason])
        file.flush()
        os.fsync(file.fileno())
    write_atomically(_done_file(out, first), json.dumps(results).encode())
    return results


def _done_file(out: Path, first: int) -> Path:
    return out / "unfinished" / f"{first:09d}.json"


def _read_done(path: Path, names: list[str]) -> list | None:
    """The results of a job whose file is whole, or None: then it is done again."""
    with contextlib.suppress(Exception):
        results = json.loads(path.read_bytes())
        if [name for name, _, _ in results] == names and all(isinstance(text, str) for text in sum(results, [])):
            return results
    return None


def _do(plan: Plan, names: list[str], out: Path, workers: int | None, progress: bool) -> list:
    """All jobs that are not done yet; returns [name, sha256, reason] of every file, in order."""
    _begin(plan, out)
    pieces = {first: names[first:first + JOB] for first in range(0, len(names), JOB)}
    done = {first: _read_done(_done_file(out, first), piece) for first, piece in pieces.items()}
    jobs = [(out, plan.source, first, piece, plan.resolution, plan.crop, plan.min_side)
            for first, piece in pieces.items() if done[first] is None]
    workers = min(workers or min(os.cpu_count() or 1, -(-len(names) // 1000)), max(1, len(jobs)))
    with Progress(total=len(names), initial=len(names) - sum(len(job[3]) for job in jobs), unit="img", leave=False,
                  desc=f"preparing {Path(plan.source).name}", disable=not progress) as bar:
        for job, results in zip(jobs, spread(_work, jobs, workers)):
            done[job[2]] = results
            bar.update(len(results))
    return [result for results in done.values() for result in results]


def _check_room(plan: Plan, out: Path) -> None:
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    room, free = plan.count * 3 * plan.resolution ** 2, shutil.disk_usage(there).free
    if room > free and not (out / "unfinished").exists():
        raise OSError(f"{plan.count:,} pictures of {plan.resolution} px take {room:,} bytes, and {there} has {free:,} "
                      f"free; make room, take fewer or smaller ones (limit, resolution), or {where_else(out)}")


def _begin(plan: Plan, out: Path) -> None:
    """The folder with its empty array and the plan, or that which was begun."""
    begun = out / "unfinished" / "plan.json"
    if not begun.exists() and any(path.name[0] != "." and path.name != "unfinished" for path in out.iterdir()):
        raise ValueError(f"{out} is a folder with something else in it; choose a new one, or delete it")
    if begun.exists():
        with reading(begun, DataSetError, f"delete {out} and prepare it again"):
            difference = plan.difference(dict(json.loads(begun.read_bytes())))
        if difference:
            raise ValueError(f"{out} holds another data set, half made ({difference}); choose another folder, or "
                             f"delete it")
    write_atomically(begun, json.dumps(asdict(plan)).encode())
    if not (out / "images.npy").exists():
        shape = (plan.count, 3, plan.resolution, plan.resolution)
        np.lib.format.open_memmap(out / ".images.npy", "w+", np.uint8, shape, version=(1, 0)).flush()
        os.replace(out / ".images.npy", out / "images.npy")      # its zeros take no room until they are written


def _finish(plan: Plan, results: list, skipped: list[tuple[str, str]], out: Path) -> dict:
    """Writes left_out.csv, then index.json, whose presence says that all is there; returns the index."""
    rows, left_out, first_of, duplicates = [], list(skipped), {}, 0
    for row, (name, digest, reason) in enumerate(results):
        if not reason and digest in first_of:
            duplicates += 1
            reason = f"duplicate: the same bytes as {first_of[digest]}" if plan.drop_duplicates else ""
        if reason:
            left_out.append((name, reason))
        else:
            first_of.setdefault(digest, name)
            rows.append(row)
    table = io.StringIO(newline="")
    csv.writer(table).writerows([("file", "reason"), *left_out])
    write_atomically(out / "left_out.csv", table.getvalue().encode("utf-8", "surrogateescape"))
    if not rows:
        raise ValueError(f"no readable picture in {plan.source} ({plan.count} files); {out / 'left_out.csv'} says why, "
                         f"such as {left_out[0][0]}: {left_out[0][1]}")
    index = {"plan": asdict(plan), "duplicates": duplicates, "rows": rows, "files": [results[row][0] for row in rows],
             "sha256": [results[row][1] for row in rows], "left_out": left_out}
    write_atomically(out / "index.json", json.dumps(index).encode())
    shutil.rmtree(out / "unfinished", ignore_errors=True)
    return index


def main(argv: list[str] | None = None) -> None:
    """The command line; see the module's first lines."""
    parser = argparse.ArgumentParser(prog="python -m sketchgan prepare", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a folder, a zip, or an LSUN LMDB")
    parser.add_argument("out", help="the folder to make, or to go on with")
    parser.add_argument("--resolution", type=int, default=64, help="side of the squares in pixels")
    parser.add_argument("--crop", choices=CROPS, default="centre", help="the middle square, or all of it on white")
    parser.add_argument("--min-side", type=int, default=1, help="leave out pictures with a shorter side")
    parser.add_argument("--limit", type=int, help="only the first so many files, by name")
    parser.add_argument("--drop-duplicates", action="store_true", help="leave out files that repeat an earlier one")
    parser.add_argument("--workers", type=int, help="processes; without it one for every thousand files")
    args = parser.parse_args(argv)
    try:
        print(prepare(**vars(args)))
    except (ValueError, OSError) as error:
        raise SystemExit(f"sketchgan prepare: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; the same command goes on from there") from None


if __name__ == "__main__":
    main()
