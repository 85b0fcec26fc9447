"""Does an hour of training with the view open fill the memory? The kernel's and the tab's, minute by minute.

    python benchmarks/hour_of_training.py                  an hour, in headless Chromium (that of the browser tests)
    python benchmarks/hour_of_training.py --minutes 5

Notebook 00 is opened, one sketch is drawn, Start is pressed, and the view stays open. The memory of the kernel is its
resident set, as psutil tells; that of the tab is JavaScript's heap after a collection, as Chromium tells. The last line
says how much each grew after the second minute, when everything has been there once. Updates are the pictures that the
view was sent.
"""
import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from _results import RESULTS, ROOT, machine, show, write

sys.path.insert(0, str(ROOT / "tests" / "browser"))

ALLOWED = 100.0                         # MB of growth, of kernel and tab alike
WARM_UP = 2                             # minutes until everything has been there once


def memory(notebook, devtools) -> dict[str, float]:
    """MB of the kernel and of the tab."""
    kernel = float(notebook.python("import psutil; print(psutil.Process().memory_info().rss / 1e6)"))
    devtools.send("HeapProfiler.collectGarbage")
    tab = devtools.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    return {"kernel_MB": round(kernel, 1), "tab_MB": round(tab, 1)}


def measure(notebook, minutes: float) -> list[dict]:
    """Draws, starts, and looks once a minute; returns a row for each."""
    ready, live = notebook.cell("pad.ready("), notebook.cell("LiveTraining(")
    notebook.run(0, ready, seconds=600)
    notebook.stroke([(0.2, 0.4), (0.5, 0.35), (0.8, 0.45)])
    notebook.wait_until("pad.drawing.drawn", seconds=60)
    notebook.run(ready, live + 1, seconds=600)
    notebook.python("import dataclasses; live.session.minutes = None; "        # nothing ends it before the hour is over
                    "live.session.config = dataclasses.replace(live.session.config, stopping=None)")
    notebook.python("updates = 0\ndef count(change):\n    global updates\n    updates += 1\nlive.now.observe(count, "
                    "'value')")
    notebook.press("Start")
    devtools = notebook.page.context.new_cdp_session(notebook.page)
    rows, began = [], time.monotonic()
    while not rows or rows[-1]["minute"] < minutes:
        time.sleep(max(0.0, began + 60 * len(rows) - time.monotonic()))
        said = notebook.python("print(live.iteration, len(live.history), updates)")
        iteration, snapshots, updates = map(int, said.split())
        rows.append({"minute": round((time.monotonic() - began) / 60, 1), **memory(notebook, devtools),
                     "iteration": iteration, "snapshots": snapshots, "updates": updates})
        print(rows[-1], flush=True)
        said = notebook.python("print(live.running, live.error)")
        assert said == "True None", f"training should go on; live.running, live.error: {said!r}"
    notebook.press("Stop")
    return rows


def growth(rows: list[dict], name: str) -> float:
    """MB from the first row after the warm-up to the last row."""
    settled = next((row for row in rows if row["minute"] >= WARM_UP), rows[0])
    return rows[-1][name] - settled[name]


def main():
    """Run it and judge it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    from conftest import JupyterLab, NotebookPage, open_browser
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if chromium is None:
        sys.exit("no Chromium on the PATH; on Debian and Ubuntu: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        lab = JupyterLab(Path(folder))
        try:
            lab.wait()
            with open_browser(chromium) as page:
                rows = measure(NotebookPage(lab, page, "00_quickstart.ipynb"), options.minutes)
        finally:
            lab.close()
    show(rows)
    if options.minutes <= WARM_UP:
        return print(f"It runs; growth is counted after minute {WARM_UP}, so give more --minutes to judge it.")
    write(RESULTS / "hour_of_training.csv", rows)
    grown = {name: growth(rows, f"{name}_MB") for name in ("kernel", "tab")}
    print(f"{machine()}; growth after minute {WARM_UP}: kernel {grown['kernel']:.0f} MB, tab {grown['tab']:.0f} MB "
          f"(allowed: {ALLOWED:.0f} MB each)")
    sys.exit(any(value > ALLOWED for value in grown.values()))


if __name__ == "__main__":
    main()
