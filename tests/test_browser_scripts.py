"""The scripts that drive a browser outside the tests: what they compute from what they saw."""
import importlib
import io
import sys

import pytest
import torch
from PIL import Image

from sketchgan import plotting


@pytest.fixture
def script(root, monkeypatch):
    """Import a script by name, as if it were run from its folder."""
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield importlib.import_module
    for name in ("hour_of_training", "quickstart_gif", "mixer_gif", "_film", "_family", "_results"):
        sys.modules.pop(name, None)


def test_growth_is_counted_after_the_warm_up(script):
    hour = script("hour_of_training")
    rows = [{"minute": float(i), "kernel_MB": 100.0 * (i > 0) + 400 + 3 * i, "tab_MB": 50.0} for i in range(61)]
    assert hour.growth(rows, "kernel_MB") == 3 * 58 and hour.growth(rows, "tab_MB") == 0
    assert hour.growth(rows[:1], "kernel_MB") == 0


def test_the_moving_picture_stays_below_its_size(script, monkeypatch):
    gif = script("_film")
    assert script("quickstart_gif").record is script("mixer_gif").record is gif.record

    class Page:
        def screenshot(self):
            return plotting.png(plotting.image_grid(torch.rand(1, 3, 300, 1000) * 2 - 1))

    film = gif.Film(Page())
    for _ in range(3):
        film.shoot(0.5)
    monkeypatch.setattr(gif, "MOST_BYTES", len(film.gif(480, 48)))
    data = film.smallest()
    image = Image.open(io.BytesIO(data))
    assert len(data) <= gif.MOST_BYTES and image.n_frames == 3 and image.width == 480 and image.info["duration"] == 500
    monkeypatch.setattr(gif, "MOST_BYTES", 100)
    with pytest.raises(SystemExit, match="--frames"):
        film.smallest()
