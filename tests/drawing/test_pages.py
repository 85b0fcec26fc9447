"""Paper, threshold and lines of a page: each against a page that was made to measure."""
import numpy as np
import pytest

from sketchgan.drawing.pages import Lines, even_light, threshold
from sketchgan.drawing.strokes import SketchError, rasterize


def page(width, side=256, points=((40, 60), (200, 60), (200, 180))):
    return rasterize([{"width": width, "points": points}], side)[0, 0].numpy() / 2 + 0.5


def test_the_light_is_taken_off_and_the_ink_stays():
    y, x = np.mgrid[-1:1:90j, -1:1:120j]
    light = np.stack([0.7 + 0.2 * x - 0.1 * y * y, 0.6 + 0.1 * x * y], 2)
    ink = np.ones((90, 120, 1))
    ink[30:60, 20:90] = 0.2                                              # a quarter of the page
    even = even_light((light * ink).astype(np.float32))
    assert np.abs(even - ink).max() < 0.01


def test_the_threshold_is_half_way_between_two_levels():
    grey = np.where(np.random.default_rng(0).random((80, 80)) < 0.05, 0.3, 0.9)
    assert threshold(grey) == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("width", [2, 5, 9, 12])
def test_width_place_and_strokes(width):
    lines = Lines(page(width), "a page")
    assert lines.width == pytest.approx(width, abs=1.5) and not lines.solid and lines.clean
    half = width / 2 / 256
    assert np.allclose(lines.place, [40 / 256 - half, 60 / 256 - half, 200 / 256 + half, 180 / 256 + half], atol=1.5 / 256)
    (stroke,) = lines.strokes(5)
    points = np.array(stroke["points"])
    assert stroke["width"] == 5 and len(points) < 9
    for corner in ((40, 60), (200, 60), (200, 180)):                     # thinning shortens a line by about half its width
        assert np.linalg.norm(points - corner, axis=1).min() < 2 + width / 2


def test_size_does_not_matter():
    widths = [Lines(page(5, side), "a page").width for side in (96, 256, 900)]
    assert max(widths) - min(widths) < 1.6


def test_pages_without_lines():
    for grey in (np.ones((50, 50), np.float32), np.full((50, 50), 0.97, np.float32)):
        with pytest.raises(SketchError, match="empty"):
            Lines(grey, "a page")
    with pytest.raises(SketchError, match="photograph"):
        Lines(np.random.default_rng(0).random((64, 64)).astype(np.float32), "a page")
