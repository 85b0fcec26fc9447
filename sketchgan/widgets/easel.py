"""Paper, pen and eraser: what hands and keys do on a canvas becomes strokes of a drawing."""

import numpy as np

from .. import plotting
from ..drawing.strokes import FRAME
from ..drawing.tracing import simplify
from .hand import Hand
from .parts import BORDER, LOCK, Paper, painting, row, w

GHOST = "#2b83ba"       # the fitted sketch, told apart from ink
_ROW = dict(display="flex", flex_flow="row", align_items="baseline", width="auto", grid_gap="8px")


class Easel(Hand, w.VBox):
    """A canvas that shows the sketch in hand of a Drawing and draws on it with mouse, fingers or keys.

    drawing: the Drawing. size: side of the canvas in pixels. width: of the pen in 1/256 of the frame. do: called with a
    change to make, a function without arguments; it makes the change, under LOCK, and has everything shown anew.
    keys: what other keys do, such as {"ctrl+z": undo}; names as the browser's, in small letters. after: a button that
    Tab goes to from the canvas. below: a PIL image that shows faintly through the paper, or None. ghost: strokes that
    are shown as thin blue lines.
    """

    def __init__(self, drawing, size, width, do, keys, after):
        self.drawing, self.zoom, self.below, self.ghost = drawing, size / FRAME, None, ()
        self._do, self._stroke, self._erasing = do, None, False
        self._widths = {"pen": int(width), "eraser": 16}
        self._sent = w.Image(format="png")                  # the picture below, as the browser has it: sent once
        self.canvas = Paper(width=size, height=size, tooltip="Drawing paper")
        self.canvas.layout = w.Layout(width=f"{size}px", height=f"{size}px", border=BORDER)
        self._make_tools()
        tools = {"e": lambda: setattr(self.tool, "value", "eraser"),
                 "p": lambda: setattr(self.tool, "value", "pen"),
                 "[": lambda: setattr(self.pen, "value", self.pen.value - 1),
                 "]": lambda: setattr(self.pen, "value", self.pen.value + 1)}
        self._take(self.canvas, FRAME, (4, 16), keys | tools, after)
        super().__init__([self.canvas, row(self.tool, self.pen)])

    def _make_tools(self):
        narrow = {"description_width": "auto"}
        self.tool = w.RadioButtons(options=["pen", "eraser"], orientation="horizontal", description="tool",
                                   style=narrow, tooltip="The pen draws, the eraser cuts what it touches (P, E)",
                                   layout=w.Layout(**_ROW))
        self.pen = w.BoundedIntText(self._widths["pen"], 2, 48, description="width", style=narrow,
                                    tooltip="Width of the tool, in 1/256 of the frame ([ and ])",
                                    layout=w.Layout(width="100px"))
        self.strength = w.RadioButtons(options=[("hidden", 0.0), ("faint", 0.3), ("strong", 0.7)], value=0.3,
                                       orientation="horizontal", description="picture", style=narrow, disabled=True,
                                       tooltip="How strongly the picture shows through the paper",
                                       layout=w.Layout(**_ROW))
        self.tool.observe(lambda _: setattr(self.pen, "value", self._widths[self.tool.value]), "value")
        self.pen.observe(lambda _: self._widths.update({self.tool.value: self.pen.value}), "value")
        self.strength.observe(lambda _: self.paint(), "value")

    def lay_below(self, picture):
        """Shows a PIL image through the paper, or none."""
        with LOCK:
            self.below, self.strength.disabled = picture, picture is None
            if picture is not None:
                self._sent.value = plotting.png(picture.resize((self.canvas.width,) * 2))

    # ---- the pen

    @property
    def _under_way(self):
        return self._stroke

    def _pen_down(self, x, y):
        self._erasing = self.tool.value == "eraser"
        self._stroke = {"width": self.pen.value, "points": [self._place(x, y)]}
        self.paint()                                        # sets the tool of the canvas
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
        if self._cursor is None:                            # keys do not tremble
            stroke["points"] = steadied(stroke["points"])
        if self._erasing:
            self._do(lambda: self.drawing.erase(stroke["points"], stroke["width"]))
        else:
            self._do(lambda: self.drawing.draw(stroke))

    def _place(self, x, y):
        return [round(x / self.zoom, 1), round(y / self.zoom, 1)]

    # ---- showing

    def paint(self):
        """Paper, picture below, strokes, cross, and the stroke under way; leaves the canvas set to go on with that."""
        c = self.canvas
        with painting(c):
            c.global_alpha, c.fill_style, c.stroke_style = 1, "white", "black"
            c.line_cap = c.line_join = "round"
            c.fill_rect(0, 0, c.width, c.height)
            if self.below is not None and self.strength.value:
                c.global_alpha = self.strength.value
                c.draw_image(self._sent, 0, 0)
                c.global_alpha = 1
            for stroke in self.drawing.strokes:
                self._paint_stroke(stroke)
            c.stroke_style = GHOST
            for stroke in self.ghost:
                self._paint_stroke(stroke | {"width": 1.5 / self.zoom})
            c.stroke_style = "black"
            self._paint_cross()
            if self._stroke is not None:
                c.stroke_style = "white" if self._erasing else "black"
                self._paint_stroke(self._stroke)

    def _paint_stroke(self, stroke):
        self.canvas.line_width = stroke["width"] * self.zoom
        points = [(x * self.zoom, y * self.zoom) for x, y in stroke["points"]]
        self.canvas.stroke_lines(points if len(points) > 1 else 2 * points)


def steadied(points, reach=3.0):
    """A hand's line [P, 2] without its jitter, as few points as say the same within 0.4 units.

    Each point goes to the mean of the line round it, weighted by a Gaussian of `reach` units along the line, narrower
    towards the ends, which stay: a straight line stays one, and a corner is rounded by less than the pen is wide.
    """
    points = np.asarray(points[::len(points) // 1000 + 1] + points[-1:], np.float64)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])                                     # [P]
    if along[-1] == 0:
        return points[:2].tolist()
    length = (np.append(steps, 0) + np.append(0, steps)) / 2                            # of line that each stands for
    near = np.minimum(reach, np.minimum(along, along[-1] - along) / 2) + 1e-9
    weight = length * np.exp(-((along[:, None] - along) / near[:, None]) ** 2 / 2) + np.eye(len(points)) * 1e-9
    smooth = weight @ points / weight.sum(1, keepdims=True)
    smooth[[0, -1]] = points[[0, -1]]
    return simplify(smooth, 0.4).round(1).tolist()
