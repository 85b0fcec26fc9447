"""Teachers: training of the three networks that work beside the GANs, each on renders of its own.

    sketcher   F, photograph to contour drawing (photosketch.py): what makes a customised GAN follow sketches
    judge      pose, predicates, recognisability (judge.py): what measures
    features   dense truth (features.py): what helps to train a base GAN

Three seeds of the Menagerie keep them apart, so that nothing is measured by what it was trained with. All three share
one loop (fitting.py). Command line: `python -m sketchgan pretrain {sketcher,judge,features}`.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..files.checks import Count, Positive, Probability, Seed, Weight, Whole, Widths
from ..measure.metrics import contour_f1
from ..nets.features import Features
from ..nets.judge import Judge, Target, confusion
from ..nets.photosketch import PhotoSketch
from ..photos import datasets
from ..photos.degradations import degrade_photo, redraw, spoil
from ..world.scenes import PART_NAMES, POSE, PREDICATES, satisfies, targets_of
from .fitting import LossOf, TeacherConfig, in_batches, milliseconds, publish, seeded, step_generator, train


@dataclass(frozen=True)
class SketcherConfig(TeacherConfig):
    """F: small, because customisation runs it forward and backward at every step."""

    scenes: Whole = 3000
    scene_seed: Seed = datasets.SEED_SKETCHER
    kimg: Positive = 40.0
    batch: Count = 16
    weight_decay: Weight = 1e-4
    ngf: Count = 16            # the published F has 64
    n_blocks: Count = 5        # the published F has 9
    drawings: Count = 3        # redrawings of each contour; the nearest counts, as in PhotoSketch
    ink_weight: Weight = 2.0   # a lost line costs this many times a superfluous one; paper is 10 times as frequent


@dataclass(frozen=True)
class JudgeConfig(TeacherConfig):
    """The judge: sees degraded pictures, since it will look at samples, and spoiled ones, to learn to refuse."""

    scene_seed: Seed = datasets.SEED_JUDGE
    kimg: Positive = 80.0
    spoiled: Probability = 0.2 # share of the pictures that are spoiled beyond recognition
    widths: Widths = (32, 64, 96, 128)
    dim: Count = 128           # of the feature vector


@dataclass(frozen=True)
class FeaturesConfig(TeacherConfig):
    """Features: sees clean pictures with a little grain, since its features must notice what degrades a sample."""

    scenes: Whole = 8000
    kimg: Positive = 40.0
    channels: Widths = (24, 48, 72, 96, 120)
    grain: Weight = 0.03       # standard deviation of the noise on the pictures, of a range of 2


# ------------------------------------------------------------------------------------------------------------- scenes

@dataclass
class SceneData:
    """Rendered scenes of several categories, one after the other: training scenes first, held-out scenes last.

    views: name -> uint8 [N, ...]; params: 'category.parameter' -> float [N], NaN in the scenes of other categories;
    category [N] index into config.categories; train: how many come first.
    """

    views: dict[str, Tensor]
    params: dict[str, Tensor]
    category: Tensor
    train: int

    def __len__(self) -> int:
        return len(self.category)


def load_scenes(config: TeacherConfig, views: tuple[str, ...]) -> SceneData:
    """Render (or find in the cache) what a training needs."""
    count = config.scenes + config.held_out
    rendered = [datasets.rendered(category, count, config.resolution, config.scene_seed, views=views)
                for category in config.categories]
    return join_scenes(rendered, config)


def join_scenes(rendered: list[dict], config: TeacherConfig) -> SceneData:
    """Put the scenes of config.categories together; `rendered` as from datasets.rendered, one dict for each."""
    cut = config.scenes
    both = lambda tensors: torch.cat([t[:cut] for t in tensors] + [t[cut:] for t in tensors])
    names = [name for name in rendered[0] if name not in ("params", "code")]
    views = {name: both([scenes[name] for scenes in rendered]) for name in names}
    sizes = [len(scenes["image"]) for scenes in rendered]
    params = {}
    for k, category in enumerate(config.categories):
        for name in POSE[category]:
            values = [torch.full((n,), math.nan) for n in sizes]
            values[k] = rendered[k]["params"][name].float()
            params[f"{category}.{name}"] = both(values)
    category = both([torch.full((n,), k) for k, n in enumerate(sizes)])
    return SceneData(views, params, category, cut * len(rendered))


def choose_mirrored(params: dict[str, Tensor], random: Generator) -> Tensor:
    """Which scenes of a batch to show mirrored, [N] booleans: half of the animals. A church is never mirrored, since a
    tower at the side stands on one side only."""
    some = next(iter(params.values()))
    flip = torch.rand(len(some), generator=random) < 0.5
    return flip & params["church.yaw"].isnan() if "church.yaw" in params else flip


def mirror_images(images: Tensor, flip: Tensor) -> Tensor:
    """Turn the chosen pictures [N, C, H, W] left to right."""
    return torch.where(flip[:, None, None, None].to(images.device), images.flip(3), images)


def mirror_params(params: dict[str, Tensor], flip: Tensor) -> dict[str, Tensor]:
    """The parameters (as in SceneData) of scenes of which the chosen ones are seen in a mirror."""
    turned = {"yaw": lambda v: math.pi - v} | dict.fromkeys(("head_yaw", "gait", "tail_side", "shift_x"), lambda v: -v)
    mirrored = dict(params)
    for name, values in params.items():
        if (turn := turned.get(name.split(".")[1])) is not None:
            mirrored[name] = torch.where(flip, turn(values), values)
    return mirrored


# ----------------------------------------------------------------------------------------------------------- sketcher

def sketcher_loss(F: PhotoSketch, data: SceneData, config: SketcherConfig, device: str) -> LossOf:
    """L1 between F's drawing and the nearest of several redrawings of the exact contour.

    L1, because its optimum is a median: lines stay black where a squared error would draw their grey mean. The nearest
    of several, as PhotoSketch does with several people's drawings of one photo, so that a shaky hand is no fault.
    """
    def loss_of(indices: Tensor, random: Generator) -> dict[str, Tensor]:
        images, contours = (datasets.to_float(data.views[k][indices]).to(device) for k in ("image", "contour"))
        flip = torch.rand(len(indices), generator=random) < 0.5
        images, contours = mirror_images(images, flip), mirror_images(contours, flip)
        drawn = F(degrade_photo(images, random))
        distances = []
        for _ in range(config.drawings):
            target = redraw(contours, random)
            weight = 1 + (config.ink_weight - 1) * (1 - target) / 2
            distances.append((weight * (drawn - target).abs()).mean((1, 2, 3)))
        return {"contour": torch.stack(distances).amin(0).mean()}

    return loss_of


@torch.no_grad()
def evaluate_sketcher(F: PhotoSketch, data: SceneData, batch: int, device: str) -> dict[str, float]:
    """Contour F1 on the held-out scenes, within 1 and 2 pixels, with running and with batch statistics, and the
    speed."""
    held_out = range(data.train, len(data))
    quality, before = {}, F.batch_stats
    for statistics in ("running", "batch"):
        F.batch_stats = statistics == "batch"
        drawn = torch.cat([F(datasets.to_float(data.views["image"][i:i + batch]).to(device)).cpu()
                           for i in held_out[::batch]])
        truth = datasets.to_float(data.views["contour"][data.train:])
        for tolerance in (1, 2):
            quality[f"f1_{tolerance}px_{statistics}"] = contour_f1(drawn, truth, tolerance)["f1"]
    F.batch_stats = before
    return quality | {"ms_per_image": milliseconds(F, data.views["image"].shape[-1], device)}


def train_sketcher(config: SketcherConfig, out: str | Path, minutes: float | None = None, device: str = "cpu") -> dict:
    """Train F on (photo, contour) pairs and write it to `out`; returns its measured quality."""
    data = load_scenes(config, ("image", "contour"))
    F = seeded(lambda: PhotoSketch(config.ngf, config.n_blocks), config).to(device)
    images = train(F, sketcher_loss(F, data, config, device), data.train, config, Path(out), minutes)
    # The running statistics come from pictures like those F will see: clean ones and degraded ones.
    random = step_generator(config.seed, -1)
    some = torch.randperm(data.train, generator=random)[:40 * config.batch].split(config.batch)
    F.measure_running_stats(degrade_photo(datasets.to_float(data.views["image"][i]).to(device), random) for i in some)
    quality = evaluate_sketcher(F.eval(), data, config.batch, device)
    publish(F, config, Path(out), images, quality)
    return quality


# -------------------------------------------------------------------------------------------------------------- judge

def judge_loss(judge: Judge, data: SceneData, config: JudgeConfig, device: str) -> LossOf:
    """Pose, predicates and names of degraded pictures; of spoiled ones, only that they have no name."""
    def loss_of(indices: Tensor, random: Generator) -> dict[str, Tensor]:
        images = datasets.to_float(data.views["image"][indices]).to(device)
        params = {k: v[indices] for k, v in data.params.items()}
        flip = choose_mirrored(params, random)
        images, params = mirror_images(images, flip), mirror_params(params, flip)
        decided = predicate_truth(params, judge.predicates)
        spoiled = torch.rand(len(indices), generator=random) < config.spoiled
        images = torch.where(spoiled[:, None, None, None].to(device), spoil(images, random), images)
        outputs = judge.outputs(degrade_photo(images, random))
        hide = lambda v: v.masked_fill(spoiled, math.nan).to(device)
        pose = torch.stack([t.loss(outputs[t.name], hide(params[t.name])) for t in judge.targets])
        named = data.category[indices].masked_fill(spoiled, len(judge.categories)).to(device)
        return {"pose": pose.mean(), "name": 0.5 * functional.cross_entropy(outputs["category"], named),
                "predicates": 0.5 * masked_bce(outputs["predicates"],
                                               decided.masked_fill(spoiled[:, None], math.nan).to(device))}

    return loss_of


def predicate_truth(params: dict[str, Tensor], predicates: tuple[str, ...]) -> Tensor:
    """Which predicates scenes satisfy: [N, predicates] of 0, 1, and NaN for scenes of another category."""
    columns = []
    for name in predicates:
        category = PREDICATES[name]
        own = {k.split(".")[1]: v for k, v in params.items() if k.startswith(category + ".")}
        columns.append(satisfies(name, own).float().masked_fill(own["yaw"].isnan(), math.nan))
    return torch.stack(columns, 1)


def masked_bce(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross entropy over the entries of truth that are not NaN."""
    known = ~truth.isnan()
    each = functional.binary_cross_entropy_with_logits(logits, truth.nan_to_num(), reduction="none")
    return (each * known).sum() / known.sum().clamp_min(1)


@torch.no_grad()
def evaluate_judge(judge: Judge, data: SceneData, config: JudgeConfig, device: str) -> dict:
    """Held-out quality, on clean and on degraded renders.

    For each condition: 'yaw_degrees' median error of the yaw by category; 'r2' of numbers, and accuracy of labels, by
    target; 'confusion' [true positive, false positive, false negative, true negative] by predicate; 'accuracy' of each
    predicate; 'named', the share recognised as what it is; and 'refused', the share of spoiled pictures that got no
    name.
    """
    random = step_generator(config.seed, -2)
    clean = datasets.to_float(data.views["image"][data.train:])
    params = {k: v[data.train:] for k, v in data.params.items()}
    truth = predicate_truth(params, judge.predicates)
    quality: dict = {}
    for condition, images in (("clean", clean), ("degraded", degrade_photo(clean, random))):
        judged = in_batches(judge, images, device)
        report = {"r2": {}, "yaw_degrees": {}, "labels": {}, "confusion": {}, "accuracy": {}}
        for target in judge.targets:
            known = ~params[target.name].isnan()
            score_target(report, target, judged[target.name][known], params[target.name][known])
        for k, name in enumerate(judge.predicates):
            known = ~truth[:, k].isnan()
            said, true = judged[name][known] > 0.5, truth[known, k] > 0.5
            report["confusion"][name] = confusion(said, true)
            report["accuracy"][name] = (said == true).float().mean().item()
        report["named"] = recognised(judge, judged, data.category[data.train:])
        quality[condition] = report
    judged = in_batches(judge, spoil(clean, random), device)
    most = torch.stack([judged[category] for category in judge.categories]).amax(0)
    quality["refused"] = (most <= 0.5).float().mean().item()
    return quality


def score_target(report: dict, target: Target, read: Tensor, true: Tensor) -> None:
    """Enter how well one parameter is read: degrees for an angle, accuracy for a label, R2 for a number."""
    if target.kind == "angle":
        error = torch.atan2((read - true).sin(), (read - true).cos()).abs()
        report["yaw_degrees"][target.name] = error.median().rad2deg().item()
    elif target.kind == "label":
        report["labels"][target.name] = (read == true).float().mean().item()
    else:
        report["r2"][target.name] = 1 - ((read - true).square().mean() / true.var(correction=0).clamp_min(1e-9)).item()


def recognised(judge: Judge, judged: dict[str, Tensor], category: Tensor) -> float:
    """The share of pictures whose own category has more than half of the probability."""
    own = torch.stack([judged[c] for c in judge.categories], 1).gather(1, category[:, None])
    return (own > 0.5).float().mean().item()


def train_judge(config: JudgeConfig, out: str | Path, minutes: float | None = None, device: str = "cpu") -> dict:
    """Train the judge on renders of its own and write it to `out`; returns its measured quality."""
    data = load_scenes(config, ("image",))
    predicates = tuple(name for name, category in PREDICATES.items() if category in config.categories)
    targets = targets_of(config.categories)
    judge = seeded(lambda: Judge(config.categories, targets, predicates, config.widths, config.dim), config).to(device)
    images = train(judge, judge_loss(judge, data, config, device), data.train, config, Path(out), minutes)
    quality = evaluate_judge(judge.eval(), data, config, device)
    publish(judge, config, Path(out), images, quality)
    return quality


# ----------------------------------------------------------------------------------------------------------- features

def part_table(categories: tuple[str, ...]) -> tuple[tuple[str, ...], Tensor]:
    """One list of part names for several categories, and where each category's parts are in it [categories, parts]."""
    names = tuple(dict.fromkeys(name for category in categories for name in PART_NAMES[category]))
    table = torch.zeros(len(categories), max(len(PART_NAMES[c]) for c in categories), dtype=torch.long)
    for k, category in enumerate(categories):
        table[k, :len(PART_NAMES[category])] = torch.tensor([names.index(name) for name in PART_NAMES[category]])
    return names, table


def features_loss(network: Features, targets: tuple[Target, ...], data: SceneData, config: FeaturesConfig,
                  device: str) -> LossOf:
    """Dense truth (albedo, depth, contour, parts) and pose, each term near 1 for a network that knows nothing."""
    _, table = part_table(config.categories)
    rare = torch.tensor(4.0, device=device)  # ink is

    def loss_of(indices: Tensor, random: Generator) -> dict[str, Tensor]:
        views = {k: v[indices] for k, v in data.views.items()}
        views["parts"] = table[data.category[indices][:, None, None], views["parts"].long()][:, None]
        params = {k: v[indices] for k, v in data.params.items()}
        flip = choose_mirrored(params, random)
        views = {k: mirror_images(v.to(device), flip) for k, v in views.items()}
        params = mirror_params(params, flip)
        images = datasets.to_float(views["image"])
        dense, pose = network(images + config.grain * torch.randn(images.shape, generator=random).to(device))
        ink = (1 - datasets.to_float(views["contour"])) / 2
        pose = dict(zip((t.name for t in targets), pose.split([t.width for t in targets], dim=1)))
        return {"albedo": 4 * functional.l1_loss(dense["albedo"], datasets.to_float(views["albedo"])),
                "depth": 4 * functional.l1_loss(dense["depth"], views["depth"] / 255),
                "contour": functional.binary_cross_entropy_with_logits(dense["contour"], ink, pos_weight=rare),
                "parts": functional.cross_entropy(dense["parts"], views["parts"][:, 0]),
                "pose": torch.stack([t.loss(pose[t.name], params[t.name].to(device)) for t in targets]).mean()}

    return loss_of


@torch.no_grad()
def evaluate_features(network: Features, loss_of: LossOf, data: SceneData, config: FeaturesConfig) -> dict[str, float]:
    """The mean of each term of the loss over the held-out scenes."""
    batches = torch.arange(data.train, len(data)).split(config.batch)
    terms = [loss_of(indices, step_generator(config.seed, -3 - k)) for k, indices in enumerate(batches)]
    return {name: sum(t[name].item() * len(i) for t, i in zip(terms, batches)) / (len(data) - data.train)
            for name in terms[0]}


def train_features(config: FeaturesConfig, out: str | Path, minutes: float | None = None, device: str = "cpu") -> dict:
    """Train the feature network on the base GANs' own scenes and write it to `out`; returns its held-out losses."""
    data = load_scenes(config, ("image", "contour", "parts", "albedo", "depth"))
    targets = targets_of(config.categories)
    dense = dict(albedo=3, depth=1, contour=1, parts=len(part_table(config.categories)[0]))
    network = seeded(lambda: Features(dense, sum(t.width for t in targets), config.channels), config).to(device)
    loss_of = features_loss(network, targets, data, config, device)
    images = train(network, loss_of, data.train, config, Path(out), minutes)
    quality = evaluate_features(network.eval(), loss_of, data, config)
    publish(network, config, Path(out), images, quality)
    return quality
