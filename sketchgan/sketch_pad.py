"""A pad to draw sketches on, for Jupyter.

Strokes live in Python as vectors and the browser only shows them, so everything here works, and is tested, without a
browser.
"""

from pathlib import Path

import torch

from . import plotting
from .sketches import (SKETCH_FOLDER, SketchError, load_sketches, rasterize, read_document, sketch_names, stroke_points,
                       write_document)
from .widgets import LOCK, Canvas, button, hold_canvas, w

FRAME = 256                     # strokes live in a frame of 256 units, whatever the size of the canvas


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
        self.undo_button = button("Undo", "Take back the last change", self.undo)
        self.redo_button = button("Redo", "Do again what Undo took back", self.redo)
        self.clear_button = button("Clear", "Remove all strokes of this sketch", self.clear)
        self.new_button = button("New sketch", "Add a blank sketch", self.add)
        self.delete_button = button("Delete", "Remove this sketch", self.delete)
        self.file = w.Combobox(value="my_sketches.json", options=sketch_names(), ensure_option=False,
                               description="file", tooltip="A file, or the name of a ready-made drawing")
        self.save_button = button("Save", "Write all sketches to the file", lambda: self._file(self.save))
        self.load_button = button("Load", "Add the sketches of the file", lambda: self._file(self.load))
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
            number = button(str(i + 1), f"Go on drawing sketch {i + 1}", lambda i=i: self.select(i), width="66px")
            self._thumbnails.append((w.VBox([picture, number]), picture, number, [None]))
        for i, strokes in enumerate(self.drawing.sketches):
            _, picture, number, shown = self._thumbnails[i]
            number.button_style = "info" if i == self.drawing.current else ""
            if shown[0] is not strokes:                     # tuples never change: the same one looks the same
                picture.value, shown[0] = plotting.png(plotting.image_grid(rasterize(strokes, 64, FRAME))), strokes
        self.strip.children = [box for box, *_ in self._thumbnails[:len(self.drawing.sketches)]]
