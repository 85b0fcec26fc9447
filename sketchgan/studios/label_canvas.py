"""A canvas for label maps: brush and fill in the classes' colours, over a picture that shows through."""
import io

import numpy as np
from PIL import Image

from .. import plotting
from ..widgets.hand import Hand
from ..widgets.parts import BORDER, LOCK, Paper, painting, w


class LabelCanvas(Hand, Paper):
    """Shows a LabelBoard and paints on it with mouse, fingers or keys.

    board: the LabelBoard. palette: uint8 [C + 1, 3], colours of 0 .. C. size: side on the screen in pixels. do: called
    with a change to make, a function without arguments; it makes the change, under LOCK, and has all shown anew. keys:
    what other keys do, by the browser's names in small letters. after: a button that Tab goes to.

    label: the class in hand. tool: 'brush' or 'fill'. width: of the brush, in pixels of the map. strength: how much of
    the colours covers the picture below, 0 to 1.
    """

    def __init__(self, board, palette, size, do, keys, after):
        super().__init__(width=size, height=size, tooltip="Layout paper")
        self.layout = w.Layout(width=f"{size}px", height=f"{size}px", border=BORDER)
        self.board, self.palette, self.zoom = board, palette, size / board.resolution
        self.label, self.tool, self.breadth, self.strength = 1, "brush", 6, 0.7
        self._do, self._line = do, None
        self._colors, self._below = w.Image(format="png"), w.Image(format="png")
        self.below, self._shown = None, None
        self._take(self, board.resolution, (1, 4), keys, after)

    def lay_below(self, image):
        """Shows a picture [1, 3, R, R] in [-1, 1] through the colours, or none."""
        with LOCK:
            self.below = image
            if image is not None:
                picture = plotting.image_grid(image).resize((self.width,) * 2, Image.Resampling.BICUBIC)
                self._below.value = plotting.png(picture)

    # ---- the pen

    @property
    def _under_way(self):
        return self._line

    def _pen_down(self, x, y):
        if self.tool == "fill":
            place, label = (x / self.zoom, y / self.zoom), self.label
            self._do(lambda: self.board.fill(*place, label))
            return
        self._line = [(x / self.zoom, y / self.zoom)]
        self._set_pen()
        self._pen_move(x, y)                                    # a click alone is a dot

    def _set_pen(self):
        with LOCK:
            self.global_alpha, self.line_cap, self.line_join = 1, "round", "round"
            self.stroke_style = "#{:02x}{:02x}{:02x}".format(*self.palette[self.label])
            self.line_width = self.breadth * self.zoom

    def _pen_move(self, x, y):
        if self._line is None:
            return
        x0, y0 = self._line[-1]
        self._line.append((x / self.zoom, y / self.zoom))
        with LOCK:
            self.stroke_line(x0 * self.zoom, y0 * self.zoom, x, y)

    def _pen_up(self, *_):
        line, self._line = self._line, None
        if line is not None:
            breadth, label = self.breadth, self.label
            self._do(lambda: self.board.brush(line, breadth, label))

    # ---- showing

    def paint(self):
        """Picture below, colours, cross, and the line under way."""
        with LOCK:
            if self._shown is not self.board.mask:          # sent again only when it has changed
                self._shown = self.board.mask
                self._colors.value = colors_png(self.board.mask, self.palette, self.width)
            with painting(self):
                self.global_alpha, self.fill_style = 1, "white"
                self.fill_rect(0, 0, self.width, self.height)
                if self.below is not None:
                    self.draw_image(self._below, 0, 0)
                    self.global_alpha = self.strength
                self.draw_image(self._colors, 0, 0)
                self.global_alpha = 1
                self._paint_cross()
                if self._line is not None:
                    self._set_pen()
                    points = [(x * self.zoom, y * self.zoom) for x, y in self._line]
                    self.stroke_lines(points if len(points) > 1 else 2 * points)


def colors_png(mask, palette, side):
    """PNG of a label map uint8 [R, R] in its colours, `side` pixels large; where nothing is said it is transparent."""
    alpha = np.where(mask > 0, 255, 0).astype(np.uint8)
    pixels = Image.fromarray(np.dstack([palette[mask], alpha]), "RGBA").resize((side,) * 2, Image.Resampling.NEAREST)
    file = io.BytesIO()
    pixels.save(file, "PNG", compress_level=1)
    return file.getvalue()
