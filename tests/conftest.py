"""What every test starts from: fixed seeds and threads, a cache of its own, and ways to skip that say why."""
import os
import shutil
import signal
from pathlib import Path

import pytest

# Before anything imports matplotlib: figures are drawn into memory, never onto a screen.
os.environ.setdefault('MPLBACKEND', 'Agg')

import numpy
import torch

ROOT = Path(__file__).resolve().parent.parent
# A shell that puts the tests in its background has them ignore interrupts; the tests of Ctrl-C need one that arrives.
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', min(2, os.cpu_count() or 1))))


@pytest.fixture(autouse=True)
def seeded():
    """Every test draws the same random numbers, alone or after others."""
    torch.manual_seed(0)
    numpy.random.seed(0)


@pytest.fixture(scope='session', autouse=True)
def cache(tmp_path_factory):
    """A cache folder for this run only, so that no test passes because of what an earlier run left behind."""
    folder = tmp_path_factory.mktemp('cache')
    before = os.environ.get('SKETCHGAN_CACHE')
    os.environ['SKETCHGAN_CACHE'] = str(folder)
    yield folder
    if before is None:
        del os.environ['SKETCHGAN_CACHE']
    else:
        os.environ['SKETCHGAN_CACHE'] = before


@pytest.fixture(scope='session')
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope='session')
def chromium() -> str:
    """The system's Chromium; without one the test is skipped, or fails where SKETCHGAN_REQUIRE_BROWSER=1 (CI)."""
    names = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
    found = next(filter(None, map(shutil.which, names)), None)
    if found:
        return found
    message = f"no browser: none of {', '.join(names)} is on the PATH. On Debian and Ubuntu: apt-get install chromium"
    if os.environ.get('SKETCHGAN_REQUIRE_BROWSER') == '1':
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def real_data() -> Path:
    """The folder of real photographs named by SKETCHGAN_DATA; without it the test is skipped."""
    folder = os.environ.get('SKETCHGAN_DATA')
    if not folder or not Path(folder).is_dir():
        pytest.skip('no real photographs: set SKETCHGAN_DATA to a folder that holds them')
    return Path(folder)


def pytest_collection_modifyitems(items):
    """Tests that need a GPU carry no marker of their own: `cuda` among their fixtures is enough."""
    if not torch.cuda.is_available():
        for item in items:
            if 'cuda' in getattr(item, 'fixturenames', ()):
                item.add_marker(pytest.mark.skip(reason='no CUDA device on this machine'))


@pytest.fixture
def cuda() -> torch.device:
    return torch.device('cuda')
