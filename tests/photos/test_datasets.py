"""Data sets: one way to open pictures, a split that depends on the files' bytes alone."""
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from sketchgan.photos import datasets, preparation
from tests.fuzz import assert_survives


@pytest.fixture
def photos(tmp_path):
    """Forty small pictures of noise in two folders."""
    folder, random = tmp_path / "photos", np.random.default_rng(0)
    for k in range(40):
        path = folder / "ab"[k % 2] / f"{k:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    return folder


def test_split_depends_on_the_bytes_alone(photos, tmp_path):
    side = {path: datasets.split_of(path) for path in sorted(photos.rglob("*.png"))}
    assert set(side.values()) == {"train", "held_out"}
    for path, part in side.items():
        copy = tmp_path / "renamed"
        copy.write_bytes(path.read_bytes())
        assert datasets.split_of(copy) == datasets.split_of(path.read_bytes()) == part
        assert datasets.split_of(path, held_out=0) == "train" and datasets.split_of(path, held_out=1) == "held_out"
    shares = [datasets.split_of(str(k).encode()) == "held_out" for k in range(5000)]
    assert abs(np.mean(shares) - datasets.HELD_OUT) < 0.02
    # The split of published weights must never move. `printf 8 | sha256sum` begins with 2c, below 0x33 = a fifth of
    # 256; so does 9.
    assert [k for k in range(12) if datasets.split_of(str(k).encode()) == "held_out"] == [8, 9]


def test_parts_cover_a_folder_and_never_meet(photos):
    whole, train, held_out = (datasets.open_images(photos, 16, progress=False, part=part)
                              for part in (None, "train", "held_out"))
    names = lambda images: {tuple(x.flatten().tolist()) for x in images[torch.arange(len(images))]}
    assert len(train) + len(held_out) == len(whole) == 40 and len(train) and len(held_out)
    assert names(train) | names(held_out) == names(whole) and not names(train) & names(held_out)
    with pytest.raises(ValueError, match="wanted .*'train', 'held_out' or None"):
        datasets.open_images(photos, 16, part="test")
    with pytest.raises(ValueError, match="split by their seed"):
        datasets.open_images("cat", 16, part="train")


def test_folder_zip_lmdb_prepared_set_and_menagerie_are_one_interface(photos, tmp_path, monkeypatch):
    lmdb = pytest.importorskip("lmdb")
    files = sorted(photos.rglob("*.png"))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for file in files:
            archive.write(file, file.relative_to(photos).as_posix())
    with lmdb.open(str(tmp_path / "lsun"), map_size=1 << 24) as base, base.begin(write=True) as transaction:
        for k, file in enumerate(files):
            transaction.put(f"{k:02d}".encode(), file.read_bytes())
    preparation.prepare(photos, tmp_path / "prepared", 16, progress=False)
    index = torch.tensor([7, 0, 0, 39])
    batches = [datasets.open_images(path, 16, progress=False)[index] for path in
               (photos, tmp_path / "photos.zip", tmp_path / "lsun", tmp_path / "prepared")]
    assert all(torch.equal(batch, batches[0]) for batch in batches) and batches[0].shape == (4, 3, 16, 16)
    assert batches[0].dtype == torch.float32 and -1 <= batches[0].min() < -0.5 and 0.5 < batches[0].max() <= 1
    made = {"image": torch.arange(3, dtype=torch.uint8)[:, None, None, None].expand(3, 3, 16, 16),
            "code": torch.zeros(3, 5), "params": {}}
    monkeypatch.setattr(datasets, "rendered", lambda category, count, resolution, *_, **__: made)
    scenes = datasets.open_images("cat", 16, 3, progress=False)
    assert len(scenes) == 3 and torch.equal(scenes[torch.tensor([2, 1])], datasets.to_float(made["image"][[2, 1]]))


def test_a_folder_is_prepared_once_and_again_when_it_changes(photos, monkeypatch):
    first = datasets.ImageFolder(photos, 16, progress=False)
    assert first.files == sorted(photos.rglob("*.png"))
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "_work", lambda job: pytest.fail("prepared twice"))
        again = datasets.ImageFolder(photos, 16, progress=False, part="train")
        assert 0 < len(again) < len(first)
    (photos / "a" / "00.png").unlink()
    assert len(datasets.ImageFolder(photos, 16, progress=False)) == len(first) - 1


def test_broken_files_are_reported_and_the_rest_is_there(photos):
    (photos / "a" / "04.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    folder = datasets.ImageFolder(photos, 16, progress=False)
    assert len(folder) == 39 and [name for name, _ in folder.left_out] == ["a/04.png"]
    assert torch.equal(datasets.to_float(folder.images), folder[torch.arange(39)])
    assert photos / "a" / "04.png" not in folder.files and folder.files[3] == photos / "a" / "08.png"
    square, _ = preparation.read_square(folder.files[3].read_bytes(), 16)
    assert torch.equal(folder.images[3], torch.from_numpy(square.copy()).permute(2, 0, 1)), "the rows follow the files"


def test_pictures_stay_on_disk(photos):
    """The map is of the file itself: a change in it is seen, so nothing was copied into memory."""
    folder = datasets.ImageFolder(photos, 16, progress=False)
    before = folder[torch.tensor([5])]
    prepared = preparation.prepare(photos, None, 16, progress=False).out
    with open(prepared / "images.npy", "r+b") as file:
        file.seek(-40 * 3 * 16 * 16 + 5 * 3 * 16 * 16, 2)
        file.write(bytes(3 * 16 * 16))
    assert not torch.equal(folder[torch.tensor([5])], before) and (folder[torch.tensor([5])] == -1).all()


def test_mistakes_are_explained(photos, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no readable picture"):
        datasets.ImageFolder(tmp_path / "empty", progress=False)
    preparation.prepare(photos, tmp_path / "prepared", 16, progress=False)
    with pytest.raises(ValueError, match="was prepared at 16 px and 32 px are wanted"):
        datasets.open_images(tmp_path / "prepared", 32)
    whole = (tmp_path / "prepared" / "images.npy").read_bytes()
    (tmp_path / "prepared" / "images.npy").write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="images.npy cannot be read .*prepare it again"):
        datasets.open_images(tmp_path / "prepared", 16)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.png").write_bytes((photos / "a" / "00.png").read_bytes())
    other = "held_out" if datasets.split_of(tmp_path / "one" / "a.png") == "train" else "train"
    with pytest.raises(ValueError, match=f"none of the 1 pictures of .* is of the part {other}"):
        datasets.open_images(tmp_path / "one", 16, progress=False, part=other)


def test_an_index_that_was_damaged_or_made_up_is_refused(photos, tmp_path):
    preparation.prepare(photos, tmp_path / "set", 16, progress=False)
    index = tmp_path / "set" / "index.json"

    def read(path):
        return len(datasets.ImageFolder(tmp_path / "set", 16, progress=False)[torch.arange(2)])
    outcome = assert_survives(read, "set/index.json", index.read_bytes(), ValueError, tmp_path)
    assert outcome["refused"] > 150


def test_images_npy_that_was_damaged_or_made_up_is_refused(photos, tmp_path):
    preparation.prepare(photos, tmp_path / "set", 16, progress=False)

    def read(path):
        return len(datasets.ImageFolder(tmp_path / "set", 16, progress=False)[torch.arange(2)])
    assert_survives(read, "set/images.npy", (tmp_path / "set" / "images.npy").read_bytes(), ValueError, tmp_path, 100)


def test_images_in_another_range_are_refused_before_they_are_trained_on():
    noise = torch.rand(16, 3, 8, 8)
    good = noise * 2 - 1
    assert datasets.check_images(good) is good and len(datasets.check_images(torch.zeros(2, 3, 8, 8))) == 2
    for images, message in ((noise, "seem to be in .0, 1.; wanted .-1, 1., which is x \\* 2 - 1"),
                            (noise * 255, "x / 127.5 - 1"),
                            (good * float("nan"), "reach from nan to nan; wanted .-1, 1."),
                            ((noise * 255).to(torch.uint8), "wanted float"),
                            (good[:, :1], "wanted float .N,3,R,R."), (good[..., :4], "wanted float .N,3,R,R.")):
        with pytest.raises(ValueError, match=message):
            datasets.check_images(images, "photographs")


def test_a_cache_that_cannot_be_written_says_how_to_move_it(photos, monkeypatch):
    monkeypatch.setenv("SKETCHGAN_CACHE", "/proc/none")
    for make in (lambda: datasets.ImageFolder(photos, 16, progress=False),
                 lambda: datasets.rendered("cat", 1, 32, progress=False)):
        with pytest.raises(OSError, match="SKETCHGAN_CACHE"):
            make()


def test_a_damaged_file_of_the_cache_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SKETCHGAN_CACHE", str(tmp_path))
    folder = tmp_path / "menagerie" / f"{datasets._world_version()}-cat-32-0-all"
    folder.mkdir(parents=True)
    (folder / "image-00000.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match="cat-32-0-all cannot be read .*delete that folder, and it is rendered again"):
        datasets.rendered("cat", 3, 32, progress=False)
