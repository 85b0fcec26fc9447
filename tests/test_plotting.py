"""Figures: every picture stands where it should, at its own colours, and nothing needs the main thread."""
import io
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from sketchgan import plotting


def flat(*greys, size=4):
    """Images [N, 3, size, size] of one grey each."""
    return torch.tensor(greys, dtype=torch.float32)[:, None, None, None].expand(-1, 3, size, size)


def test_colours_at_the_ends_and_beyond():
    assert plotting.to_uint8(flat(-9, -1, 0, 1, 9))[:, 0, 0, 0].tolist() == [0, 0, 128, 255, 255]
    assert plotting.to_uint8(torch.ones(2, 1, 4, 6)).shape == (2, 4, 6, 3)
    for wrong in (torch.ones(3, 4, 4), torch.ones(1, 2, 4, 4)):
        with pytest.raises(ValueError, match=r"images .*\[N, 1 or 3, H, W\]"):
            plotting.to_uint8(wrong)


def test_a_grid_reads_like_text():
    grid = np.asarray(plotting.image_grid(flat(-1, 0, -0.5, 0.5, -1), cols=3, scale=2, gap=3))
    assert grid.shape == (2 * 8 + 3, 3 * 8 + 2 * 3, 3)
    wanted = [0, 128, 64, 191, 0]
    for i, grey in enumerate(wanted):
        top, left = i // 3 * 11, i % 3 * 11
        assert (grid[top:top + 8, left:left + 8] == grey).all()
    assert (grid[:, 8:11] == 255).all() and (grid[11:, 22:] == 255).all()    # gaps and the cell that is left over
    with pytest.raises(ValueError, match="images .* N at least 1"):
        plotting.image_grid(torch.ones(0, 3, 4, 4))


def test_before_and_after_stand_above_each_other():
    before, after = flat(-1, 0, size=16), flat(0, -1, size=16)
    figure = np.asarray(plotting.before_after(before, after, sketches=torch.ones(3, 1, 32, 32), cols=2, scale=1))
    margin, gap = 30, 12
    assert figure.shape[1] == margin + 16 * 2 + 2
    rows = figure[:, margin:]
    sheet = 2 * 16 + 2 + gap                                                 # three sketches take two rows of two
    assert (rows[sheet:sheet + 16, :16] == 0).all() and (rows[sheet:sheet + 16, 18:] == 128).all()
    assert (rows[-16:, :16] == 128).all() and (rows[-16:, 18:] == 0).all()
    assert (figure[sheet:sheet + 16, :margin] < 200).any()                   # the name is written beside
    with pytest.raises(ValueError, match="same z"):
        plotting.before_after(before, after[:1])


def test_a_ranking_has_one_picture_for_each_distance():
    strip = plotting.nearest_strip(torch.ones(1, 1, 16, 16), flat(-1, 0, 0.5, size=16), [1, 2.5, 3])
    assert strip.width == 4 * (16 + 4) - 4
    with pytest.raises(ValueError, match="2 images and 1 distances"):
        plotting.nearest_strip(torch.ones(1, 1, 16, 16), flat(-1, 0, size=16), [1])


def test_curves_are_drawn_in_any_thread():
    made = []
    series = {"plain": [3, 2, 1], "with x": (range(5), range(5)),
              "with interval": (range(3), [2, 2, 2], [1, 1, 1], [3, 3, 3])}
    thread = threading.Thread(target=lambda: made.append(plotting.curves(series, "x", "y", smooth=0.5)))
    thread.start(), thread.join()
    assert made[0].size == (700, 280) and len(made[0].getcolors(10**5)) > 3
    assert plotting.curves({}).size == (700, 280)                            # no curves yet: empty axes


def test_the_running_mean_starts_at_the_first_value():
    assert plotting._running_mean(np.full(5, 3.0), 0.9) == pytest.approx(np.full(5, 3.0))
    assert plotting._running_mean(np.array([1.0, 2.0]), 0.5) == pytest.approx([1, (0.5 * 0.5 * 1 + 0.5 * 2) / 0.75])


def test_png_round_trip():
    grid = plotting.image_grid(flat(-1, 0, 1))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(plotting.png(grid)))), np.asarray(grid))


def test_notebooks_keep_photographs_as_jpeg_and_drawings_as_png():
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell
    had = InteractiveShell.initialized()
    shell = InteractiveShell.instance()
    try:
        plotting.compact_outputs()
        photograph = plotting.image_grid(torch.rand(4, 3, 64, 64) * 2 - 1)
        drawing = plotting.image_grid(flat(-1, 1))
        kinds = lambda image: set(shell.display_formatter.format(image)[0]) - {"text/plain"}
        assert kinds(photograph) == {"image/jpeg"} and kinds(drawing) == {"image/png"}
    finally:
        if not had:
            InteractiveShell.clear_instance()


def test_only_curves_need_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)              # as where it is not installed
    plotting.before_after(flat(-1), flat(0))
    with pytest.raises(ImportError):
        plotting.curves({})


def test_interleaved_sets_stand_below_each_other():
    number = torch.arange(5.0)[:, None, None, None]
    images, sketches = number.expand(5, 3, 2, 2), -number.expand(5, 1, 2, 2)
    both = plotting.interleave(images, sketches, cols=3)
    assert both.shape == (10, 3, 2, 2) and both[:, 0, 0, 0].tolist() == [0, 1, 2, 0, -1, -2, 3, 4, -3, -4]
