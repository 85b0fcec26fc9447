"""The moving picture of the model mixer: a real JupyterLab, a real browser, a hand on the map.

    python benchmarks/mixer_gif.py                         writes assets/mixer.gif

Needs the customised models of `python benchmarks/mixing_agreement.py` (made here if they are missing) and Chromium.
"""
import json
import shutil
import sys
import tempfile
from pathlib import Path

from _family import family
from _results import ROOT
from quickstart_gif import Film

sys.path.insert(0, str(ROOT / "tests" / "browser"))
CELL = """from sketchgan.studios import ModelMixer
from sketchgan.weights import load_generator
load = lambda name: load_generator(f'{folder}/{name}.safetensors')
models = {'original': load('original'), 'side': load('side'), 'rider': load('rider')}
mixer = ModelMixer(models, seed=1)
mixer"""
# Strengths of side and rider by way of which the ring is drawn, and steps to each.
WAY = (((1.0, 0.0), 8), ((0.0, 1.0), 8), ((0.0, 0.0), 8), ((0.5, 0.5), 6), ((1.0, 1.0), 6), ((1.5, 0.0), 6))


def play(notebook, film: Film):
    """The whole scene: the map fills, and the ring is drawn from model to model."""
    page = notebook.page
    notebook.run(0, 1, seconds=900)
    page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    notebook.wait_until("mixer.painter.wait()", seconds=300)
    canvas = page.locator(".jp-OutputArea canvas").last
    canvas.evaluate("canvas => canvas.scrollIntoView({block: 'center'})")
    page.wait_for_timeout(1000)
    film.shoot(1.5)
    box = canvas.bounding_box()
    place = lambda at: [a + b for a, b in zip((box["x"], box["y"]), json.loads(
        notebook.python(f"print(list(mixer.place({list(at)})))")))]
    before, at = place((0.0, 0.0)), (0.0, 0.0)
    page.mouse.move(*before)
    page.mouse.down()
    for goal, steps in WAY:
        for i in range(1, steps + 1):
            now = [a + (b - a) * i / steps for a, b in zip(at, goal)]
            page.mouse.move(*place(now), steps=2)
            notebook.wait_until("mixer.painter.wait()", seconds=120)
            page.wait_for_timeout(150)
            film.shoot(1.0 if i == steps else 0.18)
        at = goal
    page.mouse.up()


def main():
    """Film it and write the GIF."""
    from conftest import JupyterLab, NotebookPage, open_browser

    from sketchgan.files.atomic import write_atomically
    from sketchgan.weights import save
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if chromium is None:
        sys.exit("no Chromium on the PATH; on Debian and Ubuntu: apt-get install chromium")
    models = family("horse")
    with tempfile.TemporaryDirectory() as folder:
        lab = JupyterLab(Path(folder), fast=False)
        for name, G in models.items():
            save(Path(folder) / "models" / f"{name}.safetensors", G=G)
        source = f"folder = {str(Path(folder) / 'models')!r}\n{CELL}"
        cell = {"cell_type": "code", "id": "a", "metadata": {"jupyter": {"source_hidden": True}}, "source": source,
                "outputs": [], "execution_count": None}
        (Path(folder) / "notebooks" / "mixer.ipynb").write_text(json.dumps({
            "cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        try:
            lab.wait()
            with open_browser(chromium, width=1000, height=640) as page:
                film = Film(page)
                play(NotebookPage(lab, page, "mixer.ipynb"), film)
        finally:
            lab.close()
    data = film.smallest()
    write_atomically(ROOT / "assets" / "mixer.gif", data)
    print(f"assets/mixer.gif: {len(film.frames)} frames, {len(data):,} bytes")


if __name__ == "__main__":
    main()
