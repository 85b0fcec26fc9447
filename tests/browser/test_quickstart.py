"""Notebook 00 as a reader uses it: draw with the mouse, train while watching, draw on, press Stop, read the result."""
import pytest

pytestmark = pytest.mark.browser

BACK = [(.25, .45), (.45, .42), (.70, .45)]                     # a standing cat, roughly: shares of the canvas
LEGS = [[(.30, .45), (.30, .80)], [(.66, .45), (.66, .80)]]
HEAD = [(.70, .45), (.74, .28), (.86, .28), (.88, .42), (.70, .45)]
STROKES = 'sum(map(len, pad.drawing.sketches))'


def test_draw_train_stop(open_notebook):
    notebook = open_notebook('00_quickstart.ipynb')
    pad, live, result = notebook.cell('SketchPad()'), notebook.cell('LiveTraining('), notebook.cell('live.result')

    # Draw: each stroke of the mouse arrives as one stroke in Python, and the buttons act on it.
    notebook.run(0, pad + 1, seconds=240)
    for count, points in enumerate([BACK, *LEGS, HEAD], start=1):
        notebook.stroke(points)
        notebook.wait_until(f'{STROKES} == {count}', seconds=20)
    x, y = map(float, notebook.python('print(*pad.drawing.strokes[0]["points"][0])').split())
    assert abs(x / 256 - BACK[0][0]) < 0.03 and abs(y / 256 - BACK[0][1]) < 0.03, 'the stroke is not where it was drawn'
    notebook.press('Undo')
    notebook.wait_until(f'{STROKES} == 3', seconds=20)
    notebook.press('Redo')
    notebook.press('New sketch')
    notebook.stroke(BACK)
    notebook.wait_until('[len(s) for s in pad.drawing.sketches] == [4, 1]', seconds=20)
    notebook.screenshot('quickstart-1-drawn')

    # Train: in the background, so that the kernel answers and the pad still draws while it runs.
    notebook.run(pad + 1, live + 1, seconds=240)
    notebook.python('live.minutes = 15')                        # no race against the notebook's own clock: we press Stop
    assert notebook.python('print(tuple(sketches.shape))') == '(2, 1, 64, 64)', 'the drawn sketches are the ones used'
    notebook.wait_until('live.error or len(live.losses) >= 10', seconds=240)
    assert notebook.python('print(live.running)') == 'True', notebook.python('print(live.error, live.status.value)')
    notebook.screenshot('quickstart-2-training')
    ink = notebook.python('print(int((live.controls.sketches < 0).sum()))')
    notebook.stroke(LEGS[0])
    notebook.wait_until(f'int((live.controls.sketches < 0).sum()) > {ink}', seconds=20)

    # Stop: soon, without an error, and what was learnt so far is the result.
    notebook.press('Stop')
    notebook.wait_until('not live.running', seconds=30)
    assert notebook.python('print(live.error)') == 'None'
    assert notebook.python('print(live.now.value != live.before.value)') == 'True', 'the samples shown never changed'
    notebook.run(result, result + 1, seconds=60)
    moved = notebook.python('print({name.split(".")[0] for name, value in mine.state_dict().items() '
                            'if not torch.equal(value, G.state_dict()[name])})')
    assert moved == "{'style'}", 'customising changes the mapping network, and only that'
