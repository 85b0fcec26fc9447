"""The studio of portraits without a browser: each knob does what it says."""
import pytest
import torch

pytest.importorskip("ipycanvas")

from sketchgan.nets.stylegan2 import Generator
from sketchgan.portraits import DualStyleGAN, Portraitist, fit_sampler
from sketchgan.studios.portraits import PortraitStudio

CHANNELS = {4: 8, 8: 8, 16: 6, 32: 4}


@pytest.fixture
def studio(tmp_path):
    torch.manual_seed(0)
    P = DualStyleGAN(Generator(32, 8, 12, 2, CHANNELS).eval())
    with torch.no_grad():
        for p in P.extrinsic():
            p.add_(0.3 * torch.randn(p.shape))
    codes = {name: P.mapping(torch.randn(1, 8))[0].clone() for name in ("a.png", "b.png")}
    sampler = fit_sampler(torch.stack(list(codes.values())), P.border, steps=2, batch=4)
    return PortraitStudio(Portraitist(P.eval(), codes, {"a.png": torch.zeros(3, 32, 32)}, sampler=sampler), seed=3,
                          folder=tmp_path)


def test_what_is_shown_is_what_the_portraitist_makes(studio):
    z = torch.randn(8, 8, generator=torch.Generator().manual_seed(3))
    assert torch.equal(studio.picture(), studio.portraitist.transfer(z[:1], "a.png"))
    studio.content.value, studio.style.value = 5, "b.png"
    assert torch.equal(studio.picture(), studio.portraitist.transfer(z[4:5], "b.png"))
    before = studio.result.png
    studio.structure.value, studio.colour.value = 0.0, 0.0
    assert [knob.value for knob in studio.rows] == [0.0] * 8
    assert torch.equal(studio.picture(), studio.portraitist.plain(z[4:5])) and studio.result.png != before
    assert studio.result.png == studio.plain.png


def test_a_row_of_its_own_and_colours_kept(studio):
    studio.rows[2].value = 1.5
    assert studio.options()["weights"] == [0.75, 0.75, 1.5] + [1.0] * 5
    studio.keep.value = "weights"
    z = studio.contents()[:1]
    wanted = studio.portraitist.transfer(z, "a.png", weights=[0.75, 0.75, 1.5] + [0.0] * 5)
    assert torch.equal(studio.picture(), wanted)


def test_a_random_style_is_new_and_a_named_one_comes_back(studio):
    known = studio.picture()
    studio.other.click()
    assert studio.new_seed is not None and not torch.equal(studio.picture(), known)
    assert "a new style" in studio.caption.value
    studio.style.value = "b.png"
    assert studio.new_seed is None


def test_it_saves(studio):
    studio.save_button.click()
    assert {path.name for path in studio.folder.iterdir()} == {"3-1-a.png", "3-1-a_overview.png"}
    assert "saved" in studio.status.value
