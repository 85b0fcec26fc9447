"""Broken files by the hundred: a reader reads them or raises its own error, quickly and in little memory.

    from tests.fuzz import assert_survives
    assert_survives(load_sketches, "a.svg", data, SketchError, tmp_path)
"""
import contextlib
import random
import re
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

COUNT, SECONDS, MEGABYTES = 300, 2, 500
NUMBERS = (b"0", b"-1", b"1e18", b"99999999999999999999", b"nan", b"9" * 5000, b"[" * 3000, b"null", b"\\ud800")


def mutants(data: bytes, count: int = COUNT, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """`count` broken copies of a file, each with what was done to it: the same ones for the same seed."""
    rng = random.Random(seed)
    numbers = [match.span() for match in re.finditer(rb"\d+", data)]
    for i in range(count):
        changed, done = bytearray(data), []
        for _ in range(rng.choice((1, 1, 2, 5))):
            at, n = rng.randrange(max(len(changed), 1)), rng.choice((1, 2, 4, 8, 64, 1000))
            # The head of a file says how the rest is read, so half of the changes are there.
            at = at if rng.random() < 0.5 else at % 512
            way = rng.choice(("flip", "cut", "drop", "repeat", "fill", "random", "number", "number"))
            if way == "flip" and at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            elif way == "cut":
                del changed[at:]
            elif way == "drop":
                del changed[at:at + n]
            elif way == "repeat":
                changed[at:at] = changed[at:at + n] * rng.choice((1, 1, 100))
            elif way == "fill":
                changed[at:at + n] = rng.choice((b"\x00", b"\xff", b"\x7f", b"(", b"<")) * n
            elif way == "random":
                changed[at:at + n] = rng.randbytes(n)
            elif numbers and not done:  # positions are true of the whole file only
                start, end = rng.choice(numbers)
                changed[start:end] = rng.choice(NUMBERS)
            done.append(f"{way} {n} at {at}")
        yield f"mutant {i} of seed {seed}: {', '.join(done)}", bytes(changed)


def assert_survives(read: Callable[[Path], object], name: str, data: bytes, errors: type | tuple, folder: Path,
                    count: int = COUNT, seed: int = 0) -> dict[str, int]:
    """Let `read` try `count` broken copies of a file `name` in `folder`; returns how many were read and refused.

    Raises:
        AssertionError: for another error than `errors`, an empty message, more than 2 s of processor time or 500 MB.
    """
    path, outcome = folder / name, {"read": 0, "refused": 0}
    path.write_bytes(data)
    with contextlib.suppress(errors):
        read(path)                      # what is imported on first use is not the broken file's doing
    for what, changed in mutants(data, count, seed):
        path.write_bytes(changed)
        memory, began = peak(), time.process_time()
        try:
            read(path)
            outcome["read"] += 1
        except errors as error:
            assert len(str(error)) > 20, f"{what}: the message is {str(error)!r}"
            outcome["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{what}: a raw {type(error).__name__} ({str(error)[:200]})") from error
        assert time.process_time() - began < SECONDS, f"{what}: took {time.process_time() - began:.1f} s"
        assert peak() - memory < MEGABYTES, f"{what}: took {peak() - memory:.0f} MB"
    return outcome


def peak() -> float:
    """The most memory that this process has held so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
