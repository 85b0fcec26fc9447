"""Small networks for tests that measure: an F whose drawing is known, and a generator of 8 px."""
import torch

from sketchgan.stylegan2 import Generator


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
