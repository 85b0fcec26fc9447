"""Pairs: pictures with the z they should have, and a mapping network that knows what z means.

A scene is drawn from a normal code, and z is normal too, so z may be read as a code: z = [code, rest]. StyleGAN2 looks
at the direction of z alone (PixelNorm), so `rest` gets the length that makes z's own length the usual one, and nothing
of the code is lost. The mapping network can then be taught, without a single picture, to turn z into a linear
description of the scene: what is left for the synthesis network is to draw it.

Photographs have no code. They are given one: their whitened principal components, as those who first learnt a generator
from pairs did (GLO, Bojanowski et al. 2018, section 3). Components of pixels are uncorrelated and of variance 1, nearly
what z is.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..nets.stylegan2 import Generator
from ..world.scenes import PARAMETERS, code_size, parameters

HARMONICS = 4
# Numbers whose effect in the picture turns with the subject: they are described times the sine and cosine of yaw, too.
TURNING = {"cat": ("posture", "head_yaw", "gait", "body_length", "tail", "tail_side", "head_lift"),
           "horse": ("rider", "head_yaw", "gait", "body_length", "neck", "tail"),
           "church": ("roof", "tower", "length", "width", "porch")}


def z_of_code(code: Tensor, z_dim: int, rng: torch.Generator) -> Tensor:
    """z [N,z_dim] that stand for scenes' codes [N,K], K < z_dim: the code, then random numbers that bring |z|^2 to
    z_dim."""
    n, k = code.shape
    rest = torch.randn(n, z_dim - k, generator=rng)
    room = (z_dim - code.square().sum(1, keepdim=True)).clamp_min(0.01)
    return torch.cat([code, rest * (room / rest.square().sum(1, keepdim=True)).sqrt()], 1)


def describe(category: str, code: Tensor) -> Tensor:
    """A linear description [N,M] of scenes from their codes [N,K]: harmonics of yaw, one-hot choices, numbers, and some
    products."""
    params, columns = parameters(category, code), {}
    for name, (kind, *args) in PARAMETERS[category].items():
        v = params[name]
        if kind == "angle":
            waves = [f(k * v) for k in range(1, HARMONICS + 1) for f in (torch.sin, torch.cos)]
            columns[name] = torch.stack(waves, 1) * 1.4
        elif kind == "uniform":
            columns[name] = ((v - (args[0] + args[1]) / 2) / (args[1] - args[0]) * 3.4)[:, None]
        else:
            columns[name] = (functional.one_hot(v.long(), len(args)).float() - torch.tensor(args)) * 2
    turns = {name: columns["yaw"][:, None, :4 if columns[name].shape[1] > 1 else 2] for name in TURNING[category]}
    turned = [(columns[name][:, :, None] * turn).flatten(1) * 0.7 for name, turn in turns.items()]
    return torch.cat([*columns.values(), *turned], 1)


class CodedPhotos:
    """A data set of photographs whose `code [N,dims]` is made from the pictures; mirrored, each stands in it twice.

    images: a data set, `images[index [B]] -> [B,3,R,R]` in [-1,1], with `len`. dims: of the code, below the z_dim it is
    for. Raises ValueError if there are too few pictures to tell `dims` components.
    """

    category = None         # no scene: w is taught to be the code itself, turned

    def __init__(self, images, dims: int = 48, mirror: bool = True):
        self.images, self.mirror = images, mirror
        if len(self) <= dims:
            raise ValueError(f"{len(self)} pictures have no {dims} principal components: give more pictures, or choose "
                             "smaller dims")
        parts = torch.arange(len(self)).split(256)
        # [N,768]
        small = torch.cat([functional.adaptive_avg_pool2d(self[part], 16).flatten(1) for part in parts])
        left, _, _ = torch.linalg.svd(small - small.mean(0), full_matrices=False)
        self.code = left[:, :dims] * len(self) ** 0.5

    def __len__(self) -> int:
        return len(self.images) * (2 if self.mirror else 1)

    def __getitem__(self, index: Tensor) -> Tensor:
        x = self.images[index % len(self.images)]
        return torch.where((index >= len(self.images))[:, None, None, None], x.flip(3), x)


def known_w(category: str | None, code_dim: int | None, w_dim: int, seed: int = 0):
    """The function code [N,K] -> w [N,w_dim] that the mapping network is taught, and the generator its numbers came
    from.

    It is a random rotation of the scene's description (of a photograph: of its code of `code_dim` numbers), the same
    for the same seed.
    """
    rng = torch.Generator().manual_seed(seed)
    description = lambda code: describe(category, code) if category else code
    size = description(torch.randn(4, code_size(category) if category else code_dim, generator=rng)).shape[1]
    mix = torch.linalg.qr(torch.randn(max(w_dim, size), min(w_dim, size), generator=rng))[0]
    mix = mix if size > w_dim else mix.T                                   # [M,w_dim], orthonormal on its smaller side
    return lambda code: description(code) @ mix, rng


def teach_mapping(G: Generator, category: str | None, code_dim: int | None = None, steps: int = 6000, batch: int = 384,
                  lr: float = 25.0, seed: int = 0) -> float:
    """Trains G's mapping network to turn z = [code, rest] into `known_w`; returns the unexplained share of variance.

    `lr` is large because the mapping network's weights are stored a hundred times larger than they act
    (LR_MUL_MAPPING).
    """
    k = code_size(category) if category else code_dim
    if k >= G.z_dim:
        raise ValueError(f"z_dim {G.z_dim} leaves no room beside a {category or 'photograph'}'s code of {k} numbers: "
                         f"use at least {k + 8}")
    answer, rng = known_w(category, k, G.w_dim, seed)
    optimizer = torch.optim.Adam(G.style.parameters(), lr, (0.9, 0.99))
    error = variance = torch.tensor(1.0)
    for step in range(steps):
        for group in optimizer.param_groups:
            cosine = torch.cos(torch.tensor(torch.pi * step / steps)).item()    # of float32, as it always was
            group["lr"] = lr * min(1.0, step / 100 + 0.01) * 0.5 * (1 + cosine)
        z = torch.randn(batch, G.z_dim, generator=rng)
        z = z * (G.z_dim / z.square().sum(1, keepdim=True)).sqrt()
        wanted = answer(z[:, :k])
        loss = (G.style(z.to(G.input.input.device)).cpu() - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= steps - 50:
            error, variance = error.lerp(loss.detach(), 0.1), variance.lerp(wanted.var(0).mean(), 0.1)
    return (error / variance).item()
