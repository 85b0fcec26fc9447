"""The command `python -m sketchgan customize`: from a base GAN and drawings to a customised GAN and its pictures.

Everything is in `customize()`; this reads files, watches the clock and writes what came of it.  Pictures appear from
the first seconds on and are replaced as training goes, each file whole or not at all.
"""

import argparse
import copy
import csv
import io
import signal
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from .. import plotting
from ..drawing.sketches import load_sketches
from ..files.atomic import write_atomically
from ..files.places import weights_folder
from ..nets.sampling import sample
from ..photos.datasets import ImageFolder
from ..weights import checkpoints
from ..weights.own import load_judge
from ..world.scenes import PREDICATES
from .controls import Controls
from .run import CustomizeConfig, Step, customize
from .step import NonFiniteLoss
from .stopping import StoppingRule
from .warmstart import WarmStart

SHOWN, JUDGED = 32, 256  # samples in the pictures, and for the share in the summary
REFRESH = 20             # seconds between two versions of the pictures


def parser() -> argparse.ArgumentParser:
    """The command line: what to customise, with which drawings, for how long, and where to."""
    p = argparse.ArgumentParser(prog="python -m sketchgan customize", description="Customise a GAN with your sketches "
                                "(Sketch Your Own GAN). Stop with Ctrl-C: nothing is lost, --resume goes on.")
    p.add_argument("--base", default="cat", help="base GAN: a name in data/weights, such as cat, or a file with G and D")
    p.add_argument("--sketches", nargs="+", default=["standing_cat"],
                   help="a name in data/sketches, or drawings: images, a folder of them, or stroke JSON")
    p.add_argument("--images", help="folder of photographs for the image regularisation; without it: samples of the base")
    p.add_argument("--sketcher", default=str(weights_folder() / "photosketch.safetensors"), help="the network F, photo to sketch")
    p.add_argument("--minutes", type=float, help="how long to work, warm start included (default 3 without --iterations)")
    p.add_argument("--iterations", type=int, help="how many iterations to do in all")
    p.add_argument("--warm-start", action=argparse.BooleanOptionalAction, default=True,
                   help="fit the mapping network to the nearest samples first; without: as published")
    p.add_argument("--keep", type=float, default=WarmStart.keep,
                   help="share of the base's samples that is near enough for the warm start: less for a pose it seldom paints, "
                        "more for variety (default %(default)s)")
    p.add_argument("--stopping", action=argparse.BooleanOptionalAction, default=True,
                   help="end when nothing nearer to the sketches comes, and keep the best; without: train on, keep the last")
    p.add_argument("--batch", type=int, default=CustomizeConfig.batch)
    p.add_argument("--lr", type=float, default=CustomizeConfig.lr)
    p.add_argument("--g-lr-factor", type=float, default=CustomizeConfig.g_lr_factor,
                   help="speeds G up alone; 1 is the published rate")
    p.add_argument("--l-image", type=float, default=CustomizeConfig.l_image, help="weight of the image regularisation")
    p.add_argument("--l-weight", type=float, default=CustomizeConfig.l_weight, help="weight of the weight regularisation")
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


def run(args: argparse.Namespace) -> None:
    """Load, customise, save; `args` as from `parser()`."""
    out, checkpoint = Path(args.out), Path(args.out) / "training.pt"
    if args.resume and not checkpoint.is_file():
        raise ValueError(f"There is nothing to resume: no file {checkpoint}. Leave out --resume, or check --out.")
    torch.set_num_threads(args.threads)
    base = find_base(args.base)
    G, D = checkpoints.load_generator(base), checkpoints.load_discriminator(base)
    F = checkpoints.load_photosketch(args.sketcher)
    sketches = load_sketches(args.sketches[0] if len(args.sketches) == 1 else args.sketches, G.resolution)
    images = ImageFolder(args.images, G.resolution) if args.images else None
    minutes = args.minutes if args.minutes or args.iterations else 3.0
    config = CustomizeConfig(
        iterations=args.iterations or CustomizeConfig.iterations, batch=args.batch, lr=args.lr,
        g_lr_factor=args.g_lr_factor, l_image=args.l_image, l_weight=args.l_weight, augment=args.augment,
        warm_start=args.warm_start, warm=WarmStart(keep=args.keep), stopping=StoppingRule() if args.stopping else None,
        seed=args.seed, device=args.device, threads=args.threads, bf16=args.bf16)
    report = Report(out, G.to(args.device), sketches, args.resume)
    controls = Controls()
    interrupted = signal.signal(signal.SIGINT, lambda *_: setattr(controls, "stop", True))
    try:
        steps = customize(G, D, F, sketches, images, config, controls, checkpoint if args.resume else None, checkpoint)
        watch(steps, config, minutes, report)
    finally:
        signal.signal(signal.SIGINT, interrupted)
    report.finish(args)


def find_base(name: str) -> Path:
    """The file of a base GAN: a path, or a name in data/weights with or without its resolution."""
    for path in (Path(name), weights_folder() / f"{name}.safetensors", weights_folder() / f"{name}64.safetensors"):
        if path.is_file():
            return path
    known = ", ".join(sorted(p.stem for p in weights_folder().glob("*[0-9].safetensors"))) or "none yet"
    raise ValueError(f"There is no base GAN {name!r}: neither a file, nor in {weights_folder()} (there: {known}). "
                     f"Train one with: python -m sketchgan pretrain gan --help")


def watch(steps, config: CustomizeConfig, minutes: float | None, report: "Report") -> None:
    """Follow a customisation with a progress bar until it ends or the minutes of work are over."""
    total = 60 * minutes if minutes else 1.0
    bar = tqdm(total=round(total, 1), bar_format="{l_bar}{bar}| {elapsed} (about {remaining} left){postfix}")
    first_seconds = None
    for step in steps:
        first_seconds = step.seconds if first_seconds is None else first_seconds
        spent = step.seconds - first_seconds
        share = max(spent / total if minutes else 0.0, step.done if step.phase != "warm" else 0.0)
        bar.n = round(min(share, 1.0) * total, 3)
        what = step.message or f"iteration {step.iteration + 1}"
        bar.set_postfix_str(", ".join([what, *(f"{k} {v:.2f}" for k, v in step.losses.items())][:4]))
        report.take(step)
        if minutes and spent >= total:
            break
    steps.close()  # writes the checkpoint
    bar.close()


class Report:
    """The pictures, the log and the models of one run, in one folder."""

    def __init__(self, out: Path, G, sketches: torch.Tensor, resumed: bool):
        self.out, self.base, self.G, self.sketches = out, G, G, sketches
        self.before = sample(G, SHOWN, seed=1)
        self.rows = self.read_log() if resumed else []
        self.shown_at, self.seconds, self.kept = 0.0, 0.0, ""
        self.iteration = int(self.rows[-1]["iteration"]) + 1 if self.rows else 0
        self.picture("sketches.png", plotting.sketch_sheet(sketches))
        self.picture("before.png", plotting.image_grid(self.before, 8, 2))

    def take(self, step: Step) -> None:
        """Note a step; every few seconds, show where things stand."""
        self.G, self.seconds = step.G, step.seconds
        if step.phase == "train":
            self.iteration = step.iteration + 1
            self.rows.append({"iteration": step.iteration, "seconds": round(step.seconds, 3), **step.losses})
        elif step.phase == "chosen":
            self.kept = f"; {step.message}"
        if time.monotonic() - self.shown_at < REFRESH and not (step.phase == "warm" and step.done == 1):
            return
        self.shown_at = time.monotonic()
        if step.phase == "warm" and step.samples is not None:
            self.picture("nearest.png", plotting.image_grid(step.samples, 8, 2))
        elif step.phase == "train":
            self.show_after()

    def show_after(self) -> None:
        after = sample(self.G, SHOWN, seed=1)  # the z and the noise of `before`
        self.picture("after.png", plotting.image_grid(after, 8, 2))
        self.picture("grid.png", plotting.before_after(self.before, after, self.sketches))
        self.write_log()

    def finish(self, args: argparse.Namespace) -> None:
        """Write the last pictures, the models and the summary, and say where they are."""
        self.show_after()
        G = copy.deepcopy(self.G).eval()
        checkpoints.save(self.out / "customized.safetensors", G=G, metadata={"customized": vars(args)})
        checkpoints.save_delta(self.out / "mapping_delta.safetensors", G, self.base, metadata={"customized": vars(args)})
        task = Path(args.sketches[0]).stem
        warm = "warm start and " if args.warm_start else ""
        line = (f"{task}: {args.base} with {len(self.sketches)} sketches, {warm}{self.iteration} iterations in "
                f"{self.seconds:.0f} s on {args.device}{self.kept}{self.shares(task)}")
        write_atomically(self.out / "summary.txt", f"{line}\n".encode())
        print(f"{line}\nLook at {self.out / 'grid.png'}; your GAN is {self.out / 'customized.safetensors'}")

    def shares(self, task: str) -> str:
        """The judge's word on the samples before and after, or '' where there is no judge or no known task."""
        path = weights_folder() / "judge.safetensors"
        if task not in PREDICATES or not path.is_file():
            return ""
        judge = load_judge(path)
        share = []
        for G in (self.base, self.G):
            images = sample(G, JUDGED, seed=2)
            good = judge.satisfies(task, images) & judge.recognisable(PREDICATES[task], images)
            share.append(f"{good.float().mean():.0%}")
        return f"; {task} among {JUDGED} random samples: {share[0]} before, {share[1]} after (uncorrected, by our judge)"

    def picture(self, name: str, image) -> None:
        write_atomically(self.out / name, plotting.png(image))

    def read_log(self) -> list[dict]:
        path = self.out / "log.csv"
        if not path.is_file():
            return []
        return list(csv.DictReader(io.StringIO(path.read_text())))

    def write_log(self) -> None:
        """All losses so far; of iterations done twice (a resume from an earlier checkpoint) the later ones."""
        rows = {int(row["iteration"]): row for row in self.rows}
        names = dict.fromkeys(name for row in rows.values() for name in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(names))
        writer.writeheader()
        writer.writerows(rows[i] for i in sorted(rows))
        write_atomically(self.out / "log.csv", text.getvalue().encode())
