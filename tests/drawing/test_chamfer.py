"""The chamfer distance against brute force and scipy, and the ranking of images by it."""
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from sketchgan.drawing.chamfer import chamfer, distance_transform, nearest, sketch_of, targets
from sketchgan.drawing.sketches import SketchError, load_sketches
from sketchgan.nets.photosketch import PhotoSketch


def random_ink(*shape, share=0.02):
    return torch.rand(shape) < share


@pytest.mark.parametrize("shape", [(4, 64, 64), (3, 17, 40), (2, 9, 9)])
@pytest.mark.parametrize("share", [0.002, 0.05, 0.6])
def test_distance_transform_is_scipys(shape, share):
    ink = random_ink(*shape, share=share)
    ink[:, shape[1] // 2, 3] = True                                      # scipy's answer without ink is not defined
    ours = distance_transform(ink)
    for i in range(len(ink)):
        theirs = distance_transform_edt(~ink[i].numpy())
        assert torch.allclose(ours[i], torch.from_numpy(theirs).float(), atol=1e-4)
    assert torch.allclose(distance_transform(ink, truncate=2.5), ours.clamp(max=2.5), atol=1e-4)


def test_chamfer_is_the_brute_force_over_all_pairs_of_pixels():
    a = torch.where(random_ink(2, 1, 24, 24), -1.0, 1.0)
    b = torch.where(random_ink(3, 1, 24, 24, share=0.06), -1.0, 1.0)
    points = lambda s: (s[0] < 0).nonzero().double()
    for truncate in (None, 3.0):
        ours = chamfer(a, b, truncate)
        assert ours.shape == (2, 3)
        for n in range(2):
            for m in range(3):
                apart = torch.cdist(points(a[n]), points(b[m])).clamp(max=truncate or 99)
                brute = (apart.min(1).values.mean() + apart.min(0).values.mean()) / 2
                assert ours[n, m].item() == pytest.approx(brute.item(), abs=1e-4)


def test_targets_that_are_prepared_give_the_same_to_the_bit():
    a = torch.where(random_ink(5, 1, 24, 24), -1.0, 1.0)
    b = torch.where(random_ink(300, 1, 24, 24, share=0.06), -1.0, 1.0)   # more than one part of 256
    for truncate in (None, 3.0):
        assert torch.equal(chamfer(a, targets(b, truncate)), chamfer(a, b, truncate))
    with pytest.raises(SketchError, match="one size"):
        chamfer(a[..., :16, :16], targets(b))
    with pytest.raises(ValueError, match="N, 1, H, W"):
        targets(b[0])


def test_chamfer_of_itself_shifted_and_empty():
    sketch = torch.ones(1, 1, 32, 32)
    sketch[..., 10, 5:20] = -1
    assert chamfer(sketch, sketch).item() == 0
    assert chamfer(sketch, sketch.roll(3, -2)).item() == pytest.approx(3)
    blank = torch.ones(1, 1, 32, 32)
    assert chamfer(sketch, blank).item() == pytest.approx(32 * 2**0.5, rel=1e-5)
    assert chamfer(blank, blank, truncate=7).item() == pytest.approx(7)
    with pytest.raises(SketchError, match="one size"):
        chamfer(sketch, sketch[..., :16, :16])


def test_nearest_ranks_and_ignores_the_batch():
    cats, horses = load_sketches("standing_cat"), load_sketches("horse_on_a_side")
    found = nearest(cats[:1], torch.cat([horses, cats]), k=3)
    assert found.indices[0] == 5 and found.distances[0] == 0
    assert (found.distances[1:] >= found.distances[:-1]).all() and len(found.indices) == 3
    both = nearest(torch.cat([cats[:1], horses[:1]]), torch.cat([horses, cats]), k=10)
    assert set(both.indices[:2].tolist()) == {0, 5}                      # an image counts by the nearest sketch


def test_nearest_of_photographs_uses_running_statistics():
    F = PhotoSketch(ngf=4, n_blocks=1)
    photos = torch.rand(6, 3, 32, 32) * 2 - 1
    F.measure_running_stats([photos])
    sketch = load_sketches("standing_cat", 32)[:1]
    with pytest.raises(SketchError, match="F=load_photosketch"):
        nearest(sketch, photos)
    together, alone = nearest(sketch, photos, F, k=6, batch=6), nearest(sketch, photos, F, k=6, batch=1)
    assert torch.allclose(together.distances, alone.distances, atol=1e-3)
    assert torch.allclose(sketch_of(photos, F, 6), sketch_of(photos, F, 1), atol=1e-5)
    assert F.batch_stats                                                 # left as it was


def test_the_ranking_of_photographs_is_the_brute_force_over_their_sketches():
    F = PhotoSketch(ngf=4, n_blocks=1)
    photos = torch.rand(7, 3, 32, 32) * 2 - 1
    F.measure_running_stats([photos])
    drawn = load_sketches("standing_cat", 32)[:2]
    F.batch_stats = False
    with torch.no_grad():
        outlines = torch.cat([F(photo[None]) for photo in photos])
    F.batch_stats = True
    brute = []
    for outline in outlines:
        points = [(s[0] < 0).nonzero().double() for s in (outline, *drawn)]
        apart = [torch.cdist(points[0], p) for p in points[1:]]
        brute.append(min((d.min(1).values.mean() + d.min(0).values.mean()).item() / 2 for d in apart))
    found = nearest(drawn, photos, F, k=7, batch=3)
    assert found.indices.tolist() == sorted(range(7), key=brute.__getitem__)
    assert torch.allclose(found.distances.double(), torch.tensor(sorted(brute), dtype=torch.float64), atol=1e-3)
    # The order of the photographs, and which others stand beside one in its batch, change nothing.
    order = torch.tensor([3, 6, 0, 2, 5, 1, 4])
    again = nearest(drawn, photos[order], F, k=7, batch=2)
    assert order[again.indices].tolist() == found.indices.tolist() and F.batch_stats
