"""SVG: what viewers show is what is read, whatever the file's manner of saying it; and files that mean harm."""
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from sketchgan.drawing import svg as module
from sketchgan.drawing.chamfer import chamfer
from sketchgan.drawing.sketches import load_sketches, normalize_sketch, rasterize
from sketchgan.drawing.strokes import LIMITS, SketchError
from sketchgan.drawing.svg import read_svg

HEAD = ('<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 256 256" '
        'fill="none" stroke="black">')
FACE = '<circle cx="128" cy="128" r="90"/><circle cx="98" cy="108" r="13"/><path d="M90 167Q128 200 167 167"/>'


@pytest.fixture
def svg(tmp_path):
    def write(body, head=HEAD, tail="</svg>"):
        path = tmp_path / "drawing.svg"
        path.write_bytes((head + body + tail).encode() if isinstance(body, str) else body)
        return path
    return write


def drawn(*lines, **options):
    return rasterize([{"width": 5, "points": line, **options} for line in lines])


def circle(x, y, rx, ry):
    angle = np.linspace(0, 2 * np.pi, 90)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], 1)


BOX = [[40, 60], [210, 60], [210, 200], [40, 200], [40, 60]]



@pytest.mark.parametrize("body, wanted", [
    ('<path d="M40 60H210V200H40Z"/>', [BOX]), ('<path d="m40,60h170v140h-170z"/>', [BOX]),
    ('<rect x="40" y="60" width="170" height="140"/>', [BOX]),
    ('<polygon points="40,60 210,60 210,200 40,200"/>', [BOX]),
    ('<polyline points="40,60 210,60 210,200 40,200 40,60"/>', [BOX]),
    ('<line x1="40" y1="60" x2="210" y2="200"/>', [[[40, 60], [210, 200]]]),
    ('<circle cx="120" cy="130" r="90"/>', [circle(120, 130, 90, 90)]),
    ('<ellipse cx="120" cy="130" rx="90" ry="60"/>', [circle(120, 130, 90, 60)]),
    ('<path d="M30 130A90 90 0 0 1 210 130"/>', [circle(120, 130, 90, 90)[45:]]),
    ('<g transform="translate(20 30) scale(2)"><path d="M10 15H95V85H10Z"/></g>', [BOX]),
    ('<defs><path id="a" d="M0 0h170v140h-170z"/></defs><use xlink:href="#a" x="40" y="60"/>', [BOX]),
    ('<svg width="256" height="256" viewBox="0 0 512 512" stroke-width="2"><path d="M80 120H420V400H80Z"/></svg>',
     [BOX]),
    ('<symbol id="c" viewBox="0 0 512 512"><path d="M80 120H420V400H80Z"/></symbol><use href="#c" width="256" '
     'height="256"/>', [BOX]),
    ('<path d="none"/><path d="M1 1"/><path d="M40 60H210V200H40Z"/><text>&nbsp;</text>', [BOX]),
    ('<path d="M40 60H210V200H40V60L"/>', [BOX]), ('<path inkscape:label="a" d="M40 60H210V200H40Z"/>', [BOX]),
    ('<g display="none"><path d="M0 0L99 99"/></g><path visibility="hidden" d="M0 0L99 99"/><path d="M40 '
     '60H210V200H40Z"/>', [BOX]),
    ('<rect width="256" height="256" fill="#fff" stroke="none"/><path d="M40 60H210V200H40Z"/>', [BOX])])
def test_what_a_viewer_shows_is_what_is_read(body, wanted, svg):
    assert chamfer(normalize_sketch(svg(body), box=None), drawn(*wanted)).item() < 0.3


@pytest.mark.parametrize("head", [
    "<svg viewBox='0 0 256 256' fill='none' stroke='#000' stroke-width='0.05'>",
                                  HEAD.replace("<svg", "<svg width='5mm' height='5mm'"),
    HEAD.replace("<svg", "<svg width='100%' height='100%'"), HEAD.replace('stroke="black"', 'stroke="#ff0"'),
    HEAD.replace('stroke="black"', 'color="#fffbe0" stroke="currentColor"'),
                                  HEAD.replace('stroke="black"', 'stroke="white"')])
@pytest.mark.filterwarnings("ignore:.*turned round")
def test_any_size_any_pen_and_any_colour(head, svg):
    assert chamfer(normalize_sketch(svg('<path d="M40 60H210V200H40Z"/>', head=head), box=None),
                   drawn(BOX)).item() < 0.3


@pytest.mark.parametrize("css", ["*%", "svg *%", "g.i%", ".i path,.i circle%", ".i &gt; *%",
                                 '@import url("f.css"); .i%', ":root%",
                                 ".i{FILL:none;STROKE:#000}", "@media screen{.i%} @media print{.i{stroke:none}}",
                                 ":root{--c: #000} .i{fill:none;stroke:var(--c)}", "/* a *//**/ .i% /*",
                                 ".filter{}.i%"])
def test_style_sheets_of_any_kind(css, svg):
    styled = svg(f'<style>{css.replace("%", "{fill:none;stroke:#000}")}</style><g class="i">{FACE}</g>',
                 head="<svg viewBox='0 0 256 256'>")
    assert torch.equal(normalize_sketch(styled, box=None), normalize_sketch(svg(FACE), box=None))


def test_lines_behind_white_shapes_are_hidden(svg):
    sketch = normalize_sketch(svg('<path d="M20 128h216"/><circle cx="128" cy="128" r="70" fill="#fff"/>'),
                              box=None)[0, 0]
    assert (sketch[28:36, 18:46] > 0).all() and (sketch < 0).any()


def test_filters_change_nothing(svg):
    filters = '<filter id="f"><feTurbulence numOctaves="99999"/></filter><g filter="url(#f)" style="Filter : url(#f)">'
    assert torch.equal(normalize_sketch(svg(filters + FACE + "</g>")), normalize_sketch(svg(FACE)))


def test_a_square_page_keeps_the_place_and_others_are_fitted(svg):
    body = '<path d="M40 60H210V200H40Z"/>'
    assert chamfer(normalize_sketch(svg(body)), drawn(BOX)).item() < 0.3
    wide = normalize_sketch(svg(body, head=HEAD.replace("256 256", "1256 256")))
    middle = (wide[0, 0] < 0).nonzero().float().mean(0)
    assert abs(middle[1] - 32) < 1 and abs(middle[0] - 33.3) < 1.5


def test_filled_shapes_become_outlines(svg):
    path = svg('<path d="M50 50H200V200H50Z M90 90V160H160V90Z"/>', head='<svg viewBox="0 0 256 256">')
    with pytest.warns(UserWarning, match="outlines"):
        sketch = normalize_sketch(path)
    outlines = ([[50, 50], [200, 50], [200, 200], [50, 200], [50, 50]],
                [[90, 90], [160, 90], [160, 160], [90, 160], [90, 90]])
    assert chamfer(sketch, drawn(*outlines)).item() < 0.6


def test_white_lines_on_a_black_sheet(svg):
    path = svg('<rect width="256" height="256" fill="black" stroke="none"/>'
               '<path stroke="white" stroke-width="5" d="M50 60H200V190"/>')
    with pytest.warns(UserWarning, match="turned round"):
        assert chamfer(normalize_sketch(path), drawn([[50, 60], [200, 60], [200, 190]])).item() < 0.4


# ---- files that are wrong, or mean harm

ENTITIES = ('<!DOCTYPE svg [<!ENTITY a "ha">' + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">'
                                                         for a, b in zip("abcdefgh", "bcdefghi")) + "]>" + HEAD)
BOMB = '<path id="a0" d="M0 0L1 1"/>' + "".join(f'<g id="a{i + 1}">{"<use href=%s/>" % repr(f"#a{i}") * 10}</g>'
                                                for i in range(12)) + '<use href="#a12"/>'
MASKS = "".join(f'<mask id="m{i}"><rect width="99" height="99" mask="url(#m{i + 1})"/></mask>' for i in range(200))
PATTERN = ('<pattern id="p" width="1e6" height="1e6" patternUnits="userSpaceOnUse"><path d="M0 0L1 1"/></pattern>'
           '<rect width="99" height="99" fill="url(#p)"/>')


@pytest.mark.parametrize("content, advice", [
    (ENTITIES + '<text>&i;</text><path d="M0 0L9 9"/></svg>', "entities"),
    (ENTITIES.encode("utf-16"), "entities"),
    ('<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + HEAD + "&x;</svg>", "entities"),
    (HEAD + '<g id="a"><use href="#a"/><use href="#a"/></g></svg>', "transparent"), (HEAD + BOMB + "</svg>", "limit"),
    (HEAD + MASKS + '<rect width="99" height="99" mask="url(#m0)"/></svg>', "simplify"),
    (HEAD + PATTERN + "</svg>", "simplify"), (HEAD + f'<path d="M0 0A{"1" * 20_000}"/></svg>', "transparent"),
    (HEAD + "<style>" + "a" * 1_000_000 + "/*" * 300_000 + "</style></svg>", "nothing to draw"),
    (HEAD + "<g>" * 100_000 + "</g>" * 100_000 + "</svg>", "nests"),
    (HEAD.replace("256 256", "1e30 1e-30") + '<path d="M0 0L1 1"/></svg>', "transparent|size|dark"),
    (HEAD + '<path d="M0 0', "not an SVG"), ("I am not a drawing", "not an SVG"), ("<html></html>", "wanted <svg>"),
    (b"\x00\xff\x13", "not an SVG"), (b"", "not an SVG"), (HEAD + "<text>a cat</text></svg>", "nothing to draw"),
    (HEAD + f'<polyline points="{"1 2 3 4 " * 900_000}"/></svg>', "simplify"),
                                             ("<svg>" + " " * (9 << 20), "8,388,600|8.3886e")],
    ids=["billion laughs", "the same in utf-16", "a file", "ring", "use bomb", "masks", "pattern", "digits", "style",
         "deep", "thin",
         "cut", "text", "html", "bytes", "empty", "words", "points", "large"])
def test_every_bad_file_ends_in_a_clear_error(content, advice, svg):
    path, start = svg(content if isinstance(content, bytes) else content.encode()), time.process_time()
    with pytest.raises(SketchError, match=advice):
        normalize_sketch(path)
    assert time.process_time() - start < 2


def test_nothing_outside_is_read(svg, tmp_path):
    """An <image> of a file on disk, which resvg would show, and a renderer that could open nothing if it tried."""
    from PIL import Image
    Image.new("RGB", (256, 256), "black").save(tmp_path / "black.png")
    outside = f'<image href="{tmp_path}/black.png" width="256" height="256"/><use href="{tmp_path}/other.svg#a"/>'
    assert torch.equal(normalize_sketch(svg(outside + FACE)), normalize_sketch(svg(FACE)))
    probe = ("import runpy, sys; m = runpy.run_path(sys.argv[1]); sys.stdin = open(sys.argv[2]);"
             "sys.modules['resvg_py'] = type('R', (), {'svg_to_bytes': lambda *a, **k: open(sys.argv[2], "
             "'rb').read()});"
             "m['main']('.', 64, 2, 1 << 30)")
    done = subprocess.run([sys.executable, "-c", probe, module.__file__, svg(FACE)], capture_output=True, text=True)
    assert done.returncode and "Too many open files" in done.stderr


def test_without_resvg_the_reader_is_told_what_to_install(svg, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(SketchError, match="pip install resvg-py"):
        read_svg(svg(FACE))


def test_drawing_programs_declare_name_spaces_as_entities(svg):
    head = ('<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" '
            '"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" '
            '[<!ENTITY ns_extend "http://ns.adobe.com/Extensibility/1.0/">]>'
            + HEAD.replace("<svg ", '<svg xmlns:x="&ns_extend;" '))
    assert torch.equal(normalize_sketch(svg(FACE, head=head)), normalize_sketch(svg(FACE)))
    assert LIMITS["svg seconds"].most <= 2


def test_a_folder_of_svg(svg):
    path = svg('<path d="M50 60H200V190"/>')
    assert load_sketches(path.parent).shape == (1, 1, 64, 64)
    with pytest.raises(SketchError, match="no file"):
        load_sketches("nowhere.svg")
