"""Warm start: each part against what is known in closed form, and the whole on a generator whose truth is known."""

import copy

import pytest
import torch
from torch import nn

from sketchgan.customizing.warmstart import WarmStart, energy_distance, fit_predictor, variants, warm_start
from sketchgan.nets.stylegan2 import Generator


class Arrows(nn.Module):
    """A generator with StyleGAN2's mapping network and a synthesis that can be read: a bar with a head, at an angle.

    Directions of W, whitened: 0 and 1 give the angle, 2 the length, 3 to 5 the colour of the bar, 6 to 8 that of the
    ground.  So pose and colour of any w are known exactly.
    """

    def mapping(self, z, truncation_psi=1.0):
        return self.style(z)[:, None].expand(-1, self.num_ws, -1)

    def __init__(self, dim=12, resolution=16):
        super().__init__()
        torch.manual_seed(3)
        self.style = Generator(8, dim, dim, 2, {4: 1, 8: 1}).style
        self.z_dim = self.w_dim = dim
        self.num_ws, self.resolution = 4, resolution
        with torch.no_grad():
            w = self.style(torch.randn(4096, dim))
        self.mean, self.root = w.mean(0), torch.linalg.cholesky(torch.cov(w.T))

    def read(self, w):
        return torch.linalg.solve_triangular(self.root, (w - self.mean).T, upper=False).T

    def angle(self, w):
        x = self.read(w)
        return torch.atan2(x[:, 1], x[:, 0])

    def colors(self, w):
        return torch.tanh(self.read(w)[:, 3:9])

    def synthesis(self, ws, noise_mode="random", generator=None):
        w = ws[:, 0]
        cos, sin = (f(self.angle(w))[:, None, None] for f in (torch.cos, torch.sin))
        length = (0.55 + 0.05 * torch.tanh(self.read(w)[:, 2]))[:, None, None]
        axis = torch.linspace(-1, 1, self.resolution)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        along, across = x * cos + y * sin, y * cos - x * sin  # [NRR]
        bar = torch.maximum(along.abs() - length, across.abs() - 0.12)
        head = torch.hypot(along - length, across) - 0.35
        inside = torch.sigmoid(-20 * torch.minimum(bar, head))[:, None]  # [N1RR]
        bar_color, ground = self.colors(w)[:, :, None, None].split(3, 1)
        return inside * bar_color + (1 - inside) * ground


class Edges(nn.Module):
    """A sketcher that needs no training: ink where neighbours differ, whatever the colours."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        dy = nn.functional.pad(x.diff(dim=2), (0, 0, 0, 1)).square()
        dx = nn.functional.pad(x.diff(dim=3), (0, 1)).square()
        edge = (dx + dy).sum(1, keepdim=True).sqrt()
        return 1 - 2 * (edge > 0.4 * edge.amax((2, 3), keepdim=True)).float()


CONFIG = WarmStart(samples=512, keep=0.06, rounds=1, pool=4000, candidates=128, steps=800, batch=128)


@pytest.fixture(scope="module")
def fitted():
    """A generator before and after the warm start with two sketches of bars that point to the left."""
    before = Arrows()
    with torch.no_grad():
        w = before.style(torch.randn(500, 12, generator=torch.Generator().manual_seed(7)))
        left = w[left_share(before, w)[1]][:2]
        sketches = Edges()(before.synthesis(left[:, None]))
    after = copy.deepcopy(before)
    reports = list(warm_start(after, Edges(), sketches, CONFIG, torch.Generator().manual_seed(0)))
    return before, after, sketches, reports


def left_share(G, w):
    pointing = (G.angle(w).abs() - torch.pi).abs() < torch.pi / 6
    return pointing.float().mean().item(), pointing


@torch.no_grad()
def test_random_samples_take_the_pose_and_keep_the_colours(fitted):
    before, after, _, reports = fitted
    z = torch.randn(2000, 12, generator=torch.Generator().manual_seed(1))
    w0, w1 = before.style(z), after.style(z)
    assert left_share(before, w0)[0] < 0.25 and left_share(before, w1)[0] > 0.6
    spread = before.colors(w1).std(0) / before.colors(w0).std(0)
    assert spread.mean() > 0.85 and spread.min() > 0.6
    # The same z keeps its own colours, not only the same spread of them.
    together = torch.stack([before.colors(w0).flatten(), before.colors(w1).flatten()])
    assert torch.corrcoef(together)[0, 1] > 0.6
    assert reports[-1].losses["after"] < reports[-1].losses["before"]


@torch.no_grad()
def test_a_sketch_that_is_far_from_everything_has_its_share_of_the_samples():
    G = Arrows()
    w = G.style(torch.randn(500, 12, generator=torch.Generator().manual_seed(7)))
    pointing = lambda w, to: ((G.angle(w) - to + torch.pi) % (2 * torch.pi) - torch.pi).abs() < torch.pi / 6
    left, up = (Edges()(G.synthesis(w[pointing(w, to)][:1, None])) for to in (torch.pi, torch.pi / 2))
    # a frame that no sample has: in pixels, all of them are nearer to the other sketch
    up[:, :, 0] = up[:, :, :, 0] = -1
    after = copy.deepcopy(G)
    with torch.enable_grad():
        list(warm_start(after, Edges(), torch.cat([left, up]), CONFIG, torch.Generator().manual_seed(0)))
    made = after.style(torch.randn(2000, 12, generator=torch.Generator().manual_seed(1)))
    shares = [pointing(made, to).float().mean().item() for to in (torch.pi, torch.pi / 2)]
    assert min(shares) > 0.1, shares  # in pixels, one in a hundred


def test_only_the_mapping_network_changes_and_reports_come_early(fitted):
    before, after, _, reports = fitted
    assert any(not torch.equal(a, b) for a, b in zip(before.style.parameters(), after.style.parameters()))
    assert reports[0].samples.shape == (16, 3, 16, 16) and reports[0].done == pytest.approx(64 / sum(CONFIG.costs))
    done = [report.done for report in reports]
    assert done == sorted(done) and done[-1] == 1 and done[-2] < 1
    assert [r.losses["nearest"] for r in reports[:8]] == sorted((r.losses["nearest"] for r in reports[:8]),
                                                                reverse=True)
    assert reports[-1].done == 1 and "px after" in reports[-1].message


def test_the_seed_decides_and_the_global_one_does_not():
    sketches = torch.ones(1, 1, 16, 16)
    sketches[:, :, 6:10, 3:13] = -1
    small = WarmStart(samples=64, keep=0.2, rounds=1, pool=100, candidates=16, steps=5, batch=16)

    def fit(seed, watched=False):
        G = Arrows()
        torch.manual_seed(seed + 100)
        before = torch.get_rng_state()
        losses = []
        for report in warm_start(G, Edges(), sketches, small, torch.Generator().manual_seed(seed)):
            losses.append(report.losses)
            if watched:  # whoever shows a report, or holds the search there, may draw random numbers
                torch.rand(3)
        assert watched or torch.equal(torch.get_rng_state(), before)  # nobody else's random numbers are moved
        return losses

    assert fit(1) == fit(1, watched=True) != fit(2)


def test_a_fit_that_brings_nothing_is_not_taken():
    G = Arrows()
    before = copy.deepcopy(G.style.state_dict())
    sketches = torch.ones(1, 1, 16, 16)
    sketches[:, :, :, 0] = -1  # nothing G paints looks like this, and a fit at this rate only breaks the network
    broken = WarmStart(samples=64, keep=0.1, rounds=0, steps=3, batch=16, lr=1e9, shown=4)
    *_, last = warm_start(G, Edges(), sketches, broken, torch.Generator().manual_seed(0))
    assert "stays as it was" in last.message
    assert all(torch.equal(v, before[k]) for k, v in G.style.state_dict().items())


@pytest.mark.parametrize("wrong", [dict(keep=0), dict(keep=20), dict(unit=float("nan"))])
def test_a_share_of_the_samples_is_a_share(wrong):
    with pytest.raises(ValueError, match="of WarmStart is .*; wanted a number above 0 and below 1"):
        WarmStart(**wrong)


def test_energy_distance():
    torch.manual_seed(0)
    x, y = torch.randn(2, 2000, 3)
    assert abs(energy_distance(x, y)) < 0.01 < energy_distance(x, y + 0.5) < energy_distance(x, y + 2)
    # In one dimension, two points against two: 2 E|x-y| - E|x-x'| - E|y-y'| by hand.
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [4.0]])
    assert energy_distance(a, b).item() == pytest.approx(2 * (2 + 4 + 1 + 3) / 4 - 1 - 2, abs=1e-4)


def run(work):
    """What a generator returns, and what it yielded."""
    reports = []
    while True:
        try:
            reports.append(next(work))
        except StopIteration as end:
            return end.value, reports


def test_predictor_ranks_what_it_has_not_seen():
    torch.manual_seed(0)
    x = torch.randn(1500, 6)
    distance = (x[:, 0] - 1).square() + (x[:, 1] + 1).square() + 0.1
    predict, reports = run(fit_predictor(x[:1000], distance[:1000], torch.Generator().manual_seed(0), steps=300))
    assert [r.done for r in reports] == [*(k / 300 for k in range(1, 300, 20)), 1], "between two reports, Stop is heard"
    best = predict(x[1000:]).argsort()[:25]
    assert distance[1000:][best].mean() < 0.25 * distance[1000:].mean()


def test_variants_move_and_scale_by_what_they_say():
    sketch = torch.ones(1, 1, 32, 32)
    sketch[:, :, 12:20, 12:20] = -1
    copies = variants(sketch, shift=1 / 8, scale=0.25)
    assert copies.shape == (27, 1, 32, 32) and torch.allclose(copies[0], sketch[0], atol=1e-5)
    ink = (copies < 0).float()
    center = (ink.sum((1, 2)) * torch.arange(32)).sum(1) / ink.sum((1, 2, 3)) - 15.5  # along x
    assert center.min().round() == -4 and center.max().round() == 4  # an eighth of 32
    sides = ink.amax(2).sum(2).flatten().unique().tolist()
    assert min(sides) == 6 and max(sides) == 10
    assert (copies[:, :, 0] == 1).all()  # what comes in from outside is paper
    assert variants(sketch, 0, 0).shape == (1, 1, 32, 32)
