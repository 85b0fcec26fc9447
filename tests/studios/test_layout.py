"""The layout pad without a browser: painting, labelling samples, live pictures, undo."""
import pytest

pytest.importorskip("ipycanvas")

import torch

from sketchgan.fewshot import Classes, EncoderConfig, Examples, LayoutError, new_layouts, sample_codes
from sketchgan.nets import Generator
from sketchgan.studios import LayoutPad

CLASSES = Classes(("sky", "cat"))


def generator(seed=0):
    torch.manual_seed(seed)
    return Generator(32, 8, 8, 2, {4: 8, 8: 8, 16: 8, 32: 8}).eval().requires_grad_(False)


def painted(G):
    mask = torch.ones(1, 32, 32, dtype=torch.long)
    mask[:, 16:] = 2
    return Examples(CLASSES, sample_codes(G, [0]), mask)


def drag(pad, *points):
    """As a mouse does, in pixels of the screen."""
    pad.canvas._mouse_down(*points[0])
    for point in points[1:]:
        pad.canvas._pen_move(*point)
    pad.canvas._pen_up()


def test_labelling_samples_gives_examples():
    G = generator()
    pad = LayoutPad(G, classes=CLASSES, size=320)
    assert pad.answer.layout.display == "none"
    pad.label_button.click()
    assert "nothing has been learnt yet" in pad.status.value
    with pytest.raises(LayoutError, match="no example"):
        pad.examples()
    drag(pad, (0, 40), (319, 40))
    assert set(pad.mask().unique().tolist()) == {0, 1}
    pad.keep_button.click()
    assert "no labelled pixel of class 2" in pad.status.value, "each class has to be painted before anything is learnt"
    pad.choose(2)
    pad.tool.value = "fill"
    pad.canvas._mouse_down(160, 300)
    pad.keep_button.click()
    examples = pad.examples()
    assert len(examples) == 1 and examples.classes == CLASSES and torch.equal(examples.ws, sample_codes(G, [0]))
    pad.other_button.click()
    assert pad.seed == 1
    pad.label_button.click()
    assert torch.equal(pad.mask(), pad.labeller.labels(G, sample_codes(G, [1])))
    pad.keep_button.click()
    assert len(pad.examples()) == 2 and len(new_layouts(G, pad.examples()).classes) == 2


def test_the_picture_follows_each_stroke():
    G = generator()
    model = new_layouts(G, painted(G), EncoderConfig(width=4))
    model.usual = 2.0                                               # everything is far from what this one paints
    pad, heard = LayoutPad(G, model, size=320), []
    pad.on_change(heard.append)
    assert pad.result is None and "Paint a layout" in pad.said.value
    drag(pad, (20, 40), (300, 40))
    first = pad.result.images
    assert "far from anything" in pad.said.value and pad.picture.png and pad.strip.value and heard == [pad]
    strip = pad.strip.value
    pad.vary_button.click()
    assert pad.strip.value != strip
    pad.choose(2)
    drag(pad, (20, 280), (300, 280))
    assert not torch.equal(pad.result.images, first)
    pad.undo_button.click()
    assert torch.equal(pad.result.images, first)
    before = pad.result.score
    pad.refine(steps=4)
    assert pad.result.score >= before
    pad.clear_button.click()
    assert pad.result is None and pad.strip.value == b""
    pad.load(painted(G).masks[0])
    assert pad.result is not None and torch.equal(pad.mask(), painted(G).masks)
    assert pad.seconds > 0


def test_keys_and_touch_paint_too():
    pad = LayoutPad(generator(), classes=CLASSES, size=320)
    for key in ("2", " ", "ArrowRight", "ArrowDown", " "):
        pad.canvas._key(key, key.startswith("Arrow"), False, False)
    assert (pad.mask() == 2).any()
    pad.canvas._key("z", False, True, False)
    assert not pad.mask().any()
    pad.canvas._key("y", False, True, False)
    pad.canvas._key("]", False, False, False)
    pad.canvas._key("f", False, False, False)
    assert pad.mask().any() and pad.canvas.breadth == 4 and pad.tool.value == "fill"
    pad.canvas._begin_anew()


def test_a_pad_for_another_generator_is_refused():
    G = generator()
    model = new_layouts(G, painted(G), EncoderConfig(width=4))
    with pytest.raises(LayoutError, match="another generator"):
        LayoutPad(generator(1), model)
    with pytest.raises(ValueError, match="classes"):
        LayoutPad(G)
    with pytest.raises(ValueError, match="not those of the model"):
        LayoutPad(G, model, Classes(("sky", "dog")))
    with pytest.raises(LayoutError, match="no|numbers"):
        LayoutPad(G, model).load(torch.full((32, 32), 7))
