"""Style examples: scenes of Menagerie painted by eight painters, or any folder of pictures.

A painter sees a scene's surfaces, light and outlines, and paints the same subject in a way of its own: other
proportions, other colours, other lines. So for each painting the photograph is known that it was made from, and for
each photograph the painting that each painter would make of it: what destylisation and transfer should give.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..files.checks import Count, Filled, Seed, checked, shape
from ..photos.datasets import open_images
from ..world.coats import blobs
from ..world.rendering import Shot
from ..world.scenes import CATEGORIES, SUBJECTS, Menagerie, parameters

Codes = shape("N", "K")
SEED_STYLES = 6         # Menagerie's scenes with this seed are painted; no other training has seen them


class Sitting:
    """What a painter sees of N scenes on the grid of rays [N,M]: surfaces, light, outlines; and brushes."""

    def __init__(self, category: str, p: dict[str, Tensor], resolution: int, exaggeration: float):
        subject = SUBJECTS[category]
        told = {name: p[name] * factor ** exaggeration for name, factor in subject.caricature.items()}
        self.shot = Shot(subject, p | told, resolution)
        seen, view = self.shot.seen, self.shot.view
        self.hit, self.ground = self.shot.hit[..., None], (self.shot.part == 1)[..., None]
        self.albedo, self.solid, self.resolution = seen.albedo, seen.solid, resolution
        facing = (seen.normal * view.sun[:, None]).sum(-1)
        self.lit = ((facing > 0.05) & (seen.blocked < 0.5)).float()[..., None]          # [N,M,1] in the sun or not
        self.round = (0.55 + 0.45 * facing * (1 - 0.6 * seen.blocked)).clamp(0, 1)[..., None]
        self.cast = (seen.ground_dark > 0.5).float()[..., None]                         # the subject's shadow
        self.hue = torch.stack([p["ground_warm"], p["sky_warm"] * 2 - 1, p["sky_light"] * 2 - 1], -1)[:, None]
        self.phase = p["phase"]
        side = torch.arange(2 * resolution) * (64 / resolution)                         # in half pixels of 64 px
        self.y, self.x = (v.reshape(1, -1, 1).float() for v in torch.meshgrid(side, side, indexing="ij"))

    @property
    def grey(self) -> Tensor:
        """Lightness of the coat [N,M,1]."""
        return self.albedo.mean(-1, keepdim=True)

    def lines(self, width: int) -> Tensor:
        """Outlines [N,M,1] in {0,1}; width in half pixels of 64 px: 1, 3, 5."""
        pen = 2 * max(0, round((width - 1) / 2 * self.resolution / 64)) + 1
        return functional.max_pool2d(self.shot.ink(), pen, 1, pen // 2).reshape(len(self.hue), -1, 1)

    def stripes(self, period: float, share: Tensor | float) -> Tensor:
        """Diagonal strokes [1,M,1] in {0,1}, `period` half pixels apart, that cover a share of the paper."""
        return (((self.x + self.y) / period) % 1 < share).float()

    def over(self, subject: Tensor, ground: Tensor, behind: Tensor) -> Tensor:
        """The picture of three layers, each [N or 1, M or 1, 3]."""
        flat = torch.where(self.ground, ground, behind)
        return torch.where(self.hit, subject, flat)


def _rgb(*values: float) -> Tensor:
    return torch.tensor(values).reshape(1, 1, 3)


def _choose(share: Tensor, *colours: tuple[float, float, float]) -> Tensor:
    """One of the colours by a number of [0,1]: the first for 0, the last for 1; [N,M,1] -> [N,M,3]."""
    index = (share.clamp(0, 0.999) * len(colours)).long()[..., 0]
    return torch.tensor(colours)[index]


def comic(s: Sitting) -> Tensor:
    """Two flat tones of lively colour, coloured paper, black outlines: Menagerie's own portrait."""
    vivid = (s.grey + 1.35 * (s.albedo - s.grey)).clamp(0, 1)
    painted = ((vivid * 6).round() / 6 * 0.9 + 0.08) * (0.68 + 0.32 * s.lit)
    paper = 0.80 + 0.10 * s.hue
    picture, ink = s.over(painted, paper * 0.82 - 0.14 * s.cast, paper), s.lines(3)
    return picture * (1 - ink) + 0.12 * ink


def charcoal(s: Sitting) -> Tensor:
    """Grey strokes on rough warm paper, no colour at all."""
    paper = _rgb(0.93, 0.91, 0.86) * (1 + 0.04 * s.hue.mean(-1, keepdim=True))
    dark = 0.75 - 0.75 * s.grey + 0.35 * (1 - s.lit)
    strokes = s.stripes(7.0, dark.clamp(0.04, 0.9)) * s.hit + s.stripes(9.0, 0.45) * s.cast * ~s.hit
    picture = paper * (1 - 0.62 * strokes.clamp(0, 1))
    ink = s.lines(5)
    return picture * (1 - 0.88 * ink)


def blueprint(s: Sitting) -> Tensor:
    """White lines on blue, a grid beneath, nothing filled."""
    blue = _rgb(0.09, 0.27, 0.58) * (1 + 0.16 * s.hue[..., :1])
    grid = ((s.x % 16 < 1) | (s.y % 16 < 1)).float() * 0.12
    shadow = s.stripes(6.0, 0.3) * (1 - s.lit) * s.hit * 0.35
    white = torch.maximum(s.lines(1), torch.maximum(grid.expand_as(shadow), shadow))
    return blue + (_rgb(0.93, 0.97, 1.0) - blue) * white


def woodcut(s: Sitting) -> Tensor:
    """A Japanese print: slender, three inks on cream paper, the sky fading from blue."""
    fade = (1 - s.y / 70).clamp(0, 1)
    cream = _rgb(0.94, 0.88, 0.74)
    sky = cream + (_rgb(0.20, 0.40, 0.62) + 0.10 * s.hue - cream) * fade
    painted = _choose(s.grey * 0.95 + 0.05, (0.16, 0.21, 0.36), (0.73, 0.32, 0.22), (0.92, 0.80, 0.58))
    picture = s.over(painted, _rgb(0.62, 0.66, 0.46) + 0.08 * s.hue - 0.12 * s.cast, sky)
    ink = s.lines(1)
    return picture * (1 - ink) + _rgb(0.10, 0.14, 0.30) * ink


def pop(s: Sitting) -> Tensor:
    """Dots of print, loud paper, two shades of one colour, thick outlines."""
    paper = _choose((s.hue[..., :1] + 1) / 2, (1.0, 0.85, 0.10), (0.98, 0.42, 0.58), (0.20, 0.78, 0.86))
    coat = _choose((s.hue[..., 1:2] + 1) / 2, (0.90, 0.16, 0.20), (0.15, 0.32, 0.80), (0.98, 0.55, 0.10))
    dots = (((s.x % 8) - 4).square() + ((s.y % 8) - 4).square() < 11 * (1.1 - s.grey)).float()
    painted = torch.where(s.lit > 0, 1 - dots * (1 - coat), coat * (0.55 + 0.45 * (1 - dots)))
    picture, ink = s.over(painted, paper * 0.80 - 0.2 * s.cast, paper), s.lines(5)
    return picture * (1 - ink) + 0.03 * ink


def neon(s: Sitting) -> Tensor:
    """Tubes of light in the dark."""
    tube = _choose((s.hue[..., 2:] + 1) / 2, (1.0, 0.15, 0.62), (0.20, 1.0, 0.60), (0.25, 0.75, 1.0))
    glow = functional.avg_pool2d(s.shot.grid(s.lines(3)[..., 0])[:, None], 9, 1, 4, count_include_pad=False)
    glow = glow.reshape(len(s.hue), -1, 1)
    night = s.over(_rgb(0.10, 0.07, 0.16), _rgb(0.05, 0.04, 0.10), _rgb(0.03, 0.02, 0.07))
    line = s.lines(1)
    return (night + 0.9 * tube * glow) * (1 - line) + (0.35 + 0.65 * tube) * line


def pastel(s: Sitting) -> Tensor:
    """A plush toy with a great head: pale, soft, without a line."""
    wash = 0.90 + 0.08 * s.hue
    cloth = _rgb(1.0, 0.93, 0.95) * 0.45 + 0.55 * (0.45 + 0.55 * s.albedo)
    painted = cloth * (0.72 + 0.28 * s.round) + 0.05
    return s.over(painted, wash * _rgb(0.93, 0.97, 0.92) - 0.05 * s.cast, wash)


def glass(s: Sitting) -> Tensor:
    """A church window: each piece a glowing colour of its own, lead between them."""
    turn = 2 * math.pi * ((s.solid.clamp(min=0) * 0.381)[..., None] + s.phase[:, None, None])
    shift = torch.tensor([0.0, 2.1, 4.2])
    painted = (0.52 + 0.42 * (turn + shift).cos()) * (0.55 + 0.6 * s.grey)
    cell = torch.cat([s.x / 26, s.y / 26, 0 * s.x], -1).expand(len(s.hue), -1, -1)
    tone = blobs(cell, s.phase, 2.0)[..., None]
    pane = _choose((tone + 1) / 2, (0.12, 0.20, 0.52), (0.16, 0.40, 0.62), (0.22, 0.52, 0.50), (0.50, 0.30, 0.56))
    lead = (s.x % 32 < 2) | (s.y % 32 < 2)
    picture = s.over(painted, pane * 0.8, pane)
    picture = torch.where(lead & ~s.hit, torch.full_like(picture, 0.05), picture)
    ink = s.lines(3)
    return picture * (1 - ink) + 0.04 * ink


# Each painter, and how far it goes into the subject's caricature: 1 all the way, 0 not at all, below 0 the other way.
PAINTERS: dict[str, tuple[Callable[[Sitting], Tensor], float]] = {
    "comic": (comic, 1.0), "charcoal": (charcoal, 0.4), "blueprint": (blueprint, 0.0), "woodcut": (woodcut, -0.9),
    "pop": (pop, 1.2), "neon": (neon, 0.5), "pastel": (pastel, 1.6), "glass": (glass, 0.8)}
Painters = Annotated[tuple[Literal[tuple(PAINTERS)], ...] | list[Literal[tuple(PAINTERS)]], Filled()]


@checked
@torch.no_grad()
def paint(category: Literal[CATEGORIES], code: Codes, painter: Literal[tuple(PAINTERS)],
          resolution: Count = 64) -> Tensor:
    """What a painter makes of scenes, [N, 3, R, R] in [-1, 1], of their codes [N, K] (`Menagerie.codes`)."""
    brush, exaggeration = PAINTERS[painter]
    pictures = []
    for part in code.split(2):                              # as in Menagerie: what fits into a processor's cache
        sitting = Sitting(category, parameters(category, part), resolution, exaggeration)
        pictures.append(sitting.shot.fold(brush(sitting)).clamp(0, 1) * 2 - 1)
    return torch.cat(pictures)


@dataclass
class StyleExamples:
    """S pictures in styles to transfer.

    names: of each, its key. images: [S,3,R,R] in [-1,1]. painters: who painted each, of Menagerie. category, code: of
    painted scenes, whose photographs `Menagerie.render_codes(code)` gives; None for pictures of a folder.
    """

    names: tuple[str, ...]
    images: Tensor
    painters: tuple[str, ...] = ()
    category: str | None = None
    code: Tensor | None = None

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The place of a name; raises ValueError with those that are nearest."""
        if name in self.names:
            return self.names.index(name)
        like = [n for n in self.names if str(name).lower() in n.lower()][:4] or self.names[:4]
        raise ValueError(f"there is no style {name!r} among {len(self.names)}; choose one such as {', '.join(like)}")


@checked
def painted_styles(category: Literal[CATEGORIES], count: Count = 240, resolution: Count = 64,
                   painters: Painters = tuple(PAINTERS), seed: Seed = SEED_STYLES) -> StyleExamples:
    """`count` paintings of other scenes each, painters taking turns; named 'woodcut-0012' by painter and scene."""
    code = Menagerie(category, seed=seed).codes(range(count))
    who = tuple(painters[i % len(painters)] for i in range(count))
    images = torch.zeros(count, 3, resolution, resolution)
    for painter in dict.fromkeys(who):
        mine = torch.tensor([i for i in range(count) if who[i] == painter])
        images[mine] = paint(category, code[mine], painter, resolution)
    return StyleExamples(tuple(f"{p}-{i:04d}" for i, p in enumerate(who)), images, who, category, code)


@checked
def open_styles(source: str | Path, resolution: Count = 64, count: Count = 240) -> StyleExamples:
    """Style examples of a category of Menagerie (painted now), or of a folder or zip of pictures (named by file).

    Raises what `photos.open_images` does for a folder that cannot be read; ValueError for one without pictures.
    """
    if str(source) in CATEGORIES:
        return painted_styles(str(source), count, resolution)
    pictures = open_images(source, resolution, count, False)
    names = tuple(path.name for path in pictures.files)
    names = names if len(set(names)) == len(names) else tuple(map(str, pictures.files))
    return StyleExamples(names, pictures[torch.arange(len(pictures))])
