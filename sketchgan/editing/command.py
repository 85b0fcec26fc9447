"""The command `python -m sketchgan generate`: samples, films and edits of GANs, for those who left the notebook.

Several models are shown at the same z and the same noise, a row for each. Whatever is made is a picture or a film in
one folder, written whole or not at all, and the same call makes the same files.
"""
import argparse
import re
import sys
from pathlib import Path

import torch

from .. import plotting
from ..files.atomic import write_atomically
from ..nets.stylegan2 import Generator
from ..weights import checkpoints
from ..weights.own import find_base
from .ganspace import Components, edit, find_components, load_components
from .interpolation import SUFFIXES, interpolate, paint, save_film
from .mixing import Mixer

MOST_SEEDS, CUSTOMIZED = 10_000, "customized.safetensors"
EDIT = re.compile(r"(\d+):([-+]?\d+(?:\.\d+)?)(?::(\d+)(?:-(\d+))?)?")


def parser() -> argparse.ArgumentParser:
    """The command line: of which models, which samples, edited how, and written as what."""
    p = argparse.ArgumentParser(prog="python -m sketchgan generate", description="Samples of GANs as a grid, as single "
                                "files, or as a film from one to the next.")
    p.add_argument("models", nargs="+", help="names in data/weights, such as cat, or files; a delta needs --base")
    p.add_argument("--base", help="the original that deltas among the models were made from")
    p.add_argument("--mix", nargs="+", type=float, metavar="SHARE", help="instead of a row for each model, one mixture "
                   "of them: a share for each; they sum to 1, and may lie outside of 0 to 1")
    p.add_argument("--space", choices=("w", "weights"), default="w", help="where models are mixed")
    p.add_argument("--seeds", default="0-15", help="samples, such as 0-15 or 3,7,20-24 (default %(default)s); a seed "
                   "gives the same z for each model")
    p.add_argument("--truncation", type=float, default=1.0, help="psi: below 1 less variety and fewer failures")
    p.add_argument("--noise", choices=("const", "random", "none"), default="const")
    p.add_argument("--edit", nargs="+", default=[], metavar="K:SIGMA[:FROM-TO]", help="move along principal component "
                   "K by SIGMA standard deviations, in layers FROM to TO, both included, or all")
    p.add_argument("--components", help="an .npz in GANSpace's layout; without it, those of the first model")
    p.add_argument("--order", choices=("before", "after"), default="before", help="edits before truncation (shrink "
                   "with it; GANSketching) or after it (GANSpace)")
    p.add_argument("--files", action="store_true", help="each sample as a file of its own beside the grid")
    p.add_argument("--film", metavar="FILE.gif|FILE.mp4", help="a film by way of all seeds, looping; mp4 needs the "
                   "extra video")
    p.add_argument("--frames", type=int, default=24, help="of the film, from one seed to the next")
    p.add_argument("--line", choices=("z", "w"), default="z", help="of the film: slerp in z or lines in w")
    p.add_argument("--fps", type=float, default=24.0)
    p.add_argument("--columns", type=int, default=8)
    p.add_argument("--scale", type=int, default=2, help="screen pixels per pixel, of the grid and the film")
    p.add_argument("--threads", type=int, default=2, help="of the CPU")
    p.add_argument("--device", default="cpu")
    p.add_argument("--out", default="outputs/generated", help="folder for all of it")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command; a mistake of the user's ends it with one line that says what to do, and exit status 1."""
    args = parser().parse_args(argv)
    try:
        for path in run(args):
            print(path)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")


@torch.no_grad()
def run(args: argparse.Namespace) -> list[Path]:
    """Load, edit, paint, write; returns the files that were made."""
    seeds, edits, out = seeds_of(args.seeds), [edit_of(text) for text in args.edit], Path(args.out)
    if args.threads < 1:
        raise ValueError(f"--threads is {args.threads}; wanted 1 or more")
    if args.film and Path(args.film).suffix.lower() not in SUFFIXES:
        raise ValueError(f"--film is {args.film}; a film is written as {' or '.join(SUFFIXES)}")
    if args.film and len(seeds) < 2:
        raise ValueError(f"--film goes from seed to seed, and --seeds {args.seeds} is one; give two or more")
    torch.set_num_threads(args.threads)
    models = load_models(args.models, args.base, args.device)
    G = next(iter(models.values()))
    for name, other in models.items():
        if (other.z_dim, other.resolution) != (G.z_dim, G.resolution):
            raise ValueError(f"{name} makes {other.resolution} px from z of {other.z_dim} numbers, {args.models[0]} "
                             f"{G.resolution} px from {G.z_dim}: the same z means nothing to both")
    found = components_of(args, G) if edits else None
    rows = sources(args, models, found, edits)
    z = torch.cat([z_of(seed, G.z_dim) for seed in seeds])
    made = []

    def write(name: str, image) -> None:
        made.append(out / name)
        write_atomically(made[-1], plotting.png(image, 6))

    pictures = {name: paint_seeds(network, latents(z), seeds, args.noise) for name, (network, latents) in rows.items()}
    blocks = [(name, plotting.image_grid(images, args.columns, args.scale)) for name, images in pictures.items()]
    write("grid.png", plotting.stack(blocks) if len(blocks) > 1 else blocks[0][1])
    for name, images in pictures.items() if args.files else ():
        for seed, image in zip(seeds, images):
            write(f"{name}_seed{seed}.png" if len(rows) > 1 else f"seed{seed}.png", plotting.image_grid(image[None]))
    if args.film:
        path = out / args.film if Path(args.film).parent == Path() else Path(args.film)
        frames = [paint(network, way) for network, way in films(args, rows, z)]
        save_film(path, torch.cat(frames, 3), args.fps, args.scale)
        made.append(path)
    return made


# ---------------------------------------------------------------------------------------------------- what is asked for

def seeds_of(text: str) -> list[int]:
    """Seeds of a text such as '0-15' or '3,7,20-24'; raises ValueError."""
    seeds = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
        if first > last or last - first + len(seeds) >= MOST_SEEDS:
            raise ValueError(f"--seeds is {text!r}; wanted whole numbers and ranges, such as 0-15 or 3,7,20-24, "
                             f"{MOST_SEEDS:,} at most")
        seeds += range(first, last + 1)
    return seeds


def edit_of(text: str) -> tuple[int, float, range | None]:
    """Component, sigma and layers of a text such as '3:2' or '27:-20:2-4', both ends included; raises ValueError."""
    match = EDIT.fullmatch(text)
    if not match:
        raise ValueError(f"--edit is {text!r}; wanted COMPONENT:SIGMA or COMPONENT:SIGMA:FROM-TO, such as 3:2 or "
                         f"27:-20:2-4")
    number, sigma, first, last = match.groups()
    return int(number), float(sigma), range(int(first), int(last or first) + 1) if first else None


def load_models(names: list[str], base: str | None, device: str) -> dict[str, Generator]:
    """The generators in files or of names in data/weights, by short names that tell them apart; raises ValueError."""
    models, original = {}, checkpoints.load_generator(find_base(base)) if base else None
    for given in names:
        path = find_base(in_folder(given))
        try:
            G = checkpoints.load_generator(path)
        except checkpoints.CheckpointError:
            if original is None:        # it says itself what is wrong, that it is a delta for example
                raise
            G = checkpoints.load_generator(path, base=original)
        short = Path(given).name if Path(given).is_dir() else Path(given).stem
        name = short if short not in models else f"{Path(given).parent.name}_{short}"
        if name in models:
            raise ValueError(f"{given} is given twice")
        models[name] = G.to(device)
    return models


def in_folder(name: str) -> str:
    """The model in a folder that `customize` made; any other name as it is. Raises ValueError for a folder without."""
    path = Path(name)
    if not path.is_dir():
        return name
    if not (path / CUSTOMIZED).is_file():
        raise ValueError(f"the folder {name} holds no {CUSTOMIZED}; give the folder that `python -m sketchgan customize"
                         f" --out` wrote, or a file")
    return str(path / CUSTOMIZED)


def components_of(args: argparse.Namespace, G: Generator) -> Components:
    """From the file that is named, or found on the first model."""
    return load_components(args.components, G.w_dim) if args.components else find_components(G)


def sources(args: argparse.Namespace, models: dict, found: Components | None, edits: list) -> dict:
    """Row name -> (generator, function z -> latents) of all that is to be shown."""
    def edited(ws):
        for number, sigma, layers in edits:
            ws = edit(ws, found.direction(number), sigma, layers)
        return ws

    def latents(mapped, center):
        cut = lambda ws: ws if args.truncation == 1 else center().lerp(ws, args.truncation)
        return lambda z: cut(edited(mapped(z))) if args.order == "before" else edited(cut(mapped(z)))

    if not args.mix:
        return {name: (G, latents(lambda z, G=G: G.mapping(z.to(args.device)), G.mean_w))
                for name, G in models.items()}
    if len(args.mix) != len(models):
        raise ValueError(f"--mix has {len(args.mix)} shares for {len(models)} models; wanted one for each")
    mixer, shares = Mixer(models), dict(zip(models, args.mix, strict=True))
    G = next(iter(models.values()))
    mean = lambda: sum(share * models[name].mean_w() for name, share in shares.items())
    if args.space == "weights":
        mean = mixer.network(shares).mean_w
    return {"mixture": (G, latents(lambda z: mixer.ws(shares, z, args.space), mean))}


def z_of(seed: int, z_dim: int) -> torch.Tensor:
    """z [1, z_dim] of a seed."""
    return torch.randn(1, z_dim, generator=torch.Generator().manual_seed(seed))


def paint_seeds(G: Generator, ws: torch.Tensor, seeds: list[int], noise: str) -> torch.Tensor:
    """Pictures [N, 3, R, R], each of its own latents and, of random noise, of its own seed: whoever stands beside it
    changes nothing."""
    if noise != "random":
        return paint(G, ws, noise)
    return torch.cat([G.synthesis(one[None], "random", torch.Generator().manual_seed(seed)).clamp(-1, 1).cpu()
                      for one, seed in zip(ws, seeds)])


def films(args: argparse.Namespace, rows: dict, z: torch.Tensor) -> list[tuple]:
    """(generator, latents [T, num_ws, w_dim]) of each row, by way of all z."""
    found = []
    for network, latents in rows.values():
        # What lies between two seeds is mapped, edited and truncated as the seeds themselves are.
        shim = _Mapped(network, latents)
        found.append((network, interpolate(shim, z, args.frames, args.line)))
    return found


class _Mapped:
    """A generator whose mapping is another function: `interpolate` asks for no more."""

    def __init__(self, G, latents):
        self.z_dim, self.synthesis, self.parameters = G.z_dim, G.synthesis, G.parameters
        self.mapping = lambda z, truncation_psi=1: latents(z)
