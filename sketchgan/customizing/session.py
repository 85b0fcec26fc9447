"""A customisation in the background: start, pause, stop and go on, with its curves, its history and its result.

There are no widgets here: `LiveTraining` shows a session, and a cell that is run again finds the session that its first
run began, running or ended. After a restart of the kernel it is a new one, which takes its state, its sketches and its
history from the checkpoint.
"""

import collections
import contextlib
import threading
import traceback
from pathlib import Path

import torch

from ..drawing.chamfer import chamfer
from ..files.atomic import owned, set_aside
from ..files.progress import Allowance
from ..weights.checkpoints import content_hash, load_training
from .controls import NAMES, Controls, check_sketches
from .history import History
from .run import Run
from .state import frozen_sketcher, same
from .step import CustomizeConfig

MEASURED = 64                   # samples, of fixed z and noise, whose distance to the sketches is the curve
_running = None                 # one training at a time in a kernel: two would fight for the cores
_sessions = {}                  # checkpoint -> session
_lock = threading.RLock()


class Session:
    """One customisation that can be held, ended, and gone on with; it runs in a thread of its own, or in yours.

    G, D, F, sketches, images, config, minutes: as for `customize`. checkpoint: a file to go on from, and to keep up to
    date; the history lies beside it. judge, predicate: a network with `satisfies(predicate, images)`; the share of
    samples it finds so is measured with the distance to the sketches.

    on_step(step) and on_end(), if they are set, are called on the thread that trains.
    """

    def __init__(self, G, D, F, sketches, images=None, config=None, minutes=None, checkpoint=None, judge=None,
                 predicate=None):
        if (judge is None) != (predicate is None):
            raise ValueError("judge and predicate go together: judge=load_judge(path), predicate='horse_on_a_side'. "
                             "Give both, or neither")
        self.config = config or CustomizeConfig()
        self.networks, self.images = (G, D, F), images
        self.minutes = self.minutes_given = minutes
        self.checkpoint = checkpoint
        self.judge, self.predicate = judge, predicate
        self.first_sketches = check_sketches(sketches, G.resolution)
        self.F = frozen_sketcher(F, batch_stats=False)      # our own, so that no other thread meets it half switched
        self.controls = Controls()
        self.controls.bind(G.resolution)
        self.history = History(G, checkpoint and checkpoint.with_suffix(".history"))
        self.run = self.error = self.advice = self.thread = self.on_step = self.on_end = None
        self.running, self._ended = False, threading.Event()    # whether training is under way (paused counts)
        self._ended.set()
        # what the stopping rule keeps and why, if it ended by itself
        self.verdict = ""
        if checkpoint and checkpoint.exists():
            self.history.read()
        self.phase, self.share, self.left, self._measuring = "train", 0.0, None, Allowance(0.03, 5.0)
        # (iteration, seconds); R1 comes every 16th: two rounds of it
        self._recent = collections.deque(maxlen=33)
        last = self.history.snapshots[-1] if len(self.history) else None
        self.iteration, self.seconds = (last.iteration, last.seconds) if last else (0, 0.0)
        self.done = min(1.0, self.iteration / self.config.iterations)
        self.z = torch.randn(MEASURED, G.z_dim, generator=torch.Generator().manual_seed(self.config.seed))

    # ---- what it can be asked

    @property
    def sketches(self) -> torch.Tensor:
        """The sketches in force, [S, 1, R, R]: what the next batch is drawn from."""
        return self.run.terms["sketches"] if self.run else self.first_sketches

    @property
    def terms(self) -> dict:
        """The weights and the augmentation in force, or wished for the next step."""
        terms = self.run.terms if self.run else {name: getattr(self.config, name) for name in NAMES
                                                 if name != "sketches"}
        return terms | self.controls.read()

    @property
    def time_over(self) -> bool:
        """Whether the minutes are used up; raise `minutes` to go on."""
        return self.minutes is not None and self.training_seconds >= 60 * self.minutes

    @property
    def training_seconds(self) -> float:
        """Of work after the warm start, which is what counts against the minutes."""
        return self.run.training_seconds if self.run else self.seconds

    @property
    def result(self):
        """A copy of the customised generator, in evaluation mode: the snapshot that was chosen, else the newest.

        Raises RuntimeError while training runs and nothing was chosen, and before there is anything.
        """
        if self.history.chosen is not None:
            return self.history.generator(self.history.chosen)
        if self.running:
            raise RuntimeError("training still runs; press Stop, or wait with live.join(), and ask for live.result "
                               "again")
        if not len(self.history):
            raise RuntimeError("there is no result yet; run live.start(), and live.join() to wait for it")
        return self.history.generator(self.history.snapshots[-1])

    def fits(self, G, D, F, images, config) -> bool:
        """Whether a call with these would be this very run."""
        size = lambda x: None if x is None else callable(x) or len(x)
        return (config or CustomizeConfig()) == self.config and size(images) == size(self.images) and all(
            ours is given or content_hash(ours) == content_hash(given)
            for ours, given in zip(self.networks, (G, D, F), strict=True))

    # ---- what it can be told

    def start(self, here: bool = False) -> None:
        """Begin or go on; nothing happens if it runs already. `here` trains on this thread and returns at the end."""
        global _running
        with _lock:
            if self.running:
                return
            if _running not in (None, self):
                if _running._trainer is threading.current_thread() and _running.running:
                    raise RuntimeError("another training runs in this very call; stop it, and start this one when it "
                                       "has "
                                       "ended")
                _running.stop()
                _running.release()
            self._ended.wait()                              # its last words to the view
            _running, self.running = self, True
            self._ended.clear()
            self.controls.stop = self.controls.pause = False
            self.error = self.advice = None
            self._recent.clear()
            # the rule's choice, not anybody's: going on has a newer result
            if self.verdict:
                self.verdict = ""
                self.history.choose(None)
            self._trainer = threading.current_thread()
            if not here:
                self._trainer = self.thread = threading.Thread(target=self._train, daemon=True, name="training")
                self.thread.start()
                return
        self._train()

    def stop(self, wait: bool = True) -> None:
        """End training after the present step; `wait` returns only then."""
        self.controls.stop = True
        if wait and not (self.running and self._trainer is threading.current_thread()):
            self._ended.wait()

    def join(self) -> None:
        """Wait for the end of training; raises RuntimeError with its traceback and with advice if it failed."""
        self._ended.wait()
        if self.error:
            raise RuntimeError(f"training failed:\n{self.error}\n{self.advice}")

    def clear(self) -> None:
        """End training and go back to the very beginning, with the sketches in force; the checkpoint is kept as
        '*.before.pt'."""
        self.stop()
        wished = self.controls.read()
        self.first_sketches = wished.pop("sketches", self.sketches)
        self.controls = Controls(**wished)
        self.controls.bind(self.networks[0].resolution)
        with owned(self.checkpoint, "customize"):
            set_aside(self.checkpoint)
        self.history.clear()
        self.run = self.error = self.advice = self.left = None
        self.iteration, self.seconds, self.done, self.share, self.minutes = 0, 0.0, 0.0, 0.0, self.minutes_given

    def release(self) -> None:
        """Give the memory of a run that has ended back, if its checkpoint can bring it again."""
        if self.checkpoint and self.checkpoint.exists() and not self.running:
            self.run = None

    def new_sketches(self, sketches) -> None:
        """Take other sketches than the ones the last call gave; the same ones leave what was changed since alone."""
        if not same(sketches, self.first_sketches):
            self.first_sketches = check_sketches(sketches, self.networks[0].resolution)
            self.controls.sketches = sketches

    # ---- the thread

    def _train(self) -> None:
        """Train until done, stopped or failed; an exception in a thread is invisible, so it is kept."""
        try:
            self._open()
            for step in self.run.steps():
                self._take(step)
                if step.phase == "chosen":
                    self._choose(step)
        except (Exception, KeyboardInterrupt) as error:     # the run has kept what there was, or gone back to it
            if not isinstance(error, KeyboardInterrupt):    # which ends training on this thread, like Stop
                self.error, self.advice = traceback.format_exc(), self._advice()
            if self.run is not None:
                self.history.forget_after(self.run.state.iteration, self.run.seconds)
        with contextlib.suppress(OSError):                  # a full disk: the result is in memory all the same
            self._keep()
        self.running = False
        try:
            if self.on_end:
                self.on_end()
        finally:
            self._ended.set()

    def _open(self) -> None:
        """Make the run, or take it from the checkpoint, which brings the sketches that were in force."""
        if self.run is not None:
            self.run.minutes = self.minutes
            return
        resume = self.checkpoint if self.checkpoint and self.checkpoint.exists() else None
        run = Run(*self.networks, None if resume else self.first_sketches, self.images, self.config, self.controls,
                  resume, self.checkpoint, self.minutes)
        if resume is None:
            self.history.clear()
        else:
            self.history.forget_after(run.state.iteration, run.seconds)
            if not same(self.first_sketches, run.first_sketches) and self.controls.sketches is None:
                self.controls.sketches = self.first_sketches
        self.run, self.iteration, self.seconds = run, run.state.iteration, run.seconds

    def _take(self, step) -> None:
        """Note a step, measure and keep what is due; hold here if a pause is wished for, outside the run's clock."""
        self.phase, self.seconds, self.done, self.left = step.phase, step.seconds, step.done, step.left
        self.share, self.run.minutes = step.share, self.minutes
        if step.phase == "train":
            self.iteration = step.iteration + 1
            self.history.losses.add(self.iteration, step.losses)
            self._recent.append((self.iteration, step.seconds))
            if self.history.due(step.seconds):
                self.history.add(step.G, self.iteration, step.seconds, self.run.state.params_G)
        if self.on_step:
            self.on_step(step)
        if not len(self.history.measures):                  # after the first picture, which nobody should wait for
            self.history.measures.add(0.0, self.measure(self.networks[0]))
        elif step.phase == "train" and self._measuring.due:
            with self._measuring.spend():
                self.history.measures.add(step.seconds, self.measure(step.G))
        if self.on_step and self.controls.pause:            # the view says so; it may have come while this measured
            self.on_step(step)
        self.controls.wait_while_paused()

    @property
    def speed(self) -> float:
        """Iterations a second, over the last ones; 0 while that is not known."""
        (first, began), (last, ended) = (self._recent[0], self._recent[-1]) if self._recent else ((0, 0.0), (0, 0.0))
        return (last - first) / (ended - began) if ended > began else 0.0

    @torch.no_grad()
    def measure(self, G) -> dict[str, float]:
        """'distance': mean chamfer distance in pixels of samples to the nearest sketch; 'share': of them, in [0, 1],
        that the judge finds as the predicate says (where there is a judge)."""
        images = G(self.z.to(next(G.parameters()).device), noise_mode="const")
        drawn = self.F.to(images.device)(images)
        values = {"distance": chamfer(drawn, self.sketches.to(images.device)).amin(1).mean().item()}
        if self.judge is not None:
            images = images.to(next(self.judge.parameters()).device)
            values["share"] = self.judge.satisfies(self.predicate, images).float().mean().item()
        return values

    def _keep(self) -> None:
        """The end of a stretch of training is always in the history; what nothing was done to is no result."""
        if self.run is not None and self.run.changed:
            self.iteration, self.seconds = self.run.state.iteration, self.run.seconds
            self.history.add(self.run.state.G_shown, self.iteration, self.seconds, self.run.state.params_G)
            self.history.save()

    def _choose(self, step) -> None:
        """Make the stopping rule's choice the result, unless somebody has chosen; it stands at the end of the
        history."""
        self._keep()
        if self.history.chosen is None:
            self.verdict = step.message
            if step.iteration < self.iteration:
                trained = self.run.state.params_G
                self.history.choose(self.history.add(step.G, step.iteration, self.seconds + 0.01, trained))

    def _advice(self) -> str:
        """What to do after a failure."""
        if self.run is not None:
            return (f"Nothing before is lost: the state of iteration {self.run.state.iteration} is the last good one. "
                    f"Mend what the message names, and press Start to go on from there.")
        if self.checkpoint and self.checkpoint.exists():
            return (f"It tried to go on from {self.checkpoint}, which is as it was. Mend what the message names, or "
                    f"pass fresh=True to begin anew.")
        return "Nothing was trained. Mend what the message names, and start again."


def open_session(G, D, F, sketches=None, images=None, config=None, minutes=None, checkpoint=None, fresh=None,
                 judge=None, predicate=None) -> Session:
    """The session of this checkpoint if this kernel has one and it is the same run, else a new one.

    sketches: None takes the checkpoint's. fresh: True ends what runs and begins anew; False goes on from the file; None
    goes on too, unless the sketches are others than in the file, as they are when somebody comes back another day with
    other drawings: then a new run begins. The file of an old run is kept as '*.before.pt'.
    """
    path = Path(checkpoint) if checkpoint else None
    key = path and path.resolve()
    with _lock:
        old = _sessions.pop(key, None)
        if old is not None and not fresh and old.fits(G, D, F, images, config):
            old.judge, old.predicate = judge, predicate
            if minutes != old.minutes_given:
                old.minutes = old.minutes_given = minutes
            if sketches is not None:
                old.new_sketches(sketches)
            _sessions[key] = old
            return old
        if old is not None:
            old.stop()
        if fresh:
            with owned(path, "customize"):
                set_aside(path)
        begun_with, in_force = stored_sketches(path) if path and path.exists() else (None, None)
        if sketches is None and begun_with is None:
            raise ValueError("there are no sketches: draw on a pad and pass pad=, or pass sketches [S, 1, R, R], for "
                             "instance load_sketches('standing_cat', G.resolution)")
        sketches = begun_with if sketches is None else sketches
        others = begun_with is not None and not (same(sketches, begun_with) or same(sketches, in_force))
        if fresh is None and old is None and others:
            with owned(path, "customize"):
                set_aside(path)
        session = Session(G, D, F, sketches, images, config, minutes, path, judge, predicate)
        if key:
            _sessions[key] = session
        return session


def stored_sketches(path: Path):
    """The sketches that a checkpoint began with and those last in force, or (None, None) if it cannot be read: Start
    reads it again, and says why."""
    try:
        contents = load_training(path)
        return contents["first_sketches"], contents["terms"]["sketches"]
    except (ValueError, KeyError, TypeError, OSError):
        return None, None
