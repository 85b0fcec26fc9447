"""The live view without a browser: events as the browser sends them, buttons as the mouse clicks them."""
import io
import sys
import threading
import time

import pytest
import torch
from PIL import Image

pytest.importorskip("ipycanvas")

from sketchgan import live_training, widgets
from sketchgan.customize import CustomizeConfig
from sketchgan.photosketch import PhotoSketch
from sketchgan.sketches import SketchError, load_sketches, rasterize
from sketchgan.stylegan2 import Discriminator, Generator
from sketchgan.live_training import LiveTraining
from sketchgan.sketch_pad import SketchPad

CHANNELS = {4: 8, 8: 8, 16: 8}


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


def test_the_warm_start_shows_the_nearest_samples(monkeypatch):
    from sketchgan.warmstart import WarmStart
    warm = WarmStart(samples=64, rounds=1, pool=100, candidates=16, steps=2, batch=16, shown=8)
    live = LiveTraining(*networks(), sketches(), config=CustomizeConfig(iterations=1, batch=2, warm_start=True, warm=warm))
    captions, pictures = [], []
    live.caption.observe(lambda change: captions.append(change.new), "value")
    live.now.observe(lambda change: pictures.append(change.new), "value")
    live.start(), live.join()
    assert captions == [live_training.NEAREST, live_training.NOW] and pictures[0] != live.before.value
    assert live._samples(live.result) == live.now.value


def test_new_sketches_are_taken_up_by_a_resumed_training(tmp_path):
    path = tmp_path / "training.pt"
    live = LiveTraining(*networks(), sketches(), config=quick(1), checkpoint=path)
    live.start(), live.join()
    horses = load_sketches("horse_on_a_side", 16)
    again = LiveTraining(*networks(), horses, config=quick(3), checkpoint=path)
    again.start(), again.join()
    assert again.iteration == 3 and torch.equal(again.controls.sketches, horses)


def test_clock():
    assert widgets.clock(61) == "1:01"


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
