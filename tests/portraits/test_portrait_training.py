"""Losses of portraits against their formulas, and the three stages: what learns, exact resume, collapse."""
import itertools
import math

import pytest
import torch

from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.portraits import losses
from sketchgan.portraits.network import DualStyleGAN
from sketchgan.portraits.training import PortraitConfig, PortraitTraining, train_portraits

CHANNELS = {4: 8, 8: 8, 16: 6, 32: 4}
SHORT = PortraitConfig(stage2=(1, 1, 2), stage3=4, batch=2, look_every=2, d_reg_every=2)


def base():
    torch.manual_seed(0)
    return Generator(32, 8, 12, 2, CHANNELS).eval(), Discriminator(32, CHANNELS).eval()


def training(config=SHORT, **more):
    G, D = base()
    random = torch.Generator().manual_seed(1)
    styles = torch.rand(3, 3, 32, 32, generator=random) * 2 - 1
    codes = [G.mapping(torch.randn(3, 8, generator=random)).detach().clone() for _ in range(2)]
    return PortraitTraining(G, D, styles, *codes, config, **more)


# --- Losses ----------------------------------------------------------------------------------------------------------

def test_contextual_by_hand():
    x, y = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 1, 3)
    a, b = (v.flatten(2)[0].T - y.mean((0, 2, 3)) for v in (x, y))                          # [4,C], [3,C]
    d = torch.tensor([[1 - float(p @ q / p.norm() / q.norm()) for q in b] for p in a])
    w = ((1 - d / (d.amin(1, keepdim=True) + 1e-5)) / 0.2).exp()
    wanted = -(w / w.sum(1, keepdim=True)).amax(0).mean().log()
    assert losses.contextual(x, y).item() == pytest.approx(wanted.item(), rel=1e-4)


def test_contextual_does_not_ask_where():
    x = torch.randn(2, 16, 4, 4)
    shuffled = x.flatten(2)[:, :, torch.randperm(16)].unflatten(2, (4, 4))
    assert losses.contextual(shuffled, x).item() == pytest.approx(losses.contextual(x, x).item(), abs=1e-5)
    assert losses.contextual(torch.randn(2, 16, 4, 4), x) > losses.contextual(x, x) + 0.5


def test_content_asks_where_and_not_how_strongly():
    x = torch.randn(2, 6, 8, 8)
    restyled = x * torch.rand(1, 6, 1, 1).add(0.5) + torch.randn(1, 6, 1, 1)
    assert losses.content(restyled, x) < 1e-4 < losses.content(x.flip(3), x)


def test_the_others_by_hand():
    a, b = [torch.tensor([[[[1.0, 3.0]]]])], [torch.tensor([[[[2.0, 6.0]]]])]
    assert losses.perceptual(a, b).item() == 2.0 and losses.feature_matching(a, b).item() == 4.0
    assert losses.spread_of([torch.tensor([[[[0.0]]], [[[1.0]]], [[[3.0]]]])]).item() == pytest.approx(2.0)
    P = DualStyleGAN(base()[0])
    before = losses.extrinsic_penalty(P)
    with torch.no_grad():
        P.res[-1].weight.mul_(5)                                    # T_c and gains are free
        P.res[0].norm.style.bias.mul_(5)
    assert losses.extrinsic_penalty(P) == before
    with torch.no_grad():
        for block in P.res[:P.border]:
            block.conv[0].weight.zero_(), block.conv2[0].weight.zero_()
    assert losses.extrinsic_penalty(P) < 1e-4


# --- Training --------------------------------------------------------------------------------------------------------

def test_the_stages_and_what_learns():
    run = training()
    before = {k: v.clone() for k, v in run.P.state_dict().items()}
    asked = [run.border_of(i) for i in range(4)]
    steps = list(train_portraits(run))
    assert asked == [3, 2, 1, 1] and [s.stage for s in steps] == [2] * 4 + [3] * 4
    assert steps[0].losses.keys() >= {"adv", "perc", "D", "r1"} and "cx" in steps[-1].losses
    assert all(math.isfinite(v) for s in steps for v in s.losses.values())
    assert [s.variety is not None for s in steps] == [False, True] * 4
    after, ema = run.P.state_dict(), run.P_ema.state_dict()
    for key in before:
        still = torch.equal(before[key], after[key])
        assert still == key.startswith("generator."), key
        assert torch.equal(before[key], ema[key]) == still, f"the average leaves out {key}"


def test_resumed_is_the_run_that_never_stopped(tmp_path):
    whole = training()
    wanted = [s.losses for s in train_portraits(whole)]
    found = []
    for n in (3, 2, 9):
        run = training()
        steps = train_portraits(run, tmp_path / "run.training")
        found += [s.losses for s in itertools.islice(steps, n)]
        steps.close()
    assert found == wanted
    assert all(torch.equal(a, b) for a, b in zip(whole.P_ema.parameters(), run.P_ema.parameters()))
    with pytest.raises(ValueError, match="began with other values of lr"):
        next(train_portraits(training(PortraitConfig(lr=0.1, stage2=(1, 1, 2), stage3=4, batch=2, look_every=2,
                                                     d_reg_every=2)), tmp_path / "run.training"))
    other = training()
    other.about = other.about | {"base": "another"}
    with pytest.raises(ValueError, match="of another base, other style examples"):
        next(train_portraits(other, tmp_path / "run.training"))


def test_pairs_pull_portraits_to_their_examples():
    """Stage III on one example, pairs alone: the portrait of its own content comes nearer to it."""
    G, D = base()
    random = torch.Generator().manual_seed(1)
    ws = G.mapping(torch.randn(2, 8, generator=random)).detach().clone()
    style = torch.full((1, 3, 32, 32), -0.8)
    style[:, :, 8:24, 8:24] = 0.8
    config = PortraitConfig(stage2=(0, 0, 0), stage3=16, batch=2, paired=1.0, l_adv=0.0, l_reg=0.0, l_content=0.0,
                            lr=0.01, ema_kimg=0.01, jitter=0.0, look_every=100)
    run = PortraitTraining(G, D, style, ws[:1], ws[1:], config)
    steps = [s.losses["perc"] for s in train_portraits(run)]
    assert sum(steps[-4:]) < 0.85 * sum(steps[:4])


def test_a_collapse_ends_it_and_keeps_the_last_sound_state():
    run = training(PortraitConfig(stage2=(0, 0, 0), stage3=50, batch=2, look_every=2, collapse=0.0))
    for step in itertools.islice(train_portraits(run), 4):
        pass
    sound = {k: v.clone() for k, v in run.sound.items()}
    object.__setattr__(run.config, "collapse", 1e9)                 # from here on every look is a bad one
    steps = list(train_portraits(run))
    assert [s.collapsed for s in steps] == [False, False, False, True] and run.done
    assert all(torch.equal(run.P_ema.state_dict()[k], v) for k, v in sound.items())


def test_an_encoder_and_other_features_are_taken():
    asked = []

    def encode(images):
        asked.append(len(images))
        return torch.zeros(len(images), 8, 12)

    class Pool(torch.nn.Module):
        def features(self, x):
            return [torch.nn.functional.avg_pool2d(x, k) for k in (2, 4, 8)]

    run = training(PortraitConfig(stage2=(2, 0, 0), stage3=1, batch=2, encoded=1.0), encode=encode, features=Pool())
    list(train_portraits(run))
    assert asked == [2, 2]


def test_codes_and_pictures_must_fit():
    G, D = base()
    x, codes = torch.zeros(3, 3, 32, 32), torch.zeros(3, 8, 12)
    with pytest.raises(ValueError, match="codes of another base or of other examples"):
        PortraitTraining(G, D, x, codes[:2], codes)
    with pytest.raises(ValueError, match="the base paints 32 px"):
        PortraitTraining(G, D, torch.zeros(3, 3, 64, 64), codes, codes)
