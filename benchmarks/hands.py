"""Real photographs: a base GAN of hands, customised with sketches of one pose. Does it come? Is anything memorised?

    python benchmarks/hands.py                     # every task; first: python -m sketchgan hub fetch hands
    python benchmarks/hands.py --only open_drawn   # one of them
    python benchmarks/hands.py --picture           # only the picture of the customised models that are kept in outputs/

Contour tasks: F's sketches of five held-out photographs of a pose. The drawn task: five human drawings of an open hand
(Quick, Draw!, CC BY 4.0), enlarged to where the photographs have their hands, and, for comparison, left where
load_sketches puts them. The judge of hands (photo_judge.py) and the base GAN have seen neither: the split is by file
hash. For memorising, the distance of each sample to its nearest training photograph, in the judge's features, is
compared with that of held-out photographs. Rows go to results/hands.csv one by one.
"""
import argparse
import time
from pathlib import Path

import torch
from _results import RESULTS, ROOT, WEIGHTS, machine, read, show, write

from sketchgan import plotting
from sketchgan.customizing.run import CustomizeConfig, customize
from sketchgan.customizing.warmstart import WarmStart
from sketchgan.drawing.sketches import load_sketches, sketch_of
from sketchgan.files import hub
from sketchgan.measure import metrics
from sketchgan.nets.sampling import sample
from sketchgan.photos import datasets
from sketchgan.pretraining.photo_judge import predicate_of
from sketchgan.weights import checkpoints
from sketchgan.weights.own import load_judge

CSV, PICTURE = RESULTS / "hands.csv", ROOT / "assets" / "hands.jpg"
SAMPLES, COUNT = 1000, 5
KEEP = 0.08                      # of the warm start: the base paints these poses in a tenth of its samples or fewer
OPEN_HANDS = (0, 3, 5, 7, 9)     # drawings of hand.ndjson, from 0: upright hands whose five fingers are spread
LOWER = (0.12, 0.1, 0.88, 1.0)   # where hands stand in these photographs: large, and cut by the lower edge
TASKS = {"open_contour": ("5", "contour"), "open_drawn": ("5", "drawn"), "open_middle": ("5", "drawn, in the middle"),
         "one_contour": ("1", "contour"), "two_contour": ("2", "contour")}
PICTURED = [task for task in TASKS if task != "open_middle"]


def sketches(kind: str, pose: str, held_out: datasets.ImageFolder, F, resolution: int) -> torch.Tensor:
    """Five sketches [5,1,R,R] of a pose: drawn by people, or by F from the first held-out photographs."""
    if kind.startswith("drawn"):
        box = LOWER if kind == "drawn" else "auto"
        return load_sketches(hub.find_data("quickdraw") / "hand.ndjson", resolution, which=OPEN_HANDS[:COUNT], box=box)
    chosen = [i for i, file in enumerate(held_out.files) if file.parent.name == pose][:COUNT]
    return sketch_of(held_out[torch.tensor(chosen)], F)


@torch.no_grad()
def features(judge, images: torch.Tensor) -> torch.Tensor:
    """The judge's features [N,D] of images [N,3,R,R], batch by batch."""
    return torch.cat([judge.features(x) for x in images.split(128)])


def nearest_distances(judge, images: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """Distance [N] of each image to the nearest of the training photographs' features [M,D], mirrored or not."""
    return torch.minimum(*(torch.cdist(features(judge, x), taught).amin(1) for x in (images, images.flip(3))))


def every(folder: datasets.ImageFolder) -> torch.Tensor:
    return folder[torch.arange(len(folder))]


def measure(G, judge, name: str, taught: torch.Tensor) -> dict:
    """The share of samples in the pose with its interval, and the median distance to the nearest training picture."""
    images = sample(G.eval(), SAMPLES, seed=11)
    with torch.no_grad():
        share = metrics.predicate_share(torch.cat([judge.satisfies(name, x) for x in images.split(128)]))
    near = nearest_distances(judge, images, taught)
    return dict(share=round(share.value, 4), low=round(share.low, 4), high=round(share.high, 4),
                nearest_median=round(near.median().item(), 3), nearest_5_percent=round(near.quantile(0.05).item(), 3),
                color=round(metrics.color_spread(images), 4))


def run(task: str, args, networks: tuple, data: tuple, rows: list[dict]) -> None:
    """Customise for `args.seconds` of work from a warm start and add three rows: before, warm start, after."""
    (G, D, F, judge), (taught, held_out) = networks, data
    pose, kind = TASKS[task]
    drawn = sketches(kind, pose, held_out, F, G.resolution)
    config = CustomizeConfig(warm_start=True, warm=WarmStart(keep=KEEP), stopping=None, seed=args.seed,
                             threads=args.threads, sample_every=0)
    began, warm = time.monotonic(), None

    def add(method: str, seconds: float, G) -> None:
        rows[:] = [r for r in rows if (r["task"], r["method"], r["seed"]) != (task, method, args.seed)]
        rows.append(dict(task=task, method=method, seed=args.seed, seconds=round(seconds),
                         gan=checkpoints.content_hash(networks[0])[:12],
                         **measure(G, judge, predicate_of(pose), taught), machine=machine()))
        write(CSV, rows)
        show(rows[-1:])

    add("base", 0, G)
    for step in (steps := customize(G, D, F, drawn, None, config)):
        if warm is None and step.phase == "train":
            warm = step.seconds
            add("warm start", warm, step.G)
        if step.seconds > args.seconds:
            break
    add("both", step.seconds, step.G)
    checkpoints.save(ROOT / "outputs" / "hands" / f"{task}.safetensors", G=step.G)
    steps.close()
    print(f"{task}: {time.monotonic() - began:.0f} s, measuring included", flush=True)


def picture(G) -> None:
    """The base's samples and, at the same z and noise, those of every customised model that is kept."""
    rows = [sample(G, 12, seed=5)]
    for task in PICTURED:
        if (path := ROOT / "outputs" / "hands" / f"{task}.safetensors").is_file():
            rows.append(sample(checkpoints.load_generator(path), 12, seed=5))
    tiled = plotting.image_grid(torch.cat(rows), 12, gap=0)
    tiled.resize((tiled.width * 2, tiled.height * 2)).save(PICTURE, quality=88)
    print(f"{PICTURE.relative_to(ROOT)}: base, then {', '.join(PICTURED)}")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", nargs="*", default=list(TASKS), choices=list(TASKS))
    p.add_argument("--seconds", type=float, default=180.0, help="of work for each task")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--weights", type=Path, default=WEIGHTS)
    p.add_argument("--picture", action="store_true", help="measure nothing")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    base = args.weights / "hands64.safetensors"
    G, D = checkpoints.load_generator(base), checkpoints.load_discriminator(base)
    if not args.picture:
        F = checkpoints.load_photosketch(args.weights / "photosketch.safetensors")
        judge = load_judge(args.weights / "judge_hands.safetensors")
        photos = hub.find_data("hands")
        train, held_out = (datasets.ImageFolder(photos, G.resolution, part=part) for part in ("train", "held_out"))
        taught, rows = features(judge, every(train)), read(CSV)
        near = nearest_distances(judge, every(held_out), taught)
        rows[:] = [r for r in rows if r["task"] != "held-out photographs"]
        rows.append(dict(task="held-out photographs", method="", seed="", nearest_median=round(near.median().item(), 3),
                         nearest_5_percent=round(near.quantile(0.05).item(), 3)))
        for task in args.only:
            run(task, args, (G, D, F, judge), (taught, held_out), rows)
        show(rows)
    picture(G)


if __name__ == "__main__":
    main()
