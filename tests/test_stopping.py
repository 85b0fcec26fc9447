"""Stopping: what the rule chooses on traces made up for it, what it keeps, and when it ends a run."""
from types import SimpleNamespace

import pytest
import torch

from sketchgan.stopping import Look, StoppingRule, Watch, choose, is_over, keep_back, overfitting
from sketchgan.stylegan2 import Generator

RULE = StoppingRule(patience=3)


def trace(*distances, error=0.1, diversity=None, overfit=None):
    diversity = diversity or [1.0] * len(distances)
    overfit = overfit or [None] * len(distances)
    return [Look(100 * i, d, error, v, o) for i, (d, v, o) in enumerate(zip(distances, diversity, overfit))]


@pytest.mark.parametrize("looks, chosen", [
    (trace(5, 4, 3, 2), 3),                                            # still coming nearer: the last
    (trace(5, 3, 2, 2.05, 2.5), 2),                                    # turned round
    (trace(5, 2.05, 2.0, 1.99), 1),                                    # what follows is not clearly nearer: the earlier one
    (trace(5, 3, 2, 1, diversity=[1, 0.9, 0.85, 0.5]), 2),             # the nearest has collapsed
    (trace(5, 3, 2, 1, overfit=[0, 0.1, 0.5, 0.9]), 2),                # the nearest comes from a D that knows by heart
    (trace(5, 3, 2, diversity=[0.5, 0.7, 0.6]), 1),                    # nothing is accepted: what is left of diversity
])
def test_what_is_kept(looks, chosen):
    assert choose(looks, RULE) == chosen


def test_the_choice_never_moves_back():
    torch.manual_seed(1)
    for _ in range(200):
        looks = [Look(i, 5 - 0.1 * i + torch.randn(()).item(), torch.rand(()).item(), 0.6 + 0.6 * torch.rand(()).item())
                 for i in range(20)]
        good = [i for i in range(20) if looks[i].diversity >= RULE.keep]
        chosen = [choose(looks[:n], RULE) for n in range(good[0] + 1, 21)]
        assert chosen == sorted(chosen)


def test_over_when_nothing_nearer_has_come_for_as_many_looks_as_its_patience():
    assert [is_over(trace(5, 4, 3, 3.2, 3.1, 3.3)[:n], RULE) for n in range(1, 7)] == [False] * 5 + [True]
    assert not is_over(trace(5, 4, 3, 3.2, 3.1, 2.9), RULE)
    assert is_over(trace(5, 1, 1, 1, diversity=[1, 0.1, 0.1, 0.1]), RULE), "collapsed looks are no progress"
    with pytest.raises(ValueError, match="no look"):
        choose([], RULE)


@pytest.mark.parametrize("count, held", [(1, 0), (4, 0), (5, 1), (30, 6)])
def test_sketches_are_kept_back_only_where_there_are_enough(count, held):
    sketches = torch.arange(count).float()[:, None, None, None].expand(-1, 1, 2, 2)
    taught, back = keep_back(sketches)
    assert len(back) == held and len(taught) == count - held
    assert set(taught[:, 0, 0, 0].tolist()).isdisjoint(back[:, 0, 0, 0].tolist())


class Brightness(torch.nn.Module):
    """A discriminator that likes what is bright."""

    def __init__(self, sign=1.0):
        super().__init__()
        self.sign = torch.nn.Parameter(torch.tensor(sign))

    def forward(self, x):
        return self.sign * x.mean((1, 2, 3))[:, None]


@pytest.mark.parametrize("held_out, expected", [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)])
def test_overfitting_says_on_which_side_unseen_sketches_stand(held_out, expected):
    flat = lambda value: torch.full((3, 1, 4, 4), value)
    assert overfitting(Brightness(), flat(1.0), flat(held_out), flat(0.0)) == pytest.approx(expected)
    assert overfitting(Brightness(-1.0), flat(1.0), flat(held_out), flat(0.0)) == 0, "no gap, nothing known by heart"


class Dark(torch.nn.Module):
    """F: ink where red is dark."""

    batch_stats = False

    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def forward(self, images):
        return torch.where(images[:, :1] < 0, -1.0, 1.0)


@pytest.fixture
def G():
    torch.manual_seed(0)
    return Generator(8, z_dim=8, w_dim=8, num_mapping=2, channels={4: 8, 8: 8}).eval()


def test_a_watch_looks_in_time_keeps_the_chosen_network_and_ends_the_run(G):
    rule = StoppingRule(every=2, samples=16, patience=2, keep=0.0)
    watch = Watch(rule, G, Dark(), torch.ones(1, 1, 8, 8).index_fill(3, torch.tensor([2]), -1.0))
    closed = []

    def steps():
        """Each step adds a little more red, which takes ink away and the samples farther from the sketch."""
        working = G
        try:
            for i in range(100):
                with torch.no_grad():
                    working.to_rgb1.bias[:, 0] += 0.2
                yield SimpleNamespace(phase="train", iteration=i, G=working)
        finally:
            closed.append(i)

    before = {k: v.clone() for k, v in G.state_dict().items()}
    seen = list(watch.over(steps()))
    assert [look.iteration for look in watch.trace] == [0, 2, 4] and watch.trace[0].diversity == pytest.approx(1)
    assert len(seen) == 4 and closed == [3], "two looks without anything nearer end it, and the run is closed"
    assert watch.trace[2].distance > watch.trace[0].distance
    kept = watch.chosen().state_dict()
    assert all(torch.equal(kept[k], before[k]) for k in before), "the base was the nearest, and it is kept as it was"


def test_a_look_judges_overfitting_by_the_sketches_kept_back(G):
    flat = lambda value: torch.full((2, 1, 8, 8), value)
    watch = Watch(StoppingRule(samples=8), G, Dark(), flat(1.0), flat(0.9))
    look = watch.look(10, G, Brightness())
    assert watch.trace[0].overfit is None and 0 < look.overfit < 1
