"""Named directions: found where the truth is known, offered only when pure, measured on other models."""
import copy

import pytest
import torch
from stand_ins import small_generator
from torch import nn

from sketchgan.editing import find_components, find_directions, judged, movement, same_meaning
from sketchgan.nets import Judge
from sketchgan.nets.judge import Target


class Painted(nn.Module):
    """A generator whose pictures are known: each of four quarters has the value of a sum of its w."""

    z_dim = w_dim = 6
    num_ws = 2

    def __init__(self):
        super().__init__()
        self.mix = nn.Parameter(torch.randn(6, 6))

    def mapping(self, z, truncation_psi=1):
        return (z @ self.mix)[:, None].expand(-1, 2, -1)

    def synthesis(self, ws, noise_mode="const", generator=None):
        # Row 0 paints the left half, row 1 the right one.
        values = torch.stack([ws[:, 0, 0] + 0.3 * ws[:, 0, 1], ws[:, 1, 1], ws[:, 0, 2], ws[:, 1, 3] * ws[:, 1, 4]], 1)
        return (values / 20).reshape(-1, 1, 2, 2).repeat(1, 3, 1, 1)


def quarters(images):
    x = images[:, 0].flatten(1)
    return {"top left": x[:, 0], "top right": x[:, 1], "bottom left": x[:, 2], "bottom right": x[:, 3]}


def test_directions_move_their_own_attribute_and_no_other():
    torch.manual_seed(3)
    G = Painted()
    found = find_directions(G, quarters, samples=64, tried=64)
    assert {"top left", "top right", "bottom left"} <= set(found)
    for name, named in found.items():
        assert named.direction.name == name and named.own > 0.2 and named.purity >= 3
        fresh = movement(G, named.direction, quarters, samples=64, seed=9)
        assert fresh[name] >= 3 * max(abs(v) for other, v in fresh.items() if other != name)
    assert [n.purity for n in found.values()] == sorted((n.purity for n in found.values()), reverse=True)


def test_attributes_without_a_gradient_are_probed():
    torch.manual_seed(3)
    G = Painted()
    numbers = lambda images: {name: value.detach() for name, value in quarters(images).items()}
    assert {"top left", "top right", "bottom left"} <= set(find_directions(G, numbers, samples=64, tried=64))


def test_what_no_line_in_w_moves_is_not_offered():
    torch.manual_seed(3)
    G = Painted()
    G.mix.data = torch.eye(6)
    assert "bottom right" not in find_directions(G, quarters, samples=64, tried=64), "a product has no slope at 0"
    doubled = lambda x: quarters(x) | {"copy": quarters(x)["top left"]}
    found = find_directions(G, doubled, samples=64, tried=64)
    assert not found.keys() & {"top left", "copy"}, "two names for one thing: neither is pure"
    assert not find_directions(G, lambda x: {"nothing": x.mean((1, 2, 3)) * 0}, samples=64, tried=8)


def test_the_same_direction_means_the_same_on_a_copy_and_less_on_a_stranger():
    G = small_generator()
    other, direction = copy.deepcopy(G), find_components(G, samples=500).direction(0)
    with torch.no_grad():
        for p in other.style.parameters():
            p += 0.01 * torch.randn_like(p)
    here, there = (movement(each, direction, quarters4, samples=32) for each in (G, other))
    assert same_meaning(here, here) == pytest.approx(1) and same_meaning(here, there) > 0.9
    assert same_meaning(here, {name: -value for name, value in here.items()}) == pytest.approx(-1)


def quarters4(images):
    pooled = nn.functional.adaptive_avg_pool2d(images, 2)[:, 0].flatten(1)
    return {str(i): pooled[:, i] for i in range(4)}


def test_a_judge_reads_numbers_that_a_probe_can_follow():
    targets = (Target("cat.yaw", "angle"), Target("cat.ear", "number"), Target("cat.posture", "label", count=3),
               Target("cat.rider", "label", count=2), Target("dog.ear", "number"))
    judge = Judge(("cat",), targets, ("standing_cat",), (4, 4, 4, 4), 6).eval()
    read = judged(judge, "cat")(torch.rand(5, 3, 32, 32) * 2 - 1)
    assert set(read) == {"yaw cosine", "yaw sine", "ear", "posture 0", "posture 1", "posture 2", "rider", "brightness",
                         "warmth"}
    assert all(value.shape == (5,) for value in read.values())
    assert "warmth" not in judged(judge, "cat", colors=False)(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match="category is 'horse'"):
        judged(judge, "horse")
