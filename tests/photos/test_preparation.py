"""Preparing a data set: the same bytes whatever happens on the way, and a reason for every file that is not in it."""
import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sketchgan.photos import preparation
from sketchgan.photos.preparation import prepare

ROOT = Path(__file__).resolve().parents[2]


def picture(path, k, size=(24, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(k).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path):
    """Good pictures in two depths, and four files that are left out."""
    for k in range(9):
        picture(tmp_path / "photos" / ("deep/er" if k % 2 else ".") / f"{k}.png", k)
    (tmp_path / "photos" / "empty.jpg").write_bytes(b"")
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    whole = (tmp_path / "photos" / "0.png").read_bytes()
    (tmp_path / "photos" / "short.png").write_bytes(whole[:len(whole) // 2])
    picture(tmp_path / "photos" / "tiny.png", 99, (5, 5))
    return tmp_path / "photos"


def content(out):
    """Every byte of a finished data set that is not a path."""
    index = json.loads((out / "index.json").read_text())
    index["plan"].pop("source")
    return index, (out / "images.npy").read_bytes(), (out / "left_out.csv").read_bytes()


def test_pictures_and_reasons(photos, tmp_path):
    done = prepare(photos, tmp_path / "out", 16, min_side=8, progress=False)
    index, images = preparation.read_index(tmp_path / "out"), np.load(tmp_path / "out/images.npy", mmap_mode="r")
    assert done.kept == 9 and images.shape == (13, 3, 16, 16) and images.dtype == np.uint8
    for row, name in zip(index["rows"], index["files"]):
        square, _ = preparation.read_square((photos / name).read_bytes(), 16)
        assert (images[row] == square.transpose(2, 0, 1)).all()
    reasons = dict(done.left_out)
    assert {name: reason.split(":")[0] for name, reason in reasons.items()} == {
        "empty.jpg": "empty file", "notes.txt": "not a picture, or of a kind that is not read", "short.png": "damaged",
                                                                                "tiny.png": "too small"}
    with open(tmp_path / "out/left_out.csv", newline="") as file:
        assert {row["file"]: row["reason"] for row in csv.DictReader(file)} == reasons
    assert "9 pictures" in str(done) and "4 left out" in str(done) and "1 damaged" in str(done)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images.npy", "index.json", "left_out.csv"]


def test_a_zip_gives_the_same_and_hostile_members_are_left_out(photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for file in photos.rglob("*.*"):
            archive.write(file, file.relative_to(photos).as_posix())
        archive.write(photos / "0.png", "../../escaped.png")
    done, plain = prepare(tmp_path / "photos.zip", tmp_path / "out", 16,
                          progress=False), prepare(photos, tmp_path / "plain", 16, progress=False)
    assert done.kept == plain.kept == 10
    assert dict(done.left_out)["../../escaped.png"] == "not read from the zip: its path leaves the folder"
    a, b = (preparation.read_index(tmp_path / name) for name in ("out", "plain"))
    assert dict(zip(a["files"], a["sha256"])) == dict(zip(b["files"], b["sha256"]))


def test_duplicates_are_counted_or_left_out(photos, tmp_path):
    (photos / "z_copy.png").write_bytes((photos / "0.png").read_bytes())
    counted = prepare(photos, tmp_path / "counted", 16, progress=False)
    assert counted.kept == 11 and counted.duplicates == 1
    dropped = prepare(photos, tmp_path / "dropped", 16, drop_duplicates=True, progress=False)
    assert dropped.kept == 10 and ("z_copy.png", "duplicate: the same bytes as 0.png") in dropped.left_out


@pytest.fixture
def many(tmp_path):
    """More than one job for each of several workers, with a broken file in each job."""
    for k in range(40):
        picture(tmp_path / "many" / f"{k:02d}.png", k)
    for k in range(0, 40, 7):
        (tmp_path / "many" / f"{k:02d}.png").write_bytes(b"broken")
    return tmp_path / "many"


def test_workers_and_order_change_nothing(many, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "JOB", 5)
    prepare(many, tmp_path / "one", 16, workers=1, progress=False)
    prepare(many, tmp_path / "two", 16, workers=2, progress=False)
    assert content(tmp_path / "one") == content(tmp_path / "two")


SLOW = """
import sys, time
from sketchgan.photos import preparation
preparation.JOB = 5
read = preparation.read_square
def slowly(*args):
    time.sleep(0.01)
    return read(*args)
preparation.read_square = slowly
preparation.prepare(sys.argv[1], sys.argv[2], 16, workers=int(sys.argv[3]), progress=False)
"""


def started(source, out, workers=1):
    return subprocess.Popen([sys.executable, "-c", SLOW, str(source), str(out), str(workers)], cwd=ROOT)


def done_jobs(out):
    return {int(path.stem) for path in (out / "unfinished").glob("0*.json")}


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(many, tmp_path, monkeypatch):
    prepare(many, tmp_path / "straight", 16, progress=False)
    out, random, until = tmp_path / "out", np.random.default_rng(), time.monotonic() + 400     # a busy machine is slow
    kills = int(os.environ.get("SKETCHGAN_KILLS", 4))           # see tests/test_kills.py
    for jobs in sorted((0, 1, 3, 6)[k % 4] for k in range(kills)):
        process = started(many, out)
        while len(done_jobs(out)) < jobs or not out.exists():
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.04))
        process.kill()
        process.wait()
        assert not (out / "index.json").exists()
    done = done_jobs(out)
    (out / "unfinished" / f"{min(done):09d}.json").write_text('[["00.png", "12')     # and the power went meanwhile
    done -= {min(done)}
    monkeypatch.setattr(preparation, "JOB", 5)
    work, again = preparation._work, []
    monkeypatch.setattr(preparation, "_work", lambda job: again.append(job[2]) or work(job))
    prepare(many, out, 16, progress=False)
    assert content(out) == content(tmp_path / "straight")
    assert set(again) | done == set(range(0, 40, 5)) and not set(again) & done, "only what was missing is done"
    assert sorted(path.name for path in out.iterdir()) == ["images.npy", "index.json", "left_out.csv"]


def test_two_processes_make_one_set_and_the_second_takes_what_is_there(many, tmp_path):
    prepare(many, tmp_path / "straight", 16, progress=False)
    both = [started(many, tmp_path / "out"), started(many, tmp_path / "out", 2)]
    assert [process.wait(400) for process in both] == [0, 0]
    assert content(tmp_path / "out") == content(tmp_path / "straight")


def test_a_program_without_a_main_guard_may_use_workers(many, tmp_path):
    """A new process used to run the user's script again from its top, and to die of it."""
    script = tmp_path / "script.py"
    script.write_text("import sys\nfrom sketchgan.photos import prepare\nprint('once')\n"
                      "prepare(sys.argv[1], sys.argv[2], 16, workers=2, progress=False)\n")
    done = subprocess.run([sys.executable, script, many, tmp_path / "out"], capture_output=True, text=True, cwd=ROOT,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stdout) == (0, "once\n"), done.stderr


def test_a_finished_set_is_not_done_again_and_another_is_not_overwritten(photos, tmp_path, monkeypatch):
    first = prepare(photos, tmp_path / "out", 16, progress=False)
    monkeypatch.setattr(preparation, "_work", lambda job: pytest.fail("done twice"))
    assert prepare(photos, tmp_path / "out", 16, progress=False) == first
    with pytest.raises(ValueError, match="holds another data set .resolution was 16, now 32.; choose another folder"):
        prepare(photos, tmp_path / "out", 32, progress=False)
    picture(photos / "new.png", 7)
    with pytest.raises(ValueError, match="count was 13, now 14"):
        prepare(photos, tmp_path / "out", 16, progress=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(ValueError, match="something else in it"):
        prepare(photos, tmp_path / "mine", 16, progress=False)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"


def test_other_options_do_not_go_on_with_a_half_made_set(many, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "JOB", 5)
    work = preparation._work

    def stops(job):
        if job[2] >= 10:
            raise KeyboardInterrupt
        return work(job)
    monkeypatch.setattr(preparation, "_work", stops)
    with pytest.raises(KeyboardInterrupt):
        prepare(many, tmp_path / "out", 16, progress=False)
    with pytest.raises(ValueError, match="half made .crop was 'centre', now 'pad'"):
        prepare(many, tmp_path / "out", 16, crop="pad", progress=False)


def test_mistakes_are_explained(photos, tmp_path, monkeypatch):
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="no readable picture in .*none: it holds no file"):
        prepare(tmp_path / "none", tmp_path / "out")
    (tmp_path / "none" / "a.txt").write_text("text")
    with pytest.raises(ValueError, match="no readable picture .*left_out.csv says why, such as a.txt: not a picture"):
        prepare(tmp_path / "none", tmp_path / "out", progress=False)
    with pytest.raises(ValueError, match="lies inside"):
        prepare(photos, photos / "out")
    with pytest.raises(ValueError, match="crop of prepare is 'middle'; wanted .*'centre', 'pad'"):
        prepare(photos, tmp_path / "out", crop="middle")
    free = preparation.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(preparation.shutil, "disk_usage", lambda path: free._replace(free=100))
    with pytest.raises(OSError, match="13 pictures of 64 px take 159,744 bytes, and .* has 100 free"):
        prepare(photos, tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def _dies(job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_explained():
    with pytest.raises(OSError, match="one of 2 worker processes was killed.* fewer workers goes on"):
        list(preparation.spread(_dies, [1, 2], 2))


def test_command_line(photos, tmp_path, capsys):
    preparation.main([str(photos), str(tmp_path / "out"), "--resolution", "16", "--limit", "5"])
    assert "pictures in" in capsys.readouterr().out and preparation.read_index(tmp_path / "out")["plan"]["count"] == 5
    with pytest.raises(SystemExit, match="sketchgan prepare: .*nowhere is not there"):
        preparation.main([str(tmp_path / "nowhere"), str(tmp_path / "out2")])
