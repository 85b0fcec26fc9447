"""Principal components of w: equal to an SVD of the same samples, the same from run to run; edits; the npz layout."""
import io
import zipfile

import numpy as np
import pytest
import torch
from fuzz import assert_survives
from stand_ins import small_generator

from sketchgan.editing import (
    Components,
    Direction,
    edit,
    find_components,
    load_components,
    principal_components,
    save_components,
)
from sketchgan.weights import CheckpointError


def published(path, count=512, w_dim=512, **changes):
    """A file as GANSpace's decomposition writes it."""
    rng = np.random.default_rng(0)
    comp = np.linalg.qr(rng.standard_normal((w_dim, w_dim)))[0][:count, None].astype(np.float32)
    stdev = np.linspace(7, 0.1, count, dtype=np.float32)
    arrays = {f"{of}_{name}": value for of in ("act", "lat") for name, value in (
        ("comp", comp), ("mean", np.ones((1, w_dim), np.float32)), ("stdev", stdev))}
    arrays |= {"var_ratio": stdev ** 2 / (stdev ** 2).sum(), "random_stdevs": np.ones(count, np.float32)}
    arrays = {name: value for name, value in (arrays | changes).items() if value is not None}
    np.savez_compressed(path, **arrays)
    return arrays


def test_components_are_those_of_an_svd_of_all_samples_at_once():
    x = torch.randn(3000, 12) @ torch.randn(12, 12) + torch.arange(12.0)
    found = principal_components(x.split(700))
    centred = x.double().numpy() - x.double().numpy().mean(0)
    _, values, vectors = np.linalg.svd(centred, full_matrices=False)
    vectors *= np.sign(vectors[np.arange(12), np.abs(vectors).argmax(1)])[:, None]
    assert np.abs(found.vectors.numpy() - vectors).max() < 1e-4
    assert np.abs(found.stdev.numpy() / (values / np.sqrt(len(x) - 1)) - 1).max() < 1e-4
    assert np.abs(found.share.numpy() - values ** 2 / (values ** 2).sum()).max() < 1e-4
    assert np.abs(found.mean.numpy() - x.numpy().mean(0)).max() < 1e-4
    assert len(principal_components([x], count=3)) == 3


def test_the_same_samples_give_the_same_numbers_however_they_come():
    x = torch.randn(500, 6) + 100
    first, second, third = (principal_components(x.split(n)) for n in (500, 37, 1))
    for other in (second, third):
        assert torch.allclose(first.vectors, other.vectors, atol=1e-4), "signs too"
        assert torch.allclose(first.stdev, other.stdev, rtol=1e-4)
    G = small_generator()
    a, b = find_components(G, samples=3000), find_components(G, samples=3000)
    assert torch.equal(a.vectors, b.vectors) and torch.equal(a.mean, b.mean)
    assert not torch.equal(a.mean, find_components(G, samples=3000, seed=1).mean)


def test_an_edit_moves_the_chosen_rows_by_sigma_standard_deviations():
    G = small_generator()
    ws, found = G.mapping(torch.randn(3, 8)), find_components(G, samples=500)
    direction, before = found.direction(2), ws.clone()
    moved = edit(ws, direction, 1.5, range(1, 3))
    assert torch.equal(ws, before), "the latents that were given stay as they are"
    assert torch.equal(moved[:, [0, 3]], ws[:, [0, 3]])
    assert torch.equal(moved[:, [1, 2]], ws[:, [1, 2]] + 1.5 * found.stdev[2].item() * found.vectors[2])
    assert torch.equal(edit(ws, direction, 0.0), ws)
    named = Direction("mine", direction.vector, direction.stdev, range(1, 3))
    assert torch.equal(edit(ws, named, 1.5), moved), "a direction may know its rows"
    assert torch.equal(edit(ws, named, 1.5, [0])[:, 1:], ws[:, 1:]), "and be told others"


def test_before_truncation_an_edit_shrinks_and_after_it_does_not():
    G = small_generator()
    ws, direction, mean = G.mapping(torch.randn(3, 8)), find_components(G, samples=500).direction(0), G.mean_w()
    shift = lambda order: edit(ws, direction, 2.0, None, 0.5, mean, order) - mean.lerp(ws, 0.5)
    whole = 2.0 * direction.stdev * direction.vector
    assert torch.allclose(shift("after"), whole.expand(3, 4, 8), atol=1e-6)
    assert torch.allclose(shift("before"), 0.5 * whole.expand(3, 4, 8), atol=1e-6)


@pytest.mark.parametrize("given, message", [
    (dict(layers=range(3, 5)), "rows 0 to 3"), (dict(layers=[]), "at least one"), (dict(layers=[-1]), "layers"),
    (dict(truncation_psi=0.5), "center=G.mean_w"), (dict(sigma=float("nan")), "sigma"), (dict(order="later"), "order")])
def test_what_cannot_be_edited_says_why(given, message):
    G = small_generator()
    good = dict(ws=G.mapping(torch.randn(2, 8)), direction=find_components(G, samples=500).direction(0), sigma=1.0)
    with pytest.raises(ValueError, match=message):
        edit(**good | given)


def test_directions_of_another_generator_and_components_that_are_not_there_are_refused():
    G = small_generator()
    found, ws = find_components(G, samples=500), G.mapping(torch.randn(2, 8))
    for number in (8, -1, 1.0, "3"):
        with pytest.raises(ValueError, match="numbered 0 to 7"):
            found.direction(number)
    with pytest.raises(ValueError, match="another w_dim"):
        edit(ws, Direction("wide", torch.ones(12), 1.0), 1.0)
    with pytest.raises(ValueError, match="right angles"):
        Components(found.mean, found.vectors * 2, found.stdev, found.share)


def test_the_published_layout_is_read_with_its_512_components(tmp_path):
    arrays = published(tmp_path / "cat.npz")
    found = load_components(tmp_path / "cat.npz", w_dim=512)
    assert found.vectors.shape == (512, 512) and len(found) == 512
    assert np.array_equal(found.vectors.numpy(), arrays["lat_comp"][:, 0])
    assert np.array_equal(found.stdev.numpy(), arrays["lat_stdev"]) and found.mean.tolist() == [1.0] * 512
    ws = torch.randn(2, 14, 512)            # "add fur": --comp_id 27 --scalar 50 --layers 2,4
    moved = edit(ws, found.direction(27), 50.0, range(2, 5))
    assert torch.equal(moved[:, 2:5], ws[:, 2:5] + 50 * found.stdev[27].item() * found.vectors[27])


def test_what_is_written_has_the_published_layout_and_comes_back(tmp_path):
    found = find_components(small_generator(), samples=500)
    save_components(tmp_path / "mine.npz", found)
    back = load_components(tmp_path / "mine.npz", w_dim=8)
    assert all(torch.equal(getattr(found, name), getattr(back, name)) for name in ("mean", "vectors", "stdev", "share"))
    published(tmp_path / "theirs.npz", 8, 8)
    mine, theirs = np.load(tmp_path / "mine.npz"), np.load(tmp_path / "theirs.npz")
    assert {k: (mine[k].shape, mine[k].dtype) for k in mine} == {k: (theirs[k].shape, theirs[k].dtype) for k in theirs}


HOSTILE = {
    "of another w_dim": (dict(), 4, "belong to another one"),
    "without components": (dict(lat_comp=None), 8, "no array lat_comp"),
    "not a number": (dict(lat_mean=np.full((1, 8), np.nan, np.float32)), 8, "finite"),
    "not orthonormal": (dict(lat_comp=np.ones((8, 1, 8), np.float32)), 8, "orthonormal"),
    "of objects": (dict(lat_mean=np.array([object()], dtype=object)), 8, "floating"),
    "of whole numbers": (dict(lat_stdev=np.ones(8, np.int64)), 8, "floating"),
    "of too few stdevs": (dict(lat_stdev=np.ones(3, np.float32)), 8, "wanted"),
    "of more components than numbers": (dict(lat_comp=np.ones((9, 1, 8), np.float32)), 8, "wanted"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_files_that_are_no_components_are_refused(tmp_path, kind):
    changes, w_dim, message = HOSTILE[kind]
    published(tmp_path / "a.npz", 8, 8, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_components(tmp_path / "a.npz", w_dim)


def test_broken_files_end_in_our_own_error(tmp_path):
    published(tmp_path / "a.npz", 6, 6)
    done = assert_survives(load_components, "b.npz", (tmp_path / "a.npz").read_bytes(), CheckpointError, tmp_path, 120)
    assert done["refused"] > 60
    with pytest.raises(FileNotFoundError):
        load_components(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(CheckpointError, match="not a whole zip"):
        load_components(tmp_path / "text.npz")


def test_an_array_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10 ** 9, 1, 512)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("lat_comp.npy", header.getvalue() + b"\0" * 400)
    with pytest.raises(CheckpointError, match="as many numbers"):
        load_components(tmp_path / "bomb.npz")
