"""Every kind of drawing and of bad drawing, and files with several."""
import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from sketchgan.drawing import sketches as sk
from sketchgan.drawing.placing import USUAL
from sketchgan.drawing.sketches import SketchError, chamfer, load_sketches, normalize_sketch, rasterize
from sketchgan.files import sketches_folder

SQUARE = [{"width": 12, "points": [[64, 64], [192, 64], [192, 192], [64, 192], [64, 64]]}]
TASKS = {"standing_cat", "sitting_cat", "horse_on_a_side", "horse_with_rider", "gabled_church"}


@pytest.fixture
def drawn():
    """A drawing of 256 px as 8-bit grey, black on white."""
    return ((rasterize(SQUARE, 256)[0, 0].numpy() + 1) * 127.5).round().astype(np.uint8)


# ---- anything to a sketch

def test_every_kind_of_holder_gives_the_same_sketch(drawn, tmp_path):
    grey = Image.fromarray(drawn)
    see_through = Image.merge("LA", (Image.new("L", grey.size, 0), Image.fromarray(255 - drawn)))
    rgba = np.dstack([np.zeros((*drawn.shape, 3), np.uint8), 255 - drawn])
    sixteen = drawn.astype(np.uint16) * 257
    for name, image in dict(grey=grey, rgb=grey.convert("RGB"), la=see_through,
                            sixteen=Image.fromarray(sixteen)).items():
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
    darkest = normalize_sketch(tmp_path / "a.png", pen=None, box=None).min().item()
    assert darkest == pytest.approx(6000 / 32767.5 - 1, abs=1e-3)


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
        document = sk.read_document(sketches_folder() / f"{name}.json")
        assert document["task"] == name and "not traced" in document["origin"] and document["license"]
        sketches = load_sketches(name)
        assert sketches.shape == (5, 1, 64, 64)
        share = (sketches < 0).float().mean((1, 2, 3))                   # lines, as Menagerie's contours: 3 to 15 %
        assert ((share > 0.03) & (share < 0.15)).all()
        distances = chamfer(sketches, sketches)
        assert (distances + torch.eye(5) * 99).min() > 0.5               # five drawings, not one five times
    with pytest.raises(SketchError, match="5 sketches"):
        normalize_sketch(sketches_folder() / "standing_cat.json")


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


# ---- pages from elsewhere

def drawn_page(width=5.5, side=512, scale=1.0, offset=(0, 0), ink=(0, 0, 0), paper=(255, 255, 255)):
    """The first ready-made cat on a page [side, side, 3] of any colours."""
    strokes = sk.stroke_sets(sk.read_document(sketches_folder() / "standing_cat.json"))[0]["strokes"]
    moved = [{**s, "width": width * scale, "points": (np.array(s["points"]) * scale + offset).tolist()}
             for s in strokes]
    share = (1 - rasterize(moved, side)[0, 0].numpy()[..., None]) / 2
    return (share * np.array(ink) + (1 - share) * np.array(paper)).round().astype(np.uint8)


CAT = load_sketches("standing_cat", which=0)
LIGHT = np.linspace(0.45, 1, 512)[None, :, None] * np.linspace(1, 0.8, 512)[:, None, None]


@pytest.mark.parametrize("page", [
    drawn_page(), 255 - drawn_page(), drawn_page(1, 700), drawn_page(10), drawn_page(ink=(255, 220, 0)),
                                  drawn_page(side=64),
    drawn_page(ink=(30, 40, 160), paper=(205, 170, 120)), drawn_page(ink=(240, 240, 200), paper=(20, 60, 40)),
    drawn_page(ink=(200, 200, 200)), drawn_page(ink=(90, 90, 90), paper=(140, 135, 130)),
    (drawn_page(ink=(60, 60, 70), paper=(250, 240, 215)) * LIGHT).astype(np.uint8)],
    ids=["plain", "chalk", "hairline", "thick", "yellow", "small", "kraft", "board", "faint", "grey", "lamp"])
@pytest.mark.filterwarnings("ignore:.*turned round")
def test_one_cat_on_many_pages(page):
    sketch = normalize_sketch(page)
    assert chamfer(sketch, CAT).item() < 0.35 and sketch.max() == 1 and sketch.min() < -0.8
    assert 0.5 < (1 - sketch).sum() / (1 - CAT).sum() < 1.3              # and one pen has drawn them all


def test_far_from_the_middle_and_small():
    page = drawn_page(scale=0.3, offset=(10, 170), side=800)
    with pytest.warns(UserWarning, match="box=None"):
        moved = normalize_sketch(page)
    left, top, right, bottom = (f((moved[0, 0] < 0).nonzero()[:, axis]).item()
                                for f, axis in ((min, 1), (min, 0), (max, 1), (max, 0)))
    assert USUAL.holds((left / 64, top / 64, (right + 1) / 64, (bottom + 1) / 64)) and right - left > 38
    kept = normalize_sketch(page, box=None)
    assert (kept[..., :40, :] == 1).all() and (kept[..., 28:] == 1).all() and kept.min() < 0
    placed = normalize_sketch(page, box=(0.5, 0, 1, 0.5))
    assert (placed[..., 33:, :] == 1).all() and (placed[..., :31] == 1).all() and placed.min() < 0
    pixels = normalize_sketch(page, pen=None, box=(0.5, 0, 1, 0.5))      # its own pen, scaled with it
    assert (pixels[..., 33:, :] == 1).all() and chamfer(pixels, placed).item() < 1


def test_pages_that_are_not_square_are_fitted_or_filled_up():
    wide = np.pad(drawn_page(), ((0, 0), (400, 0), (0, 0)), constant_values=255)
    box = np.array([f((normalize_sketch(wide)[0, 0] < 0).nonzero()[:, axis]).item()
                    for f, axis in ((min, 1), (max, 1), (min, 0), (max, 0))])
    assert np.abs(box[:2].mean() - 31.5) < 1.5 and np.abs(box[2:].mean() - 33) < 1.5
    kept = normalize_sketch(wide, pad=True, box=None)
    assert (kept[..., :28] == 1).all() and kept.min() < -0.3


def test_of_a_filled_shape_the_outline_is_drawn():
    page = np.full((300, 300), 255, np.uint8)
    page[60:240, 50:250] = 0
    with pytest.warns(UserWarning, match="outlines"):
        drawn = normalize_sketch(page)
    corners = np.array([[50, 60], [250, 60], [250, 240], [50, 240], [50, 60]])
    edge = rasterize([{"width": 5, "points": corners * 256 / 300}])
    assert chamfer(drawn, edge).item() < 0.6 and (drawn[..., 20:44, 20:44] == 1).all()
    assert (normalize_sketch(page, pen=None)[..., 20:44, 20:44] == -1).all()


def test_a_tree_of_paper_is_no_skeleton():
    """A slim silhouette: its arms are as wide as a felt pen, but all of it together is too short for lines."""
    x = np.array([26, 26, 10, 22, 14, 26, 20, 30, 40, 34, 46, 38, 50, 34, 34])
    y = np.array([85, 60, 60, 42, 42, 26, 26, 8, 26, 26, 42, 42, 60, 60, 85])
    tree = Image.new("L", (600, 900), 255)
    ImageDraw.Draw(tree).polygon(list(zip((x * 10).tolist(), (y * 10).tolist())), fill=0)
    with pytest.warns(UserWarning, match="outlines"):
        drawn = normalize_sketch(tree)
    outline = sk.fit_strokes([{"width": 5, "points": np.stack([[*x, 26], [*y, 85]], 1)}])
    assert chamfer(drawn, rasterize(outline)).item() < 0.8


def test_a_patch_among_lines_becomes_its_outline_and_the_lines_stay():
    page = drawn_page(3).min(2)
    page[230:300, 180:330] = 0
    with pytest.warns(UserWarning, match="outlines"):
        drawn = normalize_sketch(page)
    plain = drawn[0, 0] < 0
    assert not plain[31:35, 26:38].all() and chamfer(drawn, CAT).item() < 1.5


def test_the_pen_can_be_chosen():
    thin_, thick = (normalize_sketch(drawn_page(), 128, pen=pen) for pen in (3, 12))
    assert (1 - thick).sum() > 2.5 * (1 - thin_).sum()
    ours = {"strokes": SQUARE}
    assert (1 - normalize_sketch(ours, pen=24)).sum() == pytest.approx(2 * (1 - normalize_sketch(ours)).sum().item(),
                                                                       rel=0.1)
    assert torch.equal(normalize_sketch(ours), rasterize(SQUARE))        # ours stay as drawn


@pytest.mark.filterwarnings("ignore:.*turned round")
def test_photographs_are_told_from_drawings():
    from sketchgan.world.scenes import Menagerie
    photos = Menagerie("cat", 64, seed=4).render(range(4), ("image",)).image
    refused = 0
    for photo in photos:
        try:
            normalize_sketch(((photo.permute(1, 2, 0) + 1) * 127.5).byte())
        except SketchError as error:
            refused += "sketch_of" in str(error)
    assert refused >= 3


def test_what_was_given_can_be_shown(drawn, tmp_path):
    Image.fromarray(drawn).save(tmp_path / "a.png")
    given = [drawn, drawn[..., None], drawn.astype(np.uint16) * 257, drawn > 127,
             torch.from_numpy(drawn / 127.5 - 1).float(), Image.fromarray(drawn),
             tmp_path / "a.png", {"strokes": SQUARE}]
    for x in given:
        shown = sk.as_given(x)
        assert shown.mode == "RGB" and np.abs(np.asarray(shown)[..., 0].astype(float) - drawn).mean() < 6
    see_through = sk.as_given(Image.fromarray(np.zeros((9, 9, 4), np.uint8)))
    assert see_through.getpixel((4, 4))[2] > see_through.getpixel((4, 4))[0]


@pytest.mark.parametrize("options, advice", [({"invert": "yes"}, "invert is"), ({"box": (0, 0, 0, 0)}, "box is")])
def test_options_that_are_none(options, advice, drawn):
    with pytest.raises(SketchError, match=advice):
        normalize_sketch(drawn[:200], **options)
