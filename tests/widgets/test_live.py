"""The live view without a browser: events as the browser sends them, buttons as the mouse clicks them."""
import asyncio
import io
import itertools
import signal
import sys
import time
import types

import pytest
import torch
from PIL import Image

pytest.importorskip("ipycanvas")

from sketchgan.customizing import WarmStart
from sketchgan.customizing import session as sessions
from sketchgan.customizing.run import CustomizeConfig
from sketchgan.drawing import chamfer, load_sketches, sketch_of
from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.widgets import live as live_module
from sketchgan.widgets import parts
from sketchgan.widgets.live import LiveTraining
from sketchgan.widgets.pad import SketchPad
from tests.mouse import draw

CHANNELS = {4: 8, 8: 8, 16: 8}


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
    assert "ready" in live.status.value
    with pytest.raises(RuntimeError, match="live.start"):
        live.result
    live.start_button.click()
    live.join()
    assert live.iteration == 4 and live.bar.value == 1 and "done at iteration 4" in live.status.value
    assert live.before.value == before != live.now.value
    assert Image.open(io.BytesIO(live.curves[1].value)).width > 100
    assert not torch.equal(weights(live.result), weights(G)) and not live.result.training
    # What is shown is what came out: the same z and noise through the result.
    assert live._picture(live._sample(live.result)) == live.now.value


def test_the_view_changes_nothing():
    """Training with a view draws the same random numbers as training without one."""
    from sketchgan.customizing.run import customize
    live = LiveTraining(*networks(), sketches(), config=quick())
    live.start(), live.join()
    for step in customize(*networks(), sketches(), config=quick()):
        pass
    assert torch.equal(weights(live.result), weights(step.G))


def test_pause_go_on_stop_and_start_again(tmp_path):
    live = LiveTraining(*networks(), sketches(), config=quick(100_000), checkpoint=tmp_path / "training.pt")
    live.start()
    thread = live.session.thread
    live.start()
    assert live.session.thread is thread                                        # Start while it runs does nothing
    with pytest.raises(RuntimeError, match="still runs"):
        live.result
    wait_for(lambda: live.iteration >= 2)
    live.pause_button.click()
    wait_for(lambda: holds_still(live))                                  # a step under way is still finished
    held = live.iteration
    assert live.running and live.pause_button.description == "Go on" and "paused" in live.status.value
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


def test_running_the_cell_again_finds_the_training(tmp_path):
    path = tmp_path / "training.pt"
    first = LiveTraining(*networks(), sketches(), config=quick(100_000), checkpoint=path)
    first.start()
    wait_for(lambda: first.iteration >= 3)
    second = LiveTraining(*networks(), sketches(), config=quick(100_000), checkpoint=path)
    assert second.running and second.session is first.session           # nothing has stopped
    wait_for(lambda: second.now.value != second.before.value)
    second.stop_button.click()
    second.join()
    assert "stopped" in second.status.value
    third = LiveTraining(*networks(), sketches(), config=quick(100_000), checkpoint=path)
    assert torch.equal(weights(third.result), weights(second.result)) and third.now.value == second.now.value
    fresh = LiveTraining(*networks(), sketches(), config=quick(1), checkpoint=path, fresh=True)
    assert not len(fresh.history)
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
    assert "failed" in other.status.value and "fresh=True" in other.trouble.value


def test_an_error_is_shown_and_raised():
    G, D, F = networks()
    live = LiveTraining(G, D, F, sketches(), images=lambda n, generator: torch.zeros(n, 3, 8, 8), config=quick())
    live.start()
    with pytest.raises(RuntimeError, match="images gave a batch"):
        live.join()
    assert "failed" in live.status.value
    assert "images gave a batch" in live.trouble.value and "press Start" in live.trouble.value


def test_a_view_that_fails_costs_nobody_the_training(monkeypatch):
    live = LiveTraining(*networks(), sketches(), config=quick(3))
    monkeypatch.setattr(live, "_show_step", lambda step: 1 / 0)
    live.start(), live.join()
    assert live.iteration == 3 and "division by zero" in live.trouble.value


def test_minutes_are_a_budget_that_ends_well():
    live = LiveTraining(*networks(), sketches(), config=quick(100_000), minutes=0.3 / 60)
    live.start(), live.join()
    assert 1 <= live.iteration < 100_000 and live.bar.value == 1 and "done" in live.status.value


def test_cell_mode_trains_in_the_cell_and_stops_at_an_interrupt(monkeypatch):
    asked = []
    colab = types.ModuleType("google.colab")
    colab.output = types.SimpleNamespace(enable_custom_widget_manager=lambda: asked.append("widgets"))
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert LiveTraining(*networks(), sketches()).mode == "cell" and asked
    live = LiveTraining(*networks(), sketches(), config=quick(3))
    live.start()                                                         # returns when it is over
    assert live.iteration == 3 and live.result is not None
    live, before = LiveTraining(*networks(), sketches(), config=quick(100_000)), signal.getsignal(signal.SIGINT)
    show = live._show_step
    interrupt = lambda step: (show(step), live.iteration >= 3 and signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(live, "_show_step", interrupt)
    live.start()                                                         # the interrupt button is its Stop
    assert 3 <= live.iteration < 100 and "stopped" in live.status.value and live.result is not None
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(ValueError, match="'thread', 'cell'"):
        LiveTraining(*networks(), sketches(), mode="process")


def test_strokes_reach_a_training_that_runs():
    pad = SketchPad("standing_cat")
    live = LiveTraining(*networks(), config=quick(100_000), pad=pad)     # what is on the pad are the sketches
    assert torch.equal(live.session.sketches, pad.sketches(16))
    live.start()
    wait_for(lambda: live.iteration >= 1)
    draw(pad, (20, 20), (90, 90))
    wait_for(lambda: torch.equal(live.session.sketches, pad.sketches(16)))
    kept = pad.sketches(16)
    live._take_sketches(SketchPad())                                     # an empty pad is no wish
    live.stop()
    assert live.error is None and torch.equal(live.session.sketches, kept)
    with pytest.raises(ValueError, match="draw on a pad"):
        LiveTraining(*networks(), pad=SketchPad())


def test_the_history_can_be_looked_at_and_chosen_from(monkeypatch):
    live = LiveTraining(*networks(), sketches(), config=quick(6))
    monkeypatch.setattr(live.history, "first_every", 0.0)                # a state after every step
    live.start(), live.join()
    assert len(live.history) == 6 and live.slider.scrub.max == live.slider.scrub.value == 7
    newest = live.now.value
    live.slider.scrub.value = 2
    assert "iteration 2" in live.caption.value and live.now.value != newest
    assert live.now.value == live._picture(live._sample(live.history.generator(live.history.snapshots[1])))
    live.slider.use_button.click()
    assert "iteration 2" in live.slider.choice.value
    assert torch.equal(weights(live.result), torch.cat([v.flatten() for v in live.history.snapshots[1].state.values()]))
    live.slider.scrub.value = 0
    assert live.now.value == live.before.value and live.slider.use_button.disabled
    live.slider.scrub.value = 7
    assert live.now.value == newest and "now" in live.caption.value
    live.slider.use_button.click()
    assert "newest" in live.slider.choice.value and live._picture(live._sample(live.result)) == newest


def test_whoever_looks_back_is_not_disturbed(monkeypatch):
    live = LiveTraining(*networks(), sketches(), config=quick(100_000))
    monkeypatch.setattr(live.history, "first_every", 0.0)
    live.start()
    wait_for(lambda: len(live.history) >= 3)
    live.slider.scrub.value = 1
    looked, picture = live.slider.looked, live.now.value
    wait_for(lambda: len(live.history) >= 8)
    assert live.slider.looked is looked and live.now.value == picture and live.slider.scrub.value == 1
    live.slider.use()
    assert live.result is not None, "one that was chosen can be had while training runs"
    live.slider.scrub.value = live.slider.scrub.max
    wait_for(lambda: live.now.value != picture)
    live.stop()


def test_outlines_on_demand():
    live = LiveTraining(*networks(), sketches(), config=quick())
    size = lambda: Image.open(io.BytesIO(live.now.value)).size
    width, height = size()
    live.outlines.value = True
    assert size() == (width, 2 * height + 2) == Image.open(io.BytesIO(live.before.value)).size
    live.start(), live.join()
    assert size() == (width, 2 * height + 2)
    live.outlines.value = False
    assert size() == (width, height)


def test_knobs_act_through_the_controls(tmp_path):
    path = tmp_path / "training.pt"
    live = LiveTraining(*networks(), sketches(), config=quick(2), checkpoint=path)
    assert (live.l_image.value, live.augment.value) == (0.7, "translation")
    live.l_image.value, live.augment.value = 0.0, ""
    live.start(), live.join()
    assert "D_image" not in live.losses[-1][1]
    changes = {(change["name"], change["value"]) for change in live.session.run.history}
    assert changes == {("l_image", 0.0), ("augment", "")}
    sessions._sessions.clear()                                            # as a new kernel does
    again = LiveTraining(*networks(), sketches(), config=quick(3), checkpoint=path)
    again.start(), again.join()
    assert (again.l_image.value, again.augment.value) == (0.0, "") and "D_image" not in again.losses[-1][1]
    odd = LiveTraining(*networks(), sketches(), config=CustomizeConfig(augment="color", l_image=5.0))
    assert (odd.l_image.value, odd.augment.value) == (5.0, "color")


def test_minutes_that_are_over_are_given_again_by_the_button():
    live = LiveTraining(*networks(), sketches(), config=quick(100_000), minutes=0.01)
    live.start(), live.join()
    reached = live.iteration
    live.start(), live.join()
    assert live.iteration == reached, "the minutes of a program are minutes in all"
    live.start_button.click()
    live.join()
    assert live.iteration > reached and live.session.minutes >= 0.02


def test_the_view_keeps_to_its_share_of_the_time(monkeypatch):
    live = LiveTraining(*networks(), sketches(), config=quick(100_000), minutes=1 / 60)
    shown, show = [], live._show_step
    monkeypatch.setattr(live, "_show_step", lambda step: (shown.append(time.monotonic()), show(step)))
    live.start(), live.join()
    assert 1 <= len(shown) and all(b - a >= 0.25 for a, b in zip(shown, shown[1:]))


class Wire:
    """The way to a browser: keeps what is sent."""
    kernel, comm_id = True, "wire"

    def __init__(self):
        self.sent = []

    def send(self, data, buffers=None):
        self.sent.append(data["state"])

    def on_msg(self, listener):
        pass

    def close(self, *arguments, **names):
        pass


def test_the_browser_never_has_to_clip_the_slider():
    live = LiveTraining(*networks(), sketches(), config=CustomizeConfig(iterations=4, batch=2))
    scrub, wire = live.slider.scrub, Wire()
    browser = {"max": scrub.max, "value": scrub.value}
    scrub.comm = wire
    live.start(), live.join()
    for count in (None, 1):                                 # the row grew; then it is thinned
        live.history.snapshots = live.history.snapshots[:count]
        live.slider.place()
        assert wire.sent
        for state in wire.sent:                             # a message's values reach the slider in any order
            for order in itertools.permutations(state.items()):
                shown = dict(browser)
                for name, value in order:
                    shown[name] = value
                    assert shown["value"] <= shown["max"], f"{state} would be clipped by a browser at {browser}"
            browser |= state
        wire.sent.clear()
    assert live.slider.looked is None and browser == {"max": 2, "value": 2}


def test_the_right_end_is_now_even_before_the_slider_has_grown():
    live = LiveTraining(*networks(), sketches(), config=CustomizeConfig(iterations=3, batch=2))
    live.start(), live.join()
    live.slider.scrub.value = 1
    live.history.snapshots.append(live.history.snapshots[-1])
    live.slider.scrub.value = live.slider.scrub.max
    assert live.slider.looked is None
    live.slider.scrub.value = 0
    live.slider.now_button.click()
    assert live.slider.looked is None and live.slider.scrub.value == live.slider.scrub.max == 1 + len(live.history)
    assert "now" in live.caption.value and not live.slider.use_button.disabled


def test_the_warm_start_shows_the_nearest_samples(monkeypatch):
    from sketchgan.customizing.warmstart import WarmStart
    warm = WarmStart(samples=64, rounds=1, pool=100, candidates=16, steps=2, batch=16, shown=8)
    config = CustomizeConfig(iterations=1, batch=2, warm_start=True, warm=warm)
    live = LiveTraining(*networks(), sketches(), config=config)
    captions, pictures = [], []
    live.caption.observe(lambda change: captions.append(change.new), "value")
    live.now.observe(lambda change: pictures.append(change.new), "value")
    live.start(), live.join()
    assert captions == [live_module.NEAREST, live_module.NOW] and pictures[0] != live.before.value
    assert live._picture(live._sample(live.result)) == live.now.value


def test_clock():
    assert parts.clock(61) == "1:01"


def family(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from family(child)


def test_everything_to_press_says_what_it_does():
    """And has a name, which screen readers say; and a tooltip needs one: without it JupyterLab shows an error."""
    live = LiveTraining(*networks(), sketches())
    names = ("Button", "ToggleButton", "IntSlider", "FloatSlider", "SelectionSlider")
    kinds = tuple(getattr(parts.w, name) for name in names)
    knobs = [widget for widget in family(live) if isinstance(widget, kinds)]
    assert len(knobs) >= 8 and all(len(widget.tooltip) > 10 and widget.description for widget in [*knobs, live.bar])
    assert len({widget.description for widget in knobs}) == len(knobs)
    assert all(widget.has_trait("description") for widget in family(live) if getattr(widget, "tooltip", None))


@pytest.fixture
def somebody(monkeypatch):
    """A person sits before the notebook."""
    monkeypatch.setattr(live_module, "somebody_is_there", lambda: True)


def test_waiting_for_the_end_leaves_the_loop_alive_and_the_start_to_the_user(somebody):
    """`await live.finished()` in a notebook: nothing begins before somebody presses Start."""
    live = LiveTraining(*networks(), sketches(), config=quick(2))

    async def person():
        await asyncio.sleep(0.5)
        assert "press Start" in live.status.value and not live.running and parts.BUSY.value == ""
        live.start_button.click()

    async def together():
        await asyncio.gather(live.finished(), person())

    asyncio.run(together())
    assert live.iteration == 2 and parts.BUSY.value
    asyncio.run(live.finished())                                         # there is a result: nothing to wait for


def test_nobody_there_means_that_it_starts_by_itself():
    live = LiveTraining(*networks(), sketches(), config=quick(1))
    asyncio.run(live.finished())
    assert live.iteration == 1
    failing = LiveTraining(*networks(), sketches(), images=torch.zeros(2, 3, 4, 4), config=quick(1))
    with pytest.raises(RuntimeError, match="images gave a batch"):
        asyncio.run(failing.finished())
    stopped = LiveTraining(*networks(), sketches(), config=quick(1000))
    stopped.start()
    while not len(stopped.history):
        time.sleep(0.01)
    stopped.stop()
    before = stopped.iteration
    asyncio.run(stopped.finished())
    assert stopped.iteration == before < 1000, "who pressed Stop wants the next cell, not the rest of the training"


def test_a_person_is_seen_by_what_the_front_end_sends(monkeypatch):
    shell = types.SimpleNamespace(get_parent=lambda: {"content": {"allow_stdin": there}})
    monkeypatch.setattr(parts.sys.modules["IPython"], "get_ipython", lambda: shell)
    monkeypatch.setitem(sys.modules, "ipykernel", types.SimpleNamespace(version_info=(7, 4, 0)))
    for there in (True, False):
        assert parts.somebody_is_there() is there
    there = True                                                         # but a kernel from before 7.4 hears nobody
    monkeypatch.setitem(sys.modules, "ipykernel", types.SimpleNamespace(version_info=(6, 31, 0)))
    assert not parts.somebody_is_there()


def test_stop_during_the_search_is_no_error(somebody):
    """The cell goes on waiting, since there is no result yet; Start goes on."""
    warm = WarmStart(samples=512, rounds=1, pool=100, candidates=16, steps=2, batch=16, shown=8)
    config = CustomizeConfig(iterations=2, batch=2, warm_start=True, warm=warm)
    live = LiveTraining(*networks(), sketches(), config=config)

    async def person():
        live.start_button.click()
        while live.session.phase != "warm":
            await asyncio.sleep(0.01)
        live.stop_button.click()
        while live.running:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        assert "before there was a result" in live.status.value and not live.start_button.disabled
        live.start_button.click()

    async def together():
        await asyncio.gather(live.finished(), person())

    asyncio.run(together())
    assert live.iteration == 2 and live.result is not None


def test_buttons_look_as_they_act():
    live = LiveTraining(*networks(), sketches(), config=quick(100_000))
    looks = lambda: [(b.disabled, b.button_style) for b in (live.start_button, live.pause_button, live.stop_button)]
    idle = [(False, "success"), (True, ""), (True, "")]
    assert looks() == idle
    live.start()
    assert looks() == [(True, ""), (False, ""), (False, "danger")]
    live.stop()
    assert looks() == idle


def test_another_moment_says_which_cells_to_run_again(monkeypatch):
    live = LiveTraining(*networks(), sketches(), config=quick(6))
    monkeypatch.setattr(live.history, "first_every", 0.0)
    live.start(), live.join()
    live.slider.scrub.value = 2
    live.slider.use_button.click()
    assert "again" not in live.slider.choice.value, "nothing has used a result yet"
    assert live.result is not None
    live.slider.scrub.value = 3
    live.slider.use_button.click()
    assert "made with iteration 2" in live.slider.choice.value and "run the next cell" in live.slider.choice.value
    assert live.result is not None and "again" not in live.slider.choice.value


def test_what_is_shown_leaves_room_for_a_change():
    """Of 48 samples an even row without those that are nearest to the sketches already."""
    live = LiveTraining(*networks(), sketches(), config=quick(1))
    G, seed = live.session.networks[0], live.session.config.seed
    z = torch.randn(48, 8, generator=torch.Generator().manual_seed(seed))
    assert live.z.shape == (8, 8) and all((z == row).all(1).any() for row in live.z)
    away = lambda z: chamfer(sketch_of(G(z, noise_mode="const"), live.session.F), sketches(), 16 / 6).amin(1)
    with torch.no_grad():
        assert away(live.z).min() >= away(z).quantile(0.3)


def test_starting_over_takes_what_is_on_the_pad():
    pad = SketchPad()
    live = LiveTraining(*networks(), sketches(), config=quick(2), pad=pad)
    live.start(), live.join()
    draw(pad, (20, 200), (90, 90))
    live.over_button.click()
    live.join()
    assert live.iteration == 2 and torch.equal(live.sketches, pad.sketches(16)) and len(live.losses) == 2


def test_a_pause_is_said_even_if_it_comes_while_something_is_measured(monkeypatch):
    live = LiveTraining(*networks(), sketches(), config=quick(100_000))
    monkeypatch.setattr(live.session, "measure", lambda G: (live.running and live.pause()) or {})
    live.start()
    wait_for(lambda: "paused" in live.status.value)
    held = live.iteration
    live.stop()
    assert live.iteration == held


@pytest.mark.parametrize("wrong", [{"D": None}, {"F": 3}, {"minutes": "a"}, {"minutes": float("nan")}, {"samples": -1},
                                   {"samples": torch.zeros(3)}, {"config": 3}, {"mode": 7}, {"fresh": "no"}])
def test_wrong_arguments_are_named(wrong):
    arguments = dict(zip("GDF", networks(), strict=True)) | {"sketches": sketches()} | wrong
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} of .* is "):
        LiveTraining(**arguments)
