"""What the widgets for Jupyter share: one lock, buttons, pictures as PNG (ipycanvas and ipywidgets).

Callbacks may come on any thread (JupyterLab answers some on a subshell), and ipycanvas has one global command queue:
whoever touches a drawing or a canvas holds LOCK.
"""

import base64
import html
import sys
import threading
from contextlib import contextmanager

from .. import plotting

try:
    import ipycanvas
    import ipywidgets as w
    import traitlets
except ImportError as error:
    raise ImportError(f"the sketch pad and the live view need {error.name}; "
                      "pip install 'sketchgan[notebooks]'") from error

LOCK = threading.RLock()
Canvas, hold_canvas = ipycanvas.Canvas, ipycanvas.hold_canvas

BORDER = "1px solid var(--jp-border-color1, #888)"          # follows JupyterLab's theme, light or dark
WIDE = "calc(100% - 4px)"                                   # all of the width: widgets have a margin of 2 px beside it

# A kernel answers no button while it runs a cell, which looks as if all were dead: JupyterLab's sign of a busy kernel
# brings a line that says so, after two seconds. Several views show this one widget.
_BUSY_TEXT = """<style>@keyframes sketchgan-late { to { max-height: 4em } }
.sketchgan-busy { display: none; max-height: 0; overflow: hidden; color: #d98200;
                  animation: sketchgan-late 0s 2s forwards }
.jp-NotebookPanel:has(.jp-Notebook-ExecutionIndicator[data-status="busy"]) .sketchgan-busy { display: block }</style>
<div class="sketchgan-busy">A cell is running. Buttons and strokes are answered when it has ended.</div>"""
BUSY = w.HTML(_BUSY_TEXT, layout=w.Layout(margin="0"))


@contextmanager
def answered():
    """For a cell that waits and leaves widgets alive: no line says that they are not."""
    BUSY.value = ""
    try:
        yield
    finally:
        BUSY.value = _BUSY_TEXT


class Paper(Canvas):
    """A canvas that screen readers can name: its tooltip.

    The browser's part of ipywidgets asks a widget that has a tooltip for its description too, which a bare Canvas does
    not have: it would fail there, and the canvas would stay away.
    """

    description = traitlets.Unicode("").tag(sync=True)


@contextmanager
def painting(canvas):
    """Holds LOCK and sends what is drawn on canvases inside as one message.

    ipycanvas's hold_canvas alone would stay shut after an exception, and with it every canvas of the kernel. And its
    manager, which lives as long as the kernel, names a canvas only when it changes: a page that was reloaded has never
    been told which one it is, and draws nowhere. So each painting names its canvas.
    """
    with LOCK:
        canvas._canvas_manager._current_canvas = None
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

    def guard(self, action, *arguments):
        """Runs what a button asks for and shows its error: an exception in a callback is invisible."""
        try:
            action(*arguments)
        except (ValueError, OSError) as error:              # SketchError is a ValueError
            self.say(error)


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


def row(*children, **layout):
    """Widgets in a line that is broken where it is too long."""
    layout = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "0 4px"} | layout
    return w.HBox(children, layout=w.Layout(**layout))


def folded(title, *children):
    """Widgets below a title, shown when it is clicked."""
    made = w.Accordion([w.VBox(children)], selected_index=None)
    made.set_title(0, title)
    return made


def somebody_is_there():
    """Whether a person can answer while this cell waits.

    A front end says so with each cell it sends; nbclient, nbconvert and nbval say that there is nobody. And the kernel
    has to answer widgets while a cell awaits, which ipykernel does from 7.4 on.
    """
    kernel, shell = sys.modules.get("ipykernel"), sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    asked = getattr(shell, "get_parent", dict)().get("content", {}).get("allow_stdin", False)
    return bool(asked) and kernel is not None and kernel.version_info[:2] >= (7, 4)


# ipywidgets writes "(0)" behind the name of an upload, always, since files are taken at once: the style leaves it out.
COUNTLESS = w.HTML("<style>" + "".join(
    f""".sketchgan-{name.lower()} {{ font-size: 0 !important; }}
    .sketchgan-{name.lower()}::before {{ content: "\\2191\\00a0{name}"; font-size: var(--jp-widgets-font-size, 13px); }}
    .sketchgan-{name.lower()} i {{ display: none; }}""" for name in ("Photo", "Upload")) + "</style>")


def uploader(name, tooltip, accept, take, said, multiple=False):
    """An upload called `name`: each file goes to `take(name, bytes)`, its errors to the Message `said`."""
    made = w.FileUpload(description=name, tooltip=tooltip, accept=",".join(sorted(accept)), multiple=multiple,
                        layout=w.Layout(width="auto"))
    made.add_class(f"sketchgan-{name.lower()}")             # see COUNTLESS

    def taken(_):
        value = made.value                                  # of ipywidgets 7, which Colab has, a dict; of 8 a tuple
        files = value.items() if isinstance(value, dict) else [(file["name"], file) for file in value]
        for name, file in files:
            said.guard(take, name, bytes(file["content"]))
        if value:
            made.value = type(value)()                      # so that the same file can come again

    made.observe(taken, "value")
    return made


def button(name, tooltip, action, width="auto", style=""):
    """A button called `name` that runs `action()`."""
    made = w.Button(description=name, tooltip=tooltip, button_style=style, layout=w.Layout(width=width))
    made.on_click(lambda _: action())
    return made


def grid(images, drawn=None):
    """PNG of images [N,C,R,R] in [-1,1], eight a row, small ones enlarged; `drawn` [N,1,R,R], each below its image."""
    cols, scale = min(8, len(images)), max(1, 96 // images.shape[-1])
    both = images if drawn is None else plotting.interleave(images, drawn, cols=cols)
    return plotting.png(plotting.image_grid(both, cols, scale))


def sketch_png(sketch, scale=1):
    """PNG of a sketch [1,1,R,R], enlarged."""
    return plotting.png(plotting.image_grid(sketch, scale=scale))


def clock(seconds):
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
