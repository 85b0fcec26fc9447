"""Metrics of samples: shares, spreads and contours, against closed forms and against loops that anybody can check."""
import math

import numpy as np
import pytest
import torch

from sketchgan.measure import metrics
from sketchgan.nets.sampling import sample
from sketchgan.nets.stylegan2 import Generator


def test_predicate_share_has_the_binomial_interval():
    decided = torch.arange(400) % 4 == 0
    share = metrics.predicate_share(decided)
    half = 1.96 * math.sqrt(0.25 * 0.75 / 400)
    assert share.value == 0.25
    assert share.low == pytest.approx(0.25 - half, abs=0.01) and share.high == pytest.approx(0.25 + half, abs=0.01)
    assert str(share).startswith("25.0 % (")
    with pytest.raises(ValueError, match="decided .*N at least 1"):
        metrics.predicate_share(torch.zeros(0, dtype=torch.bool))


def test_predicate_share_is_corrected_for_the_judges_errors():
    # A judge that sees 80 % of what is there and 10 % of what is not says 0.8 * 0.5 + 0.1 * 0.5 = 45 % of 50 %.
    decided = torch.arange(1000) < 450
    plain = metrics.predicate_share(decided)
    sure = metrics.predicate_share(decided, confusion=(8000, 1000, 2000, 9000))
    unsure = metrics.predicate_share(decided, confusion=(80, 10, 20, 90))
    assert sure.value == pytest.approx(0.5) and unsure.value == pytest.approx(0.5)
    assert plain.high - plain.low < sure.high - sure.low < unsure.high - unsure.low, "less knowledge, wider interval"
    with pytest.raises(ValueError, match="no better than chance"):
        metrics.predicate_share(decided, confusion=(10, 10, 10, 10))


def test_bootstrap_interval_of_a_mean_is_about_two_standard_errors():
    values = torch.randn(200)
    low, high = metrics.bootstrap_interval(lambda x: x.mean().item(), values)
    assert high - low == pytest.approx(2 * 1.96 * values.std().item() / math.sqrt(200), rel=0.2)
    assert low < values.mean() < high


def test_color_spread_of_plain_colors():
    plain = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [1, 0, 0.5], [-1, 0, -0.5]])[:, :, None, None].expand(-1, -1, 8, 8)
    expected = np.mean([np.std([1, -1, 1, -1], ddof=1), 0, np.std([0, 0, 0.5, -0.5], ddof=1)])
    assert metrics.color_spread(plain) == pytest.approx(expected, rel=1e-6)
    textured = plain + torch.where(torch.arange(8) % 2 == 0, 0.5, -0.5)
    assert metrics.color_spread(textured) == pytest.approx(expected, rel=1e-6), "texture is not colour"


class MeanColorJudge(torch.nn.Module):
    """Sees the mean colour of a picture, and finds red what is red."""

    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def features(self, images):
        return images.mean((2, 3))

    def satisfies(self, name, images):
        return images.mean((2, 3))[:, 0] > 0


def test_diversity_is_relative_to_the_base_samples():
    judge = MeanColorJudge()
    scenes, base = torch.randn(60, 3, 1, 1).expand(-1, -1, 4, 4), torch.randn(80, 3, 1, 1).expand(-1, -1, 4, 4)
    against = metrics.reference(judge, scenes, base)
    same = metrics.diversity(judge, against, base.clone())
    assert same.relative_recall == 1 and same.relative_color == 1 and same.recall > 0.8
    narrow = metrics.diversity(judge, against, 0.3 * base)
    assert narrow.relative_color == pytest.approx(0.3) and narrow.relative_recall < 0.7
    assert narrow.frechet > same.frechet
    with pytest.raises(ValueError, match="measured with 80 samples of the base; got 79"):
        metrics.diversity(judge, against, base[:79])


@pytest.fixture(scope="module")
def G():
    torch.manual_seed(0)
    return Generator(8, z_dim=8, w_dim=8, num_mapping=2, channels={4: 8, 8: 8}).eval()


def test_samples_depend_on_the_seed_and_not_on_how_many_are_asked_for(G):
    five = sample(G, 5, seed=3, batch=4)
    assert five.shape == (5, 3, 8, 8) and five.abs().max() <= 1
    assert torch.equal(five[:3], sample(G, 3, seed=3, batch=4))
    assert not torch.equal(five, sample(G, 5, seed=4, batch=4))


def test_satisfying_samples_are_those_the_judge_accepts(G):
    judge = MeanColorJudge()
    images, share = metrics.satisfying_samples(G, judge, "red", 10, batch=4)
    assert len(images) == 10 and judge.satisfies("red", images).all() and 0 < share < 1
    none, share = metrics.satisfying_samples(G, judge, "red", 10_000, batch=4, most=64)
    assert len(none) == round(share * 64), "it gives up after `most` samples"


@pytest.mark.parametrize("shift, tolerance, f1", [(0, 0, 1.0), (1, 0, 0.0), (1, 1, 1.0), (2, 1, 0.0), (2, 2, 1.0)])
def test_contour_f1_forgives_up_to_its_tolerance(shift, tolerance, f1):
    truth, drawn = torch.ones(2, 1, 16, 16), torch.ones(2, 1, 16, 16)
    truth[..., 5], drawn[..., 5 + shift] = -1, -1
    assert metrics.contour_f1(drawn, truth, tolerance)["f1"] == pytest.approx(f1)


def test_contour_f1_counts_what_is_missing_and_what_is_too_much():
    truth, drawn = torch.ones(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    truth[..., 4], drawn[..., :8, 4], drawn[..., 8, 9:13] = -1, -1, -1  # half of the line, and four pixels of nonsense
    scores = metrics.contour_f1(drawn, truth, 1)
    assert scores["precision"] == pytest.approx(8 / 12)
    assert scores["recall"] == pytest.approx(9 / 16)  # the pixel after the end is within reach
    assert scores["ink"] == pytest.approx(12 / 16)
    with pytest.raises(ValueError, match="one shape"):
        metrics.contour_f1(drawn, truth[:, :, :8], 1)


def test_spread_over_seeds():
    assert metrics.spread([2.0]) == (2.0, 0.0)
    assert metrics.spread([1.0, 3.0]) == (2.0, pytest.approx(math.sqrt(2)))
