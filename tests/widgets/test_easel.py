"""Hands and keys on the canvas, without a browser."""
import io
import json

import numpy as np
import pytest

w = pytest.importorskip("ipywidgets")
ipycanvas = pytest.importorskip("ipycanvas")

from PIL import Image

from sketchgan.drawing.board import Drawing
from sketchgan.widgets.easel import Easel, steadied
from sketchgan.widgets.parts import painting


@pytest.fixture
def easel():
    drawing, pressed = Drawing(), []
    keys = {"ctrl+z": drawing.undo, "n": lambda: pressed.append("n")}
    made = Easel(drawing, 256, 5, lambda change: change(), keys, w.Button())
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
    """It is told which canvas is meant, as it has never been; and a pen that was down is up."""
    easel._mouse_down(10, 10), easel._pen_move(60, 10)
    messages = []
    monkeypatch.setattr(easel.canvas._canvas_manager, "send", lambda content, buffers=None: messages.append(buffers))
    easel.canvas._handle_frontend_event(None, {"event": "client_ready"}, [])
    assert len(messages) == 1
    first = json.loads(bytes(messages[0][0]))[0]
    assert first == [ipycanvas.canvas.COMMANDS["switchCanvas"], [f"IPY_MODEL_{easel.canvas.model_id}"]]
    easel._pen_move(60, 200)
    assert [stroke["points"] for stroke in easel.drawing.strokes] == [[[10, 10], [60, 10]]]


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
    with pytest.raises(ZeroDivisionError), painting(easel.canvas):
        1 / 0
    assert sent_by(easel, monkeypatch, lambda: easel.canvas.stroke_line(0, 0, 1, 1)) >= 1


def test_the_jitter_of_a_hand_is_smoothed():
    random, t = np.random.default_rng(0), np.linspace(0, 1, 120)[:, None]
    line = np.array([20.0, 30]) + t * [200, 100]
    shaken = (line + random.normal(0, 0.7, line.shape)).tolist()
    length = lambda points: np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    still = steadied(shaken)
    assert still[0] == pytest.approx(shaken[0], abs=0.1) and still[-1] == pytest.approx(shaken[-1], abs=0.1)
    assert length(still) < 1.03 * length(line) < 0.95 * length(shaken) and len(still) < 40
    assert steadied(line.tolist()) == line[[0, -1]].tolist(), "a straight line stays one"
    corner = [[20, 20], *([x, 20] for x in range(24, 200, 4)), [200, 20], *([200, y] for y in range(24, 200, 4))]
    assert np.linalg.norm(np.array(steadied(corner)) - [200, 20], axis=1).min() < 2.5, "less than the pen is wide"
    assert len(steadied([[x % 250, x % 240] for x in range(50_000)])) > 2, "neither time nor memory without bounds"
    assert steadied([[5, 5], [5, 5]]) == [[5, 5], [5, 5]], "a dot"
