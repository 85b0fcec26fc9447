"""Nothing that was trained is lost or taken for something else: whole states, files with one owner, files from
strangers."""
import copy
import dataclasses
import itertools
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from sketchgan.customizing import run as run_module
from sketchgan.customizing.controls import Controls
from sketchgan.customizing.run import CustomizeConfig, NonFiniteLoss, Run, customize
from sketchgan.customizing.state import Shuffle
from sketchgan.customizing.stopping import StoppingRule
from sketchgan.customizing.warmstart import WarmStart
from sketchgan.files.atomic import FolderInUse
from sketchgan.weights.checkpoints import CheckpointError, load_training, save_training
from tests.stand_ins import small_networks

QUICK = CustomizeConfig(iterations=6, d_reg_every=3, batch=2, sample_every=0, samples=2, threads=1, stopping=None)
TINY_WARM = WarmStart(samples=48, keep=0.25, rounds=1, candidates=8, pool=32, steps=3, batch=8, shift=0, scale=0)


@pytest.fixture(scope="module")
def networks():
    return small_networks()


def page(count=3):
    sketches = torch.ones(count, 1, 8, 8)
    for i in range(count):
        sketches[i, :, 1:7, 2 + i] = -1
    return sketches


def at(file):
    return load_training(file)["state"]["iteration"]


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


# ---- exact resume

@pytest.mark.parametrize("r1_gamma", [0.0, 10.0])
@pytest.mark.parametrize("l_weight", [(0.0, 0.0), (0.0, 0.3), (0.3, 0.0)])
@pytest.mark.parametrize("l_image", list(itertools.product((0.0, 0.7), repeat=2)))
def test_resume_is_exact_whatever_weights_are_zero(networks, tmp_path, l_image, l_weight, r1_gamma):
    config = dataclasses.replace(QUICK, l_image=l_image[0], l_weight=l_weight[0], r1_gamma=r1_gamma)

    def walk(until=None, **options):
        run = Run(*networks, page(), config=config, **options)
        losses = {}
        for step in run.steps():
            losses[step.iteration] = step.losses
            if step.iteration in (0, 4):
                i = int(step.iteration == 0)                        # the other weights, and in the end the first again
                run.controls.set(l_image=l_image[i], l_weight=l_weight[i])
            if step.iteration == until:
                break
        return losses, run

    whole, run = walk()
    first, _ = walk(2, checkpoint=tmp_path / "a.pt")
    second, resumed = walk(resume=tmp_path / "a.pt")
    assert first | second == whole and min(second) == 3
    assert equal(run.state.state_dict(), resumed.state.state_dict())


class Listed:
    """The order of things as it was when all of it was stored."""

    def __init__(self, generator):
        self.generator, self.size, self.left = generator, 0, []

    def batch(self, n, size):
        if size != self.size or len(self.left) < n <= size:
            self.size, self.left = size, []
        while len(self.left) < n:
            self.left += torch.randperm(size, generator=self.generator).tolist()
        taken, self.left = self.left[:n], self.left[n:]
        return torch.tensor(taken)


def test_the_order_is_the_one_that_was_always_drawn_and_little_is_stored():
    for seed in range(40):
        rng, streams = random.Random(seed), [torch.Generator().manual_seed(seed) for _ in range(3)]
        order, listed, again = Shuffle(streams[0]), Listed(streams[1]), Shuffle(streams[2])
        for _ in range(30):
            n, size = rng.randint(1, 7), rng.choice((1, 2, 5, 9, 9, 9))
            if rng.random() < 0.3:
                again.load_state_dict(copy.deepcopy(order.state_dict()))
                streams[2].set_state(streams[0].get_state())
            else:
                again.batch(n, size)
            assert torch.equal(order.batch(n, size), listed.batch(n, size))
    big = Shuffle(torch.Generator().manual_seed(0))
    big.batch(4, 1_000_000)
    assert sum(v.nbytes for v in big.state_dict().values() if isinstance(v, torch.Tensor)) < 10_000


def test_other_images_of_the_same_number_are_refused(networks, tmp_path):
    images = lambda seed: torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    list(customize(*networks, page(), images(0), QUICK, checkpoint=tmp_path / "a.pt"))
    with pytest.raises(ValueError, match="5 images .* and now there is 5 images"):
        customize(*networks, None, images(1), QUICK, resume=tmp_path / "a.pt")


# ---- an end without a step, an end in the middle

def test_without_a_step_nothing_is_written(networks, tmp_path):
    file = tmp_path / "a.pt"
    controls = Controls()
    controls.stop = True
    assert list(customize(*networks, page(), config=QUICK, controls=controls,
                          checkpoint=file)) == [] and not file.exists()
    list(customize(*networks, page(), config=QUICK, checkpoint=file))
    before = file.read_bytes()
    customize(*networks, page(), config=QUICK, checkpoint=file).close()
    assert list(customize(*networks, page(), config=QUICK, checkpoint=file, resume=file)) == []
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_new_run_sets_the_old_one_aside(networks, tmp_path):
    file = tmp_path / "a.pt"
    kept = []
    for seed in range(3):
        list(customize(*networks, page(), config=dataclasses.replace(QUICK, seed=seed, iterations=2), checkpoint=file))
        kept.append(file.read_bytes())
    assert (tmp_path / "a.before.pt").read_bytes() == kept[0] and (tmp_path / "a.before-2.pt").read_bytes() == kept[1]


def interrupting(monkeypatch, when, times=1):
    """Ctrl-C in the middle of a step."""
    real = run_module.train_step

    def step(state, *args):
        if state.iteration == when:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return real(state, *args)

    monkeypatch.setattr(run_module, "train_step", step)


@pytest.mark.parametrize("where", ["in a step", "between steps"])
def test_ctrl_c_in_a_bare_loop_loses_nothing(networks, tmp_path, monkeypatch, where):
    file, seen = tmp_path / "a.pt", []
    if where == "in a step":
        interrupting(monkeypatch, 3)
    steps = customize(*networks, page(), config=QUICK, checkpoint=file)
    with pytest.raises(KeyboardInterrupt):
        for step in steps:
            seen.append(step.iteration)
            if where == "between steps" and step.iteration == 3:
                signal.raise_signal(signal.SIGINT)
    assert at(file) == 4 and seen[-1] == (2 if where == "in a step" else 3), "the step was done to its end"
    steps.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    assert [s.iteration for s in customize(*networks, None, config=QUICK, resume=file, checkpoint=file)] == [4, 5]


def test_a_second_ctrl_c_does_not_wait_and_leaves_a_whole_state(networks, tmp_path, monkeypatch):
    file = tmp_path / "a.pt"
    interrupting(monkeypatch, 3, times=2)
    run = Run(*networks, page(), config=dataclasses.replace(QUICK, checkpoint_every=2), checkpoint=file)
    with pytest.raises(KeyboardInterrupt):
        list(run.steps())
    assert at(file) == run.state.iteration == 2
    monkeypatch.undo()
    list(run.steps())                                               # the same run goes on from there
    whole = Run(*networks, page(), config=QUICK)
    list(whole.steps())
    assert equal(run.state.state_dict(), whole.state.state_dict())


def test_a_picture_that_cannot_be_read_costs_nothing(networks, tmp_path):
    missing = []

    def images(n, generator):
        made = torch.rand(n, 3, 8, 8, generator=generator) * 2 - 1
        if len(missing) == 3:
            raise OSError("a picture vanished")
        missing.append(1)
        return made

    file = tmp_path / "a.pt"
    with pytest.raises(OSError, match="vanished"):
        list(customize(*networks, page(), images, QUICK, checkpoint=file))
    assert at(file) == 3
    missing.clear()
    rest = [s.losses for s in customize(*networks, None, images, QUICK, resume=file)]
    missing[:] = [1] * 10
    assert rest == [s.losses for s in customize(*networks, page(), images, QUICK)][3:]


def test_weights_that_went_bad_never_reach_the_file(networks, tmp_path):
    file = tmp_path / "a.pt"
    run = Run(*networks, page(), config=dataclasses.replace(QUICK, checkpoint_every=2), checkpoint=file)
    steps = run.steps()
    for step in steps:
        if step.iteration == 2:
            next(iter(run.state.params_G.values())).data.fill_(float("nan"))
            break
    with pytest.raises(NonFiniteLoss, match="iteration 2 was restored and in"):
        steps.close()
    assert at(file) == run.state.iteration == 2 and run.state.finite()
    assert len(list(customize(*networks, None, config=QUICK, resume=file))) == 4


# ---- one clock

class Clock:
    """Time that passes by a second for each call of a part of the work."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(run_module.time, "perf_counter", lambda: self.now)

    def slow(self, function):
        def call(*args, **kwargs):
            self.now += 1.0
            return function(*args, **kwargs)
        return call


def test_minutes_count_training_and_neither_pauses_nor_the_warm_start(networks, monkeypatch):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(run_module, "train_step", clock.slow(run_module.train_step))
    real = run_module.warm_start

    def warm_start(*args):
        for progress in real(*args):
            clock.now += 100
            yield progress

    def pause(controls, seconds=None):
        clock.now += 50
        return 50.0

    monkeypatch.setattr(run_module, "warm_start", warm_start)
    monkeypatch.setattr(Controls, "wait_while_paused", pause)
    config = dataclasses.replace(QUICK, warm_start=True, warm=TINY_WARM, iterations=100)
    steps = list(customize(*networks, page(), config=config, minutes=4 / 60))
    warm = [s for s in steps if s.phase == "warm"]
    assert len(steps) - len(warm) == 4 and warm[-1].share == 1 and warm[-1].seconds == 100 * len(warm)
    assert [s.seconds - warm[-1].seconds for s in steps[len(warm):]] == [1, 2, 3, 4]
    done = [s.done for s in steps]
    assert done == sorted(done) and done[-1] == 1 and 0 < done[0] < 0.2
    assert [s.left for s in steps[len(warm):]] == [3, 2, 1, 0] and steps[-1].share == 1


def test_slow_steps_are_kept_each_minute(networks, tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(run_module, "train_step", clock.slow(run_module.train_step))
    monkeypatch.setattr(run_module, "KEEP", 3.0)
    steps = customize(*networks, page(), config=QUICK, checkpoint=tmp_path / "a.pt")
    for _ in range(5):
        next(steps)
    assert at(tmp_path / "a.pt") == 3, "written while it runs, long before checkpoint_every"


def test_the_rule_chooses_when_the_minutes_are_over(networks, monkeypatch):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(run_module, "train_step", clock.slow(run_module.train_step))
    config = dataclasses.replace(QUICK, iterations=100, stopping=StoppingRule(every=2, samples=4))
    steps = list(customize(*networks, page(), config=config, minutes=5 / 60))
    assert [s.phase for s in steps] == ["train"] * 5 + ["chosen"] and steps[-1].done == 1
    with pytest.raises(ValueError, match="minutes is 0; wanted a number above 0 or None"):
        customize(*networks, page(), minutes=0)


# ---- files with one owner

def test_two_runs_of_one_file_are_refused(networks, tmp_path):
    file = tmp_path / "a.pt"
    first = customize(*networks, page(), config=QUICK, checkpoint=file)
    next(first)
    with pytest.raises(FolderInUse, match="a.pt.* in use by customize"):
        next(customize(*networks, page(), config=dataclasses.replace(QUICK, seed=1), checkpoint=file))
    next(customize(*networks, page(), config=QUICK, checkpoint=tmp_path / "b.pt"))  # another file is nobody's business
    first.close()
    assert load_training(file)["config"]["seed"] == 0


def test_a_run_never_overwrites_what_another_has_written_since(networks, tmp_path):
    file = tmp_path / "a.pt"
    mine = Run(*networks, page(), config=QUICK, checkpoint=file)
    for step in mine.steps():
        if step.iteration == 1:
            break
    list(customize(*networks, None, config=QUICK, resume=file, checkpoint=file))
    with pytest.raises(ValueError, match="was written by another run"):
        list(mine.steps())
    assert at(file) == 6


SCRIPT = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from tests.customizing.test_kept import QUICK, page
from tests.stand_ins import small_networks
from sketchgan.customizing.run import customize
import dataclasses
file = Path(sys.argv[1])
config = dataclasses.replace(QUICK, iterations=40, checkpoint_every=1)
options = dict(resume=file) if file.exists() else {}
for step in customize(*small_networks(), None if options else page(), config=config, checkpoint=file, **options):
    print(step.iteration, flush=True)
"""


def test_killed_at_any_moment_it_goes_on_as_if_nothing_had_been(networks, tmp_path, root):
    file, rng = tmp_path / "a.pt", random.Random(0)
    other = None
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", SCRIPT, str(file), str(root), *sys.path],
                                 stdout=subprocess.PIPE)
        child.stdout.readline()
        with pytest.raises(FolderInUse, match=f"process {child.pid}"):
            next(customize(*networks, page(), config=QUICK, checkpoint=file))
        time.sleep(rng.random() * 0.3)
        child.kill()
        child.wait()
        other = at(file) if file.exists() else 0
    config = dataclasses.replace(QUICK, iterations=40)
    run = Run(*networks, None, config=config, resume=file) if other else Run(*networks, page(), config=config)
    list(run.steps())
    whole = Run(*networks, page(), config=config)
    list(whole.steps())
    assert equal(run.state.state_dict(), whole.state.state_dict())


def test_a_program_that_ends_in_the_middle_keeps_its_work(tmp_path, root):
    """It used to be written while Python took itself apart, which PyTorch answers with an abort."""
    script = SCRIPT.replace("for step in customize", "steps = customize").split("):\n    print")[0] + ")\n"
    script += "print([next(steps).iteration for _ in range(3)])\n"
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.pt"), str(root), *sys.path],
                           capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr, at(tmp_path / "a.pt")) == (0, "", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


# ---- files from strangers

@pytest.fixture(scope="module")
def stored(networks, tmp_path_factory):
    file = tmp_path_factory.mktemp("stored") / "a.pt"
    controls = Controls()
    config = dataclasses.replace(QUICK, g_ema_kimg=0.01, stopping=StoppingRule(every=2, samples=4))
    for step in customize(*networks, page(), config=config, controls=controls, checkpoint=file):
        controls.set(l_weight=0.1, sketches=page(2))
    return config, load_training(file)


def leaves(item, path=()):
    pairs = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from leaves(value, (*path, key))


def changed(contents, path, value):
    contents = copy.deepcopy(contents)
    place = contents
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value(place[path[-1]]) if callable(value) else value
    return contents


M = ("state", "optimizer_D", "state", 0)
HOSTILE = {
    "moments of another shape": ((*M, "exp_avg"), torch.full((1,), 1.5)),
    "moments of another type": ((*M, "exp_avg_sq"), lambda v: v.double()),
    "moments below 0": ((*M, "exp_avg_sq"), lambda v: v - 1),
    "a step of many": ((*M, "step"), torch.tensor(1e9)),
    "a step of none": ((*M, "step"), torch.tensor(-1.0)),
    "a step of a vector": ((*M, "step"), torch.ones(3)),
    "a rate": (("state", "optimizer_D", "param_groups", 0, "lr"), 1e9),
    "betas": (("state", "optimizer_G", "param_groups", 0, "betas"), (0.0, 2.0)),
    "fused": (("state", "optimizer_G", "param_groups", 0, "fused"), None),
    "moments of nothing": (("state", "optimizer_G", "state"), lambda v: v | {99: v[0]}),
    "an iteration": (("state", "iteration"), -1),
    "an order of much": (("state", "sketch_order", "size"), 10**12),
    "an order beyond its end": (("state", "sketch_order", "taken"), 10**6),
    "a stream": (("state", "streams", "z"), lambda v: torch.full_like(v, 255)),
    "weights that are no numbers": (("state", "G", "style.1.weight"), lambda v: v * float("nan")),
    "weights of another shape": (("state", "D_image", "convs.0.0.weight"), torch.zeros(1)),
    "sketches": (("first_sketches",), lambda v: v * 1e6),
    "sketches in the history": (("history", 0, "value"), torch.zeros(2, 1, 4096, 1)),
    "a weight": (("terms", "l_image"), float("nan")),
    "a look": (("watch", "trace", 0, "distance"), float("nan")),
    "the generator of a look": (("watch", "kept"), {}),
    "seconds": (("seconds",), float("-inf")),
    "another format": (("format",), 1),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_of_a_stranger_is_refused(networks, stored, tmp_path, what):
    config, contents = stored
    save_training(tmp_path / "a.pt", changed(contents, *HOSTILE[what]))
    with pytest.raises(CheckpointError, match="a.pt"):
        Run(*networks, None, config=config, resume=tmp_path / "a.pt")


def test_moments_that_share_memory_become_the_run_s_own(networks, stored, tmp_path):
    config, contents = stored
    flat = lambda v: torch.zeros(1).expand(v.shape)                 # of the right shape, and one number long
    contents = changed(changed(contents, (*M, "exp_avg"), flat), (*M, "exp_avg_sq"), flat)
    torch.save(contents, tmp_path / "a.pt")
    run = Run(*networks, None, config=dataclasses.replace(config, iterations=8), resume=tmp_path / "a.pt")
    moments = run.state.optimizer_D.state[run.state.params_D[0]]
    assert moments["exp_avg"].is_contiguous() and moments["exp_avg"].data_ptr() != moments["exp_avg_sq"].data_ptr()
    assert len([s for s in run.steps() if s.phase == "train"]) == 2


def test_no_change_of_a_file_gets_beyond_the_reader(networks, stored, tmp_path):
    config, contents = stored
    config = dataclasses.replace(config, iterations=config.iterations + 1)
    rng, paths, refused = random.Random(0), list(leaves(contents)), 0
    values = [None, -1, 10**18, float("nan"), "x", [], {}, True, torch.zeros(1), torch.zeros(0),
              torch.full((3, 3), 7.0)]
    for path in rng.sample(paths, 80):
        save_training(tmp_path / "a.pt", changed(contents, path, rng.choice(values)))
        try:
            run = Run(*networks, None, config=config, resume=tmp_path / "a.pt")
        except CheckpointError:
            refused += 1
        else:
            list(run.steps())
    assert refused > 60
