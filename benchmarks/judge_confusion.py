"""How far the judge can be trusted: its confusion on held-out renders, and on GAN samples that a person labelled.

    python benchmarks/judge_confusion.py --sheets      # numbered samples to label, in outputs/benchmarks/
    python benchmarks/judge_confusion.py               # the tables, in results/judge_confusion.csv

Samples of a GAN have no true parameters. So a person looks at the sheets and writes, without seeing what the judge
says, one line for each picture into benchmarks/labels/TASK.csv: index, and yes, no, or unclear (left out of the table).
The first line of that file is `gan,seed,index,label`, and --sheets writes it ready to be filled in.
"""
import argparse
from pathlib import Path

import torch
from _results import RESULTS, ROOT, WEIGHTS, read, show, write

from sketchgan.nets.judge import Judge
from sketchgan.nets.sampling import sample
from sketchgan.plotting import image_grid
from sketchgan.weights import checkpoints
from sketchgan.weights.own import load_judge
from sketchgan.world.scenes import PREDICATES

LABELS = ROOT / "benchmarks" / "labels"
COUNT, SEED, COLUMNS = 200, 21, 10


def base_of(task: str, weights: Path):
    """The base generator of a task, or None if it has not been trained."""
    path = weights / f"{PREDICATES[task]}64.safetensors"
    return checkpoints.load_generator(path) if path.is_file() else None


def name_of(G) -> str:
    """What tells one version of a generator from another."""
    return f"sha256:{checkpoints.content_hash(G)[:12]}"


def write_sheets(task: str, weights: Path) -> None:
    """Sheets of 50 samples, ten in a row, and a file of labels to fill in."""
    if (G := base_of(task, weights)) is None:
        return
    images = sample(G, COUNT, SEED)
    folder = ROOT / "outputs" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, COUNT, 50):
        path = folder / f"label-{task}-{start:03d}.png"
        image_grid(images[start:start + 50], COLUMNS, 2).save(path)
        print(f"{path.relative_to(ROOT)}: samples {start} to {start + 49}, ten in a row")
    if not (LABELS / f"{task}.csv").exists():
        gan = name_of(G)
        write(LABELS / f"{task}.csv", [dict(gan=gan, seed=SEED, index=i, label="") for i in range(COUNT)])
        print(f"write yes, no or unclear into {(LABELS / f'{task}.csv').relative_to(ROOT)}")


def counts(said: torch.Tensor, true: torch.Tensor) -> dict:
    """tp, fp, fn, tn and what follows from them."""
    tp, fp, fn, tn = (int(x.sum()) for x in ((said & true), (said & ~true), (~said & true), (~said & ~true)))
    return row_of(tp, fp, fn, tn)


def row_of(tp: int, fp: int, fn: int, tn: int) -> dict:
    """Counts and rates of a confusion."""
    rate = lambda a, b: round(a / b, 4) if b else float("nan")
    return dict(tp=tp, fp=fp, fn=fn, tn=tn, accuracy=rate(tp + tn, tp + fp + fn + tn), found=rate(tp, tp + fn),
                false_alarms=rate(fp, fp + tn))


def labelled(task: str, judge: Judge, weights: Path) -> list[dict]:
    """The judge against the labels of a person; none if there are no labels for this very GAN."""
    rows, G = read(LABELS / f"{task}.csv"), base_of(task, weights)
    known = [row for row in rows if row["label"] in ("yes", "no")]
    if not known or G is None:
        return []
    if known[0]["gan"] != name_of(G):
        print(f"{task}: the labels are of another version of the base GAN; make new --sheets and label those")
        return []
    images = sample(G, COUNT, SEED)[[row["index"] for row in known]]
    with torch.no_grad():
        said = judge.satisfies(task, images)
    true = torch.tensor([row["label"] == "yes" for row in known])
    unclear = sum(row["label"] == "unclear" for row in rows)
    return [dict(task=task, pictures="labelled samples", **counts(said, true), unclear=unclear)]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--sheets", action="store_true", help="write what is to be labelled, measure nothing")
    p.add_argument("--weights", type=Path, default=WEIGHTS)
    args = p.parse_args()
    if args.sheets:
        for task in PREDICATES:
            write_sheets(task, args.weights)
        return
    judge = load_judge(args.weights / "judge.safetensors")
    quality, rows = checkpoints.read_metadata(args.weights / "judge.safetensors")["quality"], []
    for task in judge.predicates:
        for condition in ("clean", "degraded"):
            rows.append(dict(task=task, pictures=f"{condition} renders",
                             **row_of(*quality[condition]["confusion"][task])))
        rows += labelled(task, judge, args.weights)
    show(rows)
    write(RESULTS / "judge_confusion.csv", rows)


if __name__ == "__main__":
    main()
