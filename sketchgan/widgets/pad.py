"""A pad to draw sketches on, for Jupyter: pen, eraser, a row of sketches, how near a GAN comes to them.

Strokes live in Python as vectors (drawing/board.py) and the browser only shows them, so everything here works, and is
tested, without a browser.
"""

import asyncio
import functools
import os
import tempfile
import warnings
from pathlib import Path
from typing import Annotated

import torch
from torch import nn

from ..drawing import Drawing, SketchError, rasterize, read_strokes, sketch_names, write_document
from ..drawing.sketches import IMAGE_SUFFIXES
from ..drawing.strokes import FRAME, PEN
from ..files.atomic import write_atomically
from ..files.checks import Limits, checked
from .easel import Easel
from .nearness import Nearness
from .parts import (
    BUSY,
    COUNTLESS,
    LOCK,
    Message,
    Picture,
    answered,
    button,
    folded,
    row,
    sketch_png,
    somebody_is_there,
    uploader,
    w,
)
from .underlay import TracingPaper

HINT = """<details style="line-height: 1.4"><summary>Draw in the frame with mouse, pen or finger. Keys ...</summary>
In the frame, <b>arrow keys</b> move the pen (with Shift: further), <b>space</b> puts it down and lifts it,
<b>E</b> takes the eraser and <b>P</b> the pen, <b>[</b> and <b>]</b> change the width, <b>Ctrl+Z</b> undoes,
<b>Ctrl+Y</b> redoes, <b>N</b> adds a sketch, <b>Page Up</b> and <b>Page Down</b> go through the sketches,
<b>Tab</b> or <b>Esc</b> leaves the frame.</details>"""
# Attribute, name on the button, tooltip, and what `Drawing` does.
BUTTONS = (("clear", "Clear", "Remove all strokes of this sketch"),
           ("undo", "Undo", "Take back the last change (Ctrl+Z)"),
           ("redo", "Redo", "Do again what Undo took back (Ctrl+Y)"),
           ("add", "New sketch", "Add a blank sketch (N)"),
           ("copy", "Copy", "Add a copy of this sketch"),
           ("mirror", "Mirror", "Exchange left and right of this sketch"),
           ("left", "◀", "Move this sketch one place to the left", "move", -1),
           ("right", "▶", "Move this sketch one place to the right", "move", 1),
           ("delete", "Delete", "Remove this sketch"))
Side = Annotated[int, Limits(8, 4096)]


class SketchPad(w.VBox):
    """A canvas to draw several sketches on, with pen, eraser, undo, and a strip of all; they are kept as strokes.

    pad.sketches()       -> [S, 1, R, R], paper +1 and ink -1, at any time; blank pages are left out
    await pad.ready()    the same, once somebody has drawn and says so, or takes the examples
    pad.underlay(photo)  a faint picture below the paper to trace; pad.trace() draws F's contour of it as strokes
    pad.save("my.json")  pad.load("my.json", the name of a ready-made drawing, or a picture of a drawing)
    pad.change("undo")   what the buttons do, by the names of `Drawing`: clear, undo, redo, add, copy, mirror ...
    pad.on_change(f)     calls f(pad) after each change

    start: what to load to begin with. size: side of the canvas on the screen in pixels. width: of the pen, in units of
    1/256 of the frame (5 is 1.25 px at 64 px, as the contours F has learnt from). F: the sketcher, for `trace` and for
    "what F draws"; without it a photo can still be traced by hand. G: the generator that is to be customised; with it
    and F, the pad says how near its samples come, and fits each sketch to where it paints (which can be switched off).
    resolution: R, the pixels that training will see; G's own without it. examples: the name of ready-made drawings for
    the button "Use example drawings". keep: a file that always holds what is drawn, and brings it back to a new kernel.
    """

    @checked
    def __init__(self, start=None, size: Annotated[int, Limits(64, 2048)] = 272,
                 width: Annotated[float, Limits(2, 48)] = PEN, F: nn.Module | None = None,
                 resolution: Side | None = None, G: nn.Module | None = None, examples: str | None = None,
                 keep: str | os.PathLike | None = None):
        self.drawing, self.F, self.examples = Drawing(), F, examples
        self.resolution = resolution or (64 if G is None else G.resolution)
        self.keep = Path(keep) if keep and somebody_is_there() else None        # other runs are the same each time
        self._listeners, self._thumbnails, self._gone_on = [], [], False
        self._make_buttons()
        keys = {"ctrl+z": "undo", "ctrl+shift+z": "redo", "ctrl+y": "redo", "n": "add"}
        keys = {key: functools.partial(self.change, name) for key, name in keys.items()}
        keys |= {"pageup": lambda: self.select(self.drawing.current - 1),
                 "pagedown": lambda: self.select(self.drawing.current + 1)}
        self.easel = Easel(self.drawing, size, width, self._do, keys, after=self.clear_button)
        self.canvas, self.tool, self.pen = self.easel.canvas, self.easel.tool, self.easel.pen
        self.tracing = TracingPaper(self, self._show)
        self.underlay, self.trace = self.tracing.lay, self.tracing.trace
        self.nearness = Nearness(G, F, self._refit) if G is not None and F is not None else None
        self._arrange(size)
        self._show()
        if self.keep is not None and self.keep.exists():
            self._restore()
        if start is not None:
            self.load(start)

    def _make_buttons(self):
        for name, label, tooltip, *action in BUTTONS:
            setattr(self, f"{name}_button", button(label, tooltip, functools.partial(self.change, *action or [name])))
        self.ready_button = button("Done", "Go on in the notebook with these sketches", self._go_on, style="success")
        self.examples_button = button("Use example drawings", "Take drawings that are ready, in place of your own",
                                      lambda: self._go_on(examples=True))
        self.status, self.strip = Message(), row()
        self.file = w.Combobox(value="my_sketches.json", options=sketch_names(), ensure_option=False,
                               description="file", tooltip="A .json or .png file, or the name of a ready-made drawing",
                               layout=w.Layout(width="200px"), style={"description_width": "auto"})
        self.save_button = button("Save", "Write all sketches to the file: strokes as .json, or pictures as .png",
                                  lambda: self.status.guard(self.save, self.file.value))
        self.load_button = button("Load", "Add the sketches of the file",
                                  lambda: self.status.guard(self.load, self.file.value))
        self.upload = uploader("Upload", "Add drawings from your computer: pictures, .svg, or files of a pad",
                               {".json", ".svg", ".ndjson", *IMAGE_SUFFIXES}, self._take, self.status, multiple=True)

    def _arrange(self, size):
        changes = row(self.clear_button, self.undo_button, self.redo_button)
        pages = row(self.add_button, self.copy_button, self.mirror_button, self.delete_button, self.left_button,
                    self.right_button)
        if self.examples is None:
            self.examples_button.layout.display = "none"
        self.ready_button.layout.display = "none"
        beside = w.VBox([self.strip, pages], layout=w.Layout(flex="1 1 130px", min_width="130px"))
        paper = w.VBox([self.easel, changes], layout=w.Layout(width=f"{size + 6}px"))
        files = row(self.file, self.save_button, self.load_button, self.upload)
        more = folded("Trace a photo, or keep sketches in files", COUNTLESS, self.tracing, files)
        near = [self.nearness] if self.nearness is not None else []
        go_on = row(self.ready_button, self.examples_button, self.status)
        super().__init__([w.HTML(HINT), row(paper, beside, align_items="flex-start", grid_gap="4px 8px"), *near, go_on,
                          BUSY, more], layout=w.Layout(max_width="800px"))

    # ---- what programs use

    @checked
    def sketches(self, resolution: Side | None = None):
        """[S, 1, R, R] of all sketches that have strokes, fitted if that is on; SketchError if none has.

        resolution: the pad's own without it.
        """
        with LOCK:
            drawn = self.drawing.drawn
        if not drawn:
            raise SketchError("the sketch pad is blank; draw at least one sketch, or load one: "
                              f"pad.load({sketch_names()[-1]!r})")
        side = resolution or self.resolution
        return torch.cat([rasterize(self._fitted(strokes), side, FRAME) for strokes in drawn])

    async def ready(self):
        """The sketches, once somebody has drawn and pressed "Done", or at once if there are some.

        With nobody there to draw (a test, a run from the command line) the examples are taken.
        """
        if not self.drawing.drawn and somebody_is_there():
            self._gone_on, self.ready_button.layout.display = False, None
            self.canvas.send({"do": "focus"})               # and the page stands here
            self.status.say("Draw what your GAN shall paint, then press Done")
            with answered():
                while not self._gone_on:
                    await asyncio.sleep(0.2)
            self.ready_button.layout.display = "none"
        elif not self.drawing.drawn and self.examples is not None:
            self.load(self.examples)
        return self.sketches()

    def _go_on(self, examples=False):
        if examples:                                        # in place of what is there, which Undo brings back
            ready_made = [tuple(strokes) for strokes in read_strokes(self.examples)]
            self._do(lambda: self.drawing.change(ready_made, 0))
        self._gone_on = bool(self.drawing.drawn)
        if not self._gone_on:
            self.status.say("The pad is blank: draw a sketch first, or take the example drawings")

    def save(self, path, **about):
        """Writes all sketches with strokes to a drawing document; `about` may hold name, task, origin, license.

        A path that ends in .png gets a picture of 256 px; of several sketches each its own, name_1.png, name_2.png ...
        """
        with LOCK:
            path, drawn = Path(path), self.drawing.drawn
        if not drawn:
            self.sketches()                                 # says so
        if path.suffix == ".png":
            paths = [path] if len(drawn) == 1 else [path.with_stem(f"{path.stem}_{i + 1}") for i in range(len(drawn))]
            for strokes, place in zip(drawn, paths, strict=True):
                write_atomically(place, sketch_png(rasterize(strokes, FRAME, FRAME)))
        else:
            paths = [path if path.suffix == ".json" else Path(f"{path}.json")]
            write_document(paths[0], [{"strokes": list(strokes)} for strokes in drawn], FRAME, **about)
        self.status.say(f"saved {len(drawn)} in {', '.join(map(str, paths))}")

    def load(self, source):
        """Adds the sketches of `source` behind those that are there and takes the first of them in hand.

        source: a name of `sketch_names()`, a drawing document, or anything else that `load_sketches` takes; pictures of
        drawings are traced, so that they can be drawn on. A sketch that is there already does not come twice. What had
        to be put right is said in the line of status. SketchError for what is no drawing; the pad is then as before.
        """
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            loaded = [tuple(strokes) for strokes in read_strokes(source)]
        said = list(dict.fromkeys(str(warning.message).split(";")[0] for warning in said))     # the rest: for programs
        with LOCK:
            new = [strokes for strokes in loaded if strokes not in self.drawing.drawn]
            if new:
                self._do(lambda: self.drawing.extend(new))
            else:
                self.select(self.drawing.sketches.index(loaded[0]))
                said.append("these sketches are on the pad already")
        if said:
            self.status.say("; ".join(said))

    def _take(self, name, data):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            path.write_bytes(data)
            self.load(path)

    def on_change(self, listener):
        """Calls `listener(pad)` after each change of a sketch, on whatever thread the change comes."""
        self._listeners.append(listener)

    def change(self, name, *arguments):
        """Does what `Drawing` calls `name`: undo, redo, clear, add, copy, mirror, delete, or move by so many places."""
        self._do(lambda: getattr(self.drawing, name)(*arguments))

    def select(self, index):
        """Takes sketch number `index` (from 0) in hand."""
        with LOCK:
            self.drawing.select(index)
        self._show()

    # ---- what is kept

    def _restore(self):
        try:
            self.load(self.keep)
            self.status.say(f"these are your sketches of last time, from {self.keep}")
        except (ValueError, OSError) as error:              # nobody's drawings are written over
            aside = self.keep.with_suffix(".damaged.json")
            self.keep.replace(aside)
            self.status.say(f"the sketches of last time cannot be read ({error}); the file is now {aside}")

    def _keep(self):
        if self.drawing.drawn:
            write_document(self.keep, [{"strokes": list(strokes)} for strokes in self.drawing.drawn], FRAME)
        else:
            self.keep.unlink(missing_ok=True)

    # ---- showing

    def _fitted(self, strokes, wait=True):
        return self.nearness.fitted(strokes, wait) if self.nearness is not None and strokes else strokes

    def _refit(self):
        """The place where training gets the sketches has changed."""
        self._show(say=False)
        for listener in self._listeners:
            listener(self)

    def _do(self, change):
        with LOCK:
            before = self.drawing.sketches
            change()
            changed = self.drawing.sketches is not before
            self._show()
            if changed and self.keep is not None:
                self.status.guard(self._keep)               # a full disk is no reason to stop drawing
        for listener in self._listeners if changed else ():
            listener(self)

    def _show(self, say=True):
        """Draws the sketch in hand, the strip, what is near to it, and the status line anew."""
        with LOCK:
            drawing, fitted = self.drawing, self._fitted(self.drawing.strokes, wait=False)
            self.easel.ghost = () if fitted is drawing.strokes else fitted
            self.easel.paint()
            self._show_strip()
            drawn = rasterize(fitted, self.resolution, FRAME)
            self.tracing.compare(drawn if drawing.strokes else None)
            if self.nearness is not None:
                self.nearness.show(drawn if drawing.strokes else None)
            if say:
                self.status.say(f"sketch {drawing.current + 1} of {len(drawing.sketches)}, {_count(drawing.strokes)}")
            self.undo_button.disabled, self.redo_button.disabled = not drawing.past, not drawing.future
            self.left_button.disabled = drawing.current == 0
            self.right_button.disabled = drawing.current == len(drawing.sketches) - 1

    def _show_strip(self):
        while len(self._thumbnails) < len(self.drawing.sketches):
            i = len(self._thumbnails)
            picture = Picture(44)
            number = button(str(i + 1), f"Go on drawing sketch {i + 1}", lambda i=i: self.select(i), width="46px")
            self._thumbnails.append((w.VBox([picture, number]), picture, number, [None]))
        for i, strokes in enumerate(self.drawing.sketches):
            _, picture, number, shown = self._thumbnails[i]
            number.button_style = "info" if i == self.drawing.current else ""
            if shown[0] is not strokes:                     # tuples never change: the same one looks the same
                picture.show(sketch_png(rasterize(strokes, 64, FRAME)), f"sketch {i + 1}, {_count(strokes)}")
                shown[0] = strokes
        self.strip.children = [box for box, *_ in self._thumbnails[:len(self.drawing.sketches)]]


def _count(strokes):
    return f"{len(strokes)} stroke{'' if len(strokes) == 1 else 's'}"
