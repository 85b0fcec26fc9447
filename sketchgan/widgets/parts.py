"""What the widgets for Jupyter share: one lock, buttons, pictures as PNG (ipycanvas and ipywidgets).

Callbacks may come on any thread (JupyterLab answers some on a subshell), and ipycanvas has one global command queue:
whoever touches a drawing or a canvas holds LOCK.
"""

import base64
import html
import threading
from contextlib import contextmanager

from .. import plotting

try:
    import ipycanvas
    import ipywidgets as w
    import traitlets
except ImportError as error:
    raise ImportError(f"the sketch pad and the live view need {error.name}; pip install 'sketchgan[notebooks]'") from error

LOCK = threading.RLock()
Canvas, hold_canvas = ipycanvas.Canvas, ipycanvas.hold_canvas

BORDER = "1px solid var(--jp-border-color1, #888)"          # follows JupyterLab's theme, light or dark


class Paper(Canvas):
    """A canvas that screen readers can name: its tooltip.

    The browser's part of ipywidgets asks a widget that has a tooltip for its description too, which a bare Canvas does
    not have: it would fail there, and the canvas would stay away.
    """

    description = traitlets.Unicode("").tag(sync=True)


@contextmanager
def painting():
    """Holds LOCK and sends what is drawn on canvases inside as one message.

    ipycanvas's hold_canvas alone would stay shut after an exception, and with it every canvas of the kernel.
    """
    with LOCK:
        hold = hold_canvas()
        hold.__enter__()
        try:
            yield
        finally:
            hold.__exit__(None, None, None)


class Message(w.HTML):
    """A line of text for the user, wrapped where it is long, read out by screen readers when it changes."""

    def say(self, text):
        """Shows `text`, whatever characters it holds."""
        self.value = f'<div role="status" style="line-height: 1.4">{html.escape(str(text))}</div>'


class Picture(w.HTML):
    """A square picture with a text for screen readers, which ipywidgets' Image has no place for."""

    def __init__(self, side):
        self.side, self.png = side, b""
        super().__init__(layout=w.Layout(width=f"{side + 2}px", height=f"{side + 2}px", margin="2px"))

    def show(self, png, text):
        """Shows the bytes of a PNG, described by `text`."""
        self.png = png
        self.value = (f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{html.escape(text)}" '
                      f'width="{self.side}" height="{self.side}" style="border: {BORDER}; display: block">')


def uploaded(upload):
    """[(name, bytes)] of what a FileUpload holds: ipywidgets 7, which Colab has, keeps a dict, 8 a tuple."""
    if isinstance(upload.value, dict):
        return [(name, bytes(file["content"])) for name, file in upload.value.items()]
    return [(file["name"], bytes(file["content"])) for file in upload.value]


def button(name, tooltip, action, width="auto", style=""):
    """A button called `name` that runs `action()`."""
    made = w.Button(description=name, tooltip=tooltip, button_style=style, layout=w.Layout(width=width))
    made.on_click(lambda _: action())
    return made


def grid(images, drawn=None):
    """PNG of images [N,C,R,R] in [-1,1], eight a row, small ones enlarged; of `drawn` [N,1,R,R], each below its image."""
    cols, scale = min(8, len(images)), max(1, 96 // images.shape[-1])
    both = images if drawn is None else plotting.interleave(images, drawn, cols=cols)
    return plotting.png(plotting.image_grid(both, cols, scale))


def clock(seconds):
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
