"""Static figures of images and sketches: grids, before and after, rankings, curves.

Grids of pixels are PIL images; figures with text are `Plot`s. Both show themselves as the last line of a notebook cell.
Nothing here uses pyplot, which is one global state and breaks in the threads that training and widgets run in.
"""

import io
import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

DPI = 100
INK, MUTED, PAPER = "#22252b", "#6b7280", (255, 255, 255)
COLORS = ("#d1495b", "#2a6f97", "#edae49", "#3d8361", "#8e6c8a", "#6b7280")   # told apart by colour-blind readers too


class Plot(Figure):
    """A matplotlib figure that shows itself in a notebook without pyplot."""

    def _repr_png_(self):
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()

    def save(self, path):
        """Writes the figure to `path` (PNG, SVG, PDF by its suffix)."""
        self.savefig(path)


# -------------------------------------------------------------------------------------------------------------- pixels

def to_uint8(images):
    """uint8 [N, H, W, 3] of images [N, 3, H, W] or sketches [N, 1, H, W] in [-1, 1]; values beyond are clipped."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"a picture was wanted of shape [N, 3, H, W] or [N, 1, H, W], not {tuple(images.shape)}; "
                         "add the batch dimension with x[None]")
    images = images.detach().float().cpu().expand(-1, 3, -1, -1)
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def image_grid(images, cols=None, scale=1, gap=2):
    """One PIL image with all `images` in rows of `cols`, read like text.

    images: [N, 3, H, W] or sketches [N, 1, H, W] in [-1, 1]. cols: default makes it about square. scale: whole number
    of screen pixels per pixel, without smoothing. gap: white pixels between neighbours.
    """
    pixels = to_uint8(images)                                                       # [NHW3]
    if scale > 1:
        pixels = pixels.repeat(scale, 1).repeat(scale, 2)
    n, height, width, _ = pixels.shape
    if n == 0:
        raise ValueError("a grid of no images cannot be drawn; give at least one")
    cols = min(n, cols or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / cols)
    grid = np.full((rows * (height + gap) - gap, cols * (width + gap) - gap, 3), PAPER, np.uint8)
    for i, picture in enumerate(pixels):
        top, left = i // cols * (height + gap), i % cols * (width + gap)
        grid[top:top + height, left:left + width] = picture
    return Image.fromarray(grid)


def sketch_sheet(sketches, cols=None, scale=2):
    """PIL image of sketches [S, 1, R, R], framed so that white paper shows on a white page."""
    pixels = torch.nn.functional.interpolate(sketches.detach().float().cpu(), scale_factor=scale)
    framed = torch.nn.functional.pad(pixels, (1, 1, 1, 1), value=0.6)
    return image_grid(framed, cols or min(len(sketches), 8), gap=4)


def png(image):
    """PNG bytes of a PIL image or Plot, for `ipywidgets.Image.value`."""
    if isinstance(image, Plot):
        return image._repr_png_()
    file = io.BytesIO()
    image.save(file, "png", compress_level=1)                                       # 1 ms: quick, and the wire is local
    return file.getvalue()


# ------------------------------------------------------------------------------------------------------------- figures

def before_after(before, after, sketches=None, labels=("before", "after"), cols=8, width=9.0):
    """Rows of samples before and after, picture by picture from the same z and the same noise.

    before, after: [N, 3, H, W], where after[i] has the z and the noise of before[i] (else the comparison says
    nothing). sketches: [S, 1, R, R], shown above. labels: names of the two blocks. Returns a Plot `width` inches wide.
    """
    if before.shape != after.shape:
        raise ValueError(f"before has shape {tuple(before.shape)} and after {tuple(after.shape)}; sample both from the "
                         "same z with the same noise")
    blocks = [(label, image_grid(images, cols)) for label, images in zip(labels, (before, after), strict=True)]
    if sketches is not None:
        # As many cells as the samples have columns, so that a drawing is as large as a sample.
        page = torch.ones(cols, 1, *before.shape[2:])
        page[:len(sketches)] = torch.nn.functional.interpolate(sketches[:cols].float().cpu(), before.shape[2:], mode="area")
        blocks.insert(0, ("sketches", image_grid(page, cols)))
    return _stack(blocks, width)


def nearest_strip(sketch, images, distances=None, width=9.0):
    """A sketch [1, 1, R, R], then images [K, 3 or 1, H, W] ranked by distance to it, each with its distance in pixels."""
    figure = Plot(figsize=(width, width / (len(images) + 1) * 1.2), dpi=DPI)
    for i, axes in enumerate(np.atleast_1d(figure.subplots(1, len(images) + 1))):
        picture = sketch if i == 0 else images[i - 1:i]
        axes.imshow(to_uint8(picture)[0], interpolation="nearest")
        axes.set_xticks([]), axes.set_yticks([])
        axes.spines[:].set_color(MUTED if i else INK)
        title = "sketch" if i == 0 else "" if distances is None else f"{float(distances[i - 1]):.2f} px"
        axes.set_title(title, fontsize=8, color=INK, pad=3)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.84, wspace=0.06)
    return figure


def curves(series, xlabel="iteration", ylabel="", title="", smooth=0.0, size=(7.0, 2.8), logx=False):
    """Lines over a shared axis.

    series: name -> y values, or name -> (x, y) or (x, y, low, high), where low..high is shaded (an interval).
    smooth: 0 none; 0.9 averages over about the last 10 values, the raw line stays visible behind it.
    """
    figure = Plot(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for (name, values), color in zip(series.items(), _cycle(COLORS)):
        x, y, *interval = values if isinstance(values, tuple) else (range(len(values)), values)
        x, y = np.asarray(x, float), np.asarray(y, float)
        if interval:
            axes.fill_between(x, *(np.asarray(v, float) for v in interval), color=color, alpha=0.18, linewidth=0)
        if smooth and len(y) > 2:
            axes.plot(x, y, color=color, alpha=0.2, linewidth=0.8)
            y = _running_mean(y, smooth)
        axes.plot(x, y, color=color, linewidth=1.6, label=name)
    axes.set_xlabel(xlabel, color=MUTED)
    axes.set_ylabel(ylabel, color=MUTED)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c4c8cf")
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.grid(axis="y", color="#eceef1", linewidth=0.8)
    axes.set_axisbelow(True)
    if logx:
        axes.set_xscale("log")
    if series:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure


def _stack(blocks: Sequence[tuple[str, Image.Image]], width):
    """A Plot of pictures above each other, each with its name at the left, all drawn at one scale."""
    margin = 0.085                                                                  # share of the width for the names
    inches = (1 - margin) * width / max(grid.width for _, grid in blocks)
    gap = 0.12
    height = sum(grid.height * inches + gap for _, grid in blocks)
    figure = Plot(figsize=(width, height), dpi=DPI)
    top = height
    for name, grid in blocks:
        top -= grid.height * inches + gap / 2
        axes = figure.add_axes((margin, top / height, grid.width * inches / width, grid.height * inches / height))
        axes.imshow(grid, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        figure.text(margin - 0.012, (top + grid.height * inches / 2) / height, name, rotation=90, ha="right",
                    va="center", fontsize=10, color=INK)
        top -= gap / 2
    return figure


def _running_mean(y, decay):
    """Exponential mean without the pull towards 0 at the start."""
    mean, weight, out = 0.0, 0.0, np.empty(len(y))
    for i, value in enumerate(y):
        mean, weight = decay * mean + (1 - decay) * value, decay * weight + (1 - decay)
        out[i] = mean / weight
    return out


def _cycle(colors):
    while True:
        yield from colors
