"""Coats: from points on the bodies of cats and horses to colours; and the brushes that all painters share.

Painters know no perspective: x is in the body's own frame, and `marks` holds the points and directions they need.
"""
from __future__ import annotations

import torch
from torch import Tensor

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
JACKETS = torch.tensor([
    [0.75, 0.18, 0.16], [0.16, 0.26, 0.52], [0.92, 0.90, 0.86], [0.20, 0.40, 0.25], [0.14, 0.14, 0.16]])


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
    bent = s[..., 1] * (q[..., 2] + 1.3 * s[..., 0]).cos()
    return (s[..., 0] + bent + (q[..., 0] * 0.7 - q[..., 1] + q[..., 2]).sin()) / 2.2


def _tint(color: Tensor, p: dict[str, Tensor]) -> Tensor:
    """Individual animals: lighter or darker by up to 18 %, warmer or colder by up to 6 %; [N,1,3]."""
    warm = torch.stack([0.06 * p["coat_warm"], 0 * p["coat_warm"], -0.06 * p["coat_warm"]], -1)
    return (color * (1 + 0.18 * p["coat_light"][:, None]) * (1 + warm)).clamp(0.03, 0.98)[:, None]


def _beside_head(x: Tensor, marks: dict[str, Tensor]) -> Tensor:
    """Points [N,M,3] as the head sees them: forward, up and right of it, in sizes of the head."""
    rel = x - marks["head"][:, None]
    axes = [(rel * marks[k][:, None]).sum(-1) for k in ("fwd", "up", "right")]
    return torch.stack(axes, -1) / marks["size"][:, None, None]


def paint_cat(p: dict[str, Tensor], marks: dict[str, Tensor], x: Tensor, part: Tensor) -> Tensor:
    """Coat colours [N,M,3] in [0,1] at body-frame points x [N,M,3] that lie on `part [N,M]`."""
    coat = p["coat"].long()
    base, second, pale = (_tint(c, p) for c in CAT_COATS.to(x.device)[coat].unbind(1))
    is_ = lambda *k: (coat[:, None] == torch.tensor(k, device=x.device)).any(1, keepdim=True).float()  # [N,1]
    on = lambda *k: torch.stack([part == one for one in k]).any(0).float()                             # [N,M]
    local = _beside_head(x, marks)
    on_head = on(3, 4, 5)

    stripes = soft((x[..., 0] * 33 + 3 * (x[..., 1] * 9 + p["phase"][:, None] * 6).sin()).sin() - 0.15, 0.9)
    brow = soft((local[..., 2] * 9).cos() - 0.2, 0.9) * soft(local[..., 1] - 0.35, 0.3) * on(3)
    c = mix(base, second, (stripes * on(2, 6, 7) + brow).clamp(0, 1) * is_(0, 1, 2) * 0.8)
    mask = soft(0.75 - (local - local.new_tensor([1.0, -0.1, 0])).norm(dim=-1), 0.5) * on_head
    points = (on(5, 7) + soft(0.10 - x[..., 1], 0.1) * on(6) + mask).clamp(0, 1)
    c = mix(c, second, points * is_(6) * 0.92)
    patches = blobs(x, p["phase"], 8.0)
    c = mix(c, second, soft(patches - 0.25, 0.3) * is_(7))
    c = mix(c, pale, soft(-patches - 0.30, 0.3) * is_(7))
    # White chest, muzzle and socks: always on tuxedo cats, faintly on tabbies.
    front = (x - marks["shoulder"][:, None] - x.new_tensor([0.13, -0.06, 0])) * x.new_tensor([1, 0.8, 1.0])
    chest = soft(0.13 - front.norm(dim=-1), 0.07) * on(2)
    socks = soft(0.085 - x[..., 1], 0.03) * on(6)
    c = mix(c, pale, (chest + socks + on(4)).clamp(0, 1) * (is_(3) + 0.75 * is_(0, 1, 2)))

    c = mix(c, c * 0.75 + x.new_tensor([0.24, 0.13, 0.12]), on(5) * soft(local[..., 0] + 0.02, 0.2) * 0.6)
    size = marks["size"][:, None]
    tip = (marks["fwd"] * 0.30 * size + marks["up"] * 0.14 * size)[:, None]
    nose = (x - marks["nose"][:, None] - tip).norm(dim=-1)
    c = mix(c, x.new_tensor([0.72, 0.42, 0.40]), soft(0.030 - nose, 0.02))
    iris = CAT_EYES.to(x.device)[p["eye"].long()][:, None]
    for s in (-1, 1):
        eye = (local - local.new_tensor([0.80, 0.14, 0.44 * s])) * local.new_tensor([0.6, 1.0, 1.0])
        pupil = (eye * local.new_tensor([1, 0.75, 1.25])).norm(dim=-1)
        c = mix(c, iris, soft(0.235 - eye.norm(dim=-1), 0.06) * on_head)
        c = mix(c, x.new_tensor([0.04, 0.04, 0.05]), soft(0.15 - pupil, 0.06) * on_head)
    return c


def paint_horse(p: dict[str, Tensor], marks: dict[str, Tensor], x: Tensor, part: Tensor) -> Tensor:
    """Coat colours [N,M,3] in [0,1] at body-frame points x [N,M,3] that lie on `part [N,M]`."""
    coat = p["coat"].long()
    base, hair, lower = (_tint(c, p) for c in HORSE_COATS.to(x.device)[coat].unbind(1))
    on = lambda *k: torch.stack([part == one for one in k]).any(0).float()
    is_ = lambda k: (coat == k).float()[:, None]
    local = _beside_head(x, marks)
    on_head = on(3, 4)
    c = base.expand_as(x)
    c = mix(c, lower, soft(marks["leg"][:, None] * 0.45 - x[..., 1], 0.08) * on(6))
    c = mix(c, lower, soft(blobs(x, p["phase"], 5.0) - 0.05, 0.2) * is_(6) * (1 - on(4)))
    c = mix(c, c * 0.45 + 0.03, soft(local[..., 0] - 2.0, 0.5) * on(4))
    blaze = soft(0.20 - local[..., 2].abs(), 0.1) * soft(local[..., 1] - 0.30, 0.2) * on_head
    c = mix(c, x.new_tensor([0.92, 0.90, 0.86]), blaze * (p["blaze"][:, None] > 0.5).float())
    c = mix(c, hair, on(7, 9))
    c = mix(c, x.new_tensor([0.20, 0.17, 0.15]), soft(0.065 - x[..., 1], 0.02) * on(6))
    for s in (-1, 1):
        eye = local - local.new_tensor([0.62, 0.38, 0.72 * s])
        c = mix(c, x.new_tensor([0.05, 0.04, 0.04]), soft(0.26 - eye.norm(dim=-1), 0.08) * on_head)

    # A rider: jacket, breeches, boots, skin and hat, by height above the seat.
    on_rider = on(10)
    up = (x - marks["seat"][:, None])[..., 1]
    c = mix(c, JACKETS.to(x.device)[p["jacket"].long()][:, None], on_rider)
    c = mix(c, x.new_tensor([0.86, 0.82, 0.74]), on_rider * soft(0.03 - up, 0.03))
    c = mix(c, x.new_tensor([0.14, 0.10, 0.09]), on_rider * soft(-0.26 - up, 0.04))
    c = mix(c, x.new_tensor([0.88, 0.68, 0.56]), on_rider * soft(up - 0.45, 0.02))
    return mix(c, x.new_tensor([0.18, 0.13, 0.11]), on_rider * soft(up - 0.56, 0.02))
