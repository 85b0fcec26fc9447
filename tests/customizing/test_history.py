"""The history of a run: evenly spread, bounded, on disk as deltas that anybody can read."""
import json

import pytest
import torch

from sketchgan.customizing.history import Curve, History
from sketchgan.nets.stylegan2 import Generator
from sketchgan.weights import checkpoints

CHANNELS = {4: 4, 8: 4}


def generator(seed=0):
    torch.manual_seed(seed)
    return Generator(8, z_dim=4, w_dim=4, num_mapping=2, channels=CHANNELS)


def nudge(G, by):
    with torch.no_grad():
        G.style[1].weight += by
    return G


def filled(folder=None, count=5, **bounds):
    base, G = generator(), generator()
    history = History(base, folder, **bounds)
    for i in range(count):
        history.add(nudge(G, 1.0), 10 * i, 2.0 * i + 2.0)
    return history, base, G


def test_a_curve_is_bounded_and_even():
    curve = Curve(most=8)
    for i in range(1, 101):
        curve.add(i, {"a": i / 2} | ({"b": 1.0} if i % 2 else {}))
    xs = [x for x, _ in curve]
    assert len(curve) <= 8 and {b - a for a, b in zip(xs, xs[1:])} == {curve.stride} and xs[-1] > 100 - curve.stride
    assert curve.series("a") == (tuple(xs), tuple(x / 2 for x in xs))
    assert curve.series("nothing") == ((), ())


def test_snapshots_are_bounded_and_even_and_keep_the_chosen_one():
    history, *_ = filled(count=6, most=10)
    history.choose(history.snapshots[4])
    chosen, G = history.chosen, generator()
    for i in range(6, 300):
        seconds = 2.0 * i + 2.0
        if history.due(seconds):
            history.add(nudge(G, 1.0), 10 * i, seconds)
    assert len(history) <= 12 and chosen in history.snapshots and history.chosen is chosen
    times = [s.seconds for s in history.snapshots if s is not chosen]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert times == sorted(times) and max(gaps) <= 2.1 * min(gaps) and times[-1] > 600 - 2 * history.every
    large, *_ = filled(count=30, most_bytes=1)
    assert 4 <= len(large) <= 8, "eight are kept, however large"


def test_a_snapshot_is_a_generator_again():
    history, base, G = filled()
    again = history.generator(history.snapshots[-1])
    z = torch.randn(2, 4)
    assert torch.equal(again(z, noise_mode="const"), G(z, noise_mode="const")) and not again.training
    nudge(again, 1.0)
    assert torch.equal(history.generator(history.snapshots[-1]).style[1].weight, G.style[1].weight), "a copy"
    assert torch.equal(base.style[1].weight, generator().style[1].weight)


def test_other_parameters_that_trained_are_kept_too():
    history, G = History(generator()), generator()
    with torch.no_grad():
        G.to_rgb1.bias += 1
    history.add(G, 1, 1.0, trained=["to_rgb1.bias"])
    assert torch.equal(history.generator(history.snapshots[0]).to_rgb1.bias, G.to_rgb1.bias)
    assert "conv1.conv.weight" not in history.snapshots[0].state


def test_a_new_kernel_finds_it(tmp_path):
    history, base, G = filled(tmp_path / "run.history")
    history.losses.add(1, {"G_sketch": 0.5})
    history.measures.add(0.5, {"distance": 2.0})
    history.choose(history.snapshots[1])
    again = History(base, tmp_path / "run.history")
    again.read()
    assert [(s.iteration, s.seconds) for s in again.snapshots] == [(s.iteration, s.seconds) for s in history.snapshots]
    assert again.chosen is again.snapshots[1] and list(again.losses) == [(1, {"G_sketch": 0.5})]
    assert again.measures.series("distance") == ((0.5,), (2.0,))
    # Each file is a delta for whoever has the base.
    path = tmp_path / "run.history" / history.snapshots[-1].file
    assert torch.equal(checkpoints.load_generator(path, base=base).style[1].weight, G.style[1].weight)


def test_what_does_not_belong_or_cannot_be_read_is_left_out(tmp_path):
    history, base, _ = filled(tmp_path)
    other = History(generator(1), tmp_path)
    other.read()
    assert len(other) == 0, "another base"
    (tmp_path / history.snapshots[2].file).write_bytes(b"cut off")
    torn = History(base, tmp_path)
    torn.read()
    assert len(torn) == 4
    (tmp_path / "history.json").write_text("{")
    damaged = History(base, tmp_path)
    damaged.read()
    assert len(damaged) == 0


def test_dropped_snapshots_leave_no_files(tmp_path):
    history, *_ = filled(tmp_path, count=40, most=10)
    files = lambda: sorted(p.name for p in tmp_path.glob("*.safetensors"))
    assert files() == [s.file for s in history.snapshots]
    history.losses.add(10, {}), history.losses.add(300, {})
    history.choose(history.snapshots[-1])
    history.forget_after(200, 42.0)
    assert files() == [s.file for s in history.snapshots] and max(s.seconds for s in history.snapshots) <= 42
    assert history.chosen is None and [x for x, _ in history.losses] == [10]
    history.clear()
    assert not files() and not (tmp_path / "history.json").exists() and not len(history)


def test_weights_that_are_no_numbers_are_not_kept(tmp_path):
    history, _, G = filled(tmp_path, count=1)
    with pytest.raises(checkpoints.CheckpointError, match="NaN or infinite"):
        history.add(nudge(G, float("nan")), 20, 20.0)
    assert len(history) == 1 and json.loads((tmp_path / "history.json").read_text())["chosen"] is None


def test_what_is_added_last_and_what_is_chosen_are_always_there():
    history, G = History(generator(), most=10), generator()
    for i in range(200):
        newest = history.add(nudge(G, 1.0), i, 1.3 * i)
        assert history.snapshots[-1] is newest and newest.iteration == i
        if i == 57:
            history.choose(newest)
        assert i < 57 or history.chosen.iteration == 57
    assert history.add(G, 500, history.snapshots[-1].seconds) is newest, "no time has passed"


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "null", '{"base": 3}', "\udc00", '{"every": 1e999}'])
def test_a_damaged_index_is_an_empty_history(tmp_path, text):
    history, base, _ = filled(tmp_path)
    (tmp_path / "history.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    again = History(base, tmp_path)
    again.read()
    assert len(again) == 0 and not len(again.losses)


@pytest.mark.parametrize("change", [dict(every=0), dict(every="x"), dict(losses={"stride": 0, "points": []}),
                                    dict(losses={"stride": 1, "points": [[1, {"a": None}]]}), dict(measures=3)])
def test_nonsense_in_an_index_is_left_out_whole(tmp_path, change):
    history, base, _ = filled(tmp_path)
    index = json.loads((tmp_path / "history.json").read_text())
    (tmp_path / "history.json").write_text(json.dumps(index | change))
    again = History(base, tmp_path)
    again.read()
    assert len(again) == 0
