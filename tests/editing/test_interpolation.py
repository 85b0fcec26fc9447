"""Ways between samples: the ends are the samples, the way keeps to the sphere, films are films."""
import math

import pytest
import torch
from PIL import Image
from stand_ins import small_generator

from sketchgan.editing import interpolate, paint, save_film, slerp


def test_slerp_is_the_arc_between_its_ends():
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    assert torch.allclose(slerp(a, b, 1 / 3), 2 * torch.tensor([math.cos(math.pi / 6), math.sin(math.pi / 6)]))
    x, y = torch.randn(64), torch.randn(64)
    assert torch.equal(slerp(x, y, 0.0), x) and torch.equal(slerp(x, y, 1.0), y)
    lengths = [slerp(x / x.norm(), y / y.norm(), t / 10).norm().item() for t in range(11)]
    assert max(abs(length - 1) for length in lengths) < 1e-6, "it does not leave the sphere, as a line would"
    assert torch.equal(slerp(x, x, 0.3), x) and slerp(x * 0, y, 0.5).isfinite().all()
    with pytest.raises(ValueError, match="opposite"):
        slerp(x, -x, 0.5)
    with pytest.raises(ValueError, match="the same"):
        slerp(x, y[:3], 0.5)


@pytest.mark.parametrize("space", ["z", "w"])
@pytest.mark.parametrize("psi", [1.0, 0.6])
def test_the_samples_themselves_lie_on_the_way_bit_by_bit(space, psi):
    G = small_generator()
    z = torch.randn(3, 8)
    ends = G.mapping(z, psi)
    ring = interpolate(G, z, 5, space, truncation_psi=psi)
    assert ring.shape == (15, 4, 8) and torch.equal(ring[::5], ends)
    line = interpolate(G, z, 5, space, loop=False, truncation_psi=psi)
    assert line.shape == (11, 4, 8) and torch.equal(line[::5], ends) and torch.equal(line, ring[:11])
    frames = paint(G, line)
    assert all(torch.equal(frames[5 * i], G.synthesis(ends[[i]], "const").clamp(-1, 1)[0]) for i in range(3))
    assert interpolate(G, z, 1, space, loop=False).shape == (3, 4, 8)


def test_in_w_the_way_is_straight_and_in_z_it_is_slerped():
    G = small_generator()
    z = torch.randn(2, 8)
    a, b = G.mapping(z)
    assert torch.allclose(interpolate(G, z, 2, "w", loop=False)[1], (a + b) / 2)
    assert torch.allclose(interpolate(G, z, 2, "z", loop=False)[1], G.mapping(slerp(*z, 0.5)[None])[0])


def test_films_have_every_frame_and_come_round(tmp_path):
    frames = torch.rand(6, 3, 9, 12) * 2 - 1
    save_film(tmp_path / "a.gif", frames, fps=10, scale=2)
    film = Image.open(tmp_path / "a.gif")
    assert (film.n_frames, film.size, film.info["duration"], film.info["loop"]) == (6, (24, 18), 100, 0)
    save_film(tmp_path / "b.gif", frames, loop=False)
    assert "loop" not in Image.open(tmp_path / "b.gif").info
    with pytest.raises(ValueError, match="ends in .avi"):
        save_film(tmp_path / "a.avi", frames)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "b.gif"]


def test_mp4_has_every_frame(tmp_path):
    imageio = pytest.importorskip("imageio.v3")
    pytest.importorskip("imageio_ffmpeg")
    save_film(tmp_path / "a.mp4", torch.linspace(-1, 1, 8)[:, None, None, None].expand(-1, 3, 33, 34), fps=8)
    film = imageio.imread(tmp_path / "a.mp4", plugin="FFMPEG")
    assert film.shape == (8, 34, 34, 3), "odd sides are made even"
    assert (film.mean((1, 2, 3)).round() - [0, 36, 73, 109, 146, 182, 219, 255]).__abs__().max() < 6


def test_without_ffmpeg_the_error_says_what_to_install(tmp_path, monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setitem(sys.modules, "imageio.v3", None)
    with pytest.raises(ImportError, match=r"sketchgan\[video\]"):
        save_film(tmp_path / "a.mp4", torch.zeros(2, 3, 8, 8))
    assert not any(tmp_path.iterdir())
