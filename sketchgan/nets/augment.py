"""Differentiable augmentation (Zhao et al. 2020, as used by Sketch Your Own GAN).

A handful of sketches would be memorised by D_sketch within minutes.  Both what it calls real (the drawings) and
what it calls fake (F of the samples) are therefore moved about at random before it looks; since the move is
differentiable, G still learns where its ink should go.

Every policy is applied with probability 1, with parameters of its own for each image of the batch (`upscale`: one
factor for the batch).  The random numbers come from a CPU generator whatever the device of the images, so that the
same seed draws the same augmentation everywhere, and nothing has to wait for a GPU.
"""

import torch
from torch.nn import functional as nnf

from ..files.checks import Maps, explained

TRANSLATION, CUTOUT, UPSCALE = 0.125, 0.5, 0.25  # shares of the image's side; upscale: largest enlargement


@explained
def augment(x: Maps, policy: str, generator: torch.Generator) -> torch.Tensor:
    """Random differentiable augmentation of a batch.

    Args:
        x: images [N, C, H, W] in [-1, 1], any C.
        policy: names of `POLICIES` joined by commas, in the order of application; '' does nothing.
            The published runs use 'translation'.
        generator: a CPU generator; it is all the randomness there is.
    Returns:
        [N, C, H, W], differentiable in x.
    Raises:
        ValueError: a policy of an unknown name.
    Source: DiffAugment (Zhao et al., NeurIPS 2020); numbers as in Sketch Your Own GAN's diffaug.py.
    """
    for name in parse_policy(policy):
        x = POLICIES[name](x, generator)
    return x


def parse_policy(policy: str) -> list[str]:
    """The names in a comma-separated policy, checked; raises ValueError for an unknown one."""
    names = [name.strip() for name in policy.split(",") if name.strip()]
    for name in names:
        if name not in POLICIES:
            raise ValueError(
                f"Augmentation policy {policy!r} holds {name!r}, which does not exist. "
                f"Join any of {', '.join(POLICIES)} by commas, or give '' for none."
            )
    return names


def translation(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Move each image by up to an eighth of its side, along both axes; what comes in is 0.

    In sketch space 0 is mid-grey, neither paper nor ink.  That looks like a mistake but is what was published,
    and it is applied to real and fake alike, so that D_sketch learns nothing from it.
    """
    n, _, h, w = x.shape
    dy, dx = round_half_up(h * TRANSLATION), round_half_up(w * TRANSLATION)
    top = torch.randint(0, 2 * dy + 1, (n,), generator=generator).tolist()
    left = torch.randint(0, 2 * dx + 1, (n,), generator=generator).tolist()
    padded = nnf.pad(x, (dx, dx, dy, dy))
    # Slices rather than one gather: their gradient is a plain copy, much quicker than scattered additions.
    return torch.stack([padded[i, :, t : t + h, s : s + w] for i, (t, s) in enumerate(zip(top, left))])


def color(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Brightness + U(-.5, .5), then saturation x U(0, 2), then contrast x U(.5, 1.5)."""
    brightness, saturation, contrast = torch.rand(3, len(x), 1, 1, 1, generator=generator).to(x)
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (2 * saturation)
    middle = x.mean((1, 2, 3), keepdim=True)
    return middle + (x - middle) * (contrast + 0.5)


def cutout(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Set a square of half the side to 0, centred anywhere (so that it may reach over the border)."""
    n, _, h, w = x.shape
    keep = torch.ones(n, 1, h, w)
    size_y, size_x = round_half_up(h * CUTOUT), round_half_up(w * CUTOUT)
    # An even square has its centre between two pixels, and thus one more place to be in.
    centre_y = torch.randint(0, h + (1 - size_y % 2), (n,), generator=generator).tolist()
    centre_x = torch.randint(0, w + (1 - size_x % 2), (n,), generator=generator).tolist()
    for i, (y, s) in enumerate(zip(centre_y, centre_x)):
        top, left = y - size_y // 2, s - size_x // 2
        keep[i, :, max(top, 0) : top + size_y, max(left, 0) : left + size_x] = 0
    return x * keep.to(x)


def upscale(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Enlarge the whole batch by one factor of U(1, 1.25), bilinear, and keep the centre."""
    h, w = x.shape[2:]
    factor = 1 + UPSCALE * torch.rand(1, generator=generator).item()
    size = (int(h * factor), int(w * factor))
    x = nnf.interpolate(x, size=size, mode="bilinear", align_corners=False)
    top, left = (size[0] - h) // 2, (size[1] - w) // 2
    return x[:, :, top : top + h, left : left + w]


def round_half_up(value: float) -> int:
    """Python rounds 0.5 to even; the published code rounds it up."""
    return int(value + 0.5)


POLICIES = {"color": color, "translation": translation, "cutout": cutout, "upscale": upscale}
