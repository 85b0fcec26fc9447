"""Checkpoints of pretraining that a stranger made or a disk has damaged: refused before a number of them is used."""
import copy
import dataclasses
import math

import pytest
import torch

from sketchgan.files.atomic import FolderInUse
from sketchgan.pretraining.command import train_gan
from sketchgan.pretraining.fitting import TeacherConfig, fit
from sketchgan.pretraining.gan import GanTrainer
from sketchgan.pretraining.photo_judge import PhotoJudgeConfig
from sketchgan.pretraining.recipe import GanConfig
from sketchgan.pretraining.teachers import SketcherConfig
from sketchgan.weights.checkpoints import CheckpointError, load_training, save_training
from sketchgan.weights.stored_states import check_optimizer

CHANNELS = {4: 4, 8: 4}
GAN = GanConfig(resolution=8, z_dim=6, w_dim=6, num_mapping=2, channels=CHANNELS, d_channels=CHANNELS, batch=2,
                growth={}, kimg=0.008, d_reg_every=2)
FIT = TeacherConfig(kimg=0.008, batch=2)


def trainer():
    return GanTrainer(GAN, torch.rand(5, 3, 8, 8) * 2 - 1)


def layer():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)


def fitted(network, file):
    return fit(network, lambda indices, random: {"loss": network(torch.ones(2, 3)).square().mean()}, 6, FIT, file)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A checkpoint of a base GAN and one of a teacher."""
    folder = tmp_path_factory.mktemp("strangers")
    train_gan(trainer(), folder, {})
    for step, _ in enumerate(steps := fitted(layer(), folder / "a.training")):
        if step == 1:
            steps.close()
    return load_training(folder / "checkpoint.pt"), load_training(folder / "a.training")


def entry(moments, value):
    def change(state):
        state[moments]["state"][0]["exp_avg"] = value(state[moments]["state"][0]["exp_avg"])
    return change


def put(*path):
    *path, last, value = path

    def change(state):
        for key in path:
            state = state[key]
        state[last] = value(state[last]) if callable(value) else value
    return change


HEAP = [lambda x: torch.ones(1), lambda x: x.double(), lambda x: x * math.nan, lambda x: x.flatten(), lambda x: [1.0]]
GANS = [*(entry(name, value) for name in ("G_opt", "D_opt") for value in HEAP),
        put("D_opt", "state", 0, "step", torch.tensor(-3.0)), put("G_opt", "state", 0, "step", torch.tensor(1e9)),
        put("D_opt", "state", 0, "exp_avg_sq", lambda x: x - 1), put("G_opt", "state", lambda x: x | {99: x[0]}),
        put("D_opt", "param_groups", 0, "betas", (2.0, 2.0)), put("D_opt", "param_groups", []),
        put("G_opt", "param_groups", 0, "lr", math.nan), put("G", "input.input", lambda x: x * math.inf),
        put("G", "input.input", lambda x: x.half()), put("D", {}), put("seen", -1), put("seen", "a"),
        put("iteration", 1.5), put("resolution", 7), put("resolution", 2 ** 20), put("rng", torch.zeros(3)),
        put("taught", 3), put("config", "no"), put("seconds", math.nan)]
FITS = [*(entry("optimizer", value) for value in HEAP), put("step", -1), put("step", 10 ** 6), put("step", "2"),
        put("optimizer", "state", 0, "step", torch.tensor(7.0)), put("optimizer", "param_groups", 0, "eps", -1.0),
        put("network", "weight", lambda x: x[:1]), put("network", {}), put("config", 3), put("config", {})]


@pytest.mark.parametrize("change", GANS)
def test_a_strange_checkpoint_of_a_base_gan_is_refused(stored, tmp_path, change):
    contents = copy.deepcopy(stored[0])
    change(contents)
    save_training(tmp_path / "checkpoint.pt", contents)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(CheckpointError, match="checkpoint.pt|configuration"):
        train_gan(trainer(), tmp_path, {})
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("change", FITS)
def test_a_strange_checkpoint_of_a_teacher_is_refused(stored, tmp_path, change):
    contents, network = copy.deepcopy(stored[1]), layer()
    change(contents)
    save_training(tmp_path / "a.training", contents)
    with pytest.raises(CheckpointError, match="a.training"):
        next(fitted(network, tmp_path / "a.training"))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), layer().parameters())), "nothing was taken"


def test_what_was_not_changed_goes_on(stored, tmp_path):
    for name, contents in zip(("checkpoint.pt", "a.training"), stored):
        save_training(tmp_path / name, contents)
    train_gan(trainer(), tmp_path, {})
    assert [step.images for step in fitted(layer(), tmp_path / "a.training")] == [6, 8]


@pytest.mark.parametrize("images, message", [
    (torch.rand(5, 3, 8, 8), r"x \* 2 - 1"), (torch.rand(5, 3, 8, 8) * 255, "127.5"), (torch.zeros(5, 3, 12, 12), "8"),
    (torch.zeros(5, 1, 8, 8), "N,3,R,R"), (torch.zeros(5, 3, 8, 8).byte(), "float")])
def test_pictures_in_another_range_or_shape_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        GanTrainer(GAN, images)


@pytest.mark.parametrize("kind", [TeacherConfig, SketcherConfig, PhotoJudgeConfig])
def test_every_field_of_a_config_is_checked(kind):
    for field in dataclasses.fields(kind):
        for wrong in ("a", math.nan, None, -1, [1.5]):
            with pytest.raises(ValueError, match=f"{field.name} of {kind.__name__}"):
                kind(**{field.name: wrong})


def test_two_trainings_of_one_file_are_refused(tmp_path):
    first = fitted(layer(), tmp_path / "a.training")
    next(first)
    with pytest.raises(FolderInUse, match="a.training"):
        next(fitted(layer(), tmp_path / "a.training"))
    first.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.training"]


def test_the_order_of_an_optimizers_parts_means_nothing():
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    stored = optimizer.state_dict()
    check_optimizer({key: stored[key] for key in ("param_groups", "state")}, optimizer, 1, "the optimiser")
    with pytest.raises(ValueError, match="parts"):
        check_optimizer({"state": stored["state"]}, optimizer, 1, "the optimiser")
