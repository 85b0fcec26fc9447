"""Baselines find what is nearest, in a world where that is known."""
import pytest
import torch

from sketchgan.nets.encoders import SketchEmbedding
from sketchgan.nets.sampling import sample
from sketchgan.study import baselines
from tests.stand_ins import Dark, small_generator


@pytest.fixture(scope="module")
def G():
    return small_generator()


def test_the_nearest_of_the_pool_come_back_nearest_first(G):
    redness = lambda images: -images[:, 0].mean((1, 2))
    found = baselines.retrieve(G, redness, n=5, pool=150, batch=4, progress=False)
    pool = torch.cat([sample(G, min(64, 150 - start), seed=1_000_000 * (1 + start // 64), batch=4)
                      for start in range(0, 150, 64)])
    expected = redness(pool).sort()
    torch.testing.assert_close(found.distances, expected.values[:5])
    torch.testing.assert_close(found.images, pool[expected.indices[:5]])
    with pytest.raises(ValueError, match="pool of 4 samples to choose n=5"):
        baselines.retrieve(G, redness, n=5, pool=4)


def test_by_chamfer_counts_the_nearest_sketch():
    images = torch.ones(2, 3, 12, 12)
    images[0, 0, :, 3] = images[1, 0, :, 9] = -1
    sketches = torch.ones(2, 1, 12, 12)
    sketches[0, 0, :, 4] = sketches[1, 0, :, 11] = -1
    torch.testing.assert_close(baselines.by_chamfer(Dark(), sketches)(images), torch.tensor([1.0, 2.0]))
    # a sixth of 12
    torch.testing.assert_close(baselines.by_chamfer(Dark(), sketches[1:])(images), torch.tensor([2.0, 2.0]))


def test_by_embedding_is_one_minus_the_cosine():
    torch.manual_seed(0)
    network = SketchEmbedding(widths=(4, 4), dim=3).eval()
    images, sketches = torch.rand(5, 3, 16, 16) * 2 - 1, torch.rand(2, 1, 16, 16) * 2 - 1
    with torch.no_grad():
        cosine = torch.nn.functional.cosine_similarity(network.photos(images)[:, None],
                                                       network.sketches(sketches)[None], dim=2)
    torch.testing.assert_close(baselines.by_embedding(network, sketches)(images), 1 - cosine.amax(1))
