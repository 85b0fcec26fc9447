"""Pairs: for a scene of Menagerie, the z whose picture it should be, and a mapping network that knows what z means.

A scene is drawn from a normal code, and z is normal too, so z may be read as a code: z = [code, rest]. StyleGAN2 looks at
the direction of z alone (PixelNorm), so `rest` gets the length that makes z's own length the usual one, and nothing of
the code is lost. The mapping network can then be taught, without a single picture, to turn z into a linear description of
the scene: what is left for the synthesis network is to draw it.
"""
from __future__ import annotations

import torch
from torch import Tensor

from .menagerie import PARAMETERS, code_size, parameters
from .stylegan2 import Generator

HARMONICS = 4
# Numbers whose effect in the picture turns with the subject: they are described times the sine and cosine of yaw, too.
TURNING = {"cat": ("posture", "head_yaw", "gait", "body_length", "tail", "tail_side", "head_lift"),
           "horse": ("rider", "head_yaw", "gait", "body_length", "neck", "tail"),
           "church": ("roof", "tower", "length", "width", "porch")}


def z_of_code(code: Tensor, z_dim: int, rng: torch.Generator) -> Tensor:
    """z [N,z_dim] that stand for scenes' codes [N,K], K < z_dim: the code, then random numbers that bring |z|^2 to z_dim."""
    n, k = code.shape
    rest = torch.randn(n, z_dim - k, generator=rng)
    room = (z_dim - code.square().sum(1, keepdim=True)).clamp_min(0.01)
    return torch.cat([code, rest * (room / rest.square().sum(1, keepdim=True)).sqrt()], 1)


def describe(category: str, code: Tensor) -> Tensor:
    """A linear description [N,M] of scenes from their codes [N,K]: harmonics of yaw, one-hot choices, numbers, and some products."""
    params, columns = parameters(category, code), {}
    for name, (kind, *args) in PARAMETERS[category].items():
        v = params[name]
        if kind == "angle":
            columns[name] = torch.stack([f(k * v) for k in range(1, HARMONICS + 1) for f in (torch.sin, torch.cos)], 1) * 1.4
        elif kind == "uniform":
            columns[name] = ((v - (args[0] + args[1]) / 2) / (args[1] - args[0]) * 3.4)[:, None]
        else:
            columns[name] = (torch.nn.functional.one_hot(v.long(), len(args)).float() - torch.tensor(args)) * 2
    turned = [(columns[name][:, :, None] * columns["yaw"][:, None, :(4 if columns[name].shape[1] > 1 else 2)]).flatten(1) * 0.7 for name in TURNING[category]]
    return torch.cat([*columns.values(), *turned], 1)


def teach_mapping(G: Generator, category: str, steps: int = 6000, batch: int = 384, lr: float = 25.0, seed: int = 0) -> float:
    """Trains G's mapping network so that w is a random rotation of the scene's description; returns the unexplained share of variance.

    `lr` is large because the mapping network's weights are stored a hundred times larger than they act (LR_MUL_MAPPING).
    """
    rng = torch.Generator().manual_seed(seed)
    k = code_size(category)
    if k >= G.z_dim:
        raise ValueError(f"z_dim {G.z_dim} leaves no room beside a {category}'s code of {k} numbers: use at least {k + 8}")
    sample = describe(category, torch.randn(4, k, generator=rng))
    mix = torch.linalg.qr(torch.randn(max(G.w_dim, sample.shape[1]), min(G.w_dim, sample.shape[1]), generator=rng))[0]
    mix = mix if sample.shape[1] > G.w_dim else mix.T                      # [M,w_dim], orthonormal on its smaller side
    optimizer = torch.optim.Adam(G.style.parameters(), lr, (0.9, 0.99))
    error = variance = torch.tensor(1.0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, step / 100 + 0.01) * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / steps)).item())
        z = torch.randn(batch, G.z_dim, generator=rng)
        z = z * (G.z_dim / z.square().sum(1, keepdim=True)).sqrt()
        wanted = describe(category, z[:, :k]) @ mix
        loss = (G.style(z.to(G.input.input.device)).cpu() - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= steps - 50:
            error, variance = error.lerp(loss.detach(), 0.1), variance.lerp(wanted.var(0).mean(), 0.1)
    return (error / variance).item()
