"""The pad without a browser: events as the browser sends them, buttons as the mouse clicks them."""
import io
import sys
import threading
import time

import pytest
import torch
from PIL import Image

pytest.importorskip("ipycanvas")

from sketchgan.customize import CustomizeConfig
from sketchgan.photosketch import PhotoSketch
from sketchgan.sketches import SketchError, load_sketches, rasterize
from sketchgan.stylegan2 import Discriminator, Generator
from sketchgan.sketch_pad import Drawing, SketchPad

CHANNELS = {4: 8, 8: 8, 16: 8}


# ---- drawing

def send(pad, kind, *args):
    event = {"event": kind, "touches": args} if kind.startswith("touch") else {"event": kind}
    if args and not kind.startswith("touch"):
        event |= {"x": args[0], "y": args[1]}
    pad.canvas._handle_frontend_event(None, event, [])


def draw(pad, *points):
    """One stroke of the mouse, in pixels of the canvas."""
    send(pad, "mouse_down", *points[0])
    for point in points[1:]:
        send(pad, "mouse_move", *point)
    send(pad, "mouse_up", *points[-1])


def test_mouse_strokes_become_the_sketch():
    pad = SketchPad(size=512)                                            # two screen pixels to a unit of the frame
    draw(pad, (128, 256), (256, 256), (384, 256))
    wanted = rasterize([{"width": pad.pen.value, "points": [[64, 128], [192, 128]]}], 64)
    assert torch.equal(pad.sketches(64), wanted)
    assert pad.sketches(128).shape == (1, 1, 128, 128)
    send(pad, "mouse_move", 10, 10)                                      # the pen is up: no line
    assert torch.equal(pad.sketches(64), wanted)


def test_leaving_the_paper_ends_the_stroke_and_a_click_is_a_dot():
    pad = SketchPad(size=256)
    send(pad, "mouse_down", 10, 100), send(pad, "mouse_move", 50, 100), send(pad, "mouse_out", 55, 100)
    send(pad, "mouse_move", 90, 100)
    assert len(pad.drawing.strokes) == 1 and pad.drawing.strokes[0]["points"][-1] == [50, 100]
    draw(pad, (202, 202))                                                # the middle of pixel 50 of 64
    assert len(pad.drawing.strokes) == 2 and pad.sketches()[0, 0, 50, 50] < 0


def test_touch_draws_too():
    pad = SketchPad(size=256)
    pad.canvas._handle_frontend_event(None, {"event": "touch_start", "touches": [{"x": 20, "y": 30}]}, [])
    pad.canvas._handle_frontend_event(None, {"event": "touch_move", "touches": [{"x": 80, "y": 30}]}, [])
    pad.canvas._handle_frontend_event(None, {"event": "touch_end", "touches": []}, [])
    assert pad.drawing.strokes[0]["points"][-1] == [80, 30]


def test_undo_redo_clear_by_their_buttons():
    pad = SketchPad(size=256)
    assert pad.undo_button.disabled and pad.redo_button.disabled
    draw(pad, (20, 20), (90, 90)), draw(pad, (90, 20), (20, 90))
    both = pad.sketches()
    pad.undo_button.click()
    assert len(pad.drawing.strokes) == 1
    pad.redo_button.click()
    assert torch.equal(pad.sketches(), both)
    pad.clear_button.click()
    with pytest.raises(SketchError, match="pad.load"):
        pad.sketches()
    pad.undo_button.click()
    assert torch.equal(pad.sketches(), both)                             # nothing is lost
    draw(pad, (1, 1), (5, 5))
    assert pad.redo_button.disabled                                      # a new stroke leaves the other future behind


def test_several_sketches_in_the_strip():
    pad = SketchPad(size=256)
    draw(pad, (20, 20), (90, 90))
    pad.new_button.click(), pad.new_button.click()                       # a blank one that waits is used again
    assert len(pad.strip.children) == 2 and pad.sketches().shape[0] == 1
    draw(pad, (90, 20), (20, 90))
    assert pad.sketches().shape[0] == 2
    first = pad.strip.children[0].children[1]
    first.click()
    assert pad.drawing.current == 0 and first.button_style == "info"
    pad.delete_button.click()
    assert pad.sketches().shape[0] == 1 and len(pad.strip.children) == 1
    thumbnail = Image.open(io.BytesIO(pad.strip.children[0].children[0].value))
    assert thumbnail.convert("L").getextrema()[0] < 128                  # the strip shows what is left
    pad.undo()
    assert pad.sketches().shape[0] == 2
    pad.delete(), pad.delete(), pad.delete()
    assert pad.drawing.sketches == ((),)


def test_save_and_load(tmp_path):
    pad = SketchPad("standing_cat")
    assert (pad.sketches() - load_sketches("standing_cat")).abs().mean() < 0.01
    pad.file.value = str(tmp_path / "mine")
    pad.save_button.click()
    again = SketchPad(str(tmp_path / "mine.json"))
    assert torch.equal(again.sketches(), pad.sketches())
    again.file.value = str(tmp_path / "none.json")
    before = again.sketches()
    again.load_button.click()                                            # a callback shows its error
    assert "none.json" in again.status.value and torch.equal(again.sketches(), before)
    again.load("horse_on_a_side")
    assert len(again.sketches()) == 10
    blank = SketchPad()
    with pytest.raises(SketchError, match="blank"):
        blank.save(tmp_path / "blank.json")
    assert not (tmp_path / "blank.json").exists()


def test_listeners_hear_changes_and_nothing_else():
    pad, heard = SketchPad(size=256), []
    pad.on_change(lambda pad: heard.append(len(pad.drawing.strokes)))
    draw(pad, (20, 20), (90, 90)), pad.undo()
    assert heard == [1, 0]


def test_strokes_from_two_threads_are_all_kept():
    """JupyterLab answers on a subshell thread while a cell may load sketches on the main one."""
    pad = SketchPad(size=256)
    def stroke(x):
        for _ in range(20):
            pad._do(lambda: pad.drawing.replace((*pad.drawing.strokes, {"width": 5, "points": [[x, x], [x, x]]})))
    threads = [threading.Thread(target=stroke, args=(x,)) for x in (50, 150)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert len(pad.drawing.strokes) == 40


def test_drawing_alone():
    drawing = Drawing()
    drawing.undo(), drawing.redo()
    drawing.replace(("a",)), drawing.add(), drawing.replace(("b",))
    assert drawing.sketches == (("a",), ("b",)) and drawing.current == 1
    for _ in range(9):
        drawing.undo()
    assert drawing.sketches == ((),) and drawing.current == 0
    for _ in range(9):
        drawing.redo()
    assert drawing.sketches == (("a",), ("b",)) and drawing.current == 1
