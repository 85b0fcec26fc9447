"""Cats and horses: from scene parameters to round cones, traced where the rays pass near.

A body is built in its own frame: x forward, y up from the ground, z to the animal's right. Lengths are scene units.
Every parameter is a tensor [N].
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .coats import paint_cat, paint_horse
from .raytrace import FAR, RoundCones, view_rays
from .subjects import COMMON, TAN_HALF, VIEWPOINT, Subject, Surfaces, View, choice, uniform

_BODY = ("body_length", "leg", "girth", "head_size", "ear", "head_yaw", "head_pitch", "gait", "tail", "tail_side")
_ANIMAL = COMMON | {
    "coat_light": uniform(-1, 1), "coat_warm": uniform(-1, 1), "head_yaw": uniform(-0.8, 0.8),
    "head_pitch": uniform(-0.30, 0.25), "gait": uniform(-1, 1), "tail": uniform(0, 1), "tail_side": uniform(-1, 1)}


class Animal(Subject):
    """A smooth union of round cones; each kind says how it is built, `body(p)`, and painted, `paint` (see coats.py)."""

    depth_jump, creases = 0.06, "part"
    blend: float                        # the length over which neighbouring cones flow into each other

    def look(self, p: dict[str, Tensor], view: View) -> Surfaces:
        """Only rays that pass near the animal are traced: they are packed to the front, traced, and put back."""
        body, size = self.body(p), view.size
        a, b, ra, rb = body.cones()
        cones = RoundCones(view.to_view(a), view.to_view(b), ra, rb, self.blend)
        n, device = len(a), a.device

        # Candidates are found on a grid of half the size, with a margin of one of its cells.
        coarse = view_rays(size // 2, TAN_HALF, device)
        margin = 0.02 + 2.9 * TAN_HALF / (size // 2) * float(view.distance.max())
        near, start = cones.candidates(coarse, view.distance, margin)
        grid = lambda v: v.reshape(n, size // 2, size // 2)
        grow = lambda v: grid(v).repeat_interleave(2, 1).repeat_interleave(2, 2).reshape(n, -1)
        near, start = grow(near), grow(start)
        count = int(near.sum(1).max())
        index = near.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]  # [N,count]
        picked = view.rays[index]
        hits = cones.trace(picked, view.distance, start.gather(1, index))

        x = view.eye + picked * hits.depth.clamp(max=50)[..., None]
        part = torch.tensor(body.part, device=device)[hits.solid]
        albedo = self.paint(p, body.marks, view.to_body(x), part)
        blocked = cones.shadow(x + hits.normal * 0.01, view.sun, softness=0.02, bias=0.06)

        def back(value: Tensor, fill: float) -> Tensor:
            full = torch.full((n, size * size, *value.shape[2:]), fill, dtype=value.dtype, device=device)
            where = index if value.ndim == 2 else index[..., None].expand_as(value)
            return full.scatter_(1, where, value)

        # Shadow and contact shade on the ground are soft: a quarter of the rays is enough.
        g = view.ground.reshape(n, size, size)[:, 1::2, ::2].reshape(n, -1).clamp(max=20)
        xg = view.eye + coarse[None] * g[..., None]
        widen = lambda v: functional.interpolate(grid(v)[:, None], scale_factor=2, mode="bilinear").reshape(n, -1)
        dark = widen(cones.shadow(xg, view.sun, softness=0.035, bias=0.0))
        ao = widen((1 - cones.distance(xg) / 0.16).clamp(0, 1))
        return Surfaces(back(hits.hit, False), back(hits.depth, FAR), back(hits.normal, 0.0), back(part, 0),
                        back(hits.solid, -1), back(albedo, 0.0), back(blocked, 0.0), dark, ao)


class Body:
    """Collects round cones; `part` holds one index into the part names for each, `marks` points that paint needs."""

    def __init__(self, p: dict[str, Tensor]):
        self.n, self.device = len(p["yaw"]), p["yaw"].device
        self.a, self.b, self.ra, self.rb, self.part, self.marks = [], [], [], [], [], {}

    def _full(self, v) -> Tensor:
        return v.expand(self.n) if torch.is_tensor(v) else torch.full((self.n,), float(v), device=self.device)

    def vec(self, x, y, z) -> Tensor:
        """A point [N,3] of numbers or tensors [N]."""
        return torch.stack([self._full(x), self._full(y), self._full(z)], -1)

    def add(self, part: int, a: Tensor, b: Tensor, ra, rb) -> None:
        """A cone from a (radius ra) to b (radius rb)."""
        self.a.append(a), self.b.append(b)
        self.ra.append(self._full(ra)), self.rb.append(self._full(rb)), self.part.append(part)

    def cones(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """a, b [N,P,3], ra, rb [N,P]."""
        return torch.stack(self.a, 1), torch.stack(self.b, 1), torch.stack(self.ra, 1), torch.stack(self.rb, 1)


def frame(yaw: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Forward, up and right unit vectors [N,3] of a head turned by yaw (towards +z) and pitch (up), radians."""
    cy, sy, cp, sp = yaw.cos(), yaw.sin(), pitch.cos(), pitch.sin()
    return (torch.stack([cp * cy, sp, cp * sy], -1), torch.stack([-sp * cy, cp, -sp * sy], -1),
            torch.stack([-sy, torch.zeros_like(sy), cy], -1))


def _col(v):
    return v[:, None] if torch.is_tensor(v) else v


class Cat(Animal):
    """A cat that stands, sits or lies (`posture` 0, 1, 2)."""

    parameters = _ANIMAL | {
        "posture": choice(0.30, 0.42, 0.28), "body_length": uniform(0.46, 0.60), "leg": uniform(0.24, 0.34),
        "girth": uniform(0.125, 0.165), "head_size": uniform(0.135, 0.165), "ear": uniform(0.08, 0.13),
        "head_lift": uniform(-1, 1), "coat": choice(0.20, 0.14, 0.10, 0.12, 0.12, 0.10, 0.11, 0.11),
        "eye": choice(0.45, 0.35, 0.20)}
    drawable = (*VIEWPOINT, *_BODY, "posture", "head_lift")
    parts = ("sky", "ground", "body", "head", "muzzle", "ear", "leg", "tail")
    camera = (0.35, 2.62)
    predicates = {"standing_cat": ("posture", 0)}
    caricature = {"head_size": 1.38, "ear": 1.45, "leg": 0.86, "girth": 1.05, "body_length": 0.90, "zoom": 0.95}
    blend, indoors = 0.020, True
    paint = staticmethod(paint_cat)

    def body(self, p: dict[str, Tensor]) -> Body:
        body = Body(p)
        vec, add = body.vec, body.add
        stand, sit, lie = ((p["posture"] == k).float() for k in range(3))
        length, leg, girth, hs = p["body_length"], p["leg"], p["girth"], p["head_size"]

        # Hip and shoulder decide the posture: level when standing, chest high when sitting, both low when lying.
        hip = vec(-length / 2 * (stand + lie) - 0.17 * sit, leg * stand + (girth * 1.02) * (sit + lie), 0)
        shoulder = vec(length / 2 * (stand + lie) + (0.13 + 0.1 * p["gait"].abs()) * sit,
                       (leg + 0.01) * stand + (leg + 0.20) * sit + girth * 1.08 * lie, 0)
        add(2, hip, shoulder, girth * (1.0 + 0.16 * sit), girth * (0.94 - 0.1 * sit))
        add(2, hip * 0.5 + shoulder * 0.5 - vec(0, 0.03, 0), shoulder - vec(0, 0.02, 0), girth * 0.95, girth * 0.9)

        fwd, up, right = frame(p["head_yaw"], p["head_pitch"])
        rise = 0.20 * stand + 0.20 * sit + 0.19 * lie
        head = shoulder + vec(0.15 * (stand + lie) + 0.06 * sit, rise + 0.05 * p["head_lift"], 0)
        add(2, shoulder + vec(0.02, 0.03, 0), head - vec(0.02, 0.05, 0), girth * 0.72, hs * 0.7)
        add(3, head - right * _col(hs * 0.22), head + right * _col(hs * 0.22), hs * 0.92, hs * 0.92)
        nose = head + fwd * _col(hs * 0.86) - up * _col(hs * 0.30)
        add(4, nose - right * _col(hs * 0.16), nose + right * _col(hs * 0.16), hs * 0.33, hs * 0.33)
        for s in (-1, 1):
            base = head + up * _col(hs * 0.62) + right * _col(hs * 0.58 * s)
            add(5, base, base + up * _col(p["ear"]) + right * _col(0.035 * s + hs * 0) - fwd * 0.01, hs * 0.36, 0.010)
        self._legs(body, p, hip, shoulder)

        # Tail: three pieces that bend upwards with `tail` when standing and lie around the body otherwise.
        lift, sway = p["tail"] * stand, p["tail_side"]
        root = hip + vec(-girth * 0.75, girth * (0.45 * stand - 0.55 * (1 - stand)), 0)
        t1 = root + vec(-0.14, 0.05 + 0.13 * lift, 0.05 * sway)
        t2 = t1 + vec(-0.10 + 0.10 * lift, 0.02 + 0.17 * lift, 0.10 * sway)
        t3 = t2 + vec(-0.05 + 0.09 * lift, 0.06 + 0.10 * lift, 0.10 * sway)
        low = lambda v, h: vec(v[:, 0] + 0.12 * (1 - stand) * h, v[:, 1] * stand + 0.042 * (1 - stand),
                               v[:, 2] + 0.22 * sway * (1 - stand) * h)
        t0, t1, t2, t3 = low(root, 0), low(t1, 0.3), low(t2, 1), low(t3, 1.8)
        for q, r, ra, rb in ((t0, t1, 0.046, 0.041), (t1, t2, 0.041, 0.037), (t2, t3, 0.037, 0.030)):
            add(7, q, r, ra, rb)
        body.marks.update(head=head, fwd=fwd, up=up, right=right, nose=nose, size=hs, shoulder=shoulder)
        return body

    def _legs(self, body: Body, p: dict[str, Tensor], hip: Tensor, shoulder: Tensor) -> None:
        vec, add, leg, girth = body.vec, body.add, p["leg"], p["girth"]
        stand, sit, lie = ((p["posture"] == k).float() for k in range(3))
        fold = sit + lie
        for s in (-1, 1):
            side = girth * 0.62 * s
            step = p["gait"] * s
            # Front leg: straight down from the shoulder; stretched out on the ground when lying.
            top = shoulder + vec(0.0, -0.04, side)
            foot = vec(shoulder[:, 0] + 0.24 * step * stand + 0.05 * sit + (0.20 + 0.07 * step) * lie, 0.045,
                       side * (1 - 0.25 * sit))
            knee = (top + foot) / 2 + vec(0.03 * stand * step.abs(), 0, 0)
            add(6, top, knee, 0.068, 0.056)
            add(6, knee, foot, 0.056, 0.046)
            add(6, foot, foot + vec(0.045, -0.008, 0), 0.046, 0.042)
            # Hind leg: thigh, then hock; folded into a round haunch when sitting or lying.
            thigh = hip + vec(-0.02 * stand, -0.02, side * 1.05)
            bend = vec(thigh[:, 0] + (0.05 - 0.16 * step) * stand + 0.17 * fold, leg * 0.48 * stand + 0.12 * fold,
                       side * (1 + 0.45 * fold))
            paw = vec(hip[:, 0] + (-0.05 - 0.24 * step) * stand + 0.16 * fold, 0.045, side * (1 + 0.55 * fold))
            add(6, thigh, bend, girth * 0.62 * stand + girth * 0.78 * fold, 0.060 * stand + 0.085 * fold)
            add(6, bend, paw, 0.058, 0.044)
            add(6, paw, paw + vec(0.05 + 0.05 * fold, -0.008, 0), 0.046, 0.042)


class Horse(Animal):
    """A horse that stands or walks, its neck anywhere from grazing to proud, with a rider where `rider` is 1."""

    parameters = _ANIMAL | {
        "rider": choice(0.80, 0.20), "body_length": uniform(0.62, 0.76), "leg": uniform(0.52, 0.64),
        "girth": uniform(0.165, 0.205), "head_size": uniform(0.098, 0.118), "ear": uniform(0.055, 0.085),
        "neck": uniform(-1, 1), "neck_length": uniform(0.34, 0.44),
        "coat": choice(0.24, 0.20, 0.12, 0.12, 0.12, 0.08, 0.12), "blaze": choice(0.55, 0.45),
        "jacket": choice(0.25, 0.25, 0.2, 0.15, 0.15)}
    drawable = (*VIEWPOINT, *_BODY, "rider", "neck", "neck_length")
    parts = ("sky", "ground", "body", "head", "muzzle", "ear", "leg", "tail", "neck", "mane", "rider")
    camera = (0.58, 3.75)
    predicates = {"horse_with_rider": ("rider", 1), "horse_on_a_side": ("yaw", torch.pi * 35 / 180)}
    caricature = {"head_size": 1.35, "ear": 1.7, "leg": 0.84, "girth": 1.12, "body_length": 0.92, "neck_length": 1.12,
                  "zoom": 0.94}
    blend, indoors = 0.018, False
    paint = staticmethod(paint_horse)

    def body(self, p: dict[str, Tensor]) -> Body:
        body = Body(p)
        vec, add = body.vec, body.add
        length, leg, girth, hs = p["body_length"], p["leg"], p["girth"], p["head_size"]
        hip, shoulder = vec(-length / 2, leg + 0.02, 0), vec(length / 2, leg, 0)
        add(2, hip, shoulder, girth, girth * 0.98)
        add(2, (hip + shoulder) / 2 - vec(0, 0.045, 0), shoulder - vec(0.03, 0.01, 0), girth * 0.93, girth * 0.93)
        add(2, hip - vec(0.03, -0.01, 0), hip + vec(0.05, 0.03, 0), girth * 0.98, girth)

        # The neck rises from the withers; `neck` in [-1,1] lowers it to graze or arches it.
        angle = 0.80 + 0.45 * p["neck"]
        reach, turn = p["neck_length"], p["head_yaw"] * 0.5
        chest = shoulder + vec(0.06, 0.07, 0)
        poll = chest + vec(angle.cos() * turn.cos() * reach, angle.sin() * reach, angle.cos() * turn.sin() * reach)
        add(8, chest, poll, girth * 0.72, hs * 0.82)
        add(8, chest - vec(0.02, 0.10, 0), (chest + poll) / 2, girth * 0.72, girth * 0.52)
        fwd, up, right = frame(p["head_yaw"], p["head_pitch"] - 0.72)
        cheek = poll + fwd * _col(hs * 0.35)
        add(3, poll + up * _col(hs * 0.1), cheek + fwd * _col(hs * 0.7), hs * 0.82, hs * 0.66)
        nose = cheek + fwd * _col(hs * 2.05) - up * _col(hs * 0.12)
        add(4, cheek + fwd * _col(hs * 0.6), nose, hs * 0.66, hs * 0.47)
        for s in (-1, 1):
            base = poll + up * _col(hs * 0.72) + right * _col(hs * 0.42 * s) - fwd * _col(hs * 0.15)
            add(5, base, base + up * _col(p["ear"]) + right * (0.012 * s), 0.030, 0.010)
        crest = vec(-angle.sin() * turn.cos(), angle.cos(), 0)
        add(9, chest + crest * _col(girth * 0.62) + vec(0.0, 0.03, 0), poll + crest * _col(hs * 0.78), 0.052, 0.046)
        add(9, poll + up * _col(hs * 0.75), poll + fwd * _col(hs * 0.75) + up * _col(hs * 0.62), 0.040, 0.022)

        self._legs(body, p, hip, shoulder)
        root = hip + vec(-girth * 0.86, girth * 0.45, 0)
        mid = root + vec(-0.10 - 0.10 * p["tail"], -0.10 + 0.05 * p["tail"], 0.04 * p["tail_side"])
        end = mid + vec(-0.04 - 0.10 * p["tail"], -0.26 + 0.08 * p["tail"], 0.05 * p["tail_side"])
        add(7, root, mid, 0.048, 0.064)
        add(7, mid, end, 0.064, 0.030)
        seat = self._rider(body, p, hip, shoulder)
        body.marks.update(head=poll, fwd=fwd, up=up, right=right, size=hs, seat=seat, leg=leg)
        return body

    def _legs(self, body: Body, p: dict[str, Tensor], hip: Tensor, shoulder: Tensor) -> None:
        vec, add, leg, girth, walk = body.vec, body.add, p["leg"], p["girth"], p["gait"]
        for s in (-1, 1):
            side = girth * 0.56 * s
            front, hind = shoulder + vec(0.0, -0.05, side), hip + vec(-0.02, -0.03, side)
            for root, swing, back, thigh in ((front, walk * s, 1.0, 0.52), (hind, -walk * s, -1.0, 0.66)):
                lift = (swing * 1.2).clamp(min=0) * 0.09
                # Front knees bend forwards, hocks point backwards.
                knee = vec(root[:, 0] + 0.20 * swing + 0.035 * back * (0.4 + lift * 8), leg * 0.50 + lift * 0.7, side)
                hoof = vec(root[:, 0] + 0.30 * swing - 0.05 * lift * 10 * (swing > 0), 0.045 + lift * 0.6, side)
                add(6, root, knee, girth * thigh, 0.062)
                add(6, knee, hoof + vec(0, 0.05, 0), 0.054, 0.044)
                add(6, hoof + vec(0, 0.01, 0), hoof + vec(0.028, -0.008, 0), 0.050, 0.050)

    def _rider(self, body: Body, p: dict[str, Tensor], hip: Tensor, shoulder: Tensor) -> Tensor:
        """Adds a rider and returns where the seat is, [N,3].

        The rider is always built; without one its cones get a radius so negative that no ray meets them.
        """
        vec, add, girth = body.vec, body.add, p["girth"]
        off = (1 - p["rider"]) * -5.0
        seat = (hip + shoulder) / 2 + vec(0.03, girth * 0.95, 0)
        lean = vec(0.05 + 0.10 * p["gait"].abs(), 0.34, 0)
        add(10, seat + vec(0, 0.03, 0), seat + lean, 0.098 + off, 0.100 + off)
        add(10, seat + lean + vec(0.02, 0.19, 0), seat + lean + vec(0.035, 0.215, 0), 0.088 + off, 0.084 + off)
        hands = seat + vec(0.27, 0.15, 0)
        for s in (-1, 1):
            knee = seat + vec(0.15, -0.16, girth * 1.04 * s)
            add(10, seat + vec(0.02, 0.02, girth * 0.55 * s), knee, 0.074 + off, 0.060 + off)
            add(10, knee, seat + vec(0.06, -0.38, girth * 1.06 * s), 0.055 + off, 0.050 + off)
            add(10, seat + lean + vec(0, 0.03, 0.10 * s), hands + vec(0, 0, 0.05 * s), 0.042 + off, 0.034 + off)
        return seat
