"""Paper, threshold and lines of a page, and photographs of drawings: each against a page that was made to measure."""
import warnings

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sketchgan.drawing.chamfer import chamfer
from sketchgan.drawing.pages import components, even_light, threshold
from sketchgan.drawing.sketches import inspect_page, load_sketches, normalize_sketch
from sketchgan.drawing.strokes import SketchError, rasterize
from sketchgan.drawing.tracing import Lines
from tests.paper import on_a_table, photographed, sheet


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
    assert np.allclose(lines.place, [40 / 256 - half, 60 / 256 - half, 200 / 256 + half, 180 / 256 + half],
                       atol=1.5 / 256)
    (stroke,) = lines.strokes(5)
    points = np.array(stroke["points"])
    assert stroke["width"] == 5 and len(points) < 9
    # thinning shortens a line by about half its width
    for corner in ((40, 60), (200, 60), (200, 180)):
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


# ---- photographs of drawings: whatever else is in them goes, and is said

def with_a_thumb(picture):
    ImageDraw.Draw(picture).ellipse([-120, 500, 90, 800], fill=(220, 170, 140))
    return picture


CAT = load_sketches("standing_cat", which=0, box=(0.14, 0.16, 0.86, 0.88))
PHOTOGRAPHS = {
    "wood": (on_a_table(sheet(), grain=0.08), "sheet"),
    "tilted": (on_a_table(sheet(), tilt=-25, lean=0.15, margin=0.5), "sheet"),
    "kraft, blue pen": (on_a_table(sheet((205, 170, 120), (30, 40, 160)), (25, 25, 30), tilt=5), "sheet"),
    "white table": (on_a_table(sheet((255, 255, 255)), (215, 212, 205), tilt=4), "sheet"),
    "pencil": (on_a_table(sheet(ink=(150, 150, 150), width=4), grain=0.08), "sheet"),
    "chalk": (on_a_table(sheet((30, 60, 45), (235, 235, 225)), (200, 190, 170)), "sheet"),
    "cut off": (on_a_table(sheet(), tilt=3, grain=0.05).crop((0, 200, 900, 1400)), "sheet"),
    "ruled": (sheet(ruled=40), "straight lines"),
    "ruled, tilted": (on_a_table(sheet(ruled=40), tilt=8, margin=0.3), "straight lines"),
    "squares": (sheet(squares=36), "straight lines"),
    "squares of one pen": (sheet(squares=50, lines=(90, 90, 110)), "straight lines"),
    "frame": (sheet(frame=(0, 0, 0)), "straight lines|sheet"),
    "thumb": (with_a_thumb(sheet()), "reaches in"),
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.filterwarnings("ignore:.*turned round")
def test_of_a_photograph_only_the_drawing_is_left(name):
    picture, said = PHOTOGRAPHS[name]
    with pytest.warns(UserWarning, match=said):
        assert chamfer(normalize_sketch(photographed(picture)), CAT).item() < 0.6


def test_shadows_are_no_lines():
    for picture in (sheet(), on_a_table(sheet(), grain=0.05)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert chamfer(normalize_sketch(photographed(picture, shadow=0.45)), CAT).item() < 0.6


def test_a_drawing_alone_on_its_page_is_left_alone(recwarn):
    normalize_sketch(photographed(sheet(), light=0.3))
    normalize_sketch(((load_sketches("standing_cat", 256, which=0)[0, 0].numpy() + 1) * 127.5).astype(np.uint8))
    assert not recwarn, [str(warning.message) for warning in recwarn]


def test_several_drawings_on_one_page_are_named():
    page = Image.new("L", (900, 900), 255)
    for x, y in ((40, 40), (600, 60), (80, 620)):
        ImageDraw.Draw(page).rectangle([x, y, x + 220, y + 200], outline=0, width=6)
    with pytest.warns(UserWarning, match="one drawing"):
        normalize_sketch(page)


def test_what_is_left_out_can_be_seen():
    shown = np.asarray(inspect_page(photographed(on_a_table(sheet(squares=36), margin=0.3))), int)
    red = shown[..., 0] - shown[..., 1] > 60
    assert 0.02 < red.mean() < 0.3 and ((shown < 120).all(2) & ~red).mean() > 0.002


def test_components_are_scipys():
    from scipy.ndimage import label
    ink = np.random.default_rng(0).random((40, 60)) < 0.6
    ours = components(ink[:, 1:] & ink[:, :-1], ink[1:] & ink[:-1])
    theirs, count = label(ink)
    assert len(np.unique(ours[ink])) == count and all(len(np.unique(ours[theirs == i])) == 1
                                                      for i in range(1, count + 1))
