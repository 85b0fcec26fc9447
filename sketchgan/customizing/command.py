"""The command `python -m sketchgan customize`: from a base GAN and drawings to a customised GAN and its pictures.

Everything is in `customize()`; this reads files, watches the clock and writes what came of it.  Pictures appear from
the first seconds on and are replaced as training goes, each file whole or not at all.
"""

import argparse
import copy
import csv
import io
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from .. import plotting
from ..drawing.placing import usual_box
from ..drawing.sketches import load_sketches
from ..files.atomic import locked, set_aside, write_atomically
from ..files.places import weights_folder
from ..files.progress import Progress
from ..nets.judge import SIZE
from ..nets.sampling import sample
from ..photos.datasets import ImageFolder
from ..weights import checkpoints
from ..weights.own import find_base, load_judge
from ..world.scenes import PREDICATES
from .run import Run
from .step import CustomizeConfig, NonFiniteLoss, Step
from .stopping import StoppingRule
from .warmstart import WarmStart

SHOWN, JUDGED = 32, 256  # samples in the pictures, and for the share in the summary
REFRESH = 20             # seconds between two versions of the pictures
MINUTES = 3.0            # of training, where neither minutes nor iterations are given
DRAWN = ["standing_cat"]
TRAINING = "training.pt"
MADE = ("customized.safetensors", "mapping_delta.safetensors", "summary.txt", "log.csv", "sketches.png", "before.png",
        "nearest.png", "after.png", "grid.png", TRAINING)


def parser() -> argparse.ArgumentParser:
    """The command line: what to customise, with which drawings, for how long, and where to."""
    p = argparse.ArgumentParser(prog="python -m sketchgan customize", description="Customise a GAN with your sketches "
                                "(Sketch Your Own GAN). Stop with Ctrl-C: nothing is lost, --resume goes on.")
    p.add_argument("--base", default="cat", help="base GAN: a name in data/weights, such as cat, or a file with G and "
                                                 "D")
    p.add_argument("--discriminator", help="the file of D, where it is not in that of G (netD.pth beside netG.pth)")
    p.add_argument("--sketches", nargs="+",
                   help="a name in data/sketches, or drawings: images, a folder of them, or stroke JSON (default: "
                        f"{DRAWN[0]}, or with --resume those of the run)")
    p.add_argument("--fit", action=argparse.BooleanOptionalAction, default=True,
                   help="move and scale a sketch that stands where the base never paints; without: as drawn")
    p.add_argument("--images", help="folder of photographs for the image regularisation; without it: samples of the "
                                    "base")
    p.add_argument("--sketcher", default=str(weights_folder() / "photosketch.safetensors"),
                   help="the network F, photo to sketch")
    p.add_argument("--minutes", type=float,
                   help=f"how long to train after the warm start (default {MINUTES:g} without --iterations)")
    p.add_argument("--iterations", type=int, help="how many iterations to do in all")
    p.add_argument("--warm-start", action=argparse.BooleanOptionalAction, default=True,
                   help="fit the mapping network to the nearest samples first; without: as published")
    p.add_argument("--keep", type=float, default=WarmStart.keep,
                   help="share of the base's samples that is near enough for the warm start: less for a pose it seldom "
                        "paints, "
                        "more for variety (default %(default)s)")
    p.add_argument("--stopping", action=argparse.BooleanOptionalAction, default=True,
                   help="end when nothing nearer to the sketches comes, and keep the best; without: train on, keep the "
                        "last")
    p.add_argument("--batch", type=int, default=CustomizeConfig.batch)
    p.add_argument("--lr", type=float, default=CustomizeConfig.lr)
    p.add_argument("--g-lr-factor", type=float, default=CustomizeConfig.g_lr_factor,
                   help="speeds G up alone; 1 is the published rate")
    p.add_argument("--l-image", type=float, default=CustomizeConfig.l_image, help="weight of the image regularisation")
    p.add_argument("--l-weight", type=float, default=CustomizeConfig.l_weight,
                   help="weight of the weight regularisation")
    p.add_argument("--augment", default=CustomizeConfig.augment, help="'' for none")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=2, help="of the CPU; results are exact only for the same number")
    p.add_argument("--bf16", action="store_true", help="train in bfloat16: faster where the processor has it")
    p.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    p.add_argument("--out", default="outputs/customized", help="folder for everything that is made")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command; a mistake of the user's ends it with one line that says what to do, and exit status 1."""
    args = parser().parse_args(argv)
    try:
        run(args)
    except (ValueError, OSError, NonFiniteLoss) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"interrupted; what was trained, if anything, is in {Path(args.out) / TRAINING}, for --resume")


def recipe(args: argparse.Namespace) -> CustomizeConfig:
    """What the arguments ask for; raises ValueError."""
    given = {} if args.iterations is None else {"iterations": args.iterations}
    return CustomizeConfig(
        **given, batch=args.batch, lr=args.lr, g_lr_factor=args.g_lr_factor, l_image=args.l_image,
                           l_weight=args.l_weight,
        augment=args.augment, warm_start=args.warm_start, warm=WarmStart(keep=args.keep), seed=args.seed,
        stopping=StoppingRule() if args.stopping else None, device=args.device, threads=args.threads, bf16=args.bf16)


def run(args: argparse.Namespace) -> None:
    """Load, customise, save; `args` as from `parser()`."""
    out, checkpoint, config = Path(args.out), Path(args.out) / TRAINING, recipe(args)
    if args.resume and not checkpoint.is_file():
        raise ValueError(f"There is nothing to resume: no file {checkpoint}. Leave out --resume, or check --out.")
    torch.set_num_threads(args.threads)
    base = find_base(args.base)
    G, D = checkpoints.load_generator(base), checkpoints.load_discriminator(args.discriminator or base)
    F = checkpoints.load_photosketch(args.sketcher)
    minutes = MINUTES if args.minutes is None and args.iterations is None else args.minutes
    images = ImageFolder(args.images, G.resolution) if args.images else None
    run = Run(G, D, F, drawings(args, G, F), images, config, resume=checkpoint if args.resume else None,
              checkpoint=checkpoint, minutes=minutes)
    with locked(out, "the command customize"):
        report = Report(out, run, G.to(args.device), args.resume)
        watch(run.steps(), report)
        if not run.changed:
            raise ValueError(f"Nothing was trained, so there is no result in {out}. Let it run longer, with --resume.")
        report.finish(args)


def drawings(args: argparse.Namespace, G, F) -> torch.Tensor | None:
    """The sketches [S, 1, R, R] that are asked for; None for those of the run that is resumed."""
    if args.resume and not args.sketches:
        return None
    names = args.sketches = args.sketches or DRAWN
    fit = usual_box(G, F) if args.fit else None
    return load_sketches(names[0] if len(names) == 1 else names, G.resolution, fit=fit)


def watch(steps: Iterator[Step], report: "Report") -> None:
    """Follow a customisation with one bar for all of it until it ends, or Ctrl-C ends it."""
    with Progress(total=1.0, bar_format="{percentage:3.0f}%|{bar}| {elapsed}{postfix}") as bar:
        try:
            for step in steps:
                bar.n = round(step.done, 4)
                left = f"about {int(step.left) // 60}:{int(step.left) % 60:02d} left"
                what = step.message or f"iteration {step.iteration + 1}"
                bar.set_postfix_str(", ".join([left, what, *(f"{k} {v:.2f}" for k, v in step.losses.items())][:5]))
                report.take(step)
        except KeyboardInterrupt:  # the run is whole and has kept what there was
            pass


class Report:
    """The pictures, the log and the models of one run, in one folder."""

    def __init__(self, out: Path, run: Run, base, resumed: bool):
        self.out, self.run, self.base, self.G = out, run, base, run.state.G_shown
        self.before = sample(base, SHOWN, seed=1)
        self.rows = self.read_log() if resumed else []
        self.shown_at, self.kept, self.begun = 0.0, "", resumed

    def begin(self) -> None:
        """Give the folder to this run, once there is something to show; what another run made there is set aside."""
        self.begun = True
        made = [self.out / name for name in MADE if (self.out / name).exists()]
        if made:
            places = (self.out / f"before{f'-{i}' if i > 1 else ''}" for i in itertools.count(1))
            aside = next(place for place in places if not place.exists())
            aside.mkdir()
            for path in made:
                path.replace(aside / path.name)
            print(f"What another run made in {self.out} is now in {aside}", file=sys.stderr)
        self.picture("sketches.png", plotting.sketch_sheet(self.run.terms["sketches"]))
        self.picture("before.png", plotting.image_grid(self.before, 8, 2))

    def take(self, step: Step) -> None:
        """Note a step; every few seconds, show where things stand."""
        if not self.begun:
            self.begin()
        self.G = step.G
        if step.phase == "train":
            self.rows.append({"iteration": step.iteration, "seconds": round(step.seconds, 3), **step.losses})
        elif step.phase == "chosen":
            self.kept = f"; {step.message}"
        if time.monotonic() - self.shown_at < REFRESH and not (step.phase == "warm" and step.share == 1):
            return
        self.shown_at = time.monotonic()
        if step.phase == "warm" and step.samples is not None:
            self.picture("nearest.png", plotting.image_grid(step.samples, 8, 2))
        elif step.phase == "train":
            self.show_after()

    def show_after(self) -> None:
        after = sample(self.G, SHOWN, seed=1)  # the z and the noise of `before`
        self.picture("after.png", plotting.image_grid(after, 8, 2))
        self.picture("grid.png", plotting.before_after(self.before, after, self.run.terms["sketches"]))
        self.write_log()

    def finish(self, args: argparse.Namespace) -> None:
        """Write the last pictures, the models and the summary, and say where they are."""
        self.show_after()
        G = copy.deepcopy(self.G).eval()
        checkpoints.save(self.out / "customized.safetensors", G=G, metadata={"customized": vars(args)})
        checkpoints.save_delta(self.out / "mapping_delta.safetensors", G, self.base,
                               metadata={"customized": vars(args)})
        count, state = len(self.run.terms["sketches"]), self.run.state
        task = Path(args.sketches[0]).stem if args.sketches else "your sketches"
        warm = "warm start and " if args.warm_start else ""
        line = (f"{task}: {args.base} with {count} sketches, {warm}{state.iteration} iterations in "
                f"{self.run.seconds:.0f} s on {args.device}{self.kept}{self.shares(task)}")
        write_atomically(self.out / "summary.txt", f"{line}\n".encode())
        print(f"{line}\nLook at {self.out / 'grid.png'}; your GAN is {self.out / 'customized.safetensors'}")

    def shares(self, task: str) -> str:
        """The judge's word on the samples before and after, or '' where there is no judge or no known task."""
        path = weights_folder() / "judge.safetensors"
        if task not in PREDICATES or not path.is_file():
            return ""
        judge = load_judge(path)
        if self.base.resolution < SIZE:
            return f"; not judged: our judge needs {SIZE} px, and these are {self.base.resolution} px"
        share = []
        for G in (self.base, self.G):
            images = sample(G, JUDGED, seed=2)
            good = judge.satisfies(task, images) & judge.recognisable(PREDICATES[task], images)
            share.append(f"{good.float().mean():.0%}")
        return f"; {task} among {JUDGED} samples: {share[0]} before, {share[1]} after (uncorrected, by our judge)"

    def picture(self, name: str, image) -> None:
        write_atomically(self.out / name, plotting.png(image))

    def read_log(self) -> list[dict]:
        """The rows of the log until where the run goes on; a log that was damaged is no reason not to go on."""
        try:
            rows = list(csv.DictReader(io.StringIO((self.out / "log.csv").read_text("utf-8"))))
            return [row for row in rows if int(row["iteration"]) < self.run.state.iteration and None not in row]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            aside = set_aside(self.out / "log.csv")
            print(f"log.csv could not be read ({error}); it is now {aside}, and a new one begins", file=sys.stderr)
            return []

    def write_log(self) -> None:
        """All losses so far; of iterations done twice (a resume from an earlier checkpoint) the later ones."""
        rows = {int(row["iteration"]): row for row in self.rows}
        names = dict.fromkeys(name for row in rows.values() for name in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(names))
        writer.writeheader()
        writer.writerows(rows[i] for i in sorted(rows))
        write_atomically(self.out / "log.csv", text.getvalue().encode())
