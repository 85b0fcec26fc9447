"""A hand on a canvas: mouse, fingers and keys as one pen that goes down, moves and comes up."""

ARROWS = {"ArrowLeft": (-1, 0), "ArrowRight": (1, 0), "ArrowUp": (0, -1), "ArrowDown": (0, 1)}
CROSS = "#d1495b"       # the keyboard's pen, told apart from ink


class Hand:
    """Mixed into what one draws on. That offers `_pen_down(x, y)`, `_pen_move(x, y)` and `_pen_up()`, in pixels of the
    canvas; `_under_way`, the line between down and up or None; `paint()`; `zoom`, pixels of the canvas for one unit.

    `_cursor` is where the keyboard's pen stands, in units, or None while another hand draws.
    """

    _cursor = None

    def _take(self, canvas, side, steps, keys, after):
        """Listens to a Paper.

        side: its width in units. steps: units an arrow key goes, without and with Shift. keys: what other keys do, such
        as {"ctrl+z": undo}; names as the browser's, in small letters. after: a button that Tab goes to.
        """
        self._paper, self._side, self._steps, self._keys, self._after = canvas, side, steps, keys, after
        canvas.on_mouse_down(self._mouse_down), canvas.on_mouse_out(self._mouse_out)
        canvas.on_mouse_move(lambda x, y: self._pen_move(x, y)), canvas.on_mouse_up(lambda *_: self._pen_up())
        canvas.on_touch_start(lambda touches: self._mouse_down(*touches[0]))
        canvas.on_touch_move(lambda touches: self._pen_move(*touches[0]))
        canvas.on_touch_end(lambda _: self._pen_up()), canvas.on_touch_cancel(lambda _: self._pen_up())
        canvas.on_key_down(self._key)
        canvas.on_client_ready(self._begin_anew)

    def _mouse_down(self, x, y):
        self._cursor = None                                 # the cross of the keyboard's pen goes
        self._pen_down(x, y)

    def _mouse_out(self, *_):
        if self._cursor is None:                            # a pen that leaves the paper has ended its line
            self._pen_up()

    def _key(self, key, shift, ctrl, meta):
        """A key pressed on the canvas, which keeps every key to itself: even Tab leaves it only from here."""
        if key in ARROWS:
            self._steer(*ARROWS[key], self._steps[bool(shift)])
        elif key == " ":
            self._pen_up() if self._under_way else self._pen_down(*self._steer(0, 0, 0))
        elif key == "Tab" and not shift:
            self._after.send({"do": "focus"})               # as widget.focus(), which ipywidgets 7 does not have
        elif key in ("Tab", "Escape"):
            self._paper.send({"do": "blur"})
        else:
            name = "ctrl+" * (ctrl or meta) + "shift+" * bool(shift) + key.lower()
            self._keys.get(name, lambda: None)()

    def _steer(self, dx, dy, step):
        """Moves the keyboard's pen; returns where it is, in pixels of the canvas."""
        place = self._cursor or (self._side / 2, self._side / 2)
        self._cursor = tuple(min(max(v + d * step, 0), self._side) for v, d in zip(place, (dx, dy)))
        at = tuple(v * self.zoom for v in self._cursor)
        self._pen_move(*at)
        self.paint()
        return at

    def _begin_anew(self):
        """A tab that was reloaded has a blank canvas, and a mouse whose release nobody has seen."""
        self._pen_up()
        self.paint()

    def _paint_cross(self):
        """Where the keyboard's pen stands, if it does."""
        if self._cursor is not None:
            c, (x, y) = self._paper, (v * self.zoom for v in self._cursor)
            c.stroke_style, c.line_width = CROSS, 1.5
            c.stroke_line(x - 9, y, x + 9, y), c.stroke_line(x, y - 9, x, y + 9)
