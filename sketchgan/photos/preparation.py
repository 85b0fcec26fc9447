"""Photographs of any size and kind into a data set of squares on disk:  python -m sketchgan prepare SOURCE OUT --resolution 64

SOURCE is a folder (with all below it), a zip, or an LSUN LMDB. OUT becomes a folder with

    images.npy      uint8 [N,3,R,R], to be memory-mapped: any picture is read from disk in one piece, without decoding, and none is kept in
                    memory. One plain array does this with nothing but NumPy; PNGs in a zip would be half the size and a decoder slower.
    index.json      how it was made, and of each picture its row, name and sha256
    left_out.csv    every file that is not in it, and why

The work can be stopped in any way at any time: the same call goes on from there and ends with the same bytes, with any number of workers.
"""

import argparse
import csv
import functools
import hashlib
import io
import json
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..files.atomic import locked, write_atomically
from ..files.places import cache_folder
from .pictures import CROPS, PictureError, read_square
from .sources import Folder, open_source

VERSION = 1        # of the pixels and of the files: another one is prepared anew
JOB = 64           # files a worker does in one go; what a kill costs at most, for each worker


@dataclass(frozen=True)
class Plan:
    """What a data set is made from, and how; two equal plans make the same bytes."""

    source: str                    # path
    listing: str                   # hash of the names in it and of their sizes or checksums
    count: int                     # files in it
    resolution: int
    crop: str                      # one of pictures.CROPS
    min_side: int                  # smaller pictures are left out
    drop_duplicates: bool          # whether files with the same bytes as an earlier one are left out
    version: int = VERSION


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
        return (f"{self.kept:,} pictures in {self.out}" + (f", {self.duplicates:,} files repeat an earlier one" if self.duplicates else "")
                + (f"; {len(self.left_out):,} left out ({why}), listed in left_out.csv" if self.left_out else ""))


def prepare(source: str | Path, out: str | Path | None = None, resolution: int = 64, crop: str = "centre", min_side: int = 1,
            limit: int | None = None, drop_duplicates: bool = False, workers: int | None = None, progress: bool = True) -> Report:
    """Crop and resize every picture of `source` into the data set `out` (see the module's first lines), or go on with it.

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
    if resolution < 1 or crop not in CROPS:
        raise ValueError(f"resolution {resolution}, crop {crop!r}; wanted a positive side, and one of {', '.join(CROPS)}")
    _opened.cache_clear()                                        # whatever lay there before may have changed
    opened = _opened(str(source))
    if out and isinstance(opened, Folder) and Path(out).resolve().is_relative_to(opened.path.resolve()):
        raise ValueError(f"{out} lies inside {source}, so that it would be read too; choose a folder outside")
    names, plan = _plan(opened, str(source), resolution, crop, min_side, limit, drop_duplicates)
    out = Path(out) if out else cache_folder() / "prepared" / f"{opened.path.stem}-{resolution}-{_key(plan)}"
    with locked(out.parent, "prepare", wait=True, name=f".{out.name}.lock"):
        index = read_index(out)
        if index is None:
            _finish(plan, _do(plan, names, out, workers, progress), out)
        elif difference := _difference(index["plan"], plan):
            raise ValueError(f"{out} holds another data set ({difference}); choose another folder, or delete it")
    _opened.cache_clear()
    return report(out)


def _plan(opened, source: str, resolution: int, crop: str, min_side: int, limit: int | None, drop_duplicates: bool) -> tuple[list[str], Plan]:
    """The names in an opened source, and the plan that follows."""
    listing = opened.list(limit)
    if not listing:
        raise ValueError(f"no readable picture in {source}: it holds no file")
    text = "".join(f"{name}\0{stamp}\n" for name, stamp in listing).encode("utf-8", "surrogateescape")
    names = [name for name, _ in listing]
    return names, Plan(source, hashlib.sha256(text).hexdigest(), len(names), resolution, crop, min_side, drop_duplicates)


def _identity(plan: dict) -> dict:
    return {key: value for key, value in plan.items() if key != "source"}       # the same files in another place are the same


def _key(plan: Plan) -> str:
    return hashlib.sha256(json.dumps(_identity(asdict(plan))).encode()).hexdigest()[:12]


def _difference(other: dict, plan: Plan) -> str:
    """What makes two plans make other bytes, in words; '' if nothing does."""
    return ", ".join(f"{key} was {other.get(key)!r}, now {value!r}" for key, value in _identity(asdict(plan)).items() if other.get(key) != value)


def read_index(out: str | Path) -> dict | None:
    """The index of a finished data set, or None if there is none (yet)."""
    index = Path(out) / "index.json"
    if not (index.is_file() and index.with_name("images.npy").is_file()):
        return None                                              # a folder of photographs may have an index.json of its own
    try:
        return json.loads(index.read_text())
    except ValueError as error:
        raise ValueError(f"{index} is damaged ({error}); delete {out} and prepare it again") from error


def report(out: str | Path) -> Report:
    """What lies in a finished data set."""
    index = read_index(out)
    with open(Path(out) / "left_out.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        left_out = [(row["file"], row["reason"]) for row in csv.DictReader(file)]
    return Report(Path(out), len(index["rows"]), left_out, index["duplicates"])


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
        yield from pool.map(function, jobs)
    except BrokenProcessPool as error:
        raise OSError(f"one of {workers} worker processes was killed, which mostly means that memory ran out; the same call with fewer "
                      f"workers goes on from what is done") from error
    finally:
        pool.shutdown(cancel_futures=True)


# --------------------------------------------------------------------------------------------------------------------
# The work. Each file has its row in images.npy, whoever writes it; a journal says which jobs are done, and with what result.

@functools.lru_cache(maxsize=1)
def _opened(source: str):
    return open_source(source)                                   # once in each worker


def _work(job: tuple) -> list:
    """Writes the pictures of one job to their rows; returns [name, sha256, reason or ''] of each file."""
    out, source, first, names, resolution, crop, min_side = job
    results = []
    with open(out, "r+b") as file:                               # other workers write to other rows of it
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
    return results


def _do(plan: Plan, names: list[str], out: Path, workers: int | None, progress: bool) -> list:
    """All jobs that the journal does not hold yet; returns [name, sha256, reason] of every file, in order."""
    done = _begin(plan, out)
    firsts = range(0, len(names), JOB)
    jobs = [(out / "images.npy", plan.source, first, names[first:first + JOB], plan.resolution, plan.crop, plan.min_side)
            for first in firsts if first not in done]
    workers = min(workers or min(os.cpu_count() or 1, -(-len(names) // 1000)), max(1, len(jobs)))
    with (open(out / "journal.jsonl", "a", encoding="utf-8") as journal,
          tqdm(total=len(names), initial=len(names) - sum(len(job[3]) for job in jobs), desc=f"preparing {Path(plan.source).name}", unit="img",
               disable=not progress, leave=False) as bar):
        for job, results in zip(jobs, spread(_work, jobs, workers)):
            done[job[2]] = results
            journal.write(json.dumps([job[2], results]) + "\n")
            journal.flush()
            bar.update(len(results))
    return [result for first in firsts for result in done[first]]


def _begin(plan: Plan, out: Path) -> dict[int, list]:
    """The folder with its empty array and a journal; of a journal that is there, what is whole in it: {first row of a job: results}."""
    journal = out / "journal.jsonl"
    if not journal.exists() and out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise ValueError(f"{out} is a folder with something else in it; choose a new one")
    lines = list(_whole_lines(journal))
    if lines and (difference := _difference(lines[0], plan)):
        raise ValueError(f"{out} holds another data set, half made ({difference}); choose another folder, or delete it")
    if not lines:
        room, free = plan.count * 3 * plan.resolution ** 2, shutil.disk_usage(_existing(out)).free
        if room > free:
            raise OSError(f"{plan.count:,} pictures of {plan.resolution} px take {room:,} bytes, and {_existing(out)} has {free:,} free; "
                          f"make room, or take fewer or smaller ones (limit, resolution)")
        out.mkdir(parents=True, exist_ok=True)
    # Rewritten without the line that a kill cut short, so that the next one does not stick to it.
    write_atomically(journal, "".join(json.dumps(line) + "\n" for line in [asdict(plan), *lines[1:]]).encode())
    if not (out / "images.npy").exists():
        empty = out / ".images.npy"
        np.lib.format.open_memmap(empty, "w+", np.uint8, (plan.count, 3, plan.resolution, plan.resolution), version=(1, 0)).flush()
        os.replace(empty, out / "images.npy")                    # its zeros take no room on the disk until they are written
    return dict(lines[1:])


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _whole_lines(journal: Path) -> Iterator:
    if not journal.exists():
        return
    for line in journal.read_text(encoding="utf-8").split("\n")[:-1]:
        try:
            yield json.loads(line)
        except ValueError:
            return


def _finish(plan: Plan, results: list, out: Path) -> None:
    """Writes left_out.csv, then index.json, whose presence says that all is there."""
    rows, left_out, first_of, duplicates = [], [], {}, 0
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
        raise ValueError(f"no readable picture in {plan.source} ({plan.count} files); {out / 'left_out.csv'} says why, such as "
                         f"{left_out[0][0]}: {left_out[0][1]}")
    index = {"plan": asdict(plan), "duplicates": duplicates, "rows": rows, "files": [results[row][0] for row in rows],
             "sha256": [results[row][1] for row in rows]}
    write_atomically(out / "index.json", json.dumps(index).encode())
    (out / "journal.jsonl").unlink()


def main(argv: list[str] | None = None) -> None:
    """The command line; see the module's first lines."""
    parser = argparse.ArgumentParser(prog="python -m sketchgan prepare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a folder, a zip, or an LSUN LMDB")
    parser.add_argument("out", help="the folder to make, or to go on with")
    parser.add_argument("--resolution", type=int, default=64, help="side of the squares in pixels")
    parser.add_argument("--crop", choices=CROPS, default="centre", help="the largest square in the middle, or all of it on white")
    parser.add_argument("--min-side", type=int, default=1, help="leave out pictures with a shorter side")
    parser.add_argument("--limit", type=int, help="only the first so many files, by name")
    parser.add_argument("--drop-duplicates", action="store_true", help="leave out files with the same bytes as an earlier one")
    parser.add_argument("--workers", type=int, help="processes; without it one for every thousand files, up to one a core")
    args = parser.parse_args(argv)
    try:
        print(prepare(**vars(args)))
    except (ValueError, OSError) as error:
        raise SystemExit(f"sketchgan.preparation: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; the same command goes on from there") from None
