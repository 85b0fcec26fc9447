"""The explorer without a browser: each knob does what it says, and the same z stays the same z."""
import io

import pytest
import torch
from PIL import Image

pytest.importorskip("ipycanvas")

from sketchgan import plotting
from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Generator
from sketchgan.widgets import parts
from sketchgan.widgets.explorer import SampleExplorer, mixed_samples, seeded_samples

CHANNELS = {4: 8, 8: 8, 16: 8}


def generator(seed=1, **sizes):
    torch.manual_seed(seed)
    G = Generator(16, **dict(z_dim=8, w_dim=8, num_mapping=2, channels=CHANNELS) | sizes)
    for noise in (G.conv1.noise, *(conv.noise for conv in G.convs)):
        torch.nn.init.ones_(noise.weight)
    return G.eval()


def explorer(**options):
    return SampleExplorer(generator(1), before=generator(2), F=PhotoSketch(ngf=4, n_blocks=1), count=4, **options)


def test_before_and_now_have_the_same_z_and_noise():
    G = generator()
    for mode in ("const", "random", "none"):
        assert torch.equal(seeded_samples(G, 5, 3, noise_mode=mode), seeded_samples(generator(), 5, 3, noise_mode=mode))
    assert not torch.equal(seeded_samples(G, 5, 3, noise_mode="random"), seeded_samples(G, 6, 3, noise_mode="random"))
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(5))
    assert torch.equal(seeded_samples(G, 5, 3), G(z, noise_mode="const"))


@pytest.mark.parametrize("mode", ["const", "random", "none"])
def test_mixing_takes_the_layers_that_were_asked_for(mode):
    G = generator()
    a, whole, b = mixed_samples(G, 0, 2, (0, G.num_ws), seed=3, noise_mode=mode)
    assert torch.equal(whole, b) and not torch.equal(a, b)
    a, nothing, b = mixed_samples(G, 0, 2, (2, 2), seed=3, noise_mode=mode)
    assert torch.equal(nothing, a)
    _, mixed, _ = mixed_samples(G, 0, 2, (2, G.num_ws), seed=3, noise_mode="none")
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(3))
    ws = G.mapping(z)[[0]].clone()
    ws[:, 2:] = G.mapping(z)[[2]][:, 2:]
    assert torch.allclose(mixed, G.synthesis(ws, "none")[0], atol=1e-4)


def test_every_knob_changes_what_is_shown():
    view = explorer()
    rows = lambda: (view.rows["before"].value, view.rows["now"].value, view.mixture.value)
    shown = [rows()]
    assert Image.open(io.BytesIO(shown[0][0])).size[0] > 4 * 16
    for change in (view.other_button.click, lambda: setattr(view.truncation, "value", 0.5),
                   lambda: setattr(view.noise, "value", "none")):
        change()
        shown.append(rows())
    assert view.seed.value == 1
    for before, after in zip(shown, shown[1:]):
        assert all(a != b for a, b in zip(before, after))
    view.layers.value = (1, 2)
    assert view.mixture.value != shown[-1][2] and "layers 1 to 2" in view.mixture_caption.value
    view.second.value = 4
    assert "sample 4" in view.mixture_caption.value
    view.truncation.value = 0.0                                         # everybody is the mean
    now = view.samples()["now"]
    assert (now - now[:1]).abs().max() < 1e-4


def test_outlines_on_demand():
    view = explorer()
    height = lambda: Image.open(io.BytesIO(view.rows["now"].value)).height
    single = height()
    view.outlines.value = True
    assert height() == 2 * single + 2 and view.F.batch_stats is False
    assert SampleExplorer(generator(), count=2).outlines.layout.display == "none"


def test_pictures_are_saved_whole(tmp_path):
    view = explorer(folder=tmp_path / "out")
    view.sheet_button.click()
    view.images_button.click()
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["seed_0_1.png", "seed_0_2.png", "seed_0_3.png", "seed_0_4.png", "sheet_0.png"]
    pixels = torch.from_numpy(plotting.to_uint8(view.samples()["now"])[2])
    written = bytearray(Image.open(tmp_path / "out/seed_0_3.png").tobytes())
    assert torch.equal(torch.frombuffer(written, dtype=torch.uint8), pixels.flatten())
    assert Image.open(tmp_path / "out/sheet_0.png").size == view.sheet().size
    (tmp_path / "file").write_text("")
    view.folder.value = str(tmp_path / "file")
    view.images_button.click()                                          # no folder: said, not thrown
    assert "File exists" in view.status.value


def test_generators_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="Give the one G was made from"):
        SampleExplorer(generator(), before=generator(z_dim=4))


def test_everything_to_press_says_what_it_does():
    view = explorer()
    knobs = [child for row in view.children for child in getattr(row, "children", ())
             if not isinstance(child, parts.w.Image)]
    assert len(knobs) == 11 and all(len(knob.tooltip) > 10 and knob.description for knob in knobs)
