"""Small networks for tests: an F whose drawing is known, a generator of 8 px, and all that a customisation needs."""
import torch

from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Discriminator, Generator


class Dark(torch.nn.Module):
    """F: ink where the red channel is dark."""

    batch_stats = False

    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def forward(self, images):
        return torch.where(images[:, :1] < 0, -1.0, 1.0)


def small_generator():
    torch.manual_seed(0)
    return Generator(8, z_dim=8, w_dim=8, num_mapping=2, channels={4: 8, 8: 8}).eval()


def small_networks():
    """G, D and F of 8 px, untrained."""
    torch.manual_seed(0)
    channels = {4: 4, 8: 4}
    return Generator(8, 6, 6, 2, channels).eval(), Discriminator(8, channels).eval(), PhotoSketch(2, 1).eval()
