"""A pad to draw sketches on, for Jupyter: pen, eraser, a row of sketches, a photo below the paper to trace.

Strokes live in Python as vectors (board.py) and the browser only shows them, so everything here works, and is
tested, without a browser.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from .. import plotting
from ..drawing.board import Drawing
from ..drawing.sketches import (
    IMAGE_SUFFIXES,
    SketchError,
    chamfer,
    rasterize,
    read_strokes,
    sketch_names,
    sketch_of,
    write_document,
)
from ..drawing.strokes import FRAME, PEN
from ..drawing.tracing import trace
from ..files.atomic import write_atomically
from ..photos.datasets import to_float
from ..photos.pictures import PictureError, read_square
from .easel import Easel
from .parts import LOCK, Message, Picture, button, uploaded, w

HINT = """<details style="line-height: 1.4"><summary>Draw in the frame with the mouse, a pen or a finger. Keys ...</summary>
In the frame, <b>arrow keys</b> move the pen (with Shift: further), <b>space</b> puts it down and lifts it, <b>E</b> takes the
eraser and <b>P</b> the pen, <b>[</b> and <b>]</b> change the width, <b>Ctrl+Z</b> undoes, <b>Ctrl+Y</b> redoes, <b>N</b> adds a
sketch, <b>Page Up</b> and <b>Page Down</b> go through the sketches, <b>Tab</b> or <b>Esc</b> leaves the frame.</details>"""
# ipywidgets writes "(0)" behind the name of an upload, always, since files are taken at once: the style leaves it out.
COUNTLESS = "<style>" + "".join(
    f""".sketchgan-{name.lower()} {{ font-size: 0 !important; }}
    .sketchgan-{name.lower()}::before {{ content: "\\2191\\00a0{name}"; font-size: var(--jp-widgets-font-size, 13px); }}
    .sketchgan-{name.lower()} i {{ display: none; }}""" for name in ("Photo", "Upload")) + "</style>"
_WRAP = dict(flex_flow="row wrap", align_items="baseline", grid_gap="0 4px")


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
        self.drawing, self.F, self.resolution = Drawing(), F, resolution
        self.picture, self.contour = None, None             # the underlay: PIL image, F's sketch of it [1, 1, R, R]
        self._listeners, self._thumbnails = [], []
        self._make_buttons()
        self.easel = Easel(self.drawing, size, width, self._do, self._keys(), after=self.clear_button)
        self.canvas, self.tool, self.pen = self.easel.canvas, self.easel.tool, self.easel.pen
        self._arrange(size)
        self._show()
        if start is not None:
            self.load(start)

    def _keys(self):
        return {"ctrl+z": self.undo, "ctrl+shift+z": self.redo, "ctrl+y": self.redo, "n": self.add,
                "pageup": lambda: self.select(self.drawing.current - 1),
                "pagedown": lambda: self.select(self.drawing.current + 1)}

    def _make_buttons(self):
        self.undo_button = button("Undo", "Take back the last change (Ctrl+Z)", self.undo)
        self.redo_button = button("Redo", "Do again what Undo took back (Ctrl+Y)", self.redo)
        self.clear_button = button("Clear", "Remove all strokes of this sketch", self.clear)
        self.new_button = button("New sketch", "Add a blank sketch (N)", self.add)
        self.copy_button = button("Copy", "Add a copy of this sketch", self.copy)
        self.mirror_button = button("Mirror", "Exchange left and right of this sketch", self.mirror)
        self.left_button = button("◀ Left", "Move this sketch one place to the left", lambda: self.move(-1))
        self.right_button = button("Right ▶", "Move this sketch one place to the right", lambda: self.move(1))
        self.delete_button = button("Delete", "Remove this sketch", self.delete)
        pictures = ",".join(sorted(IMAGE_SUFFIXES))
        self.photo = self._uploader("Photo", "Lay a photo below the paper, to trace it", pictures, self._take_photo)
        self.trace_button = button("Trace", "Draw F's contour of the picture below as strokes", lambda: self._try(self.trace))
        self.file = w.Combobox(value="my_sketches.json", options=sketch_names(), ensure_option=False, description="file",
                               tooltip="A .json or .png file, or the name of a ready-made drawing",
                               layout=w.Layout(width="200px"), style={"description_width": "auto"})
        self.save_button = button("Save", "Write all sketches to the file: strokes as .json, or pictures as .png",
                                  lambda: self._try(self.save, self.file.value))
        self.load_button = button("Load", "Add the sketches of the file", lambda: self._try(self.load, self.file.value))
        self.upload = self._uploader("Upload", "Add drawings from your computer: pictures, .svg, or files of a pad",
                                     f".json,.svg,.ndjson,{pictures}", self._take_drawings, multiple=True)
        self.status, self.strip = Message(), w.HBox(layout=w.Layout(**_WRAP))
        self.seen, self.sketched = Picture(128), Picture(128)
        self.sketched_caption = w.HTML("What F draws")

    def _uploader(self, name, tooltip, accept, action, multiple=False):
        made = w.FileUpload(description=name, tooltip=tooltip, accept=accept, multiple=multiple, layout=w.Layout(width="auto"))
        made.add_class(f"sketchgan-{name.lower()}")         # see COUNTLESS
        made.observe(lambda _: self._take(made, action), "value")
        return made

    def _arrange(self, size):
        changes = w.HBox([self.clear_button, self.undo_button, self.redo_button])
        pages = w.HBox([self.new_button, self.copy_button, self.mirror_button, self.left_button, self.right_button,
                        self.delete_button], layout=w.Layout(**_WRAP))
        below = w.HBox([self.photo, self.easel.strength, self.trace_button], layout=w.Layout(**_WRAP))
        files = w.HBox([self.file, self.save_button, self.load_button, self.upload], layout=w.Layout(**_WRAP))
        self.compared = w.VBox([self.sketched_caption, self.sketched], layout=w.Layout(display="none"))
        pictures = w.HBox([w.VBox([w.HTML("What training sees"), self.seen]), self.compared], layout=w.Layout(**_WRAP))
        beside = w.VBox([self.strip, pages, below, pictures, files, self.status],
                        layout=w.Layout(flex="1 1 300px", min_width="280px"))
        paper = w.VBox([self.easel, changes], layout=w.Layout(width=f"{size + 8}px"))
        super().__init__([w.HTML(HINT + COUNTLESS), w.HBox([paper, beside], layout=w.Layout(flex_flow="row wrap", grid_gap="4px 12px"))])

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
        drawings are traced, so that they can be drawn on. What had to be put right is said in the line of status.
        SketchError for what is no drawing; the pad is then as before.
        """
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            loaded = read_strokes(source)
        self._do(lambda: self.drawing.extend(loaded))
        if said:                                            # what follows the semicolon is for programs
            self.status.say("; ".join(dict.fromkeys(str(warning.message).split(";")[0] for warning in said)))

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
            self.easel.lay_below(picture)
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
        self.underlay(_read_picture(data, name))

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
            self.easel.paint()
            self._show_strip()
            self._show_pictures()
            drawing = self.drawing
            self.status.say(f"sketch {drawing.current + 1} of {len(drawing.sketches)}, {_count(drawing.strokes)}")
            self.undo_button.disabled, self.redo_button.disabled = not drawing.past, not drawing.future
            self.left_button.disabled = drawing.current == 0
            self.right_button.disabled = drawing.current == len(drawing.sketches) - 1
            self.trace_button.disabled = self.contour is None

    def _show_strip(self):
        while len(self._thumbnails) < len(self.drawing.sketches):
            i = len(self._thumbnails)
            picture = Picture(64)
            number = button(str(i + 1), f"Go on drawing sketch {i + 1}", lambda i=i: self.select(i), width="66px")
            self._thumbnails.append((w.VBox([picture, number]), picture, number, [None]))
        for i, strokes in enumerate(self.drawing.sketches):
            _, picture, number, shown = self._thumbnails[i]
            number.button_style = "info" if i == self.drawing.current else ""
            if shown[0] is not strokes:                     # tuples never change: the same one looks the same
                picture.show(_png(rasterize(strokes, 64, FRAME)), f"sketch {i + 1}, {_count(strokes)}")
                shown[0] = strokes
        self.strip.children = [box for box, *_ in self._thumbnails[:len(self.drawing.sketches)]]

    def _show_pictures(self):
        drawn = rasterize(self.drawing.strokes, self.resolution, FRAME)
        self.seen.show(_png(drawn, 2), f"this sketch at {self.resolution} px")
        self.compared.layout.display = "none" if self.contour is None else None
        if self.contour is not None:
            self.sketched.show(_png(self.contour, 2), "F's sketch of the picture below the paper")
            apart = chamfer(drawn, self.contour).item() if self.drawing.strokes else None
            self.sketched_caption.value = "What F draws" + ("" if apart is None else f", {apart:.1f} px away")


def _count(strokes):
    return f"{len(strokes)} stroke{'' if len(strokes) == 1 else 's'}"


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
        x = _read_picture(Path(x).read_bytes(), Path(x).name)
    if not isinstance(x, Image.Image):
        raise SketchError(f"a {type(x).__name__} is no picture; give a tensor [3, R, R] in [-1, 1], a PIL image, a uint8 "
                          "array [H, W, 3] or a path")
    x = ImageOps.exif_transpose(x).convert("RGB")           # telephones store photos lying on their side
    return ImageOps.fit(x, (min(x.size),) * 2)


def _read_picture(data, name):
    try:
        return Image.fromarray(read_square(data, 512)[0])
    except PictureError as error:
        raise SketchError(f"{name} cannot be shown: {error}; save it again as PNG or JPEG") from error
