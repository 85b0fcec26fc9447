"""Redraws pictures in the style of an example:  python -m sketchgan portrait {train,transfer,sheet,list} --help

    python -m sketchgan portrait train cat cat --out outputs/portraits          # base, styles (or a folder of pictures)
    python -m sketchgan portrait list outputs/portraits
    python -m sketchgan portrait transfer outputs/portraits --content 7 --style woodcut-0003 --out mine.png
    python -m sketchgan portrait transfer outputs/portraits --content photo.jpg --style painting.png --structure 0.5
    python -m sketchgan portrait sheet outputs/portraits --contents 8 --styles 10 --out sheet.png

A folder of portraits holds `portraits.safetensors` (the extrinsic path alone), `styles.npz` (codes and examples by
name), `contents.npz` (the codes of what they show), `sampler.safetensors` and pictures of what came of it.
"""
from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..files.places import weights_folder
from ..files.progress import Progress
from ..nets.stylegan2 import Discriminator, Generator
from ..photos.datasets import to_float
from ..photos.pictures import read_square
from ..plotting import image_grid, stack
from ..weights.checkpoints import load_discriminator, load_generator, read_metadata
from ..weights.own import load_imagenet
from . import storing
from .destylisation import (
    DestyliseConfig,
    destylise,
    nearest_codes,
    true_codes,
    tuned_on,
)
from .losses import CriticFeatures
from .refinement import RefineConfig, fit_sampler, refine
from .styles import StyleExamples, open_styles
from .training import PortraitConfig, PortraitTraining, train_portraits
from .transfer import COLOUR, STRUCTURE, Portraitist

NETWORK, STYLES, CONTENTS, SAMPLER = "portraits.safetensors", "styles.npz", "contents.npz", "sampler.safetensors"
SAMPLES, ENCODING = 64, 30        # of what the critic's spread is measured; steps of descent of an encoding


def base_file(name: str) -> Path:
    """The file of a base: a path, or the name of one that ships, such as 'cat'."""
    ships = weights_folder() / f"{name}64.safetensors"
    return ships if ships.is_file() else Path(name)


def critic_of(G: Generator, D: Discriminator) -> CriticFeatures:
    """The base's own discriminator as a network that sees."""
    with torch.no_grad():
        z = torch.randn(SAMPLES, G.z_dim, generator=torch.Generator().manual_seed(0)).to(G.input.input.device)
        return CriticFeatures(D, G(z, noise_mode="none").clamp(-1, 1))


# ------------------------------------------------------------------------------------------------------------- training

def codes_of(G: Generator, D: Discriminator, styles: StyleExamples, config: DestyliseConfig, known: bool,
             samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Extrinsic and intrinsic codes of style examples, and pictures of their contents; `known`: the scenes' own."""
    critic = critic_of(G, D)
    encode = nearest_codes(G, critic, samples, ENCODING)
    if not known:
        found = destylise(G, tuned_on(G, D, styles.images, config), styles.images, encode, critic, config)
        return found.extrinsic, found.intrinsic, found.content
    intrinsic = true_codes(G, styles.code)
    with torch.no_grad():
        content = G.synthesis(intrinsic, "none").clamp(-1, 1)
    extrinsic = torch.cat([encode(part) for part in Progress(styles.images.split(16), desc="encoding", leave=False)])
    return extrinsic, intrinsic, content


def _require_known(path: Path, styles: str) -> None:
    """Raise ValueError unless the base learnt what codes of these scenes mean."""
    info = read_metadata(path)
    training = info["training"] if isinstance(info.get("training"), dict) else {}
    if not training.get("paired_kimg") or info.get("data") != styles:
        raise ValueError(f"--known takes the true contents of painted scenes, and {path.name} was not taught the codes "
                         f"of scenes of {styles!r} (preset 'laptop' does that); leave --known out")


def _train(args: argparse.Namespace) -> None:
    out, path = Path(args.out), base_file(args.base)
    G, D = load_generator(path, device=args.device), load_discriminator(path, args.device)
    styles = open_styles(args.styles, G.resolution, args.count)
    fields = dataclasses.fields(PortraitConfig)
    given = {field.name: getattr(args, field.name, None) for field in fields}
    config = PortraitConfig(**{name: value for name, value in given.items() if value is not None})
    if args.known:
        _require_known(path, args.styles)
    if (out / CONTENTS).is_file():                                  # codes of an earlier call are gone on with
        codes = [storing.load_codes(out / name, G) for name in (STYLES, CONTENTS)]
        if not all(tuple(found) == styles.names for found in codes):
            raise ValueError(f"{out} holds codes of other style examples; give another --out")
        extrinsic, intrinsic = (torch.stack(list(found.values())) for found in codes)
    else:
        extrinsic, intrinsic, content = codes_of(G, D, styles, DestyliseConfig(seed=config.seed), args.known,
                                                 args.samples)
        named = lambda values: dict(zip(styles.names, values.cpu()))
        storing.save_codes(out / STYLES, named(extrinsic), G, named(styles.images))
        storing.save_codes(out / CONTENTS, named(intrinsic), G)
        shown = [("style", image_grid(styles.images[:16], 16)), ("content", image_grid(content[:16].cpu(), 16))]
        stack(shown).save(out / "destylised.png")
    training = PortraitTraining(G, D, styles.images, extrinsic, intrinsic, config,
                                load_imagenet() if args.features == "imagenet" else None)
    began, step = time.monotonic(), None
    steps = train_portraits(training, out / "portraits.training")
    with Progress(total=training.total, initial=training.iteration, desc=out.name, unit="step", mininterval=2) as bar:
        for step in steps:
            bar.update(step.iteration - bar.n)
            if step.variety is not None:
                bar.set_postfix({"stage": step.stage, "variety": f"{step.variety:.2f}"}, refresh=False)
            if args.minutes is not None and time.monotonic() - began > 60 * args.minutes:
                steps.close()
    if step is not None and step.collapsed:
        print(f"the variety was lost at step {step.iteration}; kept is the last sound network. Train with a larger "
              "--l-reg or --l-content, or fewer steps")
    info = {"training": dataclasses.asdict(config), "images_seen": training.iteration * config.batch,
            "seconds": round(time.monotonic() - began), "styles": len(styles), "source": Path(args.styles).name,
            "base_file": path.name, "torch": torch.__version__, "threads": torch.get_num_threads()}
    storing.save_portraits(out / NETWORK, training.P_ema, info)
    if len(styles) > 1:
        storing.save_sampler(out / SAMPLER, fit_sampler(extrinsic.cpu(), training.P.border, seed=config.seed), G)
    known = Portraitist(training.P_ema.eval(), dict(zip(styles.names, extrinsic)), dict(zip(styles.names,
                                                                                            styles.images)))
    known.sheet(range(8), list(styles.names[:10]), 2).save(out / "sheet.png")
    print(f"{training.iteration} of {training.total} steps; {out}")


# ------------------------------------------------------------------------------------------------------------- transfer

def open_portraits(folder: str | os.PathLike, base: str | None = None, device: str = "cpu", steps: int = 60,
                   samples: int = 1024) -> Portraitist:
    """The network of a folder with its styles, and encoders of pictures: the nearest sample of the base, then descent
    with g; of a style, then `steps` of refinement."""
    folder = Path(folder)
    info = read_metadata(folder / NETWORK)
    path = base_file(base or str(info.get("base_file", "")).removesuffix("64.safetensors"))
    G, D = load_generator(path, device=device), load_discriminator(path, device)
    P = storing.load_portraits(folder / NETWORK, G, device)
    sampler = storing.load_sampler(folder / SAMPLER, G) if (folder / SAMPLER).is_file() else None
    critic = functools.cache(lambda: critic_of(G, D))          # made when first asked for: most calls need neither
    encode = functools.cache(lambda: nearest_codes(G, critic(), samples, ENCODING))

    def encode_style(images: Tensor) -> Tensor:
        start = encode()(images)
        return refine(P, start, start, images, critic(), RefineConfig(steps=steps))

    return Portraitist(P, storing.load_codes(folder / STYLES, G), storing.load_pictures(folder / STYLES),
                       lambda images: encode()(images), encode_style, sampler)


def picture(path: str, resolution: int) -> Tensor:
    """A file of a picture as `[1, 3, R, R]` in [-1, 1], its middle square."""
    pixels, _ = read_square(Path(path).read_bytes(), resolution)
    return to_float(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])


def _transfer(args: argparse.Namespace) -> None:
    portraitist = open_portraits(args.folder, args.base, args.device)
    R, is_file = portraitist.network.resolution, lambda text: Path(text).is_file()
    content = picture(args.content, R) if is_file(args.content) else _seed(args.content, "--content")
    style = picture(args.style, R) if is_file(args.style) else args.style
    options = dict(structure=args.structure, colour=args.colour, weights=args.weights,
                   preserve_colour=args.preserve_colour, truncation_psi=args.truncation)
    if isinstance(style, str) and style.removeprefix("random:").isdecimal():
        style = int(style.removeprefix("random:"))
    made = portraitist.transfer(content, style, **options)
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    image_grid(made.cpu(), scale=args.scale).save(out)
    portraitist.overview(content, style, **options).save(out.with_name(f"{out.stem}_overview.png"))
    print(f"{out}, and {out.stem}_overview.png beside it")


def _sheet(args: argparse.Namespace) -> None:
    portraitist = open_portraits(args.folder, args.base, args.device)
    known = list(portraitist.codes)
    names = known[::max(1, len(known) // args.styles)][:args.styles]
    sheet: Image.Image = portraitist.sheet(range(args.seed, args.seed + args.contents), names, args.scale,
                                           structure=args.structure, colour=args.colour)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    sheet.save(args.out)
    print(args.out)


def _list(args: argparse.Namespace) -> None:
    print("\n".join(storing.load_pictures(Path(args.folder) / STYLES)))


def _seed(text: str, what: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{what} is {text!r}, which is neither a file nor a seed (a whole number)")
    return int(text)


# --------------------------------------------------------------------------------------------------------- command line

def parser() -> argparse.ArgumentParser:
    """The command line; see the module's first lines."""
    root = argparse.ArgumentParser(prog="python -m sketchgan portrait", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = root.add_subparsers(dest="command", required=True)

    def add(name: str, run, what: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what)
        command.set_defaults(run=run)
        command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        return command

    train = add("train", _train, "destylise style examples and train the extrinsic path; the same call goes on")
    train.add_argument("base", help="a file with G and D, or a name in data/weights, such as cat")
    train.add_argument("styles", help="a category of Menagerie, painted now, or a folder or zip of pictures")
    train.add_argument("--out", required=True, help="folder for the network, its styles and pictures")
    train.add_argument("--count", type=int, default=240, help="how many style examples at most")
    train.add_argument("--samples", type=int, default=2048, help="of the base, among which the encoder looks")
    train.add_argument("--known", action="store_true", help="painted scenes: take their true contents, where the base "
                                                            "learnt scenes' codes, in the place of destylisation")
    train.add_argument("--features", choices=("imagenet",), help="see through EfficientNet-Lite0 (extra 'train') "
                                                                 "instead of the base's discriminator")
    train.add_argument("--minutes", type=float, help="stop after this long; the same call goes on")
    for field in dataclasses.fields(PortraitConfig):
        default = getattr(PortraitConfig(), field.name)
        kind = (lambda text: tuple(map(int, text.split(",")))) if isinstance(default, tuple) else type(default)
        train.add_argument(f"--{field.name.replace('_', '-')}", type=kind, help=f"default {default}")

    def opened(command: argparse.ArgumentParser) -> None:
        command.add_argument("folder", help="of `portrait train`")
        command.add_argument("--base", help="file or name of the base, if not a shipped one of the same name")

    def weighed(command: argparse.ArgumentParser, out: str) -> None:
        command.add_argument("--structure", type=float, default=STRUCTURE, help="weight (default %(default)s)")
        command.add_argument("--colour", type=float, default=COLOUR, help="weight (default %(default)s)")
        command.add_argument("--scale", type=int, default=2, help="screen pixels a pixel")
        command.add_argument("--out", default=out)

    transfer = add("transfer", _transfer, "one content in one style")
    opened(transfer), weighed(transfer, "outputs/portrait.png")
    transfer.add_argument("--content", required=True, help="a seed, or a picture")
    transfer.add_argument("--style", required=True, help="a name (see list), a picture, or a seed of a new style")
    transfer.add_argument("--weights", type=lambda text: [float(v) for v in text.split(",")],
                          help="one a row, in the place of --structure and --colour")
    transfer.add_argument("--preserve-colour", choices=("no", "weights", "code"), default="no")
    transfer.add_argument("--truncation", type=float, default=1.0, help="of the content, about the mean")
    sheet = add("sheet", _sheet, "a table of contents by styles")
    opened(sheet), weighed(sheet, "outputs/portraits_sheet.png")
    sheet.add_argument("--contents", type=int, default=8), sheet.add_argument("--styles", type=int, default=10)
    sheet.add_argument("--seed", type=int, default=0, help="of the first content")
    opened(add("list", _list, "the names of styles"))
    return root


def main(argv: list[str] | None = None) -> None:
    """Runs one command; a mistake in the arguments or the data is told in a line."""
    args = parser().parse_args(argv)
    try:
        args.run(args)
    except (ValueError, OSError, FloatingPointError, ImportError) as error:
        raise SystemExit(f"sketchgan portrait {args.command}: {error}") from error
