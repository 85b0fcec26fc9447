"""The judge reads parameters in their own units, refuses what it cannot judge, and survives being saved."""
import math

import pytest
import torch

from sketchgan.nets.judge import Judge, Target
from sketchgan.weights.checkpoints import CheckpointError, write_safetensors
from sketchgan.weights.own import load_judge

TARGETS = (Target("cat.yaw", "angle"), Target("cat.leg", "number", 0.3, 0.05), Target("cat.posture", "label", count=3))


@pytest.fixture(scope="module")
def judge():
    torch.manual_seed(0)
    return Judge(("cat", "horse"), TARGETS, ("standing_cat", "horse_on_a_side"), widths=(8, 8, 8, 8), dim=16).eval()


def test_what_it_says_about_a_picture(judge):
    said = judge(torch.rand(3, 3, 64, 64) * 2 - 1)
    assert set(said) == {"cat.yaw", "cat.leg", "cat.posture", "standing_cat", "horse_on_a_side", "cat", "horse"}
    assert all(value.shape == (3,) for value in said.values())
    assert said["cat.yaw"].abs().max() <= math.pi and set(said["cat.posture"].tolist()) <= {0.0, 1.0, 2.0}
    for name in ("standing_cat", "horse_on_a_side", "cat", "horse"):
        assert (said[name] >= 0).all() and (said[name] <= 1).all()
    assert (said["cat"] + said["horse"] < 1).all(), "some probability is left for: recognisable as nothing"


def test_booleans_are_the_probabilities_cut_in_the_middle(judge):
    images = torch.rand(16, 3, 64, 64) * 2 - 1
    assert torch.equal(judge.satisfies("standing_cat", images), judge(images)["standing_cat"] > 0.5)
    both = judge.recognisable("cat", images) & judge.recognisable("horse", images)
    assert not both.any()
    with pytest.raises(ValueError, match="decides standing_cat, horse_on_a_side"):
        judge.satisfies("flying_cat", images)
    with pytest.raises(ValueError, match="knows cat, horse"):
        judge.recognisable("church", images)


def test_pictures_of_other_sizes_are_judged_as_their_small_versions(judge):
    small = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8) * 2 - 1, size=64, mode="bilinear")
    large = torch.nn.functional.interpolate(small, size=128, mode="bilinear")
    assert judge.features(large).shape == (2, 16)
    assert torch.allclose(judge.features(small), judge.features(large), atol=0.05)
    assert judge.features(torch.zeros(1, 3, 32, 96)).shape == (1, 16)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 60, 64)])
def test_what_is_no_picture_is_refused(judge, shape):
    with pytest.raises(ValueError, match=r"\[N, 3, H, W\].*multiples of 32"):
        judge(torch.zeros(shape))


def test_judging_one_picture_does_not_depend_on_the_others(judge):
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    assert torch.allclose(judge.features(images)[:1], judge.features(images[:1]), atol=1e-5)


def test_parameters_come_back_in_their_own_units():
    yaw, leg, posture = torch.tensor([-3.0, 0.5]), torch.tensor([0.25, 0.3]), torch.tensor([2.0, 0.0])
    angle, number, label = TARGETS
    perfect = torch.stack([yaw.cos(), yaw.sin()], 1)
    assert torch.allclose(angle.decode(perfect), yaw, atol=1e-6) and angle.loss(perfect, yaw) < 1e-10
    standardised = ((leg - 0.3) / 0.05)[:, None]
    assert torch.allclose(number.decode(standardised), leg) and number.loss(standardised, leg) < 1e-10
    logits = torch.tensor([[-20.0, -20, 20], [20, -20, -20]])
    assert torch.equal(label.decode(logits), posture) and label.loss(logits, posture) < 1e-10
    assert label.loss(torch.zeros(2, 3), posture) == pytest.approx(1), "1 for a network that knows nothing"
    assert angle.loss(torch.zeros(2, 2), yaw) == pytest.approx(1)


def test_pictures_without_the_parameter_cost_nothing():
    number = TARGETS[1]
    outputs = torch.randn(3, 1, requires_grad=True)
    loss = number.loss(outputs, torch.tensor([math.nan, 0.3, math.nan]))
    loss.backward()
    assert loss.item() == pytest.approx(outputs[1].item() ** 2)
    assert outputs.grad[0] == 0 and outputs.grad[2] == 0 and outputs.grad[1] != 0
    assert number.loss(outputs, torch.full((3,), math.nan)) == 0


def test_saved_and_loaded_it_is_the_same(judge, tmp_path):
    write_safetensors(tmp_path / "judge.safetensors", judge.state_dict(), {"config": {"judge": judge.config}})
    loaded = load_judge(tmp_path / "judge.safetensors")
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    assert loaded.targets == judge.targets and not loaded.training
    assert torch.equal(loaded.features(images), judge.features(images))


def test_another_file_is_no_judge(tmp_path):
    write_safetensors(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {"config": {"g_ema": {}}})
    with pytest.raises(CheckpointError, match="holds no judge.*pretrain judge"):
        load_judge(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError):
        load_judge(tmp_path / "missing.safetensors")
