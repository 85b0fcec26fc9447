"""The runner: every row of the table on tiny networks, resumed and shared without a line lost, and the command."""
import dataclasses
import math
import time

import numpy as np
import pytest
import torch
from PIL import Image

from sketchgan.customizing.stopping import StoppingRule
from sketchgan.customizing.warmstart import WarmStart
from sketchgan.files import tables
from sketchgan.files.atomic import locked
from sketchgan.nets.encoders import SketchEmbedding
from sketchgan.nets.judge import Judge
from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.study import ablations, table
from sketchgan.study.ablations import NAMED, ROWS, Budget, Job, Runner, add_rows, jobs
from sketchgan.study.tasks import TASKS, Task, menagerie_task, photo_task
from sketchgan.weights import checkpoints
from sketchgan.weights.own import load_own

CHANNELS = {4: 4, 8: 4, 16: 4, 32: 4}
TINY = Budget(iterations=2, batch=2, samples=14, checks=2, pool=28, resamples=3)
WARM = WarmStart(samples=48, keep=0.25, rounds=1, candidates=8, pool=32, steps=3, batch=8, shift=0, scale=0)
RULE = StoppingRule(samples=8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of tiny untrained networks; its judge finds pose 'up' in every picture and 'down' in none."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    checkpoints.save(folder / "gan.safetensors", G=Generator(32, 8, 8, 2, CHANNELS), D=Discriminator(32, CHANNELS))
    checkpoints.save(folder / "photosketch.safetensors", F=PhotoSketch(2, 1))
    judge = Judge(("hands",), (), ("pose up", "pose down"), widths=(4, 4, 4, 4), dim=6)
    with torch.no_grad():
        judge.decide.bias.copy_(torch.tensor([100.0, -100.0]))
    checkpoints.write_safetensors(folder / "judge.safetensors", judge.state_dict(), {"config": {"judge": judge.config}})
    embedding = SketchEmbedding(widths=(4,), dim=4)
    checkpoints.write_safetensors(folder / "sketch_embedding.safetensors", embedding.state_dict(),
                                  {"config": {"sketchembedding": embedding.config}})
    return folder


@pytest.fixture
def task(weights):
    """A target of noise, and sketches of one line each."""
    page = torch.ones(60, 1, 32, 32)
    page[torch.arange(60), :, :, 2 + torch.arange(60) % 28] = -1
    path = weights / "gan.safetensors"
    file = checkpoints.load_generator(path), checkpoints.load_discriminator(path)
    judge = load_own(Judge, weights / "judge.safetensors", "")
    return Task("pose up", *file, checkpoints.load_photosketch(weights / "photosketch.safetensors"), judge,
                sketches=lambda seed, n: page[seed:seed + n],
                images=lambda: torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(9)) * 2 - 1,
                target=lambda n: torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1)


@pytest.fixture
def runner(task, weights, tmp_path):
    return Runner(lambda name: task, tmp_path / "rows.csv", tmp_path / "work", weights, TINY, warm=WARM, rule=RULE)


def test_every_row_of_the_table_is_made_once(runner):
    everything = [Job("pose up", row.name, 0) for row in ROWS]
    assert all(runner.run(job) for job in everything)
    rows = tables.read(runner.csv)
    trained = [row.name for row in ROWS if row.how == "training"]
    assert len(rows) == len(ROWS) + len(trained), "what is trained is measured twice, the others once"
    assert {row["row"] for row in rows} == set(NAMED)
    assert {(r["at"], r["iterations"]) for r in rows} == {(0, 2), (1, 2), (2, 2)}
    for row in rows:
        assert row["share"] == 1 and row["extractor"].startswith("judge ") and (row["real"], row["fake"]) == (14, 14)
        assert row["frechet_low"] <= row["frechet"] <= row["frechet_high"] and row["chamfer"] > 0
        assert ("look_distance" in row and row["look_distance"] != "") == (row["row"] in trained)
    before = runner.csv.read_bytes()
    assert all(runner.run(job) for job in everything) and runner.csv.read_bytes() == before, "nothing is done twice"
    assert not list(runner.work.glob("*.pt")) or all(p.name.startswith("target") for p in runner.work.glob("*.pt"))


def test_a_run_that_is_stopped_goes_on_and_ends_like_one_that_never_was(runner, task, weights, tmp_path):
    job = Job("pose up", "5 sketches", 1)
    runner.budget = dataclasses.replace(TINY, iterations=3, checks=3)
    runner.deadline = time.monotonic() + 1e9
    assert runner.run(job)
    whole = tables.read(runner.csv)
    parts = Runner(lambda name: task, tmp_path / "parts.csv", tmp_path / "parts", weights, runner.budget, rule=RULE)
    calls = 0
    while calls < 5:  # each call has time for a single step
        parts.deadline = time.monotonic() + 0.0
        with locked(parts.work, name=f".{parts.file(job)}.lock"):
            if parts.train(job):
                break
        calls += 1
    assert calls == 2, "three steps in three calls"
    same = ("at", "frechet", "kid", "chamfer", "look_distance", "look_overfit")
    assert [[row[k] for k in same] for row in tables.read(parts.csv)] == [[row[k] for k in same] for row in whole]


def test_what_another_process_is_at_is_left_alone(runner):
    job = Job("pose up", "original", 0)
    with locked(runner.work, name=f".{runner.file(job)}.lock"):
        assert not runner.run(job) and not runner.csv.exists()
    assert runner.run(job)
    runner.deadline = time.monotonic()
    assert not runner.run(Job("pose up", "original", 1)), "time is over: nothing new is begun"


def test_lines_of_other_machines_are_added_and_old_ones_of_the_same_key_replaced(tmp_path):
    line = dict.fromkeys(ablations.KEY, 1) | {"frechet": 5.0}
    csv = tmp_path / "rows.csv"
    add_rows(csv, [line, line | {"seed": 2}], tmp_path)
    add_rows(csv, [line | {"frechet": 6.0}, line | {"base": "0123"}], tmp_path)
    assert [(row["seed"], row["frechet"]) for row in tables.read(csv)] == [(1, 6.0), (2, 5.0), (1, 5.0)]


@pytest.mark.parametrize("base", ["12e45678", "00123456", "12345678", "1e5"])
def test_a_base_whose_hash_looks_like_a_number_is_not_run_again(runner, monkeypatch, base):
    job = Job("pose up", "original", 0)
    monkeypatch.setattr(runner, "base", lambda job: base)
    assert runner.run(job) and runner.done(job, 0) and len(tables.read(runner.csv)) == 1
    assert runner.run(job) and [row["base"] for row in tables.read(runner.csv, table.TEXT)] == [base]


def test_files_of_a_job_are_named_by_all_that_its_rows_are_known_by(runner, monkeypatch):
    """A checkpoint of another base, precision or number of samples is another run's."""
    job, names = Job("pose up", "full method", 0), set()
    for change in ({}, {"iterations": 3}, {"batch": 3}, {"bf16": 0}, {"samples": 15}):
        runner.budget = dataclasses.replace(TINY, **change)
        names.add(runner.file(job))
    monkeypatch.setattr(runner, "base", lambda job: "0123")
    names |= {runner.file(job), runner.file(dataclasses.replace(job, seed=1))}
    assert len(names) == 7


def test_a_table_of_an_older_version_is_added_to(tmp_path):
    csv = tmp_path / "rows.csv"
    tables.write(csv, [{"task": "cat", "row": "original", "frechet": 5.0}])
    add_rows(csv, [{name: 0 for name in ablations.KEY} | {"frechet": 6.0}], tmp_path)
    assert [row["frechet"] for row in tables.read(csv)] == [5.0, 6.0]


def test_the_most_important_jobs_come_first():
    everything = jobs({name: name in TASKS[:2] for name in TASKS}, 3)
    main = sum(row.main for row in ROWS)
    assert len(everything) == len(set(everything)) == 2 * 3 * len(ROWS) + 2 * main
    assert [(job.row, job.seed) for job in everything[:2]] == [("full method", 0)] * 2
    assert [job.row for job in everything[2:6:2]] == ["original", "chamfer matching"]
    assert [job.seed for job in everything if job.task in TASKS[2:]] == [0] * 2 * main
    assert everything[-1].seed == 2


def test_rows_differ_from_the_full_method_in_what_their_names_say():
    assert NAMED["full method"].changes == {} and NAMED["full method"].sketches == 30
    assert NAMED["W-shift"].changes == {"optim_param": "w_shift"}
    assert NAMED["1 sketch"].sketches == 1 and not NAMED["1 sketch"].changes
    assert [row.name for row in ROWS
            if row.changes.get("warm_start")] == ["warm start, then full method"], "all others begin cold"
    assert [row.name for row in ROWS if not row.data] == ["images from the base's samples"]
    assert NAMED["chamfer matching, nearer half"].pool == 5000


def photographs(folder):
    """Two poses of 70 pictures each: dark bars that stand or lie."""
    random = np.random.default_rng(0)
    for pose in ("up", "down"):
        (folder / pose).mkdir(parents=True)
        for i in range(70):
            picture = random.integers(150, 255, (32, 32, 3), dtype=np.uint8)
            picture[8:12] = 0
            Image.fromarray(picture if pose == "down" else picture.swapaxes(0, 1)).save(folder / pose / f"{i}.png")
    return folder


def test_photographs_keep_sketches_and_target_apart(weights, tmp_path):
    photos = photographs(tmp_path / "hands")
    file = weights / "gan.safetensors"
    made = photo_task("up", photos, file, weights / "judge.safetensors", weights, most_sketched=6)
    assert made.name == "pose up" and made.target(1000).shape == (64, 3, 32, 32), "70, less those that are sketched"
    assert made.sketches(0, 6).shape == (6, 1, 32, 32) and not torch.equal(made.sketches(0, 6), made.sketches(1, 6))
    assert torch.equal(made.sketches(0, 6)[:2], made.sketches(0, 2))
    with pytest.raises(ValueError, match="holds out 6 photographs of pose up; 7 sketches"):
        made.sketches(0, 7)


def test_the_command_runs_what_it_can_says_what_it_cannot_and_writes_the_table(weights, tmp_path, capsys):
    photos = photographs(tmp_path / "hands")
    options = ["--photos", photos, "--pose", "up", "--base", weights / "gan.safetensors", "--judge",
               weights / "judge.safetensors",
               "--weights", weights, "--csv", tmp_path / "hands.csv", "--work", tmp_path / "work", "--threads",
               torch.get_num_threads(),
               "--iterations", 2, "--batch", 2, "--samples", 14, "--pool", 14, "--resamples", 2, "--checks", 1,
               "--seeds", 1, "--only", "pose up"]
    run = lambda *more: ablations.main([str(v) for v in (*options, *more)])
    run("original")  # its distance to 30 sketches is wanted, and fewer photographs are held out
    assert tables.read(tmp_path / "hands.csv") == []
    run("1 sketch")
    assert [(row["task"], row["row"]) for row in tables.read(tmp_path / "hands.csv")] == [("pose up", "1 sketch")]
    said = capsys.readouterr().out
    assert "pose up, original, seed 0: not run. " in said and "sketches were wanted" in said
    assert (tmp_path / "hands.md").read_text() == said[said.rindex("# Ablations"):].removesuffix("\n")
    assert said.count("| not run |") >= 11 and (tmp_path / "hands.png").stat().st_size > 5000
    with pytest.raises(SystemExit, match="--photos needs"):
        ablations.main(["--photos", str(photos), "--summary"])


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="church64"):
        menagerie_task("gabled_church", tmp_path)
    with pytest.raises(ValueError, match="name of menagerie_task is 'flying_pig'; wanted one of 'horse_on_a_side'"):
        menagerie_task("flying_pig", tmp_path)
    assert math.isinf(Runner(None, tmp_path / "x.csv", tmp_path, tmp_path).deadline)
