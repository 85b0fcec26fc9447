"""Prototypes, cosine labels, and the sparse rule, each by hand on features whose answer is known."""
import pytest
import torch

from sketchgan.fewshot import (
    LayoutError,
    cosines,
    dense_labels,
    learn_labels,
    prototypes,
    sample_codes,
    sparse_labels,
    sparse_vectors,
)
from sketchgan.fewshot.labels import default_resolutions, feature_map
from sketchgan.nets import Generator

CHANNELS = {4: 8, 8: 8, 16: 6, 32: 4}


def generator(seed=0):
    torch.manual_seed(seed)
    return Generator(32, 8, 8, 2, CHANNELS).eval()


def test_prototypes_are_means_over_the_pixels_of_a_class():
    features = torch.randn(2, 5, 4, 4)
    masks = torch.zeros(2, 8, 8, dtype=torch.long)
    masks[0, :4], masks[0, 4:], masks[1, :, :4] = 1, 2, 1               # the second picture has no class 2
    pooled, present = prototypes(features, masks, 3)
    one = (features[0, :, :2].mean((1, 2)) + features[1, :, :, :2].mean((1, 2))) / 2    # one vote a picture
    two = features[0, :, 2:].mean((1, 2))
    torch.testing.assert_close(pooled[0], one / one.norm())
    torch.testing.assert_close(pooled[1], two / two.norm())
    assert present.tolist() == [True, True, False] and pooled[2].abs().max() == 0


def test_a_pixel_half_covered_has_half_a_say():
    features = torch.randn(1, 5, 2, 2)
    masks = torch.ones(1, 4, 4, dtype=torch.long)
    masks[0, :, 3] = 2
    pooled, _ = prototypes(features, masks, 2)
    one = (features[0, :, :, 0].sum(1) + features[0, :, :, 1].sum(1) / 2) / 3
    torch.testing.assert_close(pooled[0], one / one.norm())


def test_dense_labels_take_the_nearest_and_never_the_absent():
    vectors = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 0]])
    features = torch.zeros(1, 3, 2, 2)
    features[0, :, 0, 0], features[0, :, 0, 1] = torch.tensor([3.0, 1, 0]), torch.tensor([0.0, 0.2, 0])
    features[0, :, 1, :] = torch.tensor([-1.0, -2, 0])[:, None]
    near = cosines(features, vectors)
    assert near[0, 0, 0, 0] == pytest.approx(3 / 10 ** 0.5) and near.shape == (1, 3, 2, 2)
    assert dense_labels(features, vectors).tolist() == [[[1, 2], [1, 1]]]
    large = dense_labels(features, vectors, 8)
    assert large.shape == (1, 8, 8) and large[0, 0, 0] == 1 and large[0, 0, 7] == 2


def by_hand(features, vectors, ids, k, threshold):
    """The sparse rule with loops: a picture, a vector, a place at a time."""
    n, _, r, _ = features.shape
    found, best = torch.zeros(n, r, r, dtype=torch.long), torch.full((n, r, r), -2.0)
    near = cosines(features, vectors)
    for i in range(n):
        for v in range(len(vectors)):
            for place in near[i, v].flatten().argsort(descending=True)[:k].tolist():
                y, x = divmod(place, r)
                if near[i, v, y, x] > threshold and near[i, v, y, x] > best[i, y, x]:
                    found[i, y, x], best[i, y, x] = ids[v], near[i, v, y, x]
    return found


@pytest.mark.parametrize("k, threshold", [(1, 0.5), (3, 0.5), (3, 0.0), (200, -1.0)])
def test_sparse_labels_are_those_of_the_loops(k, threshold):
    features, vectors = torch.randn(3, 4, 6, 6), torch.nn.functional.normalize(torch.randn(20, 4), dim=1)
    ids = torch.randint(1, 5, (20,))
    ids[0] = 5                                                          # the last class has one vector
    labels = sparse_labels(features, vectors, ids, k, threshold)
    assert torch.equal(labels, by_hand(features, vectors, ids, k, threshold))
    assert (labels > 0).sum() <= 3 * 20 * k


def test_sparse_vectors_are_the_labelled_pixels():
    features, masks = torch.randn(2, 4, 4, 4), torch.zeros(2, 8, 8, dtype=torch.long)
    masks[0, 2, 3], masks[1, 7, 7] = 2, 1
    vectors, ids = sparse_vectors(features, masks, 2)
    assert ids.tolist() == [2, 1]
    torch.testing.assert_close(vectors[0], features[0, :, 1, 1] / features[0, :, 1, 1].norm())


def test_a_labelled_sample_gets_its_own_labels_back():
    G = generator()
    ws = sample_codes(G, [0, 1])
    features = feature_map(G, ws, (16,))
    masks = (features[:, 0] > features[:, 1]).long() + 1                # something that features tell apart
    masks = masks.repeat_interleave(2, 1).repeat_interleave(2, 2)       # 32 px
    dense = learn_labels(G, ws, masks, 2, resolutions=(16,))
    assert (dense.labels(G, ws) == masks).float().mean() > 0.8
    sparse = learn_labels(G, ws, masks, 2, "sparse", (16,), k=1, threshold=0.99)
    assert (sparse.labels(G, ws) == masks).float().mean() > 0.98, "each labelled pixel finds itself"
    assert dense.agreement(features, masks).mean() > dense.agreement(features, 3 - masks).mean()
    assert default_resolutions(G) == (8, 16) and feature_map(G, ws, (8, 16)).shape == (2, 14, 16, 16)


def test_what_was_never_shown_is_refused():
    G = generator()
    ws, masks = sample_codes(G, [0]), torch.ones(1, 32, 32, dtype=torch.long)
    with pytest.raises(LayoutError, match="no labelled pixel of class 2, 3"):
        learn_labels(G, ws, masks, 3)
    with pytest.raises(LayoutError, match="2 pictures and masks of 1"):
        learn_labels(G, sample_codes(G, [0, 1]), masks, 1)
    with pytest.raises(LayoutError, match="same layers"):
        dense_labels(torch.randn(1, 4, 2, 2), torch.randn(2, 3))
