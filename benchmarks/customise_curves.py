"""How fast, how far and at what cost in variety a handful of sketches moves a base GAN: four curves over time.

    python benchmarks/customise_curves.py                  # what is missing, most important first; stop it at any time
    python benchmarks/customise_curves.py --minutes 20     # a piece of it; the next call goes on where this one stopped
    python benchmarks/customise_curves.py --summary        # only the table and the figure of what there is

Tasks: horse on a side, standing cat, five sketches each, either exact contours (Menagerie, seed 3) or drawn ones
(data/sketches). Methods: the base as it is; the warm start alone; adversarial training alone, which is the published
recipe; both. Image regularisation: with samples of the base ('samples': no data needed) or with its training scenes
('data'). Several seeds. Shares and diversity are measured at set seconds of work, from which measuring is left out.
The judge saw neither the base's scenes nor F's. Rows are added to results/customise_curves.csv one by one.
"""
import argparse
import itertools
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from _results import RESULTS, ROOT, WEIGHTS, groups, machine, read, show, write

from sketchgan.customizing.run import CustomizeConfig, customize
from sketchgan.drawing.sketches import load_sketches
from sketchgan.measure import metrics
from sketchgan.nets.judge import Judge
from sketchgan.nets.sampling import sample
from sketchgan.photos import datasets
from sketchgan.weights import checkpoints
from sketchgan.weights.own import load_judge
from sketchgan.world.scenes import PREDICATES, Menagerie

TASKS = ("horse_on_a_side", "standing_cat")
# A warm start alone is how 'both' begins, so it needs no runs of its own.
METHODS = {"adversarial": CustomizeConfig(stopping=None), "both": CustomizeConfig(stopping=None, warm_start=True)}
TIMES = (60, 180, 300, 600)   # seconds of work at which a curve is measured; the issue asks for 180 and 600
SKETCHES = 5
SAMPLES = 2500                # of each generator, against as many scenes
CSV, FIGURE = RESULTS / "customise_curves.csv", RESULTS / "customise_curves.png"
CONFUSION = RESULTS / "judge_confusion.csv"  # by judge_confusion.py; with it, shares are corrected
KEY = ("task", "sketches", "images", "method", "seed")


@dataclass(frozen=True)
class Job:
    """One customisation, measured at several times."""

    task: str
    sketches: str  # 'drawn' or 'contour'
    images: str    # 'samples' or 'data'
    method: str    # 'adversarial' or 'both'
    seed: int

    @property
    def checkpoint(self) -> Path:
        return ROOT / "outputs" / "benchmarks" / ("-".join(map(str, asdict(self).values())) + ".pt")


def jobs(seeds: int) -> list[Job]:
    """All jobs, the most important first: what the quickstart does, then the paper, then more seeds, then data."""
    order = itertools.product(range(seeds), ("samples", "data"), ("drawn", "contour"), ("both", "adversarial"), TASKS)
    everything = [Job(task, sketches, images, method, seed) for seed, images, sketches, method, task in order]
    return sorted(everything, key=lambda job: (job.images == "data", job.seed, job.sketches == "contour"))


class Bench:
    """Networks, references and rows."""

    def __init__(self, weights: Path, samples: int, threads: int):
        torch.set_num_threads(threads)
        self.weights, self.samples, self.threads = weights, samples, threads
        self.judge: Judge = load_judge(weights / "judge.safetensors")
        self.F = checkpoints.load_photosketch(weights / "photosketch.safetensors")
        self.rows, self.references = read(CSV), {}

    def base(self, task: str):
        """Generator and discriminator of the task's category."""
        path = self.weights / f"{PREDICATES[task]}64.safetensors"
        return checkpoints.load_generator(path), checkpoints.load_discriminator(path)

    def sketches(self, job: Job, resolution: int) -> torch.Tensor:
        """Five sketches [5, 1, R, R] of the task."""
        if job.sketches == "drawn":
            return load_sketches(job.task, resolution)[:SKETCHES]
        world = Menagerie(PREDICATES[job.task], resolution, datasets.SEED_SKETCHES, predicate=job.task)
        return world.render(range(SKETCHES), ("contour",)).contour

    def reference(self, task: str) -> metrics.Reference:
        """Conditional scenes, and the base's own samples of the task; measured once and kept beside the checkpoints."""
        if task not in self.references:
            G, _ = self.base(task)
            made_by = "-".join(checkpoints.content_hash(network)[:8] for network in (G, self.judge))
            path = ROOT / "outputs" / "benchmarks" / f"reference-{task}-{self.samples}-{made_by}.pt"
            if not path.is_file():
                print(f"measuring the base for {task} ...", flush=True)
                scenes = datasets.rendered(PREDICATES[task], self.samples, G.resolution, datasets.SEED_EVALUATION,
                                           ("image",),
                                           predicate=task)["image"]
                base, _ = metrics.satisfying_samples(G, self.judge, task, self.samples)
                checkpoints.save_training(path, asdict(metrics.reference(self.judge, datasets.to_float(scenes), base)))
            self.references[task] = metrics.Reference(**checkpoints.load_training(path))
        return self.references[task]

    def measure(self, G, task: str) -> dict:
        """The columns of a row that say how good a generator is."""
        images = sample(G.eval(), self.samples, seed=11)
        judged = [self.judge(x) for x in images.split(128)]
        with torch.no_grad():
            shows = torch.cat([x[task] for x in judged]) > 0.5
            clear = torch.cat([x[PREDICATES[task]] for x in judged]) > 0.5
        share, good = metrics.predicate_share(shows), metrics.predicate_share(shows & clear)
        kept = metrics.diversity(self.judge, self.reference(task), images)
        columns = dict(share=share.value, low=share.low, high=share.high, share_recognisable=good.value,
                       recognisable=clear.double().mean().item(), **asdict(kept))
        return {name: round(value, 4) for name, value in columns.items()}

    def add(self, job: dict, at: float, seconds: float, iteration: int, G) -> None:
        """Measure G and add the row, unless it is there."""
        row = {**job, "at": at, "seconds": round(seconds, 1), "iterations": iteration}
        if self.done(job, at):
            return
        self.rows.append(row | self.measure(G, job["task"]) | {"machine": machine()})
        write(CSV, self.rows)
        last = self.rows[-1]
        print(f"{job} at {at} s: share {last['share']:.1%}, recall {last['relative_recall']:.2f}, colour "
              f"{last['relative_color']:.2f} of the base's", flush=True)

    def done(self, job: dict, at: float) -> bool:
        """Whether the row is there already."""
        return any(all(row[k] == job[k] for k in KEY) and row["at"] == at for row in self.rows)

    def run(self, job: Job, deadline: float, until: float = math.inf) -> None:
        """Do what is left of a job, from its checkpoint if it has one; stops between two steps when time is over, or
        after the last of TIMES that is not beyond `until` seconds of work."""
        left = [at for at in TIMES if at <= until and not self.done(asdict(job), at)]
        if not left:
            return
        G, D = self.base(job.task)
        self.add(asdict(job) | {"method": "base", "seed": 0, "sketches": "none", "images": "none"}, 0, 0.0, 0, G)
        images = datasets.RenderedScenes(PREDICATES[job.task], 4096, G.resolution) if job.images == "data" else None
        config = replace(METHODS[job.method], seed=job.seed, threads=self.threads, sample_every=0)
        resume = job.checkpoint if job.checkpoint.is_file() else None
        warm = job.method == "both"
        steps = customize(G, D, self.F, self.sketches(job, G.resolution), images, config, resume=resume,
                          checkpoint=job.checkpoint)
        for step in steps:
            if warm and step.phase == "train" and step.iteration == 0:
                self.add(asdict(job) | {"method": "warm start"}, 0, step.seconds, 0, step.G)
            while left and step.phase == "train" and step.seconds >= left[0]:
                self.add(asdict(job), left.pop(0), step.seconds, step.iteration + 1, step.G)
            if not left or time.monotonic() > deadline:
                break
        steps.close()  # writes the checkpoint
        if not left and until >= TIMES[-1]:
            job.checkpoint.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------------------ summary

def summary(rows: list[dict]) -> list[dict]:
    """Mean and standard deviation over seeds, one line for each task, kind of sketches, images, method and time."""
    lines = []
    for (task, sketches, images, method, at), group in groups(rows, "task", "sketches", "images", "method",
                                                              "at").items():
        line = dict(task=task, sketches=sketches, images=images, method=method, at=at, seeds=len(group))
        for name in ("seconds", "iterations", "share", "share_recognisable", "relative_recall", "relative_color",
                     "frechet"):
            line[name], sd = metrics.spread([float(row[name]) for row in group])
            if name == "share":
                line["share_sd"] = sd
        lines.append(line | corrected(line))
    return lines


def corrected(line: dict) -> dict:
    """The share corrected for the judge's errors on hand-labelled samples, where there are any."""
    counts = next((r for r in read(CONFUSION) if r["task"] == line["task"] and r["pictures"] == "labelled samples"),
                  None)
    if counts is None:
        return {}
    decided = torch.arange(SAMPLES) < round(line["share"] * SAMPLES)
    share = metrics.predicate_share(decided, tuple(int(counts[k]) for k in ("tp", "fp", "fn", "tn")))
    return dict(corrected=share.value, corrected_low=share.low, corrected_high=share.high)


def verdicts(lines: list[dict]) -> list[str]:
    """What was promised, and whether it holds, in sentences."""
    said = []
    find = lambda **wanted: next((x for x in lines if all(x[k] == v for k, v in wanted.items())), None)
    for task, sketches in itertools.product(TASKS, ("drawn", "contour")):
        which = dict(task=task, sketches=sketches, images="samples")
        warm = find(**which, method="warm start")
        for at, wanted in ((180, 0.60), (600, 0.75)):
            if (both := find(**which, method="both", at=at)) is None:
                continue
            kept = min(both["relative_recall"], both["relative_color"])
            said.append(f"{task}, {sketches}, {at} s: share {both['share']:.0%} (wanted {wanted:.0%}: "
                        f"{'yes' if both['share'] >= wanted else 'NO'}); least diversity {kept:.0%} of the base's "
                        f"(wanted 70%: {'yes' if kept >= 0.7 else 'NO'})")
            if warm:
                gain, noise = both["share"] - warm["share"], max(both["share_sd"], warm["share_sd"])
                few = "" if both["seeds"] >= 3 else f", over {both['seeds']} seed(s) only"
                said.append(f"{task}, {sketches}, {at} s: adversarial training adds {gain:+.1%} to the warm start; "
                            f"standard deviation of seeds {noise:.1%}{few}: "
                            f"{'an improvement' if gain > noise and not few else 'NOT shown'}")
            if data := find(**(which | {"images": "data"}), method="both", at=at):
                names = ("share", "relative_recall", "relative_color")
                worst = max(names, key=lambda n: 1 - both[n] / max(data[n], 1e-9))
                short = 1 - both[worst] / max(data[worst], 1e-9)
                said.append(f"{task}, {sketches}, {at} s: without data {worst} is {short:.0%} below that with data "
                            f"(wanted at most 15%: {'yes' if short <= 0.15 else 'NO'})")
    return said


def draw(rows: list[dict]) -> None:
    """Four curves over time for each task and kind of sketches; thin lines are single seeds."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(10, 6.4), dpi=110, layout="constrained")
    panels = figure.subplots(len(TASKS), 2, sharex=True, sharey=True, squeeze=False)
    colors = {"base": "#6b7280", "warm start": "#edae49", "adversarial": "#2a6f97", "both": "#d1495b"}
    for (i, task), (j, sketches) in itertools.product(enumerate(TASKS), enumerate(("drawn", "contour"))):
        axes = panels[i][j]
        axes.set_title(f"{task.replace('_', ' ')}, {SKETCHES} {sketches} sketches", loc="left", fontsize=10)
        own = [row for row in rows if row["task"] == task and row["sketches"] == sketches
               and row["images"] == "samples"]
        base = [row for row in rows if row["task"] == task and row["method"] == "base"]
        start = {("base", 0): base} | groups([r for r in own if r["method"] == "warm start"], "method", "seed")
        for (method, _), flat in start.items():
            if flat:
                ends, height = [flat[0]["seconds"], TIMES[-1]], flat[0]["share"]
                axes.plot(ends, [height, height], color=colors[method], lw=1.4, ls="--", label=method)
        for (method, seed), curve in groups(own, "method", "seed").items():
            if method in METHODS:
                first = start.get(("warm start", seed)) if method == "both" else base
                points = sorted((row["seconds"], row["share"]) for row in [*(first or []), *curve])
                axes.plot(*zip(*points), color=colors[method], lw=1.4, marker="o", ms=3, label=method)
        for at, wanted in ((180, 0.60), (600, 0.75)):
            axes.plot(at, wanted, marker="_", ms=16, color="#22252b")
        axes.set_ylim(0, 1)
        handles = dict(zip(*reversed(axes.get_legend_handles_labels())))
        axes.legend(handles.values(), handles.keys(), frameon=False, fontsize=8)
    figure.supxlabel("seconds of work", fontsize=9)
    figure.supylabel("share of random samples that satisfy the predicate (dashes: what was promised)", fontsize=9)
    figure.savefig(FIGURE)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=60.0, help="for this call, measuring included")
    p.add_argument("--until", type=float, default=TIMES[-1],
                   help="seconds of work of each job; the rest can follow later")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--samples", type=int, default=SAMPLES)
    p.add_argument("--weights", type=Path, default=WEIGHTS)
    p.add_argument("--only", nargs="*", default=[], help="words that must all be part of a job, such as drawn both "
                                                         "standing_cat")
    p.add_argument("--summary", action="store_true", help="measure nothing")
    args = p.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * args.minutes
    if not args.summary:
        bench = Bench(args.weights, args.samples, args.threads)
        for job in jobs(args.seeds):
            if time.monotonic() < deadline and set(args.only) <= {str(v) for v in asdict(job).values()}:
                bench.run(job, deadline, args.until)
    rows = read(CSV)
    lines = summary(rows)
    show(lines)
    print(*verdicts(lines), sep="\n")
    if rows:
        draw(rows)
        print(f"figure: {FIGURE.relative_to(ROOT)}, rows: {CSV.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
