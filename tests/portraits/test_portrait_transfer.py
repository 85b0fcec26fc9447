"""Transfer: weights, colours kept, truncation, figures; new styles by refinement and by the sampler; the command."""
import pytest
import torch
from PIL import Image

from sketchgan.__main__ import main
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.portraits import command, destylisation, losses, refinement, storing
from sketchgan.portraits.network import DualStyleGAN
from sketchgan.portraits.transfer import Portraitist, restyle, weights_of
from sketchgan.weights import CheckpointError, save

CHANNELS = {4: 8, 8: 8, 16: 6, 32: 4}


def base():
    torch.manual_seed(0)
    return Generator(32, 8, 12, 2, CHANNELS).eval(), Discriminator(32, CHANNELS).eval()


@pytest.fixture(scope="module")
def known():
    P = DualStyleGAN(base()[0])
    with torch.no_grad():
        for p in P.extrinsic():
            p.add_(0.3 * torch.randn(p.shape))
    P.eval()
    codes = {f"{name}.png": P.mapping(torch.randn(1, 8))[0].clone() for name in "abc"}
    pictures = {"a.png": torch.zeros(3, 32, 32)}
    return Portraitist(P, codes, pictures, lambda x: P.mapping(x.mean((2, 3)).repeat(1, 3)[:, :8]))


def test_weights_structure_colour_and_colours_kept(known):
    P, ws, style = known.network, known.content(3), known.style("a.png")
    assert weights_of(P, 0.5, 1.0) == [0.5] * 3 + [1.0] * 5
    made = lambda **more: restyle(P, ws, style, **more)
    assert torch.equal(made(weights=[0.75] * 3 + [1.0] * 5), made())
    assert torch.equal(made(structure=0, colour=0), known.plain(3))
    assert torch.equal(made(preserve_colour="weights"), made(colour=0.0))
    own = torch.cat([style[:, :3], ws[:, 3:]], 1)                   # through T_c, as trained
    assert torch.equal(made(preserve_colour="code"), restyle(P, ws, own))
    assert not torch.allclose(made(preserve_colour="code"), made(preserve_colour="weights"))
    mean = P.generator.mean_w().expand(1, P.num_ws, -1)
    assert torch.allclose(made(truncation_psi=0.0), restyle(P, mean, style), atol=1e-5)
    with pytest.raises(ValueError, match="one number, or 8 of them"):
        made(weights=[1.0] * 3)
    with pytest.raises(ValueError, match="preserve_colour .* one of 'no', 'weights', 'code'"):
        made(preserve_colour="yes")


def test_contents_and_styles_of_every_kind(known):
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(5))
    by_seed = known.transfer(5, "b.png")
    assert torch.equal(by_seed, known.transfer(z, known.codes["b.png"]))
    assert torch.equal(by_seed, known.transfer(known.network.mapping(z), "b.png"))
    assert known.transfer(torch.zeros(2, 3, 32, 32), torch.zeros(1, 3, 32, 32)).shape == (2, 3, 32, 32)
    for content, style, said in ((5, "d.png", "style 'd.png' is not among 3"), (5, 7, "no sampler of new styles"),
                                 (torch.zeros(1, 3, 16, 16), "a.png", "content has shape .* resize them")):
        with pytest.raises(ValueError, match=said):
            known.transfer(content, style)
    with pytest.raises(ValueError, match="there is no encoder"):
        Portraitist(known.network, known.codes).transfer(torch.zeros(1, 3, 32, 32), "a.png")
    with pytest.raises(ValueError, match="codes holds 1 styles, 1 of them not"):
        Portraitist(known.network, {"a": torch.zeros(10, 12)})


def test_figures(known):
    assert known.overview(5, "a.png").size[0] == 30 + 64
    rows = known.overview(torch.zeros(2, 3, 32, 32), torch.zeros(1, 3, 32, 32)).size[1]
    assert rows == 4 * 64 + 3 * 12
    assert known.sheet(range(3), ["a.png", "b.png"]).size == (4 * 34 - 2, 3 * 34 - 2)
    way = known.between(5, "a.png", "b.png", 3)
    assert torch.allclose(way[:1], known.transfer(5, "a.png"), atol=1e-5) and len(way) == 3
    assert torch.allclose(way[2:], known.transfer(5, "b.png"), atol=1e-5)


def test_refinement_brings_a_style_nearer(known):
    P, critic = known.network, command.critic_of(*base())
    intrinsic, truth = known.content(1), known.style("b.png")
    example = P.synthesis(intrinsic, truth, 1.0, "none").detach()
    start = known.style("c.png")
    refined = refinement.refine(P, start, intrinsic, example, critic, refinement.RefineConfig(steps=12))
    away = lambda code: losses.perceptual(critic.levels(P.synthesis(intrinsic, code, 1.0, "none"))[:3],
                                          critic.levels(example)[:3]).item()
    assert away(refined) < 0.9 * away(start)
    still = refinement.refine(P, truth, intrinsic, example, critic, refinement.RefineConfig(steps=2))
    assert torch.equal(still, truth), "of all steps the best is kept"


def test_the_sampler_covers_the_styles_and_copies_none(tmp_path):
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 1, 12, generator=random) * 3
    codes = centres.repeat(8, 8, 1) + 0.2 * torch.randn(24, 8, 12, generator=random)        # three kinds of styles
    sampler = refinement.fit_sampler(codes, 3, steps=150)
    drawn = sampler.sample(64, seed=1)
    assert drawn.shape == (64, 8, 12)
    nearest = torch.cdist(drawn.flatten(1), codes.flatten(1)).amin(1)
    far = torch.cdist(codes.flatten(1), codes.flatten(1)).median()
    assert (nearest > 1e-3).all() and torch.cdist(codes.flatten(1), drawn.flatten(1)).amin(1).median() < 0.6 * far
    # Alone or beside others, a seed gives the same style; structure may have a seed of its own.
    assert torch.allclose(sampler.sample(1, 1), drawn[:1], atol=1e-5)
    other = sampler.sample(1, 1, structure_seed=2)
    assert torch.allclose(other[:, 3:], drawn[:1, 3:], atol=1e-5) and not torch.allclose(other[:, :3], drawn[:1, :3])
    G, _ = base()
    storing.save_sampler(tmp_path / "s.safetensors", sampler, G)
    assert torch.equal(storing.load_sampler(tmp_path / "s.safetensors", G).sample(2), sampler.sample(2))
    G.input.input.data.add_(1)
    with pytest.raises(CheckpointError, match="pass the one it was trained on"):
        storing.load_sampler(tmp_path / "s.safetensors", G)
    with pytest.raises(ValueError, match="at least two"):
        refinement.fit_sampler(codes[:1], 3)


def test_destylisation_finds_the_code_that_g_painted():
    """Where g' is g and the examples are g's own samples, the content is the example itself."""
    G, D = base()
    critic = command.critic_of(G, D)
    encode = destylisation.nearest_codes(G, critic, 96, 0, seed=3)
    z = torch.randn(96, 8, generator=torch.Generator().manual_seed(3))[:64]
    with torch.no_grad():
        styles = G.synthesis(G.mapping(z[:2]), "none").clamp(-1, 1)
        assert torch.allclose(encode(styles), G.mapping(z[:2]), atol=1e-5)
    config = destylisation.DestyliseConfig(tune=2, steps=3, lr=0.01, truncation_psi=1.0, batch=2)
    found = destylisation.destylise(G, G, styles, encode, critic, config)
    assert torch.equal(found.extrinsic, found.intrinsic)
    assert (found.content - styles).abs().mean() < 0.1 * styles.std()
    tuned = destylisation.tuned_on(G, D, styles, config)
    assert all(torch.equal(a, b) for a, b in zip(tuned.style.parameters(), G.style.parameters()))
    assert not torch.equal(tuned.convs[0].conv.weight, G.convs[0].conv.weight)


def test_the_command_from_pictures_to_portraits(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SKETCHGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    G, D = base()
    save("base.safetensors", G=G, D=D)
    (tmp_path / "styles").mkdir()
    for i in range(3):
        Image.new("RGB", (40, 40), (80 * i, 90, 200)).save(tmp_path / "styles" / f"{i}.png")
    train = ["portrait", "train", "base.safetensors", "styles", "--out", "made", "--samples", "32", "--batch", "2",
             "--stage2", "1,0,0"]
    monkeypatch.setattr(command, "ENCODING", 1)
    monkeypatch.setattr(command, "fit_sampler", lambda *a, **k: refinement.fit_sampler(*a, steps=5, **k))
    monkeypatch.setattr(command, "DestyliseConfig", lambda **more: destylisation.DestyliseConfig(
        **{"tune": 1, "steps": 1, "batch": 2} | more))
    main([*train, "--stage3", "1"])
    main([*train, "--stage3", "2"])                                         # goes on
    assert "3 of 3 steps" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "made").iterdir()} >= {
        "portraits.safetensors", "styles.npz", "contents.npz", "sampler.safetensors", "sheet.png", "destylised.png"}
    main(["portrait", "list", "made"])
    assert capsys.readouterr().out.split() == ["0.png", "1.png", "2.png"]
    monkeypatch.setattr(command, "open_portraits", lambda *a, real=command.open_portraits: real(*a, 2, 32))
    here = ["made", "--base", "base.safetensors"]
    main(["portrait", "transfer", *here, "--content", "3", "--style", "1.png", "--out", "one.png"])
    main(["portrait", "transfer", *here, "--content", "styles/0.png", "--style", "styles/1.png", "--out", "two.png"])
    main(["portrait", "transfer", *here, "--content", "3", "--style", "5", "--out", "new.png"])
    main(["portrait", "sheet", *here, "--contents", "2", "--styles", "2", "--out", "sheet.png"])
    for name in ("one.png", "one_overview.png", "two_overview.png", "new.png", "sheet.png"):
        assert Image.open(tmp_path / name).size[0] >= 64
    for wrong, said in ((["--content", "x", "--style", "1.png"], "neither a file nor a seed"),
                        (["--content", "3", "--style", "9.png"], "is not among 3"),
                        (["--content", "3", "--style", "1.png", "--weights", "1,1"], "or 8 of them")):
        with pytest.raises(SystemExit, match=said):
            main(["portrait", "transfer", *here, *wrong])
    with pytest.raises(SystemExit, match="take their true contents|true contents of painted scenes"):
        main(["portrait", "train", "base.safetensors", "styles", "--out", "other", "--known", "--samples", "8"])
