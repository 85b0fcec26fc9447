"""Style examples: painters of the same scenes who are told apart at once, and folders of pictures."""
import pytest
import torch
from PIL import Image

from sketchgan.portraits import styles
from sketchgan.world import CATEGORIES, Menagerie


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_painter_paints_every_category(category):
    code = Menagerie(category, 32, seed=9).codes(range(2))
    for painter in styles.PAINTERS:
        x = styles.paint(category, code, painter, 32)
        assert x.shape == (2, 3, 32, 32) and x.isfinite().all() and x.min() >= -1 and x.max() <= 1
        assert x.std() > 0.05, painter


def test_comic_is_menageries_own_portrait():
    world = Menagerie("cat", 64, seed=9)
    wanted = world.render(range(2), ("portrait",)).portrait
    assert torch.allclose(styles.paint("cat", world.codes(range(2)), "comic", 64), wanted, atol=1e-5)


def test_painters_are_told_apart_by_a_few_colours():
    """The nearest mean of the others, over mean, spread and fine contrast of each channel, names the painter."""
    made = styles.painted_styles("cat", 48, 32)
    x = made.images
    fine = (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().mean((2, 3))
    seen = torch.cat([x.mean((2, 3)), x.std((2, 3)), 2 * fine], 1)
    who = torch.tensor([list(styles.PAINTERS).index(name) for name in made.painters])
    right = 0
    for i in range(48):
        others = torch.arange(48) != i
        means = torch.stack([seen[others & (who == k)].mean(0) for k in range(8)])
        right += int((means - seen[i]).norm(dim=1).argmin() == who[i])
    assert right / 48 > 0.8


def test_proportions_differ_and_predicates_do_not():
    """Pastel has a larger head than woodcut; both paint the scene whose posture the photograph shows."""
    world = Menagerie("cat", 64, seed=9)
    p = world.params(range(3))
    share = lambda e: (lambda s: ((s.shot.part == 3) & s.shot.hit).float().mean(1))(styles.Sitting("cat", p, 32, e))
    assert (share(styles.PAINTERS["pastel"][1]) > 1.5 * share(styles.PAINTERS["woodcut"][1])).all()
    made = styles.painted_styles("cat", 3, 32, seed=9)
    assert torch.equal(made.code, world.codes(range(3)))


def test_names_and_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("SKETCHGAN_CACHE", str(tmp_path / "cache"))
    made = styles.painted_styles("horse", 3, 32, ("neon", "glass"))
    assert made.names == ("neon-0000", "glass-0001", "neon-0002") and made.index("glass-0001") == 1
    with pytest.raises(ValueError, match="no style 'glas' among 3; choose one such as glass-0001"):
        made.index("glas")
    for name in ("one.png", "two.jpg"):
        Image.new("RGB", (50, 40), "red").save(tmp_path / name)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (50, 40), "red").save(tmp_path / "pictures" / "only.png")
    one = styles.open_styles(tmp_path / "pictures", 32)                         # a single picture is a style too
    assert one.names == ("only.png",) and one.images.shape == (1, 3, 32, 32) and one.painters == ()
    assert one.images[0, 0].min() > 0.9 and one.images[0, 1].max() < -0.9
    with pytest.raises(ValueError, match="missing"):
        styles.open_styles(tmp_path / "missing", 32)
