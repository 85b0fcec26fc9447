"""The procedural world: determined by (category, seed, index), true to its predicates, and self-consistent."""
import inspect
import math
import re

import pytest
import torch

from sketchgan.photos import datasets
from sketchgan.world import rendering, scenes, subjects
from sketchgan.world.raytrace import FAR, ConvexSolids, RoundCones, view_rays
from sketchgan.world.scenes import CATEGORIES, PREDICATES, VIEWS, Menagerie


@pytest.mark.parametrize("category", CATEGORIES)
def test_views_have_their_shapes_and_ranges(category):
    s = Menagerie(category, 32, seed=5).render([3, 8], VIEWS)
    for name, channels in (("image", 3), ("contour", 1), ("albedo", 3), ("portrait", 3), ("depth", 1)):
        x = getattr(s, name)
        assert x.shape == (2, channels, 32, 32) and x.isfinite().all()
        assert x.min() >= (0 if name == "depth" else -1) and x.max() <= 1
    assert s.parts.shape == (2, 32, 32) and s.parts.dtype == torch.uint8
    assert int(s.parts.max()) < len(Menagerie(category).part_names)
    assert s.code.shape == (2, scenes.code_size(category))


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_scene_depends_on_seed_and_index_and_on_nothing_else(category):
    together = Menagerie(category, 32, seed=1).render([0, 1, 2])
    alone = Menagerie(category, 32, seed=1).render(2)
    # Packing rays of several scenes pads them differently, which may turn the last bit, not more.
    assert (together.image[2] - alone.image[0]).abs().max() < 2e-3
    assert torch.equal(together.code[2], alone.code[0])
    assert torch.equal(Menagerie(category, 32, seed=1).render([0, 1, 2]).image, together.image)
    assert (Menagerie(category, 32, seed=2).render(2).image - alone.image).abs().mean() > 0.02


@pytest.mark.parametrize("predicate, share", [("horse_with_rider", 0.20), ("horse_on_a_side", 70 / 360),
                                              ("standing_cat", 0.30), ("gabled_church", 0.30)])
def test_predicates_have_their_shares_and_are_drawn_directly(predicate, share):
    category, n = PREDICATES[predicate], 4000
    world = Menagerie(category)
    found = world.satisfies(predicate, world.params(range(n))).float().mean().item()
    assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / n)
    drawn = Menagerie(category, predicate=predicate)
    params = drawn.params(range(400))
    assert drawn.satisfies(predicate, params).all()
    # Only the one parameter moved: the others are those of the unconditional scene.
    plain = world.params(range(400))
    moved = {k for k in plain if not torch.allclose(plain[k], params[k])}
    assert moved == {{"horse_with_rider": "rider", "horse_on_a_side": "yaw", "standing_cat": "posture",
                      "gabled_church": "roof"}[predicate]}


def test_on_a_side_means_facing_left_in_the_picture():
    """The muzzle of a conditional horse is in the left half of its own silhouette."""
    world = Menagerie("horse", 64, predicate="horse_on_a_side")
    s = world.render(range(12))
    x = torch.arange(64.0)
    for parts in s.parts:
        subject = parts >= 2
        muzzle = parts == world.part_names.index("muzzle")
        centre = (subject.sum(0) * x).sum() / subject.sum()
        assert muzzle.any() and (muzzle.sum(0) * x).sum() / muzzle.sum() < centre


def test_rider_is_a_part_exactly_where_the_parameter_says():
    world = Menagerie("horse", 64)
    s = world.render(range(24))
    seen = (s.parts == world.part_names.index("rider")).flatten(1).sum(1) > 8
    assert torch.equal(seen, s.params["rider"] == 1)


@pytest.mark.parametrize("category", CATEGORIES)
def test_ink_lies_on_the_silhouette(category):
    """Every boundary between subject and surroundings carries ink, and far from the subject there is none."""
    s = Menagerie(category, 64).render(range(4))
    subject = (s.parts >= 2).float()[:, None]
    pool = torch.nn.functional.max_pool2d
    edge = (pool(subject, 3, 1, 1) - (1 - pool(1 - subject, 3, 1, 1))) > 0
    ink = pool((s.contour < 0).float(), 3, 1, 1) > 0
    assert (ink & edge).sum() / edge.sum() > 0.97
    assert not ((s.contour < 0.9) & (pool(subject, 7, 1, 3) == 0)).any()


def test_colours_spread():
    """Coats, places and skies vary: mean colours of pictures differ by more than a tenth of the range."""
    s = Menagerie("cat", 32).render(range(48), ("image",))
    assert (s.image.mean((2, 3)).std(0) > 0.1).all()


def test_bad_requests_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="category .*'cat', 'horse', 'church'"):
        Menagerie("dog")
    with pytest.raises(ValueError, match="resolution .* at least 32 and of at most 256"):
        Menagerie("cat", 512)
    with pytest.raises(ValueError, match="standing_cat"):
        Menagerie("cat", predicate="gabled_church")
    with pytest.raises(ValueError, match="portrait"):
        Menagerie("cat", 32).render(0, ("photo",))
    with pytest.raises(ValueError, match="no predicate of cat"):
        Menagerie("cat").satisfies("gabled_church", {})


def test_a_ball_is_met_where_geometry_says():
    """One round cone with equal ends is a sphere of radius r: the central ray meets it at distance - r, its normal
    looks back."""
    point = torch.zeros(1, 1, 3)
    ball = RoundCones(point, point + torch.tensor([0, 0, 1e-4]), torch.tensor([[0.5]]), torch.tensor([[0.5]]),
                      blend=0.01)
    rays, distance = view_rays(33, 0.3, "cpu"), torch.tensor([3.0])
    near, start = ball.candidates(rays, distance, margin=0.05)
    hits = ball.trace(rays[None], distance, start)
    middle = 33 * 33 // 2
    assert abs(hits.depth[0, middle] - 2.5) < 5e-3 and hits.normal[0, middle, 2] < -0.999
    # The silhouette: rays whose angle is below asin(r / distance) hit, the others do not.
    angle = torch.acos(rays[:, 2])
    limit = math.asin(0.5 / 3)
    clear = (angle - limit).abs() > 0.006
    assert torch.equal(hits.hit[0][clear], (angle < limit)[clear])
    assert near[0][angle < limit].all()


def test_a_cube_is_met_where_geometry_says():
    normal = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]).reshape(1, 1, 6, 3)
    cube = ConvexSolids(normal, torch.full((1, 1, 6), 0.5))
    hits, face = cube.trace(view_rays(33, 0.3, "cpu")[None], torch.tensor([3.0]))
    middle = 33 * 33 // 2
    assert abs(hits.depth[0, middle] - 2.5) < 1e-5 and face[0, middle] == 5
    assert hits.depth[0, 0] == FAR
    below = torch.tensor([[[0.0, -2, 0], [2.0, -2, 0]]])
    assert cube.shadow(below, torch.tensor([[0.0, 1, 0]]), bias=0.0).tolist() == [[1, 0]]


@pytest.mark.parametrize("category", CATEGORIES)
def test_targets_are_the_declared_parameters(category):
    """Kinds are declared, not guessed from what a few scenes happen to show; numbers have their distribution's
    scale."""
    params = Menagerie(category).params(range(2000))
    found = {target.name.removeprefix(f"{category}."): target for target in scenes.targets_of([category])}
    assert list(found) == list(scenes.POSE[category])
    for name, target in found.items():
        kind, *args = scenes.PARAMETERS[category][name]
        assert target.kind == {"angle": "angle", "choice": "label", "uniform": "number"}[kind]
        if kind == "choice":
            assert target.count == len(args) and params[name].max() == target.count - 1
        elif kind == "uniform":
            assert params[name].mean().item() == pytest.approx(target.center, abs=4 * target.scale / 2000 ** 0.5)
            assert params[name].std().item() == pytest.approx(target.scale, rel=0.05)


def test_the_renderer_asks_subjects_and_knows_no_category():
    """A new subject needs no line of the renderer: what differs between categories is declared by them."""
    source = inspect.getsource(rendering) + inspect.getsource(subjects) + inspect.getsource(Menagerie)
    assert not re.search(r"(?<!torch\.)\b(cat|horse|church|Cat|Horse|Church)\b", source)


def test_rendered_scenes_come_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SKETCHGAN_CACHE", str(tmp_path))
    first = datasets.rendered("cat", 5, 32, seed=9, views=("image", "parts"), progress=False, workers=1)
    assert first["image"].dtype == torch.uint8
    assert first["image"].shape == (5, 3, 32, 32) and first["parts"].shape == (5, 32, 32)
    monkeypatch.setattr(datasets, "_render_chunk", lambda job: pytest.fail("rendered twice"))
    again = datasets.rendered("cat", 3, 32, seed=9, views=("image",), progress=False, workers=1)
    assert torch.equal(again["image"], first["image"][:3])
    live = Menagerie("cat", 32, seed=9).render(2).image
    assert (datasets.to_float(again["image"][2:]) - live).abs().max() < 1e-2
