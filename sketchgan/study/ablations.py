"""The ablation table: every row of the paper's comparison, under one budget, in order of importance, resumable.

    python -m sketchgan ablations --minutes 60          # the most important rows that are missing; call again to go on
    python -m sketchgan ablations --summary             # only the table, the orderings and the figure of what there is
    torchrun --nproc-per-node 2 -m sketchgan ablations --threads 1      # rows side by side; so do two terminals
    python -m sketchgan ablations --only standing_cat   # a part, for this machine; --collect rows.csv adds others' rows
    python -m sketchgan ablations --iterations 5000 --checks 5 --only "full method" 0     # longer: beside the table
    python -m sketchgan ablations --photos hands --pose 5 --base outputs/hands64/gan.safetensors \\
        --judge judge_hands.safetensors --csv benchmarks/results/ablations_hands.csv      # on real photographs

Each trained row is measured at several iterations of its run, and each measurement is one line of the CSV, written
at once. A run that is stopped or killed goes on from its checkpoint. What was not run stays in the table as "not run".
"""

import argparse
import copy
import math
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..customizing.controls import Controls
from ..customizing.run import CustomizeConfig, NonFiniteLoss, Run
from ..customizing.state import seeded
from ..customizing.stopping import StoppingRule, Watch
from ..customizing.warmstart import WarmStart, warm_start
from ..files import tables
from ..files.atomic import FolderInUse, locked
from ..files.progress import Progress
from ..measure import metrics
from ..measure.evaluation import evaluate
from ..measure.extractors import features_of, judge_features
from ..nets.sampling import sample
from ..pretraining.photo_judge import predicate_of
from ..weights import checkpoints
from ..weights.own import load_sketch_embedding
from . import table
from .baselines import by_chamfer, by_embedding, retrieve
from .tasks import MAIN, TASKS, Task, menagerie_task, photo_task

# What a measurement is known by; base: the hash of the generator that it all began from.
KEY = ("task", "base", "row", "seed", "iterations", "batch", "bf16", "samples", "at")
KEPT_BACK = 6  # sketches beyond those of a row that no row trains with: what a stopping rule may look at


@dataclass(frozen=True)
class Row:
    """One line of the table. how: 'base', 'embedding', 'chamfer', 'warm start' or 'training'; rank: order of
    importance;
    sketches: how many; changes: fields of CustomizeConfig that differ from the full method; data: whether D_image
    learns from the data set, not from samples of the base; pool: of how many samples a baseline keeps the nearest,
    where not the budget's; main: wanted for every task."""

    name: str
    how: str
    rank: int
    sketches: int = 30
    changes: dict = field(default_factory=dict)
    data: bool = True
    pool: int | None = None
    main: bool = False


# In the order of the table. 'full method' is also the row 'image regularisation' and the row of 30 sketches.
ROWS = (
    Row("original", "base", 1, main=True),
    Row("sketch retrieval", "embedding", 6, main=True),
    Row("chamfer matching", "chamfer", 2, main=True),
    Row("chamfer matching, nearer half", "chamfer", 6, pool=5000),
    Row("full method", "training", 0, main=True),
    Row("without augmentation", "training", 12, changes={"augment": ""}),
    Row("D from scratch", "training", 7, changes={"d_sketch_pretrained": False}),
    Row("W-shift", "training", 11, changes={"optim_param": "w_shift"}),
    Row("sketch loss only", "training", 8, changes={"l_image": 0.0}),
    Row("weight regularisation", "training", 10, changes={"l_image": 0.0, "l_weight": 1.0}),
    Row("1 sketch", "training", 5, sketches=1),
    Row("5 sketches", "training", 4, sketches=5),
    Row("images from the base's samples", "training", 9, data=False),
    Row("image and weight regularisation", "training", 15, changes={"l_weight": 1.0}),
    Row("affine layers", "training", 14, changes={"optim_param": "affine"}),
    Row("all of G", "training", 13, changes={"optim_param": "all"}),
    Row("warm start alone", "warm start", 3, main=True),
    Row("warm start, then full method", "training", 4, changes={"warm_start": True}),
)
NAMED = {row.name: row for row in ROWS}


@dataclass(frozen=True)
class Budget:
    """What every row gets alike."""

    iterations: int = 2000   # of training; the paper's 30,000 where a GPU is lent
    batch: int = 4
    bf16: int = 1            # 1: trains in bfloat16, all but R1; 0: in float32, for processors without it
    samples: int = 2500      # of each generator, against as many target pictures
    checks: int = 4          # measurements in the course of a training, evenly spaced; the last is the table's
    pool: int = 25_000       # samples that the baselines search: ten for each one they may keep
    resamples: int = 40      # half-samples behind each interval: its width is then known to a ninth


@dataclass(frozen=True)
class Job:
    """One row of one task with one seed."""

    task: str
    row: str
    seed: int

    def __str__(self) -> str:
        return f"{self.task}, {self.row}, seed {self.seed}"


def jobs(tasks: dict[str, bool], seeds: int) -> list[Job]:
    """All jobs, the most important first; tasks: name -> whether it gets the full grid.

    Two seeds of the full grid, then the main rows of the other tasks, then the remaining seeds of the grid.
    """
    ranked = sorted(ROWS, key=lambda row: row.rank)
    grid = lambda seed: [Job(t, row.name, seed) for row in ranked for t, main in tasks.items() if main]
    rest = [Job(t, row.name, 0) for row in ranked if row.main for t, main in tasks.items() if not main]
    first = [job for seed in range(min(2, seeds)) for job in grid(seed)]
    return first + rest + [job for seed in range(2, seeds) for job in grid(seed)]


# -------------------------------------------------------------------------------------------- files that are shared

def add_rows(csv: Path, rows: list[dict], work: Path) -> None:
    """Put rows into the CSV, those of the same key in place of old ones; safe beside other processes.

    A file of an older version, without some column of the key, is kept as it is and added to."""
    with locked(work, "ablations", wait=True, name=f".{csv.stem}.lock"):
        kept = {tuple(str(row.get(k)) for k in KEY): row for row in [*tables.read(csv, table.TEXT), *rows]}
        csv.parent.mkdir(parents=True, exist_ok=True)
        tables.write(csv, list(kept.values()))


# -------------------------------------------------------------------------------------------------------- the runner

class Runner:
    """Makes rows. build: task name -> Task, called once each; work: folder of checkpoints; deadline: time.monotonic()
    after which nothing new is begun and training pauses; warm, rule: how the warm start searches and a stopping rule
    looks."""

    def __init__(self, build, csv: Path, work: Path, weights: Path, budget: Budget = Budget(), device: str = "cpu",
                 deadline: float = math.inf, warm: WarmStart = WarmStart(), rule: StoppingRule = StoppingRule()):
        self.build, self.csv, self.work, self.weights = build, Path(csv), Path(work), Path(weights)
        self.budget, self.device, self.deadline, self.warm, self.rule = budget, device, deadline, warm, rule
        self.tasks: dict[str, Task] = {}
        self.targets: dict[str, Tensor] = {}

    def task(self, name: str) -> Task:
        if name not in self.tasks:
            self.tasks[name] = self.build(name)
        return self.tasks[name]

    def target(self, task: Task) -> Tensor:
        """Judge features of the target pictures."""
        if task.name not in self.targets:
            self.targets[task.name] = features_of(task.judge, task.target(self.budget.samples))
        return self.targets[task.name]

    def row(self, job: Job, at: int) -> dict:
        """The columns that say which row it is; nothing that is not trained has iterations to be measured at."""
        known = asdict(self.budget) | asdict(job) | {"base": self.base(job), "at": at}
        return {name: known[name] for name in KEY}

    def base(self, job: Job) -> str:
        """The first digits of the hash of the generator that a job begins from."""
        return checkpoints.content_hash(self.task(job.task).G)[:8]

    def done(self, job: Job, at: int) -> bool:
        wanted = self.row(job, at)
        return any(all(str(row.get(k)) == str(wanted[k]) for k in KEY) for row in tables.read(self.csv, table.TEXT))

    def checks(self, job: Job) -> list[int]:
        """Iterations at which a job is measured."""
        if NAMED[job.row].how != "training":
            return [0]
        last, count = self.budget.iterations, self.budget.checks
        return sorted({math.ceil(last * (i + 1) / count) for i in range(count)})

    @torch.no_grad()
    def measure(self, job: Job, at: int, images: Tensor, seconds: float, more: dict | None = None) -> None:
        """Measure samples [n, 3, R, R] and add the line."""
        task, row = self.task(job.task), NAMED[job.row]
        fake = features_of(task.judge, images)
        result = evaluate(judge_features(task.judge), self.target(task), fake, self.budget.resamples)
        shows = torch.cat([task.judge.satisfies(task.name, x.to(self.device)).cpu() for x in images.split(128)])
        share = metrics.predicate_share(shows)
        near = by_chamfer(task.F, task.sketches(job.seed, row.sketches))
        distance = torch.cat([near(x) for x in images[:512].split(64)]).mean().item()
        line = {**self.row(job, at), **result.columns(), "share": share.value, "share_low": share.low,
                "share_high": share.high, "chamfer": distance, "color": metrics.color_spread(images), **(more or {}),
                "sketches": row.sketches, "px": images.shape[-1], "seconds": seconds,
                "machine": f"{tables.machine()}, {self.device}", "date": time.strftime("%Y-%m-%d")}
        add_rows(self.csv, [{k: round(v, 5) if isinstance(v, float) else v for k, v in line.items()}], self.work)
        Progress.write(f"{job} at {at}: Frechet {result.frechet}, share {share}")

    def run(self, job: Job) -> bool:
        """Make what is missing of a job; whether it is complete now. False also if another process is at it."""
        if all(self.done(job, at) for at in self.checks(job)):
            return True
        try:
            with locked(self.work, f"the row {job}", name=f".{self.file(job)}.lock"):
                if time.monotonic() > self.deadline:
                    return False
                if NAMED[job.row].how == "training":
                    return self.train(job)
                began = time.perf_counter()
                images = self.untrained(job)
                self.measure(job, 0, images, time.perf_counter() - began)
                return True
        except FolderInUse:
            return False

    def file(self, job: Job) -> str:
        """The name of a job's files: all that its rows are known by, so that no other run goes on from them."""
        return "-".join(str(part).replace(" ", "_") for name, part in self.row(job, 0).items() if name != "at")

    def untrained(self, job: Job) -> Tensor:
        """The pictures of a row without training: samples, the nearest samples, or samples after the warm start."""
        task, row, n = self.task(job.task), NAMED[job.row], self.budget.samples
        sketches = task.sketches(job.seed, row.sketches)
        if row.how == "base":
            return sample(task.G, n, self.sample_seed(job))
        if row.how == "warm start":
            G = copy.deepcopy(task.G)
            steps = warm_start(G, task.F, sketches, self.warm, seeded(job.seed, "warm start"))
            for _ in Progress(steps, desc=str(job), leave=False):
                pass
            return sample(G, n, self.sample_seed(job))
        distance = by_chamfer(task.F, sketches) if row.how == "chamfer" else by_embedding(
            load_sketch_embedding(self.weights / "sketch_embedding.safetensors", self.device), sketches)
        return retrieve(task.G, distance, n, max(n, row.pool or self.budget.pool), self.sample_seed(job)).images

    def sample_seed(self, job: Job) -> int:
        """z and noise of the measured samples: the same for all rows of a seed, so that rows alone make the
        difference."""
        return 100 + job.seed

    def train(self, job: Job) -> bool:
        """Train from the checkpoint or the beginning, measuring on the way; whether it reached the end."""
        task, row = self.task(job.task), NAMED[job.row]
        drawn = task.sketches(job.seed, row.sketches + KEPT_BACK)
        sketches, held_out = drawn[:row.sketches], drawn[row.sketches:]
        checkpoint, budget = self.work / f"{self.file(job)}.pt", self.budget
        config = CustomizeConfig(iterations=budget.iterations, batch=budget.batch, bf16=bool(budget.bf16),
                                 seed=job.seed, device=self.device, warm=self.warm, sample_every=0, stopping=None,
                                 checkpoint_every=max(1, math.gcd(*self.checks(job)) // 5), **row.changes)
        images = task.images() if config.l_image > 0 and row.data else None
        left = [at for at in self.checks(job) if not self.done(job, at)]
        # A checkpoint beyond a measurement that is missing (of a run with fewer checks) is of no use.
        resume = checkpoint.is_file() and checkpoints.load_training(checkpoint)["state"]["iteration"] <= left[0]
        resume = checkpoint if resume else None
        run = Run(task.G, task.D, task.F, sketches, images, config, Controls(), resume, checkpoint)
        watch = Watch(self.rule, task.G, task.F, sketches, held_out)

        def look() -> None:
            """Measure where a measurement is due, once."""
            if left and run.state.iteration == left[0]:
                seen = watch.look(left[0], run.state.G_shown, run.state.D_sketch)
                images = sample(run.state.G_shown, budget.samples, self.sample_seed(job))
                noted = {f"look_{k}": v for k, v in asdict(seen).items() if k != "iteration"}
                self.measure(job, left.pop(0), images, run.seconds, noted)

        look()  # it may have been killed while it measured
        steps = run.steps()
        with Progress(total=budget.iterations, initial=run.state.iteration, desc=str(job), unit="it",
                      leave=False) as bar:
            for step in steps:
                bar.update()
                look()
                if time.monotonic() > self.deadline:
                    break
        steps.close()  # writes the checkpoint
        complete = run.state.iteration >= budget.iterations
        if complete:
            checkpoint.unlink(missing_ok=True)
        return complete


# ------------------------------------------------------------------------------------------------------ command line

def parser() -> argparse.ArgumentParser:
    """The command line; see the module's first lines."""
    p = argparse.ArgumentParser(prog="python -m sketchgan ablations", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=math.inf, help="for this call; default: until all is done")
    p.add_argument("--seeds", type=int, default=3, help="of the full grid")
    p.add_argument("--only", nargs="*", default=[], help="words of a job, such as standing_cat 'full method' 0")
    p.add_argument("--summary", action="store_true", help="run nothing")
    p.add_argument("--collect", nargs="*", type=Path, default=[], help="CSV files of other machines")
    p.add_argument("--csv", type=Path, default=Path("benchmarks/results/ablations.csv"))
    p.add_argument("--work", type=Path, default=Path("outputs/ablations"), help="checkpoints")
    p.add_argument("--weights", type=Path, default=Path("data/weights"))
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    for name, value in asdict(Budget()).items():
        p.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    photos = p.add_argument_group("real photographs instead of Menagerie")
    photos.add_argument("--photos", type=Path, help="folder that holds one folder for each pose")
    photos.add_argument("--pose", nargs="+", default=[], help="names of those folders, one task each")
    photos.add_argument("--base", type=Path, help="weights of the GAN of all poses")
    photos.add_argument("--judge", type=Path, help="weights of their judge (pretrain photo-judge)")
    return p


def builder(args: argparse.Namespace):
    """Task name -> Task, and the tasks there are: name -> whether it gets the full grid."""
    if args.photos:
        if not (args.pose and args.base and args.judge):
            raise ValueError("--photos needs --pose, --base and --judge beside it; see --help.")
        poses = {predicate_of(pose): pose for pose in args.pose}
        build = lambda name: photo_task(poses[name], args.photos, args.base, args.judge, args.weights, args.device)
        return build, dict.fromkeys(poses, True)
    return lambda name: menagerie_task(name, args.weights, args.device), {name: name in MAIN for name in TASKS}


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then print and draw what there is; a mistake in the arguments is told in a line."""
    args = parser().parse_args(argv)
    budget = Budget(**{name: getattr(args, name) for name in asdict(Budget())})
    torch.set_num_threads(args.threads)
    try:
        build, tasks = builder(args)
    except ValueError as error:
        raise SystemExit(f"sketchgan ablations: {error}") from error
    for other in args.collect:
        add_rows(args.csv, tables.read(other, table.TEXT), args.work)
    if not args.summary:
        deadline = time.monotonic() + 60 * args.minutes
        runner = Runner(build, args.csv, args.work, args.weights, budget, args.device, deadline)
        for job in jobs(tasks, args.seeds):
            if time.monotonic() < deadline and set(args.only) <= {str(v) for v in asdict(job).values()}:
                try:
                    runner.run(job)
                except (FileNotFoundError, NonFiniteLoss, ValueError) as error:
                    print(f"{job}: not run. {error}", flush=True)
    table.publish(args.csv, [row.name for row in ROWS], list(tasks), budget.iterations)
