"""The pad without a browser: events as the browser sends them, buttons as the mouse clicks them."""
import datetime
import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

w = pytest.importorskip("ipywidgets")
pytest.importorskip("ipycanvas")

from sketchgan.drawing.sketches import SketchError, chamfer, load_sketches, rasterize
from sketchgan.drawing.tracing import trace
from sketchgan.widgets.pad import SketchPad
from tests.mouse import draw, send

# ---- drawing

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
    thumbnail = Image.open(io.BytesIO(pad.strip.children[0].children[0].png))
    assert thumbnail.convert("L").getextrema()[0] < 128                  # the strip shows what is left
    assert 'alt="sketch 1, 1 stroke"' in pad.strip.children[0].children[0].value
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


def test_the_eraser_cuts_strokes_and_undo_brings_them_back():
    pad = SketchPad(size=256)
    draw(pad, (20, 100), (220, 100))
    whole = pad.sketches()
    pad.tool.value = "eraser"
    assert pad.pen.value == 16, "each tool has its own width"
    draw(pad, (120, 60), (120, 140))
    assert len(pad.drawing.strokes) == 2 and (pad.sketches()[0, 0, :, 30] > 0.9).all()
    pad.undo_button.click()
    assert torch.equal(pad.sketches(), whole)
    pad.tool.value = "pen"
    assert pad.pen.value == 5


def test_copy_mirror_and_order_by_their_buttons():
    pad = SketchPad(size=256)
    assert pad.left_button.disabled and pad.right_button.disabled
    draw(pad, (20, 20), (90, 200))
    pad.copy_button.click(), pad.mirror_button.click()
    first, second = pad.sketches()
    assert chamfer(first[None].flip(3), second[None]).item() < 0.5 and not torch.equal(first, second)
    assert pad.drawing.current == 1 and pad.right_button.disabled
    pad.left_button.click()
    assert torch.equal(pad.sketches()[0], second) and pad.drawing.current == 0 and pad.left_button.disabled
    pad.right_button.click()
    assert torch.equal(pad.sketches()[1], second)


# ---- a picture below the paper

class Contour(torch.nn.Module):
    """Stands for F: draws the line x = 24 of 64, whatever it is shown."""

    batch_stats = True

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images):
        sketches = images.new_ones(len(images), 1, *images.shape[2:])
        sketches[..., 23:25] = -1
        return sketches


def test_tracing_a_photo():
    pad = SketchPad(size=256, F=Contour())
    assert pad.trace_button.disabled and pad.easel.strength.disabled and pad.compared.layout.display == "none"
    draw(pad, (200, 20), (200, 200))
    pad.underlay(torch.rand(3, 64, 64) * 2 - 1)
    assert not pad.trace_button.disabled and pad.compared.layout.display is None
    assert "px away" in pad.sketched_caption.value
    pad.trace_button.click()
    assert len(pad.drawing.strokes) == 2, "the contour comes beside what was drawn"
    traced = pad.drawing.strokes[1]
    assert traced["width"] == 5 and all(abs(x - 96) < 1.5 for x, _ in traced["points"])
    pad.undo()
    assert len(pad.drawing.strokes) == 1
    pad.underlay(None)
    assert pad.trace_button.disabled and pad.compared.layout.display == "none"
    with pytest.raises(SketchError, match="upload a photo"):
        pad.trace()
    without = SketchPad()
    without.underlay(Image.new("RGB", (80, 60)))
    with pytest.raises(SketchError, match=r"SketchPad\(F=F\)"):
        without.trace()


@pytest.mark.parametrize("make", [
    lambda folder: torch.zeros(1, 3, 40, 40), lambda folder: torch.zeros(1, 40, 40), lambda folder: np.zeros((50, 90, 3), np.uint8),
    lambda folder: Image.new("L", (90, 50)), lambda folder: [Image.new("RGBA", (90, 50)).save(folder / "x.png"), folder / "x.png"][1]])
def test_underlay_takes_what_holds_a_picture(make, tmp_path):
    pad = SketchPad()
    pad.underlay(make(tmp_path))
    assert pad.picture.mode == "RGB" and pad.picture.width == pad.picture.height


@pytest.mark.parametrize("wrong", [torch.zeros(2, 3, 8, 8), 7, "none.png"], ids=["a batch", "a number", "no file"])
def test_underlay_refuses_the_rest_and_keeps_what_was_there(wrong):
    pad = SketchPad()
    pad.underlay(torch.zeros(3, 8, 8))
    before = pad.picture
    with pytest.raises((SketchError, OSError)):
        pad.underlay(wrong)
    assert pad.picture is before


# ---- files

def upload(widget, name, data):
    """A file as the browser hands it over."""
    widget.value = ({"name": name, "type": "", "size": len(data), "content": memoryview(data),
                     "last_modified": datetime.datetime.now(datetime.timezone.utc)},)


def test_uploads_of_drawings_and_photos(tmp_path):
    pad, first = SketchPad(size=256, F=Contour()), SketchPad("standing_cat")
    first.save(tmp_path / "cat.json"), first.save(tmp_path / "cat.png")
    pictures = sorted(tmp_path.glob("cat_*.png"))
    assert len(pictures) == len(first.drawing.drawn)
    upload(pad.upload, "cat.json", (tmp_path / "cat.json").read_bytes())
    assert torch.equal(pad.sketches(), first.sketches()) and not pad.upload.value
    upload(pad.upload, "cat_1.png", pictures[0].read_bytes())
    upload(pad.upload, "cat_1.png", pictures[0].read_bytes())            # the same file may come again
    *_, again, twice = pad.sketches()
    assert torch.equal(again, twice) and chamfer(again[None], first.sketches()[:1]).item() < 0.2
    assert len(pad.drawing.strokes) == len(trace(first.sketches(256)[:1])), "a picture becomes strokes to draw on"
    before = pad.sketches()
    upload(pad.upload, "../noise.png", b"no picture")
    assert "noise.png" in pad.status.value and torch.equal(pad.sketches(), before)
    upload(pad.photo, "photo.jpg", b"no picture")
    assert "photo.jpg" in pad.status.value and pad.picture is None
    upload(pad.photo, "photo.png", pictures[0].read_bytes())
    assert pad.picture is not None and pad.contour.shape == (1, 1, 64, 64)


def test_what_an_upload_had_to_have_put_right_is_said():
    pad, chalk = SketchPad(size=256), Image.new("RGB", (256, 256), "black")
    ImageDraw.Draw(chalk).line([(60, 60), (200, 120), (90, 200)], "white", 8)
    file = io.BytesIO()
    chalk.save(file, "png")
    upload(pad.upload, "blackboard.png", file.getvalue())
    assert len(pad.drawing.drawn) == 1
    assert "blackboard.png has light lines" in pad.status.value and "turned round" in pad.status.value
    pad.add()
    assert "turned round" not in pad.status.value


def test_saving_one_sketch_as_a_picture(tmp_path):
    pad = SketchPad(size=256)
    draw(pad, (20, 20), (90, 200))
    pad.file.value = str(tmp_path / "one.png")
    pad.save_button.click()
    assert torch.equal(load_sketches(tmp_path / "one.png", 256, pen=None, box=None)[0, 0] < 0,
                       pad.sketches(256)[0, 0] < 0)


# ---- for everybody

def controls(widget):
    """Every widget below `widget` that a user can change or press."""
    if isinstance(widget, (w.Button, w.FileUpload, w.RadioButtons, w.Combobox, w.BoundedIntText, w.ToggleButtons, w.IntSlider)):
        yield widget
    for child in getattr(widget, "children", ()):
        yield from controls(child)


def test_every_control_has_a_name_and_a_tooltip_and_every_picture_a_text():
    pad = SketchPad("standing_cat")
    found = list(controls(pad))
    assert len(found) >= 18
    for control in found:
        assert control.description and control.tooltip, f"{type(control).__name__} {control.description!r} lacks a name or tooltip"
        assert control.tabbable is not False
    assert pad.canvas.tooltip and pad.canvas.description == "", "what the browser needs to show a canvas's tooltip"
    for picture in [pad.seen, pad.sketched, *(box.children[0] for box in pad.strip.children)]:
        assert not picture.value or 'alt="' in picture.value
    assert 'role="status"' in pad.status.value


def test_messages_are_text_whatever_they_hold():
    pad = SketchPad()
    pad.status.say("<script>x</script>")
    assert "<script>" not in pad.status.value and "&lt;script&gt;" in pad.status.value
