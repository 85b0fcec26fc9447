"""The pad and the live view without a browser: events as the browser sends them, buttons as the mouse clicks them."""
import io
import sys
import threading
import time

import pytest
import torch
from PIL import Image

pytest.importorskip("ipycanvas")

from sketchgan import widgets
from sketchgan.customize import CustomizeConfig
from sketchgan.photosketch import PhotoSketch
from sketchgan.sketches import SketchError, load_sketches, rasterize
from sketchgan.stylegan2 import Discriminator, Generator
from sketchgan.widgets import Drawing, LiveTraining, SketchPad

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


def test_everything_to_press_says_what_it_does():
    pad = SketchPad()
    live = LiveTraining(*networks(), sketches())
    buttons = [pad.undo_button, pad.redo_button, pad.clear_button, pad.new_button, pad.delete_button, pad.save_button,
               pad.load_button, pad.strip.children[0].children[1], live.start_button, live.pause_button, live.stop_button]
    for widget in [*buttons, pad.pen, pad.file, live.bar]:
        assert len(widget.tooltip) > 10
    assert len({button.description for button in buttons}) == len(buttons)


def family(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from family(child)


def test_a_tooltip_needs_a_description():
    """JupyterLab's code reads the length of the description of any widget with a tooltip; without one it shows an error."""
    for widget in [*family(SketchPad()), *family(LiveTraining(*networks(), sketches()))]:
        assert not getattr(widget, "tooltip", None) or widget.has_trait("description"), type(widget)


# ---- live training

def networks():
    torch.manual_seed(1)
    return (Generator(16, z_dim=8, w_dim=8, num_mapping=2, channels=CHANNELS),
            Discriminator(16, channels=CHANNELS), PhotoSketch(ngf=4, n_blocks=1))


def sketches():
    return load_sketches("standing_cat", 16)


def quick(iterations=4):
    return CustomizeConfig(iterations=iterations, batch=2, threads=1)


def holds_still(live, seconds=0.5):
    before = live.iteration
    time.sleep(seconds)
    return live.iteration == before


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not true in time"
        time.sleep(0.01)


def weights(G):
    return torch.cat([p.flatten() for p in G.style.parameters()])


def test_trains_in_a_thread_and_shows_it():
    G, D, F = networks()
    live = LiveTraining(G, D, F, sketches(), config=quick())
    before = live.now.value
    with pytest.raises(RuntimeError, match="live.start"):
        live.result
    live.start_button.click()
    live.join()
    assert live.iteration == 4 and live.bar.value == 1 and "done at iteration 4" in live.status.value
    assert live.before.value == before != live.now.value
    assert Image.open(io.BytesIO(live.curve.value)).width > 100
    assert not torch.equal(weights(live.result), weights(G)) and not live.result.training
    # What is shown is what came out: the same z and noise through the result.
    assert live._samples(live.result) == live.now.value


def test_the_view_changes_nothing():
    """Training with a view draws the same random numbers as training without one."""
    from sketchgan.customize import customize
    live = LiveTraining(*networks(), sketches(), config=quick())
    live.start(), live.join()
    for step in customize(*networks(), sketches(), config=quick()):
        pass
    assert torch.equal(weights(live.result), weights(step.G))


def test_pause_go_on_stop_and_start_again(tmp_path):
    live = LiveTraining(*networks(), sketches(), config=quick(100_000), checkpoint=tmp_path / "training.pt")
    live.start()
    thread = live._thread
    live.start()
    assert live._thread is thread                                        # Start while it runs does nothing
    with pytest.raises(RuntimeError, match="still runs"):
        live.result
    wait_for(lambda: live.iteration >= 2)
    live.pause_button.click()
    wait_for(lambda: holds_still(live))                                  # a step under way is still finished
    held = live.iteration
    assert live.running and live.pause_button.description == "Go on"
    live.pause_button.click()
    wait_for(lambda: live.iteration > held)
    live.stop_button.click()                                             # a callback returns at once
    live.join()
    reached = live.iteration
    assert "stopped" in live.status.value and live.result is not None
    live.start()
    wait_for(lambda: live.iteration > reached)
    live.stop()
    assert live.losses[0][0] == 1 and [i for i, _ in live.losses] == list(range(1, live.iteration + 1))


def test_running_the_cell_again_picks_up_and_stops_the_first(tmp_path):
    path = tmp_path / "training.pt"
    first = LiveTraining(*networks(), sketches(), config=quick(100_000), checkpoint=path)
    first.start()
    wait_for(lambda: first.iteration >= 3)
    second = LiveTraining(*networks(), sketches(), config=quick(100_000), checkpoint=path)
    second.start()
    assert not first.running
    wait_for(lambda: second.iteration > first.iteration)
    second.stop()
    assert second.losses[0][0] == first.iteration + 1
    done = LiveTraining(*networks(), sketches(), config=quick(second.iteration), checkpoint=path)
    done.start(), done.join()                                            # nothing is left to do: the result is there
    assert torch.equal(weights(done.result), weights(second.result))
    fresh = LiveTraining(*networks(), sketches(), config=quick(1), checkpoint=path, fresh=True)
    fresh.start(), fresh.join()
    assert fresh.iteration == 1


def test_another_recipe_is_refused_with_advice(tmp_path):
    path = tmp_path / "training.pt"
    live = LiveTraining(*networks(), sketches(), config=quick(1), checkpoint=path)
    live.start(), live.join()
    other = LiveTraining(*networks(), sketches(), config=CustomizeConfig(iterations=2, batch=4), checkpoint=path)
    other.start()
    with pytest.raises(RuntimeError, match="fresh=True"):
        other.join()
    assert "failed" in other.status.value


def test_an_error_is_shown_and_raised():
    G, D, F = networks()
    live = LiveTraining(G, D, F, sketches(), images=lambda n, generator: torch.zeros(n, 3, 8, 8), config=quick())
    live.start()
    with pytest.raises(RuntimeError, match="images gave a batch"):
        live.join()
    assert live.status.value.startswith("failed: images gave a batch")


def test_minutes_are_a_budget_that_ends_well():
    live = LiveTraining(*networks(), sketches(), config=quick(100_000), minutes=0.3 / 60)
    live.start(), live.join()
    assert 1 <= live.iteration < 100_000 and live.bar.value == 1 and "done" in live.status.value


def test_cell_mode_trains_in_the_cell_and_stops_at_an_interrupt(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    assert LiveTraining(*networks(), sketches()).mode == "cell"
    live = LiveTraining(*networks(), sketches(), config=quick(3))
    live.start()                                                         # returns when it is over
    assert live.iteration == 3 and live.result is not None
    live = LiveTraining(*networks(), sketches(), config=quick(100_000))
    shows = []
    def interrupt(step):
        shows.append(step)
        if len(shows) == 3:
            raise KeyboardInterrupt
    monkeypatch.setattr(live, "_watch", interrupt)
    live.start()
    assert "stopped" in live.status.value and live.result is not None
    with pytest.raises(ValueError, match="'thread' or 'cell'"):
        LiveTraining(*networks(), sketches(), mode="process")


def test_strokes_reach_a_training_that_runs():
    pad = SketchPad("standing_cat")
    live = LiveTraining(*networks(), pad.sketches(16), config=quick(100_000), pad=pad)
    live.start()
    wait_for(lambda: live.iteration >= 1)
    draw(pad, (20, 20), (90, 90))
    assert torch.equal(live.controls.sketches, pad.sketches(16))
    blank = SketchPad(size=256)
    live._take_sketches(blank)                                           # an empty pad is said, and changes nothing
    assert torch.equal(live.controls.sketches, pad.sketches(16))
    live.stop()
    assert live.error is None


def test_the_view_keeps_to_its_share_of_the_time(monkeypatch):
    live = LiveTraining(*networks(), sketches(), config=quick(100_000), minutes=1 / 60)
    shown = []
    show = live._show
    monkeypatch.setattr(live, "_show", lambda step: (shown.append(time.monotonic()), show(step)))
    live.start(), live.join()
    assert 1 <= len(shown) and all(b - a >= 0.25 for a, b in zip(shown, shown[1:]))


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
    assert widgets._clock(61) == "1:01"


def test_the_warm_start_shows_the_nearest_samples(monkeypatch):
    from sketchgan.warmstart import WarmStart
    warm = WarmStart(samples=64, rounds=1, pool=100, candidates=16, steps=2, batch=16, shown=8)
    live = LiveTraining(*networks(), sketches(), config=CustomizeConfig(iterations=1, batch=2, warm_start=True, warm=warm))
    captions, pictures = [], []
    live.caption.observe(lambda change: captions.append(change.new), "value")
    live.now.observe(lambda change: pictures.append(change.new), "value")
    live.start(), live.join()
    assert captions == [widgets.NEAREST, widgets.NOW] and pictures[0] != live.before.value
    assert live._samples(live.result) == live.now.value


def test_new_sketches_are_taken_up_by_a_resumed_training(tmp_path):
    path = tmp_path / "training.pt"
    live = LiveTraining(*networks(), sketches(), config=quick(1), checkpoint=path)
    live.start(), live.join()
    horses = load_sketches("horse_on_a_side", 16)
    again = LiveTraining(*networks(), horses, config=quick(3), checkpoint=path)
    again.start(), again.join()
    assert again.iteration == 3 and torch.equal(again.controls.sketches, horses)
