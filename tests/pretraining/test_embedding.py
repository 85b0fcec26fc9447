"""The sketch embedding: its loss by hand, that it learns to match, its file, and what it refuses."""
import math

import pytest
import torch

from sketchgan.nets.encoders import SketchEmbedding
from sketchgan.pretraining.command import parser
from sketchgan.pretraining.embedding import SketchEmbeddingConfig, contrast, train_sketch_embedding
from sketchgan.weights.checkpoints import read_metadata
from sketchgan.weights.own import load_sketch_embedding

TINY = SketchEmbeddingConfig(categories=("cat",), resolution=32, scenes=48, held_out=16, kimg=1.6, batch=16,
                             widths=(12, 16, 24),
                             dim=16, lr=4e-3)


def test_contrast_of_embeddings_that_are_known():
    network = SketchEmbedding(widths=(4,), dim=2)
    network.photos = network.sketches = lambda x: x
    corners = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    right = math.log(1 + math.exp(-10))  # the scale begins at 10: logits 10 for the own, 0 for the other
    assert contrast(network, corners, corners).item() == pytest.approx(right, rel=1e-3)
    assert contrast(network, corners, corners.flip(0)).item() == pytest.approx(10 + right, rel=1e-4)


def test_learns_which_drawing_is_of_which_photograph_and_the_file_says_how_well(tmp_path):
    out = tmp_path / "embedding.safetensors"
    quality = train_sketch_embedding(TINY, out)
    assert quality["gallery"] == {"cat": 16}
    assert quality["first_10"]["cat"] > 0.8 and quality["first"]["cat"] > 2 / 16, f"chance is 10 and 1 of 16: {quality}"
    loaded = load_sketch_embedding(out)
    images, sketches = torch.rand(3, 3, 32, 32) * 2 - 1, torch.rand(3, 1, 32, 32) * 2 - 1
    for x in (loaded.photos(images), loaded.sketches(sketches)):
        assert x.shape == (3, 16)
        torch.testing.assert_close(x.norm(dim=1), torch.ones(3))
    assert read_metadata(out)["quality"] == quality and not out.with_suffix(".training").exists()


def test_scenes_are_its_own_and_the_command_knows_it():
    assert SketchEmbeddingConfig().scene_seed not in (0, 1, 2, 3, 4)
    assert parser().parse_args(["sketch-embedding", "--kimg", "3"]).kimg == 3


def test_a_sketch_is_not_taken_for_a_photograph():
    network = SketchEmbedding(widths=(4, 4), dim=3)
    with pytest.raises(ValueError, match="3, H, W"):
        network.photos(torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match="at least 16 px"):
        network.sketches(torch.zeros(1, 1, 8, 8))
