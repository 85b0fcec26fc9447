"""The sketch pad in a real browser: mouse, keys, eraser, strip, a photo to trace; narrow and in the dark theme."""
import json
import re
import time

import pytest

pytestmark = pytest.mark.browser

CELLS = ['''import time
from pathlib import Path
import torch
import sketchgan
from sketchgan import Menagerie, SketchPad, load_photosketch
torch.set_num_threads(1)
WEIGHTS = Path(sketchgan.__file__).parents[1] / "data" / "weights"
pad = SketchPad(F=load_photosketch(WEIGHTS / "photosketch.safetensors"))
arrived = []
for listen in (pad.canvas.on_mouse_down, pad.canvas.on_mouse_move):
    listen(lambda x, y: arrived.append(time.time()))          # after the pad's own: the point is in its stroke
pad''']
LINE, CROSSING = [(.15, .5), (.5, .5), (.85, .5)], [(.5, .2), (.5, .8)]
LATENCY = 0.3                                                   # seconds from the hand to Python, even under load


def write_notebook(jupyterlab, name, cells):
    kernel = {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}
    cells = [{'cell_type': 'code', 'id': f'c{i}', 'metadata': {}, 'source': source, 'outputs': [],
              'execution_count': None} for i, source in enumerate(cells)]
    (jupyterlab.folder / 'notebooks' / name).write_text(json.dumps(
        {'cells': cells, 'metadata': {'kernelspec': kernel}, 'nbformat': 4, 'nbformat_minor': 5}))


def fresh_pad(notebook):
    """Runs the cell again: a new, blank pad in place of the last one."""
    notebook.page.set_viewport_size({'width': 1280, 'height': 1100})
    notebook.run(0, 1, seconds=240)
    notebook.page.wait_for_selector('.jp-OutputArea canvas')
    notebook.page.locator('.jp-OutputArea canvas').scroll_into_view_if_needed()


def test_sketch_pad(jupyterlab, open_notebook):
    write_notebook(jupyterlab, 'pad.ipynb', CELLS)
    notebook = open_notebook('pad.ipynb')
    for part in (latency_of_strokes, mouse_and_strip, touch, keys, narrow_windows_and_themes, a_page_that_is_reloaded):
        fresh_pad(notebook)
        part(notebook)


def ink(notebook):
    """How many pixels of the canvas in the browser are dark: what the reader sees, not what Python believes."""
    return notebook.page.evaluate('''() => { const c = document.querySelector('.jp-OutputArea canvas');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0;
        for (let i = 0; i < d.length; i += 4) n += d[i + 3] > 128 && d[i] < 64 && d[i + 1] < 64 && d[i + 2] < 64;
        return n; }''')


def wait_for_ink(notebook, wanted, seconds=30):
    """Waits until `wanted(dark pixels)` holds in the browser."""
    end = time.monotonic() + seconds
    while not wanted(ink(notebook)):
        assert time.monotonic() < end, f'the canvas in the browser has {ink(notebook)} dark pixels'
        time.sleep(0.1)


def strokes(notebook, wanted):
    notebook.wait_until(f'[len(s) for s in pad.drawing.sketches] == {wanted}', seconds=60)


def mouse_and_strip(notebook):
    page = notebook.page

    # The mouse draws; the eraser cuts; undo brings back: in Python, and on the canvas that the reader sees.
    notebook.stroke(LINE)
    strokes(notebook, [1])
    wait_for_ink(notebook, lambda dark: dark > 800)
    whole = ink(notebook)
    page.get_by_label('eraser', exact=True).check()
    notebook.wait_until('pad.tool.value == "eraser"', seconds=60)
    notebook.stroke(CROSSING)
    strokes(notebook, [2])
    wait_for_ink(notebook, lambda dark: dark < 0.95 * whole)
    notebook.press('Undo')
    strokes(notebook, [1])
    wait_for_ink(notebook, lambda dark: dark == whole)
    page.get_by_label('pen', exact=True).check()

    # The strip: a second sketch, its mirror image, their order.
    notebook.press('New sketch')
    notebook.wait_until('len(pad.drawing.sketches) == 2 and pad.tool.value == "pen"', seconds=60)
    notebook.stroke([(.2, .2), (.4, .7)])
    notebook.stroke([(.2, .2), (.4, .2)])
    strokes(notebook, [1, 2])
    notebook.press('Copy')
    notebook.press('Mirror')
    notebook.press('◀')
    strokes(notebook, [1, 2, 2])
    mirrored = 'pad.drawing.sketches[1][1]["points"][0][0] + pad.drawing.sketches[2][1]["points"][0][0]'
    notebook.wait_until(f'pad.drawing.current == 1 and abs({mirrored} - 256) < 0.01', seconds=60)

    # A photograph below the paper, and F's contour of it as strokes.
    notebook.python('pad.underlay(Menagerie("horse").render(3).image)')
    notebook.press('New sketch')
    page.get_by_text('Trace a photo').last.click()
    page.locator('button', has_text=re.compile('^Trace$')).click()
    notebook.wait_until('len(pad.drawing.sketches) == 4 and len(pad.drawing.strokes) > 0', seconds=60)
    wait_for_ink(notebook, lambda dark: dark > 400)
    assert page.locator('img[alt^="F\'s sketch"]').count() == 1
    notebook.screenshot('pad-1-traced')


def touch(notebook):
    """A finger draws, and neither scrolls the page nor leaves a stroke open."""
    page, canvas = notebook.page, notebook.page.locator('.jp-OutputArea canvas')
    browser = page.context.new_cdp_session(page)
    box = canvas.bounding_box()
    finger = lambda kind, *points: browser.send('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': [
        {'x': box['x'] + x * box['width'], 'y': box['y'] + y * box['height']} for x, y in points]})
    finger('touchStart', (.2, .2))
    for i in range(1, 11):
        finger('touchMove', (.2, .2 + .05 * i))
    finger('touchEnd')
    strokes(notebook, [1])
    wait_for_ink(notebook, lambda dark: dark > 400)
    assert canvas.bounding_box() == box, 'the page moved under the finger'
    notebook.stroke(LINE)
    strokes(notebook, [2])
    notebook.screenshot('pad-0-touch')


def keys(notebook):
    """Keys alone: draw, undo, leave the canvas by Tab; JupyterLab takes none of them (x would cut the cell)."""
    page = notebook.page
    page.locator('.jp-OutputArea canvas').focus()
    for key in ('ArrowLeft', 'Space', 'Shift+ArrowRight', 'Shift+ArrowDown', 'Space', 'x', 'n'):
        page.keyboard.press(key)
    strokes(notebook, [1, 0])
    assert notebook.python('print(pad.drawing.sketches[0][0]["points"][-1])') == '[140.0, 144.0]'
    page.keyboard.press('Control+z')
    strokes(notebook, [1])
    assert page.evaluate('window.jupyterapp.shell.currentWidget.content.widgets.length') == 1, 'a key cut the cell'
    page.keyboard.press('Tab')
    page.wait_for_function('document.activeElement.innerText === "Clear"')
    names = []
    for _ in range(20):                                         # the order of Tab: every control, each with a name
        page.keyboard.press('Tab')
        names.append(page.evaluate('''() => { const e = document.activeElement;
            return e.innerText || (e.labels && e.labels[0] && e.labels[0].innerText) || e.title; }'''))
    assert {'Undo', 'New sketch', 'Mirror', 'Delete'} <= set(names), names


def narrow_windows_and_themes(notebook):
    """900 pixels wide, with JupyterLab's side bar, light and dark: nothing is cut off; look at the pictures."""
    page = notebook.page
    notebook.python('pad.load("standing_cat")\npad.underlay(Menagerie("cat").render(1).image)')
    for theme in ('Light', 'Dark'):
        page.set_viewport_size({'width': 900, 'height': 1300})
        notebook.theme(f'JupyterLab {theme}')
        page.wait_for_function('dark => (document.body.dataset.jpThemeLight === "false") === dark', arg=theme == 'Dark')
        page.locator('.jp-OutputArea canvas').scroll_into_view_if_needed()
        too_wide = page.evaluate('''() => {
            const out = document.querySelector('.jp-OutputArea-output').getBoundingClientRect();
            return [...document.querySelectorAll('.jp-OutputArea-output :is(button, canvas, img, input)')]
                .filter(e => e.offsetParent && e.getBoundingClientRect().right > out.right + 1)
                .map(e => e.outerHTML.slice(0, 80)); }''')
        assert not too_wide, f'cut off at 900 px: {too_wide}'
        notebook.screenshot(f'pad-2-900px-{theme.lower()}')


def a_page_that_is_reloaded(notebook):
    """The drawing is there again, and the pen writes visibly."""
    notebook.stroke(LINE)
    strokes(notebook, [1])
    wait_for_ink(notebook, lambda dark: dark > 800)
    line = ink(notebook)
    notebook.reload()
    notebook.page.wait_for_selector('.jp-OutputArea canvas')
    wait_for_ink(notebook, lambda dark: dark == line)
    notebook.stroke(CROSSING)
    strokes(notebook, [2])
    wait_for_ink(notebook, lambda dark: dark > 1.4 * line)
    notebook.screenshot('pad-3-reloaded')


def latency_of_strokes(notebook):
    """From the mouse event in the browser to the point in Python's stroke; both read the same clock."""
    page = notebook.page
    page.evaluate('''() => { window.sent = []; const c = document.querySelector('.jp-OutputArea canvas');
        for (const kind of ['mousedown', 'mousemove'])
            c.addEventListener(kind, event => window.sent.push(Date.now() / 1000), {capture: true}); }''')
    notebook.python('arrived.clear()')
    box = page.locator('.jp-OutputArea canvas').bounding_box()
    for i in range(40):                                         # at a hand's pace: 25 points a second
        page.mouse.move(box['x'] + 20 + 6 * i, box['y'] + 160 + 60 * (i % 2))
        page.mouse.down() if i == 0 else page.wait_for_timeout(40)
    page.mouse.up()
    sent = page.evaluate('window.sent')
    notebook.wait_until(f'len(arrived) >= {len(sent)}', seconds=60)
    arrived = json.loads(notebook.python('import json; print(json.dumps(arrived))'))
    late = sorted(there - here for here, there in zip(sent, arrived, strict=True))
    median = late[len(late) // 2]
    print(f'\na stroke point reaches Python after {1000 * median:.0f} ms '
          f'(median of {len(late)}; slowest {1000 * late[-1]:.0f} ms)')
    assert median < LATENCY
