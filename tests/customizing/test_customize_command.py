"""The command: python -m sketchgan customize makes models and pictures, resumes, and explains mistakes in a line."""

import csv
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

from sketchgan.customizing import command
from sketchgan.customizing.command import main
from sketchgan.customizing.stopping import Look, StoppingRule, Watch
from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.weights import checkpoints

CHANNELS = {4: 4, 8: 4}


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return Generator(8, 6, 6, 2, CHANNELS).eval(), Discriminator(8, CHANNELS).eval(), PhotoSketch(2, 1).eval()


def same_weights(a, b):
    """Whether two generators hold the same numbers."""
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def files(networks, tmp_path):
    G, D, F = networks
    checkpoints.save(tmp_path / "base.safetensors", G=G, D=D)
    checkpoints.save(tmp_path / "f.safetensors", F=F)
    page = Image.new("L", (8, 8), 255)
    page.paste(0, (3, 1, 5, 7))
    page.save(tmp_path / "drawing.png")
    return tmp_path


def arguments(files, *more):
    return [str(a) for a in ("--base", files / "base.safetensors", "--sketcher", files / "f.safetensors", "--sketches",
                             files / "drawing.png", "--threads", 1, "--out", files / "out", "--no-warm-start",
                             "--no-fit", *more)]


def test_command_makes_the_models_and_the_pictures_and_resumes(files, networks, capsys):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-m", "sketchgan", "customize", *arguments(files, "--iterations", 3)],
                            env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    out = files / "out"
    for name in ("sketches.png", "before.png", "after.png", "grid.png"):
        Image.open(out / name).verify()
    G = checkpoints.load_generator(out / "customized.safetensors")
    again = checkpoints.load_generator(out / "mapping_delta.safetensors", base=files / "base.safetensors")
    assert same_weights(G, again) and not same_weights(G, networks[0])
    summary = (out / "summary.txt").read_text()
    assert "1 sketches, 3 iterations" in summary and summary.strip() in result.stdout

    main(arguments(files, "--iterations", 5, "--resume"))
    with open(out / "log.csv") as log:
        assert [row["iteration"] for row in csv.DictReader(log)] == list("01234")
    assert "5 iterations" in (out / "summary.txt").read_text()


def test_command_stops_when_the_minutes_are_over(files):
    main(arguments(files, "--minutes", 0.0005))
    state = checkpoints.load_training(files / "out" / "training.pt")["state"]
    assert 1 <= state["iteration"] < 75_001


@pytest.mark.parametrize("more, kept", [([], 2), (["--no-stopping"], 4)])
def test_command_draws_from_the_chosen_generator_and_says_which(files, monkeypatch, capsys, more, kept):
    monkeypatch.setattr(command, "StoppingRule", lambda: StoppingRule(every=2))
    monkeypatch.setattr(Watch, "measure", lambda watch, i, G, D: Look(i, {2: 1.0}.get(i, 2.0), 1.0))
    weights = {}
    real = command.Run.steps

    def spied(run):
        for step in real(run):
            if step.phase == "train":
                weights[step.iteration + 1] = {name: value.clone() for name, value in step.G.state_dict().items()}
            yield step

    monkeypatch.setattr(command.Run, "steps", spied)
    main(arguments(files, "--iterations", 4, *more))
    G = checkpoints.load_generator(files / "out" / "customized.safetensors").state_dict()
    assert all(torch.equal(G[name], weights[kept][name]) for name in G)
    assert not all(torch.equal(G[name], weights[6 - kept][name]) for name in G)
    summary = (files / "out" / "summary.txt").read_text()
    assert "4 iterations" in summary and ("kept iteration 2 of 4" in summary) == (not more)
    assert (files / "out" / "after.png").is_file() and summary.strip() in capsys.readouterr().out


@pytest.mark.parametrize("more, words", [
    (["--base", "no_such_base"], "no base GAN 'no_such_base'"), (["--resume"], "nothing to resume"),
    (["--augment", "flip"], "'flip'"), (["--sketches", "no_such_drawing"], "no_such_drawing"),
])
def test_command_explains_mistakes_in_one_line(files, more, words):
    with pytest.raises(SystemExit) as exit:
        main(arguments(files, *more))
    assert str(exit.value).startswith("error: ") and words in str(exit.value)
