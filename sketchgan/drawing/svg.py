"""SVG files as pages: drawn by resvg as every viewer shows them, and then read like any other picture of lines.

Files from elsewhere are hostile, and a renderer can be made to read files, to loop and to crash. So it runs in a
process of its own, which may use so many seconds and bytes and open no file at all, and sees only what draws lines and
shapes: no text, no pictures, no filters. That process is this file, run as a program:

    python -I -S svg.py FOLDER_OF_RESVG SIDE SECONDS BYTES < drawing.svg > drawing.png

Its exit status is 1 with the reason on the standard error; any other one is the system's answer to a crash or a limit.
"""

import io
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

SIDE = 1024                                 # px of the page's longer side
DRAWN = {"svg", "g", "a", "switch", "defs", "symbol", "use", "path", "rect", "circle", "ellipse", "line", "polyline",
         "polygon",
         "clipPath", "mask", "linearGradient", "radialGradient", "stop", "pattern", "marker", "style"}
DEEPEST = 200
# characters of an entity; drawing programs put addresses of name spaces there
MOST_ENTITY = 500


def read_svg(path):
    """The drawing of an SVG file as a PIL image, RGBA, whose longer side has SIDE px; what is not painted is
    transparent.

    Raises SketchError for a file that is no SVG, is broken, draws nothing or too much, or is made to do harm, and, with
    what to install, where resvg is missing.
    """
    from PIL import Image  # here, because the program below needs and has none of these

    from .strokes import LIMITS, SketchError, within
    path, found = Path(path), find_spec("resvg_py")
    if not path.is_file():
        raise SketchError(f"there is no file {path}; give the path of an .svg")
    if found is None:
        raise SketchError(f"{path.name}: SVG files are drawn by resvg, which is not installed: pip install resvg-py "
                          f"(or "
                          "'sketchgan[notebooks]', which brings it), or save the drawing as PNG")
    within("svg bytes", path.stat().st_size, path.name)
    seconds, memory = (LIMITS[f"svg {what}"].most for what in ("seconds", "memory"))
    command = [sys.executable, "-I", "-S", __file__, Path(found.origin).parents[1], SIDE, seconds, memory]
    try:
        done = subprocess.run(list(map(str, command)), input=path.read_bytes(), capture_output=True, timeout=60)
        status, reason = done.returncode, done.stderr.decode("utf-8", "replace").strip()
    except subprocess.TimeoutExpired:
        status, reason = None, ""
    if status == 1 and reason:
        raise SketchError(f"{path.name} cannot be drawn: {reason.splitlines()[-1]}")
    if status != 0:
        raise SketchError(f"{path.name} takes more than {seconds} s or {memory >> 20} MB to draw, or is made to do "
                          f"harm; simplify "
                          "it (Inkscape: Path > Simplify), or save it as PNG")
    image = Image.open(io.BytesIO(done.stdout))
    most = image.getextrema()[3][1]
    if 0 < most < 255:                      # lines thinner than a pixel come out pale: the darkest of them is ink
        image.putalpha(image.getchannel("A").point(lambda v: v * 255 / most))
    return image


# ------------------------------------------------------------------------------------------------------ the program

class Plain:
    """Writes an SVG again with nothing but shapes and their styles: no text, pictures, filters, programs or links."""

    def __init__(self):
        self.out, self.open, self.sheet, self.hidden, self.prefix = [], [], [], 0, None
        self.parser = expat.ParserCreate()
        self.parser.UseForeignDTD(True)                # &nbsp; and other names of HTML are left out, not an error
        self.parser.StartElementHandler, self.parser.EndElementHandler = self.enter, self.leave
        self.parser.CharacterDataHandler, self.parser.EntityDeclHandler = self.text, self.entity
        self.parser.ExternalEntityRefHandler = lambda *_: 1            # never fetched

    def entity(self, name, parameter, value, base, system, *_):
        """Entities are how XML attacks: within each other they grow without end, and they name files."""
        if system or value is None or len(value) > MOST_ENTITY or "&" in value:
            raise ValueError("it declares entities that could do harm; open it in a drawing program and save it as "
                             "plain SVG")

    def enter(self, name, attributes):
        """Opens an element, if it draws."""
        prefix, _, tag = name.rpartition(":")
        if self.prefix is None:
            if tag != "svg":
                raise ValueError(f"it begins with <{name}>, wanted <svg>; save it again as SVG")
            self.prefix = prefix
            self.out.append('<svg xmlns="http://www.w3.org/2000/svg"')
        elif self.hidden or tag not in DRAWN or prefix != self.prefix:
            self.hidden += 1
            return
        else:
            self.out.append(f"<{tag}")
        self.open.append(tag)
        if len(self.open) > DEEPEST:
            raise ValueError(f"it nests elements more than {DEEPEST} deep; save it again as plain SVG")
        for key, value in attributes.items():
            key = key.removeprefix("xlink:")
            if ":" in key or key in ("xmlns", "filter") or key == "href" and not value.startswith("#"):
                continue
            self.out.append(f" {key}={quoteattr(plain_style(value) if key == 'style' else value)}")
        self.out.append(">")

    def leave(self, _):
        """Closes what `enter` opened."""
        if self.hidden:
            self.hidden -= 1
        else:
            self.out.append(f"{escape(plain_style(''.join(self.sheet)))}</{self.open.pop()}>")
            self.sheet.clear()

    def text(self, data):
        """Of all text only style sheets count."""
        if not self.hidden and self.open and self.open[-1] == "style":
            self.sheet.append(data)


def plain_style(text):
    """Style sheets as resvg reads them: names in lower case, no filters (which it would fetch), medium or variable."""
    text = "".join(part.partition("*/")[2] if i else part for i, part in enumerate(text.split("/*")))
    text = re.sub(r"<!--|-->", "", text).replace(":root", "svg")
    text = re.sub(r"@media\b[^{}]{0,99}\{((?:[^{}]*\{[^{}]*\})*)\s*\}", lambda m: "" if "print" in m[0] else m[1], text)
    text = re.sub(r"(?<![A-Za-z-])[A-Za-z-]++(?=\s{0,9}:)", lambda m: m[0].lower(), text)
    values = dict(re.findall(r"(--[\w-]+)\s{0,9}:\s{0,9}([^;{}]+)", text))
    text = re.sub(r"var\(\s{0,9}(--[\w-]+)\s{0,9}(?:,([^()]*))?\)", lambda m: values.get(m[1], m[2] or ""), text)
    return re.sub(r"(?<![\w.#-])filter(?=\s{0,9}:)", "unused", text)


def main(folder, side, seconds, memory):
    """Draws standard input on standard output, under the limits."""
    import resource
    sys.path.append(folder)
    import resvg_py
    data = sys.stdin.buffer.read()
    for kind, most in (("CPU", int(seconds)), ("AS", int(memory)), ("CORE", 0), ("NOFILE", 3)):
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (most, most))
        except (ValueError, OSError):       # not every system bounds memory
            pass
    plain = Plain()
    try:
        plain.parser.Parse(data, True)
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(f"it is not an SVG file ({error}); it may be cut off: save it again") from error
    text = "".join(plain.out)
    if not re.search(r"<(path|rect|circle|ellipse|line|polyline|polygon|use)\b", text):
        raise ValueError("it has nothing to draw: wanted paths, lines, polygons, rectangles, circles or ellipses; turn "
                         "text "
                         "and pictures into paths (Inkscape: Path > Object to Path)")
    sys.stdout.buffer.write(resvg_py.svg_to_bytes(text, width=int(side), height=int(side), dpi=96,
                                                  skip_system_fonts=True))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ValueError as error:
        sys.exit(str(error))
    except BaseException:                   # memory ran out, or resvg gave up
        os._exit(3)
