"""The perceptual distance by hand, and which networks it takes."""
import pytest
import torch

from sketchgan.measure.perceptual import perceptual_distance
from sketchgan.nets.features import Features
from sketchgan.nets.judge import Judge, Target


class Channels(torch.nn.Module):
    """Its one level is the picture itself."""

    def levels(self, images):
        return [images]


def test_the_distance_is_the_squared_angle_between_channel_vectors():
    a, b = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    a[:, 0], b[0, 1], b[1, 0] = 1, 5, 9  # first pair: at right angles everywhere; second: parallel
    torch.testing.assert_close(perceptual_distance(Channels(), a, b), torch.tensor([2.0, 0.0]))
    b[0, 1, :2], b[0, 0, :2] = 0, 1     # half of the positions agree
    assert perceptual_distance(Channels(), a, b)[0].item() == pytest.approx(1.0)


@pytest.mark.parametrize("network, count", [
    (Features({"contour": 1}, 2, channels=(4, 4, 4, 4, 4)), 4),
    (Judge(("cat",), (Target("cat.yaw", "angle"),), ("standing_cat",), widths=(4, 4, 4, 4), dim=8), 7)])
def test_our_networks_tell_pictures_apart_and_pass_gradients(network, count):
    network = network.eval().requires_grad_(False)
    a, b = torch.rand(2, 2, 3, 64, 64) * 2 - 1
    assert len(network.levels(a)) == count
    assert perceptual_distance(network, a, a).abs().max() == 0
    b.requires_grad_()
    distance = perceptual_distance(network, a, b)
    distance.sum().backward()
    assert distance.shape == (2,) and (distance > 0).all() and b.grad.abs().sum() > 0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="in pairs"):
        perceptual_distance(Channels(), torch.zeros(2, 3, 4, 4), torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match="network .* wanted something with levels"):
        perceptual_distance(torch.nn.Linear(1, 1), torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4))
