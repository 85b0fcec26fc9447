"""What the small F that ships gives up and gains against the published size: contour F1 and milliseconds an image.

    python benchmarks/sketcher_speed.py

The full size (ngf 64, 9 blocks) is timed with random weights: its own are not part of this project, and time does not
depend on them. F1 is measured on scenes that F was not trained on (Menagerie, seed 4), within 1 and 2 pixels, with
running and with batch statistics.
"""
import argparse

import torch
from _results import RESULTS, WEIGHTS, machine, show, write

from sketchgan.measure.metrics import contour_f1
from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.photos import datasets
from sketchgan.pretraining.fitting import milliseconds
from sketchgan.weights import checkpoints


@torch.no_grad()
def quality(F: PhotoSketch, category: str, scenes: int, batch: int = 16) -> list[dict]:
    """F1 of F on fresh scenes of a category, one row for each kind of statistics."""
    views = datasets.rendered(category, scenes, 64, datasets.SEED_EVALUATION, ("image", "contour"))
    images, truth = (datasets.to_float(views[name]) for name in ("image", "contour"))
    rows = []
    for batch_stats in (False, True):
        F.batch_stats = batch_stats
        drawn = torch.cat([F(x) for x in images.split(batch)])
        row = dict(category=category, statistics="batch" if batch_stats else "running")
        for tolerance in (1, 2):
            scores = contour_f1(drawn, truth, tolerance)
            row |= {f"{name}_{tolerance}px": round(scores[name], 4) for name in ("f1", "precision", "recall")}
        rows.append(row | {"ink": round(scores["ink"], 3)})
    return rows


def timing(name: str, F: PhotoSketch, repeats: int) -> dict:
    """Size and speed of one network, forward."""
    F = F.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    row = dict(network=name, parameters=sum(p.numel() for p in F.parameters()))
    for resolution in (64, 128):
        row[f"ms_{resolution}px"] = round(milliseconds(F, resolution, repeats=repeats), 2)
    return row | {"machine": machine()}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--weights", default=str(WEIGHTS / "photosketch.safetensors"))
    p.add_argument("--scenes", type=int, default=256)
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--categories", nargs="+", default=["cat", "horse"])
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    F = checkpoints.load_photosketch(args.weights)
    rows = [row for category in args.categories for row in quality(F, category, args.scenes)]
    show(rows)
    write(RESULTS / "sketcher_quality.csv", rows)
    F.batch_stats = True
    times = [timing(f"ships (ngf {F.ngf}, {F.n_blocks} blocks)", F, args.repeats),
             timing("published size (ngf 64, 9 blocks)", PhotoSketch(), args.repeats)]
    print()
    show([{k: v for k, v in row.items() if k != "machine"} for row in times])
    write(RESULTS / "sketcher_speed.csv", times)


if __name__ == "__main__":
    main()
