"""Teachers: training of the three networks that work beside the GANs, each on renders of its own.

    sketcher   F, photograph to contour drawing (photosketch.py): what makes a customised GAN follow sketches
    judge      pose, predicates, recognisability (judge.py): what measures
    features   dense truth (encoder.py): what helps to train a base GAN

Three seeds of the Menagerie keep them apart, so that nothing is measured by what it was trained with. All three share
one loop: AdamW under a cosine that depends on images seen, never on the clock; everything random in step k is drawn
from a generator seeded with (seed, k), so that resuming is exact and needs no random state; a time budget only decides
when to stop. Command line: `python -m sketchgan.pretrain {sketcher,judge,features}`.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from . import checkpoints, datasets
from .degradations import degrade_photo, redraw, spoil
from .encoder import Features
from .judge import POSE, Judge, describe_targets
from .menagerie import PART_NAMES, PREDICATES, satisfies
from .metrics import contour_f1
from .photosketch import PhotoSketch

LossOf = Callable[[Tensor, Generator], dict[str, Tensor]]  # (indices [B], random numbers) -> weighted terms to add up


@dataclass(frozen=True)
class TeacherConfig:
    """What a training depends on; `where` and `how long` are arguments of the functions."""

    categories: tuple[str, ...] = ("cat", "horse")  # one network for all of them
    resolution: int = 64       # of the renders
    scenes: int = 4000         # of each category to train on
    held_out: int = 256        # scenes of each category, after those, to measure on
    scene_seed: int = 0        # Menagerie seed: 0 features and GANs, 1 sketcher, 2 judge, 3 sketches, 4 evaluation
    kimg: float = 60.0         # thousands of images to see; the schedule is stretched over them
    batch: int = 32            # large enough for steady batch statistics
    lr: float = 2e-3           # peak of the cosine
    weight_decay: float = 1e-2  # AdamW's; mild, there are more scenes than the networks can learn by heart
    warmup: float = 0.03       # share of kimg over which lr rises from 0
    seed: int = 0              # of weights, order and degradations


@dataclass(frozen=True)
class SketcherConfig(TeacherConfig):
    """F: small, because customisation runs it forward and backward at every step."""

    scenes: int = 3000
    scene_seed: int = 1
    kimg: float = 40.0
    batch: int = 16
    weight_decay: float = 1e-4
    ngf: int = 16              # the published F has 64
    n_blocks: int = 5          # the published F has 9
    drawings: int = 3          # redrawings of each contour; the nearest counts (PhotoSketch, section 3.2: min over drawings)
    ink_weight: float = 2.0    # a lost line costs this many times a superfluous one; paper is 10 times as frequent


@dataclass(frozen=True)
class JudgeConfig(TeacherConfig):
    """The judge: sees degraded pictures, since it will look at samples, and spoiled ones, to learn to refuse."""

    scene_seed: int = 2
    kimg: float = 80.0
    spoiled: float = 0.2       # share of the pictures that are spoiled beyond recognition
    widths: tuple[int, ...] = (32, 64, 96, 128)
    dim: int = 128             # of the feature vector


@dataclass(frozen=True)
class FeaturesConfig(TeacherConfig):
    """Features: sees clean pictures with a little grain, since its features must notice what degrades a sample."""

    scenes: int = 8000
    kimg: float = 40.0
    channels: tuple[int, ...] = (24, 48, 72, 96, 120)
    grain: float = 0.03        # standard deviation of the noise on the pictures, of a range of 2


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
    views = {name: both([scenes[name] for scenes in rendered]) for name in rendered[0] if name not in ("params", "code")}
    sizes = [len(scenes["image"]) for scenes in rendered]
    params = {}
    for k, category in enumerate(config.categories):
        for name in POSE[category]:
            values = [torch.full((n,), math.nan) for n in sizes]
            values[k] = rendered[k]["params"][name].float()
            params[f"{category}.{name}"] = both(values)
    category = both([torch.full((n,), k) for k, n in enumerate(sizes)])
    return SceneData(views, params, category, cut * len(rendered))


def mirror(images: Tensor, params: dict[str, Tensor], flip: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Mirror some pictures left to right, and say so in their parameters: twice the scenes for nothing.

    images [N, 3, H, W]; params as in SceneData; flip [N] booleans. Churches are not mirrored: a tower at the side
    stands on one side only.
    """
    if "church.yaw" in params:
        flip = flip & params["church.yaw"].isnan()
    turned = {"yaw": lambda v: math.pi - v} | dict.fromkeys(("head_yaw", "gait", "tail_side", "shift_x"), lambda v: -v)
    mirrored = dict(params)
    for name, values in params.items():
        if (turn := turned.get(name.split(".")[1])) is not None:
            mirrored[name] = torch.where(flip, turn(values), values)
    return torch.where(flip[:, None, None, None].to(images.device), images.flip(3), images), mirrored


# ----------------------------------------------------------------------------------------------------- the common loop

@dataclass(frozen=True)
class Progress:
    """One step: images seen so far, the terms of the loss, and the seconds since this process began training."""

    images: int
    losses: dict[str, float]
    seconds: float


def learning_rate(images: int, config: TeacherConfig) -> float:
    """A linear rise over the first `warmup` of the images, then a cosine that reaches 0 with the last."""
    share = images / (config.kimg * 1000)
    if share < config.warmup:
        return config.lr * (share + 1e-3) / config.warmup
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - config.warmup) / (1 - config.warmup))))


def step_generator(seed: int, step: int) -> Generator:
    """All the randomness of one step; steps of other numbers and seeds share nothing."""
    return Generator().manual_seed(1_000_003 * seed + step + 1)


def batch_indices(step: int, count: int, config: TeacherConfig) -> Tensor:
    """Which scenes step `step` sees, [batch]: epochs in a fresh order each, an incomplete last batch left out."""
    if count < config.batch:
        raise ValueError(f"{count} training scenes do not fill a batch of {config.batch}: give more --scenes or a "
                         "smaller --batch.")
    epoch, place = divmod(step, count // config.batch)
    order = torch.randperm(count, generator=Generator().manual_seed(7_919 * config.seed + epoch))
    return order[place * config.batch:(place + 1) * config.batch]


def fit(network: nn.Module, loss_of: LossOf, count: int, config: TeacherConfig, checkpoint: Path | None = None,
        save_every: float = 60.0) -> Iterator[Progress]:
    """Train `network` in place; yields after each step, and leaving the loop stops.

    loss_of: what a batch of indices below `count` costs. checkpoint: a file that is written every `save_every` seconds and
    on leaving; if it exists, training goes on from it exactly where it was.
    Raises ValueError if the checkpoint is of another config, FloatingPointError if the loss is no number any more.
    """
    optimizer = torch.optim.AdamW(network.parameters(), config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay)
    step = restore(checkpoint, network, optimizer, config) if checkpoint and Path(checkpoint).exists() else 0
    began = saved = time.monotonic()
    network.train()
    try:
        while step * config.batch < config.kimg * 1000:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step * config.batch, config)
            losses = loss_of(batch_indices(step, count, config), step_generator(config.seed, step))
            total = sum(losses.values())
            if not total.isfinite():
                raise FloatingPointError(f"The loss is {total.item()} at {step * config.batch} images. The last checkpoint is "
                                         "sound; train again with a lower --lr.")
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            step += 1
            yield Progress(step * config.batch, {k: v.item() for k, v in losses.items()}, time.monotonic() - began)
            if checkpoint and time.monotonic() - saved > save_every:
                keep(checkpoint, network, optimizer, config, step)
                saved = time.monotonic()
    except GeneratorExit:  # the caller left between two steps, so what is here is whole
        if checkpoint:
            keep(checkpoint, network, optimizer, config, step)
        raise
    if checkpoint:
        keep(checkpoint, network, optimizer, config, step)


def keep(checkpoint: Path, network: nn.Module, optimizer: torch.optim.Optimizer, config: TeacherConfig, step: int) -> None:
    """Write everything that the next step depends on."""
    checkpoints.save_training(checkpoint, dict(step=step, config=plain(config), network=network.state_dict(),
                                               optimizer=optimizer.state_dict()))


def restore(checkpoint: Path, network: nn.Module, optimizer: torch.optim.Optimizer, config: TeacherConfig) -> int:
    """Take up what `keep` wrote; returns the number of the next step."""
    state = checkpoints.load_training(checkpoint)
    if state["config"] != plain(config):
        changed = [k for k, v in plain(config).items() if state["config"].get(k) != v]
        raise ValueError(f"{checkpoint} began with other values of {', '.join(changed)}. Give the same ones to resume, or "
                         "delete the file to begin again.")
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def plain(config: TeacherConfig) -> dict:
    """A config as JSON would give it back (lists for tuples), so that two can be compared."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}


def train(network: nn.Module, loss_of: LossOf, count: int, config: TeacherConfig, out: Path,
          minutes: float | None) -> int:
    """Run `fit` with a progress bar until config.kimg are seen or `minutes` are over; returns images seen.

    The unfinished state lies beside `out`, as out.training; calling again goes on from there.
    """
    checkpoint = unfinished(out)
    with tqdm(total=int(config.kimg * 1000), unit="img", desc=out.stem, mininterval=1.0) as bar:
        for progress in (steps := fit(network, loss_of, count, config, checkpoint)):
            bar.update(progress.images - bar.n)
            if progress.images % (20 * config.batch) == 0:
                bar.set_postfix({k: f"{v:.3f}" for k, v in progress.losses.items()}, refresh=False)
            if minutes is not None and progress.seconds > 60 * minutes and progress.images < config.kimg * 1000:
                steps.close()
                print(f"Time is over at {progress.images / 1000:.1f} of {config.kimg:g} kimg: this is a rough version; "
                      f"the same command goes on from {checkpoint}.")
                return progress.images
    return math.ceil(config.kimg * 1000 / config.batch) * config.batch


def unfinished(out: Path) -> Path:
    """Where the state of an unfinished training of `out` is kept."""
    return out.with_suffix(".training")


def publish(network: nn.Module, config: TeacherConfig, out: Path, images: int, quality: dict) -> None:
    """Write the weight file: the network, how to build it, how it was trained, how good it is, and by which command."""
    info = dict(training=plain(config), images=images, quality=quality, threads=torch.get_num_threads(),
                torch=torch.__version__, command=command_line())
    if isinstance(network, PhotoSketch):
        checkpoints.save(out, F=network, metadata=info)
    else:
        kind = type(network).__name__.lower()
        checkpoints.write_safetensors(out, network.state_dict(), {"config": {kind: network.config}, **info})
    if images >= config.kimg * 1000:
        unfinished(out).unlink(missing_ok=True)


def command_line() -> str:
    """The command that is running, without the paths of this machine."""
    return " ".join(["python -m sketchgan.pretrain", *(os.path.basename(word) for word in sys.argv[1:])])


# ----------------------------------------------------------------------------------------------------------- sketcher

def sketcher_loss(F: PhotoSketch, data: SceneData, config: SketcherConfig, device: str) -> LossOf:
    """L1 between F's drawing and the nearest of several redrawings of the exact contour.

    L1, because its optimum is a median: lines stay black where a squared error would draw their grey mean. The nearest
    of several, as PhotoSketch does with several people's drawings of one photo, so that a shaky hand is no fault.
    """
    def loss_of(indices: Tensor, random: Generator) -> dict[str, Tensor]:
        images, contours = (datasets.to_float(data.views[k][indices]).to(device) for k in ("image", "contour"))
        flip = (torch.rand(len(indices), generator=random) < 0.5)[:, None, None, None].to(device)
        images, contours = (torch.where(flip, x.flip(3), x) for x in (images, contours))
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
    """Contour F1 on the held-out scenes, within 1 and 2 pixels, with running and with batch statistics; and the speed."""
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


@torch.no_grad()
def milliseconds(network: nn.Module, resolution: int, device: str = "cpu", batch: int = 8, repeats: int = 5) -> float:
    """The least of several timings of a forward pass, in milliseconds an image."""
    x = torch.zeros(batch, 3, resolution, resolution, device=device)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        network(x)
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return 1000 * min(times[1:]) / batch


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


def seeded(build: Callable[[], nn.Module], config: TeacherConfig) -> nn.Module:
    """Build a network whose first weights depend on config.seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return build().to(memory_format=torch.channels_last)


# -------------------------------------------------------------------------------------------------------------- judge

def judge_loss(judge: Judge, data: SceneData, config: JudgeConfig, device: str) -> LossOf:
    """Pose, predicates and names of degraded pictures; of spoiled ones, only that they have no name."""
    def loss_of(indices: Tensor, random: Generator) -> dict[str, Tensor]:
        images = datasets.to_float(data.views["image"][indices]).to(device)
        params = {k: v[indices] for k, v in data.params.items()}
        images, params = mirror(images, params, torch.rand(len(indices), generator=random) < 0.5)
        decided = predicate_truth(params, judge.predicates)
        spoiled = torch.rand(len(indices), generator=random) < config.spoiled
        images = torch.where(spoiled[:, None, None, None].to(device), spoil(images, random), images)
        outputs = judge.outputs(degrade_photo(images, random))
        hide = lambda v: v.masked_fill(spoiled, math.nan).to(device)
        pose = torch.stack([t.loss(outputs[t.name], hide(params[t.name])) for t in judge.targets])
        named = data.category[indices].masked_fill(spoiled, len(judge.categories)).to(device)
        return {"pose": pose.mean(), "name": 0.5 * functional.cross_entropy(outputs["category"], named),
                "predicates": 0.5 * masked_bce(outputs["predicates"], hide_rows(decided, spoiled).to(device))}

    return loss_of


def predicate_truth(params: dict[str, Tensor], predicates: tuple[str, ...]) -> Tensor:
    """Which predicates scenes satisfy: [N, predicates] of 0, 1, and NaN for scenes of another category."""
    columns = []
    for name in predicates:
        category = PREDICATES[name]
        own = {k.split(".")[1]: v for k, v in params.items() if k.startswith(category + ".")}
        columns.append(satisfies(name, own).float().masked_fill(own["yaw"].isnan(), math.nan))
    return torch.stack(columns, 1)


def hide_rows(x: Tensor, rows: Tensor) -> Tensor:
    """x [N, P] with NaN in the rows that are marked [N]."""
    return x.masked_fill(rows[:, None], math.nan)


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
    predicate; 'named', the share recognised as what it is; and 'refused', the share of spoiled pictures that got no name.
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
            counts = [(said & true), (said & ~true), (~said & true), (~said & ~true)]
            report["confusion"][name] = [int(c.sum()) for c in counts]
            report["accuracy"][name] = (said == true).float().mean().item()
        report["named"] = recognised(judge, judged, data.category[data.train:])
        quality[condition] = report
    judged = in_batches(judge, spoil(clean, random), device)
    quality["refused"] = sum((judged[c] <= 0.5) for c in judge.categories).eq(len(judge.categories)).float().mean().item()
    return quality


def score_target(report: dict, target, read: Tensor, true: Tensor) -> None:
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


def in_batches(network: Callable, images: Tensor, device: str, batch: int = 128) -> dict[str, Tensor]:
    """A network's named outputs for images [N, 3, H, W], batch by batch, on the CPU."""
    pieces = [network(x.to(device)) for x in images.split(batch)]
    return {k: torch.cat([p[k].cpu() for p in pieces]) for k in pieces[0]}


def train_judge(config: JudgeConfig, out: str | Path, minutes: float | None = None, device: str = "cpu") -> dict:
    """Train the judge on renders of its own and write it to `out`; returns its measured quality."""
    data = load_scenes(config, ("image",))
    predicates = tuple(name for name, category in PREDICATES.items() if category in config.categories)
    targets = describe_targets({k: v[:data.train] for k, v in data.params.items()})
    judge = seeded(lambda: Judge(config.categories, targets, predicates, config.widths, config.dim), config).to(device)
    images = train(judge, judge_loss(judge, data, config, device), data.train, config, Path(out), minutes)
    quality = evaluate_judge(judge.eval(), data, config, device)
    publish(judge, config, Path(out), images, quality)
    return quality


# ----------------------------------------------------------------------------------------------------------- features

def part_table(categories: tuple[str, ...]) -> tuple[tuple[str, ...], Tensor]:
    """One list of part names for several categories, and where each category's parts are in it: [categories, most parts]."""
    names = tuple(dict.fromkeys(name for category in categories for name in PART_NAMES[category]))
    table = torch.zeros(len(categories), max(len(PART_NAMES[c]) for c in categories), dtype=torch.long)
    for k, category in enumerate(categories):
        table[k, :len(PART_NAMES[category])] = torch.tensor([names.index(name) for name in PART_NAMES[category]])
    return names, table


def features_loss(network: Features, targets, data: SceneData, config: FeaturesConfig, device: str) -> LossOf:
    """Dense truth (albedo, depth, contour, parts) and pose, each term near 1 for a network that knows nothing."""
    _, table = part_table(config.categories)
    contour_weight = torch.tensor(4.0, device=device)  # ink is rare

    def loss_of(indices: Tensor, random: Generator) -> dict[str, Tensor]:
        views = {k: v[indices] for k, v in data.views.items()}
        views["parts"] = table[data.category[indices][:, None, None], views["parts"].long()][:, None]
        params = {k: v[indices] for k, v in data.params.items()}
        flip = torch.rand(len(indices), generator=random) < 0.5
        views = {k: mirror(v.to(device), params, flip)[0] for k, v in views.items()}
        _, params = mirror(views["image"], params, flip)
        images = datasets.to_float(views["image"])
        dense, pose = network(images + config.grain * torch.randn(images.shape, generator=random).to(device))
        ink = (1 - datasets.to_float(views["contour"])) / 2
        pose = dict(zip((t.name for t in targets), pose.split([t.width for t in targets], dim=1)))
        return {"albedo": 4 * functional.l1_loss(dense["albedo"], datasets.to_float(views["albedo"])),
                "depth": 4 * functional.l1_loss(dense["depth"], views["depth"] / 255),
                "contour": functional.binary_cross_entropy_with_logits(dense["contour"], ink, pos_weight=contour_weight),
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
    targets = describe_targets({k: v[:data.train] for k, v in data.params.items()})
    dense = dict(albedo=3, depth=1, contour=1, parts=len(part_table(config.categories)[0]))
    network = seeded(lambda: Features(dense, sum(t.width for t in targets), config.channels), config).to(device)
    loss_of = features_loss(network, targets, data, config, device)
    images = train(network, loss_of, data.train, config, Path(out), minutes)
    quality = evaluate_features(network.eval(), loss_of, data, config)
    publish(network, config, Path(out), images, quality)
    return quality
