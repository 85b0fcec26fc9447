"""kill -9 at random moments of the command and of a session whose thread trains: the files stay whole, and what goes on
ends in the very state of a run that nobody killed. SKETCHGAN_KILLS=25 kills more often than the suite does; preparation
and downloads read it too.

One process imports torch and forks the runs, for most of a run's time would go into importing.
"""
import csv
import dataclasses
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from sketchgan.customizing import command
from sketchgan.customizing.history import History
from sketchgan.customizing.run import Run
from sketchgan.customizing.session import Session
from sketchgan.weights.checkpoints import load_generator, load_training, save
from tests.customizing.test_kept import QUICK, equal, page
from tests.stand_ins import small_networks

KILLS = int(os.environ.get("SKETCHGAN_KILLS", 0))
ITERATIONS = 20
CONFIG = dataclasses.replace(QUICK, iterations=ITERATIONS, checkpoint_every=1)

SERVER = """
import os, sys
sys.path[:0] = sys.argv[1:]
from pathlib import Path
from tests import test_kills
for line in sys.stdin:
    what, folder = line.strip().split(" ", 1)
    child = os.fork()
    if not child:
        getattr(test_kills, what)(Path(folder))
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("over", flush=True)
"""


def open_session(folder: Path) -> Session:
    """The session of a folder, as a kernel that was restarted opens it."""
    session = Session(*small_networks(), page(), config=CONFIG, checkpoint=folder / "session.pt")
    session.history.every = 0.0
    return session


def train_a_session(folder: Path) -> None:
    """In a thread of its own, as below the sketch pad."""
    session = open_session(folder)
    session.start()
    session.join()


def arguments(folder: Path) -> list[str]:
    """Of the command, which goes on where there is something to go on with."""
    words = ["--base", folder / "base.safetensors", "--sketcher", folder / "f.safetensors", "--sketches",
             folder / "drawing.png", "--threads", 1, "--batch", 2, "--out", folder / "out", "--no-warm-start",
             "--no-fit", "--no-stopping", "--iterations", ITERATIONS]
    return [str(word) for word in words] + ["--resume"] * (folder / "out" / command.TRAINING).exists()


def run_the_command(folder: Path) -> None:
    """With a checkpoint after each step."""
    often(command)
    command.main(arguments(folder))


def often(module) -> None:
    recipe = module.recipe
    module.recipe = lambda args: dataclasses.replace(recipe(args), checkpoint_every=1, sample_every=0)
    module.REFRESH = 0.0


@pytest.fixture(scope="module")
def kill(root):
    """A function that runs one of the above in a folder, and kills it at a random moment."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(root), *sys.path], text=True, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    moments = random.Random(13)

    def one(what: str, folder: Path) -> None:
        print(what, folder, file=server.stdin, flush=True)
        while not (line := server.stdout.readline()).strip().isdecimal():
            assert line, "the process that forks has died"
        time.sleep(moments.uniform(0, 0.4))
        os.kill(int(line), 9)
        while (line := server.stdout.readline()).strip() != "over":
            assert line, "the process that forks has died"

    yield one
    server.stdin.close()
    server.wait()


def test_a_session_that_is_killed_goes_on_exactly(kill, tmp_path):
    file = tmp_path / "session.pt"
    for _ in range(KILLS or 3):
        kill("train_a_session", tmp_path)
        if file.exists():
            assert 0 < load_training(file)["state"]["iteration"] <= ITERATIONS
            history = History(small_networks()[0], tmp_path / "session.history")
            history.read()
            assert len(history) == len(history._files()), "every snapshot is whole"
            if load_training(file)["state"]["iteration"] == ITERATIONS:
                file.unlink()           # a fast machine: begin anew
    session = open_session(tmp_path)
    session.start(here=True)
    session.join()
    whole = Run(*small_networks(), page(), config=CONFIG)
    list(whole.steps())
    assert equal(session.run.state.state_dict(), whole.state.state_dict())
    assert all(a.iteration <= b.iteration for a, b in zip(session.history.snapshots, session.history.snapshots[1:]))
    iterations = [point[0] for point in session.history.losses]
    assert iterations == sorted(set(iterations)), "no step is counted twice"
    assert not list(tmp_path.rglob("*.lock"))


def test_a_command_that_is_killed_goes_on_exactly(kill, tmp_path, monkeypatch, capsys):
    G, D, F = small_networks()
    save(tmp_path / "base.safetensors", G=G, D=D)
    save(tmp_path / "f.safetensors", F=F)
    drawing = Image.new("L", (8, 8), 255)
    drawing.paste(0, (3, 1, 5, 7))
    drawing.save(tmp_path / "drawing.png")
    out = tmp_path / "out"
    for _ in range(KILLS or 3):
        kill("run_the_command", tmp_path)
        if (out / command.TRAINING).exists():
            assert 0 < load_training(out / command.TRAINING)["state"]["iteration"] <= ITERATIONS
        for name in ("sketches.png", "before.png", "after.png", "grid.png"):
            if (out / name).exists():
                Image.open(out / name).load()
        for name in ("customized.safetensors", "mapping_delta.safetensors"):
            if (out / name).exists():
                load_generator(out / name, base=G if "delta" in name else None)
    monkeypatch.setattr(command, "recipe", command.recipe)      # restored afterwards, with the next one
    monkeypatch.setattr(command, "REFRESH", command.REFRESH)
    often(command)
    for _ in range(2):                  # killed or ended, the last word is the same
        command.main(arguments(tmp_path))
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert [int(row["iteration"]) for row in rows] == list(range(ITERATIONS)), "each step stands once in the log"
    straight = arguments(tmp_path)[:-1]
    straight[straight.index("--out") + 1] = str(tmp_path / "straight")
    command.main(straight)
    ours, theirs = (load_training(folder / command.TRAINING)["state"] for folder in (out, tmp_path / "straight"))
    assert equal(ours, theirs)
    ours, theirs = (load_generator(folder / "customized.safetensors") for folder in (out, tmp_path / "straight"))
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values()))
