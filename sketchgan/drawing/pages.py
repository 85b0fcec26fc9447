"""What is paper and what is ink on a page that came from elsewhere, and the lines of it as strokes.

A scan has grey paper, a photograph of a drawing has uneven light, a felt pen is ten pixels wide and a clip-art cat is a
solid black shape. All become strokes along the middle of their lines (tracing.py), which any pen can draw again.
"""

import numpy as np
import torch
from PIL import Image

from .chamfer import distance_transform
from .strokes import FRAME, SketchError
from .tracing import thin, trace

WORKING = 768       # px: larger pages are averaged down to this before lines are looked for
UNEVEN = 0.04       # pages vary more than this if they are photographs (0.04 to 0.1 for hands); drawings, photographed too, up to 0.03
FAINTEST = 0.1      # ink must differ from its paper by this share of the paper's brightness
# What is a line and what a filled shape, in shares of 240 px for the drawing's longer side. Tried on the ready-made drawings
# and human ones, with pens of 2 to 12 % of the drawing and as silhouettes.
THICKEST_LINE = 28  # px: the middle of all widths is larger in a silhouette
SHORTEST_LINE = 20  # widths long: all lines together are longer in a drawing


def even_light(page):
    """A page [H, W, C] in [0, 1] divided by the colour of its paper, which becomes 1 everywhere.

    The paper is a quadratic surface for each channel, so it may be grey, coloured or lit from one side. It is fitted to all
    of the page, then again and again to what lies close to the fit, closer each time: lines and shapes fall out.
    """
    height, width, channels = page.shape
    rows, columns = (np.linspace(0, n - 1, min(n, 96)).round().astype(int) for n in (height, width))
    few = page[np.ix_(rows, columns)]                                      # enough for six numbers
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    terms = lambda y, x: (y * 0 + x * 0 + 1, x + y * 0, y + x * 0, x * x + y * 0, x * y, y * y + x * 0)
    matrix = np.stack([term.ravel() for term in terms(y[rows], x[:, columns])], 1)
    paper = np.empty(page.shape, np.float32)
    for c in range(channels):
        values, keep = few[..., c].ravel(), slice(None)
        for tolerance in (0.5, 0.3, 0.2, 0.1, 0.06, 0.06):
            weights = np.linalg.lstsq(matrix[keep], values[keep], rcond=None)[0]
            keep = np.abs(values - matrix @ weights) < tolerance
            if keep.sum() < 0.2 * len(keep):                               # no such paper: the page stays as it is
                weights = np.eye(6)[0]
                break
        paper[..., c] = sum(weight * term for weight, term in zip(weights, terms(y, x), strict=True))
    return (page / paper.clip(0.05)).clip(0, 1)


def threshold(grey):
    """The level of a page [H, W] that parts ink from paper best (Otsu 1979): it leaves the least variance on either side."""
    counts, edges = np.histogram(grey, 128, (0, 1))
    level = (edges[:-1] + edges[1:]) / 2
    below, total = counts.cumsum(), counts.sum()
    mean_below = (counts * level).cumsum() / below.clip(1)
    mean_above = ((counts * level).sum() - (counts * level).cumsum()) / (total - below).clip(1)
    between = below * (total - below) * (mean_below - mean_above)**2
    # Between two clear levels the curve is flat: the middle of its top is half-way between paper and ink.
    best = np.flatnonzero(between >= between.max() * 0.999)
    return float(edges[best[0] + 1] + edges[best[-1] + 1]) / 2


class Lines:
    """The lines of a page: where the ink is, how wide the pen was, and the strokes it drew.

    grey: float [H, W], paper 1, ink 0 or paler. name: for messages. Raises SketchError for a page without ink and for one
    that is no drawing of lines or shapes.

    place [left, top, right, bottom]: the box of the ink in shares of the page's longer side, which is taken for the frame.
    width: of the pen in 1/256 of that frame. solid: whether shapes are filled; their outlines stand for them.
    clean: whether paper is white and ink black as they are.
    """

    def __init__(self, grey, name):
        height, width = grey.shape
        side = max(height, width)
        if side > WORKING:
            size = [max(1, round(n * WORKING / side)) for n in (width, height)]
            grey = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX))
        darkest = float(np.quantile(grey, 0.002))
        if 1 - min(darkest, grey.min() + 0.1) < FAINTEST:
            raise SketchError(f"{name} is empty: nothing on it is darker than the paper by {FAINTEST:.0%}; draw with a darker pen")
        level = threshold(grey)
        self.name, uneven = name, _unevenness(grey, level)
        if uneven > UNEVEN:
            raise SketchError(f"{name} looks like a photograph: its light and its dark parts vary by {uneven:.0%} in themselves; give a drawing "
                              "on plain paper, cut out of what lies round it, or let F draw the photograph: sketch_of(image, F)")
        self.clean = uneven < 0.012 and darkest < 0.1
        ink, self.place, self.scale = _cut_out(grey, level)           # [256, 256]
        self._measure(ink)

    def good(self, pens):
        """Whether the page's own pixels are as good as lines drawn again: clean, and of a width in `pens` (low, high)."""
        return not self.solid and self.clean and pens[0] <= self.width <= pens[1]

    def _measure(self, ink):
        """Sets width, solid and the ink to follow: thick lines stay for thinning, of filled shapes only the rim is left."""
        radius = distance_transform(torch.from_numpy(~ink)[None])[0].numpy()
        skeleton = thin(ink)
        widths = radius[skeleton]
        if not widths.size:
            raise SketchError(f"{self.name} is empty: it has specks and no line; draw something first, with a black pen")
        middle, most = float(np.median(widths)), float(np.quantile(widths, 0.95))
        self.width = max(2 * middle - 1, 1) * self.scale
        self.solid, self.ink = False, ink
        uneven = most > 2.6 * middle and 2 * middle > THICKEST_LINE / 2
        if 2 * middle > THICKEST_LINE or skeleton.sum() < SHORTEST_LINE * 2 * middle or uneven:
            self.solid, self.ink = True, ink & (radius <= 2)
        elif widths.max() > 2.6 * middle + 2 and 2 * middle <= THICKEST_LINE / 2:   # thin lines and a filled patch
            limit = 1.7 * middle + 2
            core = torch.from_numpy(radius > limit)[None]
            patch = ink & (distance_transform(core)[0].numpy() <= limit)
            self.solid, self.ink = True, ink & ~(patch & (radius > 2))

    def strokes(self, width):
        """The lines as strokes of `width`, in units of the page: 256 are its longer side, and (0, 0) its corner."""
        sketch = torch.from_numpy(np.where(self.ink, -1, 1).astype(np.float32))[None, None]
        left, top = (FRAME * v for v in self.place[:2])
        found = [{"width": width, "points": [[left + self.scale * (x - MARGIN), top + self.scale * (y - MARGIN)]
                                             for x, y in stroke["points"]]} for stroke in trace(sketch, width)]
        if not found:
            raise SketchError(f"{self.name} is empty: it has specks and no line; draw something first, with a black pen")
        return found


MARGIN = 8          # px of paper round the cut-out, so that thinning sees both sides of every line


def _cut_out(grey, level):
    """The inked part of a page on FRAME x FRAME: (bool ink, its box in shares of the page's side, units of page a pixel)."""
    mask = grey < level
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side, page = max(bottom - top, right - left), max(grey.shape)
    room = FRAME - 2 * MARGIN
    shrink = side / room
    size = [max(1, round(n / shrink)) for n in (right - left, bottom - top)]
    if shrink > 1:
        # A line thinner than the new pixels must not fall apart: what covers a part of one is ink.
        part = Image.fromarray(mask[top:bottom, left:right].astype(np.float32)).resize(size, Image.Resampling.BOX)
        part = np.asarray(part) > 0.4 / shrink
    else:
        part = Image.fromarray(grey[top:bottom, left:right]).resize(size, Image.Resampling.BICUBIC)
        part = np.asarray(part) < level
    ink = np.zeros((FRAME, FRAME), bool)
    ink[MARGIN:MARGIN + size[1], MARGIN:MARGIN + size[0]] = part
    return ink, np.array([left, top, right, bottom]) / page, FRAME * shrink / page


def _unevenness(grey, level):
    """How much ink and paper vary in themselves, away from where they meet: root mean square, in shares of the paper's brightness.

    A drawing has two levels, whatever its colours; a photograph has many.
    """
    ink = torch.from_numpy(grey < level)[None]
    reach = max(1.5, max(grey.shape) / 200)
    inside = [grey[distance_transform(part, truncate=reach + 1)[0].numpy() > reach] for part in (ink, ~ink)]
    deviations = np.concatenate([v - np.median(v) for v in inside if v.size] or [np.zeros(1)])
    return float(np.sqrt(np.mean(deviations**2)))
