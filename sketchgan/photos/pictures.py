"""One picture file, whatever it is, as a square of RGB bytes; or a clear reason why not.

Photographs come turned (EXIF), grey, with a palette, transparent (shown on white), in CMYK, with 16 bits, animated (the
first frame counts), huge, cut short, or are no pictures at all. The kind is told by the content, never by the name.
Colour profiles are not applied.
"""

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..files.checks import Bytes, Limits, checked

# What is read. Not everything that Pillow could: some of its readers start other programs or take files apart in
# Python.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF")
MAX_PIXELS = 150_000_000           # beyond the largest cameras; a decompression bomb is a small file that says more
MAX_BYTES = 256 << 20              # of one file
CROPS = ("centre", "pad")
Crop = Annotated[str, Limits(choices=CROPS)]
Resolution = Annotated[int, Limits(least=1, most=8192)]
_ORIENTATION = 0x0112              # the EXIF tag; what turns each of its values upright:
_UPRIGHT = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90}
_SWAPS = {_UPRIGHT[k] for k in (5, 6, 7, 8)}                     # those that make width of height


class PictureError(ValueError):
    """Why a file is left out, in a few words."""


@contextlib.contextmanager
def opened(source) -> Iterator[Image.Image]:
    """The picture in a file or a path, not decoded yet; PictureError if it has too many pixels, Pillow's errors if it
    is none."""
    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                          # Pillow's own bomb warning: our limit follows
        with Image.open(source, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
            if math.prod(image.size) > MAX_PIXELS:
                raise PictureError(f"too large: {image.width} x {image.height} pixels, {MAX_PIXELS // 10 ** 6} "
                                   f"million are read at most")
            yield image


@checked
def read_square(data: Bytes, resolution: Resolution, crop: Crop = "centre") -> tuple[np.ndarray, tuple[int, int]]:
    """A file's bytes as RGB uint8 [resolution,resolution,3], and the size (width, height) it had.

    Args:
        crop: 'centre' takes the largest square in the middle, 'pad' takes all and fills up with white. Either is
        resized with antialiasing.
    Raises:
        PictureError: if it is no picture that can be read.
    """
    if not data:
        raise PictureError("empty file")
    try:
        with opened(io.BytesIO(data)) as image:
            size, turn = image.size, _turn(image)
            # A JPEG can be decoded at 1/2, 1/4 or 1/8; twice the resolution is left for the resampling below.
            scale = 2 * resolution / min(size)
            if scale < 1:
                image.draft(None, (math.ceil(size[0] * scale), math.ceil(size[1] * scale)))
            square = _square(_rgb(image), resolution, crop)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError("not a picture, or of a kind that is not read") from None
    except (Image.DecompressionBombError, MemoryError) as error:
        raise PictureError(f"too large: {error or 'memory ran out'}") from error
    # Pillow's decoders raise anything on damaged files; one bad photograph must not cost the rest
    except Exception as error:
        raise PictureError(f"damaged: {type(error).__name__}: {error}") from error
    # The square is turned, not the photograph: that is the same and costs nothing.
    return np.asarray(square.transpose(turn) if turn is not None else square), size[::-1] if turn in _SWAPS else size


def upright(image: Image.Image, photograph: Image.Image) -> Image.Image:
    """`image`, made of `photograph`, turned as that photograph's EXIF says: telephones store photos lying on their
    side."""
    turn = _turn(photograph)
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION))
    except Exception:                # damaged EXIF says nothing about the picture beside it
        return None


def _rgb(image: Image.Image) -> Image.Image:
    """The first frame with three channels of 8 bits; what is transparent shows white paper."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        grey = np.asarray(image).astype(np.float32) / 257
        return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise PictureError("32-bit values without a fixed range: save it with 8 or 16 bits a channel")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _square(image: Image.Image, resolution: int, crop: str) -> Image.Image:
    if crop == "pad":
        return ImageOps.pad(image, (resolution, resolution), Image.Resampling.LANCZOS, color="white")
    return ImageOps.fit(image, (resolution, resolution), Image.Resampling.LANCZOS)
