"""Classes, palette PNGs, and label maps that keep their thin classes when they shrink."""
import numpy as np
import pytest
import torch
from PIL import Image

from sketchgan.fewshot import Classes, LayoutError, coverage, reduced
from sketchgan.fewshot.board import LabelBoard

TWO = Classes(("sky", "cat"))


def half_and_half(side=8):
    mask = torch.ones(1, side, side, dtype=torch.long)
    mask[:, side // 2:] = 2
    return mask


def test_every_class_has_its_own_name_and_colour():
    many = Classes(tuple(f"class {i}" for i in range(60)))
    assert len(set(many.colors)) == 60 and many.palette.shape == (61, 3)
    assert TWO.id_of("cat") == 2 and len(TWO) == 2
    with pytest.raises(LayoutError, match="sky, cat"):
        TWO.id_of("dog")
    for wrong in (dict(names=("a", "a")), dict(names=("a",), colors=((255, 255, 255),)), dict(names=()),
                  dict(names=("a", "b"), colors=((1, 2, 3),)), dict(names=("a",), colors=((1, 2, 300),)),
                  dict(names=("a", "b"), colors=((1, 2, 3), (1, 2, 3)))):
        with pytest.raises(ValueError):
            Classes(**wrong)


def test_a_mask_comes_back_from_its_png(tmp_path):
    mask = half_and_half()
    mask[0, 0, 0] = 0
    TWO.save_mask(tmp_path / "m.png", mask)
    assert Image.open(tmp_path / "m.png").mode == "P"
    assert torch.equal(TWO.load_mask(tmp_path / "m.png", 8), mask)
    Image.open(tmp_path / "m.png").convert("RGB").save(tmp_path / "rgb.png")         # as painting programs save it
    assert torch.equal(TWO.load_mask(tmp_path / "rgb.png"), mask)
    assert torch.equal(TWO.load_mask(tmp_path / "rgb.png", 4)[0, 2:], torch.full((2, 4), 2))
    shown = TWO.picture(mask)
    assert shown.shape == (1, 3, 8, 8) and torch.equal(shown[0, :, 0, 0], torch.ones(3))


def test_wrong_masks_are_told_what_is_wrong(tmp_path):
    pixels = TWO.palette[half_and_half()[0].numpy()]
    pixels[3, 3] = (87, 180, 233)
    Image.fromarray(pixels).save(tmp_path / "m.png")
    with pytest.raises(LayoutError, match=r"1 pixels.*\(87, 180, 233\).*nearest is sky"):
        TWO.load_mask(tmp_path / "m.png")
    (tmp_path / "no.png").write_bytes(b"nonsense")
    with pytest.raises(LayoutError, match="no.png"):
        TWO.load_mask(tmp_path / "no.png")
    TWO.save_mask(tmp_path / "m.png", half_and_half())
    with pytest.raises(LayoutError, match="8 x 8 pixels; wanted 3 x 3"):
        TWO.load_mask(tmp_path / "m.png", 3)
    with pytest.raises(LayoutError, match=r"\[7\].*1 sky, 2 cat"):
        TWO.require(torch.full((1, 8, 8), 7), 8)
    with pytest.raises(LayoutError, match="paints 16 px"):
        TWO.require(half_and_half(), 16)
    with pytest.raises(LayoutError, match="number 1 .* says nothing"):
        TWO.require(torch.cat([half_and_half(), torch.zeros(1, 8, 8, dtype=torch.long)]), 8)


def test_thin_classes_survive_reduction():
    mask = torch.ones(1, 32, 32, dtype=torch.long)
    mask[0, 5] = 2                                              # a stroke one pixel high
    mask[0, 20, 20] = 3                                         # a class of one pixel
    small = reduced(mask, 8, 3)
    assert set(small.unique().tolist()) == {1, 2, 3} and small[0, 5, 5] == 3
    scribble = torch.where(mask == 2, 2, 0)
    assert (reduced(scribble, 8, 3)[0, 1] == 2).all(), "where only the stroke speaks, it is not outvoted by nothing"
    share = coverage(mask, 8, 3)
    assert share[0, 1, 1, 0] == 0.25 and torch.allclose(share.sum(1), torch.ones(1, 8, 8))
    with pytest.raises(LayoutError, match="whole number of times"):
        reduced(mask, 5, 3)


def test_board_brush_fill_and_the_way_back():
    board = LabelBoard(16)
    board.brush([(2, 8), (14, 8)], 2, 1)
    assert (board.mask[7:9, 2:14] == 1).all() and (board.mask == 1).sum() < 40
    board.fill(8, 2, 2)
    assert board.mask[0, 0] == 2 and board.mask[12, 8] == 2, "the line ends before the edge: fill flows round it"
    board.undo()
    board.brush([(0, 8), (16, 8)], 2, 1)
    board.fill(8, 2, 2)
    assert board.mask[0, 0] == 2 and board.mask[12, 8] == 0, "a line from edge to edge holds it"
    before = board.mask
    board.brush([(8, 8)], 0.1, 2)
    assert (board.mask != before).sum() == 1, "the thinnest dot is a pixel"
    board.undo()
    assert np.array_equal(board.mask, before)
    board.redo()
    board.clear()
    assert board.blank
    board.undo()
    assert not board.blank
    with pytest.raises(ValueError, match="mask"):
        board.replace(np.zeros((3, 3)))
