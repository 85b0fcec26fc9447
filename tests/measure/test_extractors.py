"""Extractors: names that tell them apart, Inception's file read as published, and resizing as PIL does it."""
import numpy as np
import pytest
import torch
from PIL import Image

from sketchgan.measure import extractors
from sketchgan.nets.judge import Judge, Target
from sketchgan.weights.checkpoints import CheckpointError


def judge(seed=0):
    torch.manual_seed(seed)
    return Judge(("cat",), (Target("cat.yaw", "angle"),), ("standing_cat",), widths=(4, 4, 4, 4), dim=8).eval()


def test_the_judges_features_carry_the_judges_name():
    network, images = judge(), torch.rand(5, 3, 64, 64) * 2 - 1
    ours = extractors.judge_features(network)
    assert ours.name.startswith("judge ") and ours.name == extractors.judge_features(judge()).name
    assert ours.name != extractors.judge_features(judge(seed=1)).name, "another judge, another name"
    found = extractors.features_of(ours, images, batch=2)
    assert found.shape == (5, 8) and not found.requires_grad
    torch.testing.assert_close(found, network.features(images).detach())
    assert extractors.name_of(network) == ours.name and extractors.name_of(ours) == ours.name


class Standin(torch.nn.Module):
    """Something of the shape of NVIDIA's file: an attribute `layers` that takes 299 px in [-1, 1]."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.AvgPool2d(299), torch.nn.Flatten())

    def forward(self, x):
        return self.layers(x)


def test_inception_sees_eight_bits_at_299_pixels(tmp_path):
    file = tmp_path / "inception.pt"
    torch.jit.script(Standin()).save(str(file))
    extractor = extractors.inception_features(file)
    plain = torch.tensor([-1.0, 0.1, 0.5])[None, :, None, None].expand(2, 3, 16, 16)
    expected = (torch.tensor([0.0, 140.0, 191.0]) - 128) / 128  # 0.1 and 0.5 are 140.25 and 191.25 of 255
    found = extractors.features_of(extractor, plain)
    torch.testing.assert_close(found, expected.expand(2, 3), atol=1e-5, rtol=0)
    assert "Inception" in extractor.name and "clean" in extractor.name


def test_a_missing_or_wrong_inception_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="judge_features"):
        extractors.inception_features(tmp_path / "nothing.pt")
    wrong = tmp_path / "wrong.pt"
    wrong.write_bytes(b"no network")
    with pytest.raises(CheckpointError, match="not the TorchScript Inception"):
        extractors.inception_features(wrong)
    other = tmp_path / "other.pt"
    torch.jit.script(torch.nn.Identity()).save(str(other))
    with pytest.raises(CheckpointError, match="Fetch"):
        extractors.inception_features(other)


@pytest.mark.parametrize("size, side", [(299, 64), (20, 64)])
def test_clean_resize_is_pils_bicubic_on_floats(size, side):
    pixels = torch.rand(1, 1, side, side) * 255
    theirs = Image.fromarray(pixels[0, 0].numpy(), mode=None).resize((size, size), Image.Resampling.BICUBIC)
    ours = extractors.clean_resize(pixels, size)[0, 0].numpy()
    assert np.abs(ours - np.asarray(theirs)).max() < 0.01
