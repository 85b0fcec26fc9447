"""The photo encoder: it learns what its generator painted, and its file is small and says how good it is."""
import pytest
import torch

from sketchgan.nets import Encoder, Generator
from sketchgan.pretraining.command import main
from sketchgan.pretraining.fitting import fit, step_generator
from sketchgan.pretraining.photo_encoder import (
    PhotoEncoderConfig,
    photo_encoder_loss,
    relative_error,
    spoil_a_little,
    train_photo_encoder,
)
from sketchgan.weights import read_metadata, save
from sketchgan.weights.own import load_encoder

CONFIG = PhotoEncoderConfig(kimg=0.16, batch=8, width=4, painted=2)


@pytest.fixture
def generator(tmp_path):
    torch.manual_seed(0)
    G = Generator(16, 8, 8, 2, {4: 8, 8: 8, 16: 8}).eval()
    save(tmp_path / "tiny.safetensors", G=G)
    return tmp_path / "tiny.safetensors"


def test_relative_error_by_hand():
    truth, mean = torch.tensor([[1.0, 3.0]]), torch.tensor([2.0, 2.0])
    assert relative_error(truth, truth, mean) == 0 and relative_error(mean.expand(1, 2), truth, mean) == 1
    assert relative_error(torch.tensor([[1.0, 2.0]]), truth, mean) == 0.5


def test_spoiling_keeps_between_the_picture_and_what_degradation_makes():
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    assert torch.equal(spoil_a_little(images, 0.0, step_generator(0, 0)), images)
    slightly, fully = (spoil_a_little(images, most, step_generator(0, 0)) for most in (0.05, 1.0))
    assert 0 < (slightly - images).abs().mean() < (fully - images).abs().mean()


def test_it_learns_what_was_painted(generator):
    from sketchgan.weights import load_generator
    G = load_generator(generator).eval().requires_grad_(False)
    torch.manual_seed(0)
    encoder = Encoder(3, 16, G.num_ws, 8, 4)
    encoder.w_avg.copy_(G.mean_w())
    config = PhotoEncoderConfig(kimg=0.32, batch=8, width=4, pixels=0.0, lr=1e-2)
    losses = [step.losses["w"] for step in fit(encoder, photo_encoder_loss(encoder, G, config, "cpu"), 8, config)]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_the_file_is_small_says_how_good_it_is_and_is_made_again_alike(generator, tmp_path, capsys):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    quality = train_photo_encoder(generator, CONFIG, first)
    main(["photo-encoder", str(generator), "--kimg", "0.16", "--batch", "8", "--width", "4", "--painted", "2",
          "--threads", str(torch.get_num_threads()), "--out", str(second)])
    assert "fresh samples again" in capsys.readouterr().out
    a, b = load_encoder(first), load_encoder(second)
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))
    assert {x.dtype for x in a.parameters()} == {torch.float32}
    numbers = sum(x.numel() for x in a.state_dict().values())
    assert first.stat().st_size < 2 * numbers + 20_000, "two bytes a number"
    assert read_metadata(first)["quality"] == quality and quality["psnr"] > 0
    assert not first.with_suffix(".training").exists()
