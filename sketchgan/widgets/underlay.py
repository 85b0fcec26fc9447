"""A picture below the paper: to be traced by hand, or by F, and to be compared with."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from .. import plotting
from ..drawing import SketchError, chamfer, sketch_of
from ..drawing.sketches import IMAGE_SUFFIXES
from ..drawing.strokes import PEN
from ..drawing.tracing import trace
from ..photos import PictureError, read_square, to_float
from .parts import LOCK, Picture, button, row, sketch_png, uploader, w


class TracingPaper(w.VBox):
    """What a pad has for tracing: a photo laid below its paper, F's contour of it, and how far the sketch is from that.

    pad: a SketchPad with its easel. changed: called when another picture lies there. picture: the PIL image below the
    paper, or None. contour: F's sketch of it, [1, 1, R, R], or None where there is no picture or no F.
    """

    def __init__(self, pad, changed):
        self.pad, self._changed, self.picture, self.contour = pad, lambda: None, None, None
        self.photo = uploader("Photo", "Lay a photo below the paper, to trace it", IMAGE_SUFFIXES, self._take,
                              pad.status)
        self.button = button("Trace", "Draw F's contour of the picture below as strokes",
                             lambda: pad.status.guard(self.trace))
        self.drawn, self.sketched, self.caption = Picture(128), Picture(128), w.HTML("What F draws")
        self.compared = row(w.VBox([w.HTML("What training sees"), self.drawn]), w.VBox([self.caption, self.sketched]))
        super().__init__([row(self.photo, pad.easel.strength, self.button), self.compared])
        self.lay(None)
        self._changed = changed

    def lay(self, image):
        """Shows a picture faintly below the paper; None takes it away.

        image: tensor [3, R, R], [1, 3, R, R] (a generated sample) or [1, 1, R, R] in [-1, 1]; PIL image; uint8 array
        [H, W, 3]; or a path. The centre square is used.
        """
        picture, contour = None if image is None else square_picture(image), None
        F, side = self.pad.F, self.pad.resolution
        if picture is not None and F is not None:
            small = np.array(picture.resize((side, side), Image.Resampling.LANCZOS))
            small = to_float(torch.from_numpy(small).permute(2, 0, 1)[None])              # [13RR]
            contour = sketch_of(small.to(next(F.parameters()).device), F).cpu()
        with LOCK:
            self.picture, self.contour, self.button.disabled = picture, contour, contour is None
            self.compared.layout.display = "none" if contour is None else None
            self.pad.easel.lay_below(picture)
        self._changed()

    def trace(self):
        """Adds F's contour of the picture below to the sketch in hand of the pad."""
        if self.picture is None:
            raise SketchError("there is no picture below the paper; upload a photo, or call pad.underlay(image)")
        if self.contour is None:
            raise SketchError("contours are drawn by F, which this pad does not have; make it with SketchPad(F=F), or "
                              "trace the picture by hand")
        strokes = trace(self.contour, width=PEN)
        if not strokes:
            raise SketchError("F sees no line in this picture; try one with a clear subject, or trace it by hand")
        self.pad.change("draw", *strokes)

    def compare(self, sketch):
        """Shows a sketch [1, 1, R, R], or None for a blank one, beside F's, with the distance between them."""
        if self.contour is not None:
            paper = torch.ones_like(self.contour)
            self.drawn.show(sketch_png(paper if sketch is None else sketch, 2), "this sketch as training sees it")
            self.sketched.show(sketch_png(self.contour, 2), "F's sketch of the picture below the paper")
            away = "" if sketch is None else f", {chamfer(sketch, self.contour).item():.1f} px away"
            self.caption.value = f"What F draws{away}"

    def _take(self, name, data):
        self.lay(_read_picture(data, name))


def square_picture(x):
    """The centre square of a picture as a PIL image; see `TracingPaper.lay`."""
    if isinstance(x, torch.Tensor):
        x = x[None] if x.ndim == 3 else x
        if x.ndim != 4 or len(x) != 1 or x.shape[1] not in (1, 3):
            raise SketchError(f"one picture [3, R, R] or [1, 3, R, R] was wanted below the paper, not "
                              f"{tuple(x.shape)}; choose one of a batch: images[0]")
        x = Image.fromarray(plotting.to_uint8(x)[0])
    elif isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim in (2, 3):
        x = Image.fromarray(x)
    elif isinstance(x, (str, Path)):
        x = _read_picture(Path(x).read_bytes(), Path(x).name)
    if not isinstance(x, Image.Image):
        raise SketchError(f"a {type(x).__name__} is no picture; give a tensor [3, R, R] in [-1, 1], a PIL image, a "
                          "uint8 array [H, W, 3] or a path")
    x = ImageOps.exif_transpose(x).convert("RGB")           # telephones store photos lying on their side
    return ImageOps.fit(x, (min(x.size),) * 2)


def _read_picture(data, name):
    try:
        return Image.fromarray(read_square(data, 512)[0])
    except PictureError as error:
        raise SketchError(f"{name} cannot be shown: {error}; save it again as PNG or JPEG") from error
