"""One picture file as a square of RGB bytes: every kind that people bring, and every way in which a file can be
broken."""
import io

import numpy as np
import pytest
from PIL import Image

from sketchgan.photos import pictures
from sketchgan.photos.pictures import PictureError, read_square

RED, WHITE = (220, 30, 20), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    image.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def halves(mode="RGB", left=RED, right=(10, 200, 40), size=(40, 20)) -> Image.Image:
    image = Image.new(mode, size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def colour(square, x, y):
    return tuple(square[int(y * len(square)), int(x * len(square))].tolist())


def close(a, b, by=6):
    return max(abs(x - y) for x, y in zip(a, b)) <= by


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF"])
def test_every_kind_is_read_by_its_content(kind):
    if kind not in {k.upper() for k in Image.registered_extensions().values()} or kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    square, size = read_square(encoded(halves(), kind), 16)
    assert square.shape == (16, 16, 3) and square.dtype == np.uint8 and size == (40, 20)
    assert close(colour(square, 0.1, 0.5), RED, 12) and close(colour(square, 0.9, 0.5), (10, 200, 40), 12)


def test_crops():
    wide = Image.new("RGB", (60, 20), RED)
    wide.paste((0, 0, 250), (20, 0, 40, 20))
    centre, _ = read_square(encoded(wide), 12)
    assert close(centre.reshape(-1, 3).mean(0), (0, 0, 250)), "the square in the middle"
    padded, _ = read_square(encoded(wide), 12, "pad")
    assert close(colour(padded, 0.1, 0.5), RED) and close(colour(padded, 0.5, 0.5),
                                                          (0, 0, 250)) and colour(padded, 0.5, 0.05) == WHITE


def test_resizing_is_antialiased():
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (64, 32)))
    square, _ = read_square(encoded(stripes), 8)
    assert np.abs(square[:, 1:-1].astype(int) - 128).max() < 12


@pytest.mark.parametrize("value", range(1, 9))
def test_exif_turns_the_picture_upright(value):
    scene = halves(size=(30, 30))
    scene.paste((250, 250, 0), (0, 0, 30, 10))                   # yellow above, red left, green right
    stored = {1: lambda im: im, 2: lambda im: im.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
              3: lambda im: im.rotate(180),
              4: lambda im: im.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
              5: lambda im: im.transpose(Image.Transpose.TRANSPOSE),
              6: lambda im: im.rotate(90), 7: lambda im: im.transpose(Image.Transpose.TRANSVERSE),
              8: lambda im: im.rotate(-90)}[value](scene)
    exif = Image.Exif()
    exif[0x0112] = value
    square, _ = read_square(encoded(stored, "JPEG", exif=exif, quality=95, subsampling=0), 30)
    assert np.abs(square.astype(int) - np.asarray(scene).astype(int)).mean() < 6
    tall = encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    assert read_square(tall, 8)[1] == ((20, 40) if value > 4 else (40, 20))


def test_modes():
    assert close(colour(read_square(encoded(halves("L", 60, 200)), 16)[0], 0.1, 0.5), (60, 60, 60), 1)
    assert colour(read_square(encoded(halves("1", 0, 1)), 16)[0], 0.9, 0.5) == WHITE
    assert close(colour(read_square(encoded(halves().quantize(8)), 16)[0], 0.1, 0.5), RED)
    assert close(colour(read_square(encoded(halves().convert("CMYK"), "JPEG", quality=95), 16)[0], 0.1, 0.5), RED, 10)
    deep = Image.fromarray(np.full((20, 20), 128 * 257, np.uint16))
    for data in (encoded(deep), encoded(deep, "TIFF")):
        assert colour(read_square(data, 16)[0], 0.5, 0.5) == (128, 128, 128), "16 bits are scaled, not clipped"
    for mode, dtype in (("I", np.int32), ("F", np.float32)):
        with pytest.raises(PictureError, match="32-bit values without a fixed range"):
            read_square(encoded(Image.fromarray(np.ones((8, 8), dtype)), "TIFF"), 16)


def test_what_is_transparent_shows_white():
    clear = (*RED, 0)
    assert colour(read_square(encoded(halves("RGBA", clear, (*RED, 255))), 16)[0], 0.1, 0.5) == WHITE
    assert close(colour(read_square(encoded(halves("RGBA", (0, 0, 0, 128), clear)), 16)[0], 0.1, 0.5), (127, 127, 127),
                 2)
    assert colour(read_square(encoded(halves("LA", (0, 0), (0, 255))), 16)[0], 0.1, 0.5) == WHITE
    palette = halves().quantize(4)
    hidden = palette.getpixel((0, 0))
    square, _ = read_square(encoded(palette, transparency=hidden), 16)
    assert colour(square, 0.1, 0.5) == WHITE and close(colour(square, 0.9, 0.5), (10, 200, 40))
    assert colour(read_square(encoded(halves(), transparency=RED), 16)[0], 0.1, 0.5) == WHITE


def test_of_an_animation_the_first_frame_counts():
    first, second = Image.new("RGB", (20, 20), RED), Image.new("RGB", (20, 20), (0, 0, 255))
    for kind in ("GIF", "WEBP", "PNG"):
        square, _ = read_square(encoded(first, kind, save_all=True, append_images=[second]), 16)
        assert close(colour(square, 0.5, 0.5), RED, 12), kind


def test_large_jpegs_are_decoded_small(monkeypatch):
    """At 1/8 of its size a JPEG takes a 64th of the memory; the result is nearly that of decoding all of it."""
    image = Image.effect_mandelbrot((1600, 1200), (-2, -1.5, 1, 1.5), 40).convert("RGB")
    asked = []
    from PIL import JpegImagePlugin
    real = JpegImagePlugin.JpegImageFile.draft
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft",
                        lambda self, mode, size: asked.append(real(self, mode, size)) or asked[-1])
    drafted, size = read_square(encoded(image, "JPEG", quality=95), 32)
    assert size == (1600, 1200) and asked[0] is not None
    whole, _ = read_square(encoded(image, "PNG"), 32)
    assert np.abs(drafted.astype(int) - whole.astype(int)).mean() < 3


@pytest.mark.parametrize("data, reason", [
    (b"", "empty file"),
    (b"just some text", "not a picture"),
    (b"%PDF-1.4 nothing", "not a picture"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a picture"),
    (encoded(halves(size=(200, 200)), "PNG")[:150], "damaged: "),
    (encoded(Image.effect_noise((99, 99), 50), "JPEG")[:2000], "damaged: OSError: image file is truncated"),
    (b"\x89PNG\r\n\x1a\nbroken", "not a picture|damaged"),
])
def test_broken_files_have_a_reason(data, reason):
    with pytest.raises(PictureError, match=reason):
        read_square(data, 16)


def test_decompression_bombs_are_not_opened(monkeypatch):
    bomb = encoded(Image.new("1", (9000, 9000)))
    assert len(bomb) < 20_000
    monkeypatch.setattr(pictures, "MAX_PIXELS", 10_000_000)
    with pytest.raises(PictureError, match="too large: 9000 x 9000 pixels, 10 million are read at most"):
        read_square(bomb, 16)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(PictureError, match="too large: "):
        read_square(bomb, 16)


def test_damaged_exif_costs_nothing():
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 30
    square, _ = read_square(encoded(halves(), "JPEG", exif=exif), 16)
    assert close(colour(square, 0.1, 0.5), RED, 12)
