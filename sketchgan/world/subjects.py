"""What a subject of the world is: declared parameters, and a body that the renderer asks what its rays meet.

A parameter is ANGLE (two code numbers, uniform on the circle), `uniform(low, high)`, or `choice(share, share, ...)`: an
index, shares add up to 1. Angles are radians; yaw 0 faces right in the picture, pi/2 the camera, pi (= -pi) left.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .raytrace import FAR, view_rays

ANGLE = ("angle",)
TAN_HALF = 0.27     # half of the field of view: 15 degrees


def uniform(low: float, high: float) -> tuple:
    """A number, uniform between two bounds."""
    return ("uniform", low, high)


def choice(*shares: float) -> tuple:
    """An index 0, 1, ... with these shares."""
    return ("choice", *shares)


COMMON = {
    "yaw": ANGLE, "elevation": uniform(0.05, 0.26), "zoom": uniform(0.90, 1.10), "shift_x": uniform(-0.08, 0.08),
    "shift_y": uniform(-0.05, 0.05), "sun_azimuth": uniform(-1.3, 1.3), "sun_height": uniform(0.55, 1.15),
    "place": choice(0.34, 0.22, 0.26, 0.18), "ground_light": uniform(-1, 1), "ground_warm": uniform(-1, 1),
    "sky_light": uniform(0, 1), "sky_warm": uniform(0, 1), "cloud": uniform(0, 1), "hill": uniform(0, 1),
    "phase": uniform(0, 1),
}
VIEWPOINT = ("yaw", "elevation", "zoom", "shift_x", "shift_y")  # the common ones that a drawing could show


@dataclass(frozen=True)
class View:
    """Cameras and light of N scenes, over M rays that all scenes share. Lengths are scene units.

    Everything that is seen is in view space (right, up, away; the origin is where the camera looks); subjects are built
    in a frame of their own (forward, up, right).
    """

    size: int           # of the square grid of rays, M = size^2
    rays: Tensor        # [M,3] unit
    eye: Tensor         # [N,1,3]
    distance: Tensor    # [N] of the camera
    ground: Tensor      # [N,M] along each ray, FAR for the sky
    sun: Tensor         # [N,3] towards the light
    turn: Tensor        # [N,3,3] from the subject's frame to view space
    origin: Tensor      # [N,3] where the subject's target goes, view space
    target: Tensor      # [N,3] what the camera looks at, the subject's frame

    @property
    def up(self) -> Tensor:
        """The world's up in view space [N,3]."""
        return self.turn[:, :, 1]

    def to_view(self, v: Tensor) -> Tensor:
        """Points [N,P,3] of the subject's frame in view space."""
        return (v - self.target[:, None]) @ self.turn.transpose(1, 2) + self.origin[:, None]

    def to_body(self, x: Tensor) -> Tensor:
        """Points [N,P,3] of view space in the subject's frame."""
        return (x - self.origin[:, None]) @ self.turn + self.target[:, None]


def view_of(p: dict[str, Tensor], camera: tuple[float, float], size: int) -> View:
    """The view of scenes with parameters p, each [N]; camera: height of its target and distance."""
    device, n, (height, distance) = p["yaw"].device, p["yaw"].shape[0], camera
    distance = distance / p["zoom"]
    cy, sy, ce, se = p["yaw"].cos(), p["yaw"].sin(), p["elevation"].cos(), p["elevation"].sin()
    turn = torch.stack([torch.stack([cy, torch.zeros_like(cy), -sy], -1), torch.stack([-se * sy, ce, -se * cy], -1),
                        torch.stack([-ce * sy, -se, -ce * cy], -1)], 1)
    half = TAN_HALF * distance
    origin = torch.stack([p["shift_x"] * half, p["shift_y"] * half, torch.zeros_like(half)], -1)
    target, eye = torch.zeros(n, 3, device=device), torch.zeros(n, 1, 3, device=device)
    target[:, 1], eye[..., 2] = height, -distance[:, None]
    up = turn[:, :, 1]
    lift = height - (origin * up).sum(-1)                  # height above ground of view space's own origin
    azimuth, tall = p["sun_azimuth"], p["sun_height"]
    x, y, away = azimuth.sin() * tall.cos(), tall.sin(), -azimuth.cos() * tall.cos()
    sun = torch.stack([x, ce * y + se * away, -se * y + ce * away], -1)
    rays = view_rays(size, TAN_HALF, device)
    drop = (rays[None] * up[:, None]).sum(-1)              # [N,M] how fast a ray climbs
    meets = -((eye * up[:, None]).sum(-1) + lift[:, None]) / drop.clamp(max=-1e-4)
    ground = torch.where(drop < -1e-4, meets, torch.full_like(drop, FAR))
    return View(size, rays, eye, distance, ground, sun, turn, origin, target)


@dataclass
class Surfaces:
    """What the M rays of each of N scenes meet of a subject, before any light falls on it."""

    hit: Tensor          # [N,M] bool
    depth: Tensor        # [N,M] along the ray
    normal: Tensor       # [N,M,3] view space
    part: Tensor         # [N,M] int64, index into the subject's `parts`
    solid: Tensor        # [N,M] int64, which primitive
    albedo: Tensor       # [N,M,3] sRGB in [0,1]
    blocked: Tensor      # [N,M] share of the sun that is blocked
    ground_dark: Tensor  # [N,M] its shadow on the ground
    ground_ao: Tensor    # [N,M] its contact shade on the ground


class Subject:
    """One category of the world: what it declares, and `look`, what the renderer asks it."""

    parameters: dict[str, tuple]        # its own beside COMMON, in the order of the code
    drawable: tuple[str, ...]           # parameters that a drawing could show, never colour or light
    parts: tuple[str, ...]              # names; 0 and 1 are sky and ground
    camera: tuple[float, float]         # height of what it looks at, and distance
    predicates: dict[str, tuple]        # name -> (parameter, the index it must have; of an angle: how near to pi)
    caricature: dict[str, float]        # factors by which a portrait exaggerates its parameters
    depth_jump: float                   # depths that differ by more are separated by ink
    creases: str                        # 'part' or 'solid': between which surfaces a crease is drawn
    indoors: bool                       # whether place 2 is a room

    def look(self, p: dict[str, Tensor], view: View) -> Surfaces:
        """What rays meet of the subjects with parameters p, each [N]."""
        raise NotImplementedError


def code_size(declared: dict[str, tuple]) -> int:
    """Length K of a code of these parameters."""
    return sum(2 if kind[0] == "angle" else 1 for kind in declared.values())


def columns(declared: dict[str, tuple]) -> dict[str, int]:
    """The (first) column of each parameter in a code."""
    sizes = [code_size({name: kind}) for name, kind in declared.items()]
    return {name: sum(sizes[:i]) for i, name in enumerate(declared)}


def share(code: Tensor) -> Tensor:
    """The share of standard normal numbers that lie below each number of a code, in double precision."""
    return 0.5 * (1 + torch.erf(code.double() / math.sqrt(2)))


def read(declared: dict[str, tuple], code: Tensor) -> dict[str, Tensor]:
    """Parameters, each float [N], from codes [N,K] of standard normal numbers, through their quantile functions."""
    out, below = {}, share(code).float().clamp(1e-6, 1 - 1e-6)
    for (name, (kind, *args)), k in zip(declared.items(), columns(declared).values()):
        if kind == "angle":
            out[name] = torch.atan2(code[:, k + 1], code[:, k])
        elif kind == "uniform":
            out[name] = args[0] + (args[1] - args[0]) * below[:, k]
        else:
            edges = torch.tensor(args, dtype=torch.float64).cumsum(0)[:-1].float().to(code.device)
            out[name] = torch.bucketize(below[:, k].contiguous(), edges, right=True).float()
    return out


def holds(kind: tuple, wanted: float, values: Tensor) -> Tensor:
    """Whether parameters [N] of a kind are what a predicate wants of them: booleans [N]."""
    return -values.cos() >= math.cos(wanted) if kind == ANGLE else values == wanted


def move_into(kind: tuple, wanted: float, numbers: Tensor) -> Tensor:
    """The code numbers [N,1 or 2] of one parameter, moved to where a predicate holds by its conditional quantile."""
    if kind == ANGLE:
        angle, radius = torch.atan2(numbers[:, 1], numbers[:, 0]), numbers.norm(dim=1)
        angle = math.pi + angle / math.pi * (wanted * 0.9999)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    low, width = sum(kind[1:][:wanted]), kind[1:][wanted]
    below = low + width * share(numbers).clamp(1e-4, 1 - 1e-4)
    return (math.sqrt(2) * torch.erfinv(2 * below - 1)).float()
