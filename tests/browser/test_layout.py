"""The layout pad in a real browser: strokes arrive, fill, keys, a live picture, labels for me, and the way back."""
import pytest
from test_pad import write_notebook

pytestmark = pytest.mark.browser

CELLS = ['''import torch
from sketchgan.fewshot import Classes, EncoderConfig, Examples, new_layouts, sample_codes
from sketchgan.nets import Generator
from sketchgan.studios import LayoutPad
torch.set_num_threads(1), torch.manual_seed(0)
G = Generator(64, 8, 8, 2, {4: 8, 8: 8, 16: 8, 32: 8, 64: 8}).eval().requires_grad_(False)
mask = torch.ones(1, 64, 64, dtype=torch.long)
mask[:, 32:] = 2
classes = Classes(("sky", "cat"))
model = new_layouts(G, Examples(classes, sample_codes(G, [0]), mask), EncoderConfig(width=4))
pad = LayoutPad(G, model)
pad''', 'label = LayoutPad(G, classes=classes)\nlabel']


def colour(notebook, x, y, canvas=0):
    """The colour that the reader sees at a place of the canvas, shares of its side."""
    return tuple(notebook.page.evaluate('''([x, y, n]) => {
        const c = document.querySelectorAll('.jp-OutputArea canvas')[n];
        return [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data.slice(0, 3)]; }''',
                                        [x, y, canvas]))


def test_layout_pad(jupyterlab, open_notebook):
    write_notebook(jupyterlab, 'layout.ipynb', CELLS)
    notebook = open_notebook('layout.ipynb')
    notebook.run(0, 1, seconds=240)
    notebook.page.wait_for_selector('.jp-OutputArea canvas')
    a_picture_follows_each_stroke(notebook)
    keys_choose_and_undo(notebook)
    notebook.screenshot('layout-pad')
    notebook.run(1, 2, seconds=240)
    samples_are_labelled(notebook)


def a_picture_follows_each_stroke(notebook):
    notebook.python('pad.strength.value = 1.0')
    notebook.stroke([(.1, .2), (.9, .2)])
    notebook.wait_until('pad.result is not None and (pad.mask() == 1).sum() > 100', 60)
    notebook.page.wait_for_selector('img[alt="the picture of this layout"]')
    notebook.wait_until('pad.strip.value', 60)
    sky = colour(notebook, .5, .2)
    assert sky == (86, 180, 233) and colour(notebook, .5, .8) != sky
    notebook.press('cat')
    notebook.stroke([(.1, .8), (.9, .8)])
    notebook.wait_until('(pad.mask() == 2).sum() > 100', 60)
    assert colour(notebook, .5, .8) == (0, 158, 115)
    print(f"\npen up to picture and strip: {notebook.python('print(round(pad.seconds, 3))')} s")


def keys_choose_and_undo(notebook):
    notebook.page.locator('.jp-OutputArea canvas').first.click(position={'x': 128, 'y': 205})
    notebook.page.keyboard.press('Control+z')
    notebook.page.keyboard.press('1')
    notebook.page.keyboard.press('f')
    notebook.wait_until('pad.canvas.label == 1 and pad.canvas.tool == "fill"', 60)
    notebook.page.locator('.jp-OutputArea canvas').first.click(position={'x': 128, 'y': 120})
    notebook.wait_until('(pad.mask() == 0).sum() == 0', 60)
    notebook.press('Undo')
    notebook.wait_until('(pad.mask() == 0).sum() > 1000', 60)


def samples_are_labelled(notebook):
    notebook.python('pad.close()')
    notebook.page.wait_for_function("document.querySelectorAll('.jp-OutputArea canvas').length === 1")
    notebook.press('Label this sample for me')
    notebook.wait_until('"nothing has been learnt yet" in label.status.value', 60)
    notebook.press('sky')
    notebook.stroke([(.1, .2), (.9, .2)])
    notebook.press('cat')
    notebook.stroke([(.1, .8), (.9, .8)])
    notebook.wait_until('label.mask().unique().tolist() == [0, 1, 2]', 60)
    notebook.press('Keep as example')
    notebook.wait_until('label.labeller is not None and len(label.examples()) == 1', 60)
    notebook.press('Other sample')
    notebook.press('Label this sample for me')
    notebook.wait_until('bool((label.mask() > 0).all())', 60)
