"""Projection of pictures that no network has seen, and what becomes of them in a customised model.

    python benchmarks/projection.py                       # both tables: results/projection.csv and photo_editing.csv
    python benchmarks/projection.py --pictures 50         # more pictures than 8
    python benchmarks/projection.py --only "w+, encoder"  # one row; rows of the same name and pictures are replaced

Pictures are scenes of Menagerie, seed 4 (evaluation). Each row: PSNR; the perceptual distance in the judge's features,
which guide nothing here; the median error of the yaw that the judge reads from what is painted, against the scene's;
seconds of processor time a picture, which other work on the machine lengthens little. Photo editing: every projected
scene is handed to the model customised for a task, by each rule of editing/carrying.py, and compared with *the same
scene rendered in the new pose*: share in the pose, error of the background where both poses show it (beside the
projection's own error there), colour and texture of the animal.
"""
import argparse
import time
from pathlib import Path

import torch
from _results import RESULTS, ROOT, WEIGHTS, machine, read, show, write
from torch.nn import functional

from sketchgan import plotting
from sketchgan.customizing import WarmStart, warm_start
from sketchgan.editing import PhotoEdit, ProjectConfig, project, psnr
from sketchgan.measure import perceptual_distance
from sketchgan.nets import sample
from sketchgan.photos.datasets import SEED_EVALUATION, SEED_SKETCHES
from sketchgan.weights import checkpoints
from sketchgan.weights.own import load_encoder, load_imagenet, load_judge
from sketchgan.world.scenes import PREDICATES, Menagerie, condition

CSV, EDITING = RESULTS / "projection.csv", RESULTS / "photo_editing.csv"
FIGURE = ROOT / "assets" / "photo_editing.jpg"
LONG, SHORT = 150, 40
TASKS = ("horse_on_a_side", "standing_cat")


def methods() -> dict[str, tuple[ProjectConfig, str]]:
    """Name -> (how, what sees the perceptual part: 'D', 'ImageNet' or nothing)."""
    found = {}
    for space in ("z", "w", "w+"):
        for start in ("mean", "encoder", "search"):
            found[f"{space}, {start}"] = (ProjectConfig(space, start, LONG), "")
    found["w+, mean, short"] = (ProjectConfig("w+", "mean", SHORT), "")
    found["w+, encoder alone"] = (ProjectConfig("w+", "encoder", 0), "")
    found["w+, encoder, short"] = (ProjectConfig("w+", "encoder", SHORT), "")
    found["w+, encoder, D sees"] = (ProjectConfig("w+", "encoder", LONG, perceptual=0.03), "D")
    found["w+, encoder, ImageNet sees"] = (ProjectConfig("w+", "encoder", LONG), "ImageNet")
    found["w+, encoder, ImageNet sees, short"] = (ProjectConfig("w+", "encoder", SHORT), "ImageNet")
    found["w+, encoder, tuned"] = (ProjectConfig("w+", "encoder", LONG, tune=LONG), "")
    found["w+, encoder, tuned, one by one"] = (ProjectConfig("w+", "encoder", LONG, tune=LONG), "")
    return found


class Bench:
    """The networks of one category, and its held-out scenes."""

    def __init__(self, category: str, pictures: int):
        base = WEIGHTS / f"{category}64.safetensors"
        self.category, self.G, self.D = category, checkpoints.load_generator(base), checkpoints.load_discriminator(base)
        self.encoder = load_encoder(WEIGHTS / f"{category}64_photo_encoder.safetensors")
        self.judge = load_judge(WEIGHTS / "judge.safetensors").eval().requires_grad_(False)
        world = Menagerie(category, self.G.resolution, SEED_EVALUATION)
        self.scenes = world.render(range(pictures), ("image", "parts"))
        self.world, self.images = world, self.scenes.image

    @torch.no_grad()
    def yaw_error(self, images: torch.Tensor) -> float:
        """Median difference in degrees between the yaw that the judge reads and the scene's."""
        turn = self.judge(images)[f"{self.category}.yaw"] - self.scenes.params["yaw"]
        return torch.atan2(turn.sin(), turn.cos()).abs().rad2deg().median().item()

    @torch.no_grad()
    def measured(self, images: torch.Tensor) -> dict:
        """What every row says of the pictures that were painted."""
        images = images.clamp(-1, 1)
        return dict(psnr=round(psnr(images, self.images).mean().item(), 2),
                    perceptual=round(perceptual_distance(self.judge, images, self.images).mean().item(), 4),
                    yaw_error=round(self.yaw_error(images), 1))

    def found(self, name: str):
        """(painted images, seconds a picture, what saw) of one method."""
        config, eyes = methods()[name]
        eyes = {"D": self.D, "ImageNet": eyes == "ImageNet" and load_imagenet(), "": None}[eyes]
        began = time.process_time()
        parts = self.images.split(1 if "one by one" in name else len(self.images))
        made = [project(self.G, part, eyes, config, self.encoder, progress=False) for part in parts]
        return torch.cat([p.images for p in made]), (time.process_time() - began) / len(self.images), made[0].eyes


def project_rows(category: str, args) -> None:
    """The first table."""
    bench, rows = Bench(category, args.pictures), read(CSV)

    def add(name: str, images, seconds, eyes) -> None:
        row = dict(category=category, method=name, pictures=len(bench.images), **bench.measured(images),
                   seconds=round(seconds, 2), eyes=eyes, machine=machine())
        rows[:] = [old for old in rows if (old["category"], old["method"]) != (category, name)] + [row]
        write(CSV, rows)
        show([row])

    if not args.only:
        add("the pictures themselves", bench.images, 0, "")
    for name in methods():
        if not args.only or name in args.only:
            add(name, *bench.found(name))


def customised(task: str, bench: Bench):
    """The generator customised for a task by the warm start alone, from five exact contours; kept in outputs/."""
    path = ROOT / "outputs" / "projection" / f"{task}.safetensors"
    if path.is_file():
        return checkpoints.load_generator(path)
    sketches = Menagerie(bench.category, bench.G.resolution, SEED_SKETCHES, task).render(range(5), ("contour",)).contour
    made = checkpoints.load_generator(WEIGHTS / f"{bench.category}64.safetensors")
    F = checkpoints.load_photosketch(WEIGHTS / "photosketch.safetensors")
    for _ in warm_start(made, F, sketches, WarmStart(), torch.Generator().manual_seed(0)):
        pass
    checkpoints.save(path, G=made)
    return made


def texture(images: torch.Tensor, mask: torch.Tensor) -> float:
    """Spread of what is finer than 3 px in brightness, where mask [N, 1, R, R] is."""
    light = images.mean(1, keepdim=True)
    fine = light - functional.avg_pool2d(functional.pad(light, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return fine[mask].std().item()


@torch.no_grad()
def compared(bench: Bench, images: torch.Tensor, own: torch.Tensor, truth, task: str) -> dict:
    """Painted pictures against the same scenes in the new pose, `truth`; own: the projection before the swap."""
    beside = ((bench.scenes.parts < 2) & (truth.parts < 2))[:, None]            # background in both
    animal = (truth.parts >= 2)[:, None]
    error = lambda x: ((x - bench.images).abs().mean(1, keepdim=True))[beside].mean().item()
    color = lambda x: (x * animal).sum((2, 3)) / animal.sum((2, 3)).clamp_min(1)
    return dict(share=round(bench.judge.satisfies(task, images).float().mean().item(), 3),
                background=round(error(images), 4), background_ratio=round(error(images) / error(own), 2),
                color=round((color(images) - color(truth.image)).abs().mean().item(), 4),
                texture=round(texture(images, animal) / texture(truth.image, animal), 2),
                psnr_to_truth=round(psnr(images, truth.image).mean().item(), 2))


def edit_rows(task: str, args) -> None:
    """The second table, and what the figure shows."""
    bench, rows = Bench(PREDICATES[task], args.pictures), read(EDITING)
    model = customised(task, bench)
    truth = bench.world.render_codes(condition(task, bench.scenes.code), ("image", "parts"))
    samples = bench.judge.satisfies(task, sample(model, 500, seed=11)).float().mean().item()
    chance = bench.judge.satisfies(task, bench.images).float().mean().item()
    eyes = load_imagenet()
    found = {space: project(bench.G, bench.images, eyes, ProjectConfig(space, "encoder", args.steps), bench.encoder,
                            progress=False) for space in ("z", "w", "w+")}
    late = range(4, bench.G.num_ws)
    rules = {"w+, before the swap": None, "z, the paper's rule": ("z", 0.0, None), "w, keep 1": ("w", 1.0, None),
             "w+, keep 0": ("w+", 0.0, None), "w+, keep 0.5": ("w+", 0.5, None), "w+, keep 1": ("w+", 1.0, None),
             "w+, keep 1 from layer 5 on": ("w+", 1.0, late), "the scene in the new pose": None}
    shown = {"the picture": bench.images}
    for name, rule in rules.items():
        if rule:
            space, keep, layers = rule
            images = PhotoEdit(found[space], model, keep, layers).paint()
        else:
            images = (truth.image if "scene" in name else found["w+"].images).clamp(-1, 1)
        shown[name] = images
        own = found["w+"].images.clamp(-1, 1)
        row = dict(task=task, rule=name, pictures=len(images), **compared(bench, images, own, truth, task),
                   share_of_samples=round(samples, 3), share_before=round(chance, 3), steps=args.steps,
                   machine=machine())
        rows[:] = [old for old in rows if (old["task"], old["rule"]) != (task, name)] + [row]
        write(EDITING, rows)
        show([row])
    pick = ["the picture", "w+, before the swap", "w+, keep 0", "w+, keep 1", "the scene in the new pose"]
    first = ["photo", "found", "keep 0", "keep 1", "truth"]
    blocks = [(short, plotting.image_grid(shown[name][:10], 10, 2, 0)) for short, name in zip(first, pick)]
    FIGURE.parent.mkdir(exist_ok=True)
    plotting.stack(blocks, gap=4).save(FIGURE.with_stem(f"photo_editing_{task}"), quality=85)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pictures", type=int, default=8)
    p.add_argument("--only", nargs="*", choices=list(methods()), help="rows of the first table")
    p.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS), help="of the second table")
    p.add_argument("--categories", nargs="*", default=["horse"], help="of the first table; none: skip it")
    p.add_argument("--steps", type=int, default=60, help="of the projections of the second table")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    for category in args.categories:
        project_rows(category, args)
    for task in args.tasks:
        if Path(WEIGHTS / f"{PREDICATES[task]}64_photo_encoder.safetensors").is_file():
            edit_rows(task, args)


if __name__ == "__main__":
    main()
