"""A window on a training that runs, for Jupyter: what it makes now, what it made before, and knobs to steer it by."""

import asyncio
import contextlib
import html
import os
import sys
import threading
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from .. import plotting
from ..customizing import CustomizeConfig
from ..customizing.session import open_session
from ..drawing import SketchError, chamfer
from ..files.checks import Limits, Positive, checked
from ..files.progress import Allowance
from .parts import BUSY, WIDE, answered, button, clock, folded, grid, row, somebody_is_there, w
from .slider import ORIGINAL, HistorySlider, moment

NEAREST = "<b>nearest</b> samples of the original so far: this is where the search for your sketches stands"
NOW = "<b>now</b>: the same z and the same noise"
AUGMENTATIONS = {"not at all": "", "move": "translation", "move, cut out": "translation,cutout",
                 "more": "translation,cutout,upscale"}
MEASURES = {"distance": "px from the sketches", "share": "share found by the judge"}


class LiveTraining(w.VBox):
    """Runs `customize` and shows it: samples of fixed z and noise, curves, history, knobs; start, pause, stop, go on.

        live = LiveTraining(G, D, F, pad=pad, minutes=3, checkpoint="outputs/training.pt")
        live.start(); live.join()   to the end, or to the error of a training that failed
        await live.finished()       the same in a notebook: waits for Start, and leaves its widgets alive
        live.result         the customised generator, a copy: the newest state, or the one chosen in the history

    G, D, F, sketches, images, config: as for `customize`. pad: a SketchPad; what is drawn on it goes before `sketches`,
    and each change reaches the training while it runs. minutes: of training, after the warm start; None trains
    config.iterations. checkpoint: a file to go on from. A cell that is run again finds its training there, running or
    ended; a new kernel goes on from the file; fresh: see `open_session`. judge, predicate: shows the share of samples
    that the judge finds so. mode: 'thread' trains in the background, so that other cells stay alive; 'cell' inside the
    cell, to an interrupt, for Colab, which shows nothing from threads; 'auto' chooses. samples: how many are shown: an
    even row of six times as many, without the third that is nearest to the sketches already.
    """

    @checked
    def __init__(self, G: nn.Module, D: nn.Module, F: nn.Module, sketches: Tensor | None = None, images=None,
                 config: CustomizeConfig | None = None, minutes: Positive | None = None,
                 checkpoint: str | os.PathLike | None = None, fresh: bool | None = None, pad: w.Widget | None = None,
                 judge=None, predicate: str | None = None, mode: Literal["auto", "thread", "cell"] = "auto",
                 samples: Annotated[int, Limits(1, 64)] = 8):
        if colab := sys.modules.get("google.colab"):        # without this Colab shows no widget that is not its own
            from google.colab import output
            output.enable_custom_widget_manager()
        self.mode = mode if mode != "auto" else "cell" if colab else "thread"
        drawn = sketches_on(pad, G.resolution)
        self.session = session = open_session(G, D, F, sketches if drawn is None else drawn, images, config, minutes,
                                              checkpoint, fresh, judge, predicate)
        self.z = self._spread(samples)
        self._frames, self._curves = Allowance(0.1, 0.25), Allowance(0.05, 1.0)
        self._shown = self._original = self._sample(G)
        self._live = self._original, NOW
        self._lock, self._moving = threading.RLock(), False
        self._make_widgets()
        session.on_step, session.on_end = self._follow, self._ended
        if pad is not None:
            pad.on_change(self._take_sketches)
        self._show_state()

    @torch.no_grad()
    def _spread(self, count):
        """z [count, z_dim] for the view: see `samples` above."""
        session, G = self.session, self.session.networks[0]
        self.z = z = torch.randn(6 * count, G.z_dim, generator=torch.Generator().manual_seed(session.config.seed))
        images = self._sample(G)
        apart = chamfer(session.F.to(images.device)(images).cpu(), session.sketches.cpu(), G.resolution / 6).amin(1)
        far = apart.sort(stable=True).indices[2 * count:]
        return z[far[::4].sort().values]

    def _make_widgets(self):
        self.start_button = button("Start", "Start training, or go on where it was", self._start)
        self.pause_button = button("Pause", "Hold training, and go on at the next click", self.pause)
        self.over_button = button("Start over", "Begin anew with the sketches as they are now; the old file is kept",
                                  self.start_over)
        self.stop_button = button("Stop", "End training after the present step and keep the result",
                                  lambda: self.stop(wait=False))
        self.outlines = w.ToggleButton(description="Outlines", tooltip="Show how F draws each sample, below it",
                                       layout=w.Layout(width="auto"))
        self.bar = w.FloatProgress(value=0, min=0, max=1, description="progress", style={"description_width": "auto"},
                                   tooltip="Share of the work that is done, search and training together",
                                   layout=w.Layout(width=WIDE, height="18px"))
        self.status, self.trouble = w.HTML(), w.HTML()
        self.before, self.now = (w.Image(format="png", layout=w.Layout(width=WIDE)) for _ in range(2))
        self.caption = w.HTML(NOW)
        self.slider = HistorySlider(self.history, self._look, self._lock)
        wide = {"description_width": "110px"}
        self.l_image = w.FloatSlider(0.7, min=0, max=3, step=0.05, description="hold colours", continuous_update=False,
                                     tooltip="How strongly colours, textures and variety are held (l_image); 0 lets go",
                                     style=wide)
        self.augment = w.SelectionSlider(options=list(AUGMENTATIONS.items()), description="vary the sketch",
                                         continuous_update=False, style=wide,
                                         tooltip="How sketches are moved about, so that few are not learnt by heart")
        half = lambda: w.Layout(display="none", width="calc(50% - 4px)", min_width="280px")
        self.curves = [w.Image(format="png", layout=half()) for _ in range(2)]
        self._show_terms()
        self.outlines.observe(lambda _: self._toggled(), "value")
        self.l_image.observe(lambda change: self._wish(l_image=change.new), "value")
        self.augment.observe(lambda change: self._wish(augment=change.new), "value")
        buttons = [self.start_button, self.pause_button, self.stop_button, self.over_button]
        super().__init__([row(*buttons if self.mode == "thread" else (), self.outlines, self.status), BUSY, self.bar,
                          self.trouble, w.HTML("<b>before</b>: samples of the original"), self.before,
                          self.caption, self.now, self.slider,
                          folded("For experts: colours, variety, curves", row(self.l_image, self.augment),
                                 row(*self.curves))], layout=w.Layout(max_width="800px"))

    # ---- what programs and buttons use

    running = property(lambda self: self.session.running, doc="Whether training is under way (paused counts).")
    controls = property(lambda self: self.session.controls, doc="The `Controls` of the training.")
    iteration = property(lambda self: self.session.iteration, doc="Iterations done.")
    history = property(lambda self: self.session.history, doc="The `History`: snapshots, losses, measures.")
    losses = property(lambda self: self.session.history.losses, doc="(iteration, losses by name), in order.")
    sketches = property(lambda self: self.session.sketches, doc="The sketches in force, [S, 1, R, R].")
    error = property(lambda self: self.session.error, doc="Traceback of a training that failed, or None.")

    @property
    def result(self):
        """A copy of the customised generator: see `Session.result`."""
        result, _ = self.session.result, self.slider.taken()
        return result

    def start(self):
        """Begins or goes on; does nothing if it runs already. In mode 'cell', returns when training has ended."""
        self.trouble.value = ""
        self.session.start(here=self.mode == "cell")
        self._show_buttons()
        if self.mode == "cell":
            self.join()

    def _start(self):
        """The button: a training whose minutes are over gets as many again."""
        session = self.session
        if not session.running and session.time_over:
            session.minutes = session.training_seconds / 60 + session.minutes_given
        self.start()

    def start_over(self):
        """Begins anew, warm start included, with the sketches and the knobs as they are now."""
        self.session.clear()
        self.slider.now()
        self._show_live(self._original, NOW)
        self.start()

    def pause(self):
        """Holds a training that runs, or lets a held one go on."""
        if self.running:
            held = not self.controls.pause
            self.pause_button.description = "Go on" if held else "Pause"
            self._say("pausing after the present step" if held else "")
            self.controls.pause = held                      # last: then the thread's own words come after ours

    def stop(self, wait=True):
        """Ends training after the present step; `wait` returns only then."""
        if self.running:
            self._say("stopping after the present step")
        self.session.stop(wait)

    def join(self):
        """Waits for the end of training; raises RuntimeError with its traceback, and what to do, if it failed."""
        self.session.join()

    async def finished(self):
        """Waits until there is a result and training has ended; raises RuntimeError if it failed.

        Unlike join(), it leaves the kernel free for strokes and buttons, Start before all. Where nobody can press one,
        as in a test, or while a cell of Colab runs, it starts by itself.
        """
        there = self.mode == "thread" and somebody_is_there()
        ended = lambda: not self.running and (len(self.history) or self.error)
        if not (self.running or ended()):                   # the page stands here, and below the pad
            self.start_button.send({"do": "focus"}) if there else self.start()
        with answered():
            while there and not ended():
                await asyncio.sleep(0.2)
        self.join()

    # ---- what happens on the thread that trains

    def _follow(self, step):
        """Shows a step if that is due. A view that fails is said, and costs nobody the training."""
        if not (self._frames.due or self.controls.pause):
            return
        with self._viewing("The view failed, training goes on"):
            with self._frames.spend():
                self._show_step(step)
            if self._curves.due:
                with self._curves.spend():
                    self._show_curves()

    def _show_step(self, step):
        session = self.session
        if step.phase == "warm" and step.samples is not None:
            self._show_live(step.samples[:len(self.z)], NEAREST)
        elif step.phase == "train":
            self._show_live(self._sample(step.G), NOW)
        self.bar.value = session.done
        self._say("paused" if self.controls.pause else step.message if step.phase == "warm" else "")

    def _ended(self):
        with self._viewing("The view failed, the training is as it should be"):
            self._show_state()

    @contextlib.contextmanager
    def _viewing(self, what):
        try:
            yield
        except Exception as error:
            self._complain(what, error)

    # ---- the view

    def _show_state(self):
        """Everything as it stands, at the beginning of a view and at the end of a stretch of training."""
        session = self.session
        self.bar.value = session.done
        self._show_buttons()
        if len(session.history):
            self._live = self._sample(session.history.generator(session.history.snapshots[-1])), NOW
        self._show_live(*self._live)
        self._show_terms()
        self.before.value = self._picture(self._original)
        self._show_curves()
        if session.error:
            self._say("failed")
            message = session.error.strip().splitlines()[-1]
            self._complain(f"Training failed at iteration {session.iteration}", message, session.advice, session.error)
        elif not session.running:
            done = "done" if session.done >= 1 else "stopped"
            kept = f"; {session.verdict}" if session.verdict else ""
            self._say(f"{done} at iteration {session.iteration}, after {clock(session.seconds)}{kept}"
                      if len(session.history) else "stopped before there was a result; press Start to go on"
                      if session.seconds else "ready: press Start")

    def _show_buttons(self):
        """Only what can be pressed looks so: Start is green while nothing runs, Stop red while something does."""
        running = self.running
        self.start_button.disabled, self.start_button.button_style = running, "" if running else "success"
        self.stop_button.disabled, self.stop_button.button_style = not running, "danger" if running else ""
        self.pause_button.disabled = not running
        self.pause_button.description = "Go on" if running and self.controls.pause else "Pause"

    def _show_live(self, images, caption):
        """Shows images [N, 3, R, R] as the present ones, unless somebody looks at earlier ones."""
        with self._lock:
            self._live = images, caption
            self.slider.place()
            if self.slider.looked is None:
                self._show(images, caption)

    def _show(self, images, caption):
        self._shown, self.caption.value = images, caption
        self.now.value = self._picture(images)

    def _toggled(self):
        with self._lock:
            self.before.value, self.now.value = map(self._picture, (self._original, self._shown))

    def _picture(self, images):
        """PNG of images [N, 3, R, R], with F's drawing of each below it if those are asked for."""
        with torch.no_grad():
            return grid(images, self.session.F.to(images.device)(images) if self.outlines.value else None)

    @torch.no_grad()
    def _sample(self, G):
        """G's samples [N, 3, R, R] of the fixed z and of its own constant noise: the view draws no random number."""
        return G(self.z.to(next(G.parameters()).device), noise_mode="const")

    def _show_curves(self):
        history = self.history
        losses = {name: history.losses.series(name) for name in ("D_sketch", "G_sketch", "D_image", "G_image")}
        measures = {MEASURES[name]: history.measures.series(name) for name in MEASURES}
        for image, series, label, smooth in ((self.curves[0], measures, "seconds of work", 0.0),
                                             (self.curves[1], losses, "iteration, losses", 0.95)):
            series = {name: points for name, points in series.items() if len(points[0]) > 1}
            if series:
                image.value = plotting.png(plotting.curves(series, label, smooth=smooth, size=(4.9, 2.1), dpi=80))
                image.layout.display = None

    def _say(self, what=""):
        """The line of status: what happens, how far, how quickly, how well."""
        session, parts = self.session, [html.escape(what)] * bool(what)
        if session.running and session.phase == "train":
            speed = session.speed
            parts += [f"iteration {session.iteration}", f"{speed:.2g} it/s ({speed * session.config.batch:.2g} img/s)"]
        if session.running and 0 < (session.left or 0) < 1e6:           # unknown at first, and then without bounds
            parts.append(f"about {clock(session.left)} left")
        count, (_, distances) = len(session.sketches), session.history.measures.series("distance")
        if distances:
            parts.append(f"<b>{distances[-1]:.2f} px</b> from the sketches ({distances[0]:.2f} before)")
        parts += [f"{count} sketch{'es' * (count > 1)}"] * session.running
        self.status.value = f'<span role="status">{" · ".join(parts)}</span>'

    def _complain(self, what, message, advice="Run the cell again for a new view.", details=""):
        """An error, what to do about it, and the rest of it folded away."""
        folded = f"<details><summary>details</summary><pre>{html.escape(details)}</pre></details>" if details else ""
        style = "border-left: 4px solid #d1495b; padding: 2px 10px; line-height: 1.5"
        self.trouble.value = (f'<div role="alert" style="{style}"><b>{html.escape(what)}.</b> '
                              f"{html.escape(str(message))}<br>{html.escape(advice)}{folded}</div>")

    # ---- the history and the knobs

    def _look(self, looked):
        """Somebody looks at now (None), at the original, or at a snapshot."""
        if looked is None:
            self._show(*self._live)
        elif looked is ORIGINAL:
            self._show(self._original, "<b>then</b>: the original")
        else:
            self._show(self._sample(self.history.generator(looked)), f"<b>then</b>: {moment(looked)}")

    def _show_terms(self):
        """Sets the knobs to what is in force."""
        with self._lock:
            terms = self.session.terms
            self._moving = True
            self.l_image.max = max(self.l_image.max, terms["l_image"])
            self.l_image.value = terms["l_image"]
            if terms["augment"] not in AUGMENTATIONS.values():
                self.augment.options = [*AUGMENTATIONS.items(), (terms["augment"], terms["augment"])]
            self.augment.value = terms["augment"]
            self._moving = False

    def _wish(self, **values):
        with self._lock:
            if self._moving:
                return
        self.controls.set(**values)

    def _take_sketches(self, pad):
        """The pad has changed. A blank one is no wish: training keeps the sketches it has."""
        drawn = sketches_on(pad, self.session.networks[0].resolution)
        if drawn is not None and self.session.on_step == self._follow:      # else a newer view listens to the pad
            self.controls.sketches = drawn


def sketches_on(pad, resolution):
    """What is drawn on a pad, [S, 1, resolution, resolution]; None if it is blank or there is no pad."""
    with contextlib.suppress(SketchError):
        return pad and pad.sketches(resolution)
