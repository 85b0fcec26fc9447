"""Notebook 00 as a reader uses it: draw with the mouse, press Start, steer while it trains, Stop, read the result."""
import json
import re
import statistics
import time

import pytest

pytestmark = pytest.mark.browser

BACK = [(.25, .45), (.45, .42), (.70, .45)]                     # a horse, roughly: shares of the canvas
LEGS = [[(.30, .45), (.30, .80)], [(.66, .45), (.66, .80)]]
HEAD = [(.70, .45), (.74, .28), (.86, .28), (.88, .42), (.70, .45)]

# What happens in the kernel and when, beside a cell that waits: the clock is the same as the test's.
WATCH = '''
import threading, time
seen, arrived = [], []
pad.canvas.on_mouse_move(lambda x, y: arrived.append((time.time(), round(x), round(y))))
def watch():
    while True:
        seen.append((time.time(), live.iteration, live.running, len(live.sketches)))
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()
live.session.minutes = 15
'''
SENT = '''canvas => { window.sent = []; canvas.addEventListener('mousemove', event => {
              const box = canvas.getBoundingClientRect(), zoom = canvas.width / box.width;
              window.sent.push([Date.now() / 1000, Math.round((event.clientX - box.left) * zoom),
                                Math.round((event.clientY - box.top) * zoom)]); }, true); }'''
INK = '''canvas => { const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
                     let ink = 0; for (let i = 0; i < data.length; i += 4) ink += data[i] < 128; return ink; }'''


def press(notebook, label) -> float:
    """Clicks the button and returns when that was."""
    began = time.time()
    notebook.press(label)
    return began


def status(notebook, text, seconds=240):
    """Waits until the training's line of status says so."""
    notebook.page.locator('[role=status]', has_text=re.compile(text)).last.wait_for(timeout=1000 * seconds)


def draw_the_first_two(notebook):
    """Each stroke of the mouse arrives as one stroke in Python and as ink on the canvas."""
    for count, points in enumerate([BACK, *LEGS, HEAD], start=1):
        notebook.stroke(points, canvas=0)
        notebook.wait_until(f'sum(map(len, pad.drawing.sketches)) == {count}', seconds=60)
    x, y = map(float, notebook.python('print(*pad.drawing.strokes[0]["points"][0])').split())
    assert abs(x / 256 - BACK[0][0]) < 0.03 and abs(y / 256 - BACK[0][1]) < 0.03, 'the stroke is not where it was drawn'
    expected = int(notebook.python('from sketchgan.drawing import rasterize\n'
                                   'print(int((rasterize(pad.drawing.strokes, pad.canvas.width, 256) < 0).sum()))'))
    ink = notebook.page.locator('.jp-OutputArea canvas').first.evaluate(INK)
    # Lines are 5 px wide: half a pixel at their edges is a tenth.
    assert abs(ink - expected) < 0.2 * expected, f'{ink} dark pixels on the canvas, {expected} were drawn'
    notebook.press('New sketch')
    notebook.stroke(BACK, canvas=0)
    notebook.wait_until('[len(s) for s in pad.drawing.sketches] == [4, 1]', seconds=60)


def draw_a_third_while_it_trains(notebook) -> dict:
    """Returns when the third sketch was drawn, and the times at which the browser sent the points of the mouse."""
    notebook.press('New sketch')
    notebook.page.locator('.jp-OutputArea canvas').nth(1).evaluate(SENT)
    notebook.stroke(LEGS[0], canvas=1)
    added = time.time()
    status(notebook, '3 sketches')
    for points in (BACK, HEAD, LEGS[1]):
        notebook.stroke(points, canvas=1)
    return {'added': added, 'sent': notebook.page.evaluate('window.sent')}


def history_handle(notebook):
    return notebook.page.locator('.widget-slider', has_text='history').last.locator('.noUi-handle')


def shows_now(notebook):
    """Waits until the view says that it shows the present samples. (The kernel answers no question meanwhile.)"""
    notebook.page.locator('.widget-html', has_text='now: the same z').last.wait_for()


def follows_now(notebook):
    """The slider stays at its right end while nobody touches it, however long the history grows."""
    handle = history_handle(notebook).element_handle()
    notebook.page.wait_for_function('''([handle, wanted]) => handle.getAttribute('aria-valuemax') >= wanted &&
        handle.getAttribute('aria-valuenow') === handle.getAttribute('aria-valuemax')''',
                                    arg=[handle, float(handle.get_attribute('aria-valuemax')) + 3])
    shows_now(notebook)


def look_back(notebook):
    """The slider goes back to an earlier state, which becomes the result."""
    track = notebook.page.locator('.widget-slider', has_text='history').last.locator('.noUi-target')
    box = track.bounding_box()
    # With the mouse: Notebook 7 takes arrow keys for its own.
    track.click(position={'x': 0.4 * box['width'], 'y': 0.5 * box['height']})
    notebook.page.locator('.widget-html', has_text='then').last.wait_for()
    notebook.press('Use this one')
    notebook.page.locator('.widget-html', has_text='the result is iteration').last.wait_for()
    notebook.screenshot('quickstart-3-history')
    notebook.press('Now')
    shows_now(notebook)


def latencies(notebook, times) -> dict[str, float]:
    """Seconds from the hand to the effect, each."""
    seen = json.loads(notebook.python('import json; print(json.dumps(seen))'))
    arrived = json.loads(notebook.python('print(json.dumps(arrived))'))
    points = {}
    for at, x, y in times['sent']:
        points.setdefault((x, y), at)
    strokes = [at - points[x, y] for at, x, y in arrived if (x, y) in points and at >= points[x, y]]
    assert len(strokes) >= 20, f'only {len(strokes)} of {len(points)} points reached Python'
    after = lambda moment, true: next(at for at, *now in seen if at > moment and true(*now)) - moment
    held = max(now for (_, a, *_), (now, b, *_) in zip(seen, seen[1:]) if a != b and now < times['go on'])
    changes = [at for (_, a, *_), (at, b, *_) in zip(seen, seen[1:]) if a != b]
    steps = [b - a for a, b in zip(changes, changes[1:]) if not a <= times['go on'] <= b]       # the pause is no step
    return {'step': statistics.quantiles(steps, n=10)[-1],      # the slow ones count: R1, a snapshot, a checkpoint
            'stroke': statistics.median(strokes), 'added': after(times['added'], lambda i, running, count: count == 3),
            'pause': max(held - times['pause'], 0.0),
            'stop': after(times['stop'], lambda i, running, count: not running)}


def test_draw_train_steer_stop(open_notebook):
    notebook = open_notebook('00_quickstart.ipynb')
    ready, live, explorer = (notebook.cell(text) for text in ('pad.ready(', 'LiveTraining(', 'SampleExplorer('))
    notebook.run(0, ready, seconds=400)
    draw_the_first_two(notebook)
    notebook.screenshot('quickstart-1-drawn')
    notebook.run(ready, live + 1, seconds=400)                  # there are drawings: nobody is waited for

    # A cell that waits for the end must leave pad and buttons alive, or nobody could draw after "Run all". Kernels from
    # before that was possible run it when all is over.
    notebook.python(WATCH)
    waiting = notebook.cell('live.finished(')
    waits = notebook.python('from sketchgan.widgets.parts import *; print(somebody_is_there())') == 'True'
    if waits:
        notebook.begin(waiting)
        status(notebook, 'press Start')
    press(notebook, 'Start')
    status(notebook, 'iteration', seconds=400)
    times = draw_a_third_while_it_trains(notebook)
    notebook.screenshot('quickstart-2-training')
    times['pause'] = press(notebook, 'Pause')
    status(notebook, 'paused')
    time.sleep(2)                                               # nothing may move now
    times['go on'] = press(notebook, 'Go on')
    status(notebook, 'img/s')
    follows_now(notebook)
    look_back(notebook)
    notebook.press('Outlines')
    times['stop'] = press(notebook, 'Stop')
    if waits:
        notebook.wait_idle(120)
    else:
        notebook.wait_until('not live.running', seconds=120)
        notebook.run(waiting, waiting + 1, seconds=120)
    notebook.theme('JupyterLab Dark')
    notebook.screenshot('quickstart-4-stopped-dark')

    measured = latencies(notebook, times)
    # A stroke waits for nobody. What steers the training acts between two steps, so the step under way comes on top.
    limits = {'stroke': 0.3} | dict.fromkeys(('added', 'pause', 'stop'), 1.0 + measured['step'])
    print(f"\na step of training takes up to {measured['step']:.2f} s (nine of ten); seconds from hand to effect:")
    for name, limit in limits.items():
        print(f"    {name:7} {measured[name]:6.2f}   (limit {limit:.2f})")
    late = [name for name in limits if measured[name] > limits[name]]
    assert not late, f'too late: {", ".join(late)}'

    # The result is the state that was chosen, without an error, and only the mapping network has moved.
    assert notebook.python('print(live.error, live.history.chosen is not None)') == 'None True'
    moved = notebook.python('print({name.split(".")[0] for name, value in mine.state_dict().items() '
                            'if not torch.equal(value, G.state_dict()[name])})')
    assert moved == "{'style'}", 'customising changes the mapping network, and only that'
    assert notebook.python('print(tuple(sketches.shape))') == '(3, 1, 64, 64)', 'what was drawn is what was used'
    notebook.run(explorer, explorer + 1, seconds=120)
    notebook.page.locator('.widget-html', has_text='with the style of sample').scroll_into_view_if_needed()
    notebook.screenshot('quickstart-5-explorer-dark')


def errors(notebook) -> list[str]:
    """Tracebacks on the page."""
    return notebook.page.locator('[data-mime-type="application/vnd.jupyter.error"]').all_inner_texts()


def test_restart_and_run_all(open_notebook):
    """Drawings outlive the kernel. Run all stands at the blank pad, then at Start, and trains when that is pressed."""
    notebook = open_notebook('00_quickstart.ipynb')
    page, pad = notebook.page, notebook.cell('SketchPad(')
    page.set_viewport_size({'width': 900, 'height': 900})
    notebook.restart()
    notebook.run(0, pad + 1, seconds=400)
    page.wait_for_selector('.jp-OutputArea canvas')
    if not notebook.python('print(len(pad.drawing.drawn))') == '0':         # another test has drawn before
        status(notebook, 'your sketches of last time')
    notebook.python('pad.load("horse_with_rider")')
    notebook.restart()
    notebook.run(0, pad + 1, seconds=400)
    status(notebook, 'your sketches of last time')
    assert int(notebook.python('print(len(pad.drawing.drawn))')) >= 5
    page.locator('.jp-OutputArea canvas').scroll_into_view_if_needed()
    notebook.screenshot('run-all-1-restored')
    notebook.python('while pad.drawing.drawn: pad.change("delete")')

    notebook.restart()
    notebook.run_all()
    status(notebook, 'then press Done', seconds=400)
    page.wait_for_function('document.activeElement.tagName === "CANVAS"')
    assert notebook.in_sight('.jp-OutputArea canvas')
    notebook.screenshot('run-all-2-pad')
    notebook.press('Use example drawings')
    page.wait_for_function('document.activeElement.innerText === "Start"', timeout=400_000)
    time.sleep(3)
    status(notebook, 'ready: press Start')                      # nothing begins by itself
    page.locator('.jp-OutputArea canvas').last.scroll_into_view_if_needed()
    notebook.screenshot('run-all-3-start')
    together = page.evaluate('''() => { const canvas = [...document.querySelectorAll('.jp-OutputArea canvas')].pop();
        const cell = canvas.closest('.jp-Cell'), samples = [...cell.querySelectorAll('img.widget-image')].slice(0, 2);
        return [samples[1].getBoundingClientRect().bottom - canvas.getBoundingClientRect().top,
                canvas.closest('.jp-WindowedPanel-outer').clientHeight]; }''')
    assert together[0] <= together[1], f'pad and samples do not share a screen of 900 x 900: {together}'
    start, stop = (page.locator('button.jupyter-button', has_text=re.compile(f'^{name}$'))
                   for name in ('Start', 'Stop'))
    start.click()
    status(notebook, 'ranking|screening|learning')
    assert start.is_disabled() and not stop.is_disabled()
    stop.click()
    status(notebook, 'before there was a result|iteration')
    page.wait_for_timeout(1000)
    assert not errors(notebook), 'Stop during the search is no error'
    start.click()
    notebook.wait_idle(600)                                     # the training, and all the cells below
    assert not errors(notebook)
    look_back(notebook)
    page.get_by_text('run the next cell').wait_for()
    notebook.screenshot('run-all-4-another-moment')
    wide = page.evaluate('''() => [...document.querySelectorAll('.jp-OutputArea-output, .jp-OutputArea-output *')]
        .filter(e => e.scrollWidth > e.clientWidth + 1 && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX))
        .map(e => e.className)''')
    assert not wide, f'a horizontal scrollbar: {wide}'
