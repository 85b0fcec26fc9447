"""Stopping: what the rule chooses on traces made up for it, what it keeps, and how `customize` looks, chooses and
ends."""

import dataclasses

import pytest
import torch

from sketchgan.customizing.controls import Controls
from sketchgan.customizing.run import CustomizeConfig, NonFiniteLoss, Run, customize
from sketchgan.customizing.stopping import Look, StoppingRule, Watch, choose, is_over, overfitting, verdict
from sketchgan.customizing.warmstart import WarmStart
from sketchgan.nets.stylegan2 import Generator
from sketchgan.weights import checkpoints
from tests.stand_ins import Dark, small_generator, small_networks

RULE = StoppingRule(patience=3)


def trace(*distances, diversity=None, overfit=None):
    diversity = diversity or [1.0] * len(distances)
    overfit = overfit or [None] * len(distances)
    return [Look(100 * i, d, v, o) for i, (d, v, o) in enumerate(zip(distances, diversity, overfit))]


@pytest.mark.parametrize("looks, chosen", [
    (trace(5, 4, 3, 2), 3),                                            # still coming nearer: the last
    (trace(5, 3, 2, 2.05, 2.5), 2),                                    # turned round
    (trace(5, 2, 2, 2), 1),                                            # what follows is not nearer: the earlier one
    (trace(5, 3, 2, 1, diversity=[1, 0.9, 0.85, 0.5]), 2),             # the nearest has collapsed
    (trace(5, 3, 2, 1, overfit=[0, 0.1, 0.5, 0.9]), 3),                # a D that knows by heart: noted, no more
    (trace(5, 3, 2, diversity=[0.5, 0.7, 0.6]), 1),                    # nothing is accepted: what is left of diversity
])
def test_what_is_kept(looks, chosen):
    assert choose(looks, RULE) == chosen


def test_a_gate_on_overfitting_is_there_for_whoever_wants_it():
    looks = trace(5, 3, 2, 1, overfit=[0, 0.1, 0.5, 0.9])
    strict, mild = (dataclasses.replace(RULE, overfit=most) for most in (0.6, 0.9))
    assert choose(looks, strict) == 2 and choose(looks, mild) == 3
    assert choose(trace(3, 2), strict) == 1, "no sketches were kept back: nothing to ask"


def test_the_choice_never_moves_back():
    torch.manual_seed(1)
    for _ in range(200):
        looks = [Look(i, 5 - 0.1 * i + torch.randn(()).item(), 0.6 + 0.6 * torch.rand(()).item())
                 for i in range(20)]
        good = [i for i in range(20) if looks[i].diversity >= RULE.keep]
        chosen = [choose(looks[:n], RULE) for n in range(good[0] + 1, 21)]
        assert chosen == sorted(chosen)


def test_over_when_nothing_nearer_has_come_for_as_many_looks_as_its_patience():
    assert [is_over(trace(5, 4, 3, 3.2, 3.1, 3.3)[:n], RULE) for n in range(1, 7)] == [False] * 5 + [True]
    assert not is_over(trace(5, 4, 3, 3.2, 3.1, 2.9), RULE)
    assert is_over(trace(5, 1, 1, 1, diversity=[1, 0.1, 0.1, 0.1]), RULE), "collapsed looks are no progress"
    with pytest.raises(ValueError, match="no look"):
        choose([], RULE)


@pytest.mark.parametrize("looks, words", [
    (trace(5, 4, 3), "kept iteration 200, the last"), (trace(5, 3, 4, 4), "kept iteration 100 of 300: nothing"),
    (trace(5, 4, diversity=[0.1, 0.2]), "kept iteration 100 of 100: everywhere too much variety"),
])
def test_the_verdict_says_what_is_kept_and_why(looks, words):
    assert verdict(looks, RULE).startswith(words)


@pytest.mark.parametrize("wrong", [dict(every=0), dict(samples=1), dict(patience=0), dict(truncate=float("nan"))])
def test_a_rule_that_cannot_look_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StoppingRule(**wrong)


class Brightness(torch.nn.Module):
    """A discriminator that likes what is bright."""

    def __init__(self, sign=1.0):
        super().__init__()
        self.sign = torch.nn.Parameter(torch.tensor(sign))

    def forward(self, x):
        return self.sign * x.mean((1, 2, 3))[:, None]


@pytest.mark.parametrize("held_out, expected", [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)])
def test_overfitting_says_on_which_side_unseen_sketches_stand(held_out, expected):
    flat = lambda value: torch.full((3, 1, 4, 4), value)
    assert overfitting(Brightness(), flat(1.0), flat(held_out), flat(0.0)) == pytest.approx(expected)
    assert overfitting(Brightness(-1.0), flat(1.0), flat(held_out), flat(0.0)) == 0, "no gap, nothing known by heart"


@pytest.fixture
def G():
    return small_generator()


def reddened(G, by):
    """A copy with more red: less of Dark's ink."""
    G = copy_of(G)
    with torch.no_grad():
        G.to_rgb1.bias[:, 0] += by
    return G


def copy_of(G):
    other = Generator(**G.config)
    other.load_state_dict(G.state_dict())
    return other.eval()


def equal_weights(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_watch_keeps_the_weights_of_the_chosen_look_alone(G):
    line = torch.ones(1, 1, 8, 8).index_fill(3, torch.tensor([2]), -1.0)
    watch = Watch(StoppingRule(samples=16, patience=2, keep=0.0), G, Dark(), line, trains={"to_rgb1.bias"})
    assert watch.trace == [] and watch.spread is None and not watch.over(), "nothing is measured before the first look"
    watch.begin(G)
    for i in (1, 2):
        watch.look(i, reddened(G, 0.4 * i))
    assert [look.iteration for look in watch.trace] == [0, 1, 2] and watch.trace[0].diversity == pytest.approx(1)
    assert watch.trace[2].distance > watch.trace[0].distance and watch.over()
    assert set(watch.kept) == {"to_rgb1.bias"} and equal_weights(watch.chosen(), G) and watch.chosen() is not G
    again = Watch(watch.rule, G, Dark(), line, trains={"to_rgb1.bias"})
    again.load_state_dict(watch.state_dict())
    assert again.trace == watch.trace and equal_weights(again.chosen(), G)
    other = Watch(dataclasses.replace(watch.rule, samples=8), G, Dark(), line)
    other.load_state_dict(watch.state_dict())
    assert other.trace == [], "another rule, other distances"


def test_a_look_judges_overfitting_by_the_sketches_kept_back(G):
    flat = lambda value: torch.full((2, 1, 8, 8), value)
    watch = Watch(StoppingRule(samples=8), G, Dark(), flat(1.0), flat(0.9))
    assert watch.look(0, G).overfit is None and 0 < watch.look(10, G, Brightness()).overfit < 1


def test_a_look_measures_the_distance_to_the_sketches_kept_back_too(G):
    line = lambda at: torch.ones(1, 1, 8, 8).index_fill(3, torch.tensor([at]), -1.0)
    look = lambda taught, held_out: Watch(StoppingRule(samples=16), G, Dark(), taught, held_out).look(0, G)
    assert look(line(2), None).unseen is None
    assert look(line(2), line(5)).unseen == look(line(5), None).distance != look(line(2), None).distance


# --------------------------------------------------------------------------------------------------------- in customize

QUICK = CustomizeConfig(d_reg_every=3, sample_every=0, samples=2, checkpoint_every=3,
                        stopping=StoppingRule(every=2, samples=8, patience=100))


@pytest.fixture(scope="module")
def networks():
    return small_networks()


@pytest.fixture
def sketches():
    return torch.cat([torch.ones(1, 1, 8, 8).index_fill(3, torch.tensor([2 + i]), -1.0) for i in range(3)])


@pytest.fixture
def measured(monkeypatch):
    """Looks find what `distances` says of the iteration, instead of measuring; gives the iterations looked at."""
    looked = []

    def script(distances):
        def measure(watch, iteration, G, D_sketch):
            looked.append(iteration)
            return Look(iteration, distances.get(iteration, 9.0), 1.0)

        monkeypatch.setattr(Watch, "measure", measure)
        return looked

    return script


def play(networks, sketches, config, iterations, **options):
    """All steps, with the trained weights of each, and the run."""
    run = Run(*networks, sketches, None, dataclasses.replace(config, iterations=iterations),
              options.get("controls") or Controls(), options.get("resume"), options.get("checkpoint"))
    steps = []
    for step in run.steps():
        parameters = dict(step.G.named_parameters())
        steps.append((step, {name: parameters[name].detach().clone() for name in run.state.params_G}))
        if options.get("until") == step.iteration + 1:
            break
    return steps, run


def losses(steps):
    return {step.iteration: step.losses for step, _ in steps if step.phase == "train"}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_customize_looks_by_default_but_not_in_short_runs(networks, sketches, measured):
    config, looked = dataclasses.replace(QUICK, stopping=CustomizeConfig().stopping), measured({})
    assert config.stopping == StoppingRule()
    every = config.stopping.every
    short, run = play(networks, sketches, config, 3)
    assert not looked and run.watch.spread is None and [step.phase for step, _ in short] == ["train"] * 3
    run.state.iteration = every - 2
    run.config = dataclasses.replace(run.config, iterations=every)
    assert [(step.phase, step.iteration) for step in run.steps()] == [
        ("train", every - 2), ("train", every - 1), ("chosen", every)] and looked == [every]


def test_looks_move_no_random_stream(networks, sketches):
    looking, run = play(networks, sketches, QUICK, 7)
    blind, other = play(networks, sketches, dataclasses.replace(QUICK, stopping=None), 7)
    assert losses(looking) == losses(blind) and len(run.watch.trace) == 3 and other.watch is None
    assert same(run.state.params_G, other.state.params_G)
    assert [step.phase for step, _ in looking] == ["train"] * 7 + ["chosen"] and blind[-1][0].phase == "train"


def test_the_chosen_generator_comes_last_and_is_a_copy(networks, sketches, measured):
    measured({2: 5.0, 4: 3.0, 6: 3.5, 7: 4.0})
    steps, run = play(networks, sketches, dataclasses.replace(QUICK, sample_every=100), 7)
    (last, weights), by_iteration = steps[-1], {step.iteration + 1: w for step, w in steps[:-1]}
    assert (last.phase, last.iteration, last.done, last.losses["distance"]) == ("chosen", 4, 1.0, 3.0)
    assert last.message.startswith("kept iteration 4 of 7") and last.samples.shape == (2, 3, 8, 8)
    assert same(weights, by_iteration[4]) and not same(weights, by_iteration[7])
    assert last.G is not run.state.G and last.seconds >= steps[-2][0].seconds
    frozen = {name: value for name, value in last.G.state_dict().items() if name not in run.state.params_G}
    assert all(torch.equal(value, networks[0].state_dict()[name]) for name, value in frozen.items())


def test_the_average_is_what_is_looked_at_and_chosen(networks, sketches, measured):
    measured({2: 1.0})
    steps, _ = play(networks, sketches, dataclasses.replace(QUICK, g_ema_kimg=0.01), 5)
    assert same(steps[-1][1], steps[1][1]) and steps[1][0].G is not steps[-1][0].G


def test_the_state_at_the_end_is_a_candidate(networks, sketches, measured):
    looked = measured({2: 5.0, 4: 4.0, 5: 1.0})
    steps, _ = play(networks, sketches, QUICK, 5)
    assert looked == [2, 4, 5] and steps[-1][0].iteration == 5 and same(steps[-1][1], steps[-2][1])


def test_training_ends_when_the_rule_says_so_and_a_resume_agrees(networks, sketches, measured, tmp_path):
    measured({2: 1.0})
    config = dataclasses.replace(QUICK, stopping=dataclasses.replace(QUICK.stopping, patience=2))
    file = tmp_path / "training.pt"
    steps, run = play(networks, sketches, config, 50, checkpoint=file)
    assert run.state.iteration == 6 and (steps[-1][0].phase, steps[-1][0].iteration) == ("chosen", 2)
    again, _ = play(networks, None, config, 50, resume=file)
    assert [step.phase for step, _ in again] == ["chosen"] and same(again[0][1], steps[-1][1])
    on, _ = play(networks, None, dataclasses.replace(config, stopping=None), 8, resume=file)
    assert list(losses(on)) == [6, 7], "without the rule it trains on"
    drawn, _ = play(networks, None, config, 8, resume=file, controls=Controls(sketches=sketches[:1]))
    assert list(losses(drawn)) == [6, 7], "and other sketches are a new beginning"


@pytest.mark.parametrize("leave", ["loop", "stop"])
def test_whoever_ends_it_has_what_there_is(networks, sketches, measured, leave):
    measured({})
    controls, seen = Controls(), []
    for step in customize(*networks, sketches, config=dataclasses.replace(QUICK, iterations=9), controls=controls):
        seen.append(step.phase)
        if step.iteration == 4:
            if leave == "loop":
                break
            controls.stop = True
    assert seen == ["train"] * 5


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5, 6])
def test_a_resumed_run_chooses_what_an_unbroken_one_would(networks, sketches, measured, tmp_path, stop_after):
    measured({2: 5.0, 4: 3.0, 6: 3.5, 8: 3.6})
    whole, run = play(networks, sketches, QUICK, 9)
    file = tmp_path / "training.pt"
    play(networks, sketches, QUICK, 9, checkpoint=file, until=stop_after)
    second, resumed = play(networks, None, QUICK, 9, resume=file)
    assert resumed.watch.trace == run.watch.trace and [look.iteration for look in run.watch.trace] == [2, 4, 6, 8]
    assert second[-1][0].message == whole[-1][0].message and same(second[-1][1], whole[-1][1])
    # The look at the end of a shorter run is not in its file: the longer run it becomes would not have looked there.
    play(networks, sketches, QUICK, 7, checkpoint=file)
    longer, resumed = play(networks, None, QUICK, 9, resume=file)
    assert resumed.watch.trace == run.watch.trace and same(longer[-1][1], whole[-1][1])


def test_resumed_looks_measure_the_same(networks, sketches, tmp_path):
    file = tmp_path / "training.pt"
    _, whole = play(networks, sketches, QUICK, 5)
    play(networks, sketches, QUICK, 5, checkpoint=file, until=3)
    torch.manual_seed(9)
    _, resumed = play(networks, None, QUICK, 5, resume=file)
    assert resumed.watch.trace == whole.watch.trace and same(resumed.watch.kept, whole.watch.kept)
    assert len({look.diversity for look in whole.watch.trace}) == 2 and resumed.watch.spread == whole.watch.spread


def test_the_warm_start_is_a_candidate(networks, sketches, measured, tmp_path):
    looked = measured({0: 1.0})
    tiny = WarmStart(samples=48, keep=0.25, rounds=1, candidates=8, pool=32, steps=3, batch=8, shift=0, scale=0)
    config, file = dataclasses.replace(QUICK, warm_start=True, warm=tiny), tmp_path / "training.pt"
    steps, _ = play(networks, sketches, config, 1, checkpoint=file)
    assert not looked and steps[-1][0].phase == "train"
    warm = checkpoints.load_training(file)["watch"]["start"]
    steps, _ = play(networks, sketches, config, 3, resume=file)
    assert looked == [0, 2, 3] and (steps[-1][0].phase, steps[-1][0].iteration) == ("chosen", 0)
    assert same(steps[-1][1], warm)


def test_other_sketches_begin_the_trace_anew(networks, sketches, measured):
    looked, controls = measured({2: 1.0}), Controls()
    run = Run(*networks, sketches, None, dataclasses.replace(QUICK, iterations=7), controls, None, None)
    for step in run.steps():
        if step.iteration == 2:
            controls.l_image = 0.1
            assert run.watch.trace[0].distance == 1.0
        if step.phase == "train" and step.iteration == 4:
            assert [look.iteration for look in run.watch.trace] == [2, 4], "weights leave the trace alone"
            controls.sketches = sketches[:2]
    assert looked == [2, 4, 6, 7] and step.iteration == 6 and [look.iteration for look in run.watch.trace] == [6]
    assert torch.equal(run.watch.sketches, sketches[:2])


def test_restoring_a_good_state_restores_the_trace(networks, sketches, measured):
    measured({2: 5.0, 4: 1.0})
    run = Run(*networks, sketches, None, dataclasses.replace(QUICK, iterations=9), Controls(), None, None)
    with pytest.raises(NonFiniteLoss, match="iteration 3 was restored"):
        for step in run.steps():
            if step.iteration == 2:
                good = {name: value.clone() for name, value in run.watch.kept.items()}
            if step.iteration == 4:
                assert len(run.watch.trace) == 2 and not same(run.watch.kept, good)
                with torch.no_grad():
                    run.state.G.style[1].weight.fill_(float("nan"))
    assert [look.iteration for look in run.watch.trace] == [2] and same(run.watch.kept, good)


def test_the_rule_must_be_one():
    with pytest.raises(ValueError, match="stopping of CustomizeConfig is True; wanted a StoppingRule or None"):
        CustomizeConfig(stopping=True)
