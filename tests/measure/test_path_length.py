"""Perceptual path length, on a generator whose path length is known."""
import numpy as np
import pytest
import torch

from sketchgan.measure.path_length import path_lengths, perceptual_path_length, slerp, trimmed_mean
from sketchgan.nets.stylegan2 import Generator

SQUARED = ("squared difference", lambda a, b: (a - b).double().square().sum((1, 2, 3)))


class Straight(torch.nn.Module):
    """A generator in double precision whose picture is w itself, and w is z."""

    z_dim = w_dim = 3
    num_ws = 2

    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def mapping(self, z):
        return z.double()[:, None].expand(-1, self.num_ws, -1)

    def synthesis(self, ws, generator=None):
        # noise: the same for a pair, or it would show
        return ws[:, 0, :, None, None] + torch.randn(1, generator=generator)


@pytest.mark.parametrize("sampling", ["end", "full"])
def test_path_length_of_a_linear_generator_is_the_squared_distance_of_its_ends(sampling):
    lengths = path_lengths(Straight(), SQUARED[1], 4000, sampling=sampling, batch=100, progress=False)
    assert len(lengths) == 4000
    # |w' - w|^2 of two standard normal vectors of 3 numbers: 2 chi^2 with 3 degrees of freedom, of mean 6.
    assert lengths.mean().item() == pytest.approx(6, rel=0.05)


def test_in_z_the_path_is_an_arc():
    lengths = path_lengths(Straight(), SQUARED[1], 200, space="z", batch=50, progress=False)
    assert lengths.max() <= np.pi**2 + 1e-3, "on the unit sphere nothing is farther than half way round"
    quarter = slerp(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.5]]), torch.tensor([[1 / 3]]))
    torch.testing.assert_close(quarter, torch.tensor([[np.cos(np.pi / 6), np.sin(np.pi / 6)]]).float())


def test_the_trim_leaves_out_a_hundredth_on_either_side():
    lengths = torch.cat([torch.ones(197), torch.tensor([1e6, 2e6, -1e6])])
    theirs = lengths.numpy()
    low, high = np.percentile(theirs, 1, method="lower"), np.percentile(theirs, 99, method="higher")
    kept = theirs[(low <= theirs) & (theirs <= high)]
    assert trimmed_mean(lengths) == pytest.approx(kept.mean())


def test_a_stylegan_has_a_length_an_interval_and_a_named_distance():
    G = Generator(8, z_dim=8, w_dim=8, num_mapping=2, channels={4: 8, 8: 8}).eval()
    result = perceptual_path_length(G, SQUARED, pairs=30, epsilon=1e-2, batch=10, progress=False)
    assert result.pairs == 30 and 0 < result.length.low <= result.length.value <= result.length.high
    assert str(result).startswith("perceptual path length") and "squared difference, 30 pairs" in str(result)
    again = perceptual_path_length(G, SQUARED, pairs=30, epsilon=1e-2, batch=10, progress=False)
    assert again == result, "the seed decides"
    with pytest.raises(ValueError, match="sampling .* 'end', 'full'"):
        path_lengths(G, SQUARED[1], 10, sampling="middle")
