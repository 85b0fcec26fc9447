"""What the widgets for Jupyter share: one lock, buttons, pictures as PNG (ipycanvas and ipywidgets).

Callbacks may come on any thread (JupyterLab answers some on a subshell), and ipycanvas has one global command queue:
whoever touches a drawing or a canvas holds LOCK.
"""

import threading

from . import plotting

try:
    import ipycanvas
    import ipywidgets as w
except ImportError as error:
    raise ImportError(f"the sketch pad and the live view need {error.name}; pip install 'sketchgan[notebooks]'") from error

LOCK = threading.RLock()
Canvas, hold_canvas = ipycanvas.Canvas, ipycanvas.hold_canvas


def button(name, tooltip, action, width="auto", style=""):
    """A button called `name` that runs `action()`."""
    made = w.Button(description=name, tooltip=tooltip, button_style=style, layout=w.Layout(width=width))
    made.on_click(lambda _: action())
    return made


def grid(images):
    """PNG of images [N,C,R,R] in [-1,1], eight a row, small ones enlarged."""
    return plotting.png(plotting.image_grid(images, cols=8, scale=max(1, 96 // images.shape[-1])))


def clock(seconds):
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
