"""PhotoSketch: the network F that draws the contours of a photograph (Li et al. 2019, as GANSketching uses it)."""
from collections.abc import Iterable

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from ..files.checks import Count, Whole, checked, explained
from ..ops import conv2d

IN_CHANNELS, OUT_CHANNELS = 3, 1


class FrozenStatsBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose running buffers no forward pass ever changes.

    With `batch_stats` it normalises with the statistics of the batch at hand, otherwise with its running buffers;
    `train()` and `eval()` make no difference.
    """

    batch_stats = True

    def forward(self, x: Tensor) -> Tensor:
        mean, var = (None, None) if self.batch_stats else (self.running_mean, self.running_var)
        return nnf.batch_norm(x, mean, var, self.weight, self.bias, training=self.batch_stats, eps=self.eps)


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution by ops.conv2d, which takes what is fastest for its derivatives."""

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight)


class ResnetBlock(nn.Module):
    """Two 3x3 convolutions around an identity; nothing after the sum."""

    def __init__(self, channels: int):
        super().__init__()
        # The Dropout(0) does nothing; it keeps the indices of the public checkpoints (1, 2, 6, 7).
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), Conv3x3(channels, channels, 3, bias=False), FrozenStatsBatchNorm2d(channels),
            nn.ReLU(inplace=True), nn.Dropout(0.0),
            nn.ReflectionPad2d(1), Conv3x3(channels, channels, 3, bias=False), FrozenStatsBatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class PhotoSketch(nn.Module):
    """Photograph to contour drawing: encoder, residual blocks at a quarter of the size, decoder.

    Args:
        ngf: channels of the first layer (64 in the public checkpoint).
        n_blocks: residual blocks (9 in the public checkpoint).
    Attributes:
        batch_stats: True (the default, and how PhotoSketch and GANSketching run it) normalises with the statistics
            of the batch, so a sketch depends on the images beside it; False uses the running buffers, so it does
            not.  Rank or compare images only with False.  The running buffers change in `measure_running_stats` alone.
    """

    @checked
    def __init__(self, ngf: Count = 64, n_blocks: Whole = 9):
        super().__init__()
        self.ngf, self.n_blocks = ngf, n_blocks
        norm = FrozenStatsBatchNorm2d
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(IN_CHANNELS, ngf, 7, bias=False), norm(ngf), nn.ReLU(inplace=True)]
        for c in (ngf, 2 * ngf):
            layers += [nn.Conv2d(c, 2 * c, 3, stride=2, padding=1, bias=False), norm(2 * c), nn.ReLU(inplace=True)]
        layers += [ResnetBlock(4 * ngf) for _ in range(n_blocks)]
        for c in (4 * ngf, 2 * ngf):
            layers += [nn.ConvTranspose2d(c, c // 2, 3, stride=2, padding=1, output_padding=1, bias=False),
                       norm(c // 2), nn.ReLU(inplace=True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, OUT_CHANNELS, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    @property
    def config(self) -> dict:
        """The arguments that build this network again."""
        return dict(ngf=self.ngf, n_blocks=self.n_blocks)

    @property
    def batch_stats(self) -> bool:
        return all(m.batch_stats for m in self._norms())

    @batch_stats.setter
    def batch_stats(self, value: bool) -> None:
        for m in self._norms():
            m.batch_stats = bool(value)

    def _norms(self) -> list[FrozenStatsBatchNorm2d]:
        return [m for m in self.modules() if isinstance(m, FrozenStatsBatchNorm2d)]

    @explained
    def forward(self, img: Tensor) -> Tensor:
        """Sketches `[N, 1, H, W]` in [-1, 1] (paper +1, ink -1) of images `[N, 3, H, W]` in [-1, 1].

        Raises:
            ValueError: unless H and W are multiples of 4, at least 8 (the network halves the size twice).
        """
        if img.ndim != 4 or img.shape[1] != IN_CHANNELS or any(size % 4 or size < 8 for size in img.shape[2:]):
            raise ValueError(f"PhotoSketch got {list(img.shape)} and wants [N, {IN_CHANNELS}, H, W] with H and W "
                             f"multiples of 4, at least 8; resize or crop the images first")
        return self.model(img.contiguous(memory_format=torch.channels_last)).contiguous()

    @torch.no_grad()
    def measure_running_stats(self, batches: Iterable[Tensor]) -> None:
        """Set the running buffers to the mean statistics over `batches` of images `[N, 3, H, W]`; do so after training.

        A plain mean over a few hundred images has neither the lag nor the noise of a moving average.
        """
        sums: dict[nn.Module, list[Tensor]] = {m: [] for m in self._norms()}

        def collect(module: nn.Module, inputs: tuple[Tensor]) -> None:
            var, mean = torch.var_mean(inputs[0], (0, 2, 3))
            sums[module].append(torch.stack([mean, var]))

        hooks = [m.register_forward_pre_hook(collect) for m in sums]
        before, self.batch_stats = self.batch_stats, True
        try:
            for img in batches:
                self(img)
        finally:
            self.batch_stats = before
            for hook in hooks:
                hook.remove()
        for m, stats in sums.items():
            if not stats:
                raise ValueError("measure_running_stats got no images; give it at least one batch [N, 3, H, W]")
            mean, var = torch.stack(stats).mean(0)
            m.running_mean.copy_(mean)
            m.running_var.copy_(var)
            m.num_batches_tracked.fill_(len(stats))
