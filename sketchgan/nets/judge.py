"""Judge: the network that measures. It reads pose and shape off a picture, so that samples of a GAN can be counted.

Samples have no scene parameters, so somebody must look at them. The judge is trained on renders (teachers.py) and
answers four questions: is this picture recognisable, and as what; which pose and shape parameters does it show; which
of the paper's predicates hold; and, through `features`, where does it lie among other pictures (for Frechet distance
and recall, in the place that Inception and VGG have in the paper). It is a residual network (He et al. 2016, with the
activation first), never the network whose features trained a GAN (features.py), and never F.
"""

import math
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..files.checks import Count, Filled, Positive, Widths, check_fields, checked, explained

Names = tuple[str, ...] | list[str]
Categories = Annotated[Names, Filled()]
SIZE = 64  # pictures are resized to this before they are judged


@dataclass(frozen=True)
class Target:
    """One scene parameter that a network learns to read, named 'category.parameter'. `kind` decides its outputs:
    'angle' (radians): two, cosine and sine; 'number': one, in units of `scale` around `center`;
    'label' (0, 1, ... count-1): `count` logits."""

    name: str
    kind: Literal["angle", "number", "label"]
    center: float = 0.0
    scale: Positive = 1.0
    count: Count = 1
    __post_init__ = check_fields

    @property
    def width(self) -> int:
        return {"angle": 2, "number": 1, "label": self.count}[self.kind]

    def decode(self, outputs: Tensor) -> Tensor:
        """Outputs [N, width] -> the parameter in its own unit, [N] (a label as a float, like the renderer's)."""
        if self.kind == "angle":
            return torch.atan2(outputs[:, 1], outputs[:, 0])
        if self.kind == "label":
            return outputs.argmax(1).float()
        return outputs[:, 0] * self.scale + self.center

    def loss(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """Squared error, or cross entropy of a label, a scalar near 1 for an ignorant network.

        outputs [N, width]; truth [N] in the parameter's own unit, NaN where a picture has no such parameter (left out).
        """
        known = ~truth.isnan()
        truth = truth.nan_to_num()
        if self.kind == "angle":
            each = (outputs - torch.stack([truth.cos(), truth.sin()], 1)).square().sum(1)
        elif self.kind == "label":
            each = functional.cross_entropy(outputs, truth.long(), reduction="none") / math.log(self.count)
        else:
            each = (outputs[:, 0] - (truth - self.center) / self.scale).square()
        return (each * known).sum() / known.sum().clamp_min(1)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut, norm and activation first; `stride` 2 halves the size."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(out_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False) if in_channels != out_channels else None
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        h = functional.silu(self.norm1(x))
        shortcut = functional.avg_pool2d(h, self.stride) if self.stride > 1 else x
        if self.shortcut is not None:
            shortcut = self.shortcut(shortcut)
        h = self.conv1(h)
        return shortcut + self.conv2(functional.silu(self.norm2(h)))


class Judge(nn.Module):
    """A residual network with one vector of features and linear heads on it.

    categories: what it can name. targets: scene parameters it reads. predicates: names it decides (world.PREDICATES).
    widths: channels at strides 2, 4, 8, 16. dim: length of the feature vector.
    """

    @checked
    def __init__(self, categories: Categories, targets: list | tuple, predicates: Names,
                 widths: Widths = (32, 64, 96, 128),
                 dim: Count = 128):
        super().__init__()
        # A weight file gives targets back as dicts.
        targets = tuple(target if isinstance(target, Target) else Target(**target) for target in targets)
        self.categories, self.targets, self.predicates = tuple(categories), targets, tuple(predicates)
        self.config = dict(categories=self.categories, targets=[asdict(target) for target in targets],
                           predicates=self.predicates, widths=tuple(widths), dim=dim)
        self.stem = nn.Conv2d(3, widths[0], 5, 2, 2, bias=False)
        blocks = [Residual(widths[0], widths[0])]
        for a, b in zip(widths[:-1], widths[1:]):
            blocks += [Residual(a, b, stride=2), Residual(b, b)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(widths[-1])
        # Pose is a matter of where things are, so the last 4x4 cells are flattened, not averaged.
        self.embed = nn.Linear(widths[-1] * 16, dim)
        self.read = nn.Linear(dim, sum(t.width for t in targets))
        self.name = nn.Linear(dim, len(categories) + 1)  # the last one: none of them, not recognisable
        self.decide = nn.Linear(dim, len(predicates))

    def levels(self, images: Tensor) -> list[Tensor]:
        """Feature maps [N, C_i, H_i, W_i] of images [N, 3, H, W] in [-1, 1], from fine to coarse."""
        x, found = self.stem(images), []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found

    @explained
    def features(self, images: Tensor) -> Tensor:
        """Feature vectors [N, dim] of images [N, 3, H, W] in [-1, 1], sides multiples of 32 (resized to 64 inside)."""
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % 32 or images.shape[3] % 32:
            raise ValueError(f"Judge wants RGB images [N, 3, H, W] in [-1, 1] with H and W multiples of 32; "
                             f"got {tuple(images.shape)}. Crop or resize them first.")
        if images.shape[2:] != (SIZE, SIZE):
            images = functional.interpolate(images, size=(SIZE, SIZE), mode="bilinear", antialias=True,
                                            align_corners=False)
        h = functional.silu(self.norm(self.levels(images.clamp(-1, 1))[-1]))
        return functional.silu(self.embed(h.flatten(1)))

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Raw outputs, for training: name -> [N, width] for each target, 'category' [N, categories + 1] logits (the
        last for none), 'predicates' [N, predicates] logits."""
        vector = self.features(images)
        widths = [t.width for t in self.targets]
        raw = dict(zip((t.name for t in self.targets), self.read(vector).split(widths, dim=1)))
        return raw | {"category": self.name(vector), "predicates": self.decide(vector)}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Judge images [N, 3, H, W] in [-1, 1].

        Returns name -> [N]: each parameter 'category.parameter' in its own unit (meaningful if the picture is of that
        category), each predicate as a probability, and each category as the probability that the picture is
        recognisable as one.
        """
        raw = self.outputs(images)
        read = {t.name: t.decode(raw[t.name]) for t in self.targets}
        decided = dict(zip(self.predicates, raw["predicates"].sigmoid().unbind(1)))
        return read | decided | dict(zip(self.categories, raw["category"].softmax(1).unbind(1)))

    def satisfies(self, name: str, images: Tensor) -> Tensor:
        """Which images [N, 3, H, W] show the predicate `name` (see world.PREDICATES): booleans [N].

        Whether a picture is recognisable at all is another question; ask `recognisable`.
        """
        if name not in self.predicates:
            raise ValueError(f"This judge decides {', '.join(self.predicates)}; it was asked for {name!r}. "
                             "Train another with `python -m sketchgan pretrain judge`.")
        return self(images)[name] > 0.5

    def recognisable(self, category: str, images: Tensor) -> Tensor:
        """Which images [N, 3, H, W] are recognisable as the category, not as another or as nothing: booleans [N]."""
        if category not in self.categories:
            raise ValueError(f"This judge knows {', '.join(self.categories)}; it was asked for {category!r}. "
                             "Train another with `python -m sketchgan pretrain judge --categories ...`.")
        winner = self.outputs(images)["category"].argmax(1)
        return winner == self.categories.index(category)


def confusion(said: Tensor, true: Tensor) -> list[int]:
    """Counts [true positive, false positive, false negative, true negative] of what is said where it is true, booleans
    [N]."""
    return [int(both.sum()) for both in (said & true, said & ~true, ~said & true, ~said & ~true)]
