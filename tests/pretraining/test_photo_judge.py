"""The judge of photographs in folders: its data, its loss, its measure, and the command that trains it."""
import json

import numpy as np
import pytest
import torch
from PIL import Image

from sketchgan.photos.datasets import ImageFolder
from sketchgan.pretraining import command
from sketchgan.pretraining.photo_judge import PhotoJudgeConfig, jiggle, labelled, train_photo_judge
from sketchgan.weights.checkpoints import read_metadata
from sketchgan.weights.own import load_judge


@pytest.fixture()
def photos(tmp_path):
    """Two poses that a small network tells apart: a bright bar that stands, and one that lies."""
    random = np.random.default_rng(0)
    for pose in ("lying", "standing"):
        (tmp_path / "bars" / pose).mkdir(parents=True)
        for i in range(40):
            picture = random.integers(0, 60, (40, 40, 3), dtype=np.uint8)
            at = random.integers(14, 22)
            picture[at:at + 6, 4:36] = 230
            picture = picture if pose == "lying" else picture.swapaxes(0, 1)
            Image.fromarray(picture).save(tmp_path / "bars" / pose / f"{i}.png")
    return tmp_path / "bars"


def test_each_folder_is_a_pose(photos):
    folder = ImageFolder(photos, 32, progress=False)
    names, labels = labelled(folder)
    assert names == ("lying", "standing") and labels.tolist() == [0] * 40 + [1] * 40
    with pytest.raises(ValueError, match="at least two"):
        labelled(ImageFolder(photos / "lying", 32, progress=False))


def test_jiggle_by_nothing_changes_nothing_and_else_moves():
    x = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    still = PhotoJudgeConfig(mirror=False, turn=0, zoom=0, move=0)
    assert torch.allclose(jiggle(x, still, torch.Generator().manual_seed(0)), x, atol=1e-4)
    mirrored = jiggle(x, PhotoJudgeConfig(turn=0, zoom=0, move=0), torch.Generator().manual_seed(3))
    same = [torch.allclose(a, b, atol=1e-4) for a, b in zip(mirrored, x)]
    turned = [torch.allclose(a, b.flip(2), atol=1e-4) for a, b in zip(mirrored, x)]
    assert all(a != b for a, b in zip(same, turned)) and any(same) and any(turned)
    assert not torch.allclose(jiggle(x, PhotoJudgeConfig(), torch.Generator().manual_seed(0)), x, atol=0.1)


def test_learns_poses_it_is_measured_on_others_and_the_file_says_so(photos, tmp_path):
    config = PhotoJudgeConfig(kimg=3.2, batch=16, widths=(8, 12, 16, 16), dim=16, turn=0.1, mirror=False, lr=4e-3)
    quality = train_photo_judge(photos, config, tmp_path / "judge.safetensors")
    assert quality["clean"]["accuracy"] > 0.9 and 0 < quality["held_out"] < 40
    assert all(sum(counts) == quality["held_out"] for counts in quality["clean"]["confusion"].values())
    judge = load_judge(tmp_path / "judge.safetensors")
    assert judge.predicates == ("pose lying", "pose standing") and judge.categories == ("bars",)
    held_out = ImageFolder(photos, 64, part="held_out", progress=False)
    images = held_out[torch.arange(len(held_out))]
    standing = torch.tensor([file.parent.name == "standing" for file in held_out.files])
    assert (judge.satisfies("pose standing", images) == standing).float().mean() > 0.8
    assert read_metadata(tmp_path / "judge.safetensors")["quality"]["held_out"] == len(held_out)


def test_command(photos, tmp_path, capsys):
    out = tmp_path / "judge.safetensors"
    command.main(["photo-judge", str(photos), "--out", str(out), "--kimg", "0.064", "--widths", "8,8,8,8", "--dim", "8",
                  "--threads", "1"])
    assert "held-out accuracy" in capsys.readouterr().out and json.dumps(read_metadata(out)["quality"])
