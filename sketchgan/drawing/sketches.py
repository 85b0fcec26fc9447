"""Sketches as tensors: whatever holds a drawing becomes `[1, 1, R, R]`, paper +1 and ink -1, in one pen and in its
place.

That is the convention of PhotoSketch (Li et al. 2019), and the only form in which the library takes drawings. The way
is open (opening.py), place (placing.py), pen (strokes.py, and pages.py for pages of pixels), pixels.
"""

import math
import os
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from ..files.checks import check
from .chamfer import chamfer, distance_transform, nearest, sketch_of  # noqa: F401  (one import for all of sketches)
from .opening import IMAGE_SUFFIXES, Page, Strokes, as_given, items_of, open_drawing  # noqa: F401
from .pages import WORKING, alone, cut_out_sheet, even_light
from .placing import BOX, USUAL, UsualBox, bounds, ink_bounds
from .placing import fit as fit_strokes
from .strokes import (  # noqa: F401
    FRAME,
    PEN,
    SketchError,
    rasterize,
    read_document,
    sketch_names,
    stroke_points,
    stroke_sets,
    within,
    write_document,
)
from .tracing import Lines, trace

# widths in 1/256 of the frame that are left as drawn: 0.8 to 1.9 px at 64 px
PENS = (3.2, 7.6)


class _Wish(NamedTuple):
    """What `normalize_sketch` was asked for; `usual` is the UsualBox that `fit` stands for, or None."""

    invert: Any
    pad: bool
    pen: Any
    box: Any
    usual: UsualBox | None


def normalize_sketch(x, resolution=64, invert="auto", pad=False, pen="auto", box="auto", fit=None):
    """Makes one sketch `[1, 1, resolution, resolution]`, paper +1 and ink -1, of whatever holds a drawing.

    x: one of
       - ours, which stay as drawn: strokes ({"strokes": [...], "size": 256}), the path of a drawing document (.json),
         or a
         float array or tensor [H, W], [1, H, W] or [1, 1, H, W] in [-1, 1];
       - from elsewhere, which are put right: the path of an image, of an .svg or of an .ndjson with one drawing, a PIL
         image, a uint8, uint16 or bool array or tensor [H, W], [H, W, 1|3|4] or [1, H, W] (0 = ink).
       Transparent pixels are paper, and so is whatever colour most of the page has.
    invert: 'auto' turns light lines on a dark ground round, with a warning; True does so without; False refuses them.
    pad: a page that is not square is filled up with paper, and is then a frame that the drawing may stay in.
    pen: width of the lines in 1/256 of the frame. 'auto' draws pages from elsewhere again with the pen that F was
       trained
       with (5, which is 1.25 px at 64 px), unless they have about that pen already. Of filled shapes the outline is
       drawn, with a warning. None leaves every line as it is.
    box: (left, top, right, bottom) in shares of the frame, into which the drawing is scaled, with its proportions.
       'auto' leaves ours in place, and also a drawing on a square page that stands there as contours of pictures do
       (USUAL); others are put where these stand on average (BOX), with a warning if the page was square. None leaves
       any drawing where it is.
    fit: the place where a GAN paints, as `usual_box(G, F)` finds it (True: where pictures in general have their
       subject). A
       drawing of any kind that stands elsewhere is moved and scaled there, with a warning; it takes the place of `box`.
    Raises SketchError for a drawing that is blank, all ink, too small, too thin for its pen, unreadable, a photograph,
    not finite or out of range.
    """
    drawn = _in_its_place(open_drawing(x), _wish(invert, pad, pen, box, fit), _checked(resolution))
    if isinstance(drawn, Page):
        return _pixels(drawn, resolution)
    return rasterize(drawn.strokes, resolution, drawn.size)


def load_sketches(source, resolution=64, which=None, **options):
    """Loads one or several drawings as `[S, 1, resolution, resolution]`.

    source: a name of `sketch_names()`; the path of a drawing document, of a Quick, Draw! file (.ndjson), of an .svg or
    of an image; a folder of images and .svg (in order of name); or a list of these and of anything `normalize_sketch`
    takes.
    which: index from 0, or several, of the drawings wanted; all without it (at most 1000).
    `options` go to normalize_sketch (invert, pad, pen, box, fit).
    Raises SketchError when there is nothing to load or a drawing cannot be used (its name is in the message).
    """
    items = _items(source, which, resolution)
    return torch.cat([normalize_sketch(item, resolution, **options) for item in items])


def inspect_page(x):
    """What `normalize_sketch` sees of a picture, for the eyes: the sheet, upright, in grey, and in red what it leaves
    out."""
    page = open_drawing(x)
    if not isinstance(page, Page):
        return as_given(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = cut_out_sheet(page.pixels, page.name) if page.kind == "picture" else page.pixels
        grey = even_light(_at_most(_paper_is_light(pixels, page.name, "auto"), WORKING)).min(2)
        kept = alone(grey, page.name) if page.kind == "picture" else grey
    shown = np.stack([np.where(kept - grey > 0.05, 1, grey), grey, grey], 2)
    return Image.fromarray((shown.clip(0, 1) * 255).astype(np.uint8))


def read_strokes(source):
    """Every drawing of `source` as a tuple of strokes in units of 1/256 of the frame, to be drawn on.

    source: as for `load_sketches`. Strokes keep their place and their width; pages are read as `normalize_sketch` reads
    them, with its warnings. Raises SketchError for what is no drawing.
    """
    return [_strokes_of(item) for item in _items(source)]


def _strokes_of(x):
    item, wish = open_drawing(x), _wish("auto", True, "auto", "auto", None)
    if isinstance(item, Strokes) and item.size is not None:
        item = _framed(item, wish)                                         # refuses what is no drawing
        scale = FRAME / item.size
        return tuple({"width": float(stroke["width"]) * scale, "points": (stroke_points(stroke) * scale).tolist()}
                     for stroke in item.strokes)
    drawn = _in_its_place(item, wish, FRAME // 4)
    if isinstance(drawn, Strokes):
        return tuple(drawn.strokes)
    return trace(_pixels(drawn, min(FRAME, drawn.pixels.shape[0])))


def _items(source, which=None, resolution=64):
    """What `source` holds, each to be opened by itself."""
    if isinstance(source, dict):
        items = stroke_sets(source)
    elif isinstance(source, (str, os.PathLike)):
        items = items_of(source, which)
        which = None if str(source).lower().endswith(".ndjson") else which   # that file was read for these only
    else:
        try:
            within("sketches", len(source), "the list")
            items = [item for given in source
                     for item in (items_of(given) if isinstance(given, (str, os.PathLike)) else [given])]
        except TypeError as error:
            raise SketchError(f"{source!r:.60} holds no sketches; give a path, a name, a list of drawings or a tensor "
                              "[S, 1, R, R]") from error
    if which is not None:
        wanted = [which] if isinstance(which, int) else list(which)
        if not all(isinstance(i, int) and 0 <= i < len(items) for i in wanted):
            raise SketchError(f"which is {which!r}, and there are {len(items)} sketches, counted from 0")
        items = [items[i] for i in wanted]
    if not items:
        raise SketchError("there are no sketches; give at least one, for instance load_sketches('standing_cat')")
    within("sketches", len(items), "the source")
    within("pixels", len(items) * _checked(resolution)**2, "the source")
    return items


# --------------------------------------------------------------------------------------------------------------- wishes

def _checked(resolution):
    if isinstance(resolution, bool) or not isinstance(resolution, (int, np.integer)) or resolution < 1:
        raise SketchError(f"resolution is {resolution!r}; wanted a whole number of pixels, the base's: 64, 128, 256 "
                          f"...")
    within("resolution", resolution, "the sketch")
    return int(resolution)


def _wish(invert, pad, pen, box, fit):
    if isinstance(invert, str) and invert != "auto" or not isinstance(invert, (str, bool, np.bool_)):
        raise SketchError(f"invert is {invert!r}; wanted True, False or 'auto'")
    if pen not in ("auto", None) and (isinstance(pen, bool) or not isinstance(pen, (int, float))
                                      or not 0 < pen <= FRAME):
        raise SketchError(f"pen is {pen!r}; wanted a width in 1/256 of the frame, for instance {PEN:g}, 'auto' or None")
    check("pad", pad, bool)
    usual = None
    if fit not in (None, False):
        if not isinstance(box, str) or box != "auto":
            raise SketchError(f"fit and box={box!r} are both given; fit finds the place, so leave box out, or give "
                              f"box alone")
        if fit is not True and not isinstance(fit, UsualBox):
            raise SketchError(f"fit is {fit!r}; wanted usual_box(G, F), True, or None for the place as drawn")
        usual = USUAL if fit is True else fit
    return _Wish(invert, pad, pen, box, usual)


def _say_moved(name):
    warnings.warn(f"{name}: moved and scaled to where pictures have their subject; box=None leaves it", stacklevel=5)


# -------------------------------------------------------------------------------------------------------- place and pen

def _in_its_place(item, wish, resolution):
    """Strokes, in a frame and with the pen wanted, or a Page whose pixels are good as they are."""
    if isinstance(item, Page):
        return _read(item, wish, resolution)
    return _framed(item, wish) if item.size is not None else _unframed(item, wish)


def _framed(item, wish):
    """Strokes of ours: as drawn, unless something is asked for."""
    strokes, size, name = item
    if not strokes or rasterize(strokes, 64, size).min() >= 0:
        raise SketchError(f"{name} is empty: it has no dark line in its frame; draw something first (SketchPad)")
    box = None if wish.box == "auto" else wish.box
    if wish.usual is not None and not wish.usual.holds(bounds(strokes) / size):
        _say_moved(name)
        box = wish.usual.box
    if box is not None:
        return Strokes(fit_strokes(strokes, box, FRAME, PEN if wish.pen in ("auto", None) else wish.pen), FRAME, name)
    if wish.pen not in ("auto", None):
        strokes = [{**stroke, "width": wish.pen * size / FRAME} for stroke in strokes]
    return Strokes(strokes, size, name)


def _unframed(item, wish):
    """Strokes from elsewhere, which have no place of their own."""
    if wish.box is None:
        raise SketchError(f"{item.name} has strokes and no frame, so they have no place to keep; leave box out, or "
                          f"give one: {BOX}")
    box = (wish.usual or USUAL).box if wish.box == "auto" else wish.box
    return Strokes(fit_strokes(item.strokes, box, FRAME, PEN if wish.pen in ("auto", None) else wish.pen), FRAME,
                   item.name)


def _read(page, wish, resolution):
    """The drawing on a page: its own pixels if they are good as they are, or its lines as strokes."""
    ours, pen, box = page.kind == "sketch", wish.pen, wish.box
    strange = page.kind == "picture" and not (pen is None and box is None)
    if strange:
        page = page._replace(pixels=cut_out_sheet(page.pixels, page.name))
    page = page._replace(pixels=_paper_is_light(page.pixels, page.name, wish.invert))
    if wish.pad or ours:
        page = page._replace(pixels=_square(page.pixels))
    if pen is None and box is None or ours and pen == "auto" and (box is None or box == "auto"):
        where = ink_bounds(_pixels(page, 64)) if wish.usual and page.pixels.shape[0] >= 64 else None
        if where is None or wish.usual.holds(where):
            return page
    if pen is not None:
        page = page._replace(pixels=even_light(_at_most(page.pixels, max(WORKING, 4 * resolution))))
    # a line of any colour is dark in some channel
    grey = page.pixels.min(2)
    if strange and pen is not None:
        grey = alone(grey, page.name)
    lines, usual, (height, width) = Lines(grey, page.name), wish.usual or USUAL, grey.shape
    if isinstance(box, str) and box == "auto":
        keep = height == width and usual.holds(lines.place)
        if height == width and not keep:
            _say_moved(page.name)
        box = None if keep else usual.box
    if pen is None:
        return page._replace(pixels=(grey if box is None else _moved(grey, lines.place, box))[..., None])
    if lines.solid:
        warnings.warn(f"{page.name} has filled shapes: their outlines are drawn; pen=None leaves them", stacklevel=4)
    if box is None and height != width:
        raise SketchError(f"{page.name} is {width} x {height} px, not square; leave box out, or pass pad=True to add "
                          f"paper at the "
                          "short sides")
    if box is None and pen == "auto" and lines.good(PENS) and height >= resolution:
        return page._replace(pixels=grey[..., None])
    strokes = lines.strokes(PEN if pen == "auto" else pen)
    return Strokes(strokes if box is None else fit_strokes(strokes, box, FRAME, strokes[0]["width"]), FRAME, page.name)


# --------------------------------------------------------------------------------------------------------------- pixels

def _moved(grey, place, box):
    """The page with its ink, and every pixel of it, scaled and moved into a box; `place` as Lines.place."""
    left, top, right, bottom = (int(round(v * max(grey.shape))) for v in place)
    side = max(1, round(max((right - left) / (box[2] - box[0]), (bottom - top) / (box[3] - box[1]))))
    page = np.ones((side, side), np.float32)
    x = round(side * (box[0] + box[2]) / 2 - (right - left) / 2)
    y = round(side * (box[1] + box[3]) / 2 - (bottom - top) / 2)
    part = grey[top:bottom, left:right][:side - y, :side - x]
    page[y:y + part.shape[0], x:x + part.shape[1]] = part
    return page


def _pixels(page, resolution):
    """A square page averaged down: [1, 1, resolution, resolution]."""
    grey, name = page.pixels.min(2), page.name
    height, width = grey.shape
    if height != width:
        raise SketchError(f"{name} is {width} x {height} px, not square; crop it round the subject, pass pad=True to "
                          f"add paper "
                          "at the short sides, or leave pen and box to 'auto'")
    if grey.min() > 0.95:
        raise SketchError(f"{name} is empty: it has no dark line; draw something first (SketchPad), with a black pen")
    if height < resolution:
        raise SketchError(f"{name} is {height} px wide, but a sketch of {resolution} px was wanted; draw it at "
                          f"{resolution} px or more (256 is good), or ask for a lower resolution")
    image = Image.fromarray(grey)
    if height != resolution:
        image = image.resize((resolution, resolution), Image.Resampling.BOX)
    sketch = torch.from_numpy(np.array(image, np.float32)) * 2 - 1
    if sketch.min() >= 0:
        raise SketchError(f"the lines of {name} are so thin or so pale that nothing dark is left at {resolution} px; "
                          f"use a black "
                          f"pen of about {math.ceil(1.25 * height / resolution)} px, or pass pen={PEN} to have it "
                          f"drawn again")
    return sketch.clamp(-1, 1)[None, None]


def _paper_is_light(page, name, invert):
    """The page [H, W, C] with its paper lighter than its ink, which is the rarer of the two."""
    if invert is True:
        page = 1 - page
    grey = page @ np.full(page.shape[2], 1 / page.shape[2], np.float32)
    dark, low, high = float((grey < 0.5).mean()), float(grey.min()), float(grey.max())
    if high - low < 0.02:
        raise SketchError(f"{name} is all black: paper is white (+1) and ink black (-1); draw lines, not a filled frame"
                          if high < 0.5 else f"{name} is empty: all of it has one colour; draw something first "
                                             f"(SketchPad)")
    # Grey paper in bad light may be dark, too: what counts is whether most of the page is at the dark end of what it
    # has.
    if np.median(grey) >= (low + high) / 2 or dark < 0.5:
        return page
    if invert != "auto":
        raise SketchError(f"{name} has light lines on a dark ground ({dark:.0%} of it is dark); wanted black on white: "
                          f"pass invert={invert is False}, or leave it to invert='auto'")
    warnings.warn(f"{name} has light lines on a dark ground ({dark:.0%} dark): turned round", stacklevel=5)
    return 1 - page


def _at_most(page, side):
    """A page [H, W, C] averaged down until its longer side has at most `side` pixels."""
    height, width = page.shape[:2]
    if max(height, width) <= side:
        return page
    size = [max(1, round(n * side / max(height, width))) for n in (width, height)]
    return np.stack([np.asarray(Image.fromarray(np.ascontiguousarray(page[..., c])).resize(size, Image.Resampling.BOX))
                     for c in range(page.shape[2])], 2)


def _square(page):
    height, width = page.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    edges = ((top, side - height - top), (left, side - width - left), (0, 0))
    # Paper is what most of the page is, which may be grey.
    return np.stack([np.pad(page[..., c], edges[:2], constant_values=np.median(page[..., c]))
                     for c in range(page.shape[2])], 2)
