"""Pictures of lines traced: what comes back is what was drawn, from pixels and from files."""
import json

import numpy as np
import pytest
import torch

from sketchgan.drawing.chamfer import chamfer
from sketchgan.drawing.sketches import load_sketches, read_strokes
from sketchgan.drawing.strokes import FRAME, PEN, SketchError, rasterize, sketch_names
from sketchgan.drawing.tracing import trace

LINE = {"width": 4, "points": [[20.0, 100.0], [120.0, 100.0], [220.0, 100.0]]}


@pytest.mark.parametrize("name", sketch_names())
@pytest.mark.parametrize("resolution", [64, 256])
def test_a_traced_drawing_is_the_drawing(name, resolution):
    """What is read back from pixels stands within a fifth of a pixel of 64 of what was drawn, in few strokes."""
    drawn = load_sketches(name, resolution)[:1]
    strokes = trace(drawn)
    assert chamfer(rasterize(strokes, 64), load_sketches(name, 64)[:1]).item() < 0.2
    assert len(strokes) <= 20, "a line that crosses others stays one stroke"
    assert all(3 < stroke["width"] < 8 for stroke in strokes if len(stroke["points"]) > 9), "about the pen's width"


def test_documents_keep_their_strokes_and_pictures_are_traced(tmp_path):
    document = {"size": 128, "sketches": [{"strokes": [{"width": 2.5, "points": [[10, 20], [100, 30]]}]}]}
    (tmp_path / "half.json").write_text(json.dumps(document))
    wanted = [({"width": 5.0, "points": [[20.0, 40.0], [200.0, 60.0]]},)]
    assert read_strokes(tmp_path / "half.json") == wanted == read_strokes(document)
    assert len(read_strokes("standing_cat")) == len(load_sketches("standing_cat"))
    sketches = load_sketches("standing_cat", 128)[:2]
    traced = read_strokes(sketches)
    assert len(traced) == 2 and all(stroke["points"] for stroke in traced[0])
    with pytest.raises(SketchError, match="none.json"):
        read_strokes(tmp_path / "none.json")
    with pytest.raises(SketchError):
        read_strokes(np.full((64, 64), 255, np.uint8))


def test_blank_paper_has_no_strokes():
    assert trace(torch.ones(1, 1, 64, 64)) == ()
    assert FRAME == 256 and trace(rasterize([LINE], 64), width=PEN)[0]["width"] == PEN
