"""The command `python -m sketchgan fewshot {label,train,synthesize}`: few-shot synthesis without a notebook.

    label       writes samples of a base GAN and blank masks; paint the masks in any program that keeps colours
    train       learns from the painted ones and writes a layout model
    synthesize  pictures of a painted layout
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from .. import plotting
from ..customizing.command import find_base
from ..files.atomic import locked, write_atomically
from ..weights.checkpoints import load_generator
from .classes import Classes, LayoutError
from .encoder import EncoderConfig
from .examples import Examples, fresh_masks, load_examples, sample_codes
from .model import load_layouts, train_layouts
from .synthesis import Refinement, appearances, synthesize


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m sketchgan fewshot", description="Paint a layout, get pictures; learnt "
                                "from one to five labelled pictures.")
    commands = p.add_subparsers(dest="what", required=True)
    label = commands.add_parser("label", help="write samples to label, with masks to paint")
    label.add_argument("--classes", nargs="+", required=True, help="their names, such as sky ground cat")
    label.add_argument("--seeds", nargs="+", type=int, default=[0], help="one sample for each")
    label.add_argument("--model", help="a layout model: its labels stand on the masks, so that you only correct them")
    train = commands.add_parser("train", help="learn from labelled examples")
    train.add_argument("--kind", choices=("dense", "sparse"), default="dense", help="whole masks, or scribbles")
    train.add_argument("--k", type=int, default=3, help="places that each scribbled pixel takes (sparse)")
    train.add_argument("--threshold", type=float, default=0.5, help="cosine from which on it takes them (sparse)")
    train.add_argument("--minutes", type=float, help="stop after so long; the same command goes on")
    train.add_argument("--kimg", type=float, default=EncoderConfig.kimg, help="thousands of samples to see")
    train.add_argument("--batch", type=int, default=EncoderConfig.batch)
    train.add_argument("--seed", type=int, default=0)
    paint = commands.add_parser("synthesize", help="pictures of a layout")
    paint.add_argument("--model", required=True, help="what train wrote")
    paint.add_argument("--masks", nargs="+", required=True, help="PNG files in the classes' colours")
    paint.add_argument("--appearances", type=int, default=7, help="pictures beside the first")
    paint.add_argument("--start", choices=("encoder", "retrieval"), default="encoder")
    paint.add_argument("--steps", type=int, default=Refinement.steps, help="of refinement; 0 for none")
    paint.add_argument("--mix-from", type=int, help="first row of w that differs between appearances")
    paint.add_argument("--seed", type=int, default=0)
    for command, out in ((label, "outputs/examples"), (train, "outputs/layouts.safetensors"),
                         (paint, "outputs/layouts")):
        command.add_argument("--base", default="cat", help="base GAN: a name in data/weights, or a file")
        command.add_argument("--threads", type=int, default=2)
        command.add_argument("--out", default=out)
    train.add_argument("--examples", default="outputs/examples", help="the folder that label wrote")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command; a mistake of the user's ends it with one line that says what to do, and exit status 1."""
    args = parser().parse_args(argv)
    try:
        torch.set_num_threads(args.threads)
        G = load_generator(find_base(args.base)).requires_grad_(False)
        {"label": run_label, "train": run_train, "synthesize": run_synthesize}[args.what](args, G)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; what was trained goes on with the same command")


def run_label(args: argparse.Namespace, G) -> None:
    """Write samples, their codes and masks to paint."""
    classes, out = Classes(tuple(args.classes)), Path(args.out)
    if (out / "mask_0.png").exists():
        raise LayoutError(f"{out} holds masks already; choose another --out, so that nobody's labels are written over")
    ws, masks = sample_codes(G, args.seeds), fresh_masks(classes, len(args.seeds), G.resolution)
    if args.model:
        model = load_layouts(args.model, G)
        if model.classes.names != classes.names:
            raise LayoutError(f"{args.model} has the classes {', '.join(model.classes.names)}; give the same --classes")
        classes, masks = model.classes, model.labeller.labels(G, ws)
    Examples.write(out, G, classes, ws, masks)
    legend = ", ".join(f"{name} #{r:02x}{g:02x}{b:02x}" for name, (r, g, b) in zip(classes.names, classes.colors))
    print(f"Paint mask_N.png in {out} over picture_N.png, in these colours, white for unknown: {legend}\n"
          f"Then: python -m sketchgan fewshot train --base {args.base} --examples {out}")


def run_train(args: argparse.Namespace, G) -> None:
    """Learn from examples and say how well the layouts of samples are understood."""
    examples, out = load_examples(args.examples, G), Path(args.out)
    config = EncoderConfig(kimg=args.kimg, batch=args.batch, seed=args.seed)
    with locked(out.parent, "the command fewshot train", name=f".{out.name}.lock"):
        model = train_layouts(G, examples, out, config, args.minutes, kind=args.kind, k=args.k,
                              threshold=args.threshold)
    print(f"{out}: {len(model.classes)} classes from {len(examples)} examples; of w's spread "
          f"{sum(model.info['unexplained']) / G.num_ws:.0%} is left unexplained by a layout")


def run_synthesize(args: argparse.Namespace, G) -> None:
    """Write one sheet a layout: the mask, the picture that follows it, and other appearances."""
    model, out = load_layouts(args.model, G), Path(args.out)
    for path in args.masks:
        mask = model.classes.load_mask(path, G.resolution)
        made = synthesize(model, G, mask, args.start, Refinement(steps=args.steps) if args.steps else None)
        pictures = [model.classes.picture(mask), made.images]
        if args.appearances:
            pictures.append(appearances(model, G, mask, args.appearances, args.seed, mix_from=args.mix_from,
                                        ws=made.ws).images)
        sheet = plotting.image_grid(torch.cat(pictures), 8, max(1, 128 // G.resolution))
        write_atomically(out / f"{Path(path).stem}.png", plotting.png(sheet))
        print(f"{out / Path(path).stem}.png: {made.said()}")
