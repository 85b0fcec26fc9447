"""Base GANs: growth keeps the picture, resume is exact, two processes agree, the command line trains and teaches its
errors."""
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sketchgan.nets.features import Features
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.photos.datasets import split_of
from sketchgan.pretraining import command, fitting, mapping
from sketchgan.pretraining.gan import GanTrainer, grow
from sketchgan.pretraining.recipe import GanConfig
from sketchgan.weights import checkpoints
from sketchgan.world.scenes import Menagerie, code_size

CHANNELS = {4: 8, 8: 8, 16: 8, 32: 6}
TINY = dict(resolution=32, z_dim=48, w_dim=16, num_mapping=2, channels=CHANNELS, d_channels=CHANNELS, batch=4,
            growth={16: 0.012}, kimg=0.04, d_reg_every=2)


class Noise:
    """Twelve images with codes, as a data set; the category is only needed when pairs are taught."""

    category = "cat"

    def __init__(self):
        random = torch.Generator().manual_seed(0)
        self.images = torch.randn(12, 3, 32, 32, generator=random).tanh()
        self.code = torch.randn(12, code_size("cat"), generator=random)

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return self.images[index]


def features() -> Features:
    torch.manual_seed(3)
    return Features(dict(contour=1), 2, channels=(4, 4, 4, 4, 4)).eval()


def weights(trainer: GanTrainer) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for net in (trainer.G, trainer.D, trainer.G_ema)
                      for p in net.parameters()])


def test_growing_keeps_the_picture_and_the_shared_layers():
    torch.manual_seed(0)
    small, large = Generator(16, 8, 8, 2, CHANNELS), Generator(32, 8, 8, 2, CHANNELS)
    grow(small, large)
    z = torch.randn(3, 8)
    before = torch.nn.functional.interpolate(small(z, noise_mode="none"), scale_factor=2, mode="bilinear")
    after = large(z, noise_mode="none")
    assert torch.corrcoef(torch.stack([before.flatten(), after.flatten()]).detach())[0, 1] > 0.98
    d_small, d_large = Discriminator(16, CHANNELS), Discriminator(32, CHANNELS)
    grow(d_small, d_large)
    assert torch.equal(d_small.convs[1].conv1[0].weight, d_large.convs[2].conv1[0].weight)
    assert torch.equal(d_small.final_linear[1].weight, d_large.final_linear[1].weight)


class Any:
    """Pictures of any size, as a data set of eight."""

    def __init__(self, resolution):
        self.images = torch.randn(8, 3, resolution, resolution, generator=torch.Generator().manual_seed(0)).tanh()

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.images[index]


@pytest.mark.parametrize("resolution, sizes", [(32, [32] * 5), (64, [32, 32, 64, 64, 64]), (128, [32, 32, 64, 64, 128]),
                                               (256, [32, 32, 64, 64, 128, 128, 256])])
def test_growth_ends_at_the_resolution_and_publishes_there(resolution, sizes, tmp_path):
    """One recipe for every resolution: a stage that it does not name lasts as long as the one before."""
    few = {4: 2, 8: 2, 16: 2, 32: 2, 64: 2, 128: 2, 256: 2}
    config = GanConfig(resolution=resolution, z_dim=8, w_dim=8, num_mapping=1, channels=few, d_channels=few, batch=2,
                       growth={32: 0.004}, kimg=0.01)
    trainer, seen = GanTrainer(config, Any(resolution)), []
    while not trainer.done:
        trainer.step()
        seen.append(trainer.resolution)
        command.publish(trainer, tmp_path, 0.0, {})
        assert (tmp_path / "gan.safetensors").exists() == (trainer.resolution == resolution)
    assert seen == sizes
    assert checkpoints.load_generator(tmp_path / "gan.safetensors").resolution == resolution


def test_first_only_the_critics_learn_where_that_is_asked(monkeypatch):
    monkeypatch.setattr("sketchgan.pretraining.gan.teach_mapping", lambda *_, **__: None)
    trainer = GanTrainer(GanConfig(**TINY, paired_kimg=0.016, critic_kimg=0.008), Noise(), features())
    while trainer.seen < 16:
        trainer.step()
    G, D = (lambda: torch.cat([p.flatten() for p in trainer.G.parameters()])), next(trainer.D.parameters())
    before, d_before = G().clone(), D.clone()
    while trainer.seen < 24:
        assert "D" in (log := trainer.step()) and not {"G", "pairs"} & set(log)
    assert torch.equal(G(), before) and not torch.equal(D, d_before)
    assert {"G", "pairs"} <= set(trainer.step()) and not torch.equal(G(), before)


STAGES = {"plain": {}, "pairs and heads": dict(paired_kimg=0.016, heads_weight=0.5),
          "known w, mixed heads": dict(paired_kimg=0.016, heads_weight=0.5, known_w=True, heads_mix=4)}


@pytest.mark.parametrize("extra", STAGES.values(), ids=STAGES)
def test_resume_is_exact_at_every_stage(extra, tmp_path, monkeypatch):
    monkeypatch.setattr("sketchgan.pretraining.gan.teach_mapping",
                        lambda G, category, dims, *_, seed: mapping.teach_mapping(G, category, dims, 3, 8, seed=seed))
    config = GanConfig(**TINY, **extra)
    make = lambda: GanTrainer(config, Noise(), features())
    straight, losses = make(), []
    while not straight.done:
        losses.append(straight.step())
    broken, again = make(), []
    for _ in range(len(losses)):             # stop and resume after every single step, through a real file
        again.append(broken.step())
        checkpoints.save_training(tmp_path / "c.pt", broken.state())
        broken = make()
        broken.load(checkpoints.load_training(tmp_path / "c.pt"))
    assert losses == again
    assert torch.equal(weights(straight), weights(broken)) and straight.resolution == 32


def test_known_w_teaches_the_painter_by_the_answer_and_the_mapping_when_the_game_begins(monkeypatch):
    monkeypatch.setattr("sketchgan.pretraining.gan.teach_mapping",
                        lambda G, category, dims, *_, seed: mapping.teach_mapping(G, category, dims, 40, 32, seed=seed))
    trainer = GanTrainer(GanConfig(**TINY, paired_kimg=0.016, known_w=True), Noise(), features())
    z = mapping.z_of_code(Noise().code, 48, torch.Generator().manual_seed(0))
    answer, _ = mapping.known_w("cat", None, 16)
    before = trainer.G.style[1].weight.clone()
    while trainer.seen < 16:
        assert torch.allclose(trainer.latents(z, trainer.G)[:, 3], answer(Noise().code))
        trainer.step()
        assert torch.equal(trainer.G.style[1].weight, before) and not trainer.taught and not trainer.usable
    trainer.step()
    assert trainer.taught and not torch.equal(trainer.G.style[1].weight, before)
    assert torch.equal(trainer.latents(z, trainer.G), trainer.G.mapping(z))
    plain = GanTrainer(GanConfig(**TINY, known_w=True), Any(32))        # no pairs, no codes: nothing is known
    assert torch.equal(plain.latents(z, plain.G), plain.G.mapping(z))


def test_a_checkpoint_with_nan_is_not_written(tmp_path):
    trainer = GanTrainer(GanConfig(**{**TINY, "kimg": 0.004}), Noise())
    command.train_gan(trainer, tmp_path, {})
    sound = (tmp_path / "checkpoint.pt").read_bytes()
    assert trainer.load(checkpoints.load_training(tmp_path / "checkpoint.pt")) is None
    with torch.no_grad():
        trainer.D.final_linear[1].bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="D.*NaN.*checkpoint before it is sound"):
        command.train_gan(trainer, tmp_path / "other", {})      # done already: it only saves
    assert not (tmp_path / "other" / "checkpoint.pt").exists()
    with pytest.raises(FloatingPointError):
        fitting.save_finite(tmp_path / "checkpoint.pt", trainer.state())
    assert (tmp_path / "checkpoint.pt").read_bytes() == sound


def test_the_game_learns():
    """Two grey levels, one flat image each: after a short game samples are flat and near one of them."""
    class Flat(Noise):
        def __init__(self):
            self.images = torch.tensor([-0.6, 0.6])[:, None, None, None].expand(2, 3, 16, 16)

        def __len__(self):
            return 2
    config = GanConfig(**{**TINY, "growth": {}, "kimg": 2.4, "batch": 8, "lr": 0.01, "resolution": 8, "ema_kimg": 0.1})
    images = Flat()
    images.images = images.images[..., :8, :8]
    trainer = GanTrainer(config, images)
    start = trainer.G_ema(torch.randn(32, 48, generator=torch.Generator().manual_seed(1)), noise_mode="none")
    while not trainer.done:
        trainer.step()
    made = trainer.G_ema(torch.randn(32, 48, generator=torch.Generator().manual_seed(1)), noise_mode="none")
    distance = lambda x: torch.minimum((x + 0.6).abs(), (x - 0.6).abs()).mean()
    assert distance(made) < 0.6 * distance(start) and distance(made) < 0.35


def test_z_of_code_has_the_usual_length_and_keeps_the_code():
    code = torch.randn(50, 32)
    z = mapping.z_of_code(code, 64, torch.Generator().manual_seed(0))
    assert torch.equal(z[:, :32], code) and torch.allclose(z.square().sum(1), torch.full((50,), 64.0), rtol=1e-4)


@pytest.mark.parametrize("category", ["cat", "horse", "church"])
def test_descriptions_are_standardised_and_tell_the_parameters(category):
    code = Menagerie(category).codes(range(600))
    d = mapping.describe(category, code)
    assert d.isfinite().all() and d.mean(0).abs().max() < 0.6 and 0.3 < d.std(0).min() and d.std(0).max() < 2.5


def test_mapping_learns_what_z_means():
    torch.manual_seed(0)
    G = Generator(8, 64, 128, 3, {4: 4, 8: 4})
    short = mapping.teach_mapping(G, "cat", steps=30, batch=128)
    long = mapping.teach_mapping(G, "cat", steps=300, batch=128)
    assert long < 0.85 * short and long < 0.8
    with pytest.raises(ValueError, match="z_dim"):
        mapping.teach_mapping(Generator(8, 16, 16, 2, {4: 4, 8: 4}), "cat")


class Photos:
    """40 pictures of a bright square somewhere, as a data set."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        x = torch.full((len(index), 3, 32, 32), -0.8)
        for row, i in zip(x, index.tolist()):
            row[:, (i % 5) * 4:(i % 5) * 4 + 10, (i // 5) * 2:(i // 5) * 2 + 9] = 0.8
        return x


def test_photographs_get_codes_that_tell_them_apart():
    photos = mapping.CodedPhotos(Photos(), dims=30, mirror=True)
    assert len(photos) == 80 and photos.code.shape == (80, 30)
    # uncorrelated, variance 1
    assert torch.allclose(photos.code.T @ photos.code / 80, torch.eye(30), atol=1e-3)
    index = torch.tensor([3, 43])
    assert torch.equal(photos[index][1], photos[index][0].flip(2))
    assert len(mapping.CodedPhotos(Photos(), 12, mirror=False)) == 40
    apart = torch.cdist(photos.code, photos.code) + 1e9 * torch.eye(80)
    assert apart.min() > 0.5, "two different pictures share a code"
    with pytest.raises(ValueError, match="principal components"):
        mapping.CodedPhotos(Photos(), dims=80)
    torch.manual_seed(0)
    G = Generator(8, 20, 16, 2, {4: 4, 8: 4})
    assert mapping.teach_mapping(G, None, 12, steps=400, batch=128) < 0.5


def test_starting_from_weights_begins_with_their_pictures():
    config = GanConfig(**TINY)
    torch.manual_seed(4)
    G, D = Generator(32, 48, 16, 2, CHANNELS), Discriminator(32, CHANNELS)
    trainer = GanTrainer(config, Noise())
    trainer.start_from(G, D)
    z = torch.randn(2, 48)
    assert trainer.resolution == 32 and torch.equal(trainer.G_ema(z, noise_mode="const"), G(z, noise_mode="const"))
    trainer.step()
    assert trainer.resolution == 32
    with pytest.raises(ValueError, match="other sizes"):
        trainer.start_from(Generator(8, 48, 16, 2, CHANNELS), D)


def test_mistakes_are_explained():
    with pytest.raises(ValueError, match="feature network"):
        GanTrainer(GanConfig(**TINY, heads_weight=1.0), Noise())
    with pytest.raises(ValueError, match="images with codes"):
        images = Noise()
        images.code = None
        GanTrainer(GanConfig(**TINY, paired_kimg=1.0), images, features())
    trainer = GanTrainer(GanConfig(**TINY), Noise())
    with pytest.raises(ValueError, match="mixing was 0.9, now 0.5"):
        GanTrainer(GanConfig(**{**TINY, "mixing": 0.5}), Noise()).load(trainer.state())
    with torch.no_grad():
        trainer.G.input.input.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="last checkpoint"):
        trainer.step()


@pytest.fixture
def photos(tmp_path):
    from PIL import Image
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(6):
        Image.new("RGB", (20, 20), (40 * i, 100, 200 - 30 * i)).save(folder / f"{i}.png")
    return folder


FLAGS = ("--resolution 16 --z-dim 8 --w-dim 8 --num-mapping 2 --channels 4:4,8:4,16:4 --d-channels 4:4,8:4,16:4 "
         "--batch 4 --kimg 0.03 --threads 1 --device cpu").split()


def test_command_line_trains_a_folder_and_goes_on(photos, tmp_path):
    out = tmp_path / "run"
    command.main(["gan", str(photos), "--out", str(out), "--growth", "8:0.01", "--augment", "color,translation",
                  *FLAGS])
    G, D = checkpoints.load_generator(out / "gan.safetensors"), checkpoints.load_discriminator(out / "gan.safetensors")
    assert G.resolution == D.resolution == 16 and list((out / "samples").glob("*.png"))
    assert checkpoints.read_metadata(out / "gan.safetensors")["images_seen"] == 32
    longer = [v if v != "0.03" else "0.05" for v in FLAGS]
    command.main(["gan", str(photos), "--out", str(out), "--growth", "8:0.01", "--augment", "color,translation",
                  *longer])
    assert checkpoints.load_training(out / "checkpoint.pt")["seen"] == 52
    half = tmp_path / "half"
    command.main(["gan", str(photos), "--out", str(half), "--part", "train", *FLAGS])
    made = checkpoints.read_metadata(half / "gan.safetensors")
    trained = sum(split_of(f) == "train" for f in photos.iterdir())
    assert (made["data"], made["part"], made["images"]) == ("photos", "train", trained)
    with pytest.raises(SystemExit, match="another configuration"):
        command.main(["gan", str(photos), "--out", str(out), *longer, "--mixing", "0.5"])
    with pytest.raises(SystemExit, match="no folder"):
        command.main(["gan", str(tmp_path / "nothing"), "--out", str(out), *FLAGS])


def test_two_processes_hold_the_same_networks(photos, tmp_path):
    """A real torchrun with two gloo processes; each writes a hash of its weights, and they agree."""
    script = tmp_path / "two.py"
    script.write_text(f"""
import os, sys, torch
from sketchgan.pretraining import command, gan
train = command.train_gan
def watched(trainer, *args, **kwargs):
    train(trainer, *args, **kwargs)
    flat = torch.cat([p.detach().reshape(-1) for net in (trainer.G, trainer.D) for p in net.parameters()])
    said = flat.double().sum().item(), trainer.world, float(torch.rand((), generator=trainer.rng))
    open(r"{tmp_path}" + f"/rank{{trainer.rank}}", "w").write("%.12f %d %f" % said)
command.train_gan = watched
command.main(["gan", r"{photos}", "--out", r"{tmp_path / 'out'}", *{FLAGS!r}])
""")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).resolve().parents[2])
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = ((tmp_path / f"rank{k}").read_text().split() for k in (0, 1))
    assert first[:2] == second[:2] and first[1] == "2"      # the same weights,
    assert first[2] != second[2]                            # from different images
