"""Cats and horses: from scene parameters to round cones, and from points on their bodies to coat colours.

A body is built in its own frame: x forward, y up from the ground, z to the animal's right. Lengths are scene units.
All functions work on a batch: every parameter is a tensor [N].
"""
from __future__ import annotations

import torch
from torch import Tensor

CAT_PARTS = ("sky", "ground", "body", "head", "muzzle", "ear", "leg", "tail")
HORSE_PARTS = ("sky", "ground", "body", "head", "muzzle", "ear", "leg", "tail", "neck", "mane", "rider")


class Body:
    """Collects round cones; `part` holds one index into the part names for each, `marks` points that paint needs."""

    def __init__(self, n: int, device):
        self.n, self.device = n, device
        self.a, self.b, self.ra, self.rb, self.part, self.marks = [], [], [], [], [], {}

    def vec(self, x, y, z) -> Tensor:
        full = lambda v: v.expand(self.n) if torch.is_tensor(v) else torch.full((self.n,), float(v), device=self.device)
        return torch.stack([full(x), full(y), full(z)], -1)

    def add(self, part: int, a: Tensor, b: Tensor, ra, rb) -> None:
        full = lambda v: v.expand(self.n) if torch.is_tensor(v) else torch.full((self.n,), float(v), device=self.device)
        self.a.append(a), self.b.append(b), self.ra.append(full(ra)), self.rb.append(full(rb)), self.part.append(part)

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


def cat(p: dict[str, Tensor]) -> Body:
    """A cat that stands, sits or lies (`posture` 0, 1, 2)."""
    n, device = p["yaw"].shape[0], p["yaw"].device
    body = Body(n, device)
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

    for s in (-1, 1):
        side = girth * 0.62 * s
        step = p["gait"] * s
        # Front leg: straight down from the shoulder; stretched out on the ground when lying.
        top = shoulder + vec(0.0, -0.04, side)
        foot = vec(shoulder[:, 0] + 0.24 * step * stand + 0.05 * sit + (0.20 + 0.07 * step) * lie, 0.045, side * (1 - 0.25 * sit))
        knee = (top + foot) / 2 + vec(0.03 * stand * step.abs(), 0, 0)
        add(6, top, knee, 0.068, 0.056)
        add(6, knee, foot, 0.056, 0.046)
        add(6, foot, foot + vec(0.045, -0.008, 0), 0.046, 0.042)
        # Hind leg: thigh, then hock; folded into a round haunch when sitting or lying.
        fold = sit + lie
        thigh = hip + vec(-0.02 * stand, -0.02, side * 1.05)
        bend = vec(thigh[:, 0] + (0.05 - 0.16 * step) * stand + 0.17 * fold, leg * 0.48 * stand + 0.12 * fold, side * (1 + 0.45 * fold))
        paw = vec(hip[:, 0] + (-0.05 - 0.24 * step) * stand + 0.16 * fold, 0.045, side * (1 + 0.55 * fold))
        add(6, thigh, bend, girth * 0.62 * stand + girth * 0.78 * fold, 0.060 * stand + 0.085 * fold)
        add(6, bend, paw, 0.058, 0.044)
        add(6, paw, paw + vec(0.05 + 0.05 * fold, -0.008, 0), 0.046, 0.042)

    # Tail: three pieces that bend upwards with `tail` when standing and lie around the body otherwise.
    lift, sway = p["tail"] * stand, p["tail_side"]
    root = hip + vec(-girth * 0.75, girth * (0.45 * stand - 0.55 * (1 - stand)), 0)
    t1 = root + vec(-0.14, 0.05 + 0.13 * lift, 0.05 * sway)
    t2 = t1 + vec(-0.10 + 0.10 * lift, 0.02 + 0.17 * lift, 0.10 * sway)
    t3 = t2 + vec(-0.05 + 0.09 * lift, 0.06 + 0.10 * lift, 0.10 * sway)
    low = lambda v, h: torch.stack([v[:, 0] + 0.12 * (1 - stand) * h, v[:, 1] * stand + 0.042 * (1 - stand), v[:, 2] + 0.22 * sway * (1 - stand) * h], -1)
    t0, t1, t2, t3 = low(root, 0), low(t1, 0.3), low(t2, 1), low(t3, 1.8)
    for q, r, ra, rb in ((t0, t1, 0.046, 0.041), (t1, t2, 0.041, 0.037), (t2, t3, 0.037, 0.030)):
        add(7, q, r, ra, rb)
    body.marks.update(head=head, fwd=fwd, up=up, right=right, nose=nose, size=hs, shoulder=shoulder, hip=hip)
    return body


def horse(p: dict[str, Tensor]) -> Body:
    """A horse that stands or walks, its neck anywhere from grazing to proud, with a rider where `rider` is 1."""
    n, device = p["yaw"].shape[0], p["yaw"].device
    body = Body(n, device)
    vec, add = body.vec, body.add
    length, leg, girth, hs = p["body_length"], p["leg"], p["girth"], p["head_size"]
    hip, shoulder = vec(-length / 2, leg + 0.02, 0), vec(length / 2, leg, 0)
    add(2, hip, shoulder, girth, girth * 0.98)
    add(2, (hip + shoulder) / 2 - vec(0, 0.045, 0), shoulder - vec(0.03, 0.01, 0), girth * 0.93, girth * 0.93)
    add(2, hip - vec(0.03, -0.01, 0), hip + vec(0.05, 0.03, 0), girth * 0.98, girth)

    # The neck rises from the withers; `neck` in [-1,1] lowers it to graze or arches it.
    angle = 0.80 + 0.45 * p["neck"]
    reach = p["neck_length"]
    chest = shoulder + vec(0.06, 0.07, 0)
    turn = p["head_yaw"] * 0.5
    poll = chest + torch.stack([angle.cos() * turn.cos() * reach, angle.sin() * reach, angle.cos() * turn.sin() * reach], -1)
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
    crest = torch.stack([-angle.sin() * turn.cos(), angle.cos(), torch.zeros_like(angle)], -1)
    add(9, chest + crest * _col(girth * 0.62) + vec(0.0, 0.03, 0), poll + crest * _col(hs * 0.78), 0.052, 0.046)
    add(9, poll + up * _col(hs * 0.75), poll + fwd * _col(hs * 0.75) + up * _col(hs * 0.62), 0.040, 0.022)

    walk = p["gait"]
    for s in (-1, 1):
        side = girth * 0.56 * s
        for part, (root, swing, back) in enumerate(((shoulder + vec(0.0, -0.05, side), walk * s, 1.0), (hip + vec(-0.02, -0.03, side), -walk * s, -1.0))):
            lift = (swing * 1.2).clamp(min=0) * 0.09
            # Front knees bend forwards, hocks point backwards.
            knee = vec(root[:, 0] + 0.20 * swing + 0.035 * back * (0.4 + lift * 8), leg * 0.50 + lift * 0.7, side)
            hoof = vec(root[:, 0] + 0.30 * swing - 0.05 * lift * 10 * (swing > 0), 0.045 + lift * 0.6, side)
            add(6, root, knee, girth * (0.52 if part == 0 else 0.66), 0.062)
            add(6, knee, hoof + vec(0, 0.05, 0), 0.054, 0.044)
            add(6, hoof + vec(0, 0.01, 0), hoof + vec(0.028, -0.008, 0), 0.050, 0.050)

    root = hip + vec(-girth * 0.86, girth * 0.45, 0)
    mid = root + vec(-0.10 - 0.10 * p["tail"], -0.10 + 0.05 * p["tail"], 0.04 * p["tail_side"])
    end = mid + vec(-0.04 - 0.10 * p["tail"], -0.26 + 0.08 * p["tail"], 0.05 * p["tail_side"])
    add(7, root, mid, 0.048, 0.064)
    add(7, mid, end, 0.064, 0.030)

    seat, lean = _rider(body, p, hip, shoulder)
    body.marks.update(head=poll, fwd=fwd, up=up, right=right, nose=nose, size=hs, seat=seat, lean=lean, leg=leg)
    return body


def _rider(body: Body, p: dict[str, Tensor], hip: Tensor, shoulder: Tensor) -> tuple[Tensor, Tensor]:
    """Adds a rider and returns where the seat is and where the trunk goes from there, both [N,3].

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
        add(10, seat + vec(0.02, 0.02, girth * 0.55 * s), seat + vec(0.15, -0.16, girth * 1.04 * s), 0.074 + off, 0.060 + off)
        add(10, seat + vec(0.15, -0.16, girth * 1.04 * s), seat + vec(0.06, -0.38, girth * 1.06 * s), 0.055 + off, 0.050 + off)
        add(10, seat + lean + vec(0, 0.03, 0.10 * s), hands + vec(0, 0, 0.05 * s), 0.042 + off, 0.034 + off)
    return seat, lean


def soft(x: Tensor, width: float) -> Tensor:
    """A step from 0 to 1 at x = 0, blurred over `width`."""
    return ((x / width) + 0.5).clamp(0, 1)


def mix(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """a where t = 0, b where t = 1; colours [N,M,3] or [N,1,3], t [N,M]."""
    return a + (b - a) * t[..., None]


def blobs(x: Tensor, phase: Tensor, scale: float) -> Tensor:
    """Smooth patches in about [-1,1] over points x [N,M,3]; `phase [N]` moves them."""
    q = x * scale + phase[:, None, None] * torch.tensor([7.0, 3.0, 5.0], device=x.device)
    s = q.sin()
    return (s[..., 0] + s[..., 1] * (q[..., 2] + 1.3 * s[..., 0]).cos() + (q[..., 0] * 0.7 - q[..., 1] + q[..., 2]).sin()) / 2.2


# Rows: base, second colour, pale (chest, paws); sRGB as seen on photographs in open shade.
CAT_COATS = torch.tensor([
    [[0.80, 0.50, 0.24], [0.60, 0.31, 0.12], [0.95, 0.86, 0.74]],   # ginger tabby
    [[0.54, 0.46, 0.37], [0.25, 0.20, 0.16], [0.82, 0.76, 0.68]],   # brown tabby
    [[0.62, 0.62, 0.64], [0.33, 0.33, 0.36], [0.88, 0.88, 0.88]],   # silver tabby
    [[0.15, 0.14, 0.15], [0.15, 0.14, 0.15], [0.95, 0.94, 0.92]],   # tuxedo
    [[0.17, 0.16, 0.17], [0.17, 0.16, 0.17], [0.17, 0.16, 0.17]],   # black
    [[0.93, 0.91, 0.88], [0.93, 0.91, 0.88], [0.96, 0.95, 0.93]],   # white
    [[0.86, 0.78, 0.67], [0.30, 0.22, 0.18], [0.90, 0.84, 0.75]],   # siamese: dark points
    [[0.94, 0.92, 0.88], [0.24, 0.20, 0.19], [0.80, 0.47, 0.21]],   # calico: three colours
])
CAT_EYES = torch.tensor([[0.62, 0.72, 0.25], [0.85, 0.66, 0.18], [0.40, 0.66, 0.80]])
HORSE_COATS = torch.tensor([
    [[0.48, 0.27, 0.14], [0.10, 0.08, 0.07], [0.10, 0.08, 0.07]],   # bay: black mane, tail and lower legs
    [[0.58, 0.31, 0.15], [0.50, 0.26, 0.12], [0.58, 0.31, 0.15]],   # chestnut
    [[0.17, 0.14, 0.13], [0.10, 0.09, 0.09], [0.17, 0.14, 0.13]],   # black
    [[0.72, 0.72, 0.72], [0.48, 0.48, 0.50], [0.50, 0.50, 0.52]],   # grey
    [[0.80, 0.60, 0.34], [0.95, 0.90, 0.78], [0.80, 0.60, 0.34]],   # palomino: pale mane
    [[0.90, 0.87, 0.82], [0.80, 0.77, 0.70], [0.90, 0.87, 0.82]],   # white
    [[0.42, 0.25, 0.15], [0.90, 0.86, 0.80], [0.92, 0.90, 0.86]],   # pinto: white patches
])
COATS_OF_RIDERS = torch.tensor([[0.75, 0.18, 0.16], [0.16, 0.26, 0.52], [0.92, 0.90, 0.86], [0.20, 0.40, 0.25], [0.14, 0.14, 0.16]])


def _tint(color: Tensor, p: dict[str, Tensor]) -> Tensor:
    """Individual animals: lighter or darker by up to 18 %, warmer or colder by up to 6 %; [N,1,3]."""
    warm = torch.stack([0.06 * p["coat_warm"], 0 * p["coat_warm"], -0.06 * p["coat_warm"]], -1)
    return (color * (1 + 0.18 * p["coat_light"][:, None]) * (1 + warm)).clamp(0.03, 0.98)[:, None]


def paint_cat(p: dict[str, Tensor], marks: dict[str, Tensor], x: Tensor, part: Tensor) -> Tensor:
    """Coat colours [N,M,3] in [0,1] at body-frame points x [N,M,3] that lie on `part [N,M]`."""
    coat = p["coat"].long()
    base, second, pale = (_tint(c, p) for c in CAT_COATS.to(x.device)[coat].unbind(1))
    is_ = lambda *k: (coat[:, None] == torch.tensor(k, device=x.device)).any(1, keepdim=True).float()  # [N,1]
    f = lambda m: m.float()
    rel = x - marks["head"][:, None]
    local = torch.stack([(rel * marks[k][:, None]).sum(-1) for k in ("fwd", "up", "right")], -1) / marks["size"][:, None, None]
    on_head = f((part == 3) | (part == 4) | (part == 5))

    stripes = soft((x[..., 0] * 33 + 3 * (x[..., 1] * 9 + p["phase"][:, None] * 6).sin()).sin() - 0.15, 0.9) * f((part == 2) | (part == 6) | (part == 7))
    brow = soft((local[..., 2] * 9).cos() - 0.2, 0.9) * soft(local[..., 1] - 0.35, 0.3) * f(part == 3)
    c = mix(base, second, (stripes + brow).clamp(0, 1) * is_(0, 1, 2) * 0.8)
    points = (f((part == 5) | (part == 7)) + soft(0.10 - x[..., 1], 0.1) * f(part == 6) + soft(0.75 - (local - local.new_tensor([1.0, -0.1, 0])).norm(dim=-1), 0.5) * on_head).clamp(0, 1)
    c = mix(c, second, points * is_(6) * 0.92)
    patches = blobs(x, p["phase"], 8.0)
    c = mix(c, second, soft(patches - 0.25, 0.3) * is_(7))
    c = mix(c, pale, soft(-patches - 0.30, 0.3) * is_(7))
    # White chest, muzzle and socks: always on tuxedo cats, faintly on tabbies.
    chest = soft(0.13 - ((x - marks["shoulder"][:, None] - x.new_tensor([0.13, -0.06, 0])) * x.new_tensor([1, 0.8, 1.0])).norm(dim=-1), 0.07) * f(part == 2)
    socks = soft(0.085 - x[..., 1], 0.03) * f(part == 6)
    bib = (chest + socks + f(part == 4)).clamp(0, 1)
    c = mix(c, pale, bib * (is_(3) + 0.75 * is_(0, 1, 2)))

    c = mix(c, c * 0.75 + x.new_tensor([0.24, 0.13, 0.12]), f(part == 5) * soft(local[..., 0] + 0.02, 0.2) * 0.6)
    nose = (x - marks["nose"][:, None] - (marks["fwd"] * 0.30 * marks["size"][:, None] + marks["up"] * 0.14 * marks["size"][:, None])[:, None]).norm(dim=-1)
    c = mix(c, x.new_tensor([0.72, 0.42, 0.40]), soft(0.030 - nose, 0.02))
    iris = CAT_EYES.to(x.device)[p["eye"].long()][:, None]
    for s in (-1, 1):
        eye = (local - local.new_tensor([0.80, 0.14, 0.44 * s])) * local.new_tensor([0.6, 1.0, 1.0])
        c = mix(c, iris, soft(0.235 - eye.norm(dim=-1), 0.06) * on_head)
        c = mix(c, x.new_tensor([0.04, 0.04, 0.05]), soft(0.15 - (eye * local.new_tensor([1, 0.75, 1.25])).norm(dim=-1), 0.06) * on_head)
    return c


def paint_horse(p: dict[str, Tensor], marks: dict[str, Tensor], x: Tensor, part: Tensor) -> Tensor:
    """Coat colours [N,M,3] in [0,1] at body-frame points x [N,M,3] that lie on `part [N,M]`."""
    coat = p["coat"].long()
    base, hair, lower = (_tint(c, p) for c in HORSE_COATS.to(x.device)[coat].unbind(1))
    f = lambda m: m.float()
    is_ = lambda k: (coat == k).float()[:, None]
    rel = x - marks["head"][:, None]
    local = torch.stack([(rel * marks[k][:, None]).sum(-1) for k in ("fwd", "up", "right")], -1) / marks["size"][:, None, None]
    on_head = f((part == 3) | (part == 4))
    c = base.expand_as(x)
    c = mix(c, lower, soft(marks["leg"][:, None] * 0.45 - x[..., 1], 0.08) * f(part == 6))
    c = mix(c, lower, soft(blobs(x, p["phase"], 5.0) - 0.05, 0.2) * is_(6) * f(part != 4))
    c = mix(c, c * 0.45 + 0.03, soft(local[..., 0] - 2.0, 0.5) * f(part == 4))
    blaze = soft(0.20 - local[..., 2].abs(), 0.1) * soft(local[..., 1] - 0.30, 0.2) * on_head
    c = mix(c, x.new_tensor([0.92, 0.90, 0.86]), blaze * (p["blaze"][:, None] > 0.5).float())
    c = mix(c, hair, f((part == 7) | (part == 9)))
    c = mix(c, x.new_tensor([0.20, 0.17, 0.15]), soft(0.065 - x[..., 1], 0.02) * f(part == 6))
    for s in (-1, 1):
        eye = local - local.new_tensor([0.62, 0.38, 0.72 * s])
        c = mix(c, x.new_tensor([0.05, 0.04, 0.04]), soft(0.26 - eye.norm(dim=-1), 0.08) * on_head)

    on_rider = f(part == 10)
    jacket = COATS_OF_RIDERS.to(x.device)[p["jacket"].long()][:, None]
    up = (x - marks["seat"][:, None])[..., 1]
    c = mix(c, jacket, on_rider)
    c = mix(c, x.new_tensor([0.86, 0.82, 0.74]), on_rider * soft(0.03 - up, 0.03))
    c = mix(c, x.new_tensor([0.14, 0.10, 0.09]), on_rider * soft(-0.26 - up, 0.04))
    c = mix(c, x.new_tensor([0.88, 0.68, 0.56]), on_rider * soft(up - 0.45, 0.02))
    return mix(c, x.new_tensor([0.18, 0.13, 0.11]), on_rider * soft(up - 0.56, 0.02))
