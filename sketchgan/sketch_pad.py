"""A pad to draw sketches on, for Jupyter: pen, eraser, a row of sketches, a photo below the paper to trace.

Strokes live in Python as vectors (drawing_board.py) and the browser only shows them, so everything here works, and is
tested, without a browser.
"""

import io
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from . import plotting
from .checkpoints import write_atomically
from .datasets import to_float
from .drawing_board import Drawing
from .sketches import SketchError, chamfer, rasterize, sketch_names, sketch_of, write_document
from .strokes import FRAME, PEN, read_strokes, trace
from .widgets import BORDER, LOCK, Message, Paper, button, painting, uploaded, w

ARROWS = {"ArrowLeft": (-1, 0), "ArrowRight": (1, 0), "ArrowUp": (0, -1), "ArrowDown": (0, 1)}
PICTURES = ".png,.jpg,.jpeg,.webp,.bmp,.gif,.tif,.tiff"
HINT = ("Draw in the frame with the mouse, a pen or a finger. With the keyboard: arrow keys move the pen (Shift: further), "
        "space puts it down and lifts it, E takes the eraser, P the pen, Ctrl+Z undoes, Tab leaves the frame.")
_WRAP = w.Layout(flex_flow="row wrap", align_items="center")


class SketchPad(w.VBox):
    """A canvas to draw several sketches on, with pen, eraser, undo, and a strip of all sketches; they are kept as strokes.

    pad.sketches()       -> [S, 1, R, R], paper +1 and ink -1, at any time; blank pages are left out
    pad.underlay(photo)  a faint picture below the paper to trace; pad.trace() draws F's contour of it as strokes
    pad.save("my.json")  pad.load("my.json", the name of a ready-made drawing, or a picture of a drawing)
    pad.on_change(f)     calls f(pad) after each change

    start: what to load to begin with. size: side of the canvas on the screen in pixels. width: of the pen, in units of
    1/256 of the frame (5 is 1.25 px at 64 px, as the contours F has learnt from). F: the sketcher, for `trace` and for
    "what F draws"; without it a photo can still be traced by hand. resolution: R, the pixels that training will see.
    """

    def __init__(self, start=None, size=320, width=PEN, F=None, resolution=64):
        self.drawing, self.zoom, self.F, self.resolution = Drawing(), size / FRAME, F, resolution
        self.picture, self.contour = None, None             # the underlay: PIL image, F's sketch of it [1, 1, R, R]
        self._below = w.Image(format="png")                 # the underlay as the browser has it, sent once
        self._stroke, self._erasing, self._cursor, self._listeners, self._thumbnails = None, False, None, [], []
        self._widths = {"pen": int(width), "eraser": 16}
        self._make_canvas(size)
        self._make_controls()
        self._arrange(size)
        self._show()
        if start is not None:
            self.load(start)

    def _make_canvas(self, size):
        self.canvas = c = Paper(width=size, height=size, tooltip="Drawing paper")
        c.layout = w.Layout(width=f"{size}px", height=f"{size}px", border=BORDER)
        c.on_mouse_down(self._mouse_down), c.on_mouse_move(self._pen_move), c.on_mouse_up(self._pen_up)
        c.on_mouse_out(self._mouse_out)
        c.on_touch_start(lambda touches: self._mouse_down(*touches[0]))
        c.on_touch_move(lambda touches: self._pen_move(*touches[0]))
        c.on_touch_end(lambda touches: self._pen_up()), c.on_touch_cancel(lambda touches: self._pen_up())
        c.on_key_down(self._key)
        c.on_client_ready(self._paint)                      # a tab that was reloaded has a blank canvas

    def _make_controls(self):
        self.tool = w.RadioButtons(options=["pen", "eraser"], orientation="horizontal", description="tool",
                                   tooltip="The pen draws, the eraser cuts what it touches out of the strokes (P, E)",
                                   layout=w.Layout(width="auto"), style={"description_width": "auto"})
        self.pen = w.BoundedIntText(self._widths["pen"], 2, 48, description="width",
                                    tooltip="Width of the tool, in 1/256 of the frame ([ and ])",
                                    layout=w.Layout(width="100px"), style={"description_width": "auto"})
        self.tool.observe(lambda _: setattr(self.pen, "value", self._widths[self.tool.value]), "value")
        self.pen.observe(lambda _: self._widths.update({self.tool.value: self.pen.value}), "value")
        self.undo_button = button("Undo", "Take back the last change (Ctrl+Z)", self.undo)
        self.redo_button = button("Redo", "Do again what Undo took back (Ctrl+Y)", self.redo)
        self.clear_button = button("Clear", "Remove all strokes of this sketch", self.clear)
        self.new_button = button("New sketch", "Add a blank sketch (N)", self.add)
        self.copy_button = button("Copy", "Add a copy of this sketch", self.copy)
        self.mirror_button = button("Mirror", "Exchange left and right of this sketch", self.mirror)
        self.left_button = button("◀ Left", "Move this sketch one place to the left", lambda: self.move(-1))
        self.right_button = button("Right ▶", "Move this sketch one place to the right", lambda: self.move(1))
        self.delete_button = button("Delete", "Remove this sketch", self.delete)
        self.photo = self._uploader("Photo", "Lay a photo below the paper, to trace it", PICTURES, self._take_photo)
        self.strength = w.RadioButtons(options=[("hidden", 0.0), ("faint", 0.3), ("strong", 0.7)], value=0.3,
                                       orientation="horizontal", description="below", disabled=True,
                                       tooltip="How strongly the picture below the paper shows",
                                       layout=w.Layout(width="auto"), style={"description_width": "auto"})
        self.strength.observe(lambda _: self._paint(), "value")
        self.trace_button = button("Trace", "Draw F's contour of the picture below as strokes", lambda: self._try(self.trace))
        self.file = w.Combobox(value="my_sketches.json", options=sketch_names(), ensure_option=False, description="file",
                               tooltip="A .json or .png file, or the name of a ready-made drawing",
                               layout=w.Layout(width="230px"), style={"description_width": "auto"})
        self.save_button = button("Save", "Write all sketches to the file: strokes as .json, or pictures as .png",
                                  lambda: self._try(self.save, self.file.value))
        self.load_button = button("Load", "Add the sketches of the file", lambda: self._try(self.load, self.file.value))
        self.upload = self._uploader("Upload", "Add drawings from your computer: pictures or .json", f".json,{PICTURES}",
                                     self._take_drawings, multiple=True)
        self.status, self.strip = Message(), w.HBox(layout=_WRAP)
        self.seen, self.sketched = (w.Image(format="png", layout=w.Layout(width="128px", height="128px", border=BORDER))
                                    for _ in range(2))
        self.sketched_caption = w.HTML("What F draws")

    def _uploader(self, name, tooltip, accept, action, multiple=False):
        made = w.FileUpload(description=name, tooltip=tooltip, accept=accept, multiple=multiple, layout=w.Layout(width="auto"))
        made.observe(lambda _: self._take(made, action), "value")
        return made

    def _arrange(self, size):
        tools = w.HBox([self.tool, self.pen], layout=_WRAP)
        changes = w.HBox([self.undo_button, self.redo_button, self.clear_button])
        pages = w.HBox([self.new_button, self.copy_button, self.mirror_button, self.left_button, self.right_button,
                        self.delete_button], layout=_WRAP)
        below = w.HBox([self.photo, self.strength, self.trace_button], layout=_WRAP)
        files = w.HBox([self.file, self.save_button, self.load_button, self.upload], layout=_WRAP)
        self.compared = w.VBox([self.sketched_caption, self.sketched], layout=w.Layout(display="none", margin="0 0 0 12px"))
        pictures = w.HBox([w.VBox([w.HTML("What training sees"), self.seen]), self.compared], layout=_WRAP)
        beside = w.VBox([self.strip, pages, below, pictures, files, self.status],
                        layout=w.Layout(flex="1 1 300px", min_width="280px", padding="0 0 0 12px"))
        paper = w.VBox([self.canvas, tools, changes], layout=w.Layout(width=f"{size + 8}px"))
        super().__init__([w.HTML(HINT), w.HBox([paper, beside], layout=w.Layout(flex_flow="row wrap"))])

    # ---- what programs use

    def sketches(self, resolution=None):
        """[S, 1, R, R] of all sketches that have strokes; SketchError if none has. resolution: the pad's own without it."""
        with LOCK:
            drawn = self.drawing.drawn
        if not drawn:
            raise SketchError("the sketch pad is blank; draw at least one sketch, or load one: "
                              f"pad.load({sketch_names()[-1]!r})")
        return torch.cat([rasterize(strokes, resolution or self.resolution, FRAME) for strokes in drawn])

    def save(self, path, **about):
        """Writes all sketches with strokes to a drawing document; `about` may hold name, task, origin, license.

        A path that ends in .png gets a picture of 256 px; of several sketches each its own, name_1.png, name_2.png ...
        """
        path, drawn = Path(path), self.sketches(FRAME)      # raises if there is nothing to save
        if path.suffix == ".png":
            paths = [path] if len(drawn) == 1 else [path.with_stem(f"{path.stem}_{i + 1}") for i in range(len(drawn))]
            for sketch, place in zip(drawn, paths, strict=True):
                write_atomically(place, plotting.png(plotting.image_grid(sketch[None])))
        else:
            paths = [path if path.suffix == ".json" else Path(f"{path}.json")]
            with LOCK:
                document = [{"strokes": list(strokes)} for strokes in self.drawing.drawn]
            write_document(paths[0], document, FRAME, **about)
        self.status.say(f"saved {len(drawn)} in {', '.join(map(str, paths))}")

    def load(self, source):
        """Adds the sketches of `source` behind those that are there and takes the first of them in hand.

        source: a name of `sketch_names()`, a drawing document, or anything else that `load_sketches` takes; pictures of
        drawings are traced, so that they can be drawn on. SketchError for what is no drawing; the pad is then as before.
        """
        loaded = read_strokes(source)
        self._do(lambda: self.drawing.extend(loaded))

    def underlay(self, image):
        """Shows a picture faintly below the paper, to be traced; None takes it away.

        image: tensor [3, R, R], [1, 3, R, R] (a generated sample) or [1, 1, R, R] in [-1, 1]; PIL image; uint8 array
        [H, W, 3]; or a path. The centre square is used.
        """
        picture = None if image is None else _square_picture(image)
        contour = None
        if picture is not None and self.F is not None:
            small = np.array(picture.resize((self.resolution,) * 2, Image.Resampling.LANCZOS))
            small = to_float(torch.from_numpy(small).permute(2, 0, 1)[None])              # [13RR]
            contour = sketch_of(small.to(next(self.F.parameters()).device), self.F).cpu()
        with LOCK:
            self.picture, self.contour = picture, contour
            if picture is not None:
                side = self.canvas.width
                self._below.value = plotting.png(picture.resize((side, side), Image.Resampling.LANCZOS))
            self.strength.disabled = picture is None
        self._show()

    def trace(self):
        """Adds F's contour of the picture below to the sketch in hand, as strokes to draw on and erase."""
        if self.picture is None:
            raise SketchError("there is no picture below the paper; upload a photo, or call pad.underlay(image)")
        if self.F is None:
            raise SketchError("contours are drawn by F, which this pad does not have; make it with SketchPad(F=F), or trace "
                              "the picture by hand")
        strokes = trace(self.contour, width=PEN)
        if not strokes:
            raise SketchError("F sees no line in this picture; try one with a clear subject, or trace it by hand")
        self._do(lambda: self.drawing.draw(*strokes))

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
        self._do(self.drawing.clear)

    def add(self):
        """Takes a blank sketch in hand."""
        self._do(self.drawing.add)

    def copy(self):
        """Puts a copy of the sketch in hand behind it and takes it in hand."""
        self._do(self.drawing.copy)

    def mirror(self):
        """Exchanges left and right of the sketch in hand."""
        self._do(self.drawing.mirror)

    def move(self, places):
        """Moves the sketch in hand by `places` in the row, to the left below 0."""
        self._do(lambda: self.drawing.move(places))

    def delete(self):
        """Removes the sketch in hand."""
        self._do(self.drawing.delete)

    def select(self, index):
        """Takes sketch number `index` (from 0) in hand."""
        with LOCK:
            self.drawing.select(index)
        self._show()

    # ---- pen, fingers, keys

    def _mouse_down(self, x, y):
        self._cursor = None                                 # the cross of the keyboard's pen goes
        self._pen_down(x, y)

    def _mouse_out(self, *_):
        if self._cursor is None:                            # a pen that leaves the paper has ended its stroke
            self._pen_up()

    def _pen_down(self, x, y):
        self._erasing = self.tool.value == "eraser"
        self._stroke = {"width": self.pen.value, "points": [self._place(x, y)]}
        self._paint()                                       # sets the tool of the canvas
        self._pen_move(x, y)                                # a click alone is a dot

    def _pen_move(self, x, y):
        stroke = self._stroke
        if stroke is None:
            return
        x0, y0 = stroke["points"][-1]
        stroke["points"].append(self._place(x, y))
        with LOCK:
            self.canvas.stroke_line(x0 * self.zoom, y0 * self.zoom, x, y)

    def _pen_up(self, *_):
        stroke, self._stroke = self._stroke, None
        if stroke is None:
            return
        if self._erasing:
            self._do(lambda: self.drawing.erase(stroke["points"], stroke["width"]))
        else:
            self._do(lambda: self.drawing.draw(stroke))

    def _place(self, x, y):
        return [round(x / self.zoom, 1), round(y / self.zoom, 1)]

    def _key(self, key, shift, ctrl, meta):
        """A key pressed on the canvas, which keeps every key to itself: even Tab leaves it only from here."""
        if key in ARROWS:
            self._steer(*ARROWS[key], 16 if shift else 4)
        elif key == " ":
            self._pen_up() if self._stroke else self._pen_down(*self._steer(0, 0, 0))
        elif key in ("Tab", "Escape"):
            self.canvas.send({"do": "blur"})                # as widget.blur(), which ipywidgets 7 does not have
            if key == "Tab" and not shift:
                self.pen.send({"do": "focus"})
        elif ctrl or meta:
            {"z": self.redo if shift else self.undo, "y": self.redo}.get(key.lower(), lambda: None)()
        else:
            {"e": lambda: setattr(self.tool, "value", "eraser"), "p": lambda: setattr(self.tool, "value", "pen"),
             "[": lambda: setattr(self.pen, "value", self.pen.value - 1),
             "]": lambda: setattr(self.pen, "value", self.pen.value + 1), "n": self.add,
             "PageUp": lambda: self.select(self.drawing.current - 1),
             "PageDown": lambda: self.select(self.drawing.current + 1)}.get(key, lambda: None)()

    def _steer(self, dx, dy, step):
        """Moves the keyboard's pen; returns where it is, in pixels of the canvas."""
        x, y = self._cursor or (FRAME / 2, FRAME / 2)
        self._cursor = min(max(x + dx * step, 0), FRAME), min(max(y + dy * step, 0), FRAME)
        at = self._cursor[0] * self.zoom, self._cursor[1] * self.zoom
        self._pen_move(*at)
        self._paint()
        return at

    # ---- files

    def _try(self, action, *arguments):
        """Runs what a button asks for and shows its error: an exception in a callback is invisible."""
        try:
            action(*arguments)
        except (ValueError, OSError) as error:              # SketchError is a ValueError
            self.status.say(error)

    def _take(self, upload, action):
        for name, data in uploaded(upload):
            self._try(action, name, data)
        if upload.value:
            upload.value = type(upload.value)()             # so that the same file can come again

    def _take_photo(self, name, data):
        try:
            image = Image.open(io.BytesIO(data))
            image.load()
        except Exception as error:                          # Pillow raises OSError, SyntaxError, ValueError ...
            raise SketchError(f"{name} cannot be read as a picture ({error}); save it again as PNG or JPEG") from error
        self.underlay(image)

    def _take_drawings(self, name, data):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            path.write_bytes(data)
            self.load(path)

    # ---- showing

    def _do(self, change):
        with LOCK:
            before = self.drawing.sketches
            change()
            changed = self.drawing.sketches is not before
        self._show()
        for listener in self._listeners if changed else ():
            listener(self)

    def _show(self):
        """Draws the sketch in hand, the strip, the pictures beside it and the status line anew."""
        with LOCK:
            self._paint()
            self._show_strip()
            self._show_pictures()
            drawing, count = self.drawing, len(self.drawing.strokes)
            self.status.say(f"sketch {drawing.current + 1} of {len(drawing.sketches)}, {count} stroke{'' if count == 1 else 's'}")
            self.undo_button.disabled, self.redo_button.disabled = not drawing.past, not drawing.future
            self.left_button.disabled = drawing.current == 0
            self.right_button.disabled = drawing.current == len(drawing.sketches) - 1
            self.trace_button.disabled = self.contour is None

    def _paint(self):
        """Paper, picture below, strokes, the stroke under way, the keyboard's pen; leaves the canvas set for that stroke."""
        c = self.canvas
        with painting():
            c.global_alpha, c.fill_style, c.stroke_style = 1, "white", "black"
            c.line_cap = c.line_join = "round"
            c.fill_rect(0, 0, c.width, c.height)
            if self.picture is not None and self.strength.value:
                c.global_alpha = self.strength.value
                c.draw_image(self._below, 0, 0)
                c.global_alpha = 1
            for stroke in self.drawing.strokes:
                self._paint_stroke(stroke)
            if self._cursor is not None:
                x, y = (v * self.zoom for v in self._cursor)
                c.stroke_style, c.line_width = "#d1495b", 1.5
                c.stroke_line(x - 9, y, x + 9, y), c.stroke_line(x, y - 9, x, y + 9)
            if self._stroke is not None:
                c.stroke_style = "white" if self._erasing else "black"
                self._paint_stroke(self._stroke)

    def _paint_stroke(self, stroke):
        self.canvas.line_width = stroke["width"] * self.zoom
        points = [(x * self.zoom, y * self.zoom) for x, y in stroke["points"]]
        self.canvas.stroke_lines(points if len(points) > 1 else 2 * points)

    def _show_strip(self):
        while len(self._thumbnails) < len(self.drawing.sketches):
            i = len(self._thumbnails)
            picture = w.Image(format="png", width=64, height=64, layout=w.Layout(border=BORDER))
            number = button(str(i + 1), f"Go on drawing sketch {i + 1}", lambda i=i: self.select(i), width="66px")
            self._thumbnails.append((w.VBox([picture, number]), picture, number, [None]))
        for i, strokes in enumerate(self.drawing.sketches):
            _, picture, number, shown = self._thumbnails[i]
            number.button_style = "info" if i == self.drawing.current else ""
            if shown[0] is not strokes:                     # tuples never change: the same one looks the same
                picture.value, shown[0] = _png(rasterize(strokes, 64, FRAME)), strokes
        self.strip.children = [box for box, *_ in self._thumbnails[:len(self.drawing.sketches)]]

    def _show_pictures(self):
        drawn = rasterize(self.drawing.strokes, self.resolution, FRAME)
        self.seen.value = _png(drawn, 2)
        self.compared.layout.display = "none" if self.contour is None else None
        if self.contour is not None:
            self.sketched.value = _png(self.contour, 2)
            apart = chamfer(drawn, self.contour).item() if self.drawing.strokes else None
            self.sketched_caption.value = "What F draws" + ("" if apart is None else f", {apart:.1f} px away")


def _png(sketch, scale=1):
    return plotting.png(plotting.image_grid(sketch, scale=scale))


def _square_picture(x):
    """The centre square of a picture as a PIL image; see `SketchPad.underlay`."""
    if isinstance(x, torch.Tensor):
        x = x[None] if x.ndim == 3 else x
        if x.ndim != 4 or len(x) != 1 or x.shape[1] not in (1, 3):
            raise SketchError(f"one picture [3, R, R] or [1, 3, R, R] was wanted below the paper, not {tuple(x.shape)}; "
                              "choose one of a batch: images[0]")
        x = Image.fromarray(plotting.to_uint8(x)[0])
    elif isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim in (2, 3):
        x = Image.fromarray(x)
    elif isinstance(x, (str, Path)):
        try:
            with Image.open(x) as file:
                x = ImageOps.exif_transpose(file)
        except (OSError, SyntaxError) as error:
            raise SketchError(f"{x} cannot be read as a picture ({error}); give the path of a PNG or JPEG") from error
    if not isinstance(x, Image.Image):
        raise SketchError(f"a {type(x).__name__} is no picture; give a tensor [3, R, R] in [-1, 1], a PIL image, a uint8 "
                          "array [H, W, 3] or a path")
    x = ImageOps.exif_transpose(x).convert("RGB")           # telephones store photos lying on their side
    return ImageOps.fit(x, (min(x.size),) * 2)
