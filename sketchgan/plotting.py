"""Static figures of images and sketches: grids, before and after, rankings, curves.

Every function returns a PIL image: it shows itself as the last line of a notebook cell, and `.save(path)` writes it.
Nothing here uses pyplot, which is one global state and breaks in the threads that training and widgets run in; only
`curves` needs matplotlib at all.
"""

import io
import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .files.checks import Count, Filled, Limits, Positive, Whole, checked, shape

INK, MUTED, RULE, PAPER = "#22252b", "#6b7280", "#c4c8cf", "#ffffff"
# What can be shown: also of a training that has gone wrong, so NaN is let through.
Shown, Drawn = shape("N", (1, 3), "H", "W", kind="floats"), shape("N", 1, "H", "W", kind="floats")
COLORS = ("#d1495b", "#2a6f97", "#edae49", "#3d8361", "#8e6c8a", "#6b7280")   # told apart by colour-blind readers too


# -------------------------------------------------------------------------------------------------------------- pixels

@checked
def to_uint8(images: Shown):
    """uint8 [N, H, W, 3] of images [N, 3, H, W] or sketches [N, 1, H, W] in [-1, 1]; values beyond are clipped."""
    images = images.detach().float().cpu().expand(-1, 3, -1, -1)
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


@checked
def image_grid(images: Shown, cols: Count | None = None, scale: Count = 1, gap: Whole = 2):
    """All `images` in rows of `cols`, read like text.

    images: [N, 3, H, W] or sketches [N, 1, H, W] in [-1, 1]. cols: the default makes it about square. scale: whole
    number of screen pixels per pixel, without smoothing. gap: white screen pixels between neighbours.
    """
    pixels = to_uint8(images).repeat(scale, 1).repeat(scale, 2)                      # [NHW3]
    n, height, width, _ = pixels.shape
    cols = min(n, cols or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / cols)
    grid = np.full((rows * (height + gap) - gap, cols * (width + gap) - gap, 3), 255, np.uint8)
    for i, picture in enumerate(pixels):
        top, left = i // cols * (height + gap), i % cols * (width + gap)
        grid[top:top + height, left:left + width] = picture
    return Image.fromarray(grid)


def interleave(*sets, cols=8):
    """Several sets of N images each, [N, 3 or 1, H, W], as one batch for a grid of `cols`: the first row of every set,
    then the second of every set, so that what belongs together stands below each other."""
    sets = [images.float().cpu().expand(-1, 3, -1, -1) for images in sets]
    return torch.cat([images[start:start + cols] for start in range(0, len(sets[0]), cols) for images in sets])


@checked
def sketch_sheet(sketches: Drawn, cols: Count = 8, scale: Count = 2):
    """Sketches [S, 1, R, R] in rows of `cols`, each in a thin frame, for white paper on a white page."""
    sheet = image_grid(sketches, cols, scale)
    pen, pitch = ImageDraw.Draw(sheet), sketches.shape[-1] * scale + 2
    for i in range(len(sketches)):
        left, top = i % cols * pitch, i // cols * pitch
        pen.rectangle((left, top, left + pitch - 3, top + pitch - 3), outline=RULE)
    return sheet


@checked
def png(image: Image.Image, compress_level: Annotated[int, Limits(least=0, most=9)] = 1):
    """PNG bytes of a PIL image, for `ipywidgets.Image.value`; level 1 is quick, and the wire is mostly local."""
    file = io.BytesIO()
    image.save(file, "png", compress_level=compress_level)
    return file.getvalue()


def compact_outputs(quality=80):
    """Makes the notebook that calls this keep PIL images of many colours as JPEG: a fifth of the size on disk.

    Drawings and curves, which have few colours and sharp lines, become PNG of 24 colours. Does nothing outside IPython.
    """
    import IPython
    shell = IPython.get_ipython()
    if shell is None:
        return

    def jpeg(image):
        if image.getcolors(512) is not None:
            return None
        file = io.BytesIO()
        image.save(file, "jpeg", quality=quality, optimize=True)
        return file.getvalue()

    formatters = shell.display_formatter.formatters
    formatters["image/jpeg"].for_type(Image.Image, jpeg)
    few = lambda image: png(image.convert("RGB").quantize(24), 9) if image.getcolors(512) else None
    formatters["image/png"].for_type(Image.Image, few)


# -------------------------------------------------------------------------------------------------- figures with names

@checked
def before_after(before: Shown, after: Shown, sketches: Drawn | None = None, cols: Count = 8, scale: Count = 2):
    """Rows of samples before and after, from the same z and the same noise, picture by picture.

    before, after: [N, 3, H, W]; after[i] has the z and the noise of before[i] (else the comparison says nothing).
    sketches: [S, 1, R, R], shown above. cols, scale: see image_grid.
    """
    if before.shape != after.shape:
        raise ValueError(f"before has shape {tuple(before.shape)} and after {tuple(after.shape)}; sample both from the "
                         "same z with the same noise")
    blocks = [(name, image_grid(images, cols, scale)) for name, images in (("before", before), ("after", after))]
    if sketches is not None:
        drawn = torch.nn.functional.interpolate(sketches.float().cpu(), before.shape[2:], mode="area")
        blocks.insert(0, ("sketches", sketch_sheet(drawn, cols, scale)))
    return stack(blocks)


@checked
def stack(blocks: Annotated[list[tuple[str, Image.Image]], Filled()], margin: Count = 30, gap: Whole = 12):
    """Pictures above each other, each with its name written up its left side.

    blocks: list of (name, PIL image). margin: pixels for the names. gap: pixels between pictures.
    """
    width = margin + max(picture.width for _, picture in blocks)
    figure = Image.new("RGB", (width, sum(picture.height + gap for _, picture in blocks) - gap), PAPER)
    top = 0
    for name, picture in blocks:
        figure.paste(picture, (margin, top))
        label = Image.new("RGB", (picture.height, margin), PAPER)
        ImageDraw.Draw(label).text((picture.height / 2, margin / 2), name, INK, ImageFont.load_default(16), anchor="mm")
        figure.paste(label.rotate(90, expand=True), (0, top))
        top += picture.height + gap
    return figure


@checked
def nearest_strip(sketch: Drawn, images: Shown, distances: Sequence | Tensor | np.ndarray, scale: Count = 1):
    """A sketch [1, 1, R, R] and, to its right, images [K, 3 or 1, R, R] with their distances [K] to it in pixels."""
    if len(sketch) != 1 or len(distances) != len(images) or getattr(distances, "ndim", 1) != 1:
        raise ValueError(f"sketch has {len(sketch)} rows, and there are {len(images)} images and {len(distances)} "
                         "distances; wanted one sketch, and one of distances for each of images")
    pictures = [sketch_sheet(sketch, 1, scale), *(image_grid(image[None], 1, scale) for image in images)]
    names = ["sketch", *(f"{float(distance):.2f} px" for distance in distances)]
    pitch, head = pictures[0].width + 4, 20
    figure = Image.new("RGB", (pitch * len(pictures) - 4, head + pictures[0].height), PAPER)
    pen = ImageDraw.Draw(figure)
    for i, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        figure.paste(picture, (i * pitch, head))
        middle, color = (i * pitch + picture.width / 2, head / 2), MUTED if i else INK
        pen.text(middle, name, color, ImageFont.load_default(12), anchor="mm")
    return figure


@checked
def normalized(given: Annotated[dict[str, Image.Image], Filled()], sketches: Drawn, cols: Count = 6, side: Count = 128):
    """Drawings as they were given and, below each, the sketch [S, 1, R, R] that `normalize_sketch` made of it.

    given: name -> picture (PIL; `drawing.as_given` makes one of anything that normalize_sketch takes). side: screen
    pixels of a cell.
    """
    if len(given) != len(sketches):
        raise ValueError(f"{len(given)} given drawings and {len(sketches)} sketches: give one sketch for each")
    head, pitch = 18, (side + 6, 2 * side + 30)
    figure = Image.new("RGB", (min(cols, len(given)) * pitch[0] - 6, -(-len(given) // cols) * pitch[1] - 6), PAPER)
    pen = ImageDraw.Draw(figure)
    for i, (name, x) in enumerate(given.items()):
        left, top = i % cols * pitch[0], i // cols * pitch[1]
        before = x.copy()
        before.thumbnail((side - 2, side - 2), Image.Resampling.LANCZOS)
        after = Image.fromarray(to_uint8(sketches[i:i + 1])[0]).resize((side - 2, side - 2), Image.Resampling.NEAREST)
        pen.text((left + side / 2, top + head / 2), name, INK, ImageFont.load_default(12), anchor="mm")
        for y, picture in ((top + head, before), (top + head + side + 4, after)):
            pen.rectangle((left, y, left + side - 1, y + side - 1), outline=RULE)
            figure.paste(picture, (left + (side - picture.width) // 2, y + (side - picture.height) // 2))
    return figure


# -------------------------------------------------------------------------------------------------------------- curves

@checked
def curves(series: dict, xlabel: str = "", ylabel: str = "", smooth: Annotated[float, Limits(least=0, below=1)] = 0.0,
           size: tuple[Positive, Positive] = (7.0, 2.8), dpi: Count = 100):
    """Lines over a shared axis.

    series: name -> y values, or name -> (x, y), or name -> (x, y, low, high) with the interval low..high shaded.
    smooth: 0 for none; 0.9 averages over about the last 10 values and leaves the raw line visible behind.
    size: inches. Needs matplotlib (pip install 'sketchgan[notebooks]').
    """
    from matplotlib.figure import Figure
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    axes = figure.subplots()
    for i, (name, values) in enumerate(series.items()):
        x, y, *interval = values if isinstance(values, tuple) else (range(len(values)), values)
        x, y, color = np.asarray(x, float), np.asarray(y, float), COLORS[i % len(COLORS)]
        if interval:
            axes.fill_between(x, *(np.asarray(v, float) for v in interval), color=color, alpha=0.18, linewidth=0)
        if smooth and len(y) > 2:
            axes.plot(x, y, color=color, alpha=0.2, linewidth=0.8)
            y = _running_mean(y, smooth)
        axes.plot(x, y, color=color, linewidth=1.6, label=name)
    axes.set_xlabel(xlabel, color=MUTED, fontsize=9)
    axes.set_ylabel(ylabel, color=MUTED, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.grid(axis="y", color="#eceef1", linewidth=0.8)
    axes.set_axisbelow(True)
    if series:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")


def _running_mean(y, decay):
    """Exponential mean without the pull towards 0 at the start."""
    mean, weight, out = 0.0, 0.0, np.empty(len(y))
    for i, value in enumerate(y):
        mean, weight = decay * mean + (1 - decay) * value, decay * weight + (1 - decay)
        out[i] = mean / weight
    return out
