"""Evaluation: the same numbers as the functions give, intervals that tell the truth, a name and counts on
everything."""
import pytest
import torch

from sketchgan.measure import distances
from sketchgan.measure.evaluation import evaluate, half_samples, interval, of_halves
from sketchgan.measure.extractors import Extractor

BLIND = Extractor("mean colour", lambda images: images.mean((2, 3)))


def test_an_evaluation_is_the_functions_with_names_and_counts():
    real, fake = torch.rand(40, 3, 4, 4) * 2 - 1, torch.rand(30, 3, 4, 4) ** 2 * 2 - 1
    result = evaluate(BLIND, real, fake, resamples=10)
    a, b = real.mean((2, 3)), fake.mean((2, 3))
    assert (result.extractor, result.real, result.fake) == ("mean colour", 40, 30)
    assert result.frechet.value == distances.frechet_distance(*distances.moments(a), *distances.moments(b))
    assert result.kid.value == distances.kid(a, b)
    assert (result.precision.value, result.recall.value) == distances.precision_recall(a, b, 3)
    assert (result.density.value, result.coverage.value) == distances.density_coverage(a, b, 5)
    row = result.columns()
    assert row["frechet"] == result.frechet.value and row["recall_low"] <= row["recall"] <= row["recall_high"]
    assert "by mean colour, 40 real and 30 fake" in str(result) and "frechet" in str(result)
    assert evaluate(BLIND, a, b, resamples=10) == result, "features may be given as they are"


def test_halves_are_measured_as_wholes_are():
    """With all rows as the 'half', the shortcut by matrices gives what the plain functions give."""
    real, fake = torch.randn(20, 3), torch.randn(16, 3) + 0.4
    shortcut = of_halves(real, fake)(torch.arange(20), torch.arange(16))
    result = evaluate(BLIND, real, fake, resamples=2)
    for name, value in shortcut.items():
        assert value == pytest.approx(getattr(result, name).value, rel=1e-9), name


def test_intervals_are_as_wide_as_the_truth_scatters():
    """Against the scatter over independent sets, which only a test can afford."""
    frechet = lambda a, b: distances.frechet_distance(*distances.moments(a), *distances.moments(b))
    draw = lambda: (torch.randn(200, 2), torch.randn(200, 2) * 1.5 + 1)
    truth = torch.tensor([frechet(*draw()) for _ in range(200)]).std()
    widths = []
    for _ in range(10):
        a, b = draw()
        halves = half_samples(lambda i, j: {"frechet": frechet(a[i], b[j])}, 200, 200, 100)["frechet"]
        estimate = interval(frechet(a, b), halves)
        assert estimate.low < estimate.value < estimate.high
        widths.append((estimate.high - estimate.low) / (2 * 1.96))
    assert sum(widths) / 10 == pytest.approx(truth.item(), rel=0.25)


def test_sets_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="features .5, 3. and .20, 3."):
        evaluate(BLIND, torch.randn(5, 3), torch.randn(20, 3))
    with pytest.raises(ValueError, match="one length"):
        evaluate(BLIND, torch.randn(20, 4), torch.randn(20, 3))
