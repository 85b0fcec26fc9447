"""Our training step beside a plain one that follows the published program's operations one to one.

    python benchmarks/step_against_reference.py                          # shipped size; 64 px with official channels
    python benchmarks/step_against_reference.py --sizes 256 --minutes 20
    python benchmarks/step_against_reference.py --sizes shipped --lines  # and where our step's time goes

Same networks, batch and random numbers, one process, one step after the other in turn; CPU time, so that other programs
count little, and the peak of memory in a step above what both need anyway (Linux only).  Of the sizes `64` and `256`
channels and F are the official ones, with random weights: time does not depend on them.  A step counts one in
`d_reg_every` of an R1 step.  `ours, tuned` takes the native operators where they are faster on this machine, as after
`python -m sketchgan tune`.
"""
import argparse
import contextlib
import ctypes
import ctypes.util
import gc
import statistics
import time

import torch
from _plain_step import plain_state, plain_step
from _results import RESULTS, WEIGHTS, machine, read, show, write

from sketchgan.customizing.state import TrainingState
from sketchgan.customizing.step import CustomizeConfig, train_step
from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.ops import native, tuning
from sketchgan.weights import checkpoints

CSV = RESULTS / "step_against_reference.csv"


def networks(size: str):
    """G, D and F: the shipped ones, or official channel tables and the published F at a resolution."""
    if size == "shipped":
        base = WEIGHTS / "horse64.safetensors"
        return (checkpoints.load_generator(base), checkpoints.load_discriminator(base),
                checkpoints.load_photosketch(WEIGHTS / "photosketch.safetensors"))
    torch.manual_seed(0)
    return Generator(int(size)), Discriminator(int(size)), PhotoSketch()


class Walker:
    """One of the two programs, with a state of its own that its steps change."""

    def __init__(self, name: str, nets, config, batch: tuple, least: dict):
        plain, self.least = name == "plain", least if name == "ours, tuned" else {}
        self.name, self.config, self.batch, self.walk = name, config, batch, plain_step if plain else train_step
        self.state = (plain_state if plain else TrainingState)(*nets, batch[1], config)
        self.terms = dict(l_image=config.l_image, l_weight=config.l_weight, augment=config.augment)
        self.seconds, self.peaks, self.losses = {True: [], False: []}, [], []

    def step(self) -> None:
        """One step, timed; steps with R1 apart from those without."""
        regular = self.state.iteration % self.config.d_reg_every == 0
        for p in (*self.state.G.parameters(), *self.state.params_D):
            p.grad = None
        before = forget_peak()
        start = time.process_time()
        with native.choosing(self.least) if self.least else contextlib.nullcontext():
            self.losses.append(self.walk(self.state, *self.batch, self.terms, self.config))
        self.seconds[regular].append(time.process_time() - start)
        self.peaks.append(peak() - before)
        self.state.iteration += 1

    def row(self) -> dict:
        """Medians: of a step, of what R1 costs more, of a step with its share of R1, of the memory."""
        step = statistics.median(self.seconds[False] or self.seconds[True])
        r1 = statistics.median(self.seconds[True]) - step if self.seconds[False] else 0.0
        return {"step_s": step, "r1_s": max(r1, 0.0), "with_r1_s": step + max(r1, 0.0) / self.config.d_reg_every,
                "peak_MB": max(self.peaks) / 1e6, "steps": len(self.losses)}


def memory(name: str) -> int:
    """Bytes of this process, of the system's account: VmRSS (now) or VmHWM (peak); 0 where there is no such account."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))
    except OSError:
        return 0


def forget_peak() -> int:
    """Give free memory back to the system and forget the peak; returns what is in use now."""
    gc.collect()
    if ctypes.util.find_library("c"):
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass
    return memory("VmRSS")


def peak() -> int:
    """Most bytes that this process had since `forget_peak`."""
    return memory("VmHWM")


def compare(size: str, args, least: dict, deadline: float) -> list[dict]:
    """Steps of all in turn until there are enough or time is over; one row each, and the ratios."""
    config = CustomizeConfig(batch=args.batch, seed=1, stopping=None)
    nets = networks(size)
    R = nets[0].resolution
    torch.manual_seed(1)
    batch = (torch.randn(args.batch, 1, R, R).sign(), torch.randn(args.batch, 3, R, R).clamp(-1, 1))
    names = ["plain", "ours", *["ours, tuned"] * any(width < native.NEVER for width in least.values())]
    walkers = [Walker(name, nets, config, batch, least) for name in names]
    if size == "shipped":                           # a first step of each is spent on warming up: the others are long
        for walker in walkers:
            walker.step()
            walker.seconds, walker.peaks = {True: [], False: []}, []
    for walker in walkers:
        walker.state.iteration = 1 if args.without_r1 else 0
    for count in range(args.steps + 1):
        for walker in walkers if count % 2 else walkers[::-1]:
            walker.step()
        said = (f"{w.name} {w.losses[-1]['D_sketch']:.5f} after {w.row()['step_s']:.2f} s" for w in walkers)
        print(f"  {size}: {count + 1} of each; {', '.join(said)}", flush=True)
        if count and time.monotonic() > deadline:
            break
    rows = [dict(size=size, step=w.name, batch=args.batch) | w.row() for w in walkers]
    for walker, row in zip(walkers, rows):
        row |= {"of_plain_time": row["with_r1_s"] / rows[0]["with_r1_s"],
                "of_plain_memory": row["peak_MB"] / (rows[0]["peak_MB"] or 1),
                "loss_difference": max(abs(a[k] - b[k]) / max(abs(a[k]), 1)
                                       for a, b in zip(walkers[0].losses, walker.losses) for k in a)}
    if args.lines:
        show(lines(walkers[-1]))
    return rows


def lines(walker: Walker, most: int = 12) -> list[dict]:
    """Where a step's CPU time goes, by operation of torch, longest first."""
    with torch.profiler.profile() as record:
        walker.step()
    events = sorted(record.key_averages(), key=lambda e: -e.self_cpu_time_total)
    whole = sum(e.self_cpu_time_total for e in events)
    return [dict(operation=e.key, share=e.self_cpu_time_total / whole, ms=e.self_cpu_time_total / 1000, calls=e.count)
            for e in events[:most]]


def native_choices() -> dict[str, int]:
    """From how many channels on the native operators are faster here; none without a compiler."""
    try:
        rows = tuning.measure()
    except native.NativeError as error:
        print(error)
        return {}
    show(rows)
    return tuning.least_channels(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["shipped", "64"], help="shipped, or a resolution")
    parser.add_argument("--steps", type=int, default=3, help="without R1, of each; one with R1 comes first")
    parser.add_argument("--minutes", type=float, default=8.0, help="of each size; at least two steps are made")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--without-r1", action="store_true", help="begin with a step that has no R1 (256 px is slow)")
    parser.add_argument("--plain-only", action="store_true", help="without the native operators, so without a compiler")
    parser.add_argument("--lines", action="store_true", help="print where our step's time goes")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    least = {} if args.plain_only else native_choices()
    rows = []
    for size in args.sizes:
        rows += compare(size, args, least, time.monotonic() + 60 * args.minutes)
        show([row for row in rows if row["size"] == size])
    rows = [row | {"machine": machine(), "date": time.strftime("%Y-%m-%d")} for row in rows]
    write(CSV, [row for row in read(CSV, text=("size",)) if row["size"] not in args.sizes] + rows)
    print(f"on {machine()}")


if __name__ == "__main__":
    main()
