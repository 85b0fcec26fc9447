"""A picture of lines as strokes along the middle of its lines: thinned, followed, simplified.

A stroke is {"width", "points": [[x, y], ...]} in a frame of FRAME units, x to the right and y down.
"""

import numpy as np
import torch.nn.functional as nnf

from .chamfer import distance_transform
from .strokes import FRAME


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
    """pixel -> its neighbours. A diagonal counts only where no straight way leads there: stairs are paths, not forks."""
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
    """Chains put together at forks, the straightest pair first, so that a line that crosses another stays one stroke."""
    chains = [list(chain) for chain in chains]
    while True:
        ends = {}
        for i, chain in enumerate(chains):
            if len(chain) > 1 and chain[0] != chain[-1]:
                for backwards in (False, True):
                    way = chain[::-1] if backwards else chain
                    ends.setdefault(way[0], []).append((i, backwards, np.subtract(way[min(reach, len(way) - 1)], way[0])))
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
