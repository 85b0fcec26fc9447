"""The benchmarks measure what they say, go on where they stopped, and admit what does not hold."""
import importlib
import math
import sys
import time

import pytest
import torch

from sketchgan.nets.judge import Judge, Target
from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.weights import checkpoints

CHANNELS = {4: 4, 8: 4, 16: 4, 32: 4}


@pytest.fixture
def benchmark(root, monkeypatch):
    """Import a benchmark by name, as if it were run from its folder."""
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    yield importlib.import_module
    for name in ("customise_curves", "judge_confusion", "readme_tables", "_results", "_plain_step",
                 "step_against_reference"):
        sys.modules.pop(name, None)


@pytest.fixture
def weights(tmp_path):
    """Tiny untrained networks, and a judge that finds the predicate in every picture and a cat in none."""
    folder = tmp_path / "weights"
    G = Generator(32, z_dim=8, w_dim=8, num_mapping=2, channels=CHANNELS)
    checkpoints.save(folder / "cat64.safetensors", G=G, D=Discriminator(32, CHANNELS))
    checkpoints.save(folder / "photosketch.safetensors", F=PhotoSketch(2, 1))
    judge = Judge(("cat",), (Target("cat.yaw", "angle"),), ("standing_cat",), widths=(4, 4, 4, 4), dim=8)
    with torch.no_grad():
        judge.decide.bias.fill_(100.0), judge.name.bias.copy_(torch.tensor([-100.0, 100.0]))
    quality = {c: {"confusion": {"standing_cat": [40, 10, 20, 130]}} for c in ("clean", "degraded")}
    checkpoints.write_safetensors(folder / "judge.safetensors", judge.state_dict(),
                                  {"config": {"judge": judge.config}, "quality": quality})
    return folder


def test_a_curve_is_measured_in_pieces_and_no_row_twice(benchmark, weights, tmp_path, monkeypatch):
    curves = benchmark("customise_curves")
    monkeypatch.setattr(curves, "CSV", tmp_path / "curves.csv")
    monkeypatch.setattr(curves, "ROOT", tmp_path)
    monkeypatch.setattr(curves, "TIMES", (1e-6, 2e-6))
    job = curves.Job("standing_cat", "drawn", "samples", "adversarial", 0)
    bench = curves.Bench(weights, samples=8, threads=torch.get_num_threads())
    bench.run(job, deadline=math.inf, until=1.5e-6)
    assert [(row["method"], row["at"]) for row in bench.rows] == [("base", 0), ("adversarial", 1e-6)]
    assert job.checkpoint.is_file(), "the rest can follow later"
    bench.run(job, deadline=0)  # time is over after one step, but by then the second time has passed and is measured
    assert [(row["method"], row["at"]) for row in bench.rows[1:]] == [("adversarial", 1e-6), ("adversarial", 2e-6)]
    assert not job.checkpoint.exists(), "a finished job leaves no checkpoint"
    last = bench.rows[-1]
    assert last["share"] == 1 and last["share_recognisable"] == 0 and last["iterations"] >= 1
    assert last["relative_color"] == pytest.approx(bench.rows[0]["relative_color"], abs=0.05), "one step changes little"
    assert 0 <= last["relative_recall"] <= 3 and last["frechet"] > 0

    monkeypatch.setattr(curves, "TIMES", (1e-6, 2e-6, 1e6))
    again = curves.Bench(weights, samples=8, threads=torch.get_num_threads())
    assert len(again.rows) == 3, "rows are read back"
    again.run(job, deadline=time.monotonic())
    assert len(again.rows) == 3 and job.checkpoint.is_file(), "the next time is far away: the state waits"
    kept = checkpoints.load_training(job.checkpoint)["seconds"]
    again.run(job, deadline=time.monotonic())
    assert checkpoints.load_training(job.checkpoint)["seconds"] > kept, "and goes on from there"


def test_the_most_important_jobs_come_first(benchmark):
    curves = benchmark("customise_curves")
    jobs = curves.jobs(seeds=3)
    assert len(jobs) == len(set(jobs)) == 2 * 2 * 2 * 2 * 3
    assert [(j.sketches, j.images, j.method, j.seed) for j in jobs[:2]] == [("drawn", "samples", "both", 0)] * 2
    assert all(j.images == "samples" for j in jobs[:24]) and all(j.seed == 0 for j in jobs[:8])


def made_up_rows(both, recall, warm=0.5):
    """Rows of three seeds in which adversarial training brings the warm start's share to `both`."""
    rows = []
    for seed in range(3):
        common = dict(task="standing_cat", sketches="drawn", images="samples", seed=seed, iterations=10, frechet=1.0,
                      share_recognisable=0.5, relative_recall=recall, relative_color=0.9)
        rows.append(common | dict(method="warm start", at=0, seconds=40.0, share=warm + 0.01 * seed))
        for at in (60, 180, 300, 600):
            rows.append(common | dict(method="both", at=at, seconds=float(at), share=both + 0.01 * seed))
    base = dict(rows[0], sketches="none", images="none", method="base", seed=0, seconds=0.0, share=0.3)
    return [base, *rows]


def test_the_summary_says_what_holds_and_what_does_not(benchmark, tmp_path, monkeypatch):
    curves = benchmark("customise_curves")
    monkeypatch.setattr(curves, "CONFUSION", tmp_path / "none.csv")
    good = "\n".join(curves.verdicts(curves.summary(made_up_rows(both=0.8, recall=0.75))))
    assert "180 s: share 81% (wanted 60%: yes)" in good and "(wanted 70%: yes)" in good and "an improvement" in good
    bad = "\n".join(curves.verdicts(curves.summary(made_up_rows(both=0.505, recall=0.4))))
    assert "600 s: share 52% (wanted 75%: NO)" in bad and "least diversity 40% of the base's (wanted 70%: NO)" in bad
    assert "NOT shown" in bad, "half a per cent is less than the seeds differ by"
    monkeypatch.setattr(curves, "FIGURE", tmp_path / "figure.png")
    curves.draw(made_up_rows(0.8, 0.75))
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_shares_are_corrected_where_samples_were_labelled(benchmark, tmp_path, monkeypatch):
    curves, results = benchmark("customise_curves"), benchmark("_results")
    monkeypatch.setattr(curves, "CONFUSION", tmp_path / "confusion.csv")
    counts = dict(task="standing_cat", pictures="labelled samples", tp=40, fp=0, fn=10, tn=150)
    results.write(tmp_path / "confusion.csv", [counts])
    line = curves.summary(made_up_rows(both=0.59, recall=0.75, warm=0.39))[1]
    assert line["share"] == pytest.approx(0.4) and line["corrected"] == pytest.approx(0.5)


def test_the_judges_confusion_counts_labels_of_this_gan_only(benchmark, weights, tmp_path, monkeypatch, capsys):
    confusion = benchmark("judge_confusion")
    for name, folder in (("ROOT", tmp_path), ("LABELS", tmp_path / "labels"), ("RESULTS", tmp_path)):
        monkeypatch.setattr(confusion, name, folder)
    monkeypatch.setattr(confusion, "COUNT", 6)
    monkeypatch.setattr(sys, "argv", ["judge_confusion.py", "--sheets", "--weights", str(weights)])
    confusion.main()
    rows = confusion.read(tmp_path / "labels" / "standing_cat.csv")
    assert len(rows) == 6 and (tmp_path / "outputs" / "benchmarks" / "label-standing_cat-000.png").is_file()

    labels = ["yes", "no", "no", "unclear", "", "yes"]
    confusion.write(tmp_path / "labels" / "standing_cat.csv", [row | {"label": x} for row, x in zip(rows, labels)])
    monkeypatch.setattr(sys, "argv", ["judge_confusion.py", "--weights", str(weights)])
    confusion.main()
    clean, _, labelled = confusion.read(tmp_path / "judge_confusion.csv")
    expected = dict(accuracy=170 / 200, found=40 / 60, false_alarms=10 / 140)
    assert {name: clean[name] for name in expected} == pytest.approx(expected, abs=1e-4)
    assert [labelled[k] for k in ("tp", "fp", "fn", "tn", "unclear")] == [2, 2, 0, 0, 1]

    confusion.write(tmp_path / "labels" / "standing_cat.csv",
                    [row | {"gan": "sha256:0", "label": "yes"} for row in rows])
    confusion.main()
    assert "another version of the base GAN" in capsys.readouterr().out


def test_tables_and_files_keep_numbers(benchmark, tmp_path, capsys):
    results = benchmark("_results")
    rows = [dict(name="a", share=0.12345, count=3), dict(name="b", share=1.0, count=12, extra="x")]
    results.write(tmp_path / "rows.csv", rows)
    assert results.read(tmp_path / "rows.csv") == [rows[0] | {"extra": ""}, rows[1]]
    assert results.read(tmp_path / "none.csv") == []
    results.show(rows)
    assert capsys.readouterr().out.splitlines()[2].split() == ["a", "0.123", "3"]


def test_the_readme_s_tables_are_what_the_csv_files_say(benchmark, root):
    tables, page = benchmark("readme_tables"), (root / "README.md").read_text(encoding="utf-8")
    assert {name for _, name, _ in tables.MARK.findall(page)} == set(tables.TABLES), "every table has its mark"
    assert tables.filled(page) == page, "run `python benchmarks/readme_tables.py --write`"
    assert tables.filled(page.replace(" % |", " ‰ |")) == page, "a figure that was changed by hand is found"


def test_the_gpu_run_is_rehearsed_at_16_px(benchmark, tmp_path, monkeypatch):
    """Packs, trains pairs and game within the time, writes small files, goes on from them."""
    from PIL import Image

    from sketchgan.nets.features import Features
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(12):
        Image.new("RGB", (20, 20), (20 * i, 100, 250 - 20 * i)).save(photos / f"{i}.png")
    bases = benchmark("gpu_bases")
    torch.manual_seed(0)
    monkeypatch.setattr(bases, "load_imagenet", lambda: Features(dict(contour=1), 2, channels=(4, 4, 4, 4, 4)))
    monkeypatch.setattr(bases.time, "monotonic", iter(range(0, 10 ** 6)).__next__)      # a step is a second
    monkeypatch.setattr("sketchgan.pretraining.mapping.teach_mapping", lambda *args, **options: 0.0)
    monkeypatch.setattr("sketchgan.pretraining.gan.teach_mapping", lambda *args, **options: 0.0)
    bases.main(["pack", str(photos), "--resolution", "16", "--out", str(tmp_path / "pack")])
    packed = bases.Packed(tmp_path / "pack" / "photos.npz", "cpu")
    assert len(packed) == 12 and packed.code.shape == (12, 11) and packed[torch.tensor([3])].shape == (1, 3, 16, 16)
    run = ["train", str(tmp_path / "pack"), "--minutes", "2.2", "--device", "cpu", "--batch", "4"]
    bases.main([*run, "--out", str(tmp_path / "first")])
    files = {f.name: f.stat().st_size for f in (tmp_path / "first" / "photos").iterdir()}
    assert {"networks.pt", "moments.pt", "gan.safetensors"} < files.keys() and max(files.values()) < 16e6
    first = checkpoints.load_training(tmp_path / "first" / "photos" / "networks.pt")
    assert first["taught"] and 0.4 < first["config"]["paired_kimg"] * 1000 / first["seen"] < 0.8
    bases.main([*run, "--out", str(tmp_path / "second"), "--resume", str(tmp_path / "first")])
    second = checkpoints.load_training(tmp_path / "second" / "photos" / "networks.pt")
    assert second["seen"] > first["seen"] and second["seconds"] > first["seconds"] and second["G_opt"]["steps"] > 0


@pytest.mark.parametrize("more", [{}, {"l_image": 0.0, "l_weight": 3.0}])
def test_the_plain_step_and_ours_have_the_same_losses(benchmark, more):
    """Every saving keeps the published mathematics: the losses of both agree over steps with and without R1."""
    from sketchgan.customizing.state import TrainingState
    from sketchgan.customizing.step import CustomizeConfig, train_step
    plain = benchmark("_plain_step")
    torch.manual_seed(0)
    networks = (Generator(32, 8, 8, 2, CHANNELS), Discriminator(32, CHANNELS), PhotoSketch(4, 2))
    config = CustomizeConfig(d_reg_every=2, seed=3, stopping=None, **more)
    page, photos = torch.randn(4, 1, 32, 32).sign(), torch.randn(4, 3, 32, 32).clamp(-1, 1)
    terms = dict(l_image=config.l_image, l_weight=config.l_weight, augment=config.augment)
    seen = []
    for state, walk in ((plain.plain_state(*networks, photos, config), plain.plain_step),
                        (TrainingState(*networks, photos, config), train_step)):
        for state.iteration in range(4):
            seen.append(walk(state, page, photos, terms, config))
    for a, b in zip(seen[:4], seen[4:]):
        assert a.keys() == b.keys() and a == pytest.approx(b, rel=1e-4, abs=1e-4)
    assert len(seen[0]) > len(seen[1]), "the first step has R1, the second has not"
    assert abs(seen[0]["G_sketch"] - seen[3]["G_sketch"]) > 1e-3, "something is learnt meanwhile"


def test_steps_are_compared_and_their_memory_is_counted(benchmark, monkeypatch, tmp_path, capsys):
    compare = benchmark("step_against_reference")
    torch.manual_seed(0)
    networks = (Generator(32, 8, 8, 2, CHANNELS), Discriminator(32, CHANNELS), PhotoSketch(4, 1))
    monkeypatch.setattr(compare, "networks", lambda size: networks)
    monkeypatch.setattr(compare, "CSV", tmp_path / "steps.csv")
    threads = str(torch.get_num_threads())
    monkeypatch.setattr(sys, "argv", f"x --sizes 32 --steps 1 --minutes 0 --plain-only --threads {threads}".split())
    compare.main()
    rows = compare.read(compare.CSV, text=("size",))
    assert [(row["size"], row["step"], row["steps"]) for row in rows] == [("32", "plain", 2), ("32", "ours", 2)]
    assert all(row["with_r1_s"] > 0 and row["loss_difference"] < 1e-3 for row in rows)
    before = compare.forget_peak()
    held = torch.ones(10_000_000)
    assert before == 0 or compare.peak() - before > 0.9 * held.nbytes
