"""The pad without a browser: events as the browser sends them, buttons as the mouse clicks them."""
import asyncio
import datetime
import io
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

w = pytest.importorskip("ipywidgets")
pytest.importorskip("ipycanvas")

from sketchgan.drawing.sketches import SketchError, chamfer, load_sketches, rasterize
from sketchgan.drawing.tracing import trace
from sketchgan.widgets import pad as pad_module
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
    pad.add_button.click(), pad.add_button.click()                       # a blank one that waits is used again
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
    pad.change("undo")
    assert pad.sketches().shape[0] == 2
    [pad.change("delete") for _ in range(3)]
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
    draw(pad, (20, 20), (90, 90)), pad.change("undo")
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
    assert pad.tracing.button.disabled and pad.easel.strength.disabled and pad.tracing.compared.layout.display == "none"
    draw(pad, (200, 20), (200, 200))
    pad.underlay(torch.rand(3, 64, 64) * 2 - 1)
    assert not pad.tracing.button.disabled and pad.tracing.compared.layout.display is None
    assert "px away" in pad.tracing.caption.value
    pad.tracing.button.click()
    assert len(pad.drawing.strokes) == 2, "the contour comes beside what was drawn"
    traced = pad.drawing.strokes[1]
    assert traced["width"] == 5 and all(abs(x - 96) < 1.5 for x, _ in traced["points"])
    pad.change("undo")
    assert len(pad.drawing.strokes) == 1
    pad.underlay(None)
    assert pad.tracing.button.disabled and pad.tracing.compared.layout.display == "none"
    with pytest.raises(SketchError, match="upload a photo"):
        pad.trace()
    without = SketchPad()
    without.underlay(Image.new("RGB", (80, 60)))
    with pytest.raises(SketchError, match=r"SketchPad\(F=F\)"):
        without.trace()


@pytest.mark.parametrize("make", [
    lambda folder: torch.zeros(1, 3, 40, 40), lambda folder: torch.zeros(1, 40, 40),
    lambda folder: np.zeros((50, 90, 3), np.uint8), lambda folder: Image.new("L", (90, 50)),
    lambda folder: [Image.new("RGBA", (90, 50)).save(folder / "x.png"), folder / "x.png"][1]])
def test_underlay_takes_what_holds_a_picture(make, tmp_path):
    pad = SketchPad()
    pad.underlay(make(tmp_path))
    assert pad.tracing.picture.mode == "RGB" and pad.tracing.picture.width == pad.tracing.picture.height


@pytest.mark.parametrize("wrong", [torch.zeros(2, 3, 8, 8), 7, "none.png"], ids=["a batch", "a number", "no file"])
def test_underlay_refuses_the_rest_and_keeps_what_was_there(wrong):
    pad = SketchPad()
    pad.underlay(torch.zeros(3, 8, 8))
    before = pad.tracing.picture
    with pytest.raises((SketchError, OSError)):
        pad.underlay(wrong)
    assert pad.tracing.picture is before


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
    count = len(pad.sketches())
    upload(pad.upload, "cat_1.png", pictures[0].read_bytes())            # the same file again: nothing comes twice
    assert "already" in pad.status.value and len(pad.sketches()) == count == len(first.sketches()) + 1
    assert chamfer(pad.sketches()[-1:], first.sketches()[:1]).item() < 0.2
    assert len(pad.drawing.strokes) == len(trace(first.sketches(256)[:1])), "a picture becomes strokes to draw on"
    before = pad.sketches()
    upload(pad.upload, "../noise.png", b"no picture")
    assert "noise.png" in pad.status.value and torch.equal(pad.sketches(), before)
    upload(pad.tracing.photo, "photo.jpg", b"no picture")
    assert "photo.jpg" in pad.status.value and pad.tracing.picture is None
    upload(pad.tracing.photo, "photo.png", pictures[0].read_bytes())
    assert pad.tracing.picture is not None and pad.tracing.contour.shape == (1, 1, 64, 64)


def test_what_an_upload_had_to_have_put_right_is_said():
    pad, chalk = SketchPad(size=256), Image.new("RGB", (256, 256), "black")
    ImageDraw.Draw(chalk).line([(60, 60), (200, 120), (90, 200)], "white", 8)
    file = io.BytesIO()
    chalk.save(file, "png")
    upload(pad.upload, "blackboard.png", file.getvalue())
    assert len(pad.drawing.drawn) == 1
    assert "blackboard.png has light lines" in pad.status.value and "turned round" in pad.status.value
    pad.change("add")
    assert "turned round" not in pad.status.value


def test_saving_one_sketch_as_a_picture(tmp_path):
    pad = SketchPad(size=256)
    draw(pad, (20, 20), (90, 200))
    pad.file.value = str(tmp_path / "one.png")
    pad.save_button.click()
    assert torch.equal(load_sketches(tmp_path / "one.png", 256, pen=None, box=None)[0, 0] < 0,
                       pad.sketches(256)[0, 0] < 0)


# ---- what is kept, and who is waited for

@pytest.fixture
def somebody(monkeypatch):
    """A person sits before the notebook."""
    monkeypatch.setattr(pad_module, "somebody_is_there", lambda: True)


def test_drawings_outlive_the_kernel(tmp_path, somebody):
    keep = tmp_path / "outputs" / "my_sketches.json"
    pad = SketchPad(size=256, keep=keep)
    draw(pad, (20, 20), (90, 90))
    pad.change("add")
    draw(pad, (30, 200), (90, 90))
    again = SketchPad(size=256, keep=keep)                               # as a new kernel does
    assert torch.equal(again.sketches(), pad.sketches()) and "last time" in again.status.value
    [again.change("delete") for _ in range(2)]
    assert not keep.exists() and not SketchPad(keep=keep).drawing.drawn


def test_a_damaged_file_is_put_aside_and_a_full_disk_is_said(tmp_path, somebody, monkeypatch):
    keep = tmp_path / "my_sketches.json"
    keep.write_text('{"sketches": [{"strok')
    pad = SketchPad(size=256, keep=keep)
    assert "cannot be read" in pad.status.value and (tmp_path / "my_sketches.damaged.json").exists()
    monkeypatch.setattr(pad_module, "write_document", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    draw(pad, (20, 20), (90, 90))
    assert "no space left" in pad.status.value and len(pad.drawing.strokes) == 1


def test_a_run_that_nobody_watches_neither_keeps_nor_restores(tmp_path):
    keep = tmp_path / "my_sketches.json"
    SketchPad("standing_cat").save(keep)
    pad = SketchPad(size=256, keep=keep, examples="horse_on_a_side")
    assert not pad.drawing.drawn
    assert torch.equal(asyncio.run(pad.ready()), load_sketches("horse_on_a_side"))


def test_ready_waits_for_a_drawing_or_for_the_examples(somebody):
    pad = SketchPad(size=256, examples="standing_cat")

    async def person(act):
        await asyncio.sleep(0.3)
        pad.ready_button.click()
        assert "blank" in pad.status.value
        act()

    async def together(act):
        return (await asyncio.gather(pad.ready(), person(act)))[0]

    sketches = asyncio.run(together(lambda: (draw(pad, (20, 20), (90, 90)), pad.ready_button.click())))
    assert torch.equal(sketches, pad.sketches()) and pad.ready_button.layout.display == "none"
    assert torch.equal(asyncio.run(pad.ready()), sketches), "there is a drawing: nobody is waited for"
    pad = SketchPad(size=256, examples="standing_cat")
    assert len(asyncio.run(together(pad.examples_button.click))) == len(load_sketches("standing_cat"))


# ---- how near a GAN comes

class Line(torch.nn.Module):
    """Stands for G: its pictures are what F draws of them, a cross of 40 px about the middle of 64."""

    z_dim, resolution = 4, 64

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def mapping(self, z, truncation_psi):
        return z

    def synthesis(self, z, generator=None):
        images = torch.ones(len(z), 3, 64, 64)
        images[..., 31:33, 12:52] = images[..., 12:52, 31:33] = -1
        return images


class Grey(Contour):
    """Stands for F: takes the first channel for the drawing."""

    def forward(self, images):
        return images[:, :1]


def near(pad, word):
    end = time.monotonic() + 60
    while word not in pad.nearness.verdict.value:
        assert time.monotonic() < end, pad.nearness.verdict.value
        time.sleep(0.02)


def test_a_small_sketch_is_fitted_and_what_is_near_is_shown():
    pad, heard = SketchPad(size=256, G=Line(), F=Grey()), []
    near(pad, "Draw, and")
    pad.on_change(lambda pad: heard.append(1))
    draw(pad, (128, 48), (128, 208)), draw(pad, (48, 128), (208, 128))
    near(pad, "<b>near</b>")
    assert pad.easel.ghost == () and 'alt="a sample 0' in pad.nearness.pictures[0].value
    well = pad.sketches()
    pad.change("clear")
    draw(pad, (20, 10), (20, 50)), draw(pad, (0, 30), (40, 30))          # a quarter of the size, in a corner
    assert len(pad.easel.ghost) == 2 and chamfer(pad.sketches(), well).item() < 0.6
    near(pad, "<b>near</b>")
    count = len(heard)
    pad.nearness.fit.value = False
    near(pad, "<b>far</b>")
    assert pad.easel.ghost == () and chamfer(pad.sketches(), well).item() > 5 and len(heard) == count + 1
    pad.change("clear")
    draw(pad, (20, 10))
    pad.nearness.fit.value = True
    assert len(pad.sketches()) == 1, "a dot has no size"


def test_a_gan_without_lines_is_no_error():
    blank = type("Blank", (Contour,), {"forward": lambda self, x: torch.ones_like(x[:, :1])})
    pad = SketchPad(size=256, G=Line(), F=blank())
    near(pad, "cannot be said")
    draw(pad, (20, 10), (90, 10))
    assert len(pad.sketches()) == 1


# ---- for everybody

def controls(widget):
    """Every widget below `widget` that a user can change or press."""
    if isinstance(widget, (w.Button, w.FileUpload, w.RadioButtons, w.Combobox, w.BoundedIntText, w.Checkbox)):
        yield widget
    for child in getattr(widget, "children", ()):
        yield from controls(child)


def test_every_control_has_a_name_and_a_tooltip_and_every_picture_a_text():
    pad = SketchPad("standing_cat")
    found = list(controls(pad))
    assert len(found) >= 18
    for control in found:
        assert control.description and control.tooltip, f"{control!r} lacks a name or tooltip"
        assert control.tabbable is not False
    assert pad.canvas.tooltip and pad.canvas.description == "", "what the browser needs to show a canvas's tooltip"
    for picture in [pad.tracing.drawn, pad.tracing.sketched, *(box.children[0] for box in pad.strip.children)]:
        assert not picture.value or 'alt="' in picture.value
    assert 'role="status"' in pad.status.value


def test_messages_are_text_whatever_they_hold():
    pad = SketchPad()
    pad.status.say("<script>x</script>")
    assert "<script>" not in pad.status.value and "&lt;script&gt;" in pad.status.value


@pytest.mark.parametrize("wrong", [{"size": -1}, {"size": "a"}, {"width": float("nan")}, {"resolution": 10**39},
                                   {"resolution": torch.zeros(3)}, {"F": 3}, {"G": "horse64"}, {"keep": 7}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} of .* is "):
        SketchPad(**wrong)
