"""Base GANs on one large GPU in the minutes that one has it: packed here, trained there, brought back in small files.

    python benchmarks/gpu_bases.py pack horse church path/to/motorbikes --resolution 128 --out outputs/pack
    python benchmarks/gpu_bases.py train outputs/pack --minutes 8 --out "$OUT"                      # GPU
    python benchmarks/gpu_bases.py train outputs/pack --minutes 8 --out "$OUT" --resume FOLDER      # goes on

`pack` renders or reads the pictures and keeps them as JPEG with their codes, one file of at most 60 MB for each base.
`train` shares the minutes among the bases: pairs alone for the first 60 % (growing as it goes), then the game with
heads on ImageNet's features. Every minute, and at the end, it writes a sheet and three files of at most 16 MB: the
networks as they train; the heads, and Adam's second moments in bfloat16 (the first ones are nothing but the last
gradient, as beta_1 is 0); and gan.safetensors. Rehearse it at --resolution 16 on a CPU (tests/test_benchmarks.py does).
"""
import argparse
import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sketchgan.photos.datasets import open_images, to_float, to_uint8
from sketchgan.pretraining.command import publish, sheet
from sketchgan.pretraining.fitting import save_finite
from sketchgan.pretraining.gan import GanTrainer
from sketchgan.pretraining.mapping import CodedPhotos
from sketchgan.pretraining.recipe import GanConfig, stages
from sketchgan.weights.checkpoints import load_training
from sketchgan.weights.own import load_imagenet
from sketchgan.world.scenes import CATEGORIES

PACK_MB, PAIRED = 60, 0.6       # size of a pack at most; share of the time for pairs alone
GROWTH = {32: 0.15, 64: 0.4}    # resolution -> share of the time at which it is left


def pack(sources: list[str], resolution: int, count: int, out: Path) -> None:
    """Writes out/NAME.npz for each source: JPEG bytes end to end, where each ends, codes [N,K], the category."""
    out.mkdir(parents=True, exist_ok=True)
    for source in sources:
        images = open_images(source, resolution, count)
        rendered = source in CATEGORIES
        images = images if rendered else CodedPhotos(images, min(48, len(images) - 1), mirror=False)
        pixels = torch.cat([to_uint8(images[part]) for part in torch.arange(len(images)).split(64)])
        files = []
        for x in pixels.permute(0, 2, 3, 1).numpy():
            Image.fromarray(x).save(file := io.BytesIO(), "jpeg", quality=95, subsampling=0)
            files.append(file.getvalue())
        ends = np.cumsum([len(f) for f in files])
        if ends[-1] > PACK_MB * 1e6:
            raise SystemExit(f"{source}: {ends[-1] / 1e6:.0f} MB are more than {PACK_MB}; pack fewer with --count")
        np.savez(out / f"{Path(source).name}.npz", jpeg=np.frombuffer(b"".join(files), np.uint8), ends=ends,
                 code=images.code.numpy(), category=source if rendered else "")
        print(f"{source}: {len(files)} pictures, {ends[-1] / 1e6:.1f} MB")


class Packed:
    """The pictures of a pack as a data set that lives on the device; `code [N,K]` stays on the CPU for GanTrainer."""

    def __init__(self, path: Path, device: str):
        with np.load(path) as file:
            data, ends = file["jpeg"].tobytes(), file["ends"].tolist()
            self.code, self.category = torch.from_numpy(file["code"]), str(file["category"]) or None
        decode = lambda part: np.asarray(Image.open(io.BytesIO(data[part[0]:part[1]])))
        with ThreadPoolExecutor() as pool:
            pixels = np.stack(list(pool.map(decode, zip([0, *ends], ends))))
        self.images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(device)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        return to_float(self.images[index.to(self.images.device)])


def stretch(trainer: GanTrainer, total: float) -> None:
    """Fits the schedule to `total` images, as many as the time allows at the speed of now."""
    kimg = max(total, trainer.seen + 1) / 1000
    growth = {size: share * kimg for size, share in GROWTH.items()}
    paired = trainer.config.paired_kimg if trainer.taught else PAIRED * kimg
    trainer.config = replace(trainer.config, kimg=kimg, paired_kimg=paired, growth=growth)
    trainer.stages = stages(trainer.config)


def keep(trainer: GanTrainer, out: Path, seconds: float, name: str) -> None:
    """Writes the three files, and a sheet of samples."""
    out.mkdir(parents=True, exist_ok=True)
    state = trainer.state()
    moments = {"heads": state.pop("heads")}
    for part in [k for k in state if k.endswith("_opt")]:
        moments[part] = {i: s["exp_avg_sq"].bfloat16() for i, s in state[part]["state"].items()}
        state[part] = {"param_groups": state[part]["param_groups"], "steps": max(
            [float(s["step"]) for s in state[part]["state"].values()], default=0.0)}
    save_finite(out / "networks.pt", {**state, "seconds": seconds})
    save_finite(out / "moments.pt", moments)
    publish(trainer, out, seconds, {"data": name, "images": len(trainer.images)})
    sheet(trainer).save(out / f"{int(seconds):05d}.png")


def take_up(trainer: GanTrainer, folder: Path) -> float:
    """Goes on from what `keep` wrote; returns the seconds trained before."""
    state, moments = load_training(folder / "networks.pt"), load_training(folder / "moments.pt")
    state["heads"] = moments.pop("heads")
    for part, second in moments.items():
        steps = state[part].pop("steps")
        state[part]["state"] = {i: {"step": torch.tensor(steps), "exp_avg": torch.zeros_like(v, dtype=torch.float32),
                                    "exp_avg_sq": v.float()} for i, v in second.items()}
    state["config"].update({k: getattr(trainer.config, k) for k in ("kimg", "paired_kimg", "growth")})
    trainer.load(state)
    return state["seconds"]


def train(path: Path, out: Path, minutes: float, resume: Path | None, device: str, config: GanConfig) -> None:
    """One base for `minutes`, from nothing or from `resume`; a line and the files each minute."""
    began = said = time.monotonic()
    images = Packed(path, device)
    config = replace(config, resolution=images.images.shape[-1], code_dims=images.code.shape[1])
    trainer = GanTrainer(config, images, load_imagenet(), device)
    before = take_up(trainer, resume) if resume else 0.0
    start, first = trainer.seen, time.monotonic()
    end = began + minutes * 60
    while time.monotonic() < end:
        log = trainer.step()
        now = time.monotonic()
        if trainer.iteration % 20 == 0:
            stretch(trainer, trainer.seen + (trainer.seen - start) / (now - first) * max(0.0, end - now))
        if now - said > 60:
            said = now
            keep(trainer, out, before + now - began, path.stem)
            shown = "  ".join(f"{k} {v:.2f}" for k, v in log.items())
            print(f"{path.stem}: {trainer.seen} images, {trainer.resolution} px, {now - began:.0f} s  {shown}",
                  flush=True)
    keep(trainer, out, before + time.monotonic() - began, path.stem)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing, training = commands.add_parser("pack"), commands.add_parser("train")
    packing.add_argument("sources", nargs="+", help=f"{', '.join(CATEGORIES)}, or folders of photographs")
    packing.add_argument("--resolution", type=int, default=128)
    packing.add_argument("--count", type=int, default=4096, help="scenes of a category")
    training.add_argument("pack", type=Path)
    training.add_argument("--minutes", type=float, default=8)
    training.add_argument("--resume", type=Path, help="an --out that was brought back")
    training.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    training.add_argument("--batch", type=int, default=64)
    for command in (packing, training):
        command.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    if args.command == "pack":
        return pack(args.sources, args.resolution, args.count, args.out)
    config = GanConfig(known_w=True, paired_kimg=1e6, batch=args.batch, paired_share=0.125, paired_weight=0.7,
                       mapping_lr=20.0, heads_weight=0.3, heads_mix=64, bf16=args.device != "cpu", growth={32: 1e6},
                       augment="color,translation,cutout")
    packs = sorted(args.pack.glob("*.npz"))
    for path in packs:
        resume = args.resume / path.stem if args.resume else None
        train(path, args.out / path.stem, args.minutes / len(packs), resume, args.device, config)


if __name__ == "__main__":
    main()
