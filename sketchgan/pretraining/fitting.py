"""Fitting: the one loop that trains every teacher (teachers.py): resumable, scheduled by images, stopped by a budget.

AdamW under a cosine that depends on images seen, never on the clock. Everything random in step k is drawn from a
generator seeded with (seed, k), so a resumed run is the run that never stopped and no random state has to be kept.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import Generator, Tensor, nn

from ..files.atomic import owned
from ..files.checks import Count, Limits, Positive, Seed, Weight, Whole, check, check_fields, check_gradients
from ..files.progress import Progress as Bar
from ..files.readers import reading
from ..nets.photosketch import PhotoSketch
from ..weights import checkpoints
from ..weights.stored_states import check_optimizer, own_moments, require_like

LossOf = Callable[[Tensor, Generator], dict[str, Tensor]]  # (indices [B], random numbers) -> weighted terms to add up


@dataclass(frozen=True)
class TeacherConfig:
    """What a training depends on; `where` and `how long` are arguments of the functions."""

    categories: tuple[str, ...] = ("cat", "horse")  # one network for all of them
    resolution: Count = 64     # of the renders
    scenes: Whole = 4000       # of each category to train on
    held_out: Whole = 256      # scenes of each category, after those, to measure on
    scene_seed: Seed = 0       # Menagerie seed: 0 features and GANs, 1 sketcher, 2 judge, 3 sketches, 4 evaluation
    kimg: Positive = 60.0      # thousands of images to see; the schedule is stretched over them
    batch: Count = 32          # large enough for steady batch statistics
    lr: Positive = 2e-3        # peak of the cosine
    weight_decay: Weight = 1e-2  # AdamW's; mild, there are more scenes than the networks can learn by heart
    warmup: Annotated[float, Limits(least=0, below=1)] = 0.03    # share of kimg over which lr rises from 0
    seed: Seed = 0             # of weights, order and degradations

    __post_init__ = check_fields


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

    loss_of: what a batch of indices below `count` costs. checkpoint: a file that is written every `save_every` seconds
    and on leaving; if it exists, training goes on from it exactly where it was.
    Raises ValueError if the checkpoint is of another config, FolderInUse if another training writes it,
    FloatingPointError if the loss is no number any more.
    """
    check_gradients("fit")
    with owned(checkpoint and Path(checkpoint), "pretrain"):
        optimizer = torch.optim.AdamW(network.parameters(), config.lr, betas=(0.9, 0.99),
                                      weight_decay=config.weight_decay)
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
                    raise FloatingPointError(f"The loss is {total.item()} at {step * config.batch} images. The last "
                                             "checkpoint is sound; train again with a lower --lr.")
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


def save_finite(path: Path, state: dict) -> None:
    """`checkpoints.save_training`, unless a number in it is NaN or infinite: then FloatingPointError, and the file
    stays."""
    def check(x, name: str) -> None:
        if isinstance(x, Tensor):
            if x.is_floating_point() and not x.isfinite().all():
                raise FloatingPointError(f"{name} holds numbers that are NaN or infinite, so {path} was not written. "
                                         "The checkpoint before it is sound: go on from that with a smaller lr")
        elif isinstance(x, (dict, list, tuple)):
            for key, value in x.items() if isinstance(x, dict) else enumerate(x):
                check(value, f"{name}.{key}" if name else str(key))
    check(state, "")
    checkpoints.save_training(path, state)


def keep(checkpoint: Path, network: nn.Module, optimizer: torch.optim.Optimizer, config: TeacherConfig,
         step: int) -> None:
    """Write everything that the next step depends on."""
    save_finite(checkpoint, dict(step=step, config=plain(config), network=network.state_dict(),
                                 optimizer=optimizer.state_dict()))


def restore(checkpoint: Path, network: nn.Module, optimizer: torch.optim.Optimizer, config: TeacherConfig) -> int:
    """Take up what `keep` wrote, if it is that: everything in it is looked at first; returns the number of the next
    step."""
    with reading(checkpoint, checkpoints.CheckpointError, "delete the file to begin again"):
        state = checkpoints.load_training(checkpoint)
        if state["config"] != plain(config):
            changed = [k for k, v in plain(config).items() if state["config"].get(k) != v]
            raise checkpoints.CheckpointError(f"{checkpoint} began with other values of {', '.join(changed)}. Give the "
                                              "same ones to resume, or delete the file to begin again.")
        step = check("step", state["step"], Annotated[int, Limits(0, math.ceil(config.kimg * 1000 / config.batch))])
        require_like(dict(state["network"]), dict(network.state_dict()), "the network")
        check_optimizer(state["optimizer"], optimizer, step, "the optimiser", free=("lr",))
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(own_moments(state["optimizer"], optimizer))
    return step


def plain(config: TeacherConfig) -> dict:
    """A config as JSON would give it back (lists for tuples), so that two can be compared."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}


def train(network: nn.Module, loss_of: LossOf, count: int, config: TeacherConfig, out: Path,
          minutes: float | None) -> int:
    """Run `fit` with a progress bar until config.kimg are seen or `minutes` are over; returns images seen.

    The unfinished state lies beside `out`, as out.training; calling again goes on from there.
    """
    checkpoint = unfinished(out)
    with Bar(total=int(config.kimg * 1000), unit="img", desc=out.stem, mininterval=1.0) as bar:
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
    """The command that is running; of a path outside the project only the last part, since it is this machine's own."""
    given = sys.argv[1 + (sys.argv[1:2] == ["pretrain"]):]      # through the package's command, its name comes first
    words = (os.path.basename(word) if os.path.isabs(word) or word.startswith("..") else word for word in given)
    return " ".join(["python -m sketchgan pretrain", *words])


# ------------------------------------------------------------------------------------------------------------- helpers

def seeded(build: Callable[[], nn.Module], config: TeacherConfig) -> nn.Module:
    """Build a network whose first weights depend on config.seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return build().to(memory_format=torch.channels_last)


def in_batches(network: Callable, images: Tensor, device: str, batch: int = 128) -> dict[str, Tensor]:
    """A network's named outputs for images [N, 3, H, W], batch by batch, on the CPU."""
    pieces = [network(x.to(device)) for x in images.split(batch)]
    return {k: torch.cat([p[k].cpu() for p in pieces]) for k in pieces[0]}


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
