"""The boards without a browser: what knobs, mouse and keys say is what is painted, and undo takes it back."""
import copy
import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("ipycanvas")

from mouse import send
from stand_ins import small_generator

from sketchgan.editing import Direction, Mixer, edit, find_components
from sketchgan.plotting import to_uint8
from sketchgan.studios import EditExplorer, ModelMixer
from sketchgan.studios.mixer import SIDE, UP
from sketchgan.studios.painter import Painter, Undo
from sketchgan.weights import load_generator, save
from sketchgan.widgets.parts import Message


def family():
    G = small_generator()
    models = {"base": G, "a": copy.deepcopy(G), "b": copy.deepcopy(G)}
    with torch.no_grad():
        for name in ("a", "b"):
            for p in models[name].style.parameters():
                p += 40 * torch.randn_like(p) if p.ndim > 1 else 0.0
    return models


def shown(picture):
    """The pixels of a Picture or an Image widget."""
    data = picture.png if hasattr(picture, "png") else picture.value
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def editor(**options):
    models = {name: G for name, G in family().items() if name != "b"}
    named = {"light": Direction("light", torch.ones(8) / 8 ** 0.5, 1.0, range(2, 4))}
    return EditExplorer(models, find_components(models["base"], samples=300), named, threaded=False, count=3, **options)


# ------------------------------------------------------------------------------------------------------- the thread

def test_only_the_newest_request_is_painted_to_its_end():
    painter, done, hold, begun = Painter(Message(), True), [], threading.Event(), threading.Event()

    def first():
        begun.set()
        hold.wait(20)
        yield
        done.append("first, which is out of date")

    def job(name):
        def steps():
            done.append(name)
            yield
        return steps

    painter.ask(first)
    assert begun.wait(20)
    for name in ("second", "third", "fourth"):
        painter.ask(job(name))
    hold.set()
    assert painter.wait() and done == ["fourth"]
    painter.ask(job("fifth"))
    assert painter.wait() and done == ["fourth", "fifth"]


def test_what_goes_wrong_while_painting_is_said_and_painting_goes_on():
    said = Message()
    for threaded in (True, False):
        painter = Painter(said, threaded)
        said.say("")
        painter.ask(lambda: iter([1 / 0]))
        assert painter.wait() and "division by zero" in said.value
        painter.ask(lambda: iter(said.say(word) for word in ("well",)))
        assert painter.wait() and "well" in said.value


def test_a_slider_that_is_drawn_along_is_one_change():
    board = {"a": 0, "b": 0}
    history = Undo(lambda: dict(board), board.update)
    for name, value in (("a", 1), ("a", 2), ("a", 3), ("b", 5), ("a", 4)):
        board[name] = value
        assert history.note(name)
    for wanted in ({"a": 3, "b": 5}, {"a": 3, "b": 0}, {"a": 0, "b": 0}):
        assert history.undo() and board == wanted
    assert not history.undo()


# -------------------------------------------------------------------------------------------------- the edit explorer

def test_sliders_edit_what_the_library_edits():
    board = editor(seed=5)
    G = board.models["base"]
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(5))
    assert torch.equal(board.latents(), G.mapping(z))
    assert [s.description for s in board.sliders] == ["light"] + ["component 0"] * 0 + [
        s.description for s in board.sliders[1:]], "the named come first, on a page of their own"
    board.sliders[0].value = 2.0
    wanted = edit(G.mapping(z), board.directions["light"], 2.0)
    assert torch.equal(board.latents(), wanted) and torch.equal(wanted[:, :2], G.mapping(z)[:, :2]), "rows of its own"
    board.page.value = board.page.options[1][1]
    assert [s.description for s in board.sliders] == ["component 0", "component 1", "component 2"]
    assert [s.value for s in board.sliders] == [0.0] * 3, "no page has another's amounts"
    board.sliders[1].value = -1.5
    board.layers.value = (2, 3)
    wanted = edit(edit(G.mapping(z), board.directions["light"], 2.0, range(1, 3)), board.components.direction(1), -1.5,
                  range(1, 3))
    assert torch.equal(board.latents(), wanted)
    assert [(d.name, s, layers) for d, s, layers in board.edits] == [
        ("light", 2.0, range(1, 3)), ("component 1", -1.5, range(1, 3))]
    assert np.array_equal(shown(board.after), to_uint8(board.picture().clamp(-1, 1))[0])
    board.model.value = "a"
    assert torch.equal(board.latents(edited=False), board.models["a"].mapping(z))


def test_both_ends_of_a_slider_are_what_it_would_show():
    board = editor()
    board.page.value = board.page.options[1][1]
    board.sliders[0].value = 1.0
    ends = [shown(picture) for picture in board.ends[2]]
    for end, sigma in zip(ends, (board.sliders[2].min, board.sliders[2].max)):
        board.sliders[2].value = sigma
        assert np.abs(end.astype(int) - to_uint8(board.picture().clamp(-1, 1))[0]).max() <= 1


def test_undo_and_reset_of_edits():
    board = editor()
    board.sliders[0].value = 1.0
    board.sliders[0].value = 2.0
    board.seed.value = 7
    board.layers.value = (1, 2)
    board.reset_button.click()
    assert not board.edits and board.layers.value == (1, 4) and board.seed.value == 7
    board.undo_button.click()
    assert board.amounts == {"light": 2.0} and board.layers.value == (1, 2) and board.sliders[0].value == 2.0
    board.undo_button.click(), board.undo_button.click()
    assert board.seed.value == 0 and board.amounts == {"light": 2.0} and board.layers.value == (1, 4)
    board.undo_button.click()
    assert not board.edits and board.sliders[0].value == 0.0
    board.undo_button.click()
    assert "nothing to undo" in board.status.value or "no edit" in board.status.value


def test_the_edited_picture_is_saved(tmp_path):
    board = editor(folder=tmp_path / "here", seed=3)
    board.sliders[0].value = 2.0
    board.save_button.click()
    assert "saved" in board.status.value and (tmp_path / "here" / "seed_3.png").is_file()
    board.folder.value = str(tmp_path / "here" / "seed_3.png")
    board.save_button.click()
    assert "could not write" in board.status.value or "Not a directory" in board.status.value


def test_boards_refuse_what_does_not_belong_together():
    from sketchgan.nets import Generator
    models = family()
    larger = Generator(16, 8, 8, 2, {4: 8, 8: 8, 16: 8})
    with pytest.raises(ValueError, match="built otherwise"):
        EditExplorer(models | {"larger": larger}, threaded=False)
    with pytest.raises(ValueError, match="w_dim 6"):
        EditExplorer(models, find_components(Generator(8, 6, 6, 2, {4: 4, 8: 4}), samples=50), threaded=False)
    with pytest.raises(ValueError, match="built differently"):
        ModelMixer({"base": models["base"], "larger": larger}, threaded=False)
    with pytest.raises(ValueError, match="models are 1"):
        ModelMixer({"base": models["base"]}, threaded=False)
    with pytest.raises(ValueError, match="no Direction"):
        EditExplorer(models, named={"a": 3}, threaded=False)


# -------------------------------------------------------------------------------------------------------- the mixer

def mixer(**options):
    return ModelMixer(family(), threaded=False, count=2, **options)


def test_sliders_and_map_say_the_same():
    board = mixer(seed=4)
    board.strengths[0].value, board.strengths[1].value = 0.5, 0.25
    assert board.shares == {"base": 0.25, "a": 0.5, "b": 0.25}
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(4))
    models = family()
    wanted = Mixer({"original": models["base"], "a": models["a"], "b": models["b"]})
    for space in ("w", "weights"):
        board.space.value = space
        ws = wanted.ws({"a": 0.5, "b": 0.25}, z, space)
        assert torch.allclose(board.samples(), models["base"].synthesis(ws, "const"), atol=1e-5)
    x, y = board.place([1.0, 1.0])
    assert (x, y) == (board.origin[0] + 1.5 * SIDE, board.origin[1] + UP[1] * SIDE)
    send(board, "mouse_down", x, y), send(board, "mouse_up", x, y)
    assert [s.value for s in board.strengths] == [1.0, 1.0] and board.shares["base"] == -1.0
    send(board, "mouse_move", 0, 0)
    assert [s.value for s in board.strengths] == [1.0, 1.0], "a mouse that is not held moves nothing"
    send(board, "mouse_down", -500, 5000), send(board, "mouse_up", -500, 5000)
    assert all(0 <= s.value <= 1.5 for s in board.strengths), "the ring stays on the map"


def test_arrow_keys_move_the_ring_and_ctrl_z_takes_it_back():
    board = mixer()
    key = lambda name, shift=False, ctrl=False: board._key(name, shift, ctrl, False)
    key("ArrowRight"), key("ArrowRight", shift=True), key("ArrowUp")
    assert [round(s.value, 3) for s in board.strengths] == [0.25, 0.05]
    key("z", ctrl=True)
    assert [round(s.value, 3) for s in board.strengths] == [0.25, 0.0]
    key("ArrowDown"), key("ArrowLeft", shift=True), key("ArrowLeft", shift=True)
    assert [s.value for s in board.strengths] == [0.0, 0.0]


def test_a_drag_is_one_change_and_undo_takes_it_back():
    board = mixer()
    for strengths in ([0.5, 0.5], [1.0, 0.0]):
        x, y = board.place([0.1, 0.1])
        send(board, "mouse_down", x, y)
        for t in (0.3, 0.6, 1.0):
            send(board, "mouse_move", *(p + t * (q - p) for p, q in zip((x, y), board.place(strengths))))
        send(board, "mouse_up", *board.place(strengths))
        assert [s.value for s in board.strengths] == pytest.approx(strengths)
    board.undo_button.click()
    assert [s.value for s in board.strengths] == pytest.approx([0.5, 0.5])
    board.undo_button.click()
    assert [s.value for s in board.strengths] == [0.0, 0.0]
    board.middle_button.click()
    assert board.shares == pytest.approx({"base": 1 / 3, "a": 1 / 3, "b": 1 / 3}, abs=0.03)
    board.go(0.0, 1.5)
    assert board.shares == {"base": -0.5, "a": 0.0, "b": 1.5}
    for wrong in ((2.0,), (0.1, 0.1, 0.1), (-1.0,)):
        with pytest.raises(ValueError, match="strengths"):
            board.go(*wrong)


def test_the_map_has_a_picture_for_each_place():
    board = mixer()
    assert len(board._cells) == 49 and len(set(tuple(c.tobytes()) for c in board._cells.values())) > 30
    before = dict(board._cells)
    board.strengths[0].value = 0.5
    assert all(board._cells[at] is picture for at, picture in before.items()), "moving the ring paints no map"
    board.seed.value = 9
    assert not any(board._cells[at] is picture for at, picture in before.items())
    assert len(ModelMixer({k: v for k, v in family().items() if k != "b"}, threaded=False)._cells) == 7


def test_the_mixture_is_saved_as_pictures_and_as_a_model(tmp_path):
    board = mixer(folder=tmp_path)
    board.go(0.5, 0.5)
    board.save_button.click()
    picture, model = tmp_path / "base0_a50_b50.png", tmp_path / "base0_a50_b50.safetensors"
    assert picture.is_file() and "saved" in board.status.value
    save(tmp_path / "base.safetensors", G=board.G)
    G, z = load_generator(model, base=tmp_path / "base.safetensors"), torch.randn(3, 8)
    assert torch.allclose(G.mapping(z), board.network().mapping(z), atol=1e-6)
