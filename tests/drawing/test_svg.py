"""SVG: every shape and command against its own geometry, styles and transforms, and files that mean harm."""
import time

import numpy as np
import pytest

from sketchgan.drawing.sketches import chamfer, load_sketches, normalize_sketch, rasterize
from sketchgan.drawing.strokes import SketchError
from sketchgan.drawing.svg import path_lines, read_svg

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 256 256" fill="none" stroke="black">'


@pytest.fixture
def svg(tmp_path):
    def write(body, head=HEAD, tail="</svg>"):
        path = tmp_path / "drawing.svg"
        path.write_bytes((head + body + tail).encode() if isinstance(body, str) else body)
        return path
    return write


def lines_of(path):
    return [np.array(stroke["points"]) for stroke in read_svg(path)["strokes"]]


# ---- path data

@pytest.mark.parametrize("d, wanted", [
    ("M10 20L30 40", [[10, 20], [30, 40]]), ("m10,20l20,20", [[10, 20], [30, 40]]), ("M10 20 30 40 50 60", [[10, 20], [30, 40], [50, 60]]),
    ("m10 20 5 5", [[10, 20], [15, 25]]), ("M1 2H5V9h-2v-3", [[1, 2], [5, 2], [5, 9], [3, 9], [3, 6]]),
    ("M0 0L8 0L8 8Z", [[0, 0], [8, 0], [8, 8], [0, 0]]), ("M1e1-2.5.5.5", [[10, -2.5], [0.5, 0.5]])])
def test_straight_commands(d, wanted):
    (line,) = path_lines(d)
    assert np.allclose(line, wanted)


def test_a_path_goes_on_from_where_it_was_closed():
    first, second, third = path_lines("M10 10h4v4zl-5 0M1 1m2 2l3 3")
    assert np.allclose(first[-1], [10, 10]) and np.allclose(second, [[10, 10], [5, 10]]) and np.allclose(third, [[3, 3], [6, 6]])


def test_curves_are_bezier_curves():
    t = np.linspace(0, 1, 17)[:, None]
    cubic = lambda a, b, c, d: (1 - t)**3 * a + 3 * (1 - t)**2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    quadratic = lambda a, b, c: (1 - t)**2 * a + 2 * (1 - t) * t * b + t**2 * c
    p = np.array([[0, 0], [0, 10], [10, 10], [10, 0], [20, -10], [20, 0]], float)
    (line,) = path_lines("M0 0C0 10 10 10 10 0S20 -10 20 0")
    smooth = cubic(p[3], 2 * p[3] - p[2], p[4], p[5])                          # S mirrors the control point before it
    assert np.allclose(line, np.concatenate([cubic(*p[:4]), smooth[1:]]))
    (line,) = path_lines("m0 0c0 10 10 10 10 0s10 -10 10 0")
    assert np.allclose(line[-17:], smooth)
    (line,) = path_lines("M0 0Q5 10 10 0t10 0")
    assert np.allclose(line, np.concatenate([quadratic(*p[[0]], np.array([5, 10]), p[3]), quadratic(p[3], np.array([15, -10]), p[5])[1:]]))
    (line,) = path_lines("M0 0L10 0S20 10 20 0")                               # nothing to mirror after a line
    assert np.allclose(line[1:], cubic(p[3], p[3], np.array([20, 10]), p[5]))


@pytest.mark.parametrize("flags, middle", [("0 1", [0, -5]), ("0 0", [0, 5]), ("1 1", [0, -5])])
def test_half_a_circle(flags, middle):
    (line,) = path_lines(f"M-5 0A5 5 0 {flags} 5 0")
    assert np.allclose(np.linalg.norm(line, axis=1), 5) and np.allclose(line[len(line) // 2], middle, atol=1e-9)
    assert np.allclose(line[-1], [5, 0])


def test_arcs_turned_small_large_and_packed():
    (line,) = path_lines("M0 0a1 1 0 0110 0")                                  # flags without spaces; radius too small: grows to 5
    assert np.allclose(np.linalg.norm(line - [5, 0], axis=1), 5)
    (turned,) = path_lines("M2 0A4 2 90 0 1 -2 0")                             # an upright ellipse, 2 wide and 4 high
    assert np.allclose((turned[:, 0] / 2)**2 + (turned[:, 1] / 4)**2, 1)
    short, long = (path_lines(f"M5 0A5 5 0 {large} 1 0 5")[0] for large in "01")
    length = lambda p: np.linalg.norm(np.diff(p, axis=0), axis=1).sum()
    assert length(short) == pytest.approx(5 * np.pi / 2, rel=0.01) and length(long) == pytest.approx(15 * np.pi / 2, rel=0.01)
    assert np.allclose(path_lines("M1 1A0 4 0 0 1 9 9")[0], [[1, 1], [9, 9]])  # no radius: a straight line


@pytest.mark.parametrize("d", ["10 20L3 4", "M1", "M1 2L3", "M1 2X3 4", "M1 2A1 1 0 2 1 3 3", "M1 2C1 2 3 4", "M1 1e999"])
def test_wrong_path_data_is_refused(d, svg):
    with pytest.raises(SketchError, match="drawing.svg"):
        read_svg(svg(f'<path d="{d}"/>'))


# ---- shapes, transforms, styles

def test_shapes_have_their_size(svg):
    circle, ellipse, box, soft, line, open_, closed = lines_of(svg(
        '<circle cx="50" cy="60" r="10"/><ellipse cx="5" cy="6" rx="3" ry="2"/><rect x="1" y="2" width="30" height="4"/>'
        '<rect width="20" height="10" rx="2"/><line x1="1" y1="2" x2="3" y2="4"/><polyline points="0,0 5,5 9 1"/>'
        '<polygon points="0,0 5,5 9 1"/>'))
    assert np.allclose(np.linalg.norm(circle - [50, 60], axis=1), 10)
    assert np.allclose(((ellipse - [5, 6]) / [3, 2])**2 @ [1, 1], 1)
    assert np.allclose(box, [[1, 2], [31, 2], [31, 6], [1, 6], [1, 2]])
    assert np.allclose([soft.min(0), soft.max(0)], [[0, 0], [20, 10]]) and np.linalg.norm(soft, axis=1).min() > 0.5
    assert np.allclose(line, [[1, 2], [3, 4]]) and len(open_) == 3 and np.allclose(closed[-1], [0, 0])


@pytest.mark.parametrize("transform, wanted", [
    ("translate(3 4)", [4, 4]), ("translate(3)", [4, 0]), ("scale(2)", [2, 0]), ("scale(2,5) translate(1,1)", [4, 5]), ("rotate(90)", [0, 1]),
    ("rotate(90, 1, 1)", [2, 1]), ("matrix(1 2 3 4 5 6)", [6, 8]), ("skewY(45)", [1, 1]), ("skewX(45)", [1, 0])])
def test_transforms(transform, wanted, svg):
    (line,) = lines_of(svg(f'<g transform="{transform}"><path d="M1 0L9 9"/></g>'))
    assert np.allclose(line[0], wanted)


def test_use_groups_and_what_is_not_seen(svg):
    lines = lines_of(svg('<defs><path id="a" d="M0 0L1 1"/></defs><use href="#a" x="10" y="20"/><use xlink:href="#a" transform="scale(3)"/>'
                         '<g display="none"><path d="M0 0L1 1"/></g><g style="stroke:none"><path d="M0 0L1 1"/></g><path opacity="0" d="M0 0L1 1"/>'
                         '<path visibility="hidden" d="M0 0L1 1"/><clipPath><path d="M0 0L1 1"/></clipPath><text>cat</text>'))
    assert len(lines) == 2 and np.allclose(lines[0], [[10, 20], [11, 21]]) and np.allclose(lines[1], [[0, 0], [3, 3]])


def test_style_sheets_and_a_sheet_of_paper(svg):
    body = ('<style>/* all */ .line, #b {fill:none; stroke:#102030} rect{fill:#fff;stroke:none}</style><rect width="256" height="256"/>'
            '<path class="line" d="M0 0L9 9L3 0Z"/><path id="b" d="M0 0L5 9L3 0"/>')
    assert len(lines_of(svg(body, head='<svg viewBox="0 0 256 256">'))) == 2    # the white sheet below is no line


def test_a_square_page_keeps_the_place_and_others_are_fitted(svg):
    body = '<path d="M40 60H210V200H40Z"/>'
    here = rasterize([{"width": 5, "points": [[40, 60], [210, 60], [210, 200], [40, 200], [40, 60]]}])
    assert chamfer(normalize_sketch(svg(body)), here).item() < 0.2
    wide = normalize_sketch(svg(body, head=HEAD.replace("256 256", "1256 256")))
    middle = (wide[0, 0] < 0).nonzero().float().mean(0)
    assert abs(middle[1] - 32) < 1 and abs(middle[0] - 33.3) < 1.5
    assert chamfer(normalize_sketch(svg(body, head=HEAD.replace("256 256", "1256 256")), box=None), here).item() > 5


def test_filled_shapes_become_outlines(svg):
    path = svg('<path d="M50 50H200V200H50Z M90 90V160H160V90Z"/>', head='<svg viewBox="0 0 256 256">')
    page = np.asarray(read_svg(path)) / 255
    assert page[400, 250] == 0 and page[480, 480] == 1 and page.mean() == pytest.approx(1 - (150**2 - 70**2) / 256**2, abs=0.01)
    with pytest.warns(UserWarning, match="outlines"):
        drawn = normalize_sketch(path)
    wanted = rasterize([{"width": 5, "points": p} for p in ([[50, 50], [200, 50], [200, 200], [50, 200], [50, 50]],
                                                            [[90, 90], [160, 90], [160, 160], [90, 160], [90, 90]])])
    assert chamfer(drawn, wanted).item() < 0.6


def test_white_lines_on_a_black_sheet(svg):
    path = svg('<rect width="256" height="256" fill="black" stroke="none"/><path stroke="white" stroke-width="5" d="M50 60H200V190"/>')
    with pytest.warns(UserWarning, match="turned round"):
        drawn = normalize_sketch(path)
    assert chamfer(drawn, rasterize([{"width": 5, "points": [[50, 60], [200, 60], [200, 190]]}])).item() < 0.4


# ---- files that are wrong, or mean harm

ENTITIES = ('<!DOCTYPE svg [<!ENTITY a "ha">' + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi")) + "]>" + HEAD)
RING = '<g id="a"><use href="#a"/><use href="#a"/></g>'
BOMB = '<path id="a0" d="M0 0L1 1"/>' + "".join(f'<g id="a{i + 1}">{"<use href=%s/>" % repr(f"#a{i}") * 10}</g>' for i in range(12)) + '<use href="#a12"/>'


@pytest.mark.parametrize("content, advice", [
    (ENTITIES + '<text>&i;</text><path d="M0 0L9 9"/></svg>', "entities"),
    (ENTITIES.encode("utf-16"), "entities"),
    ('<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + HEAD + "&x;</svg>", "entities"),
    (HEAD + RING + "</svg>", "ring"), (HEAD + BOMB + "</svg>", "elements"),
    (HEAD + "<g>" * 100_000 + "</g>" * 100_000 + "</svg>", "nests"),
    (HEAD + '<path d="M0 0', "not an SVG"), ("I am not a drawing", "not an SVG"), ("<html></html>", "wanted <svg>"), (b"\x00\xff\x13", "not an SVG"),
    (HEAD + "<text>a cat</text></svg>", "nothing to draw"), (HEAD + '<path d="M0 0" /></svg>', "nothing to draw"),
    (HEAD + '<g transform="scale()"><path d="M0 0L1 1"/></g></svg>', "scale"),
    (HEAD + f'<polyline points="{"1 2 " * 520_000}"/></svg>', "simplify")],
    ids=["billion laughs", "the same in utf-16", "a file", "ring", "use bomb", "deep", "cut", "text", "html", "bytes", "words", "dot", "scale", "points"])
def test_every_bad_file_ends_in_a_clear_error(content, advice, svg):
    path, start = svg(content if isinstance(content, bytes) else content.encode()), time.process_time()
    with pytest.raises(SketchError, match=advice):
        read_svg(path)
    assert time.process_time() - start < 10


def test_a_plain_doctype_is_what_drawing_programs_write(svg):
    head = '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">' + HEAD
    assert len(lines_of(svg('<path d="M0 0L9 9"/>', head=head))) == 1


def test_a_folder_of_svg(svg):
    path = svg('<path d="M50 60H200V190"/>')
    assert load_sketches(path.parent).shape == (1, 1, 64, 64)
    with pytest.raises(SketchError, match="no file"):
        load_sketches("nowhere.svg")
