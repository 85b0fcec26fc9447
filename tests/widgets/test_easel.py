"""Hands and keys on the canvas, without a browser."""
import io

import pytest

w = pytest.importorskip("ipywidgets")
ipycanvas = pytest.importorskip("ipycanvas")

from PIL import Image

from sketchgan.drawing.board import Drawing
from sketchgan.widgets.easel import Easel
from sketchgan.widgets.parts import painting


@pytest.fixture
def easel():
    drawing, pressed = Drawing(), []
    made = Easel(drawing, 256, 5, lambda change: change(), {"ctrl+z": drawing.undo, "n": lambda: pressed.append("n")}, w.Button())
    made.pressed = pressed
    return made


def press(easel, *keys, **modifiers):
    for key in keys:
        easel.canvas._handle_frontend_event(None, {"event": "key_down", "key": key} | {
            f"{name}_key": modifiers.get(name, False) for name in ("shift", "ctrl", "meta")}, [])


def test_drawing_with_keys_alone(easel):
    press(easel, "ArrowLeft", "ArrowUp"), press(easel, "ArrowUp", shift=True)
    press(easel, " ", "ArrowRight", "ArrowRight", " ")
    stroke, = easel.drawing.strokes
    assert stroke["points"][0] == [124, 108] and stroke["points"][-1] == [132, 108]
    press(easel, "ArrowDown")
    assert len(easel.drawing.strokes) == 1, "a pen that is up draws nothing"
    press(easel, *["ArrowLeft"] * 99)
    assert easel._cursor == (0, 112), "the pen stays on the paper"
    press(easel, "z", ctrl=True)
    assert easel.drawing.strokes == ()
    press(easel, " ", " ", "z")
    assert len(easel.drawing.strokes) == 1, "space twice is a dot; z alone does nothing"
    press(easel, "Z", meta=True)                            # a Mac with the capitals locked
    assert easel.drawing.strokes == ()


def test_keys_choose_the_tool_and_its_width(easel):
    press(easel, "e", "]", "]")
    assert (easel.tool.value, easel.pen.value) == ("eraser", 18)
    press(easel, "P", "[")
    assert (easel.tool.value, easel.pen.value) == ("pen", 4)
    press(easel, *["["] * 9)
    assert easel.pen.value == 2, "as thin as a pen gets"
    press(easel, "N", "F5", "q")
    assert easel.pressed == ["n"]


def test_tab_and_escape_leave_the_canvas(easel, monkeypatch):
    sent = []
    monkeypatch.setattr(easel.canvas, "send", lambda content, buffers=None: sent.append(("canvas", content["do"])))
    monkeypatch.setattr(easel._after, "send", lambda content, buffers=None: sent.append(("after", content["do"])))
    press(easel, "Tab", "Escape"), press(easel, "Tab", shift=True)
    assert sent == [("after", "focus"), ("canvas", "blur"), ("canvas", "blur")]


def sent_by(easel, monkeypatch, action):
    """Messages to the browser that `action` causes."""
    messages = []
    monkeypatch.setattr(easel.canvas._canvas_manager, "send", lambda content, buffers=None: messages.append(content))
    action()
    return len(messages)


def test_a_move_of_the_pen_is_one_message_and_a_new_picture_of_all_is_one(easel, monkeypatch):
    easel._pen_down(10, 10)
    assert sent_by(easel, monkeypatch, lambda: easel._pen_move(20, 20)) == 1
    assert sent_by(easel, monkeypatch, easel.paint) == 1


def test_a_browser_that_comes_back_sees_the_drawing(easel, monkeypatch):
    ready = lambda: easel.canvas._handle_frontend_event(None, {"event": "client_ready"}, [])
    assert sent_by(easel, monkeypatch, ready) == 1


def test_the_picture_below_is_sent_once(easel, monkeypatch):
    easel.lay_below(Image.new("RGB", (64, 64), "red"))
    assert not easel.strength.disabled
    drawn = []
    monkeypatch.setattr(type(easel.canvas), "draw_image", lambda canvas, image, x, y: drawn.append(image))
    easel.paint(), easel.paint()
    assert drawn == 2 * [easel._sent] and Image.open(io.BytesIO(easel._sent.value)).size == (256, 256)
    easel.strength.value = 0.0
    assert len(drawn) == 2, "hidden"
    easel.lay_below(None), easel.paint()
    assert easel.strength.disabled and len(drawn) == 2


def test_an_error_while_painting_leaves_no_canvas_shut(easel, monkeypatch):
    with pytest.raises(ZeroDivisionError), painting():
        1 / 0
    assert sent_by(easel, monkeypatch, lambda: easel.canvas.stroke_line(0, 0, 1, 1)) >= 1
