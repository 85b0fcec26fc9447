"""Menagerie: a small procedural photo world of cats, horses and churches where the truth is known.

Every picture is fully determined by (category, seed, index). An index draws a *code*, a vector of standard normal numbers;
the code sets the scene's parameters through their quantile functions; the parameters set solids, coat, place and light;
rays make the photograph. Beside it come the exact contour drawing, a mask of parts, albedo, depth, and a stylised portrait.

    m = Menagerie("cat", resolution=64, seed=0)
    scenes = m.render(range(16))            # scenes.image [16,3,64,64] in [-1,1], scenes.contour [16,1,64,64], ...
    m.satisfies("standing_cat", scenes.params)                                 # bool [16]
    Menagerie("cat", predicate="standing_cat")                                 # only cats that stand, drawn directly
"""
from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from . import animals, churches, raytrace

CATEGORIES = ("cat", "horse", "church")
PREDICATES = {"horse_with_rider": "horse", "horse_on_a_side": "horse", "standing_cat": "cat", "gabled_church": "church"}
VIEWS = ("image", "contour", "parts", "albedo", "depth", "portrait")
TAN_HALF = 0.27     # half of the field of view: 15 degrees
ON_A_SIDE = math.radians(35)


# --------------------------------------------------------------------------------------------------------------------
# Codes and parameters. A parameter is ('angle',): two code numbers, uniform on the circle; ('uniform', low, high);
# ('choice', share, share, ...): an index, shares add up to 1. Angles are radians; yaw 0 faces right in the picture, pi/2 the
# camera, pi (= -pi) left.

def _uniform(low: float, high: float) -> tuple:
    return ("uniform", low, high)


def _choice(*shares: float) -> tuple:
    return ("choice", *shares)


_COMMON = {
    "yaw": ("angle",), "elevation": _uniform(0.05, 0.26), "zoom": _uniform(0.90, 1.10), "shift_x": _uniform(-0.08, 0.08),
    "shift_y": _uniform(-0.05, 0.05), "sun_azimuth": _uniform(-1.3, 1.3), "sun_height": _uniform(0.55, 1.15),
    "place": _choice(0.34, 0.22, 0.26, 0.18), "ground_light": _uniform(-1, 1), "ground_warm": _uniform(-1, 1),
    "sky_light": _uniform(0, 1), "sky_warm": _uniform(0, 1), "cloud": _uniform(0, 1), "hill": _uniform(0, 1), "phase": _uniform(0, 1),
}
_ANIMAL = {"coat_light": _uniform(-1, 1), "coat_warm": _uniform(-1, 1), "head_yaw": _uniform(-0.8, 0.8), "head_pitch": _uniform(-0.30, 0.25),
           "gait": _uniform(-1, 1), "tail": _uniform(0, 1), "tail_side": _uniform(-1, 1)}
PARAMETERS: dict[str, dict[str, tuple]] = {
    "cat": {**_COMMON, **_ANIMAL, "posture": _choice(0.30, 0.42, 0.28), "body_length": _uniform(0.46, 0.60), "leg": _uniform(0.24, 0.34),
            "girth": _uniform(0.125, 0.165), "head_size": _uniform(0.135, 0.165), "ear": _uniform(0.08, 0.13), "head_lift": _uniform(-1, 1),
            "coat": _choice(0.20, 0.14, 0.10, 0.12, 0.12, 0.10, 0.11, 0.11), "eye": _choice(0.45, 0.35, 0.20)},
    "horse": {**_COMMON, **_ANIMAL, "rider": _choice(0.80, 0.20), "body_length": _uniform(0.62, 0.76), "leg": _uniform(0.52, 0.64),
              "girth": _uniform(0.165, 0.205), "head_size": _uniform(0.098, 0.118), "ear": _uniform(0.055, 0.085), "neck": _uniform(-1, 1),
              "neck_length": _uniform(0.34, 0.44), "coat": _choice(0.24, 0.20, 0.12, 0.12, 0.12, 0.08, 0.12), "blaze": _choice(0.55, 0.45),
              "jacket": _choice(0.25, 0.25, 0.2, 0.15, 0.15)},
    "church": {**_COMMON, **churches.parameters(_uniform, _choice)},
}
# What the camera looks at: height of the target and distance, in scene units.
CAMERA = {"cat": (0.35, 2.62), "horse": (0.58, 3.75), "church": (0.68, 4.3)}
PART_NAMES = {"cat": animals.CAT_PARTS, "horse": animals.HORSE_PARTS, "church": churches.PARTS}


def code_size(category: str) -> int:
    """Length K of a scene's code."""
    return sum(2 if kind[0] == "angle" else 1 for kind in PARAMETERS[category].values())


def parameters(category: str, code: Tensor) -> dict[str, Tensor]:
    """Scene parameters, each float [N], from codes [N,K] of standard normal numbers, through the quantile functions."""
    out, k = {}, 0
    share = (0.5 * (1 + torch.erf(code.double() / math.sqrt(2)))).float().clamp(1e-6, 1 - 1e-6)
    for name, (kind, *args) in PARAMETERS[category].items():
        if kind == "angle":
            out[name] = torch.atan2(code[:, k + 1], code[:, k])
            k += 1
        elif kind == "uniform":
            out[name] = args[0] + (args[1] - args[0]) * share[:, k]
        else:
            edges = torch.tensor(args, dtype=torch.float64).cumsum(0)[:-1].float().to(code.device)
            out[name] = torch.bucketize(share[:, k].contiguous(), edges, right=True).float()
        k += 1
    return out


def satisfies(name: str, params: dict[str, Tensor]) -> Tensor:
    """Whether scenes satisfy a predicate of the paper's four tasks, bool [N]; exact, since it reads the parameters."""
    if name == "horse_with_rider":
        return params["rider"] == 1
    if name == "horse_on_a_side":                  # yaw within 35 degrees of left
        return -params["yaw"].cos() >= math.cos(ON_A_SIDE)
    if name == "standing_cat":
        return params["posture"] == 0
    if name == "gabled_church":
        return params["roof"] == 0
    raise ValueError(f"unknown predicate {name!r}: choose one of {', '.join(PREDICATES)}")


def condition(name: str, code: Tensor) -> Tensor:
    """Codes [N,K] moved into a predicate by the conditional quantile of the one parameter it speaks of; the rest is untouched."""
    category = PREDICATES[name]
    column, k = {}, 0
    for parameter, kind in PARAMETERS[category].items():
        column[parameter] = k
        k += 2 if kind[0] == "angle" else 1
    code = code.clone()
    if name == "horse_on_a_side":
        k = column["yaw"]
        angle, radius = torch.atan2(code[:, k + 1], code[:, k]), code[:, k:k + 2].norm(dim=1)
        angle = math.pi + angle / math.pi * (ON_A_SIDE * 0.9999)
        code[:, k], code[:, k + 1] = radius * angle.cos(), radius * angle.sin()
        return code
    parameter, index = {"standing_cat": ("posture", 0), "horse_with_rider": ("rider", 1), "gabled_church": ("roof", 0)}[name]
    shares = PARAMETERS[category][parameter][1:]
    low, width = sum(shares[:index]), shares[index]
    share = low + width * (0.5 * (1 + torch.erf(code[:, column[parameter]].double() / math.sqrt(2)))).clamp(1e-4, 1 - 1e-4)
    code[:, column[parameter]] = (math.sqrt(2) * torch.erfinv(2 * share - 1)).float()
    return code


# --------------------------------------------------------------------------------------------------------------------
# The world.

@dataclass
class Scenes:
    """A batch of N rendered scenes at resolution R; a view that was not asked for is None.

    image [N,3,R,R] photograph in [-1,1]; contour [N,1,R,R] paper +1, ink -1; parts [N,R,R] uint8 index into
    `Menagerie.part_names`; albedo [N,3,R,R] surface colour without light in [-1,1]; depth [N,1,R,R] 0 near .. 1 far;
    portrait [N,3,R,R] stylised picture of the same subject in [-1,1]; params: name -> float [N]; code [N,K].
    """

    params: dict[str, Tensor]
    code: Tensor
    image: Tensor | None = None
    contour: Tensor | None = None
    parts: Tensor | None = None
    albedo: Tensor | None = None
    depth: Tensor | None = None
    portrait: Tensor | None = None
    _names: tuple = field(default=VIEWS, repr=False)

    def __len__(self) -> int:
        return len(self.code)

    def views(self) -> dict[str, Tensor]:
        """The views that were rendered, by name."""
        return {k: getattr(self, k) for k in VIEWS if getattr(self, k) is not None}


class Menagerie:
    """The scenes of one category at one resolution (32 to 256 px) and one seed; see the module's first lines."""

    def __init__(self, category: str, resolution: int = 64, seed: int = 0, predicate: str | None = None, device="cpu"):
        if category not in CATEGORIES:
            raise ValueError(f"unknown category {category!r}: choose one of {', '.join(CATEGORIES)}")
        if not 32 <= resolution <= 256:
            raise ValueError(f"resolution {resolution} is outside 32..256: render larger and resize, or choose a size between")
        if predicate is not None and PREDICATES.get(predicate) != category:
            names = [k for k, v in PREDICATES.items() if v == category]
            raise ValueError(f"predicate {predicate!r} does not speak of a {category}: choose one of {', '.join(names)}")
        self.category, self.resolution, self.seed, self.predicate = category, resolution, seed, predicate
        self.device = torch.device(device)
        self.part_names = PART_NAMES[category]

    def codes(self, indices: int | Sequence[int]) -> Tensor:
        """Codes [N,K] of the scenes at `indices`: standard normal numbers (moved into the predicate, if there is one)."""
        indices = [indices] if isinstance(indices, int) else [int(i) for i in indices]
        size, name = code_size(self.category), zlib.crc32(self.category.encode())
        rows = [np.random.default_rng([name, self.seed, i]).standard_normal(size, dtype=np.float32) for i in indices]
        code = torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, size)
        return condition(self.predicate, code) if self.predicate else code

    def params(self, indices: int | Sequence[int]) -> dict[str, Tensor]:
        """Parameters of the scenes at `indices` without rendering them: name -> float [N]."""
        return parameters(self.category, self.codes(indices))

    def satisfies(self, name: str, params: dict[str, Tensor]) -> Tensor:
        """See `satisfies`; raises ValueError when the predicate speaks of another category."""
        if PREDICATES.get(name) != self.category:
            raise ValueError(f"{name!r} is no predicate of {self.category}")
        return satisfies(name, params)

    def render(self, indices: int | Sequence[int], views: Sequence[str] = ("image", "contour", "parts")) -> Scenes:
        """Renders the scenes at `indices`; `views` chooses among image, contour, parts, albedo, depth and portrait."""
        return self.render_codes(self.codes(indices), views)

    @torch.no_grad()
    def render_codes(self, code: Tensor, views: Sequence[str] = ("image", "contour", "parts"), chunk: int | None = None) -> Scenes:
        """Renders codes [N,K] of your own; in chunks whose intermediate arrays stay in the processor's cache."""
        if unknown := set(views) - set(VIEWS):
            raise ValueError(f"unknown views {sorted(unknown)}: choose among {', '.join(VIEWS)}")
        chunk = chunk or (max(1, 8192 // self.resolution ** 2) if self.device.type == "cpu" else 64)
        code = code.to(self.device)
        params = parameters(self.category, code)
        pieces: dict[str, list[Tensor]] = {k: [] for k in VIEWS if k in views}
        for i in range(0, len(code), chunk):
            p = {k: v[i:i + chunk] for k, v in params.items()}
            made = _photograph(self.category, p, self.resolution, views) if set(views) - {"portrait"} else {}
            if "portrait" in views:
                made["portrait"] = _portrait(self.category, p, self.resolution)
            for k in pieces:
                pieces[k].append(made[k])
        return Scenes(params, code, **{k: torch.cat(v) for k, v in pieces.items() if v})


# --------------------------------------------------------------------------------------------------------------------
# From parameters to pictures.

def _view_matrix(p: dict[str, Tensor]) -> Tensor:
    """[N,3,3]: turns a vector of the subject's frame (forward, up, right) into view space (right, up, away)."""
    cy, sy, ce, se = p["yaw"].cos(), p["yaw"].sin(), p["elevation"].cos(), p["elevation"].sin()
    zero = torch.zeros_like(cy)
    return torch.stack([torch.stack([cy, zero, -sy], -1), torch.stack([-se * sy, ce, -se * cy], -1), torch.stack([-ce * sy, -se, -ce * cy], -1)], 1)


@dataclass
class _Seen:
    """What the camera sees on a grid of H x H rays: the surfaces before any light falls on them."""

    rays: Tensor        # [HH,3] shared by all scenes
    distance: Tensor    # [N] of the camera
    lift: Tensor        # [N] height of the point the camera looks at
    hit: Tensor         # [N,HH] the subject is there
    depth: Tensor       # [N,HH] along the ray, of subject or ground (FAR for sky)
    normal: Tensor      # [N,HH,3] view space
    part: Tensor        # [N,HH] int64
    solid: Tensor       # [N,HH] int64, which primitive
    albedo: Tensor      # [N,HH,3] sRGB in [0,1], of the subject only
    blocked: Tensor     # [N,HH] share of the sun that is blocked, of the subject only
    ground_dark: Tensor  # [N,HH] shadow on the ground
    ground_ao: Tensor   # [N,HH] contact shade on the ground
    sun: Tensor         # [N,3] view space
    up: Tensor          # [N,3] the world's up in view space


def _look(category: str, p: dict[str, Tensor], size: int) -> _Seen:
    """Traces `size` x `size` rays of each scene."""
    device = p["yaw"].device
    n = p["yaw"].shape[0]
    height, distance = CAMERA[category]
    distance = distance / p["zoom"]
    turn = _view_matrix(p)
    half = TAN_HALF * distance
    origin = torch.stack([p["shift_x"] * half, p["shift_y"] * half, torch.zeros_like(half)], -1)     # where the subject's target goes
    target = torch.zeros(n, 3, device=device)
    target[:, 1] = height
    to_view = lambda v: (v - target[:, None]) @ turn.transpose(1, 2) + origin[:, None]
    to_body = lambda x: (x - origin[:, None]) @ turn + target[:, None]
    up = turn[:, :, 1]
    lift = height - (origin * up).sum(-1)                  # height above ground of view space's own origin
    azimuth, tall, se, ce = p["sun_azimuth"], p["sun_height"], p["elevation"].sin(), p["elevation"].cos()
    x, y, away = azimuth.sin() * tall.cos(), tall.sin(), -azimuth.cos() * tall.cos()
    sun = torch.stack([x, ce * y + se * away, -se * y + ce * away], -1)

    rays = raytrace.view_rays(size, TAN_HALF, device)
    eye = torch.zeros(n, 1, 3, device=device)
    eye[..., 2] = -distance[:, None]
    drop = (rays[None] * up[:, None]).sum(-1)              # [N,HH] how fast a ray climbs
    ground = torch.where(drop < -1e-4, -((eye * up[:, None]).sum(-1) + lift[:, None]) / drop.clamp(max=-1e-4), torch.full_like(drop, raytrace.FAR))

    trace = churches.look if category == "church" else _look_at_animal
    hit, depth, normal, part, solid, albedo, blocked, dark, ao = trace(category, p, rays, eye, distance, ground, sun, to_view, to_body, turn, size)
    part = torch.where(hit, part, (ground < raytrace.FAR).long())
    return _Seen(rays, distance, lift, hit, torch.where(hit, depth, ground), normal, part, solid, albedo, blocked, dark, ao, sun, up)


def _look_at_animal(category, p, rays, eye, distance, ground, sun, to_view, to_body, turn, size):
    """Only rays that pass near the animal are traced: they are packed to the front, traced, and put back."""
    body = animals.cat(p) if category == "cat" else animals.horse(p)
    a, b, ra, rb = body.cones()
    cones = raytrace.RoundCones(to_view(a), to_view(b), ra, rb, blend=0.020 if category == "cat" else 0.018)
    n, device = len(a), a.device

    # Candidates are found on a grid of half the size, with a margin of one of its cells.
    coarse = raytrace.view_rays(size // 2, TAN_HALF, device)
    near, start = cones.candidates(coarse, distance, margin=0.02 + 2.9 * TAN_HALF / (size // 2) * float(distance.max()))
    grow = lambda v: v.reshape(n, size // 2, size // 2).repeat_interleave(2, 1).repeat_interleave(2, 2).reshape(n, -1)
    near, start = grow(near), grow(start)
    count = int(near.sum(1).max())
    index = near.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]                  # [N,count]
    picked = rays[index]
    hits = cones.trace(picked, distance, start.gather(1, index))

    x = eye + picked * hits.depth.clamp(max=50)[..., None]
    part_of = torch.tensor(body.part, device=device)
    part = part_of[hits.solid]
    local = to_body(x)
    # The painter knows no perspective: everything it needs is in the body's own frame.
    paint = animals.paint_cat if category == "cat" else animals.paint_horse
    albedo = paint(p, body.marks, local, part)
    blocked = cones.shadow(x + hits.normal * 0.01, sun, softness=0.02, bias=0.06)

    def back(value: Tensor, fill: float) -> Tensor:
        full = torch.full((n, size * size, *value.shape[2:]), fill, dtype=value.dtype, device=device)
        where = index if value.ndim == 2 else index[..., None].expand_as(value)
        return full.scatter_(1, where, value)

    # Shadow and contact shade on the ground are soft: a quarter of the rays is enough.
    small = raytrace.view_rays(size // 2, TAN_HALF, device)
    g = ground.reshape(n, size, size)[:, 1::2, ::2].reshape(n, -1).clamp(max=20)
    xg = eye + small[None] * g[..., None]
    widen = lambda v: nnf.interpolate(v.reshape(n, 1, size // 2, size // 2), scale_factor=2, mode="bilinear").reshape(n, -1)
    dark = widen(cones.shadow(xg, sun, softness=0.035, bias=0.0))
    ao = widen((1 - cones.distance(xg) / 0.16).clamp(0, 1))
    return (back(hits.hit, False), back(hits.depth, raytrace.FAR), back(hits.normal, 0.0), back(part, 0), back(hits.solid, -1),
            back(albedo, 0.0), back(blocked, 0.0), dark, ao)


GROUNDS = torch.tensor([[0.42, 0.53, 0.24], [0.73, 0.62, 0.44], [0.57, 0.42, 0.29], [0.84, 0.86, 0.90]])     # meadow, dry field, floor or arena, snow
HILLS = torch.tensor([[0.24, 0.36, 0.20], [0.56, 0.50, 0.38], [0.80, 0.75, 0.66], [0.62, 0.68, 0.74]])      # treeline, dunes, wall, far forest in haze


def _surroundings(category: str, p: dict[str, Tensor], seen: _Seen) -> tuple[Tensor, Tensor]:
    """Colours before light of the ground [N,HH,3], and of everything behind it (sky, hills, wall) as it is seen [N,HH,3]."""
    place = p["place"].long()
    warm, light = p["ground_warm"][:, None, None], p["ground_light"][:, None, None]
    device = warm.device
    tone = torch.cat([1 + 0.10 * warm, torch.ones_like(warm), 1 - 0.12 * warm], -1) * (1 + 0.16 * light)
    eye_z = -seen.distance[:, None]
    x = seen.rays[None] * seen.depth.clamp(max=30)[..., None]
    away = x[..., 2] + eye_z
    rough = animals.blobs(torch.stack([x[..., 0], 0 * away, away], -1), p["phase"], 3.1) + 0.6 * animals.blobs(torch.stack([x[..., 0], 0 * away, away], -1), p["phase"] + 0.3, 9.0)
    planks = ((x[..., 0] * 9 + p["phase"][:, None] * 9).sin().abs() < 0.10).float() * (place == 2)[:, None] * (category == "cat")
    ground = (GROUNDS.to(device)[place][:, None] * tone * (1 + 0.055 * rough - 0.10 * planks)[..., None]).clamp(0.02, 0.97)

    climb = (seen.rays[None] * seen.up[:, None]).sum(-1)                     # sine of the elevation of each ray
    bright, dusk = p["sky_light"][:, None, None], p["sky_warm"][:, None, None]
    at = lambda *rgb: torch.tensor(rgb, device=device)
    zenith = at(0.36, 0.55, 0.82) * (1 - bright) + at(0.58, 0.72, 0.90) * bright
    rim = (at(0.82, 0.87, 0.92) * (1 - dusk) + at(0.95, 0.82, 0.68) * dusk)
    sky = rim + (zenith - rim) * (climb.clamp(min=0) * 3.2).clamp(max=1).sqrt()[..., None]
    cloud = animals.soft(animals.blobs(torch.stack([seen.rays[None, :, 0] * 2 + 0 * climb, climb * 7, 0 * climb], -1), p["phase"], 5.0) - 0.9 + p["cloud"][:, None], 1.0)
    sky = animals.mix(sky, at(0.95, 0.95, 0.96).expand_as(sky), cloud * 0.6)
    # A treeline, dunes, a wall or a far forest closes the view; its height varies along the horizon.
    wave = animals.blobs(torch.stack([seen.rays[None, :, 0] * 4 + 0 * climb, 0 * climb, 0 * climb], -1), p["phase"], 2.2)
    indoors = ((place == 2) & (category == "cat"))[:, None]
    top = torch.where(indoors, torch.full_like(climb, 9.0), (0.012 + 0.055 * p["hill"][:, None]) * (1 + 0.35 * wave))
    hills = HILLS.to(device)[place][:, None] * tone * (1 - 0.10 * animals.soft(climb - 0.5 * top, 0.05)[..., None] * (~indoors)[..., None])
    hills = torch.where(indoors[..., None], hills * (0.90 + 0.35 * bright) * (1 + 0.25 * climb[..., None]), hills * 0.8 + rim * 0.2)
    return ground, animals.mix(sky, hills.clamp(0, 1).expand_as(sky), animals.soft(top - climb, 0.008))


def _light(category: str, p: dict[str, Tensor], seen: _Seen) -> Tensor:
    """Light on what is seen: sun, sky from above, ground from below, in linear colour; sRGB [N,HH,3] in [0,1]."""
    ground, behind = _surroundings(category, p, seen)
    linear = lambda c: c.clamp(0, 1) ** 2.2
    warm = p["sky_warm"][:, None, None]
    device = warm.device
    sunlight = torch.tensor([1.0, 0.94, 0.86], device=device) * (1 - warm) + torch.tensor([1.0, 0.83, 0.64], device=device) * warm
    skylight = torch.tensor([0.80, 0.90, 1.0], device=device) * 0.62
    facing = ((seen.normal * seen.sun[:, None]).sum(-1) * 0.85 + 0.15).clamp(0, 1)
    rise = (seen.normal * seen.up[:, None]).sum(-1, keepdim=True)
    bounce = linear(ground).mean(1, keepdim=True) * 0.45
    lit = (facing * (1 - 0.85 * seen.blocked))[..., None] * sunlight * 1.15 + skylight * (0.5 + 0.5 * rise) + bounce * (0.5 - 0.5 * rise)
    edge = (1 + (seen.normal * seen.rays[None]).sum(-1, keepdim=True)).clamp(0, 1) ** 3 * 0.12              # a soft rim, as fur has
    subject = linear(seen.albedo) * lit + edge * skylight * 0.6
    day = seen.sun[:, None, :] @ seen.up[:, :, None]                         # [N,1,1] sine of the sun's height
    floor = linear(ground) * (day * sunlight * 1.15 * (1 - 0.80 * seen.ground_dark)[..., None] + skylight) * (1 - 0.45 * seen.ground_ao ** 2)[..., None]
    indoors = ((p["place"].long() == 2) & (category == "cat"))[:, None, None]
    haze = (1 - torch.exp(-(seen.depth.clamp(max=40) / 34)))[..., None] * (~indoors)
    floor = floor * (1 - haze) + linear(torch.tensor([0.80, 0.84, 0.88], device=device)) * haze
    scene = torch.where((seen.depth < raytrace.FAR)[..., None] & (seen.part == 1)[..., None], floor, linear(behind))
    scene = torch.where(seen.hit[..., None], subject, scene)
    return (scene / (1 + 0.18 * scene)).clamp(0, 1) ** (1 / 2.2)


def _fold(x: Tensor, resolution: int) -> Tensor:
    """[N,HH,C] on the double grid to [N,C,R,R], each pixel the mean of its four rays."""
    n, _, c = x.shape
    return nnf.avg_pool2d(x.reshape(n, 2 * resolution, 2 * resolution, c).permute(0, 3, 1, 2), 2)


def _ink(category: str, seen: _Seen, size: int) -> Tensor:
    """Ink [N,1,H,H] in {0,1} on the grid of rays, one ray wide on either side of every outline."""
    n = len(seen.distance)
    grid = lambda v: v.reshape(n, size, size, *v.shape[2:])
    depth = torch.where(seen.hit, seen.depth, torch.full_like(seen.depth, raytrace.FAR))
    label = torch.where(seen.hit, seen.solid if category == "church" else seen.part, -1)
    return raytrace.outline(grid(depth), grid(seen.normal), grid(label), depth_jump=0.30 if category == "church" else 0.06)


def _photograph(category: str, p: dict[str, Tensor], resolution: int, views: Sequence[str]) -> dict[str, Tensor]:
    """The asked views of a batch of scenes; four rays a pixel."""
    size = 2 * resolution
    seen = _look(category, p, size)
    n, out = len(seen.distance), {}
    if "image" in views:
        out["image"] = _fold(_light(category, p, seen), resolution) * 2 - 1
    if "contour" in views:
        # The pen is 1.5 px wide at 64 px and grows with the picture, as a pen does when the same drawing is scanned larger.
        pen = 2 * max(1, round(resolution / 64)) + 1
        ink = nnf.max_pool2d(_ink(category, seen, size), pen, 1, pen // 2)
        out["contour"] = 1 - 2 * nnf.avg_pool2d(ink, 2)
    if "parts" in views:
        out["parts"] = seen.part.reshape(n, size, size)[:, ::2, ::2].to(torch.uint8)
    if "albedo" in views:
        ground, behind = _surroundings(category, p, seen)
        flat = torch.where((seen.part == 1)[..., None], ground, behind)
        out["albedo"] = _fold(torch.where(seen.hit[..., None], seen.albedo, flat), resolution) * 2 - 1
    if "depth" in views:
        near = (seen.depth - seen.distance[:, None] + 1) / 4
        out["depth"] = _fold(near.clamp(0, 1)[..., None], resolution)
    return out


def _exaggerate(category: str, p: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same subject as a caricaturist sees it: big head, big ears, short legs; slender spires."""
    q = dict(p)
    scale = {"cat": {"head_size": 1.38, "ear": 1.45, "leg": 0.86, "girth": 1.05, "body_length": 0.90},
             "horse": {"head_size": 1.35, "ear": 1.7, "leg": 0.84, "girth": 1.12, "body_length": 0.92, "neck_length": 1.12},
             "church": {"spire": 1.5, "tower_height": 1.15, "roof_pitch": 1.3}}[category]
    for name, factor in scale.items():
        q[name] = q[name] * factor
    q["zoom"] = q["zoom"] * {"cat": 0.95, "horse": 0.94, "church": 0.86}[category]      # what grew must still fit
    return q


def _portrait(category: str, p: dict[str, Tensor], resolution: int) -> Tensor:
    """Stylised portrait [N,3,R,R] in [-1,1]: exaggerated proportions, two flat tones, coloured paper, dark outlines."""
    size = 2 * resolution
    q = _exaggerate(category, p)
    seen = _look(category, q, size)
    shade = (((seen.normal * seen.sun[:, None]).sum(-1) > 0.05) & (seen.blocked < 0.5)).float()[..., None]
    gray = seen.albedo.mean(-1, keepdim=True)
    vivid = (gray + 1.35 * (seen.albedo - gray)).clamp(0, 1)
    subject = ((vivid * 6).round() / 6 * 0.9 + 0.08) * (0.68 + 0.32 * shade)
    hue = torch.stack([p["ground_warm"], p["sky_warm"] * 2 - 1, p["sky_light"] * 2 - 1], -1)[:, None]
    paper = 0.80 + 0.10 * hue
    floor = paper * 0.82 - 0.14 * (seen.ground_dark > 0.5).float()[..., None]
    flat = torch.where((seen.part == 1)[..., None], floor, paper.expand_as(floor))
    picture = torch.where(seen.hit[..., None], subject, flat)
    ink = nnf.max_pool2d(_ink(category, seen, size), 3, 1, 1).reshape(len(hue), -1, 1)
    return _fold(picture * (1 - ink) + 0.12 * ink, resolution).clamp(0, 1) * 2 - 1
