"""A window on a training that runs, for Jupyter: samples, losses, progress; start, pause, stop."""

import copy
import sys
import threading
import time
import traceback
from pathlib import Path

import torch

from . import plotting
from .controls import Controls
from .customize import CustomizeConfig, Run
from .widgets import button, clock, grid, w

NOW, NEAREST = "<b>now</b>: the same z and the same noise", "<b>nearest</b> samples of the original so far"
_running = None                 # one training at a time in a kernel: two would fight for the cores, or for one file


class LiveTraining(w.VBox):
    """Runs `customize` and shows it: samples of fixed z and noise, losses, progress; start, pause, stop at any time.

        live = LiveTraining(G, D, F, sketches, minutes=3, checkpoint="outputs/training.pt")
        display(live); live.start()
        live.join()         waits for the end and raises the error of a training that failed
        live.result         the customised generator, a copy

    G, D, F, sketches, images, config: as for `customize`. minutes: of work, after which it stops, but never in the
    warm start, half of which would be worth nothing; None trains config.iterations. checkpoint: a file from which the
    next LiveTraining, or Start after Stop, picks up again; fresh=True begins anew. pad: a SketchPad whose changes reach
    the training while it runs. mode: 'thread' trains in the background, so that buttons and other cells stay alive;
    'cell' trains inside the cell and stops at an interrupt, for Colab, which shows nothing from threads; 'auto'
    chooses. samples: how many are shown.
    """

    def __init__(self, G, D, F, sketches, images=None, config=None, minutes=None, checkpoint=None, fresh=False,
                 pad=None, mode="auto", samples=8):
        if mode not in ("auto", "thread", "cell"):
            raise ValueError(f"mode={mode!r} is not known; choose 'auto', 'thread' or 'cell'")
        self.mode = mode if mode != "auto" else "cell" if "google.colab" in sys.modules else "thread"
        self.config = config or CustomizeConfig()
        self.networks, self.images, self.first_sketches = (G, D, F), images, sketches
        self.minutes, self.checkpoint = minutes, Path(checkpoint) if checkpoint else None
        self.controls = Controls(sketches=sketches)
        self.error, self.losses, self.iteration = None, [], 0
        self._thread, self._result, self._next_view = None, None, 0.0
        if fresh and self.checkpoint:
            _stop_running()
            self.checkpoint.unlink(missing_ok=True)
        self.z = torch.randn(samples, G.z_dim, generator=torch.Generator().manual_seed(self.config.seed))
        self._make_widgets(self._samples(G))
        if pad is not None:
            pad.on_change(self._take_sketches)

    def _make_widgets(self, before):
        self.start_button = button("Start", "Start training, or go on from the last checkpoint", self.start, style="success")
        self.pause_button = button("Pause", "Hold training, and go on at the next click", self.pause)
        self.stop_button = button("Stop", "End training after the present step and keep the result",
                                   lambda: self.stop(wait=False), style="danger")
        self.bar = w.FloatProgress(value=0, min=0, max=1, description="progress", layout=w.Layout(width="100%"),
                                   tooltip="Share of the training that is done")
        self.status = w.Label("ready")
        self.before, self.now = w.Image(value=before, format="png"), w.Image(value=before, format="png")
        self.caption = w.HTML(NOW)
        self.curve = w.Image(format="png", layout=w.Layout(display="none"))
        buttons = [self.start_button, self.pause_button, self.stop_button] if self.mode == "thread" else []
        super().__init__([w.HBox([*buttons, self.status]), self.bar,
                          w.HTML("<b>before</b>: samples of the original"), self.before, self.caption, self.now, self.curve])

    # ---- what programs and buttons use

    @property
    def running(self):
        """Whether training is under way (paused counts)."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def result(self):
        """A copy of the customised generator, in evaluation mode, once training has stopped."""
        if self.running:
            raise RuntimeError("training still runs; press Stop, or wait with live.join(), and ask for live.result again")
        if self._result is None:
            raise RuntimeError("there is no result yet; run live.start(), and live.join() to wait for it")
        return self._result

    def start(self):
        """Begins or goes on; does nothing if it runs already. In mode 'cell', returns when training has ended."""
        global _running
        if self.running:
            return
        _stop_running()
        _running = self
        self.controls.stop = self.controls.pause = False
        self.pause_button.description, self.error = "Pause", None
        if self.mode == "cell":
            self._train()
            self.join()
        else:
            self._thread = threading.Thread(target=self._train, daemon=True, name="LiveTraining")
            self._thread.start()

    def pause(self):
        """Holds a training that runs, or lets a held one go on."""
        if self.running:
            self.controls.pause = not self.controls.pause
            self.pause_button.description = "Go on" if self.controls.pause else "Pause"

    def stop(self, wait=True):
        """Ends training after the present step; `wait` returns only then."""
        self.controls.stop = True
        if wait and self.running and self._thread is not threading.current_thread():
            self._thread.join()

    def join(self):
        """Waits for the end of training; raises RuntimeError with its traceback if it failed."""
        if self._thread is not None:
            self._thread.join()
        if self.error:
            raise RuntimeError(f"training failed:\n{self.error}")

    # ---- the thread

    def _train(self):
        """Trains until done, stopped or failed; an exception in a thread is invisible, so it is kept and shown."""
        run = None
        try:
            resume = self.checkpoint if self.checkpoint and self.checkpoint.exists() else None
            # A checkpoint brings its own sketches; those of this call, if they are others, come through the controls.
            run = Run(*self.networks, None if resume else self.first_sketches, self.images, self.config, self.controls,
                      resume, self.checkpoint)
            if resume:
                self.status.value = f"going on from iteration {run.state.iteration}"
            else:
                self.losses.clear()
            if not self._time_over(run.seconds):
                for step in run.steps():
                    self._watch(step)
            self._end("done" if self._fraction(run.state.iteration, run.seconds) >= 1 else "stopped", run)
        except KeyboardInterrupt:                           # mode 'cell': the interrupt button is its Stop
            self._end("stopped", run)
        except Exception as error:
            self.error = traceback.format_exc()
            self.status.value = f"failed: {error}"
            if resume and isinstance(error, ValueError):
                self.error += f"\nIt tried to go on from {self.checkpoint}; pass fresh=True to begin anew."
        finally:
            if run is not None:
                self._result = copy.deepcopy(run.state.G_shown).eval()

    def _watch(self, step):
        """Notes a step; shows it if the view is due. The view may take a tenth of the time, and 4 frames a second."""
        if step.phase == "train":
            self.iteration = step.iteration + 1
            self.losses.append((self.iteration, step.losses))
            if self._time_over(step.seconds):
                self.controls.stop = True
        began = time.monotonic()
        if began >= self._next_view:
            self._show(step)
            took = time.monotonic() - began
            self._next_view = began + took + max(0.25, 9 * took)

    def _end(self, word, run):
        if run is None:
            return
        self.bar.value = max(self.bar.value, self._fraction(run.state.iteration, run.seconds))
        self.caption.value, self.now.value = NOW, self._samples(run.state.G_shown)
        self._show_losses()
        self.status.value = f"{word} at iteration {run.state.iteration}, after {clock(run.seconds)} of training"

    # ---- the view

    def _show(self, step):
        searching = "nearest" in step.losses                # the first part of the warm start: G is still the original
        self.caption.value = NEAREST if searching else NOW
        self.now.value = grid(step.samples[:len(self.z)]) if searching else self._samples(step.G)
        done = self._fraction(self.iteration, step.seconds)
        left = f", about {clock(step.seconds * (1 / done - 1))} left" if done > 0 else ""
        self.status.value = step.message or f"iteration {self.iteration}{left}"
        self.bar.value = done
        self._show_losses()

    def _show_losses(self):
        if len(self.losses) < 2:
            return
        every = max(1, len(self.losses) // 400)
        series = {name: tuple(zip(*((i, losses[name]) for i, losses in self.losses[::every] if name in losses), strict=True))
                  for name in ("D_sketch", "G_sketch", "D_image", "G_image") if name in self.losses[-1][1]}
        self.curve.value = plotting.png(plotting.curves(series, "iteration", "loss", smooth=0.9, size=(6.4, 1.9), dpi=80))
        self.curve.layout.display = None

    @torch.no_grad()
    def _samples(self, G):
        """PNG of G's samples of the fixed z and of its own constant noise: no random number is drawn for the view."""
        return grid(G(self.z.to(next(G.parameters()).device), noise_mode="const"))

    def _fraction(self, iteration, seconds):
        shares = [iteration / self.config.iterations]
        if self.minutes:
            shares.append(seconds / (60 * self.minutes))
        return min(1.0, max(shares))

    def _time_over(self, seconds):
        return self.minutes is not None and seconds >= 60 * self.minutes

    def _take_sketches(self, pad):
        try:
            self.controls.sketches = pad.sketches(self.networks[0].resolution)
        except ValueError as error:                         # a blank pad: training keeps the sketches it has
            self.status.value = str(error)


def _stop_running():
    """Ends the training of a cell that was run before, so that running the cell again does not start a second one."""
    if _running is not None:
        _running.stop()
