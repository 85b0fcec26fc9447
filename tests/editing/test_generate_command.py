"""The command generate: the same call makes the same files, samples depend on their seed alone, mistakes end in a
sentence."""
import copy

import numpy as np
import pytest
import torch
from PIL import Image
from stand_ins import small_generator

from sketchgan.__main__ import main
from sketchgan.editing import edit, find_components, save_components
from sketchgan.editing.command import edit_of, seeds_of, z_of
from sketchgan.plotting import to_uint8
from sketchgan.weights import save, save_delta


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Three files in a working folder: a base, one customised from it, and the latter's delta."""
    monkeypatch.chdir(tmp_path)
    G = small_generator()
    save("base.safetensors", G=G)
    other = copy.deepcopy(G)
    with torch.no_grad():
        for p in other.style.parameters():
            p += 40 * torch.randn_like(p) if p.ndim > 1 else 0.0
    save("mine.safetensors", G=other)
    save_delta("delta.safetensors", other, G)
    threads = torch.get_num_threads()
    yield {"base": G, "mine": other}
    torch.set_num_threads(threads)


def generate(*words):
    main(["generate", "--threads", "1", *map(str, words)])


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_a_sample_is_its_seed_whatever_stands_beside_it(made, tmp_path, capsys):
    generate("base.safetensors", "--seeds", "4,7", "--files", "--out", "a")
    generate("base.safetensors", "mine.safetensors", "--seeds", "0-9", "--files", "--out", "b")
    assert np.array_equal(pixels("a/seed7.png"), pixels("b/base_seed7.png"))
    image = made["base"].synthesis(made["base"].mapping(z_of(7, 8)), "const")
    assert np.array_equal(pixels("a/seed7.png"), to_uint8(image.clamp(-1, 1))[0])
    assert not np.array_equal(pixels("b/mine_seed7.png"), pixels("b/base_seed7.png"))
    said = capsys.readouterr().out.split()
    assert "a/seed4.png" in said and "b/grid.png" in said and len(list((tmp_path / "b").iterdir())) == 21
    generate("base.safetensors", "--seeds", "7", "--noise", "random", "--files", "--out", "c")
    generate("base.safetensors", "--seeds", "3,7", "--noise", "random", "--files", "--out", "d")
    assert np.array_equal(pixels("c/seed7.png"), pixels("d/seed7.png"))


def test_a_delta_is_the_model_it_was_made_of(made):
    generate("mine.safetensors", "--seeds", "1", "--out", "a")
    generate("delta.safetensors", "--base", "base.safetensors", "--seeds", "1", "--out", "b")
    assert np.array_equal(pixels("a/grid.png"), pixels("b/grid.png"))


def test_edits_before_and_after_truncation(made):
    G, found = made["base"], find_components(made["base"])
    save_components("found.npz", found)
    for order in ("before", "after"):
        generate("base.safetensors", "--seeds", "5", "--edit", "2:3:1-2", "0:-1.5", "--truncation", "0.5", "--order",
                 order, "--components", "found.npz", "--files", "--out", order)
        ws, mean = G.mapping(z_of(5, 8)), G.mean_w()
        ws = ws if order == "before" else mean.lerp(ws, 0.5)
        ws = edit(edit(ws, found.direction(2), 3.0, range(1, 3)), found.direction(0), -1.5)
        ws = mean.lerp(ws, 0.5) if order == "before" else ws
        image = G.synthesis(ws, "const").clamp(-1, 1)
        assert np.array_equal(pixels(f"{order}/seed5.png"), to_uint8(image)[0])
    assert not np.array_equal(pixels("before/seed5.png"), pixels("after/seed5.png"))


def test_a_film_goes_by_way_of_its_seeds(made):
    generate("base.safetensors", "mine.safetensors", "--seeds", "2,3,4", "--film", "a.gif", "--frames", "4", "--scale",
             "1", "--out", "a")
    film = Image.open("a/a.gif")
    assert film.n_frames == 12 and film.size == (16, 8), "the models stand side by side"
    grid = pixels("a/grid.png")
    away = []
    for i in range(12):
        film.seek(i)
        away.append(np.abs(np.asarray(film.convert("RGB"))[:, :8].astype(int) - grid[:8, 40:48]).mean())
    assert np.argmin(away) == 4, "frame 4 is seed 3, but for the palette"


def test_a_mixture_lies_between(made):
    generate("base.safetensors", "mine.safetensors", "--mix", "1", "0", "--seeds", "1", "--out", "a")
    generate("base.safetensors", "--seeds", "1", "--out", "b")
    assert np.array_equal(pixels("a/grid.png"), pixels("b/grid.png"))
    for space in ("w", "weights"):
        generate("base.safetensors", "mine.safetensors", "--mix", "-0.5", "1.5", "--seeds", "1", "--space", space,
                 "--truncation", "0.7", "--out", space)


def test_the_model_in_the_folder_of_a_customisation(made, tmp_path):
    (tmp_path / "run").mkdir()
    save("run/customized.safetensors", G=made["mine"])
    generate("run", "--seeds", "1", "--out", "a")
    generate("mine.safetensors", "--seeds", "1", "--out", "b")
    assert np.array_equal(pixels("a/grid.png"), pixels("b/grid.png"))


@pytest.mark.parametrize("words, message", [
    (["none.safetensors"], "no base GAN 'none.safetensors'"), (["empty"], "the folder empty holds no customized"),
    (["delta.safetensors"], "is a delta"), (["base.safetensors"] * 2 + ["--seeds", "x"], "--seeds is 'x'"),
    (["base.safetensors", "--seeds", "9-3"], "--seeds"), (["base.safetensors", "--seeds", "0-99999999999"], "10,000"),
    (["base.safetensors", "--edit", "a:3"], "--edit is 'a:3'"), (["base.safetensors", "--edit", "8:1"], "0 to 7"),
    (["base.safetensors", "--edit", "1:1:2-9"], "rows 0 to 3"), (["base.safetensors", "--film", "a.avi"], "--film"),
    (["base.safetensors", "--film", "a.gif", "--seeds", "3"], "two or more"),
    (["base.safetensors", "mine.safetensors", "--mix", "1"], "one for each"),
    (["base.safetensors", "mine.safetensors", "--mix", "1", "1"], "not 1"),
    (["base.safetensors", "--columns", "0"], "cols"), (["base.safetensors", "--threads", "0"], "--threads"),
    (["base.safetensors", "--edit", "1:1", "--components", "base.safetensors"], "not a whole zip")])
def test_mistakes_end_in_a_sentence(made, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="error: .*" + message.replace("(", r"\(")):
        generate(*words, "--out", "made")
    assert not (tmp_path / "made").exists(), "and nothing is written"


def test_seeds_and_edits_are_read_as_they_are_meant():
    assert seeds_of("3, 7,20-22") == [3, 7, 20, 21, 22] and seeds_of("0") == [0]
    assert edit_of("27:-20.5:2-4") == (27, -20.5, range(2, 5)) and edit_of("3:2") == (3, 2.0, None)
    assert edit_of("3:2:5") == (3, 2.0, range(5, 6))
