"""Photo editing with a customised model: latents that were found in the original, carried over to the customised one.

Customising changes the mapping network alone. So a z means something to both models, and a w, which is behind the
mapping network, is painted by both alike: with the same w+ the customised model would paint the photograph as it was.
What is carried must pass through z. The paper stays in z all along: project into z, feed it to the customised model.
But few photographs have a z that paints them. Here:

    z*     = the z whose w is nearest to the mean row of ws           (`starts.nearest_z`, by the mapping network alone)
    carry  = w_customised(z*) + keep * (ws - w_original(z*))

The first term is what the customised model makes of the nearest sample; the second, an offset for each layer, is what
no sample had: this coat, this meadow. With keep = 0 it is the paper's rule from another z*; with keep = 1 a customised
model equal to the original gives ws back. The offset also holds whatever of the old pose z* does not say, so a model
whose pose is far from the photograph's may want less of it, or none in the first layers, where pose is.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..files.checks import Able, GeneratorLike, Limits, Vectors, Whole, check_fields, checked, shape
from .projector import with_noises
from .starts import nearest_z

Latents = shape("N", "L", "D")
Keep = Annotated[float, Limits(least=0, most=2)]
Layers = range | list[Whole] | tuple[Whole, ...] | None


@checked
@torch.no_grad()
def carry(ws: Latents, original: GeneratorLike, customised: GeneratorLike, z: Vectors | None = None,
          keep: Keep = 1.0, layers: Layers = None) -> Tensor:
    """Latents [N, num_ws, w_dim] of the customised model for pictures that `ws` of the original paint.

    Args:
        ws: of the original, `Projection.ws`.
        z: [N, z_dim] where it is known; else the nearest are sought.
        keep: share of what z does not say that is carried along; 0 is the paper's rule.
        layers: rows in which it is; None for all. `range(4, G.num_ws)` leaves the pose to the customised model.
    Raises ValueError if the models do not belong together.
    """
    if (original.z_dim, original.w_dim, original.num_ws) != (customised.z_dim, customised.w_dim, customised.num_ws):
        raise ValueError(f"customised has z, w and layers of {customised.z_dim}, {customised.w_dim}, "
                         f"{customised.num_ws}, original of {original.z_dim}, {original.w_dim}, {original.num_ws}: "
                         "give the generator that it was customised from")
    if ws.shape[1:] != (original.num_ws, original.w_dim):
        raise ValueError(f"ws is {list(ws.shape)}; wanted [N, {original.num_ws}, {original.w_dim}] of the original")
    z = nearest_z(original, ws.mean(1)) if z is None else z
    if z.shape != (len(ws), original.z_dim):
        raise ValueError(f"z is {list(z.shape)}; wanted one for each of ws, [{len(ws)}, {original.z_dim}]")
    chosen = [*range(original.num_ws)] if layers is None else [*layers]
    if chosen and max(chosen) >= original.num_ws:
        raise ValueError(f"layers are {chosen}; these ws have the rows 0 to {original.num_ws - 1}")
    offset = torch.zeros_like(ws)
    offset[:, chosen] = (ws - original.mapping(z))[:, chosen]
    return customised.mapping(z) + keep * offset


@dataclass
class PhotoEdit:
    """A projected photograph in the hands of one customised model: swap, then move, then paint.

        photo = PhotoEdit(found, customised)
        photo.paint()                                                       # the photograph, in the model's pose
        photo.paint(lambda ws: edit(ws, components.direction(3), sigma=2))  # and edited
        photo.paint(swapped=False)                                          # the projection itself

    found: a `Projection` in the original. keep, layers: see `carry`. Noise and, after pivotal tuning, the synthesis
    network are those of the projection: both are the photograph's own.
    """

    found: Annotated[object, Able(names=("ws", "G", "noises"))]
    customised: GeneratorLike
    keep: Keep = 1.0
    layers: Layers = None
    z: Vectors | None = None        # the projection's, or the nearest, which is sought

    def __post_init__(self):
        check_fields(self)
        if self.z is None:
            self.z = self.found.z if self.found.z is not None else nearest_z(self.found.G, self.found.ws.mean(1))

    @property
    def ws(self) -> Tensor:
        """Latents for the customised model [N, num_ws, w_dim]."""
        return carry(self.found.ws, self.found.G, self.customised, self.z, self.keep, self.layers)

    @torch.no_grad()
    def paint(self, edit: Callable[[Tensor], Tensor] | None = None, swapped: bool = True) -> Tensor:
        """Images [N, 3, R, R], clamped; `edit` turns latents into others before they are painted."""
        ws = self.ws if swapped else self.found.ws
        return with_noises(self.found.G, self.found.noises).synthesis(edit(ws) if edit else ws, "const").clamp(-1, 1)
