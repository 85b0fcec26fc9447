"""The board of photographs without a browser: upload, search, swap, edit, undo and save do what they say."""
import copy
import datetime
import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("ipycanvas")

from stand_ins import small_generator

from sketchgan.editing import ProjectConfig
from sketchgan.nets import Generator
from sketchgan.plotting import to_uint8
from sketchgan.studios import PhotoEditor


def board(tmp_path, **options):
    G = small_generator()
    mine = copy.deepcopy(G)
    with torch.no_grad():
        mine.style[2].bias += 40 * torch.randn_like(mine.style[2].bias)
    options = dict(config=ProjectConfig(steps=6, lr=0.2), count=2, folder=tmp_path, threaded=False) | options
    return PhotoEditor({"original": G, "mine": mine}, **options)


def uploaded(name, data):
    """What the browser sends of one file."""
    return ({"name": name, "content": memoryview(data), "size": len(data), "type": "image/jpeg",
             "last_modified": datetime.datetime.now(datetime.timezone.utc)},)


def shown(view):
    return np.asarray(Image.open(io.BytesIO(view.png)).convert("RGB"))


def test_a_sample_is_found_swapped_edited_and_saved(tmp_path):
    b = board(tmp_path)
    with pytest.raises(ValueError, match="press Find"):
        b.picture()
    b.find_button.click()
    assert b.found.step == 6 and "times what is usual" in b.verdict.value and "dB" not in b.verdict.value
    assert np.array_equal(shown(b.views["photo"])[::24, ::24], to_uint8(b.photo)[0]), "each pixel is shown 24 times"
    swapped = b.picture()
    b.model.value = "original"
    assert torch.allclose(b.picture(), b.found.images.clamp(-1, 1), atol=1e-5), "the original paints the projection"
    b.model.value = "mine"
    assert torch.equal(b.picture(), swapped)
    b.sliders[0].value = 3.0
    edited = b.picture()
    assert not torch.allclose(edited, swapped) and "component 0 +3" in b.views["result"].value
    assert np.array_equal(shown(b.views["result"])[::24, ::24], to_uint8(edited)[0])
    b.keep.value = 0.0
    assert not torch.allclose(b.picture(), edited)
    b.undo_button.click()
    assert b.keep.value == 1.0 and torch.equal(b.picture(), edited)
    b.reset_button.click()
    assert b.sliders[0].value == 0 and torch.equal(b.picture(), swapped)
    b.save_button.click()
    assert {p.name for p in tmp_path.glob("*.png")} == {"photo_mine.png", "photo_mine_alone.png"}
    assert "Download" in b.link.value and "data:image/png" in b.link.value


def test_an_upload_is_cut_square_and_sought_at_once(tmp_path):
    b = board(tmp_path)
    file = io.BytesIO()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(file, "jpeg")
    b.upload.value = uploaded("a.jpg", file.getvalue())
    assert b.photo.shape == (1, 3, 8, 8) and b.photo[:, 0].mean() > 0.4 > b.photo[:, 1].mean()
    assert b.found.target is not None and torch.equal(b.found.target, b.photo)
    b.upload.value = uploaded("b.jpg", b"nonsense")
    assert "b.jpg cannot be edited" in b.status.value and torch.equal(b.found.target, b.photo), "the old one stays"


def test_a_search_in_the_background_can_be_stopped_and_a_new_photo_ends_it(tmp_path):
    b = board(tmp_path, threaded=True, config=ProjectConfig(steps=100_000))
    begun, place = threading.Event(), b._place
    b._place = lambda *given: (place(*given), begun.set())
    b.find_button.click()
    assert begun.wait(60)
    b.stop_button.click()
    b._usual = torch.ones(2)                                        # what takes as long as a search is not looked at
    assert b.wait(60) and b.found.step < 100_000 and b.picture() is not None
    begun.clear()
    b.find()
    assert begun.wait(60)
    b.seed.value = 5
    assert b.wait(60) and b.found is None, "latents of another photo are none of this one"


def test_models_of_another_family_are_told(tmp_path):
    with pytest.raises(ValueError, match="models is {}"):
        PhotoEditor({})
    other = Generator(8, 8, 12, 2, {4: 8, 8: 8})
    with pytest.raises(ValueError, match="built otherwise"):
        PhotoEditor({"a": small_generator(), "b": other})
    with pytest.raises(ValueError, match="image is"):
        board(tmp_path).take(torch.zeros(1, 3, 16, 16))
