"""A pad to draw on and a window on a training that runs, for Jupyter (ipycanvas and ipywidgets).

Strokes live in Python as vectors and the browser only shows them, so everything here works, and is tested, without a
browser. Callbacks may come on any thread (JupyterLab answers some on a subshell), and ipycanvas has one global command
queue: whoever touches a drawing or a canvas holds LOCK.
"""

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
from .sketches import (SKETCH_FOLDER, SketchError, load_sketches, rasterize, read_document, sketch_names, stroke_points,
                       write_document)

try:
    import ipywidgets as w
    from ipycanvas import Canvas, hold_canvas
except ImportError as error:
    raise ImportError(f"the sketch pad and the live view need {error.name}; pip install 'sketchgan[notebooks]'") from error

LOCK = threading.RLock()
FRAME = 256                     # strokes live in a frame of 256 units, whatever the size of the canvas


# ------------------------------------------------------------------------------------------------------------- drawing

class Drawing:
    """Several sketches, one of them in hand; every change can be undone. Knows nothing of widgets.

    A sketch is a tuple of strokes {"width", "points"}; tuples are never changed, so a past state costs nothing.
    """

    def __init__(self):
        self.sketches, self.current = ((),), 0
        self.past, self.future = [], []

    @property
    def strokes(self):
        """Strokes of the sketch in hand."""
        return self.sketches[self.current]

    def change(self, sketches, current):
        """Goes to a new state and remembers the present one for undo."""
        self.past.append((self.sketches, self.current))
        self.future.clear()
        self.sketches, self.current = tuple(sketches), current

    def replace(self, strokes):
        """Gives the sketch in hand other strokes."""
        self.change((*self.sketches[:self.current], tuple(strokes), *self.sketches[self.current + 1:]), self.current)

    def add(self):
        """Puts a blank sketch behind the last one and takes it in hand; a blank one that waits there is used."""
        if self.sketches[-1]:
            self.change((*self.sketches, ()), len(self.sketches))
        self.current = len(self.sketches) - 1

    def delete(self):
        """Removes the sketch in hand; the last one that is left becomes blank."""
        rest = (*self.sketches[:self.current], *self.sketches[self.current + 1:]) or ((),)
        self.change(rest, min(self.current, len(rest) - 1))

    def undo(self):
        """Goes back by one change, if there is one."""
        self._travel(self.past, self.future)

    def redo(self):
        """Does again what undo took back."""
        self._travel(self.future, self.past)

    def _travel(self, source, target):
        if source:
            target.append((self.sketches, self.current))
            self.sketches, self.current = source.pop()


class SketchPad(w.VBox):
    """A canvas to draw several sketches on, with a pen, undo, and a strip of all sketches; they are kept as strokes.

    pad.sketches(64)     -> [S, 1, 64, 64], paper +1 and ink -1; blank pages are left out
    pad.save("my.json")  pad.load("my.json" or the name of a ready-made drawing)
    pad.on_change(f)     calls f(pad) after each change

    start: a drawing document or name to begin with. size: side of the canvas on the screen in pixels. width: of the
    pen, in units of 1/256 of the frame (5 is 1.25 px at 64 px, as the contours F has learnt from).
    """

    def __init__(self, start=None, size=320, width=5):
        self.drawing, self.zoom = Drawing(), size / FRAME
        self._stroke, self._listeners = None, []
        # No tooltip: the browser's code asks a widget that has one for its description, which a canvas does not have.
        self.canvas = Canvas(width=size, height=size)
        self.canvas.layout = w.Layout(width=f"{size}px", height=f"{size}px", border="1px solid #888")
        self._listen_to_pen()
        self.pen = w.IntSlider(width, 2, 16, description="pen width", tooltip="Width of the next stroke",
                               layout=w.Layout(width=f"{size}px"))
        self.undo_button = _button("Undo", "Take back the last change", self.undo)
        self.redo_button = _button("Redo", "Do again what Undo took back", self.redo)
        self.clear_button = _button("Clear", "Remove all strokes of this sketch", self.clear)
        self.new_button = _button("New sketch", "Add a blank sketch", self.add)
        self.delete_button = _button("Delete", "Remove this sketch", self.delete)
        self.file = w.Combobox(value="my_sketches.json", options=sketch_names(), ensure_option=False,
                               description="file", tooltip="A file, or the name of a ready-made drawing")
        self.save_button = _button("Save", "Write all sketches to the file", lambda: self._file(self.save))
        self.load_button = _button("Load", "Add the sketches of the file", lambda: self._file(self.load))
        self.status, self.strip = w.Label(), w.HBox(layout=w.Layout(flex_flow="row wrap"))
        hint = w.Label("Draw in the frame with the mouse, a pen or a finger.")
        buttons = w.HBox([self.undo_button, self.redo_button, self.clear_button])
        pages = w.HBox([self.new_button, self.delete_button])
        files = w.HBox([self.file, self.save_button, self.load_button])
        beside = w.VBox([hint, self.strip, pages, files, self.status])
        super().__init__([w.HBox([w.VBox([self.canvas, self.pen, buttons]), beside], layout=w.Layout(flex_flow="row wrap"))])
        self._thumbnails = []
        self.load(start) if start else self._show()

    # ---- what programs use

    def sketches(self, resolution=64):
        """[S, 1, resolution, resolution] of all sketches that have strokes; SketchError if none has."""
        with LOCK:
            drawn = [strokes for strokes in self.drawing.sketches if strokes]
        if not drawn:
            raise SketchError("the sketch pad is blank; draw at least one sketch, or load one: "
                              f"pad.load({sketch_names()[-1]!r})")
        return torch.cat([rasterize(strokes, resolution, FRAME) for strokes in drawn])

    def save(self, path, **about):
        """Writes all sketches with strokes to a drawing document; `about` may hold name, task, origin, license."""
        path = Path(path) if str(path).endswith(".json") else Path(f"{path}.json")
        self.sketches()                                     # raises if there is nothing to save
        with LOCK:
            sketches = [{"strokes": list(strokes)} for strokes in self.drawing.sketches if strokes]
        write_document(path, sketches, FRAME, **about)
        self.status.value = f"saved {len(sketches)} in {path}"

    def load(self, source):
        """Adds the sketches of a drawing document (path, or a name of `sketch_names()`) and takes the first in hand."""
        path = SKETCH_FOLDER / f"{source}.json" if source in sketch_names() else Path(source)
        load_sketches(path)                                 # refuses a bad file before anything changes
        document = read_document(path)
        scale = FRAME / document.get("size", FRAME)
        loaded = [tuple({"width": stroke["width"] * scale, "points": (stroke_points(stroke) * scale).tolist()}
                        for stroke in sketch["strokes"]) for sketch in document.get("sketches", [document])]
        with LOCK:
            kept = [strokes for strokes in self.drawing.sketches if strokes]
            self.drawing.change((*kept, *loaded), len(kept))
        self._changed()

    def _file(self, action):
        try:
            action(self.file.value)
        except (SketchError, OSError) as error:             # an exception in a callback is invisible
            self.status.value = str(error)

    def on_change(self, listener):
        """Calls `listener(pad)` after each change of a sketch, on whatever thread the change comes."""
        self._listeners.append(listener)

    def undo(self):
        """Takes back the last change of any sketch."""
        self._do(self.drawing.undo)

    def redo(self):
        """Does again what undo took back."""
        self._do(self.drawing.redo)

    def clear(self):
        """Removes all strokes of the sketch in hand."""
        if self.drawing.strokes:
            self._do(lambda: self.drawing.replace(()))

    def add(self):
        """Takes a blank sketch in hand."""
        self._do(self.drawing.add)

    def delete(self):
        """Removes the sketch in hand."""
        self._do(self.drawing.delete)

    def select(self, index):
        """Takes sketch number `index` (from 0) in hand."""
        with LOCK:
            if index < len(self.drawing.sketches):
                self.drawing.current = index
        self._show()

    # ---- pen

    def _listen_to_pen(self):
        c = self.canvas
        c.on_mouse_down(self._pen_down), c.on_mouse_move(self._pen_move), c.on_mouse_up(self._pen_up)
        c.on_mouse_out(self._pen_up)                        # a pen that leaves the paper has ended its stroke
        c.on_touch_start(lambda touches: self._pen_down(*touches[0]))
        c.on_touch_move(lambda touches: self._pen_move(*touches[0]))
        c.on_touch_end(lambda touches: self._pen_up()), c.on_touch_cancel(lambda touches: self._pen_up())

    def _pen_down(self, x, y):
        self._stroke = {"width": self.pen.value, "points": [[round(x / self.zoom, 1), round(y / self.zoom, 1)]]}
        self._pen_move(x, y)                                # a click alone is a dot

    def _pen_move(self, x, y):
        stroke = self._stroke
        if stroke is None:
            return
        x0, y0 = stroke["points"][-1]
        stroke["points"].append([round(x / self.zoom, 1), round(y / self.zoom, 1)])
        with LOCK:
            self.canvas.line_width = stroke["width"] * self.zoom
            self.canvas.stroke_line(x0 * self.zoom, y0 * self.zoom, x, y)

    def _pen_up(self, *_):
        stroke, self._stroke = self._stroke, None
        if stroke is not None:
            self._do(lambda: self.drawing.replace((*self.drawing.strokes, stroke)))

    # ---- showing

    def _do(self, change):
        with LOCK:
            change()
        self._changed()

    def _changed(self):
        self._show()
        for listener in self._listeners:
            listener(self)

    def _show(self):
        """Draws the sketch in hand, the strip and the status line anew."""
        with LOCK:
            drawing, c = self.drawing, self.canvas
            with hold_canvas():
                c.fill_style, c.stroke_style = "white", "black"
                c.line_cap = c.line_join = "round"
                c.fill_rect(0, 0, c.width, c.height)
                for stroke in drawing.strokes:
                    c.line_width = stroke["width"] * self.zoom
                    c.stroke_lines([(x * self.zoom, y * self.zoom) for x, y in stroke["points"]])
            self._show_strip()
            count = len(drawing.strokes)
            self.status.value = (f"sketch {drawing.current + 1} of {len(drawing.sketches)}, "
                                 f"{count} stroke{'' if count == 1 else 's'}")
            self.undo_button.disabled, self.redo_button.disabled = not drawing.past, not drawing.future

    def _show_strip(self):
        while len(self._thumbnails) < len(self.drawing.sketches):
            i = len(self._thumbnails)
            picture = w.Image(format="png", width=64, height=64, layout=w.Layout(border="1px solid #c4c8cf"))
            button = _button(str(i + 1), f"Go on drawing sketch {i + 1}", lambda i=i: self.select(i), width="66px")
            self._thumbnails.append((w.VBox([picture, button]), picture, button, [None]))
        for i, strokes in enumerate(self.drawing.sketches):
            _, picture, button, shown = self._thumbnails[i]
            button.button_style = "info" if i == self.drawing.current else ""
            if shown[0] is not strokes:                     # tuples never change: the same one looks the same
                picture.value, shown[0] = plotting.png(plotting.image_grid(rasterize(strokes, 64, FRAME))), strokes
        self.strip.children = [box for box, *_ in self._thumbnails[:len(self.drawing.sketches)]]


def _button(name, tooltip, action, width="auto", style=""):
    button = w.Button(description=name, tooltip=tooltip, button_style=style, layout=w.Layout(width=width))
    button.on_click(lambda _: action())
    return button


# ------------------------------------------------------------------------------------------------------- live training

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
        self.start_button = _button("Start", "Start training, or go on from the last checkpoint", self.start, style="success")
        self.pause_button = _button("Pause", "Hold training, and go on at the next click", self.pause)
        self.stop_button = _button("Stop", "End training after the present step and keep the result",
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
        self.status.value = f"{word} at iteration {run.state.iteration}, after {_clock(run.seconds)} of training"

    # ---- the view

    def _show(self, step):
        searching = "nearest" in step.losses                # the first part of the warm start: G is still the original
        self.caption.value = NEAREST if searching else NOW
        self.now.value = _grid(step.samples[:len(self.z)]) if searching else self._samples(step.G)
        done = self._fraction(self.iteration, step.seconds)
        left = f", about {_clock(step.seconds * (1 / done - 1))} left" if done > 0 else ""
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
        return _grid(G(self.z.to(next(G.parameters()).device), noise_mode="const"))

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


def _grid(images):
    return plotting.png(plotting.image_grid(images, cols=8, scale=max(1, 96 // images.shape[-1])))


def _clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
