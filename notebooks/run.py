"""Runs notebooks from top to bottom at full size and saves their outputs: the only way that outputs get committed.

    python notebooks/run.py                           every notebook
    python notebooks/run.py 00_quickstart.ipynb       some
    python notebooks/run.py --tables                  only the cells that print what benchmarks/results/ holds

A notebook that fails is left as it was. What a reader on GitHub cannot use is not saved: live widgets, which are dead
in a file, and the widgets' state. `make notebooks` calls this.
"""
import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from set_addresses import HERE, write_whole

MOST_BYTES = 300_000                                            # a notebook with its outputs; larger ones load slowly
WIDGET = 'application/vnd.jupyter.widget-view+json'


def readable(notebook):
    """Drops from an executed notebook, in place, what only a live session can show."""
    notebook.metadata.pop('widgets', None)
    for cell in notebook.cells:
        if cell.cell_type == 'code':
            cell.outputs = without_progress([out for out in cell.outputs if WIDGET not in out.get('data', {})])
            cell.metadata.pop('execution', None)                # times of day: a change in every run
    return notebook


def without_progress(outputs: list) -> list:
    """Outputs without what progress bars wrote over: of a line with carriage returns, what a terminal shows at last."""
    errors = [out for out in outputs if out.output_type == 'stream' and out.name == 'stderr']
    if errors:
        errors[0].text = ''.join(out.text for out in errors)        # a bar comes in pieces
        outputs = [out for out in outputs if not any(out is other for other in errors[1:])]
    for out in outputs:
        if out.output_type == 'stream':
            shown = [line.rstrip('\r').rsplit('\r', 1)[-1].rstrip() for line in out.text.split('\n')]
            out.text = '\n'.join(shown) if out.name == 'stdout' else '\n'.join(line for line in shown if line)
    return [out for out in outputs if out.output_type != 'stream' or out.text.strip()]


def run(path: Path, minutes: float, only: set[str] | None = None) -> str:
    """Executes one notebook in its own folder, saves it, and returns a line for the table of costs.

    only: tags of the cells to run; the outputs of all others stay.
    """
    notebook = nbformat.read(path, as_version=4)
    began = time.monotonic()
    cells = [cell for cell in notebook.cells if only is None or only & set(cell.metadata.get('tags', []))]
    numbers = [cell.get('execution_count') for cell in cells]
    # The same cells: outputs land in the notebook.
    part = nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)
    NotebookClient(part, timeout=60 * minutes, kernel_name='python3',
                   resources={'metadata': {'path': str(path.parent)}}).execute()
    if only is not None:                                        # a reader sees the notebook run from top to bottom
        for cell, number in zip(cells, numbers):
            cell.execution_count = number
            for out in cell.outputs:
                if 'execution_count' in out:
                    out.execution_count = number
    text = nbformat.writes(readable(notebook)).rstrip('\n') + '\n'
    size = len(text.encode('utf-8'))
    if size > MOST_BYTES:
        kept = path.parent.parent / 'outputs' / path.name
        kept.parent.mkdir(exist_ok=True)
        write_whole(kept, text)                                 # minutes of work, and what there is to look at
        sys.exit(f'{path.name} would be {size / 1000:.0f} kB with its outputs, {MOST_BYTES // 1000} kB at most: '
                 f'draw smaller figures (lower dpi, fewer samples). It was not saved; this run lies in outputs/'
                 f'{path.name}.')
    write_whole(path, text)
    return f'{path.name}: {time.monotonic() - began:.0f} s, {size / 1000:.0f} kB'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebooks', nargs='*', type=Path, help='default: every notebook in this folder')
    parser.add_argument('--minutes', type=float, default=30, help='most minutes for one cell')
    parser.add_argument('--tables', action='store_true', help='only the cells that print or draw committed results')
    options = parser.parse_args()
    os.environ.pop('SKETCHGAN_FAST', None)                      # a small run must never become the committed one
    notebooks = options.notebooks or sorted(HERE.glob('[0-9][0-9]_*.ipynb'))
    if options.tables:
        notebooks = [path for path in notebooks if 'benchmarks/results' in path.read_text(encoding='utf-8')]
    for path in notebooks:
        only = {'imports', 'nbval-check-output', 'figure'} if options.tables else None
        print(run(path.resolve(), options.minutes, only), flush=True)


if __name__ == '__main__':
    main()
