"""Sketches as tensors: whatever holds a drawing becomes `[1, 1, R, R]`, paper +1 and ink -1, in one pen and in its place.

That is the convention of PhotoSketch (Li et al. 2019), and the only form in which the library takes drawings. Sources
are strokes (strokes.py), SVG (svg.py), pictures and pages (pages.py), and photographs through F (`sketch_of`).
"""

import math
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from ..files.places import sketches_folder
from ..photos.pictures import opened
from .chamfer import Nearest, chamfer, distance_transform, nearest, sketch_of  # noqa: F401  (one import for all of sketches)
from .pages import WORKING, Lines, even_light
from .placing import BOX, USUAL, UsualBox, bounds, ink_bounds, usual_box  # noqa: F401
from .placing import fit as fit_strokes
from .strokes import (  # noqa: F401
    FRAME,
    PEN,
    SketchError,
    rasterize,
    read_document,
    read_quickdraw,
    sketch_names,
    smooth,
    stroke_points,
    stroke_sets,
    write_document,
)
from .svg import read_svg

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
PENS = (3.2, 7.6)                           # widths in 1/256 of the frame that are left as drawn: 0.8 to 1.9 px at 64 px


def normalize_sketch(x, resolution=64, invert="auto", pad=False, pen="auto", box="auto", fit=None):
    """Makes one sketch `[1, 1, resolution, resolution]`, paper +1 and ink -1, of whatever holds a drawing.

    x: one of
       - ours, which stay as drawn: strokes ({"strokes": [...], "size": 256}), the path of a drawing document (.json), or a
         float array or tensor [H, W], [1, H, W] or [1, 1, H, W] in [-1, 1];
       - from elsewhere, which are put right: the path of an image, of an .svg or of an .ndjson with one drawing, a PIL
         image, a uint8, uint16 or bool array or tensor [H, W], [H, W, 1|3|4] or [1, H, W] (0 = ink).
       Transparent pixels are paper, and so is whatever colour most of the page has.
    invert: 'auto' turns light lines on a dark ground round, with a warning; True does so without; False refuses them.
    pad: a page that is not square is filled up with paper, and is then a frame that the drawing may stay in.
    pen: width of the lines in 1/256 of the frame. 'auto' draws pages from elsewhere again with the pen that F was trained
       with (5, which is 1.25 px at 64 px), unless they have about that pen already. Of filled shapes the outline is
       drawn, with a warning. None leaves every line as it is.
    box: (left, top, right, bottom) in shares of the frame, into which the drawing is scaled, with its proportions.
       'auto' leaves ours in place, and also a drawing on a square page that stands there as contours of pictures do
       (USUAL); others are put where these stand on average (BOX), with a warning if the page was square. None leaves
       any drawing where it is.
    fit: the place where a GAN paints, as `usual_box(G, F)` finds it (True: where pictures in general have their subject). A
       drawing of any kind that stands elsewhere is moved and scaled there, with a warning; it takes the place of `box`.
    Raises SketchError for a drawing that is blank, all ink, too small, too thin for its pen, unreadable, a photograph, not
    finite or out of range.
    """
    usual = _usual(fit, box)
    item, name = _opened(x)
    if isinstance(item, dict):
        strokes, size = _placed(item, pen, box, usual, name)
        return rasterize(strokes, resolution, size)
    page, foreign = item                                                   # [H, W, C], paper 1, ink 0
    page = _paper_is_light(page, name, invert)
    if pad or not foreign:
        page = _square(page)
    if not foreign and pen == "auto" and box in ("auto", None):
        drawn = _pixels(page.min(2), resolution, name)
        if usual is None or usual.holds(ink_bounds(drawn)):
            return drawn
    if pen is not None:
        page = even_light(_at_most(page, max(WORKING, 4 * resolution)))
    return _redrawn(page.min(2), resolution, pen, box, usual or USUAL, name)   # a line of any colour is dark in some channel


def _usual(fit, box):
    """The UsualBox that `fit` asks for, or None."""
    if fit in (None, False):
        return None
    if box != "auto":
        raise SketchError(f"fit and box={box!r} are both given; fit finds the place, so leave box out, or give box alone")
    if fit is not True and not isinstance(fit, UsualBox):
        raise SketchError(f"fit is {fit!r}; wanted usual_box(G, F), True, or None for the place as drawn")
    return USUAL if fit is True else fit


# ------------------------------------------------------------------------------------------------------------- strokes

def _placed(item, pen, box, usual, name):
    """(strokes, size of their frame) of {"strokes", "size", maybe "page"}, with the pen and in the place that are wanted."""
    strokes, size = item["strokes"], item.get("size")
    if size is not None:                                                   # ours: as drawn, unless something is asked for
        _refuse_blank(strokes, size, name)
        if usual is not None and not usual.holds(bounds(strokes) / size):
            _say_moved(name)
            box = usual.box
        if box not in ("auto", None):
            return fit_strokes(strokes, box, FRAME, PEN if pen in ("auto", None) else pen), FRAME
        if pen not in ("auto", None):
            strokes = [{**stroke, "width": pen * size / FRAME} for stroke in strokes]
        return strokes, size
    width = PEN if pen in ("auto", None) else pen
    page = item.get("page")                                                # (left, top, width, height) of an SVG
    if page is not None and (box is None or box == "auto" and page[2] == page[3]):
        side = max(page[2:])
        offset = np.array(page[:2]) - (side - np.array(page[2:])) / 2      # in the middle of a square
        on_page = [{"width": width, "points": ((stroke_points(s) - offset) * FRAME / side).tolist()} for s in strokes]
        if box is None or (usual or USUAL).holds(bounds(on_page) / FRAME):
            _refuse_blank(on_page, FRAME, name)
            return on_page, FRAME
    if box is None:
        raise SketchError(f"{name} has strokes and no frame, so they have no place to keep; leave box out, or give one: {BOX}")
    return fit_strokes(strokes, (usual or USUAL).box if box == "auto" else box, FRAME, width), FRAME


def _say_moved(name):
    warnings.warn(f"{name}: moved and scaled to where pictures have their subject; box=None leaves it", stacklevel=4)


def _refuse_blank(strokes, size, name):
    if not strokes or rasterize(strokes, 64, size).min() >= 0:
        raise SketchError(f"{name} is empty: it has no dark line in its frame; draw something first (SketchPad)")


# --------------------------------------------------------------------------------------------------------------- pages

def _redrawn(grey, resolution, pen, box, usual, name):
    """The sketch of a page [H, W] from elsewhere: its own pixels if they are good as they are, or its lines drawn again."""
    height, width = grey.shape
    if pen is None and box is None:
        return _pixels(grey, resolution, name)
    lines = Lines(grey, name)
    square = height == width
    if box == "auto":
        keep = square and usual.holds(lines.place)
        if square and not keep:
            _say_moved(name)
        box = None if keep else usual.box
    if pen is None:
        return _pixels(grey if box is None else _moved(grey, lines.place, box), resolution, name)
    if lines.solid:
        warnings.warn(f"{name} has filled shapes: their outlines are drawn; pen=None leaves them", stacklevel=3)
    good = not lines.solid and lines.clean and PENS[0] <= lines.width <= PENS[1]
    if box is None and not square:
        raise SketchError(f"{name} is {width} x {height} px, not square; leave box out, or pass pad=True to add paper at the short sides")
    if box is None and pen == "auto" and good and height >= resolution:
        return _pixels(grey, resolution, name)
    strokes = lines.strokes(PEN if pen == "auto" else pen)
    strokes = strokes if box is None else fit_strokes(strokes, box, FRAME, strokes[0]["width"])
    return rasterize(strokes, resolution, FRAME)


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


def _pixels(grey, resolution, name):
    """A square page [H, W] averaged down."""
    height, width = grey.shape
    if height != width:
        raise SketchError(f"{name} is {width} x {height} px, not square; crop it round the subject, pass pad=True to add paper "
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
        raise SketchError(f"the lines of {name} are so thin or so pale that nothing dark is left at {resolution} px; use a black "
                          f"pen of about {math.ceil(1.25 * height / resolution)} px, or pass pen={PEN} to have it drawn again")
    return sketch.clamp(-1, 1)[None, None]


def _paper_is_light(page, name, invert):
    """The page [H, W, C] with its paper lighter than its ink, which is the rarer of the two."""
    if invert not in (True, False, "auto"):
        raise SketchError(f"invert is {invert!r}; wanted True, False or 'auto'")
    if invert is True:
        page = 1 - page
    grey = page @ np.full(page.shape[2], 1 / page.shape[2], np.float32)
    dark, low, high = float((grey < 0.5).mean()), float(grey.min()), float(grey.max())
    if high - low < 0.02:
        raise SketchError(f"{name} is all black: paper is white (+1) and ink black (-1); draw lines, not a filled frame"
                          if high < 0.5 else f"{name} is empty: all of it has one colour; draw something first (SketchPad)")
    # Grey paper in bad light may be dark, too: what counts is whether most of the page is at the dark end of what it has.
    if np.median(grey) >= (low + high) / 2 or dark < 0.5:
        return page
    if invert != "auto":
        raise SketchError(f"{name} has light lines on a dark ground ({dark:.0%} of it is dark); wanted black on white: "
                          f"pass invert={invert is False}, or leave it to invert='auto'")
    warnings.warn(f"{name} has light lines on a dark ground ({dark:.0%} dark): turned round", stacklevel=3)
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
    return np.stack([np.pad(page[..., c], edges[:2], constant_values=np.median(page[..., c])) for c in range(page.shape[2])], 2)


# ------------------------------------------------------------------------------------------------- opening what is given

def _opened(x):
    """(strokes as {"strokes", "size" or None, ...} or (page [H, W, C] in [0, 1], from elsewhere or not), name for messages)."""
    if isinstance(x, dict):
        return _only(stroke_sets(x), "the drawing"), "the drawing"
    if isinstance(x, (str, os.PathLike)):
        path = Path(x)
        items = _items_of(path, str(x))
        if isinstance(items[0], dict):
            return _only(items, path.name), path.name
        if isinstance(items[0], Image.Image):
            return (_page(items[0], path.name), True), path.name
        return (_page(_open_image(path), path.name), True), path.name
    if isinstance(x, Image.Image):
        return (_page(x, "the image"), True), "the image"
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().numpy()
    if not isinstance(x, np.ndarray):
        raise SketchError(f"a {type(x).__name__} is not a drawing; give a path, a PIL image, an array, a tensor "
                          '[1, 1, R, R] or {"strokes": [...], "size": 256}')
    if np.issubdtype(x.dtype, np.floating):
        return (_floats(x), False), "the sketch"
    return (_integers(x), True), "the array"


def _only(items, name):
    if len(items) != 1:
        raise SketchError(f"{name} holds {len(items)} sketches, wanted one; use load_sketches for all of them, or for some: which=[0]")
    return items[0]


def _integers(x):
    """[H, W, C] float32 in [0, 1] of an array of whole numbers or booleans."""
    if x.dtype not in (np.uint8, np.uint16, np.bool_):
        raise SketchError(f"an array of {x.dtype} has no known range; give uint8 (0 ink to 255 paper) or float in [-1, 1]")
    if x.ndim in (3, 4) and x.shape[:-2] in ((1,), (1, 1)):                # [1, H, W], [1, 1, H, W]
        x = x.reshape(x.shape[-2:])
    if x.ndim == 3 and x.shape[-1] in (3, 4) and x.dtype == np.uint8:
        return _page(Image.fromarray(x), "the array")
    if x.ndim == 2:
        x = x[..., None]
    if x.ndim != 3 or x.shape[-1] != 1 or not x.size:
        raise SketchError(f"an array of shape {x.shape} is not one sketch; wanted [H, W] or [H, W, 3|4]; "
                          "give the drawings one at a time, or all of them to load_sketches")
    return x.astype(np.float32) / (1 if x.dtype == np.bool_ else np.iinfo(x.dtype).max)


def _floats(x):
    """[H, W, 1] in [0, 1] of a sketch in [-1, 1]."""
    if x.ndim > 2 and x.shape[:-2] in ((1,), (1, 1)):
        x = x.reshape(x.shape[-2:])
    if x.ndim != 2 or not x.size:
        raise SketchError(f"floats of shape {x.shape} are not one sketch; wanted [H, W], [1, H, W] or [1, 1, H, W]; "
                          "turn a photograph into a sketch with F(image) first, and give several drawings to load_sketches")
    if not np.isfinite(x).all():
        raise SketchError(f"the sketch has {int((~np.isfinite(x)).sum())} values that are NaN or infinite; "
                          "wanted numbers in [-1, 1]; look at what computed it")
    low, high = float(x.min()), float(x.max())
    if low < -1.001 or high > 1.001 or (low >= 0 and high > low):
        raise SketchError(f"the floats of the sketch run from {low:.3g} to {high:.3g}; wanted ink -1 to paper +1; "
                          "use x * 2 - 1 for values in [0, 1], x / 127.5 - 1 for [0, 255]")
    return np.clip(x.astype(np.float32) / 2 + 0.5, 0, 1)[..., None]


def _open_image(path):
    if not path.is_file():
        raise SketchError(f"there is no file {path}; give the path of a drawing, or one of {', '.join(sketch_names())} "
                          "to load_sketches")
    try:
        with opened(path) as image:
            return ImageOps.exif_transpose(image)                         # telephones store photos lying on their side
    except Exception as error:                                             # Pillow raises OSError, SyntaxError, ValueError ...
        raise SketchError(f"{path.name} cannot be read as an image ({error}); it may be cut off or of another kind: "
                          "save it again as PNG") from error


def _page(image, name):
    """[H, W, C] float32 in [0, 1] of any PIL mode; see-through pixels show the paper below, white or, for light lines, black."""
    if image.mode.startswith("I;16"):
        # convert('L') clips sixteen bits at 255, which turns every grey to white: scale by hand.
        return np.asarray(image).astype(np.float32)[..., None] / 65535
    if image.mode in ("I", "F"):
        raise SketchError(f"{name} has pixels of mode {image.mode}, whose range is unknown; save it with 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        if layer.getextrema()[3][1] == 0:
            raise SketchError(f"{name} is empty: all of it is transparent; draw something first, with a black pen")
        on = [Image.alpha_composite(Image.new("RGBA", layer.size, paper), layer).convert("RGB") for paper in ("white", "black")]
        on_white, on_black = (np.ptp(np.asarray(page.convert("L"), np.float32)) for page in on)
        image = on[0] if on_white >= min(on_black, 64) else on[1]
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"), np.float32) / 255


def as_given(x):
    """What `normalize_sketch` was given, as a PIL image in RGB, for before and after; see-through places are blue."""
    if isinstance(x, (str, os.PathLike)):
        item = _items_of(Path(x), str(x))[0]
        x = item if isinstance(item, (dict, Image.Image)) else _open_image(item)
    if isinstance(x, dict):
        item = stroke_sets(x)[0]
        page = item.get("page")
        framed = item["size"] is not None or page is not None
        strokes, size = _placed(item, "auto", None if framed else (0.03, 0.03, 0.97, 0.97), None, "the drawing")
        return Image.fromarray(((rasterize(strokes, FRAME, size)[0, 0].numpy() + 1) * 127.5).astype(np.uint8)).convert("RGB")
    if not isinstance(x, Image.Image):
        page = x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
        if page.dtype != np.uint8 or page.ndim != 3 or page.shape[-1] not in (3, 4):
            page = (_floats(page) if np.issubdtype(page.dtype, np.floating) else _integers(page)) * 255
        page = page.astype(np.uint8)
        x = Image.fromarray(page[..., 0] if page.shape[-1] == 1 else page)
    if x.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(x) / 257).astype(np.uint8)).convert("RGB")
    layer = x.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "#bcd4ea"), layer).convert("RGB")


# ---------------------------------------------------------------------------------------------------- several at a time

def load_sketches(source, resolution=64, which=None, **options):
    """Loads one or several drawings as `[S, 1, resolution, resolution]`.

    source: a name of `sketch_names()`; the path of a drawing document, of a Quick, Draw! file (.ndjson), of an .svg or of
    an image; a folder of images and .svg (in order of name); or a list of anything `normalize_sketch` takes.
    which: index from 0, or several, of the drawings wanted; all without it (of .ndjson at most 1000).
    `options` go to normalize_sketch (invert, pad, pen, box).
    Raises SketchError when there is nothing to load or a drawing cannot be used (its name is in the message).
    """
    if isinstance(source, dict):
        items = stroke_sets(source)
    elif isinstance(source, (str, os.PathLike)):
        items = _items_of(Path(source), str(source), which)
        which = None if Path(source).suffix.lower() == ".ndjson" else which   # that file was read for these only
    else:
        items = list(source)
    if which is not None:
        wanted = [which] if isinstance(which, int) else list(which)
        if not all(0 <= i < len(items) for i in wanted):
            raise SketchError(f"which is {which!r}, and there are {len(items)} sketches, counted from 0")
        items = [items[i] for i in wanted]
    if not items:
        raise SketchError("there are no sketches; give at least one, for instance load_sketches('standing_cat')")
    return torch.cat([normalize_sketch(item, resolution, **options) for item in items])


def _items_of(path, name, which=None):
    """What a path stands for: strokes ({"strokes", "size"}), a picture drawn from an SVG, or paths of images."""
    if name in sketch_names():
        path = sketches_folder() / f"{name}.json"
    suffix = path.suffix.lower()
    if suffix == ".json":
        return stroke_sets(read_document(path))
    if suffix == ".ndjson":
        return read_quickdraw(path, which)
    if suffix == ".svg":
        return [read_svg(path)]
    if path.is_dir():
        items = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES | {".svg"})
        if not items:
            raise SketchError(f"the folder {path} has no image; wanted PNG, JPEG or SVG drawings directly inside it")
        return items
    return [path]
