"""SVG files as drawings: every shape as strokes, or, where shapes are filled, as a page with ink.

Read are paths, lines, polylines, polygons, rectangles, circles and ellipses, in groups, with transforms, `use`, a viewBox
and styles as attributes, as `style` or as a style sheet of plain selectors (SVG 1.1). Text, pictures, gradients and clips
are not drawn. A file can do nothing but draw: no entity is expanded, nothing is fetched, and its size is limited.
"""

import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from .strokes import PEN, SketchError

MOST_BYTES = 8 << 20
MOST_POINTS = 500_000
MOST_ELEMENTS = 30_000                      # visited, each time that something uses them
MOST_DEPTH = 64                             # of groups within groups, and of `use` of a `use`
SEGMENTS = 16                               # straight pieces of one curve
SIDE = 1024                                 # px of a page with filled shapes
HIDDEN = {"defs", "clipPath", "mask", "symbol", "pattern", "marker", "linearGradient", "radialGradient", "filter", "metadata",
          "title", "desc", "style", "script", "text", "image", "foreignObject"}
INHERITED = {"fill": "black", "stroke": "none", "stroke-width": "1", "fill-rule": "nonzero", "visibility": "visible",
             "color": "black", "fill-opacity": "1", "stroke-opacity": "1"}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_ARC = re.compile(r"[\s,]*({0})[\s,]*({0})[\s,]*({0})[\s,]*([01])[\s,]*([01])[\s,]*({0})[\s,]*({0})".format(_NUMBER.pattern))
_COMMAND = re.compile(r"([MmLlHhVvCcSsQqTtAaZz])([^MmLlHhVvCcSsQqTtAaZz]*)")
_TRANSFORM = re.compile(r"(matrix|translate|scale|rotate|skewX|skewY)\s*\(([^()]*)\)")
_TAKES = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "Z": 0}


class Shape(NamedTuple):
    """Polylines [[P, 2], ...] in units of the page, and how they are painted: greys in [0, 1], None for not at all."""

    lines: list
    fill: float | None
    stroke: float | None
    width: float
    even_odd: bool


def read_svg(path):
    """The drawing of an SVG file: strokes, or a PIL image of 1024 px where shapes are filled or lines are light.

    Strokes come as {"strokes": [...], "size": None, "page": (left, top, width, height) or None}, in units of the file; a
    shape that is filled and has a line of its own counts by its line. Raises SketchError for a file that is no SVG, is
    broken, has nothing to draw, or is made to do harm.
    """
    path = Path(path)
    root = _parse(path)
    try:
        page = _page_of(root)
        shapes = _Reader(root, page).shapes()
    except SketchError as error:
        raise SketchError(f"{path.name}: {error}") from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise SketchError(f"{path.name} has a shape that cannot be read ({error}); save it again as plain SVG") from error
    if not shapes:
        raise SketchError(f"{path.name} has nothing to draw: wanted paths, lines, polygons, rectangles, circles or ellipses that are "
                          "visible; turn text and pictures into paths (Inkscape: Path > Object to Path)")
    if all(shape.stroke is not None and shape.stroke < 0.75 for shape in shapes):
        strokes = [{"width": PEN, "points": line.tolist()} for shape in shapes for line in shape.lines]
        return {"strokes": strokes, "size": None, "page": page}
    return _painted(shapes, page)


def _parse(path):
    if not path.is_file():
        raise SketchError(f"there is no file {path}; give the path of an .svg")
    if path.stat().st_size > MOST_BYTES:
        raise SketchError(f"{path.name} has {path.stat().st_size >> 20} MB, {MOST_BYTES >> 20} are read at most; simplify it")
    data = path.read_bytes()

    # Entities are how XML attacks: they are declared in a document's own DOCTYPE. The bare line that drawing programs
    # write declares none, and what it points at is never fetched.
    def refuse(*_):
        raise SketchError(f"{path.name} declares entities, which a drawing does not need and which can do harm; open it in a drawing "
                          "program and save it as plain SVG")

    watcher = expat.ParserCreate()
    watcher.EntityDeclHandler = watcher.ExternalEntityRefHandler = watcher.UnparsedEntityDeclHandler = refuse
    watcher.StartDoctypeDeclHandler = lambda name, system, public, own: refuse() if own else None
    depth = 0

    def enter(*_):
        nonlocal depth
        depth += 1
        if depth > 4 * MOST_DEPTH:
            raise SketchError(f"{path.name} nests elements more than {4 * MOST_DEPTH} deep; save it again as plain SVG")

    def leave(*_):
        nonlocal depth
        depth -= 1

    watcher.StartElementHandler, watcher.EndElementHandler = enter, leave
    try:
        watcher.Parse(data, True)
        root = ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        if isinstance(error, SketchError):
            raise
        raise SketchError(f"{path.name} is not an SVG file ({error}); it may be cut off: save it again") from error
    if _tag(root) != "svg":
        raise SketchError(f"{path.name} begins with <{_tag(root)}>, wanted <svg>; save it again as SVG")
    return root


def _tag(element):
    return element.tag.rsplit("}", 1)[-1] if isinstance(element.tag, str) else ""


def _numbers(text):
    values = [float(v) for v in _NUMBER.findall(text or "")]
    if not np.isfinite(values).all():
        raise SketchError("it has numbers beyond all bounds; save it again as plain SVG")
    return values


def _page_of(root):
    """(left, top, width, height) of what the file shows, or None if it does not say."""
    box = _numbers(root.get("viewBox"))
    if len(box) != 4:
        width, height = root.get("width", ""), root.get("height", "")
        sides = _numbers(width)[:1] + _numbers(height)[:1]
        box = [0.0, 0.0, *sides] if len(sides) == 2 and "%" not in width + height else []
    return tuple(box) if len(box) == 4 and min(box[2:]) > 0 else None


# --------------------------------------------------------------------------------------------------- elements to shapes

class _Reader:
    """Walks the elements of a file with their styles and transforms."""

    def __init__(self, root, page):
        self.root, self.page = root, page or (0, 0, 100, 100)
        self.by_id = {e.get("id"): e for e in root.iter() if e.get("id")}
        self.rules = _style_sheet("".join(e.text or "" for e in root.iter() if _tag(e) == "style"))
        self.found, self.points, self.visited = [], 0, 0

    def shapes(self):
        """All visible shapes in the order in which they are painted."""
        for child in self.root:
            self._walk(child, self._style(self.root, INHERITED), np.eye(3), 0)
        return self.found

    def _style(self, element, inherited):
        own = {name: element.get(name) for name in (*INHERITED, "display", "opacity") if element.get(name)}
        for selector in (_tag(element), *("." + name for name in element.get("class", "").split()), "#" + element.get("id", "")):
            own |= self.rules.get(selector, {})
        own |= _declarations(element.get("style", ""))
        kept = {name: value for name, value in inherited.items() if name in INHERITED}
        return {**kept, "display": "inline", "opacity": "1", **{name: v for name, v in own.items() if v != "inherit"}}

    def _walk(self, element, inherited, matrix, depth, used=False):
        tag = _tag(element)
        self.visited += 1
        if depth > MOST_DEPTH or self.visited > MOST_ELEMENTS:
            raise SketchError(f"it has more than {MOST_ELEMENTS} elements, groups more than {MOST_DEPTH} deep, or groups that use each other "
                              "in a ring; save it again as plain SVG")
        if tag in HIDDEN and not (used and tag == "symbol"):
            return
        style = self._style(element, inherited)
        if style["display"] == "none" or _share(style["opacity"]) == 0:
            return
        matrix = matrix @ _matrix(element.get("transform", ""))
        if tag == "use":
            href = element.get("href") or element.get("{http://www.w3.org/1999/xlink}href") or ""
            target = self.by_id.get(href.removeprefix("#"))
            if target is not None:
                x, y = (self._length(element, name, axis) for axis, name in enumerate("xy"))
                self._walk(target, style, matrix @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]), depth + 1, used=True)
            return
        d = self._path_data(element, tag)
        if d and style["visibility"] == "visible":
            self._add(d, style, matrix)
        for child in element:
            self._walk(child, style, matrix, depth + 1)

    def _add(self, d, style, matrix):
        lines = [line @ matrix[:2, :2].T + matrix[:2, 2] for line in path_lines(d)]
        self.points += sum(map(len, lines))
        if self.points > MOST_POINTS:
            raise SketchError(f"it has more than {MOST_POINTS} points; simplify it (Inkscape: Path > Simplify)")
        fill = _grey(style["fill"], style) if _share(style["fill-opacity"]) > 0 else None
        stroke = _grey(style["stroke"], style) if _share(style["stroke-opacity"]) > 0 else None
        width = (_numbers(style["stroke-width"]) or [1.0])[0] * math.sqrt(abs(np.linalg.det(matrix[:2, :2])))
        if stroke is not None and width == 0:
            stroke = None
        first_paper = not self.found and stroke is None and fill is not None and fill > 0.9
        if lines and (fill is not None or stroke is not None) and not first_paper:
            self.found.append(Shape(lines, fill, stroke, width, style["fill-rule"] == "evenodd"))

    def _length(self, element, name, axis, default=0.0):
        text = element.get(name)
        value = (_numbers(text) or [default])[0] if text else default
        return value * self.page[2 + axis] / 100 if text and text.strip().endswith("%") else value

    def _path_data(self, element, tag):
        """Every shape is a path: its `d`."""
        at = lambda name, axis=0, default=0.0: self._length(element, name, axis, default)
        if tag == "path":
            return element.get("d")
        if tag in ("polyline", "polygon"):
            points = element.get("points", "").strip()
            return f"M{points}{'Z' * (tag == 'polygon')}" if points else None
        if tag == "line":
            return f"M{at('x1')} {at('y1', 1)}L{at('x2')} {at('y2', 1)}"
        if tag in ("circle", "ellipse"):
            rx, ry = (at("r"),) * 2 if tag == "circle" else (at("rx"), at("ry", 1))
            x, y = at("cx"), at("cy", 1)
            arc = f"A{rx} {ry} 0 1 1 "
            return f"M{x - rx} {y}{arc}{x + rx} {y}{arc}{x - rx} {y}Z" if rx > 0 and ry > 0 else None
        if tag == "rect":
            x, y, w, h = at("x"), at("y", 1), at("width"), at("height", 1)
            rx, ry = at("rx", 0, at("ry", 1)), at("ry", 1, at("rx"))
            rx, ry = min(rx, w / 2), min(ry, h / 2)
            if w <= 0 or h <= 0:
                return None
            if rx <= 0 or ry <= 0:
                return f"M{x} {y}h{w}v{h}h{-w}Z"
            arc = f"a{rx} {ry} 0 0 1 "
            return (f"M{x + rx} {y}h{w - 2 * rx}{arc}{rx} {ry}v{h - 2 * ry}{arc}{-rx} {ry}h{2 * rx - w}{arc}{-rx} {-ry}"
                    f"v{2 * ry - h}{arc}{rx} {-ry}Z")
        return None


def _style_sheet(text):
    """selector -> declarations of a style sheet; only plain selectors (tag, .class, #id) are of use here."""
    rules = {}
    for block in re.sub(r"/\*.*?\*/", "", text, flags=re.S).split("}"):
        selectors, brace, declarations = block.partition("{")
        for selector in selectors.split(",") if brace else ():
            rules.setdefault(selector.strip(), {}).update(_declarations(declarations))
    return rules


def _declarations(text):
    pairs = (part.partition(":") for part in text.split(";"))
    return {name.strip(): value.replace("!important", "").strip() for name, _, value in pairs if value.strip()}


def _share(text):
    values = _numbers(text)
    return (values[0] / (100 if "%" in text else 1)) if values else 1.0


def _grey(paint, style):
    """Luminance in [0, 1] of a paint, None for none; what is no plain colour (a gradient) counts as mid grey."""
    paint = style["color"] if paint.lower() == "currentcolor" else paint
    if paint.lower() in ("none", "transparent"):
        return None
    try:
        red, green, blue, *alpha = ImageColor.getrgb(paint)
    except ValueError:
        return 0.4
    return None if alpha == [0] else (0.299 * red + 0.587 * green + 0.114 * blue) / 255


def _matrix(text):
    """3 x 3 of a list of transforms; what stands on the right is applied first."""
    total = np.eye(3)
    for kind, arguments in _TRANSFORM.findall(text):
        v = _numbers(arguments)
        m = np.eye(3)
        if kind == "matrix" and len(v) == 6:
            m[:2] = np.reshape(v, (3, 2)).T
        elif kind == "translate" and v:
            m[:2, 2] = v[0], v[1] if len(v) > 1 else 0
        elif kind == "scale" and v:
            m[0, 0], m[1, 1] = v[0], v[1] if len(v) > 1 else v[0]
        elif kind == "rotate" and v:
            c, s = math.cos(math.radians(v[0])), math.sin(math.radians(v[0]))
            m[:2, :2] = (c, -s), (s, c)
            if len(v) == 3:
                m[:2, 2] = v[1:] - m[:2, :2] @ v[1:]
        elif kind == "skewX" and v:
            m[0, 1] = math.tan(math.radians(v[0]))
        elif kind == "skewY" and v:
            m[1, 0] = math.tan(math.radians(v[0]))
        else:
            raise SketchError(f"transform {kind}({arguments[:40]}) has not the numbers it needs; save it again as plain SVG")
        total = total @ m
    return total


# ------------------------------------------------------------------------------------------------------ path data

def path_lines(d):
    """Polylines [[P, 2], ...] of path data (SVG 1.1, section 8.3), curves cut into straight pieces.

    Raises SketchError where the data is wrong.
    """
    if _COMMAND.sub("", d).strip(" \t\r\n,") or (d.strip() and d.strip()[0] not in "Mm"):
        raise SketchError(f"path data begins with M and has the letters M L H V C S Q T A Z only, not {d.strip()[:40]!r}")
    lines, here, start, control, before = [], np.zeros(2), np.zeros(2), None, ""
    for letter, text in _COMMAND.findall(d):
        upper = letter.upper()
        for n, v in enumerate(_arguments(upper, text)):
            step = "L" if upper == "M" and n else upper                     # further pairs of a moveto are lines
            relative = letter != upper
            if step == "M":
                here = v + here * relative
                start = here
                lines.append([here[None]])
            elif step == "Z":
                if len(lines[-1]) > 1:
                    lines[-1].append(start[None])
                here = start
            else:
                if before == "Z":
                    lines.append([here[None]])                              # what follows a Z begins where that ended
                piece, control = _piece(step, v, here, relative, control, before)
                lines[-1].append(piece)
                here = piece[-1]
            before = step
    return [np.concatenate(line) for line in lines if len(line) > 1]


def _arguments(upper, text):
    """The sets of numbers that repeat one command."""
    if upper == "A":                                                        # its flags may stand without a space: a1 1 0 01.5.5
        sets = [np.array([float(g) for g in m.groups()]) for m in _ARC.finditer(text)]
        if not sets or _ARC.sub("", text).strip(" \t\r\n,") or not np.isfinite(sets).all():
            raise SketchError(f"an arc takes 7 numbers, two of them flags, not {text.strip()[:40]!r}")
        return sets
    values, takes = _numbers(text), _TAKES[upper]
    if takes == 0:
        return [np.zeros(0)]
    if not values or len(values) % takes or _NUMBER.sub("", text).strip(" \t\r\n,"):
        raise SketchError(f"{upper} takes {takes} number{'s' * (takes > 1)} each time, not {text.strip()[:40]!r}")
    return list(np.reshape(values, (-1, takes)))


def _piece(step, v, here, relative, control, before):
    """(points [P, 2] that one command adds, the control point that a smooth command after it mirrors, or None)."""
    if step == "H":
        return np.array([[v[0] + here[0] * relative, here[1]]]), None
    if step == "V":
        return np.array([[here[0], v[0] + here[1] * relative]]), None
    if step == "A":
        return _arc(here, *v[:5], v[5:] + here * relative), None
    p = v.reshape(-1, 2) + here * relative
    if step == "L":
        return p, None
    mirrored = 2 * here - control if control is not None and before in {"S": "CS", "T": "QT"}.get(step, "") else here
    if step in "ST":
        p = np.concatenate([mirrored[None], p])
    t = np.linspace(0, 1, SEGMENTS + 1)[1:, None]
    curve = np.concatenate([here[None], p])
    points = curve[None].repeat(len(t), 0)                                  # [T, degree + 1, 2]: de Casteljau
    while points.shape[1] > 1:
        points = points[:, :-1] * (1 - t[..., None]) + points[:, 1:] * t[..., None]
    return points[:, 0], p[-2]


def _arc(start, rx, ry, angle, large, sweep, end):
    """Points of an elliptical arc from its ends (SVG 1.1, F.6.5): first the centre, then the angles."""
    rx, ry = abs(rx), abs(ry)
    if rx == 0 or ry == 0 or (start == end).all():
        return end[None]
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = np.array([[c, s], [-s, c]])
    x, y = half = turn @ (start - end) / 2
    grow = math.sqrt(max(1.0, (x / rx)**2 + (y / ry)**2))                   # radii too small to reach: scaled up
    rx, ry = rx * grow, ry * grow
    inside = max(0.0, (rx * ry)**2 - (rx * y)**2 - (ry * x)**2) / ((rx * y)**2 + (ry * x)**2)
    centre = math.sqrt(inside) * (1 if large != sweep else -1) * np.array([rx * y / ry, -ry * x / rx])
    a, b = (half - centre) / (rx, ry), (-half - centre) / (rx, ry)
    first, last = math.atan2(a[1], a[0]), math.atan2(b[1], b[0])
    around = (last - first) % (2 * math.pi)
    around = around if sweep else around - 2 * math.pi
    t = first + around * np.linspace(0, 1, 2 * SEGMENTS + 1)[1:]
    return np.stack([rx * np.cos(t), ry * np.sin(t)], 1) @ turn - (turn.T @ -centre) + (start + end) / 2


# ------------------------------------------------------------------------------------------------------ filled shapes

def _painted(shapes, page):
    """The shapes, one over the other, on a white page whose longer side has SIDE px: PIL image of mode L."""
    points = np.concatenate([line for shape in shapes for line in shape.lines])
    if page is None:
        low, high = points.min(0), points.max(0)
        border = 0.05 * max((high - low).max(), 1e-9)
        page = (*(low - border), *(high - low + 2 * border))
    scale = SIDE / max(page[2:])
    width, height = (max(1, round(v * scale)) for v in page[2:])
    canvas = np.ones((height, width), np.float32)
    for shape in shapes:
        lines = [np.clip((line - page[:2]) * scale, -4 * SIDE, 5 * SIDE) for line in shape.lines]
        if shape.fill is not None:
            _fill(canvas, lines, shape.fill, shape.even_odd)
        if shape.stroke is not None:
            ink = Image.new("L", (width, height))
            pen = ImageDraw.Draw(ink)
            for line in lines:
                pen.line([tuple(p) for p in line], fill=255, width=max(1, round(shape.width * scale)), joint="curve")
            canvas[np.asarray(ink) > 0] = shape.stroke
    return Image.fromarray((canvas * 255).round().astype(np.uint8))


def _fill(canvas, lines, grey, even_odd):
    """Fills the inside of closed `lines`: where they wind round a place, or, even-odd, round it an odd number of times."""
    winding = np.zeros(canvas.shape, np.int32)
    for line in lines:
        low, high = np.floor(line.min(0)).astype(int), np.ceil(line.max(0)).astype(int) + 1
        low, high = np.maximum(low, 0), np.minimum(high, canvas.shape[::-1])
        if len(line) < 3 or (low >= high).any():
            continue
        part = Image.new("1", tuple(high - low))
        ImageDraw.Draw(part).polygon([tuple(p) for p in line - low], fill=1)
        x, y = line.T
        area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()              # its sign is the direction of the line
        winding[low[1]:high[1], low[0]:high[0]] += np.asarray(part) * (1 if even_odd or area > 0 else -1)
    canvas[(winding % 2 == 1) if even_odd else (winding != 0)] = grey
