"""The command: label, paint, train, synthesize; mistakes end in one line."""
import pytest
import torch

from sketchgan.__main__ import main
from sketchgan.fewshot import Classes, load_layouts
from sketchgan.nets import Generator
from sketchgan.weights import save


def test_from_samples_to_pictures_without_a_notebook(tmp_path, capsys):
    torch.manual_seed(0)
    save(tmp_path / "base.safetensors", G=Generator(32, 8, 8, 2, {4: 8, 8: 8, 16: 8, 32: 8}))
    base, examples, model = (str(tmp_path / name) for name in ("base.safetensors", "examples", "layouts.safetensors"))
    common = ["--base", base, "--threads", "1", "--out"]
    main(["fewshot", "label", "--classes", "sky", "cat", "--seeds", "3", "4", *common, examples])
    assert "#56b4e9" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="blank"):
        main(["fewshot", "train", "--examples", examples, *common, model])
    with pytest.raises(SystemExit, match="written over"):
        main(["fewshot", "label", "--classes", "sky", "cat", *common, examples])
    mask = torch.ones(1, 32, 32, dtype=torch.long)
    mask[:, 10:] = 2
    Classes(("sky", "cat")).save_mask(tmp_path / "examples" / "mask_1.png", mask)       # painted; mask_0 still blank
    train = ["fewshot", "train", "--examples", examples, "--kimg", "0.064", "--batch", "16", *common, model]
    main(train)
    assert "2 classes from 1 examples" in capsys.readouterr().out
    assert load_layouts(model).info["images"] == 64
    Classes(("sky", "cat")).save_mask(tmp_path / "mine.png", mask)
    main(["fewshot", "synthesize", "--model", model, "--masks", str(tmp_path / "mine.png"), "--steps", "2",
          *common, str(tmp_path / "out")])
    assert "of the layout is followed" in capsys.readouterr().out and (tmp_path / "out" / "mine.png").stat().st_size
    main(["fewshot", "label", "--classes", "sky", "cat", "--model", model, *common, str(tmp_path / "more")])
    assert Classes(("sky", "cat")).load_mask(tmp_path / "more" / "mask_0.png").all(), "labelled for the user to correct"
    with pytest.raises(SystemExit, match="error: .*missing"):
        main(["fewshot", "synthesize", "--model", str(tmp_path / "missing"), "--masks", "x", *common, "y"])
