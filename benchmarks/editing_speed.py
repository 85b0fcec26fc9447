"""From a slider to its picture: how long the boards of edits and mixtures take, in the kernel, at 64 px.

    python benchmarks/editing_speed.py [--threads 2]

Seconds of the wall clock from a changed slider to the new picture's bytes, median and slowest of fifty; seed 0. What
the browser adds is printed by `python -m pytest -s tests/browser/test_boards.py`.
"""
import argparse
import copy
import statistics
import time

import torch
from _results import WEIGHTS, machine, show

from sketchgan.studios import EditExplorer, ModelMixer
from sketchgan.weights import load_generator

TIMES = 50


def seconds(changed: list, picture) -> list[float]:
    """How long each change takes until `picture()`, the bytes that are shown, is another."""
    took = []
    for change in changed:
        before, began = picture(), time.perf_counter()
        change()
        while picture() == before:
            time.sleep(0.001)
        took.append(time.perf_counter() - began)
    return took


def main() -> None:
    """Move a slider of each board, as fast as it answers."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    G = load_generator(WEIGHTS / "horse64.safetensors")
    models = {"original": G, "a": copy.deepcopy(G), "b": copy.deepcopy(G)}
    for name in ("a", "b"):                             # a mapping network moved at random stands for a customised one
        for q in models[name].style.parameters():
            q.requires_grad_(False).add_(25 * torch.randn_like(q) if q.ndim > 1 else 0.0)
    edits, mixer = EditExplorer(models), ModelMixer(models)
    for board in (edits, mixer):
        board.painter.wait()
    slide = lambda slider, i: lambda: setattr(slider, "value", 0.25 + (slider.value + 0.3) % 1.2)
    rows = []
    for name, slider, picture in (("EditExplorer", edits.sliders[0], lambda: edits.after.png),
                                  ("ModelMixer", mixer.strengths[0], lambda: mixer.view.value)):
        took = seconds([slide(slider, i) for i in range(TIMES)], picture)
        rows.append({"board": name, "median_s": round(statistics.median(took), 3), "slowest_s": round(max(took), 3),
                     "machine": machine()})
    show(rows)


if __name__ == "__main__":
    main()
