"""Rays against round cones and convex solids: what the camera of Menagerie sees, and where the sun does not reach.

Everything here happens in *view space*: x to the right, y up, z away from the camera, the origin at the point the
camera looks at. The camera stands at z = -distance. Lengths are in scene units (a cat's body is about 0.6 long).

Two kinds of solid are enough for the whole world. Animals are smooth unions of round cones (a capsule whose radius
changes along its axis); buildings are unions of convex polyhedra. Both are traced for a whole batch of scenes at once.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FAR = 1e3


@dataclass
class Hits:
    """What each ray meets. `depth [N,M]` along the ray (FAR where nothing), `hit [N,M]` bool, `normal [N,M,3]` unit,
    `solid [N,M]` int64 index of the primitive that is nearest at the point."""

    depth: Tensor
    hit: Tensor
    normal: Tensor
    solid: Tensor


def view_rays(resolution: int, tan_half: float, device) -> Tensor:
    """Unit directions [R*R,3] through the pixel centres, rows from the top; half of the angle is atan(tan_half)."""
    c = (torch.arange(resolution, device=device) + 0.5) / resolution * 2 - 1
    y, x = torch.meshgrid(-c, c, indexing="ij")
    d = torch.stack([x * tan_half, y * tan_half, torch.ones_like(x)], -1).reshape(-1, 3)
    return d / d.norm(dim=-1, keepdim=True)


class RoundCones:
    """A batch of animals: per scene P round cones from `a` (radius `ra`) to `b` (radius `rb`), blended over `blend`.

    The distance to all cones of a scene comes from two small matrix products and a dozen elementwise operations on
    [N,M,P], which is what makes the world fast in plain torch:  with u = (x-a).(b-a) and v = |x-a|^2,
    h = clamp(u/L, 0, 1) and |x - (a + h (b-a))|^2 = v + h (h L - 2 u),  L = |b-a|^2.
    """

    def __init__(self, a: Tensor, b: Tensor, ra: Tensor, rb: Tensor, blend: float):
        self.a, self.b, self.ra, self.rb, self.blend = a, b, ra, rb, blend  # [N,P,3] x2, [N,P] x2
        ba = b - a
        self.length2 = ba.square().sum(-1).clamp_min(1e-6)[:, None]         # [N,1,P]
        zero, one = torch.zeros_like(ra), torch.ones_like(ra)
        self.to_u = torch.stack([*ba.unbind(-1), zero, -(a * ba).sum(-1)], 1)            # [N,5,P]
        self.to_v = torch.stack([*(-2 * a).unbind(-1), one, a.square().sum(-1)], 1)      # [N,5,P]
        self.r0, self.dr = ra[:, None], (rb - ra)[:, None]                  # [N,1,P]

    def axes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Where along each axis the point nearest to x [N,M,3] lies, in [0,1], and the distance to it, both [N,M,P]."""
        x5 = torch.cat([x, x.square().sum(-1, keepdim=True), torch.ones_like(x[..., :1])], -1)
        u, v = x5 @ self.to_u, x5 @ self.to_v
        h = (u / self.length2).clamp_(0, 1)
        d2 = (h * self.length2).sub_(u, alpha=2).mul_(h).add_(v)
        return h, d2.clamp_min_(1e-8).sqrt_()

    def each(self, x: Tensor) -> Tensor:
        """Signed distance [N,M,P] of points x [N,M,3] to every cone (negative inside)."""
        h, d = self.axes(x)
        return d.sub_(self.r0).sub_(h.mul_(self.dr))

    def distance(self, x: Tensor) -> Tensor:
        """Signed distance [N,M] to the smooth union: -k log sum exp(-d/k)."""
        e = self.each(x).mul_(-1 / self.blend).clamp_(max=60).exp_().sum(-1)
        return e.clamp_min_(1e-28).log_().mul_(-self.blend)

    def normal_and_solid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Unit normal [N,M,3] of the smooth union (softmax-weighted mean of the cones' own), and the nearest cone."""
        h, d = self.axes(x)
        signed = d - self.r0 - h * self.dr
        w = (signed * (-1 / self.blend)).softmax(-1) / d                    # gradient of |x-c| is (x-c)/|x-c|
        wh = w * h
        n = x * w.sum(-1, keepdim=True) - w @ self.a - wh @ (self.b - self.a)
        return n / n.norm(dim=-1, keepdim=True).clamp_min(1e-6), signed.argmin(-1)

    def candidates(self, rays: Tensor, distance: float | Tensor, margin: float) -> tuple[Tensor, Tensor]:
        """Which shared rays [M,3] pass within `margin` of a cone, [N,M], and a depth [N,M] safely before the first.

        Points of a cone nearer to the ray than its radius are found on the picture plane: both end points are projected
        and the ray is compared with the 2-D segment between them, with the larger projected radius.
        """
        eye = torch.as_tensor(distance, device=rays.device).reshape(-1, 1, 1)
        az, bz = self.a[..., 2:] + eye, self.b[..., 2:] + eye               # distance in front of the camera
        pa, pb = self.a[..., :2] / az, self.b[..., :2] / bz                 # [N,P,2]
        radius = torch.maximum((self.ra + margin) / az[..., 0], (self.rb + margin) / bz[..., 0])
        ray = (rays[:, :2] / rays[:, 2:])[None, :, None]                    # [1,M,1,2]
        ba = (pb - pa)[:, None]                                             # [N,1,P,2]
        rel = ray - pa[:, None]                                             # [N,M,P,2]
        h = ((rel * ba).sum(-1) / ba.square().sum(-1).clamp_min(1e-8)).clamp(0, 1)
        near = (rel - h[..., None] * ba).square().sum(-1) < radius.clamp_min(0).square()[:, None]
        first = torch.minimum(az[..., 0] - self.ra, bz[..., 0] - self.rb)[:, None] - margin
        start = torch.where(near, first, torch.full_like(first, FAR)).amin(-1)
        return near.any(-1), start

    def trace(self, rays: Tensor, distance: Tensor, start: Tensor, steps: int = 14) -> Hits:
        """Sphere tracing of rays [N,M,3] from the camera, beginning at depth `start [N,M]`.

        The blended distance is never larger than the true one, so plain steps are safe; the tolerance is a third of a
        pixel of a 64 px picture, and a last half step lands on the surface.
        """
        eye = torch.zeros_like(rays[:1, :1]).repeat(rays.shape[0], 1, 1)
        eye[..., 2] = -distance.reshape(-1, 1)
        t = start.clone()
        for _ in range(steps):
            t = t + self.distance(torch.addcmul(eye, rays, t[..., None]))
        x = torch.addcmul(eye, rays, t[..., None])
        hit = (self.distance(x) < 0.008) & (start < FAR)
        n, solid = self.normal_and_solid(x)
        return Hits(torch.where(hit, t, torch.full_like(t, FAR)), hit, n, solid)

    def shadow(self, x: Tensor, sun: Tensor, softness: float, bias: float) -> Tensor:
        """How much of the sun is blocked at points x [N,M,3], in [0,1]; `sun [N,3]` points towards the light.

        Seen from the sun, a round cone is a flat round cone, so one 2-D distance answers for a whole shadow ray. Only
        parts of the animal that lie more than `bias` nearer to the sun than the point can block it.
        """
        along = lambda v: (v * sun[:, None]).sum(-1, keepdim=True)
        onto = lambda v: v - along(v) * sun[:, None]
        flat = RoundCones(onto(self.a), onto(self.b), self.ra, self.rb, self.blend)
        sx, sa, sb = along(x), along(self.a)[..., 0][:, None], along(self.b)[..., 0][:, None]
        h, d = flat.axes(x - sx * sun[:, None])
        covered = ((self.r0 + h * self.dr + softness - d) / (2 * softness)).clamp_(0, 1)
        above = ((sa + h * (sb - sa) - sx - bias) / 0.05).clamp_(0, 1)
        return (covered * above).amax(-1)


class ConvexSolids:
    """A batch of buildings: per scene S convex solids, each the intersection of F half-spaces n.x <= c."""

    def __init__(self, normal: Tensor, offset: Tensor):
        self.normal, self.offset = normal, offset        # [N,S,F,3] unit or zero (unused face), [N,S,F]

    def cross(self, origin: Tensor, rays: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Entry depth, exit depth and entered face, each [N,M,S], of rays [N,M,3] from `origin` [N,M,3] or [N,1,3]."""
        n, s, f, _ = self.normal.shape
        flat = self.normal.reshape(n, s * f, 3).transpose(1, 2)             # [N,3,SF]
        rate = rays @ flat                                                   # how fast the ray leaves each half-space
        room = self.offset.reshape(n, 1, s * f) - origin @ flat
        t = room / torch.where(rate.abs() < 1e-9, torch.full_like(rate, 1e-9), rate)
        shape = (n, rays.shape[1], s, f)
        enter, face = torch.where(rate < 0, t, torch.full_like(t, -FAR)).reshape(shape).max(-1)
        leave = torch.where(rate > 0, t, torch.full_like(t, FAR)).reshape(shape).amin(-1)
        outside = ((rate.abs() < 1e-9) & (room < 0)).reshape(shape).any(-1)
        return enter, torch.where(outside, enter - 1, leave), face

    def trace(self, rays: Tensor, distance: Tensor) -> tuple[Hits, Tensor]:
        """First hits of camera rays [N,M,3], and the face of the solid that was met [N,M]."""
        eye = torch.zeros_like(rays[:, :1])
        eye[..., 2] = -distance.reshape(-1, 1)
        enter, leave, face = self.cross(eye, rays)
        depth, solid = torch.where((enter < leave) & (enter > 0), enter, torch.full_like(enter, FAR)).min(-1)
        face = face.gather(-1, solid[..., None])[..., 0]
        rows = torch.arange(rays.shape[0], device=rays.device)[:, None]
        return Hits(depth, depth < FAR, self.normal[rows, solid, face], solid), face

    def shadow(self, x: Tensor, sun: Tensor, bias: float) -> Tensor:
        """1 where the sun [N,3] is blocked at points x [N,M,3], else 0; [N,M]."""
        enter, leave, _ = self.cross(x + bias * sun[:, None], sun[:, None].expand_as(x))
        return ((enter < leave) & (leave > 0)).any(-1).to(x.dtype)


def outline(depth: Tensor, normal: Tensor, label: Tensor, depth_jump: float) -> Tensor:
    """Where a draughtsman would put ink, [N,1,H,W] in {0,1}: silhouettes, occlusions, and creases between parts.

    `depth [N,H,W]` (FAR off the subject), `normal [N,H,W,3]`, `label [N,H,W]` int (negative off the subject): two
    neighbours are separated by ink when one is off the subject, when their depths jump by more than `depth_jump`, or
    when their labels differ and the surface bends sharply between them.
    """
    ink = torch.zeros_like(depth, dtype=torch.bool)
    for axis in (1, 2):
        size = depth.shape[axis] - 1
        (d0, n0, l0), (d1, n1, l1) = ([v.narrow(axis, at, size) for v in (depth, normal, label)] for at in (1, 0))
        jump = (d0.clamp(max=50) - d1.clamp(max=50)).abs() > depth_jump
        crease = (l0 != l1) & (l0 >= 0) & (l1 >= 0) & ((n0 * n1).sum(-1) < 0.6)
        ink.narrow(axis, 1, size).logical_or_(jump | crease)
    return ink[:, None].float()
