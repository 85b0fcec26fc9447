"""Churches: from scene parameters to convex solids, and from points on their walls to colours.

Frame: x along the nave towards its front, y up from the ground, z across. Lengths are scene units; a nave is about
1.2 long.
"""
from __future__ import annotations

import torch
from torch import Tensor

from .coats import blobs, mix, soft
from .raytrace import ConvexSolids
from .subjects import COMMON, VIEWPOINT, Subject, Surfaces, View, choice, uniform

NAVE, TOWER, SPIRE, APSE, PORCH = range(5)
NOWHERE = 1e3        # the offset of a half-space that cuts nothing off
WALLS = torch.tensor([
    [0.90, 0.87, 0.80], [0.66, 0.60, 0.52], [0.62, 0.36, 0.27],     # plaster, stone, brick
    [0.80, 0.70, 0.52], [0.93, 0.93, 0.92]])                        # sandstone, white boards
ROOFS = torch.tensor([
    [0.34, 0.36, 0.41], [0.60, 0.30, 0.21], [0.40, 0.55, 0.48], [0.38, 0.28, 0.23]])  # slate, tiles, copper, shingles


class Church(Subject):
    """A nave with an apse, and perhaps a tower with its spire and a porch.

    `roof` 0 is a gable, 1 a hipped roof, 2 a flat one with a low parapet; `tower` 0 none, 1 in front, 2 at a side.
    """

    parameters = COMMON | {
        "roof": choice(0.30, 0.38, 0.32), "tower": choice(0.22, 0.45, 0.33), "length": uniform(0.95, 1.35),
        "width": uniform(0.52, 0.72), "wall_height": uniform(0.42, 0.62), "roof_pitch": uniform(0.75, 1.25),
        "tower_height": uniform(0.95, 1.30), "tower_width": uniform(0.30, 0.40), "spire": uniform(0.22, 0.62),
        "wall": choice(0.26, 0.22, 0.18, 0.18, 0.16), "roof_color": choice(0.32, 0.32, 0.16, 0.20),
        "wall_light": uniform(-1, 1), "porch": choice(0.5, 0.5), "windows": uniform(0, 1)}
    drawable = (*VIEWPOINT, "roof", "tower", "length", "width", "wall_height", "roof_pitch", "tower_height",
                "tower_width", "spire", "porch")
    parts = ("sky", "ground", "wall", "roof", "tower", "spire", "door", "window")
    camera = (0.68, 4.3)
    predicates = {"gabled_church": ("roof", 0)}
    caricature = {"spire": 1.5, "tower_height": 1.15, "roof_pitch": 1.3, "zoom": 0.86}
    depth_jump, creases, indoors = 0.30, "solid", False

    def look(self, p: dict[str, Tensor], view: View) -> Surfaces:
        normal, offset = solids(p)
        n, s, f, _ = normal.shape
        # A plane n.x <= c of the church's frame, moved into view space: x = turn^T (y - origin) + target.
        shift = view.to_body(torch.zeros(n, 1, 3, device=normal.device))     # church frame point at view origin
        moved = normal.reshape(n, s * f, 3) @ view.turn.transpose(1, 2)
        room = offset.reshape(n, s * f) - (normal.reshape(n, s * f, 3) * shift).sum(-1)
        shapes = ConvexSolids(moved.reshape(n, s, f, 3), room.reshape(n, s, f))
        hits, face = shapes.trace(view.rays[None].expand(n, -1, -1), view.distance)
        x = view.eye + view.rays[None] * hits.depth.clamp(max=60)[..., None]
        blocked = shapes.shadow(x + hits.normal * 0.004, view.sun, bias=0.01)
        rows = torch.arange(n, device=x.device)[:, None]
        albedo, part = paint(p, view.to_body(x), normal[rows, hits.solid, face], hits.solid)
        ground = view.eye + view.rays[None] * view.ground.clamp(max=30)[..., None]
        dark = shapes.shadow(ground, view.sun, bias=0.0)
        walls = torch.stack([p["length"] / 2, p["width"] / 2], -1)[:, None]
        away = (view.to_body(ground)[..., [0, 2]].abs() - walls).clamp(min=0).norm(dim=-1)
        contact = (1 - away / 0.25).clamp(0, 1)
        return Surfaces(hits.hit, hits.depth, hits.normal, part, hits.solid * 16 + face, albedo, blocked, dark,
                        contact * 0.8)


def tower_middle(p: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Where the tower stands, x and z, each [N]."""
    t, half, width = p["tower_width"] / 2, p["length"] / 2, p["width"] / 2
    front, side = (p["tower"] == 1).float(), (p["tower"] == 2).float()
    return front * (half + t * 0.55) + side * (half - t * 1.1), side * (width + t * 0.75)


def solids(p: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Half-spaces of the five solids, normals [N,5,10,3] and offsets [N,5,10]; an absent solid has none inside."""
    n, device = len(p["roof"]), p["roof"].device
    gable, hip = (p["roof"] == 0).float(), (p["roof"] == 1).float()
    half, width, wall = p["length"] / 2, p["width"] / 2, p["wall_height"]
    rise = p["roof_pitch"] * width * (gable + 0.75 * hip) + 0.03 * (1 - gable - hip)
    ridge = wall + rise
    normal = torch.zeros(n, 5, 10, 3, device=device)
    offset = torch.full((n, 5, 10), NOWHERE, device=device)

    def face(solid: int, k: int, nx, ny, nz, through) -> None:
        """The half-space with normal n = (nx,ny,nz), of any length, up to n.x = through."""
        v = torch.stack([torch.as_tensor(c, dtype=torch.float32, device=device).expand(n) for c in (nx, ny, nz)], -1)
        size = v.norm(dim=-1).clamp_min(1e-6)
        normal[:, solid, k], offset[:, solid, k] = v / size[:, None], through / size

    def block(solid: int, x0, x1, y1, z0, z1) -> None:
        """Six faces of a block that stands on the ground."""
        for k, (v, c) in enumerate((((1, 0, 0), x1), ((-1, 0, 0), -x0), ((0, 1, 0), y1), ((0, -1, 0), 0 * y1),
                                    ((0, 0, 1), z1), ((0, 0, -1), -z0))):
            face(solid, k, *v, c)

    # Nave: a block cut by two slopes from the eaves to the ridge, and by two more at the ends when the roof is hipped.
    block(NAVE, -half, half, ridge, -width, width)
    for k, s in ((6, 1), (7, -1)):
        slope = torch.where(gable + hip > 0, rise, torch.zeros_like(rise))
        face(NAVE, k, 0, width, s * slope, width * wall + slope * width)
        end = hip * rise
        face(NAVE, k + 2, s * end, width * 0.9, 0, width * 0.9 * wall + end * half)
    offset[(gable + hip) == 0, NAVE, 6:8] = NOWHERE        # without slopes these faces must not cut at the eaves
    offset[hip == 0, NAVE, 8:10] = NOWHERE

    # Tower at the front or beside it, its spire a pyramid on top.
    t, (tx, tz) = p["tower_width"] / 2, tower_middle(p)
    gone = (p["tower"] == 0).float() * 50
    block(TOWER, tx - t, tx + t - gone, p["tower_height"], tz - t, tz + t)
    eave, reach = t * 1.12, p["spire"]
    for k, (sx, sz) in enumerate(((1, 0), (-1, 0), (0, 1), (0, -1))):
        through = eave * p["tower_height"] + reach * eave + reach * (sx * tx + sz * tz)
        face(SPIRE, k, sx * reach, eave, sz * reach, through - gone)
    face(SPIRE, 4, 0, -1, 0, -p["tower_height"])

    # A round apse behind, as eight walls under a low cone; and a porch before the door.
    r = width * 0.72
    for k in range(6):
        angle = torch.tensor(torch.pi * (0.5 + k / 5))
        face(APSE, k, angle.cos(), 0, angle.sin(), r - half * angle.cos())
    face(APSE, 6, 0, 1, 0, wall * 0.86)
    face(APSE, 7, 1, 0, 0, -half * 0.5)
    face(APSE, 8, 0, -1, 0, 0 * wall)
    porch = (p["porch"] == 1).float() * (p["tower"] != 1).float()
    block(PORCH, half - 0.02, half + 0.20 - (1 - porch) * 50, wall * 0.62, -0.13 + 0 * wall, 0.13 + 0 * wall)
    face(PORCH, 6, 0, 0.13, 0.12, 0.13 * wall * 0.44 + 0.12 * 0.13)
    face(PORCH, 7, 0, 0.13, -0.12, 0.13 * wall * 0.44 + 0.12 * 0.13)
    return normal, offset


def arch(du: Tensor, y: Tensor, y0: Tensor, y1: Tensor, w: float) -> Tensor:
    """How far points lie inside a pointed arch of half-width w from y0 up to y1; du: sideways from its middle."""
    body = soft(w * (1 - ((y - y0) / (y1 - y0)).clamp(0, 1) ** 3) - du.abs(), 0.02)
    return body * soft(y - y0, 0.02) * soft(y1 - y, 0.02)


def paint(p: dict[str, Tensor], x: Tensor, normal: Tensor, solid: Tensor) -> tuple[Tensor, Tensor]:
    """Colours [N,M,3] in [0,1] and parts [N,M] at points x [N,M,3] with normals [N,M,3] of the church's frame."""
    wall = WALLS.to(x.device)[p["wall"].long()][:, None] * (1 + 0.10 * p["wall_light"])[:, None, None]
    roof = ROOFS.to(x.device)[p["roof_color"].long()][:, None]
    part = torch.where((normal[..., 1] > 0.15) & (solid != TOWER), 3, 2)
    part = part.masked_fill(solid == TOWER, 4).masked_fill(solid == SPIRE, 5)
    brick = 0.035 * (x[..., 1] * 60).sin() + 0.04 * blobs(x, p["phase"], 7.0)
    c = (wall * (1 + brick[..., None])).expand_as(x)
    tiles = roof * (1 + 0.10 * soft((x[..., 1] * 55).sin(), 1.4)[..., None] - 0.05)
    c = torch.where(((part == 3) | (part == 5))[..., None], tiles, c)

    # Windows: pointed arches in a row along the nave, one pair high on each face of the tower.
    across, along = normal[..., 2].abs() > 0.8, normal[..., 0].abs() > 0.8
    pitch = 0.24 + 0.10 * p["windows"][:, None]
    u = (x[..., 0] / pitch - (x[..., 0] / pitch).round()) * pitch
    height = p["wall_height"][:, None]
    inside = x[..., 0].abs() < (p["length"] / 2 - 0.08)[:, None]
    nave = arch(u, x[..., 1], height * 0.32, height * 0.84, 0.050) * (across & (solid == NAVE) & inside)
    tx, tz = (middle[:, None] for middle in tower_middle(p))
    du = torch.where(across, x[..., 0] - tx, x[..., 2] - tz)
    top = p["tower_height"][:, None]
    bell = arch(du, x[..., 1], top - 0.28, top - 0.08, 0.055) * ((across | along) & (solid == TOWER))
    rose = soft(0.085 - torch.stack([x[..., 2], x[..., 1] - height * 1.02], -1).norm(dim=-1), 0.02)
    rose = rose * (along & (solid == NAVE) & (x[..., 0] > 0)) * (p["roof"] != 2)[:, None]
    glass = (nave + bell + rose).clamp(0, 1)
    c = mix(c, x.new_tensor([0.16, 0.19, 0.25]), glass * 0.9)
    facade = along & (x[..., 0] > 0) & ((solid == NAVE) | (solid == PORCH) | (solid == TOWER))
    beside = torch.where(solid == TOWER, x[..., 2] - tz, x[..., 2])
    door = arch(beside, x[..., 1], -0.1 + 0 * height, height * 0.55, 0.085) * facade
    door = door * ~((solid == TOWER) & (p["tower"] == 2)[:, None])
    c = mix(c, x.new_tensor([0.30, 0.19, 0.12]), door)
    return c.clamp(0.02, 0.97), part.masked_fill(glass > 0.5, 7).masked_fill(door > 0.5, 6)
