"""How many scenes a second Menagerie renders: at least 15 at 64 px on two cores, anti-aliased, is promised.

    python benchmarks/menagerie_speed.py

Counted are whole scenes with photograph, contour and parts, rendered as datasets.rendered does it: one process a core,
one thread each. The processes are started and warm before the clock is.
"""
import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

import torch
from _results import RESULTS, machine, show, write

from sketchgan.world.scenes import CATEGORIES, Menagerie

VIEWS = {"photo, contour, parts": ("image", "contour", "parts"),
         "everything": ("image", "contour", "parts", "albedo", "depth", "portrait")}


def render(job: tuple[str, int, tuple[str, ...], int, int]) -> int:
    """Render some scenes in this process; returns how many."""
    category, resolution, views, start, stop = job
    torch.set_num_threads(1)
    return len(Menagerie(category, resolution).render(range(start, stop), views))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--scenes", type=int, default=64, help="for each line of the table at 64 px; fewer at larger sizes")
    p.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = p.parse_args()
    rows = []
    with ProcessPoolExecutor(args.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(render, [("cat", 32, ("image",), 0, 1)] * args.workers * 2))
        for resolution in (64, 128):
            share = -(-args.scenes * 64 ** 2 // resolution ** 2 // args.workers)
            for category in CATEGORIES:
                for name, views in VIEWS.items():
                    jobs = [(category, resolution, views, k * share, (k + 1) * share) for k in range(args.workers)]
                    began = time.perf_counter()
                    count = sum(pool.map(render, jobs))
                    rows.append(dict(category=category, resolution=resolution, views=name, workers=args.workers,
                                     scenes=count,
                                     scenes_per_second=round(count / (time.perf_counter() - began), 2),
                                     machine=machine()))
    show([{k: v for k, v in row.items() if k != "machine"} for row in rows])
    write(RESULTS / "menagerie_speed.csv", rows)
    slowest = min(row["scenes_per_second"] for row in rows if row["resolution"] == 64
                  and row["views"] == list(VIEWS)[0])
    print(f"slowest at 64 px: {slowest} scenes/s (wanted 15: {'yes' if slowest >= 15 else 'NO'})")


if __name__ == "__main__":
    main()
