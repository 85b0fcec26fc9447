"""The command: python -m sketchgan customize makes models and pictures, resumes, and explains mistakes in a line."""

import csv
import os
import signal
import subprocess
import sys

import pytest
import torch
from PIL import Image

from sketchgan.customizing import command
from sketchgan.customizing.command import main
from sketchgan.customizing.stopping import Look, StoppingRule, Watch
from sketchgan.files.atomic import locked
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


def test_what_is_finished_stays_and_what_begins_anew_sets_it_aside(files, networks, capsys):
    out = files / "out"
    main(arguments(files, "--iterations", 3))
    first = checkpoints.load_generator(out / "customized.safetensors")
    main(arguments(files, "--iterations", 3, "--resume"))
    assert same_weights(checkpoints.load_generator(out / "customized.safetensors"), first), "nothing was left to do"
    for name in ("before", "before-2"):
        kept = (out / "training.pt").read_bytes()
        main(arguments(files, "--iterations", 1))
        assert (out / name / "training.pt").read_bytes() == kept and (out / name / "grid.png").is_file()
    assert same_weights(checkpoints.load_generator(out / "before" / "customized.safetensors"), first)
    assert "is now in" in capsys.readouterr().err


def test_ctrl_c_ends_with_what_there_is_and_without_a_step_with_nothing(files, monkeypatch):
    out, real = files / "out", command.Report.take

    def interrupted(report, step):
        real(report, step)
        if step.iteration == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(command.Report, "take", interrupted)
    main(arguments(files, "--iterations", 9))
    assert "2 iterations" in (out / "summary.txt").read_text()

    def steps(run):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(command.Run, "steps", steps)
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(SystemExit, match="Nothing was trained"):
        main(arguments(files, "--iterations", 9))
    assert {path: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("more, words", [
    (["--iterations", 0], "iterations of CustomizeConfig is 0"), (["--minutes", 0], "minutes is 0"),
    (["--device", "gpu"], "'gpu' cannot be used here"), (["--keep", 2], "keep of WarmStart is 2"),
    (["--batch", 0], "batch of"), (["--seed", -1], "seed of"),
])
def test_nonsense_is_refused_before_anything_is_made(files, more, words):
    with pytest.raises(SystemExit, match=words):
        main(arguments(files, *more))
    assert not (files / "out").exists()


def test_a_folder_in_use_is_refused(files):
    with locked(files / "out", "another"), pytest.raises(SystemExit, match="in use by another"):
        main(arguments(files, "--iterations", 1))


def test_separate_files_of_g_and_d_and_a_base_too_small_for_the_judge(files, networks):
    torch.save(networks[0].state_dict(), files / "netG.pth"), torch.save(networks[1].state_dict(), files / "netD.pth")
    main(arguments(files, "--base", files / "netG.pth", "--discriminator", files / "netD.pth", "--iterations", 1,
                   "--sketches", "standing_cat"))
    summary = (files / "out" / "summary.txt").read_text()
    assert "1 iterations" in summary and "our judge needs 64 px, and these are 8 px" in summary


DAMAGED = ["", "a,b\n1,2\n", "iteration,seconds\nx,1\n", 'iteration,seconds\n"1,2', "\0", "\udc00"]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_log_is_no_reason_not_to_go_on(files, text):
    main(arguments(files, "--iterations", 1))
    (files / "out" / "log.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    main(arguments(files, "--iterations", 2, "--resume"))
    with open(files / "out" / "log.csv") as log:
        assert [row["iteration"] for row in csv.DictReader(log)] == ["1"]


def test_the_log_of_a_run_without_a_terminal_is_short(files, capfd):
    main(arguments(files, "--iterations", 40))
    assert len(capfd.readouterr().err.splitlines()) < 20
