"""Writes the Colab badge and the set-up cell of every notebook from the public address in pyproject.toml.

    python notebooks/set_addresses.py            rewrite what differs, and name it
    python notebooks/set_addresses.py --check    write nothing; exit with 1 if anything differs (a test runs this)

Whoever publishes the project changes one line, `Repository` under [project.urls], and runs this.
"""
import argparse
import os
import sys
import tomllib
from pathlib import Path

import nbformat
from packaging.requirements import Requirement

HERE = Path(__file__).resolve().parent
BADGE = '[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]'
SET_UP = '''\
# Set-up. On Colab: fetch the project and the few packages that are missing there. Anywhere else: nothing to do.
import os, sys
if 'google.colab' in sys.modules:
    if not os.path.exists('../pyproject.toml'):
        !git clone --quiet --depth 1 {address} {folder}
        %cd {folder}/notebooks
    !pip install --quiet {packages}
    sys.path.insert(0, os.path.abspath('..'))
    from google.colab import output
    output.enable_custom_widget_manager()'''


def project(pyproject: Path) -> tuple[str, list[str]]:
    """The public address, and what a Colab machine must install: all that a notebook needs but torch and Jupyter.

    torch is left out because Colab's own build fits its GPU; ranges, not pins, so that pip leaves alone what fits.
    """
    table = tomllib.loads(pyproject.read_text(encoding='utf-8'))['project']
    address = table['urls']['Repository'].rstrip('/')
    if not address.startswith('https://github.com/') or address.count('/') != 4:
        sys.exit(f'Repository in {pyproject} is {address!r}; Colab opens https://github.com/OWNER/NAME only')
    wanted = [Requirement(line) for line in table['dependencies'] + table['optional-dependencies']['notebooks']]
    skip = {'torch', 'jupyterlab', 'nbclient', 'nbformat'}
    return address, [f'"{item}"' for item in wanted if item.name not in skip]


def badge_line(address: str, name: str) -> str:
    page = address.replace('https://github.com/', 'https://colab.research.google.com/github/')
    return f'{BADGE}({page}/blob/main/notebooks/{name})'


def with_badge(source: str, line: str) -> str:
    """The first cell's text with its badge replaced, or put in below the title."""
    lines = source.split('\n')
    at = next((i for i, text in enumerate(lines) if text.startswith(BADGE)), None)
    if at is not None:
        return '\n'.join(lines[:at] + [line] + lines[at + 1:])
    return '\n'.join(lines[:1] + ['', line] + lines[1:])


def addressed(notebook, name: str, address: str, packages: list[str]):
    """Sets badge and set-up cell of one notebook in place; the set-up cell is the one tagged `set-up`."""
    cells = notebook.cells
    if not cells or cells[0].cell_type != 'markdown' or not cells[0].source.startswith('# '):
        sys.exit(f'{name}: the first cell must be text that begins with the title, "# ..."')
    cells[0].source = with_badge(cells[0].source, badge_line(address, name))
    set_up = next((c for c in cells if 'set-up' in c.metadata.get('tags', [])), None)
    if set_up is None:
        set_up = nbformat.v4.new_code_cell(id='set-up', metadata={'tags': ['set-up']})
        first_code = next((i for i, c in enumerate(cells) if c.cell_type == 'code'), len(cells))
        cells.insert(first_code, set_up)
    set_up.source = SET_UP.format(address=address, folder=address.split('/')[-1], packages=' '.join(packages))
    return notebook


def write_whole(path: Path, text: str):
    """Writes the file whole or not at all."""
    temporary = path.with_name(path.name + '.tmp')
    temporary.write_text(text, encoding='utf-8')
    os.replace(temporary, path)


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebooks', nargs='*', type=Path, help='default: every notebook in this folder')
    parser.add_argument('--pyproject', type=Path, default=HERE.parent / 'pyproject.toml')
    parser.add_argument('--check', action='store_true', help='write nothing, say what would change')
    options = parser.parse_args(arguments)
    address, packages = project(options.pyproject)
    changed = []
    for path in options.notebooks or sorted(HERE.glob('[0-9][0-9]_*.ipynb')):
        before = path.read_text(encoding='utf-8')
        notebook = addressed(nbformat.reads(before, as_version=4), path.name, address, packages)
        after = nbformat.writes(notebook).rstrip('\n') + '\n'
        if after.rstrip('\n') != before.rstrip('\n'):
            changed.append(path.name)
            if not options.check:
                write_whole(path, after)
    verb = 'would be' if options.check else 'was'
    print('\n'.join(f'{name} {verb} rewritten' for name in changed) or f'every notebook points at {address}')
    return 1 if changed and options.check else 0


if __name__ == '__main__':
    sys.exit(main())
