"""Degradations: what pictures suffer on their way to a network, and what a human pen does to a contour.

The teachers (teachers.py) learn from clean renders but are used on samples of half-trained GANs and beside drawings
of human hands. So pictures are blurred, tinted, grained and squeezed like a JPEG before a teacher sees them, and
contours are redrawn with another pen. All functions are batched, draw their own parameters for every picture from the
given `torch.Generator`, and keep the ranges of the library: images and sketches in [-1, 1], paper +1, ink -1.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..files.checks import Images, Probability, Sketches, Weight, explained


def uniform(x: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    """One number for each picture of x, uniform in [low, high]: [N, 1, 1, 1]."""
    return (low + (high - low) * torch.rand(len(x), 1, 1, 1, generator=generator)).to(x.device)


def chance(x: Tensor, probability: float, generator: Generator) -> Tensor:
    """One boolean for each picture of x, true with the given probability: [N, 1, 1, 1]."""
    return (torch.rand(len(x), 1, 1, 1, generator=generator) < probability).to(x.device)


def smooth_noise(x: Tensor, channels: int, cells: int, generator: Generator) -> Tensor:
    """Gaussian noise on a grid of `cells` x `cells`, grown to the size of x [N, C, H, W]: [N, channels, H, W]."""
    grid = torch.randn(len(x), channels, cells, cells, generator=generator).to(x.device)
    return functional.interpolate(grid, size=x.shape[2:], mode="bicubic", align_corners=False)


def gaussian_blur(x: Tensor, sigma: Tensor | float) -> Tensor:
    """Blur x [N, C, H, W] with a Gaussian of sigma pixels, for all or for each picture ([N] or [N, 1, 1, 1])."""
    n, c, h, w = x.shape
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1).expand(n).clamp_min(1e-3)
    radius = max(1, math.ceil(2.5 * sigma.max().item()))
    taps = torch.exp(-torch.arange(-radius, radius + 1).to(x).square() / (2 * sigma[:, None].square()))
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(c, 0)  # [N*C, 2r+1]
    # Every picture has its own kernel, so the batch becomes the groups of one separable convolution.
    flat = functional.pad(x.reshape(1, n * c, h, w), (radius,) * 4, mode="replicate")
    flat = functional.conv2d(flat, taps[:, None, None, :], groups=n * c)
    return functional.conv2d(flat, taps[:, None, :, None], groups=n * c).reshape(n, c, h, w)


def warp(x: Tensor, displacement: Tensor) -> Tensor:
    """Move the pixels of x [N, C, H, W] by displacement [N, 2, H, W] (x then y, in pixels); edges are repeated."""
    n, _, h, w = x.shape
    ys, xs = torch.meshgrid(torch.arange(h).to(x), torch.arange(w).to(x), indexing="ij")
    grid_x = (xs + displacement[:, 0] + 0.5) * (2 / w) - 1
    grid_y = (ys + displacement[:, 1] + 0.5) * (2 / h) - 1
    return functional.grid_sample(x, torch.stack([grid_x, grid_y], -1), mode="bilinear", padding_mode="border",
                                  align_corners=False)


def _dct_matrix(size: int) -> Tensor:
    """The orthonormal DCT-II of `size` samples as a matrix [frequency, sample]."""
    k, i = torch.arange(size)[:, None], torch.arange(size)[None]
    matrix = torch.cos(math.pi * (2 * i + 1) * k / (2 * size)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


def block_artefacts(x: Tensor, strength: Tensor, block: int = 8) -> Tensor:
    """Quantise the 8x8 DCT of x [N, C, H, W] as JPEG does, coarser for higher frequencies (H and W multiples of 8).

    strength [N, 1, 1, 1]: the quantisation step at the highest frequency in units of the [-1, 1] range; 0 does nothing.
    """
    n, c, h, w = x.shape
    dct = _dct_matrix(block).to(x)
    blocks = x.reshape(n, c, h // block, block, w // block, block).permute(0, 1, 2, 4, 3, 5)
    frequency = torch.arange(block).to(x)
    step = (frequency[:, None] + frequency[None] + 1) / (2 * block - 1)
    step = (strength[:, :, :, :, None, None] * step).clamp_min(1e-4)  # [N, 1, 1, 1, 8, 8]
    coefficients = torch.round(dct @ blocks @ dct.T / step) * step
    return (dct.T @ coefficients @ dct).permute(0, 1, 2, 4, 3, 5).reshape(n, c, h, w)


@explained
def degrade_photo(x: Images, generator: Generator) -> Tensor:
    """What samples of a half-trained GAN suffer: tint, contrast, fringes, blur, grain, block artefacts.

    x: images [N, 3, H, W] in [-1, 1], H and W multiples of 8. Each fault strikes a part of the pictures only, and a
    quarter is left clean, so that the network is as good on clean renders as without degradation.
    Returns images of the same shape, clamped to [-1, 1].
    """
    clean = x
    # Colour: brightness, contrast, saturation, and a slow drift of tint over the picture.
    gray = x.mean(1, keepdim=True)
    x = gray + (x - gray) * (1 + uniform(x, -0.5, 0.4, generator))
    x = x * (1 + uniform(x, -0.35, 0.35, generator)) + uniform(x, -0.2, 0.2, generator)
    x = x + 0.12 * chance(x, 0.5, generator) * smooth_noise(x, 3, 3, generator)
    # Blur, stronger than a lens would: early samples are soft.
    blurred = gaussian_blur(x, uniform(x, 0.3, 1.3, generator))
    x = torch.where(chance(x, 0.4, generator), blurred, x)
    # Geometry wobbles a little where a generator has not settled.
    wobbly = warp(x, 0.6 * smooth_noise(x, 2, 8, generator))
    x = torch.where(chance(x, 0.3, generator), wobbly, x)
    # Grain, fine and coarse.
    fine = torch.randn(x.shape, generator=generator).to(x.device)
    grain = fine + 1.5 * smooth_noise(x, 3, x.shape[2] // 4, generator)
    x = x + chance(x, 0.5, generator) * uniform(x, 0.0, 0.1, generator) * grain
    blocky = block_artefacts(x, uniform(x, 0.2, 1.2, generator))
    x = torch.where(chance(x, 0.3, generator), blocky, x)
    return torch.where(chance(x, 0.25, generator), clean, x).clamp(-1, 1)


@explained
def redraw(contour: Sketches, generator: Generator, jitter: Weight = 0.5, gaps: Probability = 0.08) -> Tensor:
    """Draw contours again as a human pen might: another width, a trembling hand, here and there a gap.

    contour: [N, 1, R, R], paper +1, ink -1. jitter: root mean square displacement of the line in pixels at R = 64 (it
    grows with R). gaps: largest share of a drawing's line that is left out.
    Returns drawings of the same shape and range.
    """
    scale = contour.shape[2] / 64
    ink = (1 - contour) / 2
    # Hands drift slowly: displacement on a coarse grid, so a line bends but never frays.
    amount = jitter * scale * uniform(ink, 0.0, 1.5, generator)
    ink = warp(ink, amount * smooth_noise(ink, 2, 8, generator))
    # Width: blur, then cut at a level that differs from picture to picture. A low cut draws a thick line.
    ink = gaussian_blur(ink, uniform(ink, 0.5, 0.8, generator) * scale)
    peak = ink.amax((1, 2, 3), keepdim=True).clamp_min(1e-6)
    ink = torch.sigmoid((ink / peak - uniform(ink, 0.3, 0.5, generator)) * 14)
    # Cut where a smooth field is lowest: gaps have a length, and each drawing has its own share of them.
    field = smooth_noise(ink, 1, 12, generator)
    lowest = field.flatten(1).sort(1).values
    rank = (gaps * uniform(ink, 0.0, 1.0, generator).flatten() * (lowest.shape[1] - 1)).long()
    level = lowest.gather(1, rank[:, None]).reshape(-1, 1, 1, 1)
    ink = ink * torch.sigmoid((field - level) * 12)
    return (1 - 2 * ink).clamp(-1, 1)


def spoil(x: Tensor, generator: Generator) -> Tensor:
    """Make pictures that nobody could name from good ones: what a judge must learn to refuse.

    x: images [N, 3, H, W] in [-1, 1]. Each becomes, with equal probability: shuffled tiles, a double exposure with
    another picture of the batch, a strong warp, a colour blot (heavy blur), or patches swapped in from another picture.
    """
    n, _, h, w = x.shape
    other = x.roll(1, 0)
    tiles = _shuffle_tiles(x, 4, generator)
    double = torch.lerp(x, other, uniform(x, 0.4, 0.6, generator))
    warped = warp(x, (h / 64) * uniform(x, 6.0, 10.0, generator) * smooth_noise(x, 2, 5, generator))
    blot = gaussian_blur(x, uniform(x, 3.5, 6.0, generator) * h / 64)
    mask = smooth_noise(x, 1, 5, generator)
    patched = torch.where(mask > 0, x, _shuffle_tiles(other, 2, generator))
    kinds = torch.stack([tiles, double, warped, blot, patched])
    return kinds[torch.randint(len(kinds), (n,), generator=generator).to(x.device), torch.arange(n, device=x.device)]


def _shuffle_tiles(x: Tensor, tiles: int, generator: Generator) -> Tensor:
    """Cut each picture of x [N, C, H, W] into tiles x tiles and put them back in an order drawn for each picture."""
    n, c, h, w = x.shape
    pieces = x.reshape(n, c, tiles, h // tiles, tiles, w // tiles).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    order = torch.rand(n, tiles * tiles, generator=generator).argsort(1).to(x.device)
    pieces = pieces[torch.arange(n, device=x.device)[:, None], order].unflatten(1, (tiles, tiles))
    return pieces.permute(0, 3, 1, 4, 2, 5).reshape(n, c, h, w)
