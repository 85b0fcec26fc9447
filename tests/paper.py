"""Photographs of drawings, made to measure: paper of any colour on any table, any pen, ruled, in shadow, tilted."""
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sketchgan.drawing.strokes import read_document, sketches_folder, smooth


def cat(draw: ImageDraw.ImageDraw, scale: float, left: float, top: float, ink, width: float) -> None:
    """The first ready-made cat, its frame of 256 units at (left, top)."""
    for stroke in read_document(sketches_folder() / "standing_cat.json")["sketches"][0]["strokes"]:
        points = smooth(stroke["points"]) if stroke.get("smooth") else np.array(stroke["points"])
        points = [tuple(p) for p in (points * scale + [left, top]).tolist()]
        draw.line(points, fill=ink, width=round(width), joint="curve")


def sheet(paper=(250, 248, 240), ink=(40, 40, 50), width=7, ruled=None, squares=None, lines=(150, 180, 220), frame=None,
          size=(800, 1000)):
    """A cat on a sheet of paper that fills all of the picture."""
    page = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(page)
    for step, across in ((ruled, False), (squares, False), (squares, True)):
        for at in range(30, size[not across], step) if step else ():
            draw.line([(at, 0), (at, size[1])] if across else [(0, at), (size[0], at)], fill=lines, width=2)
    if frame is not None:
        draw.rectangle([4, 4, size[0] - 5, size[1] - 5], outline=frame, width=6)
    cat(draw, 2.6, 70, 180, ink, width)
    return page


def on_a_table(page, table=(110, 75, 50), tilt=0.0, lean=0.0, grain=0.0, margin=0.2, seed=0):
    """The sheet on a table: turned by `tilt` degrees, its far side shorter by `lean`, on wood of `grain`."""
    width, height = (round(n * (1 + 2 * margin)) for n in page.size)
    rng = np.random.default_rng(seed)
    wood = np.ones((height, width, 1)) + grain * rng.normal(0, 1, (height, 1, 1))
    ground = Image.fromarray((wood * table).clip(0, 255).astype(np.uint8))
    w, h = page.size
    far = lean * w / 2
    back = Image.Transform.QUAD, (-far * w / (w - 2 * far), 0, 0, h, w, h, w + far * w / (w - 2 * far), 0)
    mask = Image.new("L", page.size, 255).transform(page.size, *back, Image.Resampling.BILINEAR, fillcolor=0)
    page = page.transform(page.size, *back, Image.Resampling.BILINEAR)
    turned, mask = (im.rotate(tilt, Image.Resampling.BICUBIC, expand=True) for im in (page, mask))
    ground.paste(turned, ((width - turned.width) // 2, (height - turned.height) // 2), mask)
    return ground


def photographed(picture, shadow=0.0, light=0.0, noise=3.0, blur=0.7, seed=0):
    """The camera's part: a lamp on one side (`light`), a soft shadow across, blur and noise."""
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur)), np.float32)
    height, width = pixels.shape[:2]
    y, x = np.mgrid[0:1:height * 1j, 0:1:width * 1j]
    lit = 1 - light * x
    lit = lit * (1 - shadow / (1 + np.exp(-(x + 0.6 * y - 0.8) * 25)))
    noisy = pixels * lit[..., None] + np.random.default_rng(seed).normal(0, noise, pixels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
