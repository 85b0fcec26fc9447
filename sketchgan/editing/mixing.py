"""Mixing models: a customised GAN at half strength, two of them together, anything between three (the paper, fig. 9).

Customising changes the mapping network and nothing else, so all that were customised from one original share a painter,
and mixing is choosing a w. Two ways, at the same z, with shares a_i that sum to 1:

    w space         w = sum a_i f_i(z)              the answers of the mapping networks are mixed
    weight space    w = f(z), theta_f = sum a_i theta_i      the mapping networks are mixed; one network comes out

    mixer = Mixer({"original": G, "side": side, "rider": rider})
    paint(G, mixer.ws(strength("side", 0.5), z))           # half way
    mixer.ws(added({"side": 1, "rider": 1}), z)            # the pose of one, then of the other
    save_delta("mine.safetensors", mixer.network({"side": 0.5, "rider": 0.5}), G)

Shares may lie outside 0 and 1: at 1.5 a customisation is exaggerated.
"""
import copy
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor

from ..files.checks import Count, Filled, GeneratorLike, checked, shape
from ..weights.building import MAPPING

ORIGINAL = "original"
ROUNDING = 1e-4
Models = Annotated[dict[str, GeneratorLike], Filled()]
Shares = Annotated[dict[str, float], Filled()]
Space = Literal["w", "weights"]


class Mixer:
    """Models of one family and what lies between them.

    models: name -> generator; all with the synthesis network of the first, bit by bit. Raises ValueError otherwise.
    """

    @checked
    def __init__(self, models: Models):
        for name, G in models.items():
            if not isinstance(G, torch.nn.Module):
                raise ValueError(f"models has {name!r}, a {type(G).__name__}; wanted generators by name")
        (self.first, G0), *others = models.items()
        self.models = dict(models)
        for name, G in others:
            require_family(self.first, G0, name, G)

    @torch.no_grad()
    @checked
    def ws(self, shares: Shares, z: shape("N", "D"), space: Space = "w", truncation_psi: float = 1.0) -> Tensor:
        """Latents [N, num_ws, w_dim] of z [N, z_dim] for a mixture, to be painted by any of the models.

        shares: name -> number, see `strength`, `added` and `barycentric`; names left out have none. A model alone gives
        its own latents bit by bit. truncation_psi: towards the mean w of the mixture.
        """
        shares = self._complete(shares)
        device = next(self.models[self.first].parameters()).device
        if space == "weights" and len(shares) > 1:
            return self.network(shares).mapping(z.to(device), truncation_psi)
        parts = [self.models[name].mapping(z.to(device), truncation_psi) for name in shares]
        if len(shares) == 1:
            return parts[0]
        # Truncation is linear, so truncating each is truncating the sum towards the sum of the means.
        return sum(share * part for share, part in zip(shares.values(), parts))

    @torch.no_grad()
    @checked
    def network(self, shares: Shares) -> torch.nn.Module:
        """The generator whose mapping network is `sum a_i theta_i`; a new one, which can be saved as a delta."""
        shares = self._complete(shares)
        made = copy.deepcopy(self.models[next(iter(shares))])
        if len(shares) > 1:
            states = [self.models[name].style.state_dict() for name in shares]
            made.style.load_state_dict({key: sum(share * state[key] for share, state in zip(shares.values(), states))
                                        for key in states[0]})
            made.set_w_avg(None)
        return made

    def _complete(self, shares: Mapping[str, float]) -> dict[str, float]:
        """The shares that are not 0, the original taking what is missing to 1."""
        unknown = [name for name in shares if name not in self.models and name != ORIGINAL]
        if unknown:
            raise ValueError(f"shares name {unknown[0]!r}; the models here are {', '.join(self.models)}")
        rest = 1 - sum(share for name, share in shares.items() if name != ORIGINAL)
        given = shares.get(ORIGINAL)
        if given is not None and abs(given - rest) > ROUNDING:
            raise ValueError(f"shares {shares} sum to {sum(shares.values()):g}; wanted 1, or leave {ORIGINAL!r} out, "
                             f"which then takes the rest")
        found = {name: share for name, share in shares.items() if share and name != ORIGINAL}
        if ORIGINAL in self.models:
            return ({ORIGINAL: rest} if abs(rest) > ROUNDING or not found else {}) | found
        if abs(rest) > ROUNDING:
            raise ValueError(f"shares {shares} sum to {1 - rest:g}, not 1, and there is no model {ORIGINAL!r} to take "
                             f"the rest")
        return found


def require_family(name0: str, G0, name: str, G) -> None:
    """Raise ValueError unless both generators differ in nothing but their mapping networks' numbers."""
    state0, state = G0.state_dict(), G.state_dict()
    if state0.keys() != state.keys() or any(state0[key].shape != state[key].shape for key in state0):
        raise ValueError(f"models {name0!r} and {name!r} are built differently ({G0.resolution} px, w_dim {G0.w_dim}; "
                         f"{G.resolution} px, w_dim {G.w_dim}), so nothing lies between them. Mix models that were "
                         f"customised from one original")
    other = [key for key in state0 if not key.startswith(MAPPING) and not torch.equal(state0[key].cpu(),
                                                                                      state[key].cpu())]
    if other:
        raise ValueError(f"models {name0!r} and {name!r} have different synthesis networks ({len(other)} tensors, "
                         f"{other[0]} first): their w mean different things. Mix models that were customised from one "
                         f"original")


# --------------------------------------------------------------------------------------------------------------- shares

@checked
def strength(name: str, amount: float) -> dict[str, float]:
    """Shares of one customisation at a strength: 0 is the original, 1 the customised model, 1.5 more than it."""
    if name == ORIGINAL:
        raise ValueError(f"name is {ORIGINAL!r}; the strength of a customisation is meant, so give the name of one")
    return {ORIGINAL: 1 - amount, name: amount}


@checked
def added(amounts: Shares) -> dict[str, float]:
    """Shares of several customisations on top of each other, `original + sum s_i (model_i - original)`.

    In w space each adds, at each z, what it does to the w of the original; the order does not matter.
    """
    return {ORIGINAL: 1 - sum(amounts.values())} | amounts


@checked
def barycentric(point: tuple[float, float], corners: tuple[tuple[float, float], ...]) -> tuple[float, ...]:
    """Shares of 2 or 3 corners of the plane at a point: 1 at a corner, equal in the middle; they sum to 1.

    Outside the triangle some are below 0. Of two corners, the share of the point's foot on their line.
    """
    if len(corners) not in (2, 3):
        raise ValueError(f"corners are {len(corners)}; a map has 2 or 3")
    (x, y), (x0, y0), (x1, y1) = point, *corners[:2]
    if len(corners) == 2:
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        t = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length if length else 0.0
        return 1 - t, t
    x2, y2 = corners[2]
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if not area:
        raise ValueError(f"corners {corners} lie on a line; three models want a triangle")
    b = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
    c = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
    return 1 - b - c, b, c


# ------------------------------------------------------------------------------------------------------------- measured

@checked
@torch.no_grad()
def agreement(mixer: Mixer, shares: Shares, z: shape("N", "D"), batch: Count = 64) -> dict[str, float]:
    """How nearly the two ways agree: mean absolute differences of pictures in [-1, 1], at the same z [N, z_dim].

    'ways': w space against weight space; 'samples': one of the former against the next sample, two that have nothing
    to do with each other; 'w': relative difference of w, |w1 - w2| / |w1 - w of the next|.
    """
    G = mixer.models[mixer.first]
    w1, w2 = (mixer.ws(shares, z, space) for space in ("w", "weights"))
    x1, x2 = (torch.cat([G.synthesis(part, "const").clamp(-1, 1) for part in ws.split(batch)]) for ws in (w1, w2))
    other = lambda x: (x - x.roll(1, 0)).abs().mean().item()
    away = (w1 - w2)[:, 0].norm(dim=1).mean() / (w1 - w1.roll(1, 0))[:, 0].norm(dim=1).mean()
    return {"ways": (x1 - x2).abs().mean().item(), "samples": other(x1), "w": away.item()}
