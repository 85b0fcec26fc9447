"""Rendering: from a subject and scene parameters to pictures; surroundings, light, ink and the portraitist's eye."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .coats import blobs, mix, soft
from .raytrace import FAR, outline
from .subjects import Subject, view_of

GROUNDS = torch.tensor([  # meadow, dry field, floor or arena, snow
    [0.42, 0.53, 0.24], [0.73, 0.62, 0.44], [0.57, 0.42, 0.29], [0.84, 0.86, 0.90]])
HILLS = torch.tensor([    # treeline, dunes, wall, far forest in haze
    [0.24, 0.36, 0.20], [0.56, 0.50, 0.38], [0.80, 0.75, 0.66], [0.62, 0.68, 0.74]])


class Shot:
    """N scenes of one subject before their cameras, on a grid of 2R x 2R rays: four a pixel.

    p: scene parameters, each [N]. M = (2R)^2.
    """

    def __init__(self, subject: Subject, p: dict[str, Tensor], resolution: int):
        self.subject, self.p, self.resolution = subject, p, resolution
        self.view = view_of(p, subject.camera, 2 * resolution)
        self.seen = subject.look(p, self.view)
        self.hit = self.seen.hit
        self.part = torch.where(self.hit, self.seen.part, (self.view.ground < FAR).long())     # [N,M]
        self.depth = torch.where(self.hit, self.seen.depth, self.view.ground)                  # [N,M], FAR for sky
        self.place = p["place"].long()
        self.indoors = ((self.place == 2) & subject.indoors)[:, None]                          # [N,1]

    def views(self, names: Sequence[str]) -> dict[str, Tensor]:
        """The asked views; see scenes.Scenes."""
        out = {}
        if "image" in names:
            out["image"] = self.fold(self.light()) * 2 - 1
        if "contour" in names:
            # The pen is 1.5 px wide at 64 px and grows with the picture, as when the same drawing is scanned larger.
            pen = 2 * max(1, round(self.resolution / 64)) + 1
            out["contour"] = 1 - 2 * functional.avg_pool2d(functional.max_pool2d(self.ink(), pen, 1, pen // 2), 2)
        if "parts" in names:
            out["parts"] = self.grid(self.part)[:, ::2, ::2].to(torch.uint8)
        if "albedo" in names:
            ground, behind = self.surroundings()
            flat = torch.where((self.part == 1)[..., None], ground, behind)
            out["albedo"] = self.fold(torch.where(self.hit[..., None], self.seen.albedo, flat)) * 2 - 1
        if "depth" in names:
            near = (self.depth - self.view.distance[:, None] + 1) / 4
            out["depth"] = self.fold(near.clamp(0, 1)[..., None])
        return out

    def grid(self, v: Tensor) -> Tensor:
        """[N,M,...] as [N,2R,2R,...]."""
        return v.reshape(len(v), self.view.size, self.view.size, *v.shape[2:])

    def fold(self, x: Tensor) -> Tensor:
        """[N,M,C] to [N,C,R,R], each pixel the mean of its four rays."""
        return functional.avg_pool2d(self.grid(x).permute(0, 3, 1, 2), 2)

    def surroundings(self) -> tuple[Tensor, Tensor]:
        """Colours before light of the ground [N,M,3], and of everything behind it (sky, hills, wall) as it is seen."""
        p, rays, device = self.p, self.view.rays, self.p["yaw"].device
        warm, light = p["ground_warm"][:, None, None], p["ground_light"][:, None, None]
        tone = torch.cat([1 + 0.10 * warm, torch.ones_like(warm), 1 - 0.12 * warm], -1) * (1 + 0.16 * light)
        x = rays[None] * self.depth.clamp(max=30)[..., None]
        away = x[..., 2] - self.view.distance[:, None]
        floor = torch.stack([x[..., 0], 0 * away, away], -1)
        rough = blobs(floor, p["phase"], 3.1) + 0.6 * blobs(floor, p["phase"] + 0.3, 9.0)
        planks = ((x[..., 0] * 9 + p["phase"][:, None] * 9).sin().abs() < 0.10).float() * self.indoors
        ground = GROUNDS.to(device)[self.place][:, None] * tone * (1 + 0.055 * rough - 0.10 * planks)[..., None]

        climb = (rays[None] * self.view.up[:, None]).sum(-1)                 # sine of the elevation of each ray
        bright, dusk = p["sky_light"][:, None, None], p["sky_warm"][:, None, None]
        at = lambda *rgb: torch.tensor(rgb, device=device)
        zenith = at(0.36, 0.55, 0.82) * (1 - bright) + at(0.58, 0.72, 0.90) * bright
        rim = at(0.82, 0.87, 0.92) * (1 - dusk) + at(0.95, 0.82, 0.68) * dusk
        sky = rim + (zenith - rim) * (climb.clamp(min=0) * 3.2).clamp(max=1).sqrt()[..., None]
        above = torch.stack([rays[None, :, 0] * 2 + 0 * climb, climb * 7, 0 * climb], -1)
        cloud = soft(blobs(above, p["phase"], 5.0) - 0.9 + p["cloud"][:, None], 1.0)
        sky = mix(sky, at(0.95, 0.95, 0.96).expand_as(sky), cloud * 0.6)
        # A treeline, dunes, a wall or a far forest closes the view; its height varies along the horizon.
        wave = blobs(torch.stack([rays[None, :, 0] * 4 + 0 * climb, 0 * climb, 0 * climb], -1), p["phase"], 2.2)
        horizon = (0.012 + 0.055 * p["hill"][:, None]) * (1 + 0.35 * wave)
        top = torch.where(self.indoors, torch.full_like(climb, 9.0), horizon)
        shade = 1 - 0.10 * soft(climb - 0.5 * top, 0.05)[..., None] * (~self.indoors)[..., None]
        hills = HILLS.to(device)[self.place][:, None] * tone * shade
        room = hills * (0.90 + 0.35 * bright) * (1 + 0.25 * climb[..., None])
        hills = torch.where(self.indoors[..., None], room, hills * 0.8 + rim * 0.2)
        return ground.clamp(0.02, 0.97), mix(sky, hills.clamp(0, 1).expand_as(sky), soft(top - climb, 0.008))

    def light(self) -> Tensor:
        """Light on what is seen: sun, sky from above, ground from below, in linear colour; sRGB [N,M,3] in [0,1]."""
        seen, view, (ground, behind) = self.seen, self.view, self.surroundings()
        linear = lambda c: c.clamp(0, 1) ** 2.2
        warm = self.p["sky_warm"][:, None, None]
        at = lambda *rgb: torch.tensor(rgb, device=warm.device)
        sunlight = at(1.0, 0.94, 0.86) * (1 - warm) + at(1.0, 0.83, 0.64) * warm
        skylight = at(0.80, 0.90, 1.0) * 0.62
        facing = ((seen.normal * view.sun[:, None]).sum(-1) * 0.85 + 0.15).clamp(0, 1)
        rise = (seen.normal * view.up[:, None]).sum(-1, keepdim=True)
        bounce = linear(ground).mean(1, keepdim=True) * 0.45
        direct = (facing * (1 - 0.85 * seen.blocked))[..., None] * sunlight * 1.15
        lit = direct + skylight * (0.5 + 0.5 * rise) + bounce * (0.5 - 0.5 * rise)
        edge = (1 + (seen.normal * view.rays[None]).sum(-1, keepdim=True)).clamp(0, 1) ** 3 * 0.12  # soft, as fur is
        subject = linear(seen.albedo) * lit + edge * skylight * 0.6
        day = view.sun[:, None, :] @ view.up[:, :, None]                     # [N,1,1] sine of the sun's height
        shine = day * sunlight * 1.15 * (1 - 0.80 * seen.ground_dark)[..., None] + skylight
        floor = linear(ground) * shine * (1 - 0.45 * seen.ground_ao ** 2)[..., None]
        haze = (1 - torch.exp(-(self.depth.clamp(max=40) / 34)))[..., None] * (~self.indoors)[..., None]
        floor = floor * (1 - haze) + linear(at(0.80, 0.84, 0.88)) * haze
        scene = torch.where((self.depth < FAR)[..., None] & (self.part == 1)[..., None], floor, linear(behind))
        scene = torch.where(self.hit[..., None], subject, scene)
        return (scene / (1 + 0.18 * scene)).clamp(0, 1) ** (1 / 2.2)

    def ink(self) -> Tensor:
        """Ink [N,1,2R,2R] in {0,1} on the grid of rays, one ray wide on either side of every outline."""
        depth = torch.where(self.hit, self.seen.depth, torch.full_like(self.seen.depth, FAR))
        label = torch.where(self.hit, self.seen.solid if self.subject.creases == "solid" else self.part, -1)
        return outline(self.grid(depth), self.grid(self.seen.normal), self.grid(label), self.subject.depth_jump)


def portrait(subject: Subject, p: dict[str, Tensor], resolution: int) -> Tensor:
    """Stylised portrait [N,3,R,R] in [-1,1] of the same subject as a caricaturist sees it: exaggerated proportions, two
    flat tones, coloured paper, dark outlines."""
    shot = Shot(subject, p | {name: p[name] * factor for name, factor in subject.caricature.items()}, resolution)
    seen = shot.seen
    lit = (seen.normal * shot.view.sun[:, None]).sum(-1) > 0.05
    shade = (lit & (seen.blocked < 0.5)).float()[..., None]
    gray = seen.albedo.mean(-1, keepdim=True)
    vivid = (gray + 1.35 * (seen.albedo - gray)).clamp(0, 1)
    picture = ((vivid * 6).round() / 6 * 0.9 + 0.08) * (0.68 + 0.32 * shade)
    hue = torch.stack([p["ground_warm"], p["sky_warm"] * 2 - 1, p["sky_light"] * 2 - 1], -1)[:, None]
    paper = 0.80 + 0.10 * hue
    floor = paper * 0.82 - 0.14 * (seen.ground_dark > 0.5).float()[..., None]
    flat = torch.where((shot.part == 1)[..., None], floor, paper.expand_as(floor))
    picture = torch.where(shot.hit[..., None], picture, flat)
    ink = functional.max_pool2d(shot.ink(), 3, 1, 1).reshape(len(hue), -1, 1)
    return shot.fold(picture * (1 - ink) + 0.12 * ink).clamp(0, 1) * 2 - 1
