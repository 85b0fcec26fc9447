"""What is paper on a picture that came from elsewhere, and what is neither paper nor drawing.

A scan has grey paper, a photograph has uneven light and shadows, a sheet lies on a table, paper is ruled or squared,
and a thumb reaches in. What is left is a page with one drawing on it, whose lines tracing.py follows.
"""

import math
import warnings

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image, ImageDraw, ImageFilter

from .chamfer import distance_transform

WORKING = 768       # px: larger pages are averaged down to this before lines are looked for
# pages vary more than this if they are photographs (0.04 to 0.1 for hands); drawings, photographed too, up to 0.03
UNEVEN = 0.04
FAINTEST = 0.1      # ink must differ from its paper by this share of the paper's brightness


def even_light(page):
    """A page [H, W, C] in [0, 1] divided by the colour of its paper, which becomes 1 everywhere.

    The paper is a quadratic surface for each channel, so it may be grey, coloured or lit from one side. It is fitted to
    all of the page, then again and again to what lies close to the fit, closer each time: lines and shapes fall out.
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
    """The level of a page [H, W] that parts ink from paper best (Otsu 1979): it leaves the least variance on either
    side."""
    counts, edges = np.histogram(grey, 128, (0, 1))
    level = (edges[:-1] + edges[1:]) / 2
    below, total = counts.cumsum(), counts.sum()
    mean_below = (counts * level).cumsum() / below.clip(1)
    mean_above = ((counts * level).sum() - (counts * level).cumsum()) / (total - below).clip(1)
    between = below * (total - below) * (mean_below - mean_above)**2
    # Between two clear levels the curve is flat: the middle of its top is half-way between paper and ink.
    best = np.flatnonzero(between >= between.max() * 0.999)
    return float(edges[best[0] + 1] + edges[best[-1] + 1]) / 2


# ------------------------------------------------------------------------------- what is in the picture and no drawing

def components(right, down):
    """Labels [H, W] of the pieces that hang together; right [H, W - 1] and down [H - 1, W] say which neighbours do."""
    height, width = right.shape[0], down.shape[1]
    number = np.arange(height * width).reshape(height, width)
    a = np.concatenate([number[:, :-1][right], number[:-1][down]])
    b = np.concatenate([number[:, 1:][right], number[1:][down]])
    label = number.ravel().copy()
    # each edge hooks the larger label to the smaller; then short cuts
    while True:
        low, before = np.minimum(label[a], label[b]), label.copy()
        np.minimum.at(label, before[a], low)
        np.minimum.at(label, before[b], low)
        label = label[label]
        if (label == before).all():
            return label.reshape(height, width)


def sheet_corners(page):
    """The corners [4, 2] (x, y: left top, left bottom, right bottom, right top) of a sheet of paper that lies in a
    picture [H, W, C], in its pixels; None where all of it is paper.

    A sheet is an even region of straight sides that does not reach all four borders, with lines on it and another
    colour round it: so a drawn frame is none, and neither is a filled shape.
    """
    height, width = page.shape[:2]
    if max(height, width) < 200:
        return None
    size = tuple(max(8, round(n * 192 / max(height, width))) for n in (width, height))
    small = _eight_bits(page).resize(size, Image.Resampling.BOX)
    # sheets and tables stay, lines go
    even = np.asarray(small.filter(ImageFilter.MedianFilter(7)), np.float32) / 255
    detail = np.abs(np.asarray(small, np.float32) / 255 - even).max(2)
    # Along a slanting edge one colour goes over into the other in small steps, so what is not even joins nothing.
    sides = sliding_window_view(np.pad(even, ((1, 1), (1, 1), (0, 0)), "edge"), (3, 3), (0, 1))
    flat = (sides.max((3, 4)) - sides.min((3, 4))).max(2) < 0.05
    labels = components(flat[:, 1:] & flat[:, :-1], flat[1:] & flat[:-1])
    for label in np.bincount(labels.ravel()).argsort()[::-1][:4]:
        region = labels == label
        if region.mean() < 0.1:
            break
        if all(edge.any() for edge in (region[0], region[-1], region[:, 0], region[:, -1])):
            continue
        quad, filled = _quadrilateral(region)
        mask = Image.new("1", size)
        ImageDraw.Draw(mask).polygon([tuple(p) for p in quad.tolist()], fill=1)
        inside = np.asarray(mask)
        core = np.asarray(Image.fromarray(inside).convert("L").filter(ImageFilter.MinFilter(13))) > 0
        if not core.any() or inside.all() or min(filled, inside.sum()) < 0.88 * max(filled, inside.sum()):
            continue
        apart = np.abs(np.median(even[region], 0) - np.median(even[~inside], 0)).max()
        if apart > 0.06 and (detail[core] > 0.04).mean() > 0.002:
            return (quad + 0.5) * [width / size[0], height / size[1]]
    return None


def cut_out_sheet(page, name):
    """The sheet that lies in a picture [H, W, C], upright and alone, with a warning; a picture that is all paper as it
    is."""
    corners = sheet_corners(page)
    if corners is None:
        return page
    _say(name, "the sheet of paper was cut out of the picture")
    corners = corners.mean(0) + 0.955 * (corners - corners.mean(0))                      # its edge stays outside
    sides = np.linalg.norm(corners - np.roll(corners, -1, 0), axis=1)                    # left, bottom, right, top
    size = round((sides[1] + sides[3]) / 2), round((sides[0] + sides[2]) / 2)
    sheet = _eight_bits(page).transform(size, Image.Transform.QUAD, corners.ravel().tolist(), Image.Resampling.BILINEAR)
    return np.asarray(sheet, np.float32)[..., :page.shape[2]] / 255


def _eight_bits(page):
    return Image.fromarray((page.repeat(3 // page.shape[2], 2).clip(0, 1) * 255).astype(np.uint8))


def _quadrilateral(region):
    """(corners [4, 2] of what a region spans, left top first; its area from edge to edge of each row)."""
    rows = np.flatnonzero(region.any(1))
    left = [(int(region[y].argmax()), int(y)) for y in rows]
    right = [(int(region.shape[1] - 1 - region[y][::-1].argmax()), int(y)) for y in rows]
    hull = left + right[::-1]                              # counter-clockwise on the screen, as PIL's QUAD wants it
    cross = lambda o, a, b: (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])
    while len(hull) > 4:                                   # what bends inwards goes first, then what cuts off least
        bends = np.array([cross(hull[i - 1], p, hull[(i + 1) % len(hull)]) for i, p in enumerate(hull)])
        worst = int((-bends).argmin())
        hull.pop(worst)
    first = min(range(4), key=lambda i: sum(hull[i]))
    area = sum(b[0] - a[0] + 1 for a, b in zip(left, right, strict=True))
    return np.array(hull[first:] + hull[:first], np.float64), area


def alone(grey, name):
    """A page [H, W], paper 1, with nothing on it but the drawing, as far as that can be told; each thing left out is
    said."""
    grey = without_rules(without_shadows(grey), name)
    grey = without_edges(grey, threshold(grey), name)
    ink = _shrunk(grey, 192) < threshold(grey)
    around = ImageFilter.MaxFilter(2 * (max(ink.shape) // 24) + 1)
    wide = np.asarray(Image.fromarray(ink).convert("L").filter(around)) > 0
    pieces = np.bincount(components(wide[:, 1:] & wide[:, :-1], wide[1:] & wide[:-1])[ink])
    if ink.any() and pieces.max() < 0.7 * ink.sum():
        _say(name, f"only {pieces.max() / ink.sum():.0%} of the ink is one drawing; the rest lies apart from it")
    return grey


def _say(name, what):
    warnings.warn(f"{name}: {what}; inspect_page shows it, and cropping the picture mends it", stacklevel=6)


def _shrunk(grey, side):
    """A page [H, W] of at most about `side` px: of each block the darkest pixel, so that thin lines stay."""
    step = max(1, math.ceil(max(grey.shape) / side))
    rows, columns = (n // step for n in grey.shape)
    return grey[:rows * step, :columns * step].reshape(rows, step, columns, step).min((1, 3))


def local_paper(grey):
    """The paper of a page [H, W] as it is at each place, whatever the light: what is left when lines are taken off."""
    size = tuple(max(8, round(n * 192 / max(grey.shape))) for n in grey.shape[::-1])
    small = Image.fromarray((grey * 255).astype(np.uint8)).resize(size, Image.Resampling.BOX)
    small = small.filter(ImageFilter.MedianFilter(9))
    return np.asarray(small.resize(grey.shape[::-1], Image.Resampling.BILINEAR), np.float32).clip(1) / 255


def without_shadows(grey):
    """A page whose light is too uneven for `even_light`, divided by its local paper, if that leaves two levels as on a
    drawing."""
    if unevenness(grey, threshold(grey)) <= UNEVEN:
        return grey
    share = grey / local_paper(grey)
    # On paper nothing is much lighter than what lies round it; in a photograph every edge has a light side.
    lit = share.clip(0, 1)
    return lit if (share > 1.12).mean() < 0.003 and unevenness(lit, threshold(lit)) <= UNEVEN else grey


def without_rules(grey, name):
    """A page [H, W], paper 1, without the straight lines that run across all of it: ruled and squared paper, frames.

    Such a line is found by its sum along every slope (Hough 1962). It goes where nothing crosses it and nothing on it
    is darker than it is. Three at least in one direction are rules; fewer count at the very edge of the page only.
    """
    rules = [straight_lines(grey), straight_lines(grey.T)]
    ruled = any(len(lines) >= 3 for lines in rules)
    clean, gone = grey.copy(), 0
    for lines, page in zip(rules, (clean, clean.T), strict=True):
        edge = 0.05 * page.shape[0]
        for start, end in lines:
            if ruled or max(start, end) < edge or min(start, end) > page.shape[0] - edge:
                gone += _rub_out(page, start, end)
    if gone:
        _say(name, f"{gone} straight lines across the page are left out, as of ruled paper or a frame")
    return clean


def straight_lines(grey, side=256, share=0.75):
    """(y at the left edge, y at the right edge) of each dark line that runs nearly level across a page, in its
    pixels."""
    dark = _shrunk(grey - local_paper(grey), side) < -0.06
    (rows, columns), step = dark.shape, max(1, math.ceil(max(grey.shape) / side))
    # rows up or down across the page
    slopes = np.arange(-columns // 6, columns // 6 + 1)
    if dark.mean() > 0.7 or rows < 16 or columns < 16:
        return []
    shift = np.rint(slopes[:, None] * np.linspace(0, 1, columns)).astype(int)             # [SW]
    reach = int(np.abs(slopes).max())
    padded = np.pad(dark.astype(np.float32), ((reach, reach), (0, 0)))
    counted = np.stack([padded[np.arange(rows)[:, None] + reach + moved, np.arange(columns)].mean(1)
                        for moved in shift])
    found = []
    while counted.max() >= share and len(found) < 200:
        slope, row = np.unravel_index(counted.argmax(), counted.shape)
        found.append((row * step, (row + slopes[slope]) * step))
        # The same line, found again a little above, below or askew, is no other line.
        middle = row + slopes[slope] / 2
        same = np.abs(np.arange(rows) + slopes[:, None] / 2 - middle) <= 2
        counted[same] = 0
    return found


def _rub_out(page, start, end, reach=5):
    """Takes the rule from (0, start) to (W, end) off a page [H, W], in place; returns how many went, 1 or 0."""
    height, width = page.shape
    x = np.arange(width)
    y = np.rint(np.linspace(start, end, width)).astype(int) + np.arange(-2 * reach, 2 * reach + 1)[:, None]  # [BW]
    inside = (y >= 0) & (y < height)
    band = np.where(inside, 1 - page[y.clip(0, height - 1), x], 0)
    # of the rule, whatever crosses it
    profile = np.quantile(band, 0.8, 1)
    tone = float(np.quantile(band[profile > 0.5 * profile.max()].max(0), 0.8))
    if tone < 0.03:                                        # a rule that was rubbed out with its neighbour
        return 0
    own = np.flatnonzero(profile > 0.25 * profile.max())
    low, high = max(own[0] - 2, 1), min(own[-1] + 2, len(band) - 2)
    crossed = np.maximum(band[low - 1], band[high + 1]) > max(0.06, 0.5 * tone)
    rubbed = inside & (band <= tone + 0.12) & ~crossed
    rubbed[:low] = rubbed[high + 1:] = False
    page[y[rubbed], np.broadcast_to(x, y.shape)[rubbed]] = 1
    return 1


def without_edges(grey, level, name):
    """A page without what reaches in from its edge, a table's corner, a thumb, a scanner's shadow, unless little else
    is there."""
    ink, step = _shrunk(grey, 192) < level, max(1, math.ceil(max(grey.shape) / 192))
    rows, columns = ink.shape
    labels = components(ink[:, 1:] & ink[:, :-1], ink[1:] & ink[:-1])
    margin = max(2, round(0.04 * max(rows, columns)))
    rim = np.ones_like(ink)
    rim[margin:-margin, margin:-margin] = False
    thick = distance_transform(torch.from_numpy(~ink)[None], truncate=99)[0].numpy() > 0.05 * max(rows, columns)
    edge = np.unique(np.concatenate([(labels * ink)[i] for i in (0, -1)] + [(labels * ink)[:, i] for i in (0, -1)]))
    drop = np.zeros_like(ink)
    for label in edge[edge > 0]:
        piece = ink & (labels == label)
        if (piece & thick).any() or (piece & rim).sum() > 0.6 * piece.sum():
            drop |= piece
    rest = np.argwhere(ink & ~drop)
    if not drop.any() or len(rest) < 8 or np.ptp(rest, axis=0).max() < 0.2 * max(rows, columns):
        return grey
    _say(name, "what reaches in from the edge of the page is left out")
    drop = np.asarray(Image.fromarray(drop).convert("L").filter(ImageFilter.MaxFilter(3))) > 0
    drop = drop.repeat(step, 0).repeat(step, 1)
    drop = np.pad(drop, [(0, n - m) for n, m in zip(grey.shape, drop.shape, strict=True)], "edge")
    return np.where(drop, np.float32(1), grey)


def unevenness(grey, level):
    """How much ink and paper vary in themselves, away from where they meet: root mean square, in shares of the paper's
    brightness.

    A drawing has two levels, whatever its colours; a photograph has many.
    """
    ink = torch.from_numpy(grey < level)[None]
    reach = max(1.5, max(grey.shape) / 200)
    inside = [grey[distance_transform(part, truncate=reach + 1)[0].numpy() > reach] for part in (ink, ~ink)]
    deviations = np.concatenate([v - np.median(v) for v in inside if v.size] or [np.zeros(1)])
    return float(np.sqrt(np.mean(deviations**2)))
