"""A real JupyterLab and a real browser: what a reader's mouse does arrives in Python, or these tests fail."""
import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / 'outputs' / 'screenshots'                  # kept after the run: what CI shows of a failure
FRONT_END = os.environ.get('SKETCHGAN_FRONT_END', 'lab')        # 'notebook' is Jupyter Notebook 7: make test-compat
SECONDS = 1000                                                  # Playwright counts in milliseconds
PATIENCE = 240                                                  # seconds for what takes a few on a machine at rest


# What `make lab` says of the folder that is served and the page that is opened.
OPTIONS = shlex.split(re.search(r'-m jupyter lab (.+)', (ROOT / 'Makefile').read_text())[1])


class JupyterLab:
    """The JupyterLab of `make lab` on a free port of this machine, with its settings and a copy of the project's
    folders in a folder of ours."""

    def __init__(self, folder: Path, fast: bool = True):
        self.token, self.folder = secrets.token_hex(16), folder
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.url = f'http://127.0.0.1:{free.getsockname()[1]}'
        # Copies: JupyterLab saves what it runs, and the committed notebooks must stay as they are.
        for name in ('notebooks', 'assets'):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('.ipynb_checkpoints'))
        (folder / 'data').symlink_to(ROOT / 'data')
        # The news question would lie over the notebook; all else is as a reader has it.
        file = folder / 'settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings'
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({'fetchNews': 'false', 'checkForUpdates': False}))
        places = {name: str(folder / name.lower()) for name in
                  ('JUPYTER_CONFIG_DIR', 'JUPYTER_RUNTIME_DIR', 'JUPYTERLAB_WORKSPACES_DIR', 'IPYTHONDIR')}
        environment = os.environ | places | {
            'JUPYTERLAB_SETTINGS_DIR': str(folder / 'settings'), 'SKETCHGAN_FAST': '1' if fast else ''}
        environment.pop('MPLBACKEND', None)                     # a kernel draws inline, as a reader's does
        self.log = open(folder / 'jupyterlab.log', 'w')
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'jupyter', FRONT_END, '--no-browser', '--allow-root', '--ip=127.0.0.1',
             f'--port={self.url.rsplit(":", 1)[1]}', '--ServerApp.port_retries=0', *OPTIONS,
             f'--IdentityProvider.token={self.token}', '--LabApp.expose_app_in_browser=True',
             '--JupyterNotebookApp.expose_app_in_browser=True',
             # Should this process be killed, the server and its kernel end by themselves.
             '--MappingKernelManager.cull_idle_timeout=300', '--ServerApp.shutdown_no_activity_timeout=300'],
            cwd=folder, env=environment, stdout=self.log, stderr=subprocess.STDOUT)

    def wait(self, seconds: float = PATIENCE):
        """Returns when the server answers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                return urllib.request.urlopen(f'{self.url}/api/status?token={self.token}', timeout=5).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise RuntimeError(f'JupyterLab did not start:\n{(self.folder / "jupyterlab.log").read_text()[-3000:]}')

    def close(self):
        """Ends the server, and with it the kernels it started."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class NotebookPage:
    """One notebook, open in the browser: run its cells, draw on its canvas, press its buttons, ask its kernel."""

    def __init__(self, lab: JupyterLab, page, name: str):
        self.page = page
        where = {'lab': 'lab/tree', 'notebook': 'notebooks'}[FRONT_END]
        self.url = f'{lab.url}/{where}/notebooks/{name}?token={lab.token}'
        self.open(f'{self.url}&reset')
        self.cells = [''.join(cell['source']) for cell in
                      json.loads((lab.folder / 'notebooks' / name).read_text())['cells']]

    def open(self, url: str):
        """Goes there and waits until the notebook and its kernel are ready."""
        self.page.goto(url)
        self.page.wait_for_selector('.jp-Notebook .jp-Cell', timeout=PATIENCE * SECONDS)
        self.wait_idle(PATIENCE)

    def reload(self):
        """Saves the notebook and loads the page anew; the kernel goes on."""
        self.page.evaluate(f'async () => {{ {self.READY} await panel.context.save(); }}')
        self.open(self.url)

    def restart(self):
        """Saves the notebook and gives it a new kernel: nothing is defined any more."""
        self.page.evaluate(f"""async () => {{ {self.READY} await panel.context.save();
                                             await panel.sessionContext.restartKernel(); }}""")
        self.open(self.url)

    # JupyterLab's commands are called by name: its menus can be clicked before the session is ready, to no effect.
    READY = '''const app = window.jupyterapp; await app.restored; const panel = app.shell.currentWidget;
               await panel.context.ready; await panel.sessionContext.ready;'''

    def cell(self, text: str) -> int:
        """The number of the one cell that holds this text."""
        found = [i for i, source in enumerate(self.cells) if text in source]
        assert len(found) == 1, f'{text!r} stands in {len(found)} cells of the notebook, one was wanted'
        return found[0]

    def wait_idle(self, seconds: float):
        # Attached is enough: on a narrow page the toolbar hides the indicator in its overflow menu, sooner or later.
        self.page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', state='attached',
                                    timeout=seconds * SECONDS)

    def run(self, first: int, last: int, seconds: float):
        """Runs the cells from first up to, not including, last; returns when all of them have ended well."""
        self.page.evaluate(f'''async ([first, last]) => {{ {self.READY}
            for (let at = first; at < last; at++) {{
                panel.content.activeCellIndex = at; panel.content.deselectAll();
                await app.commands.execute('notebook:run-cell');
            }} }}''', [first, last])
        self.wait_idle(seconds)
        errors = self.page.evaluate(f'''async ([first, last]) => {{ {self.READY}
            const outputs = panel.content.widgets.slice(first, last).flatMap(
                cell => cell.model.type === 'code' ? cell.model.sharedModel.getOutputs() : []);
            return outputs.filter(out => out.output_type === 'error').map(out => out.traceback.join('\\n')); }}''',
                                    [first, last])
        assert not errors, re.sub(r'\x1b\[[\d;]*m', '', errors[0])

    def run_all(self):
        """Run > Run All Cells, as a newcomer does; does not wait for the end."""
        self.page.evaluate(f"""async () => {{ {self.READY} app.commands.execute('notebook:run-all-cells'); }}""")

    def in_sight(self, selector: str) -> bool:
        """Whether the last element of this kind lies whole in what the window shows of the notebook."""
        return self.page.locator(selector).last.evaluate('''e => { const box = e.getBoundingClientRect();
            const pane = e.closest('.jp-WindowedPanel-outer, .jp-Notebook').getBoundingClientRect();
            return box.top >= pane.top - 1 && box.bottom <= Math.min(pane.bottom, innerHeight) + 1; }''')

    def begin(self, cell: int):
        """Starts a cell and does not wait for its end."""
        self.page.evaluate(f'''async at => {{ {self.READY}
            panel.content.activeCellIndex = at; panel.content.deselectAll();
            app.commands.execute('notebook:run-cell'); }}''', cell)

    def theme(self, name: str):
        """Changes the colours of JupyterLab: 'JupyterLab Dark' or 'JupyterLab Light'."""
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name)

    def python(self, code: str) -> str:
        """Runs code in the notebook's kernel, beside the cells, and returns what it printed."""
        status, text = self.page.evaluate(f'''async code => {{ {self.READY}
            const future = panel.sessionContext.session.kernel.requestExecute({{code, store_history: false}});
            let text = '';
            future.onIOPub = message => {{
                if (message.header.msg_type === 'stream') text += message.content.text;
                if (message.header.msg_type === 'error') text += message.content.traceback.join('\\n');
            }};
            const reply = await future.done;
            return [reply.content.status, text]; }}''', code)
        assert status == 'ok', text
        return text.strip()

    def wait_until(self, code: str, seconds: float):
        """Waits until the expression is true in the kernel, as long as the thread that makes it true may take."""
        end = time.monotonic() + seconds
        while self.python(f'print(bool({code}))') != 'True':
            assert time.monotonic() < end, f'not true after {seconds} s: {code}'
            time.sleep(0.25)

    def stroke(self, points: list[tuple[float, float]], canvas: int = 0):
        """Draws a line with the mouse, from point to point; coordinates are shares of the canvas, 0 to 1."""
        target = self.page.locator('.jp-OutputArea canvas').nth(canvas)
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        place = lambda x, y: (box['x'] + x * box['width'], box['y'] + y * box['height'])
        self.page.mouse.move(*place(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*place(*point), steps=10)
        self.page.mouse.up()

    def press(self, label: str):
        """Clicks the button of a widget."""
        self.page.locator('button.jupyter-button', has_text=re.compile(f'^{label}$')).first.click()

    def screenshot(self, name: str):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f'{name}.png')


@pytest.fixture(scope='session')
def jupyterlab(tmp_path_factory):
    lab = JupyterLab(tmp_path_factory.mktemp('jupyterlab'))
    try:
        lab.wait()
        yield lab
    finally:
        lab.close()


@contextlib.contextmanager
def open_browser(chromium: str, width: int = 1280, height: int = 1100):
    """A page in headless Chromium; a request that leaves this machine fails at once, as it does without a network."""
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[
            '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
            '--disable-background-networking', '--disable-component-update'])
        page = browser.new_page(viewport={'width': width, 'height': height}, has_touch=True)
        page.set_default_timeout(PATIENCE * SECONDS)
        page.route(re.compile(r'https?://(?!127\.0\.0\.1)'), lambda route: route.abort())
        yield page
        browser.close()


@pytest.fixture
def page(chromium, request):
    """A page in headless Chromium; when the test ends, a last screenshot is left in outputs/screenshots."""
    with open_browser(chromium) as page:
        yield page
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f'{request.node.name}-end.png')


@pytest.fixture
def open_notebook(jupyterlab, page):
    """Opens a notebook by name."""
    return lambda name: NotebookPage(jupyterlab, page, name)
