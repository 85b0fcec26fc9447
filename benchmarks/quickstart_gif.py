"""The moving picture of the README: notebook 00 in a real browser, from Run All to samples of one's own.

    python benchmarks/quickstart_gif.py                    writes assets/quickstart.gif

Run all cells, draw a horse with the mouse, press Start, watch. Frames are screenshots of the page; the GIF keeps as
many of them, at such a size, as stay under two megabytes.
"""
import argparse
import time

from _film import Film, record

HORSE = (                               # a horse that faces left, by hand: shares of the canvas
    ((.30, .42), (.42, .45), (.55, .44), (.68, .42), (.76, .46), (.78, .56), (.75, .62)),        # back and haunch
    ((.30, .42), (.25, .33), (.19, .28), (.15, .30), (.09, .40), (.11, .44), (.16, .42), (.21, .40), (.24, .50),
     (.30, .58)),
    ((.30, .58), (.31, .72), (.30, .86), (.34, .86), (.35, .72), (.37, .60)),                    # forelegs
    ((.37, .60), (.50, .63), (.62, .60)),                                                        # belly
    ((.62, .60), (.65, .72), (.63, .86), (.67, .86), (.70, .72), (.75, .62)),                    # hind legs
    ((.76, .46), (.83, .52), (.84, .66)),                                                        # tail
)


def play(notebook, film: Film, frames: int):
    """The whole scene: the waiting cell is started first, as Run All does, and everything else is done by hand."""
    ready, live = notebook.cell("pad.ready("), notebook.cell("LiveTraining(")
    notebook.run(0, ready, seconds=900)
    notebook.stroke(list(HORSE[0]))                         # else the next cell would wait for a drawing
    notebook.wait_until("pad.drawing.drawn", seconds=60)
    notebook.run(ready, live + 1, seconds=900)
    notebook.begin(notebook.cell("live.finished("))
    notebook.page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    canvas = notebook.page.locator(".jp-OutputArea canvas").nth(1)
    canvas.evaluate("canvas => canvas.scrollIntoView({block: 'start'})")
    film.shoot(1.2)
    for stroke in HORSE[1:]:
        notebook.stroke(list(stroke), canvas=1)
        film.shoot(0.35)
    film.shoot(0.8)
    notebook.press("Start")
    status = notebook.page.locator("[role=status]", has_text="from the sketch").last
    shown = None
    for _ in range(frames):
        for _ in range(100):                                # one frame for each thing that happens
            text = status.text_content() if status.count() else None
            if text != shown:
                break
            time.sleep(0.5)
        shown = text
        film.shoot(0.25)
        time.sleep(2)
    film.shoot(3.0)
    notebook.press("Stop")


def main():
    """Film it and write the GIF."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=40, help="of training")
    options = parser.parse_args()
    record("quickstart.gif", "00_quickstart.ipynb", lambda page, film: play(page, film, options.frames), height=900)


if __name__ == "__main__":
    main()
