"""Data sets: one way to open pictures, a split that depends on the files' bytes alone."""
import numpy as np
import pytest
import torch
from PIL import Image

from sketchgan import datasets


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
    # The split of published weights must never move. `printf 8 | sha256sum` begins with 2c, below 0x33 = a fifth of 256; so does 9.
    assert [k for k in range(12) if datasets.split_of(str(k).encode()) == "held_out"] == [8, 9]


def test_parts_cover_a_folder_and_never_meet(photos):
    whole, train, held_out = (datasets.open_images(photos, 16, progress=False, part=part) for part in (None, "train", "held_out"))
    names = lambda images: {tuple(x.flatten().tolist()) for x in images[torch.arange(len(images))]}
    assert len(train) + len(held_out) == len(whole) == 40 and len(train) and len(held_out)
    assert names(train) | names(held_out) == names(whole) and not names(train) & names(held_out)
    with pytest.raises(ValueError, match="wanted 'train', 'held_out', or None"):
        datasets.open_images(photos, 16, part="test")
    with pytest.raises(ValueError, match="split by their seed"):
        datasets.open_images("cat", 16, part="train")
