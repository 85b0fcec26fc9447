"""The board of photographs in a real browser: upload, search with a live view, swap, slider, download."""
import io
import json

import pytest
from PIL import Image

pytestmark = pytest.mark.browser

CELL = '''
import copy, os, torch
torch.set_num_threads(1)
from sketchgan.editing import ProjectConfig
from sketchgan.studios import PhotoEditor
from sketchgan.weights import load_generator
torch.manual_seed(0)
G = load_generator(os.path.join(ROOT, 'data/weights/horse64.safetensors'))
mine = copy.deepcopy(G)
for p in mine.style.parameters():              # moved by hand: stands for a customised one
    p.requires_grad_(False).add_(25 * torch.randn_like(p) if p.ndim > 1 else 0.0)
board = PhotoEditor({'original': G, 'mine': mine}, config=ProjectConfig(steps=12), count=2)
board._usual = torch.tensor([0.004, 0.005])    # what a second search would tell
board
'''


def test_a_photo_is_uploaded_found_swapped_and_downloaded(jupyterlab, open_notebook, root, tmp_path):
    cell = {'cell_type': 'code', 'id': 'board', 'metadata': {}, 'outputs': [], 'execution_count': None,
            'source': CELL.strip().replace('ROOT', repr(str(root)))}
    (jupyterlab.folder / 'notebooks' / 'photo.ipynb').write_text(json.dumps(
        {'cells': [cell], 'metadata': {'kernelspec': {'name': 'python3', 'display_name': 'Python 3',
                                                      'language': 'python'}}, 'nbformat': 4, 'nbformat_minor': 5}))
    notebook = open_notebook('photo.ipynb')
    notebook.run(0, 1, seconds=240)
    page = notebook.page
    picture = Image.new('RGB', (90, 60), (120, 160, 90))
    picture.paste((90, 60, 40), (35, 20, 60, 45))
    picture.save(tmp_path / 'mine.jpg')

    # The upload is cut square and sought at once; the view follows and ends with a verdict.
    with page.expect_file_chooser() as chooser:
        page.locator('.sketchgan-photo').click()
    chooser.value.set_files(tmp_path / 'mine.jpg')
    page.locator('.widget-html [role=status]', has_text='times what is usual').first.wait_for()
    notebook.wait_until('board.wait()', seconds=120)
    assert notebook.python('print(board.found.step, board.photo[0, 0].mean().item() < 0)') == '12 True'
    result = page.locator('img[alt*="painted by mine, no edit"]')
    result.wait_for()
    notebook.screenshot('photo-board-1-swapped')
    before = result.get_attribute('src')

    # A slider by its keys, then back.
    page.locator('.widget-slider', has_text='component 0').first.locator('.noUi-handle').first.focus()
    for _ in range(8):
        page.keyboard.press('ArrowRight')
    edited = page.locator('img[alt*="component 0 +2"]')
    edited.wait_for()
    assert edited.get_attribute('src') != before

    # What is downloaded is the picture that is shown.
    with page.expect_download() as download:
        page.locator('a[download="photo.png"]').click()
    image = Image.open(io.BytesIO(download.value.path().read_bytes()))
    assert image.size == (64, 64)
    notebook.press('Undo')
    result.wait_for()

    # In the dark theme, in a narrow window.
    notebook.theme('JupyterLab Dark')
    page.set_viewport_size({'width': 700, 'height': 1000})
    page.wait_for_timeout(500)
    notebook.screenshot('photo-board-2-dark-narrow')
    assert not page.locator('[data-mime-type="application/vnd.jupyter.error"]').count()
