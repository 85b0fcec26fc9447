"""Transfer: what one picture shows in the style of another, and figures of it.

    portraitist = Portraitist(network, codes, pictures, encode)
    portraitist.transfer(content=7, style="woodcut-0012")                       # a sample by its seed
    portraitist.transfer(photo, "woodcut-0012", structure=0.5, preserve_colour="code")
    portraitist.overview(7, "woodcut-0012")                                     # content, reconstruction, style, result
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from ..files.checks import Count, checked, shape
from ..plotting import image_grid, stack
from .destylisation import truncated
from .network import DualStyleGAN, weight_rows

STRUCTURE, COLOUR = 0.75, 1.0       # the published weights of cartoons
Codes = shape("N", "L", "D")
Preserve = Literal["no", "weights", "code"]


@checked
def weights_of(network: DualStyleGAN, structure: float = STRUCTURE, colour: float = COLOUR) -> list[float]:
    """The fusion weights of all rows: `structure` for those before the border, `colour` from it on."""
    return [float(structure)] * network.border + [float(colour)] * (network.num_ws - network.border)


@checked
@torch.no_grad()
def restyle(network: DualStyleGAN, ws: Codes, style: Codes, structure: float = STRUCTURE, colour: float = COLOUR,
            weights: list | tuple | None = None, preserve_colour: Preserve = "no", truncation_psi: float = 1.0,
            noise_mode: str = "const") -> Tensor:
    """Contents `ws [N, num_ws, w_dim]` in a style `[1 or N, num_ws, w_dim]`: pictures `[N, 3, R, R]` in [-1, 1].

    Args:
        structure, colour: how much of either, usually 0 to 1; above 1 exaggerates.
        weights: `num_ws` numbers in their place.
        preserve_colour: 'weights' keeps the content's own rows of colour; 'code' sends them through T_c in the place of
            the style's, which fits them to how the examples are coloured (section 4.3); 'no' takes the style's.
        truncation_psi: below 1 draws the content towards the mean of w.
    Raises:
        ValueError: for codes of another base or weights of another length.
    """
    rows = weight_rows(weights_of(network, structure, colour) if weights is None else weights, network.num_ws).clone()
    ws = truncated(network.generator, ws, truncation_psi)
    if preserve_colour == "weights":
        rows[:, network.border:] = 0
    elif preserve_colour == "code":
        style = torch.cat([style[:, :network.border].expand(len(ws), -1, -1), ws[:, network.border:]], 1)
    return network.synthesis(ws, style, rows, noise_mode).clamp(-1, 1)


class Portraitist:
    """A network with the styles it knows.

    Args:
        network: in evaluation mode.
        codes: name -> extrinsic code `[num_ws, w_dim]`.
        pictures: name -> `[3, R, R]` in [-1, 1], to be shown; those that are missing are not.
        encode: photographs `[N, 3, R, R]` to latents; None takes samples alone.
        encode_style: pictures in a new style to extrinsic codes; None takes `encode`.
        sampler: draws new styles (`refinement.StyleSampler`); None knows none.
    """

    @checked
    def __init__(self, network: DualStyleGAN, codes: dict, pictures: dict | None = None, encode: Callable | None = None,
                 encode_style: Callable | None = None, sampler: object | None = None):
        wrong = [name for name, code in codes.items() if getattr(code, "shape", None) != (network.num_ws,
                                                                                          network.w_dim)]
        if wrong or not codes:
            raise ValueError(f"codes holds {len(codes)} styles, {len(wrong)} of them not [{network.num_ws}, "
                             f"{network.w_dim}]; give codes that were made for this base (`load_codes`)")
        self.network, self.codes, self.pictures = network, codes, pictures or {}
        self.encode, self.encode_style, self.sampler = encode, encode_style or encode, sampler
        self.device = next(network.parameters()).device

    @checked
    def content(self, content: int | Tensor) -> Tensor:
        """Latents `[N, num_ws, w_dim]` of what to show: a seed, z `[N, z_dim]`, latents, pictures `[N, 3, R, R]`."""
        G = self.network.generator
        if isinstance(content, int):
            content = torch.randn(1, G.z_dim, generator=torch.Generator().manual_seed(content))
        content = content.to(self.device)
        if content.ndim == 2:
            return G.mapping(content)
        return content if content.ndim == 3 else self._encoded(content, "content", self.encode)

    @checked
    def style(self, style: str | Tensor | int) -> Tensor:
        """A style's code `[1 or N, num_ws, w_dim]`: by name; pictures `[N, 3, R, R]`; a code; a seed for a new one."""
        if isinstance(style, str):
            if style not in self.codes:
                like = [name for name in self.codes if style.lower() in name.lower()] or list(self.codes)
                raise ValueError(f"style {style!r} is not among {len(self.codes)}; choose one such as "
                                 f"{', '.join(like[:4])}")
            return self.codes[style][None].to(self.device)
        if isinstance(style, int):
            if self.sampler is None:
                raise ValueError(f"style is the seed {style}, and there is no sampler of new styles; train one with "
                                 f"`fit_sampler`, or name a style such as {next(iter(self.codes))}")
            return self.sampler.sample(1, style).to(self.device)
        style = style.to(self.device)
        if style.ndim == 4:
            return self._encoded(style, "style", self.encode_style)
        return style[None] if style.ndim == 2 else style

    def _encoded(self, images: Tensor, what: str, encode: Callable | None) -> Tensor:
        R = self.network.resolution
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, R, R):
            raise ValueError(f"{what} has shape {list(images.shape)}; pictures for this network are [N, 3, {R}, {R}] "
                             "in [-1, 1]: resize them")
        if encode is None:
            raise ValueError(f"{what} is a picture, and there is no encoder; pass encode= when making the Portraitist")
        return encode(images)

    def transfer(self, content: int | Tensor, style: str | Tensor | int, **options) -> Tensor:
        """Pictures `[N, 3, R, R]` of a content (see `content`) in a style (see `style`); options: of `restyle`."""
        return restyle(self.network, self.content(content), self.style(style), **options)

    def plain(self, content: int | Tensor, truncation_psi: float = 1.0) -> Tensor:
        """The content as g paints it, `[N, 3, R, R]`."""
        with torch.no_grad():
            ws = truncated(self.network.generator, self.content(content), truncation_psi)
            return self.network.generator.synthesis(ws, "const").clamp(-1, 1)

    def overview(self, content: int | Tensor, style: str | Tensor | int, scale: Count = 2, **options) -> Image.Image:
        """What went in and what came out: the content if it was a picture, as g paints it, the style, the result."""
        plain = self.plain(content, options.get("truncation_psi", 1.0))
        shown = [("result", self.transfer(content, style, **options)), ("as g paints it", plain)]
        if torch.is_tensor(style) and style.ndim == 4:
            shown.insert(1, ("style", style.expand(len(plain), -1, -1, -1)))
        elif isinstance(style, str) and style in self.pictures:
            shown.insert(1, ("style", self.pictures[style][None].expand(len(plain), -1, -1, -1)))
        if torch.is_tensor(content) and content.ndim == 4:
            shown.append(("content", content))
        return stack([(name, image_grid(x.cpu(), len(plain), scale)) for name, x in reversed(shown)])

    @checked
    def sheet(self, seeds: list | tuple | range, styles: list | tuple, scale: Count = 1, **options) -> Image.Image:
        """Contents by styles: the first row as g paints them, then a row a style, its example at the left."""
        ws = torch.cat([self.content(int(seed)) for seed in seeds])
        blank = torch.ones(1, 3, *[self.network.resolution] * 2)
        rows = [blank, self.plain(ws, options.get("truncation_psi", 1.0)).cpu()]
        for name in styles:
            rows += [self.pictures.get(name, blank[0])[None].cpu(), self.transfer(ws, name, **options).cpu()]
        return image_grid(torch.cat(rows), 1 + len(ws), scale)

    @checked
    def between(self, content: int | Tensor, a: str | Tensor | int, b: str | Tensor | int, steps: Count = 8,
                **options) -> Tensor:
        """One content on the way from style a to style b: `[steps, 3, R, R]`, codes interpolated in W+."""
        ws, a, b = self.content(content)[:1], self.style(a)[:1], self.style(b)[:1]
        way = torch.linspace(0, 1, steps, device=self.device)[:, None, None]
        return restyle(self.network, ws.expand(steps, -1, -1), torch.lerp(a, b, way), **options)
