"""Menagerie: a small procedural photo world of cats, horses and churches where the truth is known.

Every picture is fully determined by (category, seed, index). An index draws a *code*, a vector of standard normal
numbers; the code sets the scene's parameters through their quantile functions; the parameters set solids, coat, place
and light; rays make the photograph. Beside it come the exact contour drawing, a mask of parts, albedo, depth, and a
stylised portrait.

    m = Menagerie("cat", resolution=64, seed=0)
    scenes = m.render(range(16))            # scenes.image [16,3,64,64] in [-1,1], scenes.contour [16,1,64,64], ...
    m.satisfies("standing_cat", scenes.params)                                 # bool [16]
    Menagerie("cat", predicate="standing_cat")                                 # only cats that stand, drawn directly
"""
from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from ..files.checks import Count, Filled, Limits, Seed, Whole, check, checked, shape
from ..nets.judge import Target
from . import subjects
from .animals import Cat, Horse
from .churches import Church
from .rendering import Shot, portrait

SUBJECTS = {"cat": Cat(), "horse": Horse(), "church": Church()}
CATEGORIES = tuple(SUBJECTS)
PREDICATES = {"horse_with_rider": "horse", "horse_on_a_side": "horse", "standing_cat": "cat",
              "gabled_church": "church"}                    # those of the paper's four tasks, in its order
VIEWS = ("image", "contour", "parts", "albedo", "depth", "portrait")
PARAMETERS = {category: subject.parameters for category, subject in SUBJECTS.items()}
PART_NAMES = {category: subject.parts for category, subject in SUBJECTS.items()}
POSE = {category: subject.drawable for category, subject in SUBJECTS.items()}
Category, Predicate, ViewName = Literal[CATEGORIES], Literal[tuple(PREDICATES)], Literal[VIEWS]
Views = tuple[ViewName, ...] | list[ViewName]
Indices = Whole | Sequence | range | np.ndarray | Tensor
Codes = shape("N", "K", rows=0)


@checked
def code_size(category: Category) -> int:
    """Length K of a scene's code."""
    return subjects.code_size(PARAMETERS[category])


@checked
def parameters(category: Category, code: Codes) -> dict[str, Tensor]:
    """Scene parameters, each float [N], from codes [N,K] of standard normal numbers, through the quantile functions."""
    if code.shape[1] != code_size(category):
        raise ValueError(f"code has {code.shape[1]} numbers a scene; a {category} has {code_size(category)}: "
                         f"Menagerie({category!r}).codes(indices) makes them.")
    return subjects.read(PARAMETERS[category], code)


@checked
def targets_of(categories: Annotated[tuple[Category, ...] | list[Category], Filled()]) -> tuple[Target, ...]:
    """What a network can learn to read off pictures of these categories: pose and shape, as they are declared.

    Named 'category.parameter'; a number's center and scale are the mean and the standard deviation of its distribution.
    """
    found = []
    for category in categories:
        for name in POSE[category]:
            kind, *args = PARAMETERS[category][name]
            said = {"angle": lambda: {}, "choice": lambda: {"count": len(args)},
                    "uniform": lambda: {"center": sum(args) / 2, "scale": (args[1] - args[0]) / math.sqrt(12)}}[kind]()
            kind = {"choice": "label", "uniform": "number"}.get(kind, kind)
            found.append(Target(f"{category}.{name}", kind, **said))
    return tuple(found)


@checked
def satisfies(name: Predicate, params: dict[str, Tensor]) -> Tensor:
    """Whether scenes satisfy a predicate of the paper's four tasks, bool [N]; exact, since it reads the parameters."""
    subject = SUBJECTS[PREDICATES[name]]
    parameter, wanted = subject.predicates[name]
    if parameter not in params:
        raise ValueError(f"params holds no {parameter!r}, which {name} is about; give those of a {PREDICATES[name]}.")
    return subjects.holds(subject.parameters[parameter], wanted, params[parameter])


def condition(name: str, code: Tensor) -> Tensor:
    """Codes [N,K] moved into a predicate by the conditional quantile of the one parameter that it speaks of."""
    subject = SUBJECTS[PREDICATES[name]]
    parameter, wanted = subject.predicates[name]
    kind, k, code = subject.parameters[parameter], subjects.columns(subject.parameters)[parameter], code.clone()
    own = slice(k, k + subjects.code_size({parameter: kind}))
    code[:, own] = subjects.move_into(kind, wanted, code[:, own])
    return code


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

    def __len__(self) -> int:
        return len(self.code)

    def views(self) -> dict[str, Tensor]:
        """The views that were rendered, by name."""
        return {k: getattr(self, k) for k in VIEWS if getattr(self, k) is not None}


class Menagerie:
    """The scenes of one category at one resolution (32 to 256 px) and one seed; see the first lines."""

    @checked
    def __init__(self, category: Category, resolution: Annotated[int, Limits(least=32, most=256)] = 64, seed: Seed = 0,
                 predicate: str | None = None, device: str | torch.device = "cpu"):
        if predicate is not None and PREDICATES.get(predicate) != category:
            names = [k for k, v in PREDICATES.items() if v == category]
            raise ValueError(f"predicate {predicate!r} does not speak of a {category}; choose {' or '.join(names)}")
        self.category, self.resolution, self.seed, self.predicate = category, resolution, seed, predicate
        self.device = torch.device(device)
        self.part_names = PART_NAMES[category]

    @checked
    def codes(self, indices: Indices) -> Tensor:
        """Codes [N,K] of the scenes at `indices`: standard normal numbers, moved into the predicate if there is one."""
        indices = indices.tolist() if hasattr(indices, "tolist") else indices
        indices = [indices] if isinstance(indices, int) else [check("one of indices", i, Whole) for i in indices]
        size, name = code_size(self.category), zlib.crc32(self.category.encode())
        rows = [np.random.default_rng([name, self.seed, i]).standard_normal(size, dtype=np.float32) for i in indices]
        code = torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, size)
        return condition(self.predicate, code) if self.predicate else code

    def params(self, indices: Indices) -> dict[str, Tensor]:
        """Parameters of the scenes at `indices` without rendering them: name -> float [N]."""
        return parameters(self.category, self.codes(indices))

    def satisfies(self, name: str, params: dict[str, Tensor]) -> Tensor:
        """See `satisfies`; raises ValueError when the predicate speaks of another category."""
        if PREDICATES.get(name) != self.category:
            raise ValueError(f"{name!r} is no predicate of {self.category}")
        return satisfies(name, params)

    def render(self, indices: Indices, views: Views = ("image", "contour", "parts")) -> Scenes:
        """Renders the scenes at `indices`; `views` chooses among image, contour, parts, albedo, depth and portrait."""
        return self.render_codes(self.codes(indices), views)

    @checked
    @torch.no_grad()
    def render_codes(self, code: Codes, views: Views = ("image", "contour", "parts"),
                     chunk: Count | None = None) -> Scenes:
        """Renders codes [N,K] of your own; in chunks whose intermediate arrays stay in the processor's cache."""
        chunk = chunk or (max(1, 8192 // self.resolution ** 2) if self.device.type == "cpu" else 64)
        code = code.to(self.device)
        params, subject = parameters(self.category, code), SUBJECTS[self.category]
        pieces: dict[str, list[Tensor]] = {k: [] for k in VIEWS if k in views}
        for i in range(0, len(code), chunk):
            p = {k: v[i:i + chunk] for k, v in params.items()}
            made = Shot(subject, p, self.resolution).views(views) if set(views) - {"portrait"} else {}
            if "portrait" in views:
                made["portrait"] = portrait(subject, p, self.resolution)
            for k in pieces:
                pieces[k].append(made[k])
        return Scenes(params, code, **{k: torch.cat(v) for k, v in pieces.items() if v})
