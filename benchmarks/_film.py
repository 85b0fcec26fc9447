"""Films of the boards: a notebook in a real JupyterLab and a real browser, as a GIF in assets/."""
import io
import shutil
import sys
import tempfile
from pathlib import Path

from _results import ROOT
from PIL import Image

sys.path.insert(0, str(ROOT / "tests" / "browser"))

MOST_BYTES = 2_000_000
WIDTH, COLORS = 720, 96                 # of the GIF, to begin with


class Film:
    """Screenshots of a page with the seconds each is shown."""

    def __init__(self, page):
        self.page, self.frames = page, []

    def shoot(self, seconds: float):
        """One frame."""
        image = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        self.frames.append((image, seconds))

    def gif(self, width: int, colors: int) -> bytes:
        """All frames as a GIF; they share one palette, so that nothing flickers."""
        small = [image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
                 for image, _ in self.frames]
        palette = small[-1].quantize(colors)
        pages = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in small]
        file = io.BytesIO()
        pages[0].save(file, "gif", save_all=True, append_images=pages[1:], loop=0, optimize=True,
                      duration=[round(1000 * seconds) for _, seconds in self.frames])
        return file.getvalue()

    def smallest(self) -> bytes:
        """A GIF below MOST_BYTES: fewer colours, then a smaller picture."""
        for width, colors in ((WIDTH, COLORS), (WIDTH, 48), (600, 48), (480, 48), (400, 32)):
            data = self.gif(width, colors)
            if len(data) <= MOST_BYTES:
                return data
        sys.exit(f"{len(data):,} bytes at {width} px: take fewer frames (--frames)")


def record(name, notebook, play, height, prepare=lambda folder: None):
    """Films `play(page, film)` on a notebook and writes assets/`name`.

    prepare: called with JupyterLab's folder before it is opened, to put there what the notebook needs.
    """
    from conftest import JupyterLab, NotebookPage, open_browser

    from sketchgan.files.atomic import write_atomically
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if chromium is None:
        sys.exit("no Chromium on the PATH; on Debian and Ubuntu: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        lab = JupyterLab(Path(folder), fast=False)
        try:
            prepare(Path(folder))
            lab.wait()
            with open_browser(chromium, width=1000, height=height) as page:
                film = Film(page)
                play(NotebookPage(lab, page, notebook), film)
        finally:
            lab.close()
    data = film.smallest()
    write_atomically(ROOT / "assets" / name, data)
    print(f"assets/{name}: {len(film.frames)} frames, {len(data):,} bytes")
