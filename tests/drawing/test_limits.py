"""What a drawing may ask for, and broken files by the hundred: a message of our own each time, quickly and in little
memory."""
import io
import json
import multiprocessing
import resource

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sketchgan.drawing.sketches import load_sketches, normalize_sketch, read_strokes
from sketchgan.drawing.strokes import SketchError, read_document, sketches_folder
from tests.fuzz import assert_survives

LINE = {"width": 5, "points": [[20, 20], [200, 200]]}


def drawing(*strokes, **about):
    return {"size": 256, "strokes": list(strokes), **about}


@pytest.mark.parametrize("x, options, advice", [
    (drawing(LINE), {"resolution": 10**6}, "pixels a side"), (drawing(LINE), {"resolution": 0}, "resolution is 0"),
    (drawing(LINE), {"resolution": "64"}, "resolution is"),
    (drawing(LINE), {"resolution": float("nan")}, "resolution is"),
    (drawing(LINE | {"width": 1e9}), {}, "width of a pen"), (drawing(LINE | {"width": 1e300}), {}, "width of a pen"),
    (drawing({"width": 5, "points": [[1, 2]] * 1_000_000}), {}, "points"), (drawing(*[LINE] * 20_000), {}, "strokes"),
    (drawing({"width": 200, "points": [[1, 2]] * 90_000}), {"resolution": 1024}, "paint"),
    (drawing({"width": 5, "smooth": True, "points": [[0, 0], [1e11, 0], [0, 1e11]]}), {}, "points"),
    (drawing({"width": 5, "smooth": True, "points": [[0, 0], [1e300, 0], [0, 1e300]]}), {}, "bounds"),
    (drawing(LINE), {"pen": float("nan")}, "pen is"), (drawing(LINE), {"pen": "thick"}, "pen is"),
    (drawing(LINE), {"box": 5}, "box is"), (drawing(5), {}, "a stroke is"),
                                                (np.zeros((9000, 9000), np.float32), {}, "pixels"),
    (drawing(LINE, size=True), {}, "width of a pen|size"), (drawing(LINE, size=float("nan")), {}, "size")])
def test_limits_are_looked_at_before_work_begins(x, options, advice):
    with pytest.raises(SketchError, match=advice):
        normalize_sketch(x, **options)


@pytest.mark.parametrize("source, options, advice", [
    ([drawing(LINE)] * 20_000, {}, "which="), ({"sketches": [drawing(LINE)] * 20_000}, {}, "which="),
    ([drawing(LINE)] * 900, {"resolution": 2048}, "pixels of sketches"), (5, {}, "holds no sketches"),
                                                     (None, {}, "holds no"),
    ([drawing(LINE)], {"which": "a"}, "which is"), ([drawing(LINE)], {"which": [0.5]}, "which is")])
def test_many_at_once(source, options, advice):
    with pytest.raises(SketchError, match=advice):
        load_sketches(source, **options)


@pytest.mark.parametrize("name, text, advice", [
    ("a.json", "[" * 100_000,
     "a.json"), ("a.json", '{"sketches":[{"strokes":[{"width":5,"points":[[0,1' + "0" * 4200 + "],[5,5]]}]}]}", "a"),
    ("a.json", " " * (9 << 20), "bytes"), ("a.ndjson", '{"drawing":[[[0,1' + "0" * 400 + "],[0,1]]]}", "drawing 0"),
    ("a.ndjson", "1" * (3 << 20), "bytes in one line")])
def test_files_that_ask_for_too_much(name, text, advice, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(SketchError, match=advice):
        load_sketches(tmp_path / name)


def test_what_is_called_a_file_and_is_none(tmp_path):
    import os
    (tmp_path / "d.json").mkdir()
    os.mkfifo(tmp_path / "f.json")
    for name in ("d.json", "f.json"):
        with pytest.raises(SketchError):
            load_sketches(tmp_path / name)


def _peak(path, queue):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    normalize_sketch(path)
    queue.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def test_a_large_picture_takes_little_memory(tmp_path):
    image = Image.new("RGBA", (4000, 4000), (255, 255, 255, 255))
    ImageDraw.Draw(image).ellipse((900, 900, 3000, 2800), outline=(0, 0, 0, 255), width=40)
    image.save(tmp_path / "large.png", compress_level=1)
    del image
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_peak, args=(tmp_path / "large.png", queue))
    process.start()
    assert queue.get(timeout=120) < 350
    process.join()


def test_a_folder_names_what_it_leaves_out(tmp_path):
    image = Image.new("L", (256, 256), 255)
    ImageDraw.Draw(image).ellipse([50, 60, 200, 200], outline=0, width=5)
    folder, sub = tmp_path / "mine", tmp_path / "mine" / "sub"
    sub.mkdir(parents=True)
    image.save(folder / "a.png")
    image.save(sub / "b.png")
    (folder / "._a.png").write_bytes(b"\0\5\x16\7Mac OS X")
    (folder / "notes.txt").write_text("cats")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "linked.png").symlink_to(folder / "a.png")
    with pytest.warns(UserWarning, match=r"4 left out: ._a.png \(hidden\), gone.png \(leads nowhere\), notes.txt \(no "
                                         r"picture\), sub"):
        assert load_sketches(folder).shape == (2, 1, 64, 64)
    with pytest.warns(UserWarning, match="left out"):
        assert load_sketches([folder, folder / "a.png", "standing_cat"]).shape == (8, 1, 64, 64)


def pictures():
    image = Image.new("L", (96, 96), 255)
    ImageDraw.Draw(image).ellipse([20, 22, 76, 80], outline=0, width=3)
    for kind in ("PNG", "JPEG", "WEBP"):
        image.convert("RGB").save(file := io.BytesIO(), kind)
        yield f"a.{kind.lower()}", file.getvalue()


SVG = (b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="100" '
       b'height="100"><style>.a{fill:none;stroke:#000}</style>'
       b'<g class="a" transform="scale(2)"><path d="M5 5L20 30C30 3 10 20 40 40A5 5 0 1 1 9 9Z"/></g><rect width="9" '
       b'height="9"/></svg>')
CATS = read_document(sketches_folder() / "standing_cat.json")["sketches"]
CAT = json.dumps({"size": 256, "sketches": CATS[:1]}).encode()
NDJSON = b'{"word":"cat","drawing":[[[0,9,30],[2,4,8],[0,1,2]],[[5,5],[1,90]]]}\n' * 3
FORMATS = [("a.json", CAT, 300), ("a.ndjson", NDJSON, 300), ("a.svg", SVG, 20), *((*pair, 100) for pair in pictures())]


@pytest.mark.parametrize("name, data, count", FORMATS, ids=[name for name, _, _ in FORMATS])
@pytest.mark.filterwarnings("ignore")
def test_broken_files_end_in_a_message(name, data, count, tmp_path):
    outcome = assert_survives(read_strokes if name == "a.json" else load_sketches, name, data, SketchError, tmp_path,
                              count)
    assert outcome["refused"] > count / 10
