"""Which operators are faster native on this machine: `python -m sketchgan tune` measures, `impl='auto'` obeys."""
import argparse
import json
import time

import torch

from ..files.atomic import write_atomically
from . import native
from .bias_act import bias_act
from .conv2d import conv2d
from .upfirdn2d import fir_kernel, upfirdn2d


def measure(widths=(32, 64, 128, 256, 512), seconds: float = 0.4, bytes_of_a_map: int = 8 << 20) -> list[dict]:
    """CPU milliseconds of each operator, forward and back, plain and native, at several numbers of channels.

    Both take turns; the smallest of their times counts, so that other programs disturb little.
    """
    native.library()
    rows, kernel = [], fir_kernel()
    for width in widths:
        side = min(64, max(8, int((bytes_of_a_map / (16 * width)) ** 0.5) // 4 * 4))
        x = torch.randn(4, width, side, side).contiguous(memory_format=torch.channels_last).requires_grad_(True)
        w = torch.randn(width, width, 3, 3, requires_grad=True)
        b = torch.randn(width, requires_grad=True)
        works = {"conv3x3": lambda impl: conv2d(x, w, padding=1, impl=impl),
                 "bias_act": lambda impl: bias_act(x, b, impl=impl),
                 "upfirdn2d": lambda impl: upfirdn2d(x, kernel, pad=(2, 1), impl=impl)}
        for operator, work in works.items():
            y = work("fast")
            g = torch.randn_like(y)
            best = {"fast": float("inf"), "native": float("inf")}
            end = time.monotonic() + 2 * seconds
            for turn in range(40):
                for impl in best:
                    start = time.process_time()
                    torch.autograd.grad(work(impl), (x, w, b), g, allow_unused=True)
                    spent = 1000 * (time.process_time() - start)
                    best[impl] = min(best[impl], spent) if turn else best[impl]     # the first warms up
                if turn >= 3 and time.monotonic() > end:
                    break
            rows.append(dict(operator=operator, channels=width, pixels=side, fast_ms=best["fast"],
                             native_ms=best["native"], ratio=best["native"] / best["fast"]))
    return rows


def least_channels(rows: list[dict], gain: float = 0.9) -> dict[str, int]:
    """Of each operator, the width from which on the native one needs at most `gain` of the plain one's time."""
    least = {}
    for name in dict.fromkeys(row["operator"] for row in rows):
        least[name] = native.NEVER
        for row in sorted((row for row in rows if row["operator"] == name), key=lambda row: -row["channels"]):
            if row["ratio"] > gain:
                break
            least[name] = row["channels"]
    return least


def main(argv: list[str] | None = None) -> None:
    """`python -m sketchgan tune`: compile, measure, write down what 'auto' takes from now on."""
    parser = argparse.ArgumentParser(prog="python -m sketchgan tune", description=main.__doc__)
    parser.add_argument("--forget", action="store_true", help="go back to plain PyTorch: remove the measurement")
    parser.add_argument("--threads", type=int, default=None, help="of torch; none given leaves them")
    args = parser.parse_args(argv)
    if args.forget:
        native.choices_file().unlink(missing_ok=True)
        print("impl='auto' is plain PyTorch again")
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        start = time.monotonic()
        native.library()
    except native.NativeError as error:
        raise SystemExit(f"sketchgan tune: {error}") from None
    print(f"compiled, or found, in {time.monotonic() - start:.0f} s")
    rows = measure()
    for row in rows:
        print("{operator:10} {channels:4} channels, {pixels:3} px: plain {fast_ms:8.2f} ms, native {native_ms:8.2f} ms"
              .format(**row))
    least = least_channels(rows)
    stored = {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability(), "least_channels": least,
              "measured": rows}
    write_atomically(native.choices_file(), json.dumps(stored, indent=1).encode())
    native.forget_choices()
    for name, channels in sorted(least.items()):
        print(f"{name}: " + ("plain PyTorch" if channels >= native.NEVER else f"native from {channels} channels on"))
