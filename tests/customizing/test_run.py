"""customize: the published recipe to the number, exact resume, controls, and bad input."""

import copy
import dataclasses
import json
import math
import threading

import pytest
import torch
from torch.nn import functional as nnf

from sketchgan.customizing import run as run_module
from sketchgan.customizing.controls import Controls
from sketchgan.customizing.run import CustomizeConfig, NonFiniteLoss, Run, customize, train_step
from sketchgan.customizing.state import Shuffle, TrainingState
from sketchgan.customizing.warmstart import WarmStart, warm_start
from sketchgan.nets.augment import augment
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.weights import checkpoints
from tests.stand_ins import small_networks

CHANNELS = {4: 4, 8: 4}
QUICK = CustomizeConfig(d_reg_every=3, sample_every=0, samples=2)
TINY_WARM = WarmStart(samples=48, keep=0.25, rounds=1, candidates=8, pool=32, steps=3, batch=8, shift=0, scale=0)


@pytest.fixture(scope="module")
def networks():
    return small_networks()


@pytest.fixture
def sketches():
    page = torch.ones(3, 1, 8, 8)
    for i in range(3):
        page[i, :, 1:7, 2 + i] = -1
    return page


def play(networks, sketches, config, iterations, **options):
    """Losses of each iteration and the final state of a run."""
    run = Run(*networks, sketches, options.pop("images", None), dataclasses.replace(config, iterations=iterations),
              options.pop("controls", None) or Controls(), options.get("resume"), options.get("checkpoint"))
    losses = {step.iteration: step.losses for step in run.steps() if step.phase == "train"}
    return losses, run


def equal(a, b):
    """Whether two nested states are bit for bit the same."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return a == b


# ------------------------------------------------------------------------------------------ the recipe

def test_default_config_is_the_published_recipe(networks):
    config = CustomizeConfig()
    assert (config.batch, config.lr, config.betas, config.mixing) == (4, 0.002, (0.0, 0.99), 0.9)
    assert (config.r1_gamma, config.d_reg_every, config.augment) == (10, 16, "translation")
    assert (config.l_image, config.l_weight, config.g_ema_kimg, config.warm_start) == (0.7, 0, 0, False)
    assert (config.optim_param, config.d_sketch_pretrained, config.f_batch_stats) == ("style", True, True)
    state = TrainingState(*networks, None, config)
    assert state.optimizer_D.param_groups[0]["lr"] == pytest.approx(0.00188235, abs=1e-8)
    assert state.optimizer_D.param_groups[0]["betas"] == pytest.approx((0, 0.9905855), abs=1e-7)
    assert state.optimizer_G.param_groups[0]["lr"] == 0.002
    faster = TrainingState(*networks, None, dataclasses.replace(config, g_lr_factor=10.0))
    assert faster.optimizer_G.param_groups[0]["lr"] == 0.02
    assert faster.optimizer_D.param_groups[0]["lr"] == state.optimizer_D.param_groups[0]["lr"]
    assert set(state.params_G) == {f"style.{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")}


def test_both_discriminators_begin_as_the_photograph_discriminator(networks):
    state = TrainingState(*networks, None, QUICK)
    for D in (state.D_sketch, state.D_image):
        assert equal(D.state_dict(), networks[1].state_dict())
    assert state.D_sketch is not state.D_image
    scratch = TrainingState(*networks, None, dataclasses.replace(QUICK, d_sketch_pretrained=False))
    assert not equal(scratch.D_sketch.state_dict(), networks[1].state_dict())
    assert equal(scratch.D_image.state_dict(), networks[1].state_dict())


def test_only_the_mapping_network_moves_and_the_given_networks_stay(networks, sketches):
    before = [copy.deepcopy(network.state_dict()) for network in networks]
    _, run = play(networks, sketches, QUICK, 4)
    assert all(equal(network.state_dict(), state) for network, state in zip(networks, before))
    moved = {k for k, v in run.state.G.state_dict().items() if not torch.equal(v, before[0][k])}
    assert moved == {"style.1.weight", "style.1.bias", "style.2.weight", "style.2.bias"}
    assert equal(run.state.F.state_dict(), before[2])  # F's running buffers too
    assert all(p.grad is None for k, p in run.state.G.named_parameters() if not k.startswith("style"))


def test_w_shift_trains_one_vector(networks, sketches):
    _, run = play(networks, sketches, dataclasses.replace(QUICK, optim_param="w_shift"), 2)
    assert list(run.state.params_G) == ["style.3.w_shift"]
    assert run.state.G.style[3].w_shift.abs().max() > 0
    assert torch.equal(run.state.G.style[1].weight, networks[0].style[1].weight)


@pytest.mark.parametrize("layers, trains", [("affine", lambda k: ".modulation." in k), ("all", lambda k: True)])
def test_other_layers_train_alone(networks, sketches, layers, trains):
    parameters = dict(networks[0].named_parameters())
    _, run = play(networks, sketches, dataclasses.replace(QUICK, optim_param=layers, l_weight=1.0), 2)
    moved = {k for k, v in run.state.G.named_parameters() if not torch.equal(v, parameters[k])}
    assert set(run.state.params_G) == {k for k in parameters if trains(k)} and moved == set(run.state.params_G)


def test_f_statistics_are_the_batch_s_by_default(networks):
    F, x = networks[2], torch.rand(4, 3, 8, 8)
    by_batch = TrainingState(*networks, None, QUICK).F
    running = TrainingState(*networks, None, dataclasses.replace(QUICK, f_batch_stats=False)).F
    # Only batch statistics make a sketch depend on its neighbours.
    assert not torch.allclose(by_batch(x)[:1], by_batch(x[:2])[:1], atol=1e-4)
    assert torch.allclose(running(x)[:1], running(x[:2])[:1], atol=1e-5)
    assert F.batch_stats


class ByHand:
    """Adam without momentum and the step of the paper, written without the library's training code."""

    def __init__(self, state):
        self.state, self.moments, self.count = state, {}, {}

    def adam(self, params, loss, lr, beta2):
        for p, g in zip(params, torch.autograd.grad(loss, params, allow_unused=True)):
            g = torch.zeros_like(p) if g is None else g
            v = beta2 * self.moments.get(p, torch.zeros_like(p)) + (1 - beta2) * g * g
            self.moments[p], self.count[p] = v, self.count.get(p, 0) + 1
            with torch.no_grad():
                p -= lr * g / ((v / (1 - beta2 ** self.count[p])).sqrt() + 1e-8)

    def sample(self):
        G, streams = self.state.G, self.state.streams
        ws = G.mapping(torch.randn(4, 6, generator=streams["z"]))
        if torch.rand(1, generator=streams["mixing"]) < 0.9:
            cut = int(torch.randint(1, 4, (1,), generator=streams["mixing"]))
            ws = torch.stack([row if i < cut else other for i, (row, other) in enumerate(
                zip(ws.unbind(1), G.mapping(torch.randn(4, 6, generator=streams["z"])).unbind(1)))], 1)
        return G.synthesis(ws, generator=streams["noise"])

    def step(self, y, x, l_image, l_weight, with_r1):
        state, ratio = self.state, 3 / 4
        see = lambda s: augment(torch.cat([s, s, s], 1), "translation", state.streams["augment"])
        log_loss = lambda logits: torch.log1p(logits.exp()).mean()  # softplus
        D_params = [*state.D_sketch.parameters(), *state.D_image.parameters()]
        for p in D_params + list(state.G.style.parameters()):
            p.requires_grad_(True)

        fake = self.sample().detach()
        fake_sketch = state.F(fake)
        d_sketch = log_loss(-state.D_sketch(see(y))) + log_loss(state.D_sketch(see(fake_sketch)))
        d_image = log_loss(-state.D_image(x)) + log_loss(state.D_image(fake))
        self.adam(D_params, d_sketch + l_image * d_image, 0.002 * ratio, 0.99**ratio)
        if with_r1:
            y, x = y.clone().requires_grad_(), x.clone().requires_grad_()
            norm = lambda D, v: torch.autograd.grad(D(v).sum(), v, create_graph=True)[0].pow(2).sum((1, 2, 3)).mean()
            r1 = norm(lambda v: state.D_sketch(see(v)), y) + l_image * norm(state.D_image, x)
            self.adam(D_params, 10 / 2 * 3 * r1, 0.002 * ratio, 0.99**ratio)

        fake = self.sample()
        g_sketch = log_loss(-state.D_sketch(see(state.F(fake))))
        g_image = log_loss(-state.D_image(fake))
        moved = [(p - q).abs().mean() for p, q in zip(state.G.style.parameters(), state.G_base.style.parameters())]
        g_weight = sum(moved) / len(moved)
        self.adam(list(state.G.style.parameters()), g_sketch + l_image * g_image + l_weight * g_weight, 0.002, 0.99)
        return dict(D_sketch=d_sketch, D_image=d_image, G_sketch=g_sketch, G_image=g_image, G_weight=g_weight)


def test_train_step_equals_the_step_written_by_hand(networks, sketches):
    theirs, ours = (TrainingState(*networks, None, QUICK) for _ in range(2))
    hand, terms = ByHand(ours), dict(l_image=0.7, l_weight=0.3, augment="translation")
    for i in range(5):  # R1 at 0 and 3
        y, x = sketches[[0, 1, 2, 0]], torch.rand(4, 3, 8, 8) * 2 - 1
        got = train_step(theirs, y, x, terms, QUICK)
        theirs.iteration += 1
        wanted = hand.step(y, x, 0.7, 0.3, with_r1=i % 3 == 0)
        assert ("R1_sketch" in got) == (i % 3 == 0)
        for name, value in wanted.items():
            assert got[name] == pytest.approx(value.item(), rel=1e-4, abs=1e-7), (i, name)
    for a, b in zip((*theirs.params_G.values(), *theirs.params_D), (*ours.params_G.values(), *ours.params_D)):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4)


def test_bf16_takes_nearly_the_same_steps_and_keeps_r1_in_float32(networks, sketches):
    """Rounding moves the losses by less than a hundredth; the losses themselves and R1 have the digits of float32."""
    exact, _ = play(networks, sketches, QUICK, 4)
    rounded, run = play(networks, sketches, dataclasses.replace(QUICK, bf16=True), 4)
    for name, value in exact[0].items():
        assert rounded[0][name] == pytest.approx(value, rel=0.01, abs=1e-4) and (rounded[0][name] != value
                                                                                 or name.startswith("R1"))
        assert rounded[0][name] != torch.tensor(rounded[0][name]).bfloat16().item()
    again, _ = play(networks, sketches, dataclasses.replace(QUICK, bf16=True), 4)
    assert again == rounded and all(p.dtype == torch.float32 for p in run.state.G.parameters())


def test_without_l_image_the_image_discriminator_rests(networks, sketches):
    losses, run = play(networks, sketches, dataclasses.replace(QUICK, l_image=0.0), 2,
                       images=lambda n, generator: pytest.fail("images were asked for"))
    assert set(losses[0]) == {"D_sketch", "R1_sketch", "G_sketch"} and set(losses[1]) == {"D_sketch", "G_sketch"}
    assert equal(run.state.D_image.state_dict(), networks[1].state_dict())


def test_l_weight_holds_the_mapping_network_back(networks, sketches):
    def moved(l_weight):
        losses, run = play(networks, sketches, dataclasses.replace(QUICK, l_weight=l_weight), 12)
        return losses, sum((p - q).abs().mean().item()
                           for p, q in zip(run.state.params_G.values(), run.state.params_base))

    losses, held = moved(1000.0)
    assert losses[0]["G_weight"] == 0 < losses[1]["G_weight"]
    assert held < 0.5 * moved(0.0)[1]


def test_g_ema_follows_g_with_the_stated_half_life(networks, sketches):
    config = dataclasses.replace(QUICK, g_ema_kimg=0.004)  # half-life: one batch of four
    run = Run(*networks, sketches, None, dataclasses.replace(config, iterations=2), Controls(), None, None)
    average = networks[0].style[1].weight
    for step in run.steps():
        average = average.lerp(run.state.G.style[1].weight.detach(), 0.5)
        assert step.G is run.state.G_ema
        assert torch.allclose(step.G.style[1].weight, average, rtol=1e-6)


def test_samples_show_the_same_z_and_noise(networks, sketches):
    config = dataclasses.replace(QUICK, sample_every=2, lr=1e-30)  # nothing moves: pictures must not either
    steps = list(customize(*networks, sketches, config=dataclasses.replace(config, iterations=4)))
    assert [step.samples is not None for step in steps] == [True, False, True, True]
    assert torch.equal(steps[0].samples, steps[2].samples) and steps[0].samples.shape == (2, 3, 8, 8)
    assert steps[-1].done == 1 and steps[0].seconds < steps[-1].seconds


# ---------------------------------------------------------------------------------------------- images

def test_images_from_a_tensor_a_function_or_the_original(networks, sketches):
    data = torch.rand(10, 3, 8, 8) * 2 - 1
    seen = []

    class Folder:
        def __len__(self):
            return len(data)

        def __getitem__(self, index):
            seen.append(index)
            return data[index]

    from_tensor, _ = play(networks, sketches, QUICK, 6, images=data)
    from_folder, _ = play(networks, sketches, QUICK, 6, images=Folder())
    assert from_tensor == from_folder
    # Two whole batches an epoch, the incomplete third dropped: as the published loader does.
    epochs = torch.stack(seen[1:]).reshape(3, 8)  # the first look is to know the source again
    assert all(len(set(epoch.tolist())) == 8 for epoch in epochs) and len(set(map(str, epochs))) == 3
    by_function, _ = play(networks, sketches, QUICK, 2, images=lambda n, generator: data[:n])
    own, _ = play(networks, sketches, QUICK, 2)
    assert len({losses[1]["D_image"] for losses in (from_tensor, by_function, own)}) == 3


@pytest.mark.parametrize("images, words", [
    (torch.rand(5, 3, 16, 16) * 2 - 1, "batch .*16, 16.*wanted float"),
    (torch.zeros(5, 3, 8, 8, dtype=torch.uint8), "uint8.*to_float"),
    (torch.rand(5, 3, 8, 8) * 255, r"reach .*wanted values in \[-1, 1\]"),
                                           (torch.rand(5, 3, 8, 8), "brighter than mid-grey.*x . 2 - 1"),
    (torch.rand(0, 3, 8, 8), "no images"), ([torch.zeros(3, 8, 8)], "images is a list"), (5, "images is a int"),
    (lambda n, generator: torch.rand(n, 3, 8, 8), "brighter than mid-grey"), (lambda n, generator: None, "of NoneType"),
])
def test_wrong_images_are_named(networks, sketches, images, words):
    with pytest.raises(ValueError, match=words):
        play(networks, sketches, QUICK, 1, images=images)


def test_shuffle_with_fewer_things_than_the_batch_goes_round():
    order = Shuffle(torch.Generator().manual_seed(0))
    taken = torch.cat([order.batch(4, 3) for _ in range(3)])
    assert [sorted(taken[i:i + 3].tolist()) for i in (0, 3, 6, 9)] == [[0, 1, 2]] * 4


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_sketches(networks, sketches, count):
    losses, _ = play(networks, sketches[:count], QUICK, 2)
    assert all(math.isfinite(v) for v in losses[1].values())


# --------------------------------------------------------------------------------- determinism, resume

def test_the_seed_decides_everything(networks, sketches):
    first, _ = play(networks, sketches, QUICK, 4)
    torch.manual_seed(99)
    again, _ = play(networks, sketches, QUICK, 4)
    other, _ = play(networks, sketches, dataclasses.replace(QUICK, seed=1), 4)
    assert first == again != other


@pytest.mark.parametrize("stop_after", [1, 3, 5])
@pytest.mark.parametrize("kind", ["samples", "data set", "function, average, weight", "w_shift, scratch"])
def test_resume_is_exact(networks, sketches, tmp_path, stop_after, kind):
    changes = {"samples": {}, "data set": {}, "function, average, weight": dict(g_ema_kimg=0.01, l_weight=0.1),
               "w_shift, scratch": dict(optim_param="w_shift", d_sketch_pretrained=False)}[kind]
    data = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    drawn = lambda n, generator: torch.rand(n, 3, 8, 8, generator=generator) * 2 - 1
    images = {"data set": data, "function, average, weight": drawn}.get(kind)
    config, file = dataclasses.replace(QUICK, **changes), tmp_path / "training.pt"

    whole, run = play(networks, sketches, config, 7, images=images)
    steps = customize(*networks, sketches, images, dataclasses.replace(config, iterations=7), checkpoint=file)
    first = {}
    for step in steps:  # leaving the loop is stopping
        first[step.iteration] = step.losses
        if step.iteration + 1 == stop_after:
            break
    steps.close()
    torch.manual_seed(stop_after)
    second, resumed = play(networks, None, config, 7, images=images, resume=file)
    assert min(second) == stop_after
    assert first | second == whole
    assert equal(resumed.state.state_dict(), run.state.state_dict())


def test_resume_with_a_warm_start_is_exact(networks, sketches, tmp_path):
    config = dataclasses.replace(QUICK, warm_start=True, warm=TINY_WARM)
    whole, run = play(networks, sketches, config, 4)
    for stop_at in ("ranking", "the end of the warm start", "iteration 2"):
        file = tmp_path / f"{stop_at}.pt"
        steps = customize(*networks, sketches, config=dataclasses.replace(config, iterations=4), checkpoint=file)
        for step in steps:
            at = step.iteration if step.phase == "train" else -1
            if stop_at == "ranking" or ("before" in step.losses and "the end" in stop_at) or at == 2:
                break
        steps.close()
        second, resumed = play(networks, sketches, config, 4, resume=file)
        assert second == {i: losses for i, losses in whole.items() if i in second} and 3 in second
        assert equal(resumed.state.state_dict(), run.state.state_dict())


def test_sketches_drawn_during_the_warm_start_begin_it_anew_when_drawing_has_paused(networks, sketches, monkeypatch):
    monkeypatch.setattr(run_module, "STILL", math.inf)
    config, controls = dataclasses.replace(QUICK, warm_start=True, warm=TINY_WARM, iterations=2), Controls()
    more = torch.cat([sketches, sketches[:1].flip(3)])
    direct = [step for step in customize(*networks, more, config=config)]
    steps = customize(*networks, sketches, config=config, controls=controls)
    for step in steps:
        if "predictor" in step.losses:  # in the middle of it
            controls.sketches = more
            break
    assert "pause in drawing" in next(steps).message and "pause in drawing" in next(steps).message
    monkeypatch.setattr(run_module, "STILL", 0.0)
    anew = list(steps)  # the very next is of the new search
    assert anew[0].message == direct[0].message == "ranking samples"
    assert [step.losses for step in anew] == [step.losses for step in direct]


def test_periodic_checkpoints_are_whole_states(networks, sketches, tmp_path):
    file = tmp_path / "training.pt"
    config = dataclasses.replace(QUICK, checkpoint_every=2, iterations=5)
    steps = customize(*networks, sketches, config=config, checkpoint=file)
    for _ in range(4):
        next(steps)
    kept = checkpoints.load_training(file)  # written during the run, as after a power cut
    assert kept["state"]["iteration"] == 4
    assert json.loads(json.dumps(kept["config"]))["batch"] == 4


@pytest.mark.parametrize("what, words", [
    ("G", "another G than"), ("recipe", "another recipe.*lr: 0.002 there, 0.001 here"),
                                         ("images", "samples of G.*7 images"),
    ("sketches", "begun with other sketches"), ("file", "no checkpoint of customize"),
])
def test_resume_refuses_what_does_not_belong(networks, sketches, tmp_path, what, words):
    file = tmp_path / "training.pt"
    play(networks, sketches, QUICK, 1, checkpoint=file)
    G, D, F = networks
    config, images = QUICK, None
    if what == "G":
        torch.manual_seed(5)
        G = Generator(8, 6, 6, 2, CHANNELS)
    elif what == "recipe":
        config = dataclasses.replace(QUICK, lr=0.001)
    elif what == "images":
        images = torch.zeros(7, 3, 8, 8)
    elif what == "sketches":
        sketches = sketches.flip(3)
    else:
        checkpoints.save_training(file, {"kind": "something else"})
    with pytest.raises(ValueError, match=words):
        play((G, D, F), sketches, config, 2, images=images, resume=file)


def test_the_recipe_of_a_warm_start_binds_only_runs_that_had_one(networks, sketches, tmp_path):
    file, other = tmp_path / "training.pt", WarmStart(keep=0.3)
    play(networks, sketches, QUICK, 1, checkpoint=file)
    losses = play(networks, sketches, dataclasses.replace(QUICK, warm=other), 2, resume=file)
    assert losses, "a search that never was cannot be another"
    with pytest.raises(ValueError, match="another recipe.*warm_start"):
        play(networks, sketches, dataclasses.replace(QUICK, warm=other, warm_start=True), 2, resume=file)


# -------------------------------------------------------------------------------------------- controls

def test_changes_are_logged_and_survive_a_resume(networks, sketches, tmp_path):
    def steer(controls, iteration):
        if iteration == 1:
            controls.set(l_image=0.0, sketches=sketches[:1])
        if iteration == 2:
            controls.augment = ""

    def walk(until, **options):
        controls = Controls()
        config = dataclasses.replace(QUICK, iterations=6)
        run = Run(*networks, sketches, None, config, controls, options.get("resume"), options.get("checkpoint"))
        losses = {}
        for step in run.steps():
            losses[step.iteration] = step.losses
            steer(controls, step.iteration)
            if step.iteration + 1 == until:
                break
        return losses, run

    whole, run = walk(6)
    assert [(change["iteration"], change["name"]) for change in run.history] == [
        (2, "sketches"), (2, "l_image"), (3, "augment")]
    assert "D_image" in whole[1] and "D_image" not in whole[2]
    file = tmp_path / "training.pt"
    first, _ = walk(4, checkpoint=file)
    second, resumed = play(networks, None, QUICK, 6, resume=file)  # with fresh controls: what was set stays set
    assert first | second == whole
    assert equal(resumed.history, run.history) and equal(resumed.terms, run.terms)


def test_pause_and_stop_from_another_thread(networks, sketches, tmp_path):
    controls, done = Controls(), []
    controls.pause = True
    file = tmp_path / "training.pt"

    def work():
        for step in customize(*networks, sketches, config=QUICK, controls=controls, checkpoint=file):
            done.append(step.iteration)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive() and not done  # held before the first step
    controls.pause = False
    while len(done) < 2:
        thread.join(0.01)
    controls.stop = True
    thread.join(120)
    assert not thread.is_alive()
    assert checkpoints.load_training(file)["state"]["iteration"] == len(done)


# ------------------------------------------------------------------------------------------- bad input

@pytest.mark.parametrize("given, words", [
    (None, "no sketches"),
    (torch.ones(0, 1, 8, 8), "no sketches"),
    (torch.ones(2, 1, 8, 8), "No ink in sketch 0, 1"),
    (torch.zeros(1, 3, 8, 8), "one channel"),
    (-torch.ones(1, 1, 16, 16), "16 px but the generator makes 8 px"),
    (-255 * torch.ones(1, 1, 8, 8), r"must lie in \[-1, 1\]"),
    (torch.full((1, 1, 8, 8), float("nan")), r"must lie in \[-1, 1\]"),
    ([[1]], "not list"),
])
def test_wrong_sketches_are_named(networks, given, words):
    with pytest.raises(ValueError, match=words):
        customize(*networks, given)


def test_networks_that_do_not_fit_are_named(networks, sketches):
    G, D, F = networks
    with pytest.raises(ValueError, match="G makes 8 px but D looks at 16 px"):
        customize(G, Discriminator(16, CHANNELS | {16: 4}), F, sketches)
    with pytest.raises(ValueError, match="F turns images .* wanted sketches"):
        customize(G, D, torch.nn.Conv2d(3, 3, 1), sketches)
    with pytest.raises(ValueError, match="F does not take images"):
        customize(G, D, torch.nn.Conv2d(1, 1, 1), sketches)
    for mixed, words in (((D, D, F), "G is a Discriminator; wanted is a Generator"),
                         ((G, F, D), "D is a PhotoSketch; wanted is a Discriminator"),
                         ((G, D, G), "F is a Generator")):
        with pytest.raises(ValueError, match=words):
            customize(*mixed, sketches)
    broken = copy.deepcopy(D)
    broken.final_linear[1].bias.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="D has weights that are NaN"):
        customize(G, broken, F, sketches)
    with pytest.raises(ValueError, match="Lower f_halvings"):
        customize(G, D, F, sketches, config=CustomizeConfig(f_halvings=2))


@pytest.mark.parametrize("wrong", [dict(optim_param="layers"), dict(batch=0), dict(lr=0), dict(l_image=-1),
                                   dict(augment="x"),
                                   dict(mixing=5), dict(seed="a"), dict(checkpoint_every=0.5), dict(betas=(0.0, 1.0)),
                                   dict(warm=None), dict(device="gpu"), dict(samples=True), dict(lr=math.inf),
                                   dict(warm_start=True, optim_param="w_shift"),
                                   dict(warm_start=True, optim_param="affine")])
def test_wrong_configs_are_refused(wrong):
    with pytest.raises(ValueError):
        CustomizeConfig(**wrong)


def test_nan_stops_and_the_last_good_state_stays(networks, sketches, tmp_path):
    calls = []

    def images(n, generator):
        calls.append(n)
        if len(calls) > 5:
            next(run.state.D_image.parameters()).data.fill_(float("nan"))
        return torch.rand(n, 3, 8, 8, generator=generator) * 2 - 1

    file = tmp_path / "training.pt"
    config = dataclasses.replace(QUICK, checkpoint_every=3)
    run = Run(*networks, sketches, images, config, Controls(), None, file)
    with pytest.raises(NonFiniteLoss, match="iteration 5.*D_image nan.*iteration 3 was restored.*lower lr"):
        for step in run.steps():
            pass
    assert run.state.iteration == 3 and run.state.finite()
    assert equal(checkpoints.load_training(file)["state"], run.state.state_dict())
    _, clean = play(networks, sketches, QUICK, 3, images=lambda n, g: torch.rand(n, 3, 8, 8, generator=g) * 2 - 1)
    assert equal(run.state.G.state_dict(), clean.state.G.state_dict())


def test_no_gradients_no_training(networks, sketches):
    warm = lambda: list(warm_start(networks[0], networks[2], sketches, WarmStart(), torch.Generator()))
    for train in (lambda: Run(*networks, sketches, None, QUICK), warm):
        with torch.no_grad(), pytest.raises(ValueError, match="no_grad.*outside"):
            train()


def test_halvings_draw_at_a_lower_resolution(networks, sketches):
    torch.manual_seed(0)
    channels = {4: 4, 8: 4, 16: 4}
    G, D = Generator(16, 6, 6, 2, channels), Discriminator(16, channels)
    large = nnf.interpolate(sketches, scale_factor=2)
    losses, _ = play((G, D, networks[2]), large, dataclasses.replace(QUICK, f_halvings=1), 1)
    assert math.isfinite(losses[0]["G_sketch"])
