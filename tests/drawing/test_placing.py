"""Where a GAN paints, and sketches of every kind put there: those that stand well stay to the bit."""
import numpy as np
import pytest
import torch

from sketchgan.drawing.placing import USUAL, UsualBox, ink_bounds, usual_box
from sketchgan.drawing.sketches import load_sketches, normalize_sketch
from sketchgan.drawing.strokes import SketchError, rasterize, sketch_names
from sketchgan.files.places import weights_folder
from sketchgan.nets import Generator, PhotoSketch
from sketchgan.weights import load_generator, load_photosketch

LOW = UsualBox((0.4, 0.5, 0.6), (0.6, 0.7, 0.8), (0.3, 0.4, 0.5))
SQUARE = [[64, 64], [192, 64], [192, 192], [64, 192], [64, 64]]


def drawing(scale=1.0, x=0.0, y=0.0, width=5):
    return {"size": 256, "strokes": [{"width": width, "points": (np.array(SQUARE) * scale + [x, y]).tolist()}]}


def test_the_box_is_inside_of_the_frame_and_knows_what_it_holds():
    assert USUAL.box == (0.14, 0.16, 0.86, 0.88) and LOW.box == (0.3, 0.5, 0.7, 0.9)
    assert UsualBox((0, 0.9, 1), (0, 0.1, 1), (0, 0.6, 1)).box == (0.4, 0.0, 1.0, 0.6)
    assert LOW.holds((0.3, 0.5, 0.7, 0.9)) and not LOW.holds((0.3, 0.3, 0.7, 0.7))
    assert not LOW.holds((0.45, 0.65, 0.55, 0.75))


def test_ready_made_sketches_stay_and_others_go_where_the_base_paints(recwarn):
    for name in sketch_names():
        assert torch.equal(load_sketches(name, fit=True), load_sketches(name))
    assert not recwarn
    as_float = rasterize(drawing()["strokes"], 128)
    for given in (drawing(), drawing(0.2, 5, 3), as_float, ((as_float[0, 0] + 1) * 127.5).byte().numpy()):
        with pytest.warns(UserWarning, match="moved and scaled"):
            fitted = normalize_sketch(given, 64, fit=LOW)
        assert np.allclose(ink_bounds(fitted[0]), LOW.box, atol=2 / 64)
    assert torch.equal(normalize_sketch(drawing(), fit=None), rasterize(drawing()["strokes"]))


@pytest.mark.parametrize("options, advice", [({"fit": 3}, "usual_box"), ({"fit": True, "box": (0, 0, 1, 1)}, "both"),
                                             ({"fit": "yes"}, "usual_box")])
def test_a_fit_that_is_none(options, advice):
    with pytest.raises(SketchError, match=advice):
        normalize_sketch(drawing(), **options)


def test_where_a_base_that_ships_paints():
    """A horse stands in the middle, a little below, and takes two thirds of the frame; F and G are left as they
    were."""
    G = load_generator(weights_folder() / "horse64.safetensors")
    F = load_photosketch(weights_folder() / "photosketch.safetensors")
    found = usual_box(G, F, 32)
    assert abs(found.x[1] - 0.5) < 0.05 and 0.48 < found.y[1] < 0.6 and 0.6 < found.side[1] < 0.8
    assert all(low < middle < high for low, middle, high in found) and F.batch_stats
    assert found == usual_box(G, F, 32), "the seed decides"
    for sketch in load_sketches("horse_on_a_side"):
        assert found.holds(ink_bounds(sketch))


def test_a_base_of_which_f_sees_nothing():
    G, F = Generator(8, 4, 4, 1, {4: 4, 8: 4}), PhotoSketch(2, 1)
    with torch.no_grad():
        for parameter in F.parameters():
            parameter.zero_()
    with pytest.raises(SketchError, match="F sees lines in 0 of 8"):
        usual_box(G, F, 8)
