"""Sketch Your Own GAN (Wang, Bau, Zhu, ICCV 2021): a few sketches turn a GAN into one that follows them.

Two discriminators teach the mapping network of a trained generator.  D_sketch compares F(G(z)), the samples as
drawings, with the user's sketches: shape and pose come from it.  D_image compares G(z) with photographs, so that
colours, textures and variety stay.  Only G's mapping network moves; the synthesis network, which knows how to paint,
is left alone.

    for step in customize(G, D, F, sketches):
        print(step.iteration, step.losses)

On the way it looks how near the samples have come and what variety is left, and when training ends by itself, the last
step brings the generator to keep: stopping.py says by which rule.
"""

import copy
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ..nets.augment import parse_policy
from ..weights import checkpoints
from .controls import NAMES, Controls, check_sketches
from .state import LAYERS, TrainingState, check_networks, seeded
from .step import NonFiniteLoss, sketch, train_step
from .stopping import StoppingRule, Watch, choose, verdict
from .warmstart import WarmStart, warm_start

__all__ = ["Controls", "CustomizeConfig", "NonFiniteLoss", "Step", "customize", "train_step"]


@dataclasses.dataclass(frozen=True)
class CustomizeConfig:
    """The recipe.  Without arguments it trains as published, and `stopping` chooses what to keep of it; the comments give
    each number's reason."""

    iterations: int = 75_001         # as published; the paper finds 30,000 enough at 256 px
    batch: int = 4                   # the teaser cat has four sketches
    lr: float = 0.002                # Adam, for G; lr_mul 0.01 of the mapping network scales it down
    g_lr_factor: float = 1.0         # beyond the paper: G's rate alone times this; large values buy artefacts
    betas: tuple[float, float] = (0.0, 0.99)  # no momentum: the usual choice against GAN oscillation
    r1_gamma: float = 10.0           # penalty on D's gradient at real data, for both discriminators
    d_reg_every: int = 16            # lazy R1: each 16th step, 16 times as strong
    mixing: float = 0.9              # share of batches whose layers take w from two z
    augment: str = "translation"     # for what D_sketch sees; never for images
    l_image: float = 0.7             # weight of D_image (0.5 for FFHQ)
    l_weight: float = 0.0            # weight of mean |theta - theta_base|; an alternative to l_image without images
    optim_param: str = "style"       # what trains in G: one of LAYERS; 'style' is the mapping network
    d_sketch_pretrained: bool = True  # D_sketch from the photograph D (published) or from scratch
    f_batch_stats: bool = True       # F's batch norms use the batch (published) or running statistics
    f_halvings: int = 0              # shrink images this often by 2 for F and back after (2 for 1024 px FFHQ)
    bf16: bool = False               # beyond the paper: all but R1 in bfloat16; faster where the processor has it
    g_ema_kimg: float = 0.0          # half-life of G_ema in thousand images; 0: none, as published
    warm_start: bool = False         # beyond the paper: fit the mapping network to the nearest samples first
    warm: WarmStart = WarmStart()    # how
    stopping: StoppingRule | None = StoppingRule()  # beyond the paper: when to look, what to keep, when to end; None: never
    seed: int = 0                    # of every random stream
    device: str = "cpu"              # where everything runs
    threads: int | None = None       # of torch on the CPU; None leaves them; results are exact only for the same
    sample_every: int = 100          # iterations between records with samples; 0: never
    samples: int = 16                # how many, of fixed z and noise
    checkpoint_every: int = 250      # iterations between good states (kept in memory, and in the file if one is named)

    def __post_init__(self):
        parse_policy(self.augment)
        if self.optim_param not in LAYERS:
            raise ValueError(f"optim_param={self.optim_param!r} is not known; choose one of {', '.join(LAYERS)}.")
        for name in ("iterations", "batch", "d_reg_every", "checkpoint_every", "samples", "lr",
                     "g_lr_factor"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0.")
        for name in ("l_image", "l_weight", "r1_gamma", "g_ema_kimg", "sample_every", "f_halvings"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0; 0 switches it off.")
        if not isinstance(self.stopping, StoppingRule | None):
            raise ValueError(f"stopping={self.stopping!r} is no rule. Give a StoppingRule(...), or None, which never looks.")
        if self.warm_start and self.optim_param in ("w_shift", "affine"):
            raise ValueError(f"warm_start fits the mapping network, which optim_param={self.optim_param!r} leaves as it "
                             f"is. Choose optim_param='style' or warm_start=False.")


# Fields that do not influence the steps themselves: these may differ when a run is resumed.
FREE_FIELDS = {"iterations", "stopping", "threads", "device", "sample_every", "samples", "checkpoint_every"}


@dataclasses.dataclass(frozen=True)
class Step:
    """What one step reports.

    phase: 'warm' while the warm start searches and fits, 'train', or at the end 'chosen' (see `customize`).
    iteration: counted from 0, of a step done; of what is chosen, how many steps it had.
    losses: name -> value; of what is chosen, its distance to the sketches in pixels and its relative diversity.
    seconds: of work so far, without what the caller did between the steps.
    samples: [n, 3, R, R] when due, else None; in the warm start, the nearest samples so far.
    G: the generator as it is now; it goes on changing, so copy what you keep.  The chosen one is a copy.
    message: a line for people, or ''.
    done: share of the phase's work that is done.
    """

    phase: str
    iteration: int
    losses: dict[str, float]
    seconds: float
    samples: Tensor | None
    G: nn.Module
    message: str = ""
    done: float = 0.0


# -------------------------------------------------------------------------------------------------------- the whole run

def customize(G, D, F, sketches, images=None, config: CustomizeConfig = CustomizeConfig(),
              controls: Controls | None = None, resume=None, checkpoint=None) -> Iterator[Step]:
    """Customise a generator; yields after each step, and leaving the loop stops.

    Args:
        G, D, F: generator, its discriminator, photograph-to-sketch network.  They are copied, not changed.
        sketches: [S, 1, R, R] in [-1, 1], paper +1, ink -1, any S from 1; None only when resuming.
        images: what D_image calls real: a tensor [M, 3, R, R], an `ImageFolder`, or a function
            `(n, generator) -> [n, 3, R, R]`; None takes samples of the original G (beyond the paper).
        config: the recipe.
        controls: wishes that may change at any time, from any thread.
        resume: a checkpoint file to continue from, with the same networks, recipe and images: the steps that follow
            are those of a run that never stopped.
        checkpoint: a file that is kept up to date, and left whole when the run ends or the loop is left.
    Yields:
        `Step` records; `step.G` is the customised generator.  Where config.stopping has looked at least once, training
        ends when the rule says so, and an end that comes by itself (by the rule, or after config.iterations) yields one
        step more, of the phase 'chosen', with the generator to keep.  Whoever leaves the loop before, or stops by the
        controls, has `step.G` as it is then, and nothing is chosen.  Other sketches begin the looks anew.
    Raises:
        ValueError: inputs that do not fit together.  NonFiniteLoss: see there.
    """
    run = Run(G, D, F, sketches, images, config, controls or Controls(), resume, checkpoint)
    return run.steps()


class Run:
    """One call of `customize`: the state, the terms in force and their history, the clock and the files."""

    def __init__(self, G, D, F, sketches, images, config, controls, resume, checkpoint):
        if sketches is None and resume is None:
            raise ValueError("There are no sketches: pass a tensor [S, 1, R, R] with S at least 1.")
        check_networks(G, D, F, config)
        if config.threads:
            torch.set_num_threads(config.threads)
        controls.bind(G.resolution)
        self.config, self.controls, self.checkpoint = config, controls, checkpoint and Path(checkpoint)
        self.state = TrainingState(G, D, F, images, config)
        self.terms = {name: getattr(config, name) for name in NAMES if name != "sketches"}
        self.history, self.seconds, self.warm = [], 0.0, config.warm_start
        if sketches is not None:
            self.terms["sketches"] = self.first_sketches = check_sketches(sketches, G.resolution)
            self.watch = self.new_watch()
        if resume is not None:
            contents = checkpoints.load_training(resume)
            check_resume(contents, resume, config, self.state, sketches)
            self.restore(contents)
        view = seeded(config.seed, "shown samples")
        self.z_shown = torch.randn(config.samples, G.z_dim, generator=view).to(config.device)
        self.remember()

    def steps(self) -> Iterator[Step]:
        """The loop: warm start if there is one to do, then training, with checkpoints on the way."""
        began = time.perf_counter()
        try:
            for step in self.all_steps():
                self.seconds += time.perf_counter() - began
                yield dataclasses.replace(step, seconds=self.seconds)
                began = time.perf_counter()
        except GeneratorExit:  # the caller left the loop: this is between two steps, so the state is whole
            self.save()
            raise
        self.save()

    def all_steps(self) -> Iterator[Step]:
        if self.warm:
            yield from self.warm_steps()
        if self.warm:  # stopped in the middle of it
            return
        while self.state.iteration < self.config.iterations:
            self.controls.wait_while_paused()
            if self.controls.stop:
                return
            self.obey_controls()
            if self.watch and self.watch.over():
                break
            yield self.train()
        if self.watch and self.watch.trace:
            yield self.chosen()

    def warm_steps(self) -> Iterator[Step]:
        """Move the mapping network near the sketches before training; begun anew with other sketches, and on resume."""
        while self.warm and not self.controls.stop:
            self.obey_controls()
            yield from self.warm_attempt(self.terms["sketches"])

    def warm_attempt(self, sketches: Tensor) -> Iterator[Step]:
        """One search and fit, which ends early if training is stopped or other sketches are wished for."""
        state, config = self.state, self.config
        state.G.load_state_dict(state.G_base.state_dict())
        for progress in warm_start(state.G, state.F, sketches, config.warm, seeded(config.seed, "warm start")):
            self.controls.wait_while_paused()
            wished = self.controls.sketches
            if self.controls.stop or not (wished is None or same(wished, sketches)):
                return
            yield Step("warm", state.iteration, progress.losses, 0, progress.samples, state.G, progress.message,
                       progress.done)
        if state.G_ema is not None:
            state.G_ema.load_state_dict(state.G.state_dict())
        if self.watch:
            self.watch.begin(state.G_shown)
        self.warm = False
        self.remember()

    def train(self) -> Step:
        """One step and its record."""
        state, config = self.state, self.config
        sketches = self.terms["sketches"]
        drawn = sketches[state.sketch_order.batch(config.batch, len(sketches))].to(config.device)
        images = state.images.batch(config.batch) if self.terms["l_image"] > 0 else None
        try:
            losses = train_step(state, drawn, images, self.terms, config)
        except NonFiniteLoss as error:
            raise self.restore_good(error) from None
        done, state.iteration = state.iteration, state.iteration + 1
        due = config.sample_every and (done % config.sample_every == 0 or state.iteration == config.iterations)
        if self.watch and state.iteration % self.watch.rule.every == 0:
            self.watch.look(state.iteration, state.G_shown)
        if state.iteration % config.checkpoint_every == 0:
            self.remember()
        return Step("train", done, losses, 0, self.shown(state.G_shown) if due else None, state.G_shown,
                    done=state.iteration / config.iterations)

    def chosen(self) -> Step:
        """The last step: of all that was looked at, and of what there is now, what to keep."""
        watch, before = self.watch, self.watch.state_dict()
        if watch.trace[-1].iteration < self.state.iteration:
            watch.look(self.state.iteration, self.state.G_shown)
        kept, G = watch.trace[choose(watch.trace, watch.rule)], watch.chosen()
        step = Step("chosen", kept.iteration, {"distance": kept.distance, "diversity": kept.diversity}, 0,
                    self.shown(G) if self.config.sample_every else None, G, verdict(watch.trace, watch.rule), 1.0)
        watch.load_state_dict(before)  # a run that is resumed with more iterations has not looked here
        return step

    def new_watch(self) -> Watch | None:
        """Looks for the sketches in force."""
        config, state = self.config, self.state
        return config.stopping and Watch(config.stopping, state.G_base, state.F, self.terms["sketches"],
                                         trains=state.params_G, draw=lambda F, images: sketch(F, images, config))

    @torch.no_grad()
    def shown(self, G) -> Tensor:
        """Samples of the same z and the same noise each time: what changes is G."""
        return G(self.z_shown, noise_mode="const")

    def obey_controls(self) -> None:
        """Take over what was wished for since the last step, and note each change with its iteration."""
        for name, value in self.controls.read().items():
            if not same(value, self.terms[name]):
                self.terms[name] = value
                self.history.append(dict(iteration=self.state.iteration, name=name, value=value))
                if name == "sketches":
                    self.watch = self.new_watch()

    # ---- good states, in memory and in the file

    def contents(self) -> dict:
        return dict(kind="customize", config=dataclasses.asdict(self.config), state=self.state.state_dict(),
                    terms=dict(self.terms), history=list(self.history), seconds=self.seconds, warm=self.warm,
                    first_sketches=self.first_sketches, watch=self.watch and self.watch.state_dict())

    def remember(self) -> None:
        """Keep the present state as the last good one, unless a parameter has already gone bad."""
        if not self.state.finite():
            raise self.restore_good(NonFiniteLoss(f"A weight is NaN or infinite at iteration {self.state.iteration}."))
        self.good = copy.deepcopy(self.contents())
        self.save()

    def save(self) -> None:
        if self.checkpoint:
            checkpoints.save_training(self.checkpoint, self.contents())

    def restore_good(self, error: NonFiniteLoss) -> NonFiniteLoss:
        self.restore(copy.deepcopy(self.good))
        self.save()
        kept = f" and in {self.checkpoint}" if self.checkpoint else ""
        return NonFiniteLoss(f"{error} The state of iteration {self.state.iteration} was restored{kept}. "
                             f"Resume with other sketches (Controls), or begin anew with a lower lr or a "
                             f"larger r1_gamma.")

    def restore(self, contents: dict) -> None:
        """Take over a good state."""
        self.state.load_state_dict(contents["state"])
        self.terms, self.history = dict(contents["terms"]), list(contents["history"])
        self.seconds, self.warm = contents["seconds"], contents["warm"]
        self.first_sketches = contents["first_sketches"]
        self.watch = self.new_watch()
        if self.watch and contents.get("watch"):
            self.watch.load_state_dict(contents["watch"])


def check_resume(contents: dict, path, config: CustomizeConfig, state: TrainingState, sketches: Tensor | None) -> None:
    """Raise ValueError, saying what to do, if a checkpoint cannot be continued with what was given."""
    if contents.get("kind") != "customize":
        raise ValueError(f"{path} is no checkpoint of customize(). Give the file that was its checkpoint=.")
    ours = dataclasses.asdict(config)
    theirs = dataclasses.asdict(CustomizeConfig()) | contents["config"]  # a field younger than the checkpoint: as it was before it
    free = FREE_FIELDS | (set() if config.warm_start or theirs["warm_start"] else {"warm"})  # how it would have been searched
    differing = [k for k in ours if k not in free and theirs[k] != ours[k]]
    if differing:
        changes = ", ".join(f"{k}: {theirs[k]} there, {ours[k]} here" for k in differing)
        raise ValueError(f"{path} was made with another recipe ({changes}). Resume with its own; sketches, l_image, "
                         f"l_weight and augment may change through Controls. Or begin anew, without resume.")
    if sketches is not None and not same(sketches, contents["first_sketches"]):
        raise ValueError(f"{path} was begun with other sketches. Resume with sketches=None, and pass new ones through "
                         f"Controls(sketches=...). Or begin anew, without resume.")
    state.check_checkpoint(contents["state"])


def same(a, b) -> bool:
    """Whether two values are equal, of tensors in shape and every element."""
    if isinstance(a, Tensor):
        return a.shape == b.shape and torch.equal(a.cpu(), b.cpu())
    return a == b
