"""A wheel holds everything: built from this checkout, installed in an empty folder, it runs the quickstart there."""
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest


def test_every_folder_is_in_the_wheel(root):
    tool = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {".".join(path.parent.relative_to(root).parts) for path in (root / "sketchgan").rglob("*.py")}
    assert set(tool["packages"]) == folders | {"sketchgan.data"}, "pyproject.toml lists the folders of the library"


@pytest.fixture(scope="module")
def installed(root, tmp_path_factory):
    """The folder that the wheel of this checkout is installed in, without what it depends on."""
    pytest.importorskip("setuptools", "77", reason="setuptools builds the wheel: pip install 'setuptools>=77'")
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source)
    for name in ("sketchgan", "data"):                           # a copy, so that no build is left in the checkout
        shutil.copytree(root / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta\nprint(build_meta.build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(source / done.stdout.split()[-1]) as wheel:
        wheel.extractall(site)                                   # all that pip does with a pure one
    return site


def test_the_quickstart_runs_from_an_installed_wheel_in_an_empty_folder(root, installed, tmp_path):
    for folder in ("sketches", "weights"):
        ships = sorted(path.name for path in (root / "data" / folder).glob("*.[js]*"))
        assert sorted(path.name for path in (installed / "sketchgan" / "data" / folder).iterdir()) == ships
    command = [sys.executable, "-m", "sketchgan", "customize", "--base", "horse", "--sketches", "horse_on_a_side",
               "--iterations", "1", "--no-warm-start", "--batch", "1", "--out", "mine"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine" / "grid.png").is_file() and str(root) not in done.stdout + done.stderr
    where = "import sketchgan; from sketchgan.files import data_folder; print(sketchgan.__file__, data_folder())"
    done = subprocess.run([sys.executable, "-c", where], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)},
                          capture_output=True, text=True, check=True)
    assert done.stdout.count(str(installed)) == 2, done.stdout
