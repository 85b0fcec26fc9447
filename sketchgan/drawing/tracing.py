"""A picture of lines as strokes along the middle of its lines: thinned, followed, simplified.

A felt pen is ten pixels wide and a clip-art cat is a solid black shape; all become strokes that any pen can draw again.

A stroke is {"width", "points": [[x, y], ...]} in a frame of FRAME units, x to the right and y down.
"""

import numpy as np
import torch
import torch.nn.functional as nnf
from PIL import Image

from .chamfer import distance_transform
from .pages import FAINTEST, UNEVEN, WORKING, threshold, unevenness
from .strokes import FRAME, SketchError

# What is a line and what a filled shape, in shares of 240 px for the drawing's longer side. Tried on the ready-made
# drawings and human ones, with pens of 2 to 12 % of the drawing and as silhouettes.
THICKEST_LINE = 28  # px: the middle of all widths is larger in a silhouette
SHORTEST_LINE = 20  # widths long: all lines together are longer in a drawing
MARGIN = 8          # px of paper round the cut-out, so that thinning sees both sides of every line


def distance_to_path(points, path):
    """[Q]: how far each of `points` [Q, 2] is from the nearest place on the polyline `path` [P, 2]."""
    a, b = (path[:-1], path[1:]) if len(path) > 1 else (path, path)
    along, offset = b - a, points[:, None] - a                                            # [P2], [QP2]
    share = (offset * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12)
    return np.linalg.norm(offset - share.clip(0, 1)[..., None] * along, axis=-1).min(1)


def simplify(points, tolerance=1.0):
    """The fewest of `points` [P, 2] whose polyline stays within `tolerance` of all of them (Douglas & Peucker 1973)."""
    points = np.asarray(points, np.float64)
    keep, spans = np.zeros(len(points), bool), [(0, len(points) - 1)]
    keep[[0, -1]] = True
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        distance = distance_to_path(points[first + 1:last], points[[first, last]])
        if distance.max() > tolerance:
            middle = first + 1 + int(distance.argmax())
            keep[middle] = True
            spans += [(first, middle), (middle, last)]
    return points[keep]


def trace(sketch, width=None, tolerance=0.8):
    """Strokes along the middle of the lines of a sketch [1, 1, R, R] (paper +1, ink -1); blank paper gives none.

    width: of all strokes; the default measures it, line by line. tolerance: how far a stroke may be from the middle of
    its line, in units of 1/256 of the frame. A filled shape becomes its skeleton: this is for drawings of lines.
    """
    grey = nnf.interpolate(sketch.detach().float().cpu(), (FRAME, FRAME), mode="bicubic", align_corners=False)
    ink = grey[:, 0] < 0                                                                  # [1HW]
    radius = distance_transform(~ink)[0].numpy()                                          # of the line, on its middle
    strokes = []
    for chain in _chains(thin(ink[0].numpy()), spur=radius):
        rows, columns = np.asarray(chain).T
        measured = float(2 * radius[rows, columns].mean() - 0.5)
        if len(chain) + measured < 4:                       # a speck: less than one pixel of 64
            continue
        points = np.stack([columns, rows], 1) + 0.5         # a pixel is drawn at its middle
        points = simplify(points, tolerance) if len(points) > 1 else points.repeat(2, 0)
        strokes.append({"width": width or round(max(measured, 2.0), 1), "points": points.round(1).tolist()})
    return tuple(strokes)


def thin(ink):
    """Lines of any width thinned to about one pixel, their middle, without breaking them (Zhang & Suen 1984).

    ink: bool [H, W]. Returns bool [H, W].
    """
    ink = np.pad(ink, 1)
    changed = True
    while changed:
        changed = False
        for step in (0, 1):
            p = _neighbours(ink)                            # [8HW], from above and then clockwise
            count = p.sum(0)
            turns = (~p & np.roll(p, -1, 0)).sum(0)         # from paper to ink, once round: 1 means nothing is broken
            above, right, below, left = p[0], p[2], p[4], p[6]
            if step == 0:
                side = ~(above & right & below) & ~(right & below & left)
            else:
                side = ~(above & right & left) & ~(above & below & left)
            gone = ink[1:-1, 1:-1] & (count >= 2) & (count <= 6) & (turns == 1) & side
            if gone.any():
                ink[1:-1, 1:-1] &= ~gone
                changed = True
    return ink[1:-1, 1:-1]


def _neighbours(ink):
    """[8, H, W]: the eight neighbours of each pixel of a padded [H+2, W+2] picture, from above and then clockwise."""
    height, width = ink.shape[0] - 2, ink.shape[1] - 2
    return np.stack([ink[1 + dy:1 + dy + height, 1 + dx:1 + dx + width] for dy, dx in
                     ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))])


def _graph(skeleton):
    """pixel -> its neighbours. A diagonal counts only where no straight way leads there: stairs are paths, not
    forks."""
    pixels = set(map(tuple, np.argwhere(skeleton).tolist()))
    graph = {}
    for y, x in pixels:
        straight = [p for p in ((y - 1, x), (y, x + 1), (y + 1, x), (y, x - 1)) if p in pixels]
        diagonal = [(y + dy, x + dx) for dy in (-1, 1) for dx in (-1, 1) if (y + dy, x + dx) in pixels
                    and (y + dy, x) not in pixels and (y, x + dx) not in pixels]
        graph[y, x] = straight + diagonal
    return graph


def _chains(skeleton, spur):
    """Lists of neighbouring pixels (row, column) that cover a skeleton, each as long and as straight on as can be.

    spur: [H, W]; a twig off a fork that is no longer than this (the line's own radius there) is a wart of thinning.
    """
    graph = _graph(skeleton)
    ends = {pixel for pixel, around in graph.items() if len(around) != 2}
    chains, walked, passed = [], set(), set()
    for start in sorted(ends) + sorted(graph.keys() - ends):    # after the ends come closed curves, which have none
        if start in passed and start not in ends:
            continue
        if not graph[start]:                                # a dot
            chains.append([start])
        for step in graph[start] if start in ends else graph[start][:1]:
            if (start, step) in walked:
                continue
            chain = [start, step]
            while chain[-1] not in ends and chain[-1] != start:
                before, here = chain[-2:]
                chain.append(next(p for p in graph[here] if p != before))
            walked.update(zip(chain, chain[1:], strict=False), zip(chain[1:], chain, strict=False))
            passed.update(chain)
            chains.append(chain)
    return _joined([c for c in chains if not _is_spur(c, graph, spur)])


def _is_spur(chain, graph, spur):
    free = [len(graph[end]) for end in (chain[0], chain[-1])]
    fork = chain[0] if free[0] > free[1] else chain[-1]
    return sorted(free)[0] == 1 and sorted(free)[1] > 2 and len(chain) <= 1.5 * spur[fork] + 1


def _joined(chains, reach=6):
    """Chains put together at forks, the straightest pair first, so that a line that crosses another stays one
    stroke."""
    chains = [list(chain) for chain in chains]
    while True:
        ends = {}
        for i, chain in enumerate(chains):
            if len(chain) > 1 and chain[0] != chain[-1]:
                for backwards in (False, True):
                    way = chain[::-1] if backwards else chain
                    towards = np.subtract(way[min(reach, len(way) - 1)], way[0])
                    ends.setdefault(way[0], []).append((i, backwards, towards))
        best = (0.5, None, None)                            # the cosine of a bend of 60 degrees
        for meeting in ends.values():
            for n, (i, i_back, u) in enumerate(meeting):
                for j, j_back, v in meeting[n + 1:]:
                    straight = 2.0 if len(meeting) == 2 else -u @ v / np.linalg.norm(u) / np.linalg.norm(v)
                    if i != j and straight > best[0]:
                        best = (straight, (i, i_back), (j, j_back))
        if best[1] is None:
            return chains
        (i, i_back), (j, j_back) = best[1:]
        first, second = chains[i] if i_back else chains[i][::-1], chains[j][::-1] if j_back else chains[j]
        chains = [c for k, c in enumerate(chains) if k not in (i, j)] + [first + second[1:]]


# ------------------------------------------------------------------------------------------- the lines of a page

class Lines:
    """The lines of a page: where the ink is, how wide the pen was, and the strokes it drew.

    grey: float [H, W], paper 1, ink 0 or paler. name: for messages. Raises SketchError for a page without ink and for
    one that is no drawing of lines or shapes.

    place [left, top, right, bottom]: the box of the ink in shares of the page's longer side, which is taken for the
    frame.
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
            raise SketchError(f"{name} is empty: nothing on it is darker than the paper by {FAINTEST:.0%}; draw with "
                              f"a darker pen")
        level = threshold(grey)
        self.name, uneven = name, unevenness(grey, level)
        if uneven > UNEVEN:
            raise SketchError(f"{name} looks like a photograph: its light and its dark parts vary by {uneven:.0%} in "
                              f"themselves; give a drawing "
                              "on plain paper, cut out of what lies round it, or let F draw the photograph: "
                              "sketch_of(image, F)")
        self.clean = uneven < 0.012 and darkest < 0.1
        ink, self.place, self.scale = _cut_out(grey, level)           # [256, 256]
        self._measure(ink)

    def good(self, pens):
        """Whether the page's own pixels are as good as lines drawn again: clean, and of a width in `pens` (low,
        high)."""
        return not self.solid and self.clean and pens[0] <= self.width <= pens[1]

    def _measure(self, ink):
        """Sets width, solid and the ink to follow: thick lines stay for thinning, of filled shapes only the rim is
        left."""
        radius = distance_transform(torch.from_numpy(~ink)[None])[0].numpy()
        skeleton = thin(ink)
        widths = radius[skeleton]
        if not widths.size:
            raise SketchError(f"{self.name} is empty: it has specks and no line; draw something first, with a black "
                              f"pen")
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
            raise SketchError(f"{self.name} is empty: it has specks and no line; draw something first, with a black "
                              f"pen")
        return found


def _cut_out(grey, level):
    """The inked part of a page on FRAME x FRAME: (bool ink, its box in shares of the page's side, units of page a
    pixel)."""
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
