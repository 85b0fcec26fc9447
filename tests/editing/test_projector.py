"""The projector: what it paints is what it says, the best is kept, pictures do not see each other."""
import pytest
import torch

from sketchgan.editing import ProjectConfig, Search, nearest_z, project, projecting, psnr, usual_losses
from sketchgan.editing.projector import not_white, with_noises
from sketchgan.editing.starts import encoder_start
from sketchgan.measure import Levels, perceptual_distance
from sketchgan.nets import Discriminator, Encoder, Generator

TABLE = {4: 8, 8: 8, 16: 8}


@pytest.fixture(scope="module")
def G():
    torch.manual_seed(0)
    made = Generator(16, 8, 8, 2, TABLE).eval()
    for name, strength in made.named_parameters():
        if name.endswith("noise.weight"):
            strength.data.fill_(0.2)                             # a generator that listens to its noise
    return made


@pytest.fixture(scope="module")
def images(G):
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    return G(z, noise_mode="const").detach().clamp(-1, 1)


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_own_samples_are_found_again_and_the_best_is_kept(G, images, space):
    losses = [found.losses.clone() for found in projecting(G, images, None, ProjectConfig(space, steps=40, lr=0.2))]
    assert len(losses) == 41 and all((b <= a).all() for a, b in zip(losses, losses[1:])), "a best never gets worse"
    assert losses[-1].mean() < 0.5 * losses[0].mean()
    found = project(G, images, None, ProjectConfig(space, steps=5), progress=False)
    again = with_noises(G, found.noises).synthesis(found.ws, "const")
    assert torch.allclose(again, found.images, atol=1e-5), "the latents paint what is shown"
    assert torch.allclose((again - images).square().mean((1, 2, 3)), found.losses, atol=1e-6)
    assert torch.allclose(psnr(found.images, images), found.psnr)
    if space != "w+":
        assert torch.equal(found.ws[:, 0], found.ws[:, -1]), f"{space} has one vector for all layers"
    if space == "z":
        assert torch.allclose(G.mapping(found.z), found.ws, atol=1e-5)


def test_a_batch_is_its_pictures_one_by_one(G, images):
    config = ProjectConfig(steps=4, wander=0)
    together = project(G, images, None, config, progress=False)
    alone = project(G, images[1:2], None, config, progress=False)
    assert torch.allclose(together.ws[1:2], alone.ws, atol=1e-4)


def test_the_same_seed_gives_the_same_and_the_generator_stays(G, images):
    before = {k: v.clone() for k, v in G.state_dict().items()}
    D = Discriminator(16, TABLE)
    a, b = (project(G, images, D, ProjectConfig(steps=3, tune=2, learn_noise=True), progress=False) for _ in range(2))
    assert torch.equal(a.ws, b.ws) and torch.equal(a.images, b.images)
    assert all(torch.equal(v, before[k]) for k, v in G.state_dict().items())
    assert "discriminator" in a.eyes and project(G, images, None, ProjectConfig(steps=0), progress=False).eyes == \
        "pixels alone"


def test_pivotal_tuning_comes_nearer_and_keeps_latents_and_mapping(G, images):
    other = images.flip(3)                                       # nothing that this generator paints
    found = [*projecting(G, other, None, ProjectConfig(steps=5, tune=30, tune_lr=1e-2))]
    pivot, tuned = found[5], found[-1]
    assert tuned.phase == "tuning" and tuned.step == tuned.steps == 35
    assert tuned.losses.mean() < 0.8 * pivot.losses.mean() and torch.equal(tuned.ws, pivot.ws)
    assert torch.equal(tuned.G.style[1].weight, G.style[1].weight)
    again = with_noises(tuned.G, tuned.noises).synthesis(tuned.ws, "const")
    assert torch.allclose(again, tuned.images, atol=1e-5)


def test_learnt_noise_stays_white_and_helps(G, images):
    other = images.flip(2)
    plain, learnt = (project(G, other, None, ProjectConfig(steps=25, learn_noise=on, noise_weight=0.1), progress=False)
                     for on in (False, True))
    assert learnt.losses.mean() < plain.losses.mean()
    assert all(abs(noise.std() - 1) < 0.2 and abs(noise.mean()) < 0.2 for noise in learnt.noises[1:])


def test_the_penalty_on_noise_by_hand():
    row = torch.tensor([1.0, 1, -1, -1]).repeat(2)
    n = row.expand(1, 1, 8, 8)
    # At 8 px the neighbours to the right agree in half of the places, so their mean product is 0; those below always
    # agree: 1. There is no smaller scale of 8 px or more.
    assert not_white([n]).item() == pytest.approx(1.0)
    assert not_white([torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))]).item() < 0.2


def test_an_encoder_start_is_its_answer_and_of_its_own_generator_alone(G, images):
    encoder = Encoder(3, 16, G.num_ws, 8, 4).eval()
    encoder.w_avg.copy_(G.mean_w())
    found = project(G, images, None, ProjectConfig(start="encoder", steps=0), encoder, progress=False)
    assert torch.allclose(found.ws, encoder(images), atol=1e-6)
    encoder.w_avg += 1
    with pytest.raises(ValueError, match="another generator.*pretrain photo-encoder"):
        encoder_start(encoder, G, images)
    with pytest.raises(ValueError, match="encoder is None"):
        project(G, images, None, ProjectConfig(start="encoder"), progress=False)


def test_the_nearest_z_of_a_sample_is_as_good_as_its_own(G):
    w = G.mapping(torch.randn(4, 8, generator=torch.Generator().manual_seed(9)))[:, 0]
    z = nearest_z(G, w)
    assert (G.mapping(z)[:, 0] - w).norm(dim=1).max() < 0.05 * w.norm(dim=1).mean()
    with pytest.raises(ValueError, match="3 numbers"):
        nearest_z(G, torch.zeros(2, 3))


@pytest.mark.parametrize("inner", [0, 1])
def test_a_search_finds_a_better_start_than_the_mean(G, images, inner):
    pytest.importorskip("cma")
    search = Search(rounds=6, population=8, inner=inner)
    found, mean = (project(G, images[:2], None, ProjectConfig("z", start, steps=0, search=search), progress=False)
                   for start in ("search", "mean"))
    assert (found.losses < mean.losses).all()


def test_a_picture_of_another_kind_is_told(G, images):
    config = ProjectConfig(steps=20, lr=0.2)
    usual = usual_losses(G, None, config, count=3, progress=False)
    assert usual.shape == (3,)
    checks = torch.ones(16, 16).cumsum(0).cumsum(1).remainder(2).mul(2).sub(1).expand(1, 3, 16, 16)
    found = project(G, torch.cat([images[:1], checks]), None, config, progress=False)
    near, far = found.verdict(usual)
    times = [float(text.split(" times what is usual")[0].split(", ")[1]) for text in (near, far)]
    assert times[0] < 2 < times[1], (near, far)


def test_wrong_sizes_are_told(G, images):
    with pytest.raises(ValueError, match="paints 16 px"):
        project(G, torch.zeros(1, 3, 32, 32), progress=False)
    with pytest.raises(ValueError, match="neither levels"):
        Levels(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="space of ProjectConfig"):
        ProjectConfig("x")


def test_a_discriminator_sees(images):
    eyes = Levels(Discriminator(16, TABLE))
    assert [level.shape[-1] for level in eyes.levels(images)] == [8, 4]
    assert perceptual_distance(eyes, images, images).abs().max() == 0
    assert (perceptual_distance(eyes, images, images.flip(3)) > 0).all()
