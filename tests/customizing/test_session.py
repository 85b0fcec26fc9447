"""Training in the background, without widgets: it can fail, be found again, and goes on from where it was."""
import signal
import threading
import time

import pytest
import torch

from sketchgan.customizing import session
from sketchgan.customizing.run import CustomizeConfig
from sketchgan.customizing.session import Session, open_session
from sketchgan.customizing.stopping import Look, StoppingRule, Watch
from sketchgan.drawing.sketches import load_sketches
from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.weights import checkpoints

CHANNELS = {4: 4, 8: 4}


@pytest.fixture(autouse=True)
def new_kernel():
    """No session of another test is found."""
    forget_kernel()


def forget_kernel():
    """What a restart of the kernel does."""
    if session._running:
        session._running.stop()
    session._sessions.clear()
    session._running = None


def networks():
    torch.manual_seed(1)
    return (Generator(8, z_dim=4, w_dim=4, num_mapping=2, channels=CHANNELS), Discriminator(8, channels=CHANNELS),
            PhotoSketch(ngf=2, n_blocks=1))


def sketches(count=2):
    drawn = torch.ones(count, 1, 8, 8)
    for i in range(count):
        drawn[i, :, 1 + i, 1:7] = -1
    return drawn


def quick(iterations=3, **recipe):
    return CustomizeConfig(iterations=iterations, batch=2, threads=1, **recipe)


def finish(one):
    one.start(), one.join()
    return one


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not true in time"
        time.sleep(0.005)


def weights(G):
    return torch.cat([p.detach().flatten() for p in G.style.parameters()])


def test_a_failed_run_goes_on_from_the_last_good_state():
    G, D, F = networks()
    broken = []

    def images(n, generator):
        if len(broken) == 1 and len(calls) > 5:
            raise OSError("the disk of the photographs is gone")
        calls.append(n)
        return torch.zeros(n, 3, 8, 8)

    calls = []
    broken.append(True)
    one = Session(G, D, F, sketches(), images=images, config=quick(12, checkpoint_every=4))
    one.start()
    with pytest.raises(RuntimeError, match="(?s)photographs is gone.*state of iteration 6 .*press Start"):
        one.join()
    assert not one.running and one.run.state.iteration == 6, "not the half step that failed"
    assert one.result is not None and [i for i, _ in one.history.losses] == [1, 2, 3, 4, 5, 6]
    broken.clear()
    finish(one)
    assert one.iteration == 12 and one.error is None
    # It is the run that never failed.
    smooth = finish(Session(G, D, F, sketches(), images=lambda n, generator: torch.zeros(n, 3, 8, 8),
                            config=quick(12, checkpoint_every=4)))
    assert torch.equal(weights(one.result), weights(smooth.result))


def test_a_cell_that_is_run_again_finds_its_session(tmp_path):
    path, given = tmp_path / "training.pt", networks()
    one = open_session(*given, sketches(), config=quick(), checkpoint=path, minutes=3)
    assert open_session(*given, sketches(), config=quick(), checkpoint=path, minutes=3) is one
    assert open_session(*networks(), sketches(), config=quick(),
                        checkpoint=path) is one, "the same weights, loaded again"
    assert one.minutes is None
    assert open_session(*given, sketches(), config=quick(5), checkpoint=path) is not one, "another recipe"
    assert open_session(*given, sketches(), config=quick(), checkpoint=tmp_path / "other.pt") is not one
    assert open_session(*given, sketches(), config=quick()) is not open_session(*given, sketches(), config=quick())


def test_a_new_kernel_finds_the_result_and_goes_on(tmp_path):
    path = tmp_path / "training.pt"
    one = finish(open_session(*networks(), sketches(), config=quick(3), checkpoint=path))
    forget_kernel()
    again = open_session(*networks(), sketches(), config=quick(5), checkpoint=path)
    assert torch.equal(weights(again.result), weights(one.result)) and again.iteration == 3, "before any training"
    finish(again)
    through = finish(open_session(*networks(), sketches(), config=quick(5)))
    assert torch.equal(weights(again.result), weights(through.result)), "as if it had never stopped"
    assert [i for i, _ in again.history.losses] == [1, 2, 3, 4, 5] and len(again.history.measures) >= 1


def test_what_was_changed_while_it_ran_is_still_so_in_a_new_kernel(tmp_path):
    path, changed = tmp_path / "training.pt", sketches(3)
    one = open_session(*networks(), sketches(), config=quick(2), checkpoint=path)
    one.controls.sketches = changed
    finish(one)
    forget_kernel()
    again = finish(open_session(*networks(), sketches(), config=quick(4), checkpoint=path))
    assert torch.equal(again.sketches, changed), "the call's sketches are those it began with: no wish"
    forget_kernel()
    other = sketches(4)
    forced = finish(open_session(*networks(), other, config=quick(6), checkpoint=path, fresh=False))
    assert forced.iteration == 6 and torch.equal(forced.sketches, other), "others are one"
    forget_kernel()
    without = finish(open_session(*networks(), config=quick(7), checkpoint=path))
    assert without.iteration == 7 and torch.equal(without.sketches, other), "none: the checkpoint's"


def test_other_sketches_another_day_are_another_run_and_the_old_one_is_kept(tmp_path):
    path = tmp_path / "training.pt"
    finish(open_session(*networks(), sketches(), config=quick(2), checkpoint=path))
    kept = path.read_bytes()
    forget_kernel()
    new = open_session(*networks(), sketches(3), config=quick(1), checkpoint=path)
    assert not path.exists() and (tmp_path / "training.before.pt").read_bytes() == kept
    finish(new)
    assert new.iteration == 1 and len(new.sketches) == 3 and all(s.iteration == 1 for s in new.history.snapshots)
    with pytest.raises(ValueError, match="there are no sketches"):
        open_session(*networks(), config=quick(), checkpoint=tmp_path / "nothing.pt")


def test_starting_over_takes_the_sketches_as_they_are_now(tmp_path):
    path = tmp_path / "training.pt"
    one = finish(open_session(*networks(), sketches(), config=quick(2), checkpoint=path))
    one.controls.set(sketches=sketches(3), l_image=0.1)
    one.clear()
    assert one.iteration == 0 and not len(one.history) and (tmp_path / "training.before.pt").exists()
    finish(one)
    begun = checkpoints.load_training(path)
    assert torch.equal(begun["first_sketches"], sketches(3)) and begun["terms"]["l_image"] == 0.1
    assert [i for i, _ in one.history.losses] == [1, 2]


def test_a_damaged_checkpoint_is_refused_with_advice(tmp_path):
    path = tmp_path / "training.pt"
    path.write_bytes(b"nothing of the kind")
    one = open_session(*networks(), sketches(), config=quick(), checkpoint=path)
    one.start()
    with pytest.raises(RuntimeError, match="fresh=True"):
        one.join()
    assert path.read_bytes() == b"nothing of the kind"
    assert finish(open_session(*networks(), sketches(), config=quick(1), checkpoint=path, fresh=True)).iteration == 1


def test_a_pause_costs_no_minutes():
    one = Session(*networks(), sketches(), config=quick(100_000))
    one.start()
    wait_for(lambda: one.iteration >= 2)
    one.controls.pause = True
    time.sleep(0.3)
    before = one.seconds
    time.sleep(1.0)
    one.controls.pause = False
    reached = one.iteration
    wait_for(lambda: one.iteration > reached)
    assert one.seconds - before < 0.8
    one.stop()


def test_one_training_at_a_time(tmp_path):
    first = open_session(*networks(), sketches(), config=quick(100_000), checkpoint=tmp_path / "1.pt")
    first.start()
    wait_for(lambda: first.iteration >= 1)
    second = open_session(*networks(), sketches(), config=quick(100_000), checkpoint=tmp_path / "2.pt")
    second.start()
    assert not first.running and second.running and first.run is None, "its file can bring it again"
    first.start()
    reached = first.iteration
    wait_for(lambda: first.iteration > reached)
    first.stop()
    assert not second.running


def test_the_judge_s_share_is_measured():
    class Judge(torch.nn.Linear):
        def satisfies(self, predicate, images):
            assert predicate == "standing_cat"
            return torch.arange(len(images)) % 4 == 0

    one = finish(Session(*networks(), sketches(), config=quick(1), judge=Judge(1, 1), predicate="standing_cat"))
    assert one.history.measures.series("share")[1][0] == 0.25
    assert one.history.measures.series("distance")[1][0] > 0
    with pytest.raises(ValueError, match="go together"):
        Session(*networks(), sketches(), predicate="standing_cat")


def test_ready_made_sketches_do_too():
    one = Session(*networks(), load_sketches("standing_cat", 8), config=quick(1))
    assert len(one.sketches) >= 1 and one.done == 0 and one.speed == 0


@pytest.fixture
def second_is_best(monkeypatch):
    """Of all looks, the one after two iterations finds the samples nearest to the sketches."""
    look = lambda watch, iteration, G, D: Look(iteration, 1.0 if iteration == 2 else 2.0, 1.0)
    monkeypatch.setattr(Watch, "measure", look)


def remember(one):
    """Weights by number of iterations, as training passes them."""
    seen = {}
    one.on_step = lambda step: seen.update({step.iteration + 1: weights(step.G)}) if step.phase == "train" else None
    return seen


def test_the_rule_s_choice_is_the_result_until_training_goes_on(second_is_best):
    one = Session(*networks(), sketches(), config=quick(6, stopping=StoppingRule(every=2)))
    seen = remember(one)
    finish(one)
    assert one.verdict.startswith("kept iteration 2 of 6")
    assert one.history.chosen.iteration == 2 and one.iteration == 6 and torch.equal(weights(one.result), seen[2])
    one.config = one.run.config = quick(8, stopping=StoppingRule(every=2))
    one.start()
    assert one.history.chosen is None or one.verdict, "what the rule chose is no choice of anybody's"
    one.join()
    assert one.verdict.startswith("kept iteration 2 of 8") and one.iteration == 8


def test_the_rule_chooses_when_the_minutes_are_over_and_not_on_stop_nor_against_a_choice(second_is_best):
    one = Session(*networks(), sketches(), config=quick(10_000, stopping=StoppingRule(every=2)), minutes=0.02)
    finish(one)
    assert one.iteration > 2 and one.verdict.startswith("kept iteration 2")
    stopped = Session(*networks(), sketches(), config=quick(10_000, stopping=StoppingRule(every=2)))
    stopped.start(), wait_for(lambda: stopped.iteration > 4), stopped.stop(), stopped.join()
    assert not stopped.verdict and stopped.history.chosen is None
    mine = Session(*networks(), sketches(), config=quick(6, stopping=StoppingRule(every=2)))
    mine.on_step = lambda step: mine.history.choose(mine.history.snapshots[0]) if step.iteration == 4 else None
    finish(mine)
    assert not mine.verdict and mine.history.chosen is mine.history.snapshots[0]


def stop_at(iteration):
    """Ctrl-C after a step."""
    def on_step(step):
        if step.phase == "train" and step.iteration == iteration:
            signal.raise_signal(signal.SIGINT)
    return on_step


def test_a_failure_after_stop_and_start_never_goes_back_before_the_stop(tmp_path):
    path, calls = tmp_path / "training.pt", []

    def images(n, generator):
        calls.append(n)
        if len(calls) == 10:
            raise RuntimeError("a picture vanished")
        return torch.zeros(n, 3, 8, 8)

    one = Session(*networks(), sketches(), images=images, config=quick(50), checkpoint=path)
    one.on_step = lambda step: setattr(one.controls, "stop", step.iteration == 6)
    one.start(here=True)
    at = lambda: checkpoints.load_training(path)["state"]["iteration"]
    assert at() == one.iteration == 7
    one.on_step = None
    one.start(here=True)
    assert "vanished" in one.error and at() == 9 and one.iteration == 9 and one.history.snapshots[-1].iteration == 9


def test_ctrl_c_in_the_cell_ends_training_like_stop(tmp_path):
    path = tmp_path / "training.pt"
    one = Session(*networks(), sketches(), config=quick(50, checkpoint_every=100), checkpoint=path)
    for reached in (4, 8):
        one.on_step = stop_at(reached - 1)
        one.start(here=True)
        assert not one.running and one.error is None and one.iteration == reached
        assert checkpoints.load_training(path)["state"]["iteration"] == reached
    assert one.result is not None


def test_one_training_at_a_time_when_it_is_in_a_cell_too():
    first, second = (Session(*networks(), sketches(), config=quick(100_000)) for _ in range(2))
    cell = threading.Thread(target=lambda: first.start(here=True))
    cell.start()
    wait_for(lambda: first.iteration >= 1)
    second.start()
    assert not first.running and second.running
    second.stop()
    cell.join()
    words = []

    def on_step(step):
        try:
            second.start()
        except RuntimeError as error:
            words.append(str(error))
        first.controls.stop = True

    first.on_step = on_step
    first.start(here=True)
    assert words and "another training runs in this very call" in words[0] and not second.running


def test_without_a_step_there_is_no_result():
    one = Session(*networks(), sketches(), config=quick(3))
    one.controls.pause = True
    one.start()
    one.stop()
    assert not len(one.history)
    with pytest.raises(RuntimeError, match="no result yet"):
        one.result
