"""Strokes to pixels, every kind of bad drawing, and the chamfer distance against brute force and scipy."""
import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt

from sketchgan import sketches as sk
from sketchgan.sketches import SketchError, chamfer, distance_transform, load_sketches, nearest, normalize_sketch, rasterize

SQUARE = [{"width": 12, "points": [[64, 64], [192, 64], [192, 192], [64, 192], [64, 64]]}]
TASKS = {"standing_cat", "sitting_cat", "horse_on_a_side", "horse_with_rider", "gabled_church"}


@pytest.fixture
def drawn():
    """A drawing of 256 px as 8-bit grey, black on white."""
    return ((rasterize(SQUARE, 256)[0, 0].numpy() + 1) * 127.5).round().astype(np.uint8)


def random_ink(*shape, share=0.02):
    return torch.rand(shape) < share


# ---- strokes

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


# ---- anything to a sketch

def test_every_kind_of_holder_gives_the_same_sketch(drawn, tmp_path):
    grey = Image.fromarray(drawn)
    see_through = Image.merge("LA", (Image.new("L", grey.size, 0), Image.fromarray(255 - drawn)))
    rgba = np.dstack([np.zeros((*drawn.shape, 3), np.uint8), 255 - drawn])
    sixteen = drawn.astype(np.uint16) * 257
    for name, image in dict(grey=grey, rgb=grey.convert("RGB"), la=see_through, sixteen=Image.fromarray(sixteen)).items():
        image.save(tmp_path / f"{name}.png")
    (tmp_path / "strokes.json").write_text(json.dumps({"strokes": SQUARE}))
    floats = torch.from_numpy(drawn / 127.5 - 1)
    holders = [grey, see_through, drawn, drawn[..., None], rgba, sixteen, torch.from_numpy(drawn), floats, floats[None],
               floats[None, None], {"strokes": SQUARE}, *sorted(tmp_path.iterdir())]
    wanted = torch.nn.functional.avg_pool2d(rasterize(SQUARE, 256), 4)
    for holder in holders:
        sketch = normalize_sketch(holder, 64, pen=None, box=None)
        assert sketch.shape == (1, 1, 64, 64) and sketch.dtype == torch.float32
        assert sketch.min() >= -1 and sketch.max() <= 1
        assert (sketch - wanted).abs().mean() < 0.02, holder


def test_a_jpeg_is_read_too(drawn, tmp_path):
    Image.fromarray(drawn).save(tmp_path / "a.jpg")
    assert (normalize_sketch(tmp_path / "a.jpg") - normalize_sketch(drawn)).abs().mean() < 0.03


BLANK = np.full((128, 128), 255, np.uint8)


@pytest.mark.parametrize("bad, advice", [
    (BLANK, "empty"),
    (torch.ones(1, 1, 64, 64), "empty"),
    ({"strokes": []}, "empty"),
    (BLANK * 0, "all black"),
    (-torch.ones(64, 64), "all black"),
    (np.zeros((8, 8, 8, 8), np.uint8), "one sketch"),
    (torch.zeros(3, 64, 64), "F\\(image\\)"),
    (np.zeros((64, 64), np.int64), "range"),
    (torch.full((64, 64), float("nan")), "NaN"),
    (torch.rand(64, 64), "x \\* 2 - 1"),
    (torch.rand(64, 64) * 255, "127.5"),
    (3, "not a drawing"),
    ("nowhere.png", "no file"),
    ("nowhere.json", "no file")])
def test_what_is_no_sketch_is_refused_with_advice(bad, advice):
    with pytest.raises(SketchError, match=advice):
        normalize_sketch(bad)


def test_white_on_black(drawn):
    with pytest.raises(SketchError, match="invert=True"):
        normalize_sketch(255 - drawn, invert=False)
    with pytest.warns(UserWarning, match="turned round"):
        turned = normalize_sketch(255 - drawn, invert="auto")
    assert torch.allclose(turned, normalize_sketch(drawn), atol=1e-6)
    assert torch.equal(normalize_sketch(255 - drawn, invert=True), turned)
    assert torch.equal(normalize_sketch(drawn, invert="auto"), normalize_sketch(drawn))   # right already: no warning


def test_transparent_ground(drawn):
    white_lines = np.dstack([np.full((*drawn.shape, 3), 255, np.uint8), 255 - drawn])
    with pytest.raises(SketchError, match="dark ground"):
        normalize_sketch(white_lines, invert=False)
    with pytest.warns(UserWarning, match="turned round"):
        assert torch.equal(normalize_sketch(white_lines), normalize_sketch(drawn))
    with pytest.raises(SketchError, match="transparent"):
        normalize_sketch(white_lines * np.array([1, 1, 1, 0], np.uint8))


def test_sixteen_bits_are_not_clipped(tmp_path):
    """Pillow's own conversion takes everything above 255 of 65535 for white: a dark grey line would vanish."""
    page = np.full((64, 64), 65535, np.uint16)
    page[30:34] = 6000
    Image.fromarray(page).save(tmp_path / "a.png")
    assert float(normalize_sketch(tmp_path / "a.png", pen=None, box=None).min()) == pytest.approx(6000 / 32767.5 - 1, abs=1e-3)


def test_truncated_and_false_files(drawn, tmp_path):
    Image.fromarray(drawn).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[:len(data) // 2])
    (tmp_path / "text.png").write_text("I am not an image")
    (tmp_path / "text.json").write_text("I am not a drawing")
    (tmp_path / "other.json").write_text("[1, 2]")
    for name in ("cut.png", "text.png", "text.json", "other.json"):
        with pytest.raises(SketchError, match=name):
            normalize_sketch(tmp_path / name)


def test_wrong_sizes(drawn):
    for options in ({"box": None}, {"pen": None, "box": None}):
        with pytest.raises(SketchError, match="pad=True"):
            normalize_sketch(drawn[:200], **options)
    with pytest.raises(SketchError, match="64 px or more"):
        normalize_sketch(drawn[::8, ::8], pen=None, box=None)
    as_drawn = dict(pad=True, pen=None, box=None)
    padded = normalize_sketch(drawn[:, 40:216], **as_drawn)              # only blank paper was cut off
    assert (padded - normalize_sketch(drawn, **as_drawn)).abs().max() < 0.02


def test_lines_that_fade_are_refused_or_drawn_again():
    page = np.full((640, 640), 255, np.uint8)
    page[300, 100:500] = 0                                               # 1 px of 640 is a tenth of a pixel of 64
    with pytest.raises(SketchError, match="pen=5"):
        normalize_sketch(page, pen=None, box=None)
    drawn = normalize_sketch(page, box=None)
    assert drawn.min() < -0.4                                            # it lies between two rows of pixels
    rows, columns = np.nonzero(drawn[0, 0].numpy() < 0)
    assert set(rows) <= {29, 30} and columns.min() in (9, 10) and columns.max() in (49, 50)


# ---- files

def test_ready_made_drawings():
    assert TASKS == set(sk.sketch_names())
    for name in TASKS:
        document = sk.read_document(sk.SKETCH_FOLDER / f"{name}.json")
        assert document["task"] == name and "not traced" in document["origin"] and document["license"]
        sketches = load_sketches(name)
        assert sketches.shape == (5, 1, 64, 64)
        share = (sketches < 0).float().mean((1, 2, 3))                   # lines, as Menagerie's contours: 3 to 15 %
        assert ((share > 0.03) & (share < 0.15)).all()
        distances = chamfer(sketches, sketches)
        assert (distances + torch.eye(5) * 99).min() > 0.5               # five drawings, not one five times
    with pytest.raises(SketchError, match="5 sketches"):
        normalize_sketch(sk.SKETCH_FOLDER / "standing_cat.json")


def test_load_sketches_from_folder_list_and_tensor(drawn, tmp_path):
    with pytest.raises(SketchError, match="no image"):
        load_sketches(tmp_path)
    for name in "ba":
        Image.fromarray(drawn if name == "a" else drawn[::-1].copy()).save(tmp_path / f"{name}.png")
    loaded = load_sketches(tmp_path, 32)
    assert loaded.shape == (2, 1, 32, 32) and torch.equal(loaded[0], normalize_sketch(drawn, 32)[0])
    assert torch.equal(load_sketches(tmp_path, 32, which=[1, 0]), loaded.flip(0))
    with pytest.raises(SketchError, match="2 sketches"):
        load_sketches(tmp_path, which=2)
    assert torch.equal(load_sketches(loaded, 32), loaded)
    assert load_sketches([tmp_path / "a.png", drawn, {"strokes": SQUARE}]).shape == (3, 1, 64, 64)
    for nothing in ([], {"sketches": []}, torch.empty(0, 1, 64, 64)):
        with pytest.raises(SketchError, match="no sketches"):
            load_sketches(nothing)
    with pytest.raises(SketchError, match="standing_cat"):
        load_sketches("standing_dog")


def test_documents_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.json"
    sk.write_document(path, [{"strokes": SQUARE}], name="square")
    assert sk.read_document(path)["name"] == "square"
    assert torch.equal(load_sketches(path), rasterize(SQUARE))
    before = path.read_bytes()
    with pytest.raises(TypeError):
        sk.write_document(path, [{"strokes": {1, 2}}])                   # a set has no JSON
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["a.json"]


# ---- distances

@pytest.mark.parametrize("shape", [(4, 64, 64), (3, 17, 40), (2, 9, 9)])
@pytest.mark.parametrize("share", [0.002, 0.05, 0.6])
def test_distance_transform_is_scipys(shape, share):
    ink = random_ink(*shape, share=share)
    ink[:, shape[1] // 2, 3] = True                                      # scipy's answer without ink is not defined
    ours = distance_transform(ink)
    for i in range(len(ink)):
        theirs = distance_transform_edt(~ink[i].numpy())
        assert torch.allclose(ours[i], torch.from_numpy(theirs).float(), atol=1e-4)
    assert torch.allclose(distance_transform(ink, truncate=2.5), ours.clamp(max=2.5), atol=1e-4)


def test_chamfer_is_the_brute_force_over_all_pairs_of_pixels():
    a = torch.where(random_ink(2, 1, 24, 24), -1.0, 1.0)
    b = torch.where(random_ink(3, 1, 24, 24, share=0.06), -1.0, 1.0)
    points = lambda s: (s[0] < 0).nonzero().double()
    for truncate in (None, 3.0):
        ours = chamfer(a, b, truncate)
        assert ours.shape == (2, 3)
        for n in range(2):
            for m in range(3):
                apart = torch.cdist(points(a[n]), points(b[m])).clamp(max=truncate or 99)
                brute = (apart.min(1).values.mean() + apart.min(0).values.mean()) / 2
                assert ours[n, m].item() == pytest.approx(brute.item(), abs=1e-4)


def test_chamfer_of_itself_shifted_and_empty():
    sketch = torch.ones(1, 1, 32, 32)
    sketch[..., 10, 5:20] = -1
    assert chamfer(sketch, sketch).item() == 0
    assert chamfer(sketch, sketch.roll(3, -2)).item() == pytest.approx(3)
    blank = torch.ones(1, 1, 32, 32)
    assert chamfer(sketch, blank).item() == pytest.approx(32 * 2**0.5, rel=1e-5)
    assert chamfer(blank, blank, truncate=7).item() == pytest.approx(7)
    with pytest.raises(SketchError, match="one size"):
        chamfer(sketch, sketch[..., :16, :16])


def test_nearest_ranks_and_ignores_the_batch():
    cats, horses = load_sketches("standing_cat"), load_sketches("horse_on_a_side")
    found = nearest(cats[:1], torch.cat([horses, cats]), k=3)
    assert found.indices[0] == 5 and found.distances[0] == 0
    assert (found.distances[1:] >= found.distances[:-1]).all() and len(found.indices) == 3
    both = nearest(torch.cat([cats[:1], horses[:1]]), torch.cat([horses, cats]), k=10)
    assert set(both.indices[:2].tolist()) == {0, 5}                      # an image counts by the nearest sketch


def test_nearest_of_photographs_uses_running_statistics():
    from sketchgan.photosketch import PhotoSketch
    F = PhotoSketch(ngf=4, n_blocks=1)
    photos = torch.rand(6, 3, 32, 32) * 2 - 1
    F.measure_running_stats([photos])
    sketch = load_sketches("standing_cat", 32)[:1]
    with pytest.raises(SketchError, match="F=load_photosketch"):
        nearest(sketch, photos)
    together, alone = nearest(sketch, photos, F, k=6, batch=6), nearest(sketch, photos, F, k=6, batch=1)
    assert torch.allclose(together.distances, alone.distances, atol=1e-3)
    assert torch.allclose(sk.sketch_of(photos, F, 6), sk.sketch_of(photos, F, 1), atol=1e-5)
    assert F.batch_stats                                                 # left as it was
