"""Whatever holds a drawing, opened: strokes in their frame, or a page of pixels; and what a file or a folder holds.

Nothing is judged or changed here but for size: large pictures are averaged down as they are opened.
"""

import math
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from ..files.places import sketches_folder
from ..files.readers import reading
from ..photos.pictures import opened, upright
from .placing import fit
from .strokes import (
    FRAME,
    SketchError,
    rasterize,
    read_document,
    read_quickdraw,
    sketch_names,
    stroke_sets,
    within,
)
from .svg import read_svg

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
LARGEST = 2048      # px: larger pictures are averaged down below this when they are opened


class Strokes(NamedTuple):
    """Strokes in a frame of `size` units, None for strokes in no frame, and a name for messages."""

    strokes: list
    size: float | None
    name: str


class Page(NamedTuple):
    """Pixels [H, W, C] in [0, 1], and a name for messages.

    kind: 'sketch' is ours, in [-1, 1] before; 'drawn' came from a program, with nothing on it but the drawing;
    'picture' may be anything, a photograph of a sheet of paper as well.
    """

    pixels: np.ndarray
    kind: str
    name: str


def open_drawing(x):
    """Strokes or Page of anything that `normalize_sketch` takes. Raises SketchError for what is none, or several."""
    if isinstance(x, (str, os.PathLike)):
        path = Path(x)
        items = items_of(x)
        if len(items) == 1 and isinstance(items[0], Path):
            return _page(_picture(items[0]), path.name)
        return _only(items, path.name)
    if isinstance(x, dict):
        return _only(stroke_sets(x), "the drawing")
    if isinstance(x, Image.Image):
        within("open pixels", x.width * x.height, "the image")
        with reading("the image", SketchError, "open it again, or give its path", also=()):
            x = _smaller(x)
        return _page(x, "the image")
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().numpy()
    if not isinstance(x, np.ndarray):
        raise SketchError(f"{x!r:.60} is not a drawing; give a path, a PIL image, an array, a tensor "
                          '[1, 1, R, R] or {"strokes": [...], "size": 256}')
    within("open pixels", x.size // (4 if x.dtype == np.uint8 else 1), "the array")
    if np.issubdtype(x.dtype, np.floating):
        return Page(_floats(x), "sketch", "the sketch")
    x = _integers(x)
    if x.ndim == 3:
        return _page(_smaller(Image.fromarray(x)), "the array")
    most = 1 if x.dtype == np.bool_ else np.iinfo(x.dtype).max
    return Page(x[..., None].astype(np.float32) / most, "picture", "the array")


def _only(items, name):
    if len(items) != 1:
        raise SketchError(f"{name} holds {len(items)} sketches, wanted one; use load_sketches for all of them, or "
                          f"for some: "
                          "which=[0]")
    return Strokes(items[0]["strokes"], items[0]["size"], name)


# ---------------------------------------------------------------------------------------------------- files and folders

def items_of(source, which=None):
    """What a path, or a name of `sketch_names()`, stands for: {"strokes", "size"} for each drawing, or paths of
    pictures.

    Of a folder, what is left out is named in a warning. which: for .ndjson, as for `read_quickdraw`.
    """
    path = sketches_folder() / f"{source}.json" if source in sketch_names() else Path(source)
    suffix = path.suffix.lower()
    if path.is_dir():
        return _pictures_in(path)
    if suffix == ".json":
        return stroke_sets(read_document(path))
    if suffix == ".ndjson":
        return read_quickdraw(path, which)
    if not path.is_file():
        raise SketchError(f"there is no file {path}; give the path of a drawing, or one of {', '.join(sketch_names())} "
                          "to load_sketches")
    return [path]


def _pictures_in(folder):
    found, left = [], []
    for path in sorted(folder.iterdir()):
        drawn = path.suffix.lower() in IMAGE_SUFFIXES | {".svg"} and path.is_file() and not path.name.startswith(".")
        (found if drawn else left).append(path)
    names = ", ".join(f"{path.name} ({_why(path)})" for path in left[:5]) + (", ..." if len(left) > 5 else "")
    if not found:
        raise SketchError(f"the folder {folder} has no image; wanted PNG, JPEG or SVG drawings directly inside it"
                          + (f", and it has {names}" if left else ""))
    if left:
        warnings.warn(f"{folder.name}: {len(left)} left out: {names}", stacklevel=4)
    return found


def _why(path):
    if path.is_dir():
        return "a folder: give it by itself"
    return "hidden" if path.name.startswith(".") else "no picture" if path.exists() else "leads nowhere"


def _picture(path):
    """The PIL image of a file, upright and not much larger than LARGEST."""
    if path.suffix.lower() == ".svg":
        return read_svg(path)
    if not path.is_file():
        raise SketchError(f"there is no file {path}; give the path of a drawing, or one of {', '.join(sketch_names())} "
                          "to load_sketches")
    with reading(path.name, SketchError, "it may be cut off or of another kind: save it again as PNG", also=()):
        with opened(path) as image:
            within("file pixels", image.width * image.height, path.name)
            image.draft(None, (LARGEST, LARGEST))                         # a JPEG is decoded small
            within("open pixels", image.width * image.height, path.name)
            return upright(_smaller(image), image)


def _smaller(image):
    """The image averaged down by a whole number, if it is larger than LARGEST."""
    factor = math.ceil(max(image.size) / LARGEST)
    if factor < 2:
        image.load()
        return image
    if image.mode.startswith("I;16"):
        rows, columns = (n // factor * factor for n in (image.height, image.width))
        blocks = np.asarray(image)[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor)
        return Image.fromarray(blocks.mean((1, 3), dtype=np.float32).astype(np.uint16))
    if image.mode in ("P", "PA", "1") or "transparency" in image.info:
        image = image.convert("L" if image.mode == "1" else "RGBA")
    return image.reduce(factor)


# --------------------------------------------------------------------------------------------------------------- pixels

def _integers(x):
    """[H, W] of whole numbers or booleans, or [H, W, 3|4] of bytes."""
    if x.dtype not in (np.uint8, np.uint16, np.bool_):
        raise SketchError(f"an array of {x.dtype} has no known range; give uint8 (0 ink to 255 paper) or float in "
                          f"[-1, 1]")
    if x.ndim in (3, 4) and x.shape[:-2] in ((1,), (1, 1)):                # [1, H, W], [1, 1, H, W]
        x = x.reshape(x.shape[-2:])
    if x.ndim == 3 and x.shape[-1] == 1:
        x = x[..., 0]
    if not x.size or not (x.ndim == 2 or x.ndim == 3 and x.shape[-1] in (3, 4) and x.dtype == np.uint8):
        raise SketchError(f"an array of shape {x.shape} is not one sketch; wanted [H, W] or [H, W, 3|4]; "
                          "give the drawings one at a time, or all of them to load_sketches")
    return x


def _floats(x):
    """[H, W, 1] in [0, 1] of a sketch in [-1, 1]."""
    if x.ndim > 2 and x.shape[:-2] in ((1,), (1, 1)):
        x = x.reshape(x.shape[-2:])
    if x.ndim != 2 or not x.size:
        raise SketchError(f"floats of shape {x.shape} are not one sketch; wanted [H, W], [1, H, W] or [1, 1, H, W]; "
                          "turn a photograph into a sketch with F(image) first, and give several drawings to "
                          "load_sketches")
    if not np.isfinite(x).all():
        raise SketchError(f"the sketch has {int((~np.isfinite(x)).sum())} values that are NaN or infinite; "
                          "wanted numbers in [-1, 1]; look at what computed it")
    low, high = float(x.min()), float(x.max())
    if low < -1.001 or high > 1.001 or (low >= 0 and high > low):
        raise SketchError(f"the floats of the sketch run from {low:.3g} to {high:.3g}; wanted ink -1 to paper +1; "
                          "use x * 2 - 1 for values in [0, 1], x / 127.5 - 1 for [0, 255]")
    return np.clip(x.astype(np.float32) / 2 + 0.5, 0, 1)[..., None]


def _page(image, name):
    """Page of any PIL mode; see-through pixels show the paper below, white or, for light lines, black."""
    if image.mode.startswith("I;16"):
        # convert('L') clips sixteen bits at 255, which turns every grey to white: scale by hand.
        return Page(np.asarray(image).astype(np.float32)[..., None] / 65535, "picture", name)
    if image.mode in ("I", "F"):
        raise SketchError(f"{name} has pixels of mode {image.mode}, whose range is unknown; save it with 8 or 16 bits")
    kind = "picture"
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        low, high = layer.getextrema()[3]
        if high == 0:
            raise SketchError(f"{name} is empty: all of it is transparent; draw something first, with a black pen")
        on = [Image.alpha_composite(Image.new("RGBA", layer.size, paper), layer).convert("RGB")
              for paper in ("white", "black")]
        on_white, on_black = (np.ptp(np.asarray(page.convert("L"), np.float32)) for page in on)
        image, kind = on[0] if on_white >= min(on_black, 64) else on[1], "picture" if low == 255 else "drawn"
    return Page(np.asarray(image if image.mode == "RGB" else image.convert("RGB"), np.float32) / 255, kind, name)


def as_given(x):
    """What `normalize_sketch` was given, as a PIL image in RGB, for before and after; see-through places are blue."""
    if isinstance(x, (str, os.PathLike)):
        item = items_of(x)[0]
        x = item if isinstance(item, dict) else _picture(item)
    if isinstance(x, Image.Image) or isinstance(x, np.ndarray) and x.ndim == 3 and x.shape[-1] in (3, 4):
        image = x if isinstance(x, Image.Image) else Image.fromarray(x)
        if image.mode.startswith("I;16"):
            return Image.fromarray((np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "#bcd4ea"), layer).convert("RGB")
    item = open_drawing(x)
    if isinstance(item, Strokes):
        strokes = item.strokes if item.size else fit(item.strokes, (0.03, 0.03, 0.97, 0.97))
        grey = (rasterize(strokes, FRAME, item.size or FRAME)[0, 0].numpy() + 1) / 2
    else:
        grey = item.pixels[..., 0]
    return Image.fromarray((grey * 255).astype(np.uint8)).convert("RGB")
