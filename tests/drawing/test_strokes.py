"""Strokes to pixels, their place in the frame, drawing documents, and Quick, Draw! files."""
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sketchgan.drawing import strokes as sk
from sketchgan.drawing.placing import BOX, bounds, fit
from sketchgan.drawing.sketches import load_sketches, normalize_sketch
from sketchgan.drawing.strokes import FRAME, PEN, SketchError, rasterize, read_quickdraw

SQUARE = [{"width": 12, "points": [[64, 64], [192, 64], [192, 192], [64, 192], [64, 64]]}]


def test_a_stroke_covers_the_area_it_should():
    sketch = rasterize([{"width": 16, "points": [[64, 128], [192, 128]]}], 64)
    assert sketch.shape == (1, 1, 64, 64) and sketch.dtype == torch.float32
    # A bar of 128 x 16 units with two half discs of radius 8 at its ends; one pixel is 4 x 4 units.
    area = float(((1 - sketch) / 2).sum()) * 16
    assert area == pytest.approx(128 * 16 + np.pi * 8**2, rel=0.04)
    # and stands where it was drawn: centre of mass at (128, 128) units
    ink = ((1 - sketch) / 2)[0, 0]
    where = (torch.arange(64) + 0.5) * 4
    assert float((ink.sum(0) * where).sum() / ink.sum()) == pytest.approx(128, abs=1)
    assert float((ink.sum(1) * where).sum() / ink.sum()) == pytest.approx(128, abs=1)


def test_drawings_look_alike_at_every_resolution():
    small, large = rasterize(SQUARE, 64), rasterize(SQUARE, 256)
    assert (torch.nn.functional.avg_pool2d(large, 4) - small).abs().mean() < 0.02


def test_no_strokes_give_blank_paper_and_strokes_outside_are_cut_off():
    assert (rasterize([], 32) == 1).all()
    assert (rasterize([{"width": 5, "points": [[-90, -90], [-50, -60]]}], 32) == 1).all()


def test_smooth_passes_through_its_points_and_keeps_corners():
    points = [[0, 0], [40, 10], [60, 50], [60, 50], [20, 90]]
    curve = sk.smooth(points)
    for point in points:
        assert np.abs(curve - point).sum(1).min() < 1e-9
    assert np.linalg.norm(np.diff(curve[:-2], axis=0), axis=1).max() < 6
    # After the corner only two points are left: a straight line, not a curve that swings out.
    assert curve[:, 0].max() < 66


def test_smooth_closes_a_circle_without_a_kink():
    angle = np.linspace(0, 2 * np.pi, 13)
    circle = 100 + 50 * np.stack([np.cos(angle), np.sin(angle)], 1)
    circle[-1] = circle[0]
    radius = np.linalg.norm(sk.smooth(circle) - 100, axis=1)
    assert radius == pytest.approx(np.full(len(radius), 50), abs=0.4)


@pytest.mark.parametrize("stroke", [
    {}, {"width": 3}, {"width": 0, "points": [[1, 1]]}, {"width": 3, "points": []}, {"width": 3, "points": [[1, 2, 3]]},
    {"width": 3, "points": [[1, float("nan")]]}, {"width": "x", "points": [[1, 1]]}, None])
def test_bad_strokes_are_refused(stroke):
    with pytest.raises(SketchError, match="stroke"):
        rasterize([stroke])


# ---- place

@pytest.mark.parametrize("box", [BOX, (0, 0, 1, 1), (0.5, 0.1, 0.9, 0.3)])
def test_fit_scales_into_the_middle_of_the_box(box):
    wide = [{"width": 1, "points": [[-1000, 20], [3000, 20]]}, {"width": 9, "points": [[0, 1020], [5, 1020]]}]
    placed = fit(wide, box)
    x0, y0, x1, y1 = bounds(placed)
    assert (x1 - x0) / (y1 - y0) == pytest.approx(4) and {s["width"] for s in placed} == {PEN}
    left, top, right, bottom = np.array(box) * FRAME
    assert (x0 + x1) / 2 == pytest.approx((left + right) / 2) and (y0 + y1) / 2 == pytest.approx((top + bottom) / 2)
    # The pen stays inside, and touches the two sides that limit the drawing.
    assert max((x1 - x0 + PEN) / (right - left), (y1 - y0 + PEN) / (bottom - top)) == pytest.approx(1)


@pytest.mark.parametrize("box", [(0, 0, 1), (0.5, 0, 0.2, 1), (0, 0, 2, 1), (0, 0, 0.05, 1), "auto",
                                 (0, 0, float("nan"), 1)])
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(SketchError, match="box is"):
        fit(SQUARE, box)


@pytest.mark.parametrize("points, advice", [([[5, 5]], "single point"), ([[0, 0], [1e300, 1]], "bounds"),
                                            ([[1e15, 0], [1e15 + 9, 9]], "bounds")])
def test_drawings_that_have_no_size_are_refused(points, advice):
    with pytest.raises(SketchError, match=advice):
        fit([{"width": 3, "points": points}])
    with pytest.raises(SketchError, match="empty"):
        fit([])


# ---- documents

def test_documents_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.json"
    sk.write_document(path, [{"strokes": SQUARE}], name="square")
    assert sk.read_document(path)["name"] == "square"
    assert torch.equal(load_sketches(path), rasterize(SQUARE))
    before = path.read_bytes()
    with pytest.raises(TypeError):
        sk.write_document(path, [{"strokes": {1, 2}}])                   # a set has no JSON
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize("document, advice", [
    ({"sketches": 3}, "sketches"), ({"sketches": [{"points": []}]}, "sketches"), ({"strokes": None}, "sketches"),
    ({"strokes": SQUARE, "size": 0}, "size"), ({"strokes": SQUARE, "size": "large"}, "size")])
def test_documents_with_other_things_in_them(document, advice):
    with pytest.raises(SketchError, match=advice):
        load_sketches(document)


# ---- Quick, Draw!

@pytest.fixture
def ndjson(tmp_path):
    path = tmp_path / "corner.ndjson"
    corner = [[0, 100, 100], [0, 0, 100]]
    lines = [{"drawing": [corner, [[0, 50], [100, 100]]]}, {"strokes": [corner]},
             {"drawing": [[*corner, [0, 9, 20]]], "recognized": True}]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    return path


def test_quickdraw_drawings(ndjson):
    assert [len(d["strokes"]) for d in read_quickdraw(ndjson)] == [2, 1, 1]
    assert read_quickdraw(ndjson, 1)[0]["strokes"][0]["points"] == [[0, 0], [100, 0], [100, 100]]
    assert [len(d["strokes"]) for d in read_quickdraw(ndjson, [2, 0])] == [1, 2]
    loaded = load_sketches(ndjson, 64)
    assert loaded.shape == (3, 1, 64, 64) and torch.equal(loaded[1], loaded[2])
    assert torch.equal(loaded[:1], load_sketches(ndjson, which=0))
    ink = (loaded[0, 0] < 0).nonzero()
    assert torch.allclose(ink.float().amin(0), torch.tensor(BOX[1::-1]) * 64, atol=1) and torch.equal(
        load_sketches(ndjson, which=[1, 0]), loaded[[1, 0]])
    assert (load_sketches(ndjson, box=(0, 0, 0.5, 0.5))[..., 33:, :] == 1).all()
    with pytest.raises(SketchError, match="3 sketches"):
        normalize_sketch(ndjson)
    with pytest.raises(SketchError, match="no frame"):
        load_sketches(ndjson, box=None)


@pytest.mark.parametrize("line, advice", [
    ("not json", "drawing 3"), ("[1, 2]", "drawing 3"), ('{"word": "cat"}', "drawing 3"),
                                          ('{"drawing": []}', "no stroke"),
    ('{"drawing": [[[1, 2], [1]]]}', "drawing 3"), ('{"drawing": [[[1], ["x"]]]}', "drawing 3"),
                                          ('{"drawing": [[[], []]]}', "finite"),
    ('{"drawing": [[[NaN], [1]]]}', "finite"), ("[" * 100_000, "drawing 3")])
def test_a_bad_line_is_named(line, advice, ndjson):
    with ndjson.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(SketchError, match=advice):
        read_quickdraw(ndjson)
    assert len(read_quickdraw(ndjson, [0, 2])) == 2                      # lines that are not wanted are not read


def test_which_drawings_there_are(ndjson, tmp_path):
    for which, advice in ((3, "no drawing 3"), (-1, "which is -1"), ([], "which is"), ([0, 7], "no drawing 7")):
        with pytest.raises(SketchError, match=advice):
            read_quickdraw(ndjson, which)
    many = tmp_path / "many.ndjson"
    many.write_text(ndjson.read_text().split("\n")[0].join(["", "\n"]) * 1001)
    with pytest.raises(SketchError, match="say which"):
        load_sketches(many)
    assert load_sketches(many, which=1000).shape == (1, 1, 64, 64)
    (tmp_path / "bytes.ndjson").write_bytes(b"\xff\xfe\x00")
    for name in ("bytes.ndjson", "nowhere.ndjson"):
        with pytest.raises(SketchError, match=name):
            load_sketches(tmp_path / name)


def test_human_drawings():
    folder = Path(os.environ.get("SKETCHGAN_DATA", "nowhere")) / "quickdraw"
    if not folder.is_dir():
        pytest.skip("SKETCHGAN_DATA names no folder with quickdraw/: human drawings are not tried")
    for path in folder.glob("*.ndjson"):
        drawn = load_sketches(path, 64)
        share = (drawn < 0).float().mean((1, 2, 3))
        assert len(drawn) >= 10 and ((share > 0.02) & (share < 0.15)).all(), path.name
