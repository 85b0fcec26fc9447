"""The moving picture of the model mixer: a real JupyterLab, a real browser, a hand on the map.

    python benchmarks/mixer_gif.py                         writes assets/mixer.gif

Needs the customised models of `python benchmarks/mixing_agreement.py` (made here if they are missing) and Chromium.
"""
import json
from pathlib import Path

from _family import family
from _film import Film, record

CELL = """from sketchgan.studios import ModelMixer
from sketchgan.weights import load_generator
load = lambda name: load_generator(f'../models/{name}.safetensors')
models = {'original': load('original'), 'side': load('side'), 'rider': load('rider')}
mixer = ModelMixer(models, seed=3)
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
    from sketchgan.weights import save
    models = family("horse")

    def prepare(folder: Path):
        for name, G in models.items():
            save(folder / "models" / f"{name}.safetensors", G=G)
        cell = {"cell_type": "code", "id": "a", "metadata": {"jupyter": {"source_hidden": True}}, "outputs": [],
                "source": CELL, "execution_count": None}
        (folder / "notebooks" / "mixer.ipynb").write_text(json.dumps({
            "cells": [cell], "nbformat": 4, "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}}))

    record("mixer.gif", "mixer.ipynb", play, height=640, prepare=prepare)


if __name__ == "__main__":
    main()
