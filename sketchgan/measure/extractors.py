"""Feature extractors: what turns pictures into the vectors that a metric compares, each with a name.

A Frechet distance without its extractor is a number without a unit: Inception's and ours cannot be compared. So every
extractor has a name that stands in every result. Ours is the judge (nets/judge.py), which ships; Inception, in which
the paper measures, is used as soon as its weight file is at hand:

    evaluate(judge_features(judge), real, fake)                            # ours
    evaluate(inception_features('inception-2015-12-05.pt'), real, fake)    # the paper's
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ..files.checks import Count, Images, Sees, checked
from ..nets.judge import Judge
from ..photos.datasets import to_uint8
from ..weights.checkpoints import CheckpointError, content_hash

INCEPTION_SIZE = 299
INCEPTION_URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"


@dataclass(frozen=True)
class Extractor:
    """name: what stands in every result. features: images [N, 3, H, W] in [-1, 1] -> vectors [N, D], no gradients."""

    name: str
    features: Callable[[Tensor], Tensor]


@checked
def judge_features(judge: Judge) -> Extractor:
    """Our own extractor: the judge's feature vector, under a name that tells one judge from another."""
    return Extractor(f"judge {content_hash(judge)[:8]}", judge.features)


@checked
def inception_features(path: str | os.PathLike, device: str | torch.device = "cpu") -> Extractor:
    """The extractor of FID: Inception-v3 of 2015 (Szegedy et al. 2016), last pooled features [N, 2048].

    Pictures are rounded to 8 bits, as if they had been saved, and resized to 299 px by `clean_resize`: with
    2,500 pictures in each set this is the paper's protocol (clean-fid, mode "clean"; Parmar et al., CVPR 2022).

    path: NVIDIA's TorchScript file, which clean-fid and StyleGAN use. It is a program as well as weights, and no
        checksum is published with it: fetch it yourself from where NVIDIA keeps it, INCEPTION_URL.
    Raises FileNotFoundError if there is no such file, CheckpointError if it is no such network.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}. The standard Inception weights (91 MB) are at "
                                f"{INCEPTION_URL}; without them measure with judge_features(judge).")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is old, and so is this file
            layers = torch.jit.load(str(path), map_location=device).eval().layers
    except (RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not the TorchScript Inception network that was wanted ({error}). "
                              f"Fetch {INCEPTION_URL} again.") from error

    def features(images: Tensor) -> Tensor:
        pixels = clean_resize(to_uint8(images.clamp(-1, 1)).to(device).float(), INCEPTION_SIZE)
        return layers((pixels - 128) / 128).reshape(len(images), -1)

    return Extractor("Inception-v3 2015, clean resize", features)


def clean_resize(pixels: Tensor, size: int) -> Tensor:
    """Resize pixels [N, C, H, W] in 0..255 to `size`, antialiased bicubic, in floats and without rounding or clipping.

    It is what PIL does to each channel as a float image, and what most other libraries do not: they leave
    out the antialiasing, and the FID follows (Parmar et al. 2022, section 3).
    """
    return functional.interpolate(pixels, size=(size, size), mode="bicubic", antialias=True, align_corners=False)


def name_of(extractor) -> str:
    """The name of an extractor: its own, or the class and the content of a network that has none."""
    name = getattr(extractor, "name", None)
    return name if isinstance(name, str) else f"{type(extractor).__name__.lower()} {content_hash(extractor)[:8]}"


@checked
@torch.no_grad()
def features_of(extractor: Sees, images: Images, batch: Count = 128) -> Tensor:
    """Feature vectors [N, D] of images [N, 3, H, W] in [-1, 1], on the CPU.

    extractor: an `Extractor`, a `Judge`, or any network with a method `features`.
    """
    device = next(extractor.parameters()).device if isinstance(extractor, torch.nn.Module) else images.device
    return torch.cat([extractor.features(x.to(device)).cpu() for x in images.split(batch)])
