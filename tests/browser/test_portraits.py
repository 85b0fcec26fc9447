"""The studio of portraits in a real browser: a slider changes the picture at once; styles, save, reload."""
import json

import pytest

pytestmark = pytest.mark.browser

# The shipped cats with a path of style that nothing has taught: it mixes colours, enough to see the knobs work.
STUDIO = '''
import torch
from sketchgan import load_generator
from sketchgan.files import weights_folder
from sketchgan.portraits import DualStyleGAN, Portraitist, fit_sampler
from sketchgan.studios import PortraitStudio
P = DualStyleGAN(load_generator(weights_folder() / 'cat64.safetensors')).eval()
codes = P.mapping(torch.randn(6, P.z_dim, generator=torch.Generator().manual_seed(1))).detach().clone()
pictures = P.generator.synthesis(codes, 'const').detach().clamp(-1, 1)
names = [f'style-{i}' for i in range(6)]
sitter = Portraitist(P, dict(zip(names, codes)), dict(zip(names, pictures)), sampler=fit_sampler(codes, P.border, 20))
studio = PortraitStudio(sitter, seed=3)
studio
'''
RESULT = 'img[alt="the content in the style"]'


@pytest.fixture
def notebook(jupyterlab, open_notebook):
    page = {'cells': [{'cell_type': 'code', 'id': 'studio', 'metadata': {}, 'source': STUDIO.strip(), 'outputs': [],
                       'execution_count': None}],
            'metadata': {'kernelspec': {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}},
            'nbformat': 4, 'nbformat_minor': 5}
    (jupyterlab.folder / 'notebooks' / 'portraits.ipynb').write_text(json.dumps(page))
    notebook = open_notebook('portraits.ipynb')
    notebook.run(0, 1, seconds=400)
    return notebook


def shown(notebook) -> str:
    return notebook.page.locator(RESULT).get_attribute('src')


def changed(notebook, before: str) -> None:
    notebook.page.wait_for_function(f"before => document.querySelector('{RESULT}')?.src !== before", arg=before)


def test_the_studio_answers_sliders_styles_and_save(notebook):
    page = notebook.page
    page.wait_for_selector(RESULT)
    before = shown(notebook)
    handle = page.locator('.widget-slider', has_text='colour').first.locator('.noUi-handle').first
    handle.focus()
    for _ in range(12):
        page.keyboard.press('ArrowLeft')
    changed(notebook, before)
    notebook.wait_until('abs(studio.colour.value - 0.4) < 1e-6', seconds=60)
    assert notebook.python('print([round(k.value, 2) for k in studio.rows[5:]])') == '[0.4, 0.4, 0.4, 0.4, 0.4]'
    took = notebook.python('import time; t = time.thread_time(); studio.show(); print(time.thread_time() - t)')
    print(f'\nfrom a slider to the picture, in the kernel: {float(took):.2f} s of work')

    before = shown(notebook)
    page.locator('.widget-dropdown', has_text='style').first.locator('select').select_option('style-4')
    changed(notebook, before)
    before = shown(notebook)
    notebook.press('Random style')
    changed(notebook, before)
    page.get_by_text('a new style').wait_for()
    notebook.screenshot('portraits-1-studio')
    notebook.press('Save')
    page.locator('.widget-html [role=status]', has_text='saved').wait_for()

    # In the dark, in a narrow window, loaded anew: still there and alive.
    notebook.theme('JupyterLab Dark')
    page.set_viewport_size({'width': 700, 'height': 1000})
    notebook.reload()
    page.wait_for_selector(RESULT)
    before = shown(notebook)
    page.locator('.widget-dropdown', has_text='style').first.locator('select').select_option('style-2')
    changed(notebook, before)
    notebook.screenshot('portraits-2-dark-narrow')
    assert not page.locator('[data-mime-type="application/vnd.jupyter.error"]').count()
