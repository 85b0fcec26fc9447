"""Trains everything that ships:  python -m sketchgan pretrain {gan,sketcher,judge,features,...} --help

    python -m sketchgan pretrain features --out outputs/features.safetensors
    python -m sketchgan pretrain gan cat --preset laptop --features outputs/features.safetensors --out outputs/cat64
    python -m sketchgan pretrain gan path/to/photos --kimg 200 --augment color,translation,cutout --out outputs/photos
    torchrun --nproc-per-node 2 -m sketchgan pretrain gan cat ...              # several GPUs or processes

A GAN's folder holds `checkpoint.pt` (everything; the same command goes on from it), `samples/*.png` (the average
generator at fixed z) and `gan.safetensors` (G_ema and D, written with every checkpoint).
"""

import argparse
import dataclasses
import os
import platform
import time
from pathlib import Path

import torch
from PIL import Image

from ..files.atomic import owned
from ..files.checks import Weight, check
from ..files.progress import Progress
from ..files.readers import reading
from ..photos.datasets import open_images
from ..plotting import image_grid
from ..weights import checkpoints
from ..weights.own import load_features, load_imagenet
from ..world.scenes import CATEGORIES
from . import teachers
from .embedding import SketchEmbeddingConfig, train_sketch_embedding
from .fitting import save_finite
from .gan import GanTrainer
from .mapping import CodedPhotos
from .photo_encoder import PhotoEncoderConfig, train_photo_encoder
from .photo_judge import PhotoJudgeConfig, train_photo_judge
from .recipe import PRESETS, GanConfig

# --------------------------------------------------------------------------------------------------------------------
# GAN

@torch.no_grad()
def sheet(trainer: GanTrainer, count: int = 48) -> Image.Image:
    """Samples of the average generator at fixed z and noise, as one picture."""
    random = torch.Generator().manual_seed(7)
    z = torch.randn(count, trainer.config.z_dim, generator=random)
    ws = trainer.latents(z.to(trainer.device), trainer.G_ema)
    images = torch.cat([trainer.G_ema.synthesis(part, generator=random).cpu() for part in ws.split(16)])
    return image_grid(images, 8, gap=0)


def publish(trainer: GanTrainer, out: Path, seconds: float, data: dict) -> None:
    """Writes G_ema and D with what made them (`data`: the pictures), once they are more than a stage on the way."""
    if not trainer.usable:
        return
    history = {"images_seen": trainer.seen, "seconds": round(seconds), **data, "threads": torch.get_num_threads(),
               "machine": f"{platform.machine()}, {os.cpu_count()} cores, {trainer.device.type}",
               "torch": torch.__version__, "training": dataclasses.asdict(trainer.config), "history": trainer.history}
    checkpoints.save(out / "gan.safetensors", G=trainer.G_ema, D=trainer.D, metadata=history)


def train_gan(trainer: GanTrainer, out: Path, data: dict, minutes: float | None = None, save_every: float = 180.0,
              sheet_kimg: float = 4.0) -> None:
    """Trains until `config.kimg` or for `minutes`; checkpoints every `save_every` seconds, a sheet of samples every
    `sheet_kimg`.

    Only process 0 writes. Whatever ends it, the last whole checkpoint stays, and the same call goes on from there.
    """
    file, seconds = out / "checkpoint.pt", 0.0
    first = trainer.rank == 0
    if file.exists():
        with reading(file, checkpoints.CheckpointError, "bring back an earlier one, or choose another folder"):
            state = checkpoints.load_training(file)
            seconds = check("seconds", state.pop("seconds", 0.0), Weight)
            trainer.load(state)
    if trainer.world > 1:
        trainer.rng.manual_seed(trainer.config.seed * 1000 + trainer.rank + 1 + 7919 * trainer.iteration)

    def save() -> None:
        if first:
            save_finite(file, {**trainer.state(), "seconds": seconds})
            publish(trainer, out, seconds, data)

    def picture() -> None:
        if first:
            (out / "samples").mkdir(parents=True, exist_ok=True)
            sheet(trainer).save(out / "samples" / f"{trainer.seen // 1000:06d}.png")

    began, saved = time.monotonic(), time.monotonic()
    total, shown = int(trainer.config.kimg * 1000), -1
    with Progress(total=total, initial=trainer.seen, unit="img", desc=out.name, disable=not first,
                  mininterval=2) as bar:
        while not trainer.done:
            tick = time.monotonic()
            log = trainer.step()
            seconds += time.monotonic() - tick
            bar.update(trainer.config.batch)
            if trainer.iteration % 25 == 0:
                bar.set_postfix({"px": trainer.resolution, **{k: f"{v:.2f}" for k, v in log.items()}}, refresh=False)
            if trainer.seen // (sheet_kimg * 1000) > shown:
                shown = trainer.seen // (sheet_kimg * 1000)
                picture()
            if time.monotonic() - saved > save_every:
                save()
                saved = time.monotonic()
            if minutes is not None and time.monotonic() - began > minutes * 60:
                break
    picture()
    save()
    if first and not trainer.done:
        print(f"stopped at {trainer.seen / 1000:.1f} of {trainer.config.kimg:g} kimg after {seconds / 60:.1f} min; "
              "the same command goes on")


def _gan(args: argparse.Namespace) -> None:
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = args.device
    if world > 1:
        backend = "nccl" if device.startswith("cuda") else "gloo"
        torch.distributed.init_process_group(backend)
        if device == "cuda":
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    config = _config(GanConfig, args, PRESETS[args.preset])
    out = Path(args.out)
    features = args.features and (load_imagenet() if args.features == "imagenet" else load_features(args.features))
    try:
        images = open_images(args.images, config.resolution, args.scenes, rank == 0, args.part)
        data = {"data": Path(args.images).name, "part": args.part, "images": len(images)}
        if args.images not in CATEGORIES and (config.mirror or config.paired_kimg):
            images = CodedPhotos(images, config.code_dims, config.mirror)
        trainer = GanTrainer(config, images, features, device, rank, world)
        if args.start and not (out / "checkpoint.pt").exists():
            trainer.start_from(checkpoints.load_generator(args.start), checkpoints.load_discriminator(args.start))
        with owned(out / "checkpoint.pt" if rank == 0 else None, "pretrain gan"):
            train_gan(trainer, out, data, args.minutes, args.save_every, args.sheet_kimg)
    finally:
        if world > 1:
            torch.distributed.destroy_process_group()


# --------------------------------------------------------------------------------------------------------------------
# Command line

def _table(text: str) -> dict[int, float]:
    """'32:12,64:40' -> {32: 12, 64: 40}"""
    number = lambda v: int(v) if v.isdecimal() else float(v)
    return {int(k): number(v) for k, v in (part.split(":") for part in text.split(",") if part)}


def _yes(text: str) -> bool:
    if text.lower() not in ("yes", "no", "true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text.lower() in ("yes", "true", "1")


def _add_fields(parser: argparse.ArgumentParser, config: type, skip: tuple[str, ...] = ()) -> None:
    """One flag for each field of a configuration; without the flag the default (or the preset) stands."""
    for name, default in vars(config()).items():
        if name in skip:
            continue
        kind = _table if isinstance(default, dict) else _yes if isinstance(default, bool) else type(default)
        if isinstance(default, tuple):
            kind = lambda text, inner=type(default[0]): tuple(inner(v) for v in text.split(","))
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=name.upper(), help=f"default {default}")


def _config(kind: type, args: argparse.Namespace, preset: dict | None = None):
    """The configuration that the flags of `_add_fields` ask for."""
    given = {f.name: getattr(args, f.name, None) for f in dataclasses.fields(kind)}
    return kind(**{**(preset or {}), **{name: value for name, value in given.items() if value is not None}})


def _teacher(args: argparse.Namespace) -> None:
    config, train, _ = TEACHERS[args.command]
    train(_config(config, args), args.out, args.minutes, args.device)


def _photo_judge(args: argparse.Namespace) -> None:
    quality = train_photo_judge(args.photos, _config(PhotoJudgeConfig, args), args.out, args.minutes, args.device)
    print(f"held-out accuracy {quality['clean']['accuracy']:.1%} on {quality['held_out']} photographs, "
          f"{quality['degraded']['accuracy']:.1%} degraded; {args.out}")


def _photo_encoder(args: argparse.Namespace) -> None:
    config = _config(PhotoEncoderConfig, args)
    quality = train_photo_encoder(args.generator, config, args.out, args.minutes, args.device)
    print(f"explains {quality['explained']:.0%} of w's variance and paints {quality['samples']} fresh samples again at "
          f"{quality['psnr']:.1f} dB, in {quality['ms_per_image']:.1f} ms each; {args.out}")


TEACHERS = {"sketcher": (teachers.SketcherConfig, teachers.train_sketcher, "photosketch.safetensors"),
            "judge": (teachers.JudgeConfig, teachers.train_judge, "judge.safetensors"),
            "features": (teachers.FeaturesConfig, teachers.train_features, "features.safetensors"),
            "sketch-embedding": (SketchEmbeddingConfig, train_sketch_embedding, "sketch_embedding.safetensors")}


def parser() -> argparse.ArgumentParser:
    """The command line; see the module's first lines."""
    root = argparse.ArgumentParser(prog="python -m sketchgan pretrain", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = root.add_subparsers(dest="command", required=True)

    def add(name: str, run, what: str, config: type, skip: tuple[str, ...] = (),
            file: str | None = None) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what)
        command.set_defaults(run=run)
        if file:
            command.add_argument("--out", default=f"outputs/{file}",
                                 help="weights to write; an unfinished run lies beside them")
        command.add_argument("--minutes", type=float, help="stop after this long, with a checkpoint; schedules depend "
                                                           "on images alone")
        command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        command.add_argument("--threads", type=int, default=os.cpu_count() or 1)
        _add_fields(command, config, skip)
        return command

    gan = add("gan", _gan, "a StyleGAN2 from a category of Menagerie or a folder of pictures", GanConfig)
    gan.add_argument("images", help=f"{', '.join(CATEGORIES)}, or a folder")
    gan.add_argument("--out", required=True, help="folder for checkpoint, samples and weights")
    gan.add_argument("--preset", choices=PRESETS, default="plain", help="'laptop' made the shipped cat and horse, "
                                                                        "'photos' is for a few thousand photographs "
                                                                        "and made the hands")
    gan.add_argument("--features", help="for heads and pairs: weights of a feature network, or 'imagenet' for "
                                        "EfficientNet-Lite0 (extra 'train')")
    gan.add_argument("--start", help="weights to begin with instead of random ones, such as "
                                     "data/weights/cat64.safetensors")
    gan.add_argument("--part", choices=("train", "held_out"), help="of photographs, only one side of the split by file "
                                                                   "hash; all without it")
    gan.add_argument("--scenes", type=int, default=9216, help="how many scenes of Menagerie to render and keep")
    gan.add_argument("--save-every", type=float, default=180.0, help="seconds between checkpoints")
    gan.add_argument("--sheet-kimg", type=float, default=4.0, help="kimg between sheets of samples")

    for name, (config, _, file) in TEACHERS.items():
        add(name, _teacher, config.__doc__.split("\n")[0], config, file=file)
    photos = add("photo-judge", _photo_judge, "a judge of photographs that lie in one folder for each pose",
                 PhotoJudgeConfig,
                 ("categories", "scenes", "held_out", "scene_seed"), "photo_judge.safetensors")
    photos.add_argument("photos", help="the folder of folders")
    encoder = add("photo-encoder", _photo_encoder, "what tells latents from a picture, for one generator",
                  PhotoEncoderConfig, file="photo_encoder.safetensors")
    encoder.add_argument("generator", help="its weights, such as data/weights/cat64.safetensors")
    return root


def main(argv: list[str] | None = None) -> None:
    """Runs one command; a mistake in the arguments or the data is told in a line."""
    args = parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        args.run(args)
    except (ValueError, OSError, FloatingPointError, ImportError) as error:
        raise SystemExit(f"sketchgan pretrain {args.command}: {error}") from error
