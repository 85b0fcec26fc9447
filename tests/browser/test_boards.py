"""The boards of edits and of mixtures in a real browser: mouse, keys, sliders, a page that is loaded anew."""
import json

import pytest

pytestmark = pytest.mark.browser

# Three models of the shipped horses without a training: a mapping network moved by hand stands for a customised one.
MODELS = '''
import copy, torch
from sketchgan.studios import EditExplorer, ModelMixer
from sketchgan.files import weights_folder
from sketchgan.weights import load_generator
torch.manual_seed(0)
G = load_generator(weights_folder() / 'horse64.safetensors')
models = {'original': G, 'side': copy.deepcopy(G), 'rider': copy.deepcopy(G)}
for name in ('side', 'rider'):
    for p in models[name].style.parameters():
        p.requires_grad_(False).add_(25 * torch.randn_like(p) if p.ndim > 1 else 0.0)
'''
CELLS = [MODELS, 'board = EditExplorer(models, seed=7, count=4)\nboard',
         'mixer = ModelMixer(models, seed=1)\nmixer']


@pytest.fixture
def notebook(jupyterlab, open_notebook):
    cells = [{'cell_type': 'code', 'id': f'cell{i}', 'metadata': {}, 'source': source.strip(), 'outputs': [],
              'execution_count': None} for i, source in enumerate(CELLS)]
    page = {'cells': cells, 'metadata': {'kernelspec': {'name': 'python3', 'display_name': 'Python 3',
                                                        'language': 'python'}}, 'nbformat': 4, 'nbformat_minor': 5}
    (jupyterlab.folder / 'notebooks' / 'boards.ipynb').write_text(json.dumps(page))
    notebook = open_notebook('boards.ipynb')
    notebook.run(0, 3, seconds=400)
    return notebook


def handle(notebook, name):
    """The handle of the slider of this name."""
    return notebook.page.locator('.widget-slider', has_text=name).first.locator('.noUi-handle').first


def status(notebook, text):
    notebook.page.locator('.widget-html [role=status]', has_text=text).last.wait_for()


PAINTED = '''canvas => { const d = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] + d[i + 1] + d[i + 2] < 600; return n; }'''


def edit_with_keys_and_undo(notebook):
    page = notebook.page
    page.wait_for_function("document.querySelectorAll('img[alt*=\"sigmas\"]').length >= 8")
    before = page.locator('img[alt*="edited"]').get_attribute('src')
    handle(notebook, 'component 0').focus()
    for _ in range(8):
        page.keyboard.press('ArrowRight')
    status(notebook, 'component 0 +2;')
    assert notebook.python('print([(d.name, s) for d, s, _ in board.edits])') == "[('component 0', 2.0)]"
    page.wait_for_function("before => document.querySelector('img[alt*=\"edited\"]').src !== before", arg=before)
    notebook.screenshot('boards-1-edits')
    took = float(notebook.python("board.painter.wait(); print(board.status.value.split('painted in ')[1].split()[0])"))
    print(f'\nfrom a slider to its picture, in the kernel: {took:.2f} s')
    page.locator('button.jupyter-button', has_text='Undo').first.click()
    status(notebook, 'no edit')
    assert notebook.python('print(board.edits)') == '[]'


def mix_with_mouse_and_keys(notebook):
    page = notebook.page
    canvas = page.locator('.jp-OutputArea canvas').last
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    width, height, *ends = json.loads(notebook.python(
        'print([mixer.canvas.width, mixer.canvas.height, *mixer.place([0.0, 0.0]), *mixer.place([1.0, 0.0])])'))
    at = lambda x, y: (box['x'] + x * box['width'] / width, box['y'] + y * box['height'] / height)
    page.mouse.move(*at(*ends[:2]))
    page.mouse.down()
    page.mouse.move(*at(*ends[2:]), steps=8)
    page.mouse.up()
    status(notebook, 'side 100 %')
    page.keyboard.press('ArrowUp')
    status(notebook, 'rider 5 %')
    page.keyboard.press('Control+z')
    status(notebook, 'rider 0 %')
    notebook.wait_until('mixer.painter.wait(0)', seconds=240)
    notebook.screenshot('boards-2-mixer')
    assert canvas.evaluate(PAINTED) > 20_000, 'the map has its pictures'


def reload_in_the_dark(notebook):
    """In the dark theme, in a narrow window, after a reload: everything is still there and alive."""
    page = notebook.page
    notebook.theme('JupyterLab Dark')
    page.set_viewport_size({'width': 700, 'height': 900})
    notebook.reload()
    # What is out of sight is not there in JupyterLab.
    page.evaluate(f'''async () => {{ {notebook.READY} panel.content.activeCellIndex = 2;
        await panel.content.scrollToItem(2, "start"); }}''')
    canvas = page.locator('.jp-OutputArea canvas').last
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(2000)
    assert canvas.evaluate(PAINTED) > 20_000, 'and again after the page was loaded anew'
    handle(notebook, 'rider').focus()
    page.keyboard.press('ArrowRight')
    status(notebook, 'rider 5 %')
    notebook.screenshot('boards-3-dark-narrow')
    assert not page.locator('[data-mime-type="application/vnd.jupyter.error"]').count()


def test_boards_answer_sliders_keys_and_mouse(notebook):
    edit_with_keys_and_undo(notebook)
    mix_with_mouse_and_keys(notebook)
    reload_in_the_dark(notebook)
