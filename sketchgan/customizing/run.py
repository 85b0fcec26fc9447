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
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..files.atomic import owned, set_aside, stamp
from ..files.checks import Place, Positive, check
from ..files.readers import reading
from ..weights.checkpoints import CheckpointError, load_training, save_training
from .controls import TERMS, Controls, check_sketches, closed_at_exit, interrupts_wait
from .state import TrainingState, same, seeded
from .step import FORMAT, CustomizeConfig, NonFiniteLoss, Step, check_contents, check_networks, sketch, train_step
from .stopping import Watch, choose, verdict
from .warmstart import warm_start

KEEP = 60.0       # seconds after which there is another good state, however few the iterations
STILL = 4.0       # seconds without another wish after which somebody has done drawing
STEP_COST = 10.0  # of a step, for each image of its batch, in the units of WarmStart.costs: as measured


# -------------------------------------------------------------------------------------------------------- the whole run

def customize(G, D, F, sketches, images=None, config: CustomizeConfig = CustomizeConfig(),
              controls: Controls | None = None, resume=None, checkpoint=None, minutes=None) -> Iterator[Step]:
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
        checkpoint: a file that is kept up to date, and left whole when the run ends, the loop is left or Ctrl-C is
            pressed.
            A file that lies there and is not resumed is kept as '*.before.pt' as soon as there is something new.
        minutes: of training in all, after which it ends; warm start, pauses and what the caller does do not count.
    Yields:
        `Step` records; `step.G` is the customised generator.  Where config.stopping has looked at least once, training
        ends when the rule says so, and an end that comes by itself (by the rule, after config.iterations or the
        minutes) yields one step more, of the phase 'chosen', with the generator to keep.  Whoever leaves the loop
        before, or stops by the controls, has `step.G` as it is then, and nothing is chosen.  Other sketches begin the
        looks anew.
    Raises:
        ValueError: inputs that do not fit together, or a checkpoint that another run has written meanwhile.
        FolderInUse: another run has the checkpoint open.  NonFiniteLoss: see there.
    """
    return Run(G, D, F, sketches, images, config, controls, resume, checkpoint, minutes).steps()


class Run:
    """One call of `customize`: the state, the terms in force and their history, the clock and the files."""

    def __init__(self, G, D, F, sketches, images=None, config=CustomizeConfig(), controls=None, resume=None,
                 checkpoint=None, minutes=None):
        if sketches is None and resume is None:
            raise ValueError("There are no sketches: pass a tensor [S, 1, R, R] with S at least 1.")
        kinds = dict(config=CustomizeConfig, controls=Controls | None, resume=Place | None, checkpoint=Place | None)
        for name, value in dict(config=config, controls=controls, resume=resume, checkpoint=checkpoint).items():
            check(name, value, kinds[name])
        check_networks(G, D, F, config)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.config, self.controls, self.checkpoint = config, controls or Controls(), checkpoint and Path(checkpoint)
        self.controls.bind(G.resolution)
        self.minutes = check("minutes", minutes, Positive | None)
        self.state = TrainingState(G, D, F, images, config)
        self.terms = {name: getattr(config, name) for name in TERMS}
        self.history, self.warm, self.seconds, self.warm_seconds = [], config.warm_start, 0.0, 0.0
        self.whole, self.interrupted = True, False     # whether the state is one between two steps; Ctrl-C in a step
        self.begun, self.written, self.at_start, self.attempt_at, self.left = False, None, (0, 0.0), 0.0, math.inf
        if sketches is not None:
            self.terms["sketches"] = self.first_sketches = check_sketches(sketches, G.resolution)
            self.watch = self.new_watch()
        if resume is not None:
            ours = self.checkpoint and Path(resume).resolve() == self.checkpoint.resolve()
            self.written = stamp(resume) if ours else None
            remedy = "continue an earlier checkpoint, or begin anew, without resume"
            with reading(resume, CheckpointError, remedy, also=(FileNotFoundError, torch.OutOfMemoryError)):
                contents = load_training(resume)
                check_contents(contents, resume, config, self.state, sketches)
                self.restore(contents)
        view = seeded(config.seed, "shown samples")
        self.z_shown = torch.randn(config.samples, G.z_dim, generator=view).to(config.device)
        self.good, self.kept_at = copy.deepcopy(self.contents()), time.perf_counter()

    def steps(self) -> Iterator[Step]:
        """The loop: warm start if there is one to do, then training, with checkpoints on the way.  However it is left
        between two steps, also by the program's end, nothing is lost."""
        return closed_at_exit(self.owned_steps())

    def owned_steps(self) -> Iterator[Step]:
        with owned(self.checkpoint, "customize"), interrupts_wait(self):
            self.require_own_file()
            try:
                yield from self.timed_steps()
            except NonFiniteLoss:                       # the good state was restored where it was found
                raise
            except BaseException:                       # the caller left the loop, Ctrl-C, or something failed
                self.keep() if self.whole else self.restore(copy.deepcopy(self.good))
                raise
            self.keep()

    def timed_steps(self) -> Iterator[Step]:
        self.at_start, done = (self.state.iteration, self.seconds - self.warm_seconds), 0.0
        self.began = time.perf_counter()
        for step in self.all_steps():
            spent = time.perf_counter() - self.began
            self.seconds += spent
            self.warm_seconds += spent if step.phase == "warm" else 0.0
            self.begun, self.left = True, self.seconds_left(step)
            done = max(done, self.seconds / (self.seconds + self.left))
            share = self.share if step.phase == "train" else step.share
            yield dataclasses.replace(step, seconds=self.seconds, share=share, done=done, left=self.left)
            self.began = time.perf_counter()

    def all_steps(self) -> Iterator[Step]:
        if self.warm:
            yield from self.warm_steps()
        if self.warm:  # stopped in the middle of it
            return
        while self.state.iteration < self.config.iterations and not self.time_over():
            self.wait_while_paused()
            if self.controls.stop:
                return
            self.obey_controls()
            if self.watch and self.watch.over():
                break
            yield self.train()
        if self.watch and self.watch.trace:
            yield self.chosen()

    # ---- the clock

    def wait_while_paused(self) -> None:
        self.began += self.controls.wait_while_paused()

    @property
    def training_seconds(self) -> float:
        """Of work after the warm start, which is what counts against the minutes."""
        return self.seconds - self.warm_seconds

    def time_over(self) -> bool:
        """Whether the minutes of training are over."""
        return self.minutes is not None and self.training_seconds >= 60 * self.minutes

    def seconds_left(self, step: Step) -> float:
        """An estimate, from how long the work took until now."""
        if step.phase == "chosen":
            return 0.0
        iterations, (at_start, seconds_then) = self.config.iterations - self.state.iteration, self.at_start
        if step.phase == "warm":
            if not step.share:
                return self.left
            whole = (self.warm_seconds - self.attempt_at) / step.share
            warm, each = whole * (1 - step.share), STEP_COST * self.config.batch * whole / sum(self.config.warm.costs)
        else:
            warm, each = 0.0, (self.training_seconds - seconds_then) / (self.state.iteration - at_start)
        training = iterations * each
        if self.minutes is not None:
            training = min(training, max(0.0, 60 * self.minutes - self.training_seconds))
        return warm + training

    # ---- the work

    def warm_steps(self) -> Iterator[Step]:
        """Move the mapping network near the sketches before training; begun anew with other sketches, and on resume."""
        while self.warm and not self.controls.stop:
            while self.controls.drawn_for < STILL and self.begun and not self.controls.stop:
                time.sleep(0.1)                        # every stroke would begin the search anew
                yield Step("warm", self.state.iteration, {}, 0, None, self.state.G, "waiting for a pause in drawing")
            self.obey_controls()
            yield from self.warm_attempt(self.terms["sketches"])

    def warm_attempt(self, sketches: Tensor) -> Iterator[Step]:
        """One search and fit, which ends early if training is stopped or other sketches are wished for."""
        state, config, self.attempt_at = self.state, self.config, self.warm_seconds
        state.G.load_state_dict(state.G_base.state_dict())
        for progress in warm_start(state.G, state.F, sketches, config.warm, seeded(config.seed, "warm start")):
            self.wait_while_paused()
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
        self.keep()

    def train(self) -> Step:
        """One step and its record."""
        state, config = self.state, self.config
        self.whole = False
        drawn, images = self.batch()
        try:
            losses = train_step(state, drawn, images, self.terms, config)
        except NonFiniteLoss as error:
            raise self.restore_good(error) from None
        done, state.iteration = state.iteration, state.iteration + 1
        self.whole = True
        if self.interrupted:
            raise KeyboardInterrupt
        due = config.sample_every and (done % config.sample_every == 0 or state.iteration == config.iterations)
        if self.watch and state.iteration % self.watch.rule.every == 0:
            self.require_finite()
            self.watch.look(state.iteration, state.G_shown)
        if state.iteration % config.checkpoint_every == 0 or time.perf_counter() - self.kept_at >= KEEP:
            self.keep()
        return Step("train", done, losses, 0, self.shown(state.G_shown) if due else None, state.G_shown)

    @property
    def share(self) -> float:
        """Of the training, what is done, by iterations or by minutes."""
        by_time = self.training_seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(self.state.iteration / self.config.iterations, by_time))

    def batch(self) -> tuple[Tensor, Tensor | None]:
        """The sketches and images of a step; if that fails, as reading files may, nothing has moved."""
        state, config, sketches = self.state, self.config, self.terms["sketches"]
        orders = {order: order.state_dict() for order in (state.sketch_order, state.images.order)}
        streams = {state.streams[name]: state.streams[name].get_state() for name in ("sketches", "images")}
        try:
            drawn = sketches[state.sketch_order.batch(config.batch, len(sketches))].to(config.device)
            return drawn, state.images.batch(config.batch) if self.terms["l_image"] > 0 else None
        except BaseException:
            for order, before in orders.items():
                order.load_state_dict(before)
            for stream, before in streams.items():
                stream.set_state(before)
            self.whole = True
            raise

    def chosen(self) -> Step:
        """The last step: of all that was looked at, and of what there is now, what to keep."""
        self.require_finite()
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
        return dict(kind="customize", format=FORMAT, config=dataclasses.asdict(self.config),
                    state=self.state.state_dict(), terms=dict(self.terms), history=list(self.history),
                    seconds=self.seconds, warm_seconds=self.warm_seconds, warm=self.warm,
                    first_sketches=self.first_sketches, watch=self.watch and self.watch.state_dict())

    @property
    def changed(self) -> bool:
        """Whether there is a result: whether anything in G is other than in the original."""
        return any(not torch.equal(p, q)
                   for p, q in zip(self.state.params_G.values(), self.state.params_base, strict=True))

    def keep(self) -> None:
        """Make the present state the last good one, in memory and in the file: neither is ever older than the other.
        If a weight has gone bad, the last good state takes the present one's place instead."""
        self.require_finite()
        self.good, self.kept_at = copy.deepcopy(self.contents()), time.perf_counter()
        self.write()

    def require_finite(self) -> None:
        if not self.state.finite():
            raise self.restore_good(NonFiniteLoss(f"A weight is NaN or infinite at iteration {self.state.iteration}."))

    def write(self) -> None:
        """Write the last good state, if anything was done since the start; an older run's file is set aside first."""
        if self.checkpoint and self.begun:
            if self.written is None:
                set_aside(self.checkpoint)
            save_training(self.checkpoint, self.good)
            self.written = stamp(self.checkpoint)

    def require_own_file(self) -> None:
        """Raise ValueError if the file is not as this run last read or wrote it: it holds somebody's work."""
        if self.written is not None and stamp(self.checkpoint) not in (None, self.written):
            raise ValueError(f"{self.checkpoint} was written by another run since this one read or wrote it. Resume "
                             f"from it anew, or give this run another checkpoint file.")

    def restore_good(self, error: NonFiniteLoss) -> NonFiniteLoss:
        self.restore(copy.deepcopy(self.good))
        self.write()
        kept = f" and in {self.checkpoint}" if self.checkpoint and self.written else ""
        return NonFiniteLoss(f"{error} The state of iteration {self.state.iteration} was restored{kept}. "
                             f"Resume with other sketches (Controls), or begin anew with a lower lr or a "
                             f"larger r1_gamma.")

    def restore(self, contents: dict) -> None:
        """Take over a good state."""
        self.state.load_state_dict(contents["state"])
        self.terms, self.history = dict(contents["terms"]), list(contents["history"])
        self.seconds, self.warm_seconds, self.warm = (contents[name] for name in ("seconds", "warm_seconds", "warm"))
        self.first_sketches = contents["first_sketches"]
        self.watch = self.new_watch()
        if self.watch and contents["watch"]:
            self.watch.load_state_dict(contents["watch"])
        self.whole = True
