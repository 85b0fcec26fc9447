"""What the fast operators gain over the plain ones in a step of G and D, and how little a native kernel could add.

    python benchmarks/network_speed.py

Times forward and backward of the small 64 px networks with each implementation (CPU time, so that other programs do not
count), and the share of it that PyTorch's own convolutions take, which no operator of ours could make faster.
"""
import argparse
import time

import torch
from _results import RESULTS, machine, show, write
from torch.profiler import profile

from sketchgan import ops
from sketchgan.nets.losses import r1_penalty
from sketchgan.nets.stylegan2 import Discriminator, Generator

CHANNELS = {4: 96, 8: 96, 16: 64, 32: 48, 64: 24}


def milliseconds(work, seconds: float) -> float:
    """CPU milliseconds of a call: the lower quartile over `seconds`, after one to warm up."""
    work()
    times, end = [], time.monotonic() + seconds
    while len(times) < 3 or time.monotonic() < end:
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * sorted(times)[len(times) // 4]


def convolution_share(work) -> float:
    """Part of the time of a call that is spent inside convolutions of PyTorch."""
    with profile() as record:
        work()
    events = record.key_averages()
    return sum(e.self_cpu_time_total for e in events if "conv" in e.key) / sum(e.self_cpu_time_total for e in events)


def steps(batch: int) -> dict:
    """Name of a step -> function that runs it once."""
    torch.manual_seed(0)
    G, D = Generator(64, 96, 96, 4, CHANNELS), Discriminator(64, CHANNELS)
    z, x = torch.randn(batch, 96), torch.randn(batch, 3, 64, 64)
    return {"G forward + backward": lambda: G(z).sum().backward(),
            "D forward + backward": lambda: D(x).sum().backward(),
            "D with R1": lambda: (D(x).sum() + r1_penalty(D, x)).backward()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for name, work in steps(args.batch).items():
        row = {"step": name, "batch": args.batch}
        for impl in ("ref", "fast"):
            with ops.implementation(impl):
                row[f"{impl}_ms"] = milliseconds(work, args.seconds)
        row["in_convolutions"] = convolution_share(work)
        rows.append(row)
    show(rows)
    print(f"on {machine()}")
    write(RESULTS / "network_speed.csv", rows)


if __name__ == "__main__":
    main()
