"""The mask encoder and what it is for: exact resume, files that name their base, synthesis, refinement, retrieval."""
import itertools

import pytest
import torch

from sketchgan.fewshot import (
    Classes,
    EncoderConfig,
    Examples,
    LayoutError,
    Refinement,
    appearances,
    calibrate,
    load_examples,
    load_layouts,
    new_layouts,
    of_pictures,
    sample_codes,
    synthesize,
    teach,
    train_layouts,
)
from sketchgan.fewshot.encoder import drop, unexplained
from sketchgan.fewshot.labels import feature_map
from sketchgan.nets import Generator
from sketchgan.weights import CheckpointError

CHANNELS = {4: 8, 8: 8, 16: 8, 32: 8}
SMALL = EncoderConfig(width=4, batch=8, kimg=0.4, lr=5e-3)


def generator(seed=0):
    torch.manual_seed(seed)
    return Generator(32, 8, 8, 2, CHANNELS).eval().requires_grad_(False)


def some_examples(G):
    ws = sample_codes(G, [0, 1])
    features = feature_map(G, ws, (16,))
    masks = (features[:, 0] > features[:, 0].flatten(1).median(1).values[:, None, None]).long() + 1
    return Examples(Classes(("low", "high")), ws, masks.repeat_interleave(2, 1).repeat_interleave(2, 2))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    G, path = generator(), tmp_path_factory.mktemp("layouts") / "layouts.safetensors"
    return G, train_layouts(G, some_examples(G), path, SMALL, resolutions=(16,)), path


def test_training_goes_on_exactly_where_it_stopped(tmp_path):
    def losses(steps, pauses):
        G = generator()
        model, found = new_layouts(G, some_examples(G), SMALL), []
        for pause in pauses:                                            # each time a new process would begin
            model = new_layouts(G, some_examples(G), SMALL)
            run = teach(model, G, SMALL, tmp_path / f"{len(pauses)}.pt")
            found += [progress.losses["w"] for progress in itertools.islice(run, pause)]
            run.close()
        return found, model.encoder.state_dict()
    whole, weights = losses(6, [6])
    pieces, weights2 = losses(6, [2, 3, 1])
    assert whole == pieces and all(torch.equal(weights[key], weights2[key]) for key in weights)


def test_the_encoder_learns_and_its_file_says_all(trained):
    G, model, path = trained
    again = load_layouts(path, G)
    assert again.classes == model.classes and again.info == model.info and again.usual == model.usual
    assert torch.equal(again.labeller.vectors, model.labeller.vectors)
    masks = some_examples(G).masks
    assert torch.equal(synthesize(again, G, masks).images, synthesize(model, G, masks).images)
    untrained = new_layouts(G, some_examples(G), SMALL, resolutions=(16,))
    before = sum(unexplained(untrained.encoder, G, untrained.labeller, 64))
    assert sum(model.info["unexplained"]) < 0.95 * before, "a layout should say something about w"
    assert not path.with_suffix(".training").exists()


def test_another_base_is_refused(trained):
    G, model, path = trained
    with pytest.raises(LayoutError, match="another generator"):
        load_layouts(path, generator(1))
    with pytest.raises(LayoutError, match="another generator"):
        synthesize(model, generator(1), some_examples(G).masks)
    changed = generator()
    assert synthesize(model, changed, some_examples(G).masks)
    changed.conv1.conv.weight.add_(1)                                   # in place, after it was accepted
    with pytest.raises(LayoutError, match="another generator"):
        synthesize(model, changed, some_examples(G).masks)
    with pytest.raises(CheckpointError, match="no.safetensors"):
        (path.parent / "no.safetensors").write_bytes(b"nonsense")
        load_layouts(path.parent / "no.safetensors")


def test_bad_layouts_are_told_what_is_wrong(trained):
    G, model, _ = trained
    with pytest.raises(LayoutError, match="no classes"):
        synthesize(model, G, torch.full((1, 32, 32), 9))
    with pytest.raises(LayoutError, match="32 px"):
        synthesize(model, G, torch.ones(1, 16, 16, dtype=torch.long))
    with pytest.raises(LayoutError, match="says nothing"):
        synthesize(model, G, torch.zeros(1, 32, 32, dtype=torch.long))


def test_refinement_never_ends_below_its_start(trained):
    G, model, _ = trained
    masks = model.labeller.labels(G, sample_codes(G, range(20, 24)))
    first = synthesize(model, G, masks)
    nothing = synthesize(model, G, masks, refinement=Refinement(steps=0))
    assert torch.equal(first.ws, nothing.ws), "it starts at the encoder's own rows"
    refined = synthesize(model, G, masks, refinement=Refinement(steps=12))
    assert (refined.score >= first.score - 1e-6).all() and refined.score.mean() > first.score.mean()
    assert torch.equal(refined.ws[:, model.mix_from:], first.ws[:, model.mix_from:])
    assert model.mix_from == 2 * 4 - 3


def test_retrieval_finds_a_sample_of_the_bank(trained, monkeypatch):
    G, model, _ = trained
    monkeypatch.setattr("sketchgan.fewshot.model.BANK", 40)
    fresh = new_layouts(G, some_examples(G), SMALL, resolutions=(16,))
    bank, latents = fresh.bank(G)
    mask = bank[7:8].long().repeat_interleave(2, 1).repeat_interleave(2, 2)
    found = synthesize(fresh, G, mask, start="retrieval")
    same = (bank == bank[7]).flatten(1).all(1)
    assert any(torch.equal(found.ws[0, 0], w) for w in latents[same])


def test_appearances_share_a_layout_and_depend_on_the_seed(trained):
    G, model, _ = trained
    mask = some_examples(G).masks[:1]
    one = synthesize(model, G, mask)
    same = appearances(model, G, mask, 3, alpha=0.0)
    torch.testing.assert_close(same.images, one.images.expand(3, -1, -1, -1), rtol=1e-4, atol=1e-4)
    many = appearances(model, G, mask, 3, seed=1)
    assert torch.equal(many.images, appearances(model, G, mask, 3, seed=1).images)
    assert (many.images[0] - many.images[1]).abs().mean() > 1e-3
    assert torch.equal(many.ws[:, :model.mix_from], one.ws[:, :model.mix_from].expand(3, -1, -1))
    torch.testing.assert_close(many.score, one.score.expand(3), rtol=1e-4, atol=1e-4)     # rows above the features


def test_a_layout_that_nobody_could_paint_says_so(trained):
    G, model, _ = trained
    usual = calibrate(model, G)
    masks = model.labeller.labels(G, sample_codes(G, range(40, 72)))
    made = synthesize(model, G, masks)
    assert model.usual == usual and torch.equal(made.far, made.score < usual)
    assert made.far.float().mean() < 0.3, "layouts of samples are what this GAN paints"
    far, near = made.score.argmin().item(), made.score.argmax().item()
    made.far = made.score < made.score.max()
    assert "far from anything" in made.said(far) and "far" not in made.said(near)
    assert f"cosine {made.score[near]:.2f}" in made.said(near)


def test_dropping_leaves_scribbles():
    masks = torch.randint(1, 4, (400, 16, 16))
    random = torch.Generator().manual_seed(0)
    assert torch.equal(drop(masks, 0.0, random), masks)
    dropped = drop(masks, 0.5, random)
    touched = (dropped != masks).flatten(1).any(1).float().mean()
    assert ((dropped == masks) | (dropped == 0)).all() and 0.4 < touched < 0.6


def test_examples_come_back_from_their_folder(tmp_path):
    G = generator()
    examples = some_examples(G)
    examples.save(tmp_path, G)
    again = load_examples(tmp_path, G)
    assert again.classes == examples.classes and torch.equal(again.masks, examples.masks)
    assert torch.equal(again.ws, examples.ws) and len(again + again) == 4 and len(again[:1]) == 1
    with pytest.raises(LayoutError, match="another generator"):
        load_examples(tmp_path, generator(1))
    scribbled = examples.scribbled(0.05)
    assert 0 < (scribbled.masks > 0).float().mean() < 0.2
    assert ((scribbled.masks == 0) | (scribbled.masks == examples.masks)).all()
    blank = tmp_path / "blank"
    Examples.write(blank, G, examples.classes, examples.ws, torch.zeros_like(examples.masks))
    with pytest.raises(LayoutError, match="blank"):
        load_examples(blank, G)
    with pytest.raises(LayoutError, match="examples.json"):
        load_examples(tmp_path / "missing", G)


def test_photographs_come_in_through_a_projector(tmp_path):
    G = generator()
    examples = some_examples(G)
    examples.save(tmp_path, G)
    (tmp_path / "codes.safetensors").unlink()
    with pytest.raises(LayoutError, match="project="):
        load_examples(tmp_path, G)
    seen = []
    project = lambda G, pictures: seen.append(pictures) or examples.ws
    again = load_examples(tmp_path, G, project)
    assert torch.equal(again.ws, examples.ws) and seen[0].shape == (2, 3, 32, 32)
    images = G.synthesis(examples.ws, noise_mode="const").clamp(-1, 1)
    assert (seen[0] - images).abs().max() < 0.01
    with pytest.raises(LayoutError, match="one mask"):
        of_pictures(G, examples.classes, images[:1], examples.masks, project)
