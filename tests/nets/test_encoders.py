"""The encoder: its rows, its teaching errors, and that its parts read what they should."""
import pytest
import torch

from sketchgan.nets import Encoder
from sketchgan.weights import checkpoints
from sketchgan.weights.own import load_encoder


@pytest.mark.parametrize('channels, resolution, rows', [(1, 64, 1), (3, 64, 10), (5, 16, 4), (3, 32, 8)])
def test_shapes(channels, resolution, rows):
    network = Encoder(channels, resolution, rows, 24, width=4).eval()
    network.w_avg.fill_(3.0)
    ws = network(torch.zeros(2, channels, resolution, resolution))
    assert ws.shape == (2, rows, 24)
    for head in network.heads:
        torch.nn.init.zeros_(head[-1].weight), torch.nn.init.zeros_(head[-1].bias)
    assert torch.equal(network(torch.rand(2, channels, resolution, resolution)), torch.full((2, rows, 24), 3.0))


def test_wrong_sizes_teach():
    with pytest.raises(ValueError, match='resize'):
        Encoder(3, 48, 10, 24)
    with pytest.raises(ValueError, match='not \\[2, 3, 32, 32\\]'):
        Encoder(3, 64, 10, 24, width=4)(torch.zeros(2, 3, 32, 32))


def test_a_file_says_how_it_is_built(tmp_path):
    network = Encoder(1, 16, 1, 8, width=4).eval()
    checkpoints.write_safetensors(tmp_path / 'e.safetensors', network.state_dict(),
                                  {'config': {'encoder': network.config}})
    again = load_encoder(tmp_path / 'e.safetensors')
    x = torch.randn(3, 1, 16, 16)
    assert torch.equal(network(x), again(x))
