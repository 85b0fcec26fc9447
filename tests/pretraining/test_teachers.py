"""Teachers learn, resume exactly, keep to their schedule and say what they know."""
import dataclasses
import math

import pytest
import torch

from sketchgan.nets.features import Features
from sketchgan.photos import datasets
from sketchgan.pretraining import fitting, teachers
from sketchgan.pretraining.teachers import FeaturesConfig, JudgeConfig, SketcherConfig
from sketchgan.weights.checkpoints import load_photosketch, read_metadata
from sketchgan.weights.own import load_features, load_judge
from sketchgan.world.scenes import PARAMETERS, PART_NAMES, POSE, Menagerie

TINY = dict(scenes=16, held_out=4, batch=8, kimg=0.08, lr=2e-3, resolution=32)  # ten steps
SMALL = dict(sketcher=dict(ngf=4, n_blocks=1, drawings=2), judge=dict(widths=(8, 8, 16, 16), dim=16),
             features=dict(channels=(8, 8, 8, 8, 8)))


def fake_scenes(category, count, resolution=64, seed=0, views=(), **_):
    """Scenes nobody rendered: a disc on a plain ground whose place is the yaw, with the parameters of Menagerie."""
    world = Menagerie(category, resolution, seed)
    params = world.params(range(count))
    ys, xs = torch.meshgrid(torch.linspace(-1, 1, resolution), torch.linspace(-1, 1, resolution), indexing="ij")
    distance = torch.stack([((xs - 0.4 * yaw.cos()) ** 2 + (ys - 0.4 * yaw.sin()) ** 2).sqrt()
                            for yaw in params["yaw"]])
    disc, ring = distance < 0.4, (distance - 0.4).abs() < 0.05
    gray = torch.where(disc, 220, 60).to(torch.uint8)[:, None]
    made = dict(image=gray.expand(-1, 3, -1, -1), albedo=gray.expand(-1, 3, -1, -1), depth=gray,
                contour=torch.where(ring, 0, 255).to(torch.uint8)[:, None], parts=disc.to(torch.uint8) * 2)
    return {view: made[view] for view in views} | {"params": params, "code": world.codes(range(count))}


@pytest.fixture(autouse=True)
def no_rendering(monkeypatch):
    monkeypatch.setattr(datasets, "rendered", fake_scenes)


def train_tiny(kind, out, minutes=None, **changes):
    config, run = {"sketcher": (SketcherConfig, teachers.train_sketcher), "judge": (JudgeConfig, teachers.train_judge),
                   "features": (FeaturesConfig, teachers.train_features)}[kind]
    config = config(**{**TINY, **SMALL[kind], **changes})
    return run(config, out, minutes)


@pytest.mark.parametrize("kind, load", [("sketcher", load_photosketch), ("judge", load_judge),
                                        ("features", load_features)])
def test_what_is_trained_is_written_with_its_quality_and_how_it_was_made(kind, load, tmp_path):
    out = tmp_path / f"{kind}.safetensors"
    quality = train_tiny(kind, out)
    metadata = read_metadata(out)
    assert metadata["quality"] == quality and metadata["images"] == 80 and metadata["training"]["kimg"] == 0.08
    assert metadata["command"].startswith("python -m sketchgan pretrain")
    assert list(tmp_path.iterdir()) == [out], "nothing is left beside it"
    load(out)


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path, capsys):
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train_tiny("judge", whole)
    train_tiny("judge", parts, minutes=0)
    assert fitting.unfinished(parts).exists() and read_metadata(parts)["images"] == 8
    assert "the same command goes on" in capsys.readouterr().out
    train_tiny("judge", parts)
    a, b = load_judge(whole).state_dict(), load_judge(parts).state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not fitting.unfinished(parts).exists() and read_metadata(parts)["images"] == 80


def test_a_stopped_training_is_not_continued_with_another_recipe(tmp_path):
    train_tiny("features", tmp_path / "f.safetensors", minutes=0)
    with pytest.raises(ValueError, match="other values of lr, seed"):
        train_tiny("features", tmp_path / "f.safetensors", lr=1e-4, seed=1)


def test_a_loss_that_is_no_number_stops_before_it_spreads():
    network = torch.nn.Linear(2, 1)
    before = network.weight.clone()
    loss_of = lambda indices, random: {"bad": network.weight.sum() * math.nan}
    with pytest.raises(FloatingPointError, match="at 0 images.*lower --lr"):
        list(fitting.fit(network, loss_of, 16, fitting.TeacherConfig(**TINY)))
    assert torch.equal(network.weight, before)


def test_the_schedule_rises_then_falls_to_nothing():
    config = fitting.TeacherConfig(kimg=1.0, lr=0.5, warmup=0.1)
    rates = [fitting.learning_rate(images, config) for images in range(0, 1001, 10)]
    assert rates[10] == pytest.approx(0.5) and rates[-1] == pytest.approx(0) and rates[55] == pytest.approx(0.25)
    assert 0 < rates[0] < 0.01 and rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_an_epoch_shows_every_scene_once():
    config = fitting.TeacherConfig(batch=4)
    batches = [fitting.batch_indices(step, 14, config).tolist() for step in range(6)]
    first, second = batches[:3], batches[3:]
    assert len({i for batch in first for i in batch}) == 12 and first != second
    assert first[1] == fitting.batch_indices(1, 14, config).tolist()
    with pytest.raises(ValueError, match="3 training scenes do not fill a batch of 4"):
        fitting.batch_indices(0, 3, config)


def first_and_last_losses(network, loss_of, config, steps):
    config = dataclasses.replace(config, kimg=steps * config.batch / 1000)
    losses = [progress.losses for progress in fitting.fit(network, loss_of, 16, config)]
    mean = lambda part: {name: sum(x[name] for x in part) / len(part) for name in part[0]}
    return mean(losses[:3]), mean(losses[-3:])


def test_the_sketcher_learns_where_the_lines_are():
    config = SketcherConfig(**{**TINY, **SMALL["sketcher"], "batch": 4, "categories": ("cat",), "lr": 0.01})
    data = teachers.load_scenes(config, ("image", "contour"))
    F = fitting.seeded(lambda: teachers.PhotoSketch(config.ngf, config.n_blocks), config)
    first, last = first_and_last_losses(F, teachers.sketcher_loss(F, data, config, "cpu"), config, 40)
    assert last["contour"] < 0.5 * first["contour"]


def test_the_judge_learns_and_evaluates():
    config = JudgeConfig(**{**TINY, **SMALL["judge"], "lr": 0.01, "spoiled": 0.25})
    data = teachers.load_scenes(config, ("image",))
    targets = teachers.targets_of(config.categories)
    judge = fitting.seeded(lambda: teachers.Judge(config.categories, targets, ("standing_cat", "horse_on_a_side"),
                                                  config.widths, config.dim), config)
    first, last = first_and_last_losses(judge, teachers.judge_loss(judge, data, config, "cpu"), config, 30)
    assert last["pose"] < first["pose"]
    quality = teachers.evaluate_judge(judge.eval(), data, config, "cpu")
    for condition in ("clean", "degraded"):
        assert sum(quality[condition]["confusion"]["standing_cat"]) == 4, "the held-out cats, and no horses"
        assert set(quality[condition]["yaw_degrees"]) == {"cat.yaw", "horse.yaw"}
    assert 0 <= quality["refused"] <= 1


def test_the_features_network_learns_its_dense_targets():
    config = FeaturesConfig(**{**TINY, **SMALL["features"], "lr": 0.01})
    data = teachers.load_scenes(config, ("image", "contour", "parts", "albedo", "depth"))
    targets = teachers.targets_of(config.categories)
    dense = dict(albedo=3, depth=1, contour=1, parts=len(teachers.part_table(config.categories)[0]))
    network = fitting.seeded(lambda: Features(dense, sum(t.width for t in targets), config.channels), config)
    loss_of = teachers.features_loss(network, targets, data, config, "cpu")
    first, last = first_and_last_losses(network, loss_of, config, 30)
    assert all(last[name] < first[name] for name in ("albedo", "depth", "contour", "parts"))
    assert set(teachers.evaluate_features(network.eval(), loss_of, data, config)) == set(first)


def test_features_have_four_scales_and_gradients_reach_the_picture():
    network = Features(dict(albedo=3), 2, channels=(8, 8, 16, 24, 32)).eval().requires_grad_(False)
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    levels = network.features(images)
    assert [tuple(x.shape[1:]) for x in levels] == [(8, 32, 32), (16, 16, 16), (24, 8, 8), (32, 4, 4)]
    assert network.channels == (8, 16, 24, 32)
    sum(level.square().mean() for level in levels).backward()
    assert (images.grad.abs().amax(1) > 0).float().mean() > 0.9
    with pytest.raises(ValueError, match="multiples of 16"):
        network.features(torch.zeros(1, 3, 40, 64))
    with pytest.raises(ValueError, match="one width a stride"):
        Features(dict(albedo=3), 2, channels=(8, 8))


def test_scenes_of_several_categories_are_joined_with_the_held_out_ones_last():
    config = JudgeConfig(**TINY)
    data = teachers.load_scenes(config, ("image",))
    assert len(data) == 40 and data.train == 32
    assert data.category.tolist() == [0] * 16 + [1] * 16 + [0] * 4 + [1] * 4
    assert torch.equal(data.params["cat.yaw"].isnan(), data.category == 1)
    assert torch.equal(data.params["horse.rider"].isnan(), data.category == 0)
    held_out = fake_scenes("cat", 20, 32, seed=2, views=("image",))
    assert torch.equal(data.views["image"][32:36], held_out["image"][16:])


def test_predicates_of_joined_scenes_are_those_of_menagerie():
    data = teachers.load_scenes(JudgeConfig(**{**TINY, "scenes": 60}), ("image",))
    truth = teachers.predicate_truth(data.params, ("standing_cat", "horse_on_a_side"))
    cat, horse = (Menagerie(c, seed=2) for c in ("cat", "horse"))  # the judge's seed
    assert torch.equal(truth[:60, 0], cat.satisfies("standing_cat", cat.params(range(60))).float())
    assert torch.equal(truth[60:120, 1], horse.satisfies("horse_on_a_side", horse.params(range(60))).float())
    assert truth[60:120, 0].isnan().all() and truth[:60, 1].isnan().all()


@pytest.mark.parametrize("category", ["cat", "horse"])
def test_a_mirrored_picture_shows_the_mirrored_parameters(category):
    world = Menagerie(category, 32)
    codes = world.codes(range(6))
    scenes = world.render_codes(codes, ("contour",))
    params = {f"{category}.{name}": scenes.params[name] for name in POSE[category]}
    turned = teachers.mirror_params(params, torch.ones(6, dtype=torch.bool))
    # Codes of the mirrored scenes: the quantile functions of mirrored parameters are odd, and an angle is two numbers.
    k = 0
    for name, kind in PARAMETERS[category].items():
        if kind[0] == "angle" or name in ("head_yaw", "gait", "tail_side", "shift_x"):
            codes[:, k] *= -1
        k += 2 if kind[0] == "angle" else 1
    mirrored = world.render_codes(codes, ("contour",))
    for name, values in turned.items():
        other = mirrored.params[name.split(".")[1]]
        assert torch.allclose(values.cos(), other.cos(), atol=1e-4)
        assert torch.allclose(values.sin(), other.sin(), atol=1e-4)
    same = (teachers.mirror_images(scenes.contour, torch.ones(6, dtype=torch.bool)) - mirrored.contour).abs().mean()
    assert same < 0.4 * (scenes.contour - mirrored.contour).abs().mean()


def test_mirroring_twice_changes_nothing_and_spares_churches():
    params = {"cat.yaw": torch.tensor([1.0, 2.0, math.nan]), "cat.gait": torch.tensor([0.5, -0.5, math.nan]),
              "church.yaw": torch.tensor([math.nan, math.nan, 0.3])}
    flip = torch.tensor([True, False, False])
    twice = teachers.mirror_params(teachers.mirror_params(params, flip), flip)
    assert all(torch.allclose(twice[k], params[k], equal_nan=True) for k in params)
    images = torch.arange(3 * 3 * 4 * 4.0).reshape(3, 3, 4, 4)
    assert torch.equal(teachers.mirror_images(images, flip)[0], images[0].flip(2))
    assert torch.equal(teachers.mirror_images(images, flip)[1:], images[1:])
    chosen = torch.stack([teachers.choose_mirrored(params, fitting.step_generator(0, k)) for k in range(50)])
    assert not chosen[:, 2].any() and 0.3 < chosen[:, :2].float().mean() < 0.7


def test_part_names_of_several_categories_become_one_list():
    names, table = teachers.part_table(("cat", "horse"))
    assert len(set(names)) == len(names) and set(names) == {*PART_NAMES["cat"], *PART_NAMES["horse"]}
    for k, category in enumerate(("cat", "horse")):
        assert [names[i] for i in table[k, :len(PART_NAMES[category])]] == list(PART_NAMES[category])
