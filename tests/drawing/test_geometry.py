"""Strokes as geometry: erased, mirrored, and read from files and pictures."""
import json

import numpy as np
import pytest
import torch

from sketchgan.drawing.geometry import erase, mirror, read_strokes
from sketchgan.drawing.sketches import SketchError, chamfer, load_sketches, rasterize, sketch_names
from sketchgan.drawing.strokes import FRAME, PEN
from sketchgan.drawing.tracing import trace

LINE = {"width": 4, "points": [[20.0, 100.0], [120.0, 100.0], [220.0, 100.0]]}
FAR = {"width": 4, "points": [[20.0, 200.0], [220.0, 200.0]]}


def test_the_eraser_cuts_a_stroke_in_two_where_it_passes():
    left, right, far = erase((LINE, FAR), [[60, 80], [60, 120]], width=16)
    assert far is FAR, "what the eraser does not touch stays what it was"
    # Half the eraser and half the pen: 10 units on both sides of its path, found to a unit.
    assert left["points"][0] == [20, 100] and abs(left["points"][-1][0] - 50) <= 1
    assert abs(right["points"][0][0] - 70) <= 1 and right["points"][1:] == [[120, 100], [220, 100]]
    assert left["width"] == right["width"] == 4


def test_nothing_is_left_under_the_eraser():
    path = [[10, 90], [130, 110], [230, 80]]
    left = rasterize(erase((LINE, FAR), path, width=12), 256)
    rubbed = rasterize([{"width": 10, "points": path}], 256) < 0         # a little less than the eraser, for soft edges
    assert (left[rubbed] > 0.9).all() and (left < 0).any()


@pytest.mark.parametrize("path", [[[60, 100]], [[60, 100], [60, 100]]], ids=["a point", "a click"])
def test_a_click_of_the_eraser_makes_a_hole(path):
    assert len(erase((LINE,), path, width=10)) == 2


def test_erasing_ends_dots_and_whole_strokes_and_leaves_the_rest_alone():
    dot = {"width": 6, "points": [[50, 50], [50, 50]]}
    assert erase((dot, LINE), [[50, 50]], 8) == (LINE,)
    assert erase((LINE,), [[0, 100], [256, 100]], 8) == ()
    untouched = (dot, LINE)
    assert all(a is b for a, b in zip(erase(untouched, [[200, 200]], 8), untouched, strict=True))
    assert erase((), [[1, 1]], 8) == ()


def test_mirror_twice_is_the_drawing_and_once_its_mirror_image():
    strokes = ({"width": 5, "points": [[10.5, 20], [100, 30]]},)
    assert mirror(mirror(strokes)) == strokes
    # Not equal to the bit: pixels lie between the units of the frame, and a pen of even width leans to one side.
    assert chamfer(rasterize(mirror(strokes), 64), rasterize(strokes, 64).flip(3)).item() < 0.3


@pytest.mark.parametrize("name", sketch_names())
@pytest.mark.parametrize("resolution", [64, 256])
def test_a_traced_drawing_is_the_drawing(name, resolution):
    """What is read back from pixels stands within a fifth of a pixel of 64 of what was drawn, in few strokes."""
    drawn = load_sketches(name, resolution)[:1]
    strokes = trace(drawn)
    assert chamfer(rasterize(strokes, 64), load_sketches(name, 64)[:1]).item() < 0.2
    assert len(strokes) <= 20, "a line that crosses others stays one stroke"
    assert all(3 < stroke["width"] < 8 for stroke in strokes if len(stroke["points"]) > 9), "about the pen's width"


def test_documents_keep_their_strokes_and_pictures_are_traced(tmp_path):
    document = {"size": 128, "sketches": [{"strokes": [{"width": 2.5, "points": [[10, 20], [100, 30]]}]}]}
    (tmp_path / "half.json").write_text(json.dumps(document))
    wanted = [({"width": 5.0, "points": [[20.0, 40.0], [200.0, 60.0]]},)]
    assert read_strokes(tmp_path / "half.json") == wanted == read_strokes(document)
    assert len(read_strokes("standing_cat")) == len(load_sketches("standing_cat"))
    sketches = load_sketches("standing_cat", 128)[:2]
    traced = read_strokes(sketches)
    assert len(traced) == 2 and all(stroke["points"] for stroke in traced[0])
    with pytest.raises(SketchError, match="none.json"):
        read_strokes(tmp_path / "none.json")
    with pytest.raises(SketchError):
        read_strokes(np.full((64, 64), 255, np.uint8))


def test_blank_paper_has_no_strokes():
    assert trace(torch.ones(1, 1, 64, 64)) == ()
    assert FRAME == 256 and trace(rasterize([LINE], 64), width=PEN)[0]["width"] == PEN
