"""Few-shot synthesis on Menagerie: how well are samples labelled, how well are layouts followed, and beside what.

    python benchmarks/fewshot.py                          # all that is missing in results/fewshot.csv, then the table
    python benchmarks/fewshot.py --shots 1 --kinds dense --seeds 0

Samples of a GAN have no true parts, so two small segmenters stand beside: one plays the person who labels the shots, the
other judges; they have learnt from different scenes, and neither is touched by what is measured. Their mIoU on held-out
scenes, whose parts are known, comes first: no other number here can be better than that. Layouts to paint are true masks
of held-out scenes that nothing has seen.
"""
import argparse
import time
from pathlib import Path

import torch
from _results import RESULTS, ROOT, WEIGHTS, machine, read, show, write
from torch import nn
from torch.nn import functional

from sketchgan.fewshot import (
    Classes,
    EncoderConfig,
    Examples,
    Refinement,
    appearances,
    calibrate,
    learn_labels,
    new_layouts,
    sample_codes,
    synthesize,
    teach,
)
from sketchgan.fewshot.labels import feature_map
from sketchgan.fewshot.synthesis import judged
from sketchgan.files.progress import Progress
from sketchgan.measure import color_spread, frechet_distance, moments
from sketchgan.nets import sample
from sketchgan.nets.judge import Residual
from sketchgan.photos import rendered, to_float
from sketchgan.weights import checkpoints, load_generator, load_judge
from sketchgan.world import PART_NAMES

CSV = RESULTS / "fewshot.csv"
SCENES, HELD_OUT = 1024, 128    # that each segmenter learns from; that it, and all layouts, are measured on
SEED_SCENES, SEED_HELD_OUT = 5, 4
SAMPLES = 256                   # on which pseudo labels are measured


class Segmenter(nn.Module):
    """Pictures [N, 3, 64, 64] -> logits of parts [N, count, 64, 64]: a small pyramid with shortcuts across."""

    def __init__(self, count: int):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1)
        self.down = nn.ModuleList([Residual(16, 32, 2), Residual(32, 64, 2), Residual(64, 96, 2)])
        self.up = nn.ModuleList([nn.Conv2d(160, 48, 3, 1, 1), nn.Conv2d(80, 24, 3, 1, 1)])
        self.out = nn.Conv2d(40, count, 1)

    def forward(self, x):
        x, skips = self.stem(x), []
        for block in self.down:
            skips.append(x)
            x = block(x)
        for layer in self.up:
            x = functional.silu(layer(torch.cat([functional.interpolate(x, scale_factor=2), skips.pop()], 1)))
        return self.out(torch.cat([functional.interpolate(x, scale_factor=2, mode="bilinear"), skips.pop()], 1))

    @torch.no_grad()
    def parts(self, images):
        """Parts int64 [N, R, R], from 1: as label maps count."""
        return torch.cat([self(part).argmax(1) + 1 for part in images.split(64)])


def segmenter(category: str, number: int, folder: Path, images: int = 14_000) -> Segmenter:
    """Segmenter 0 (who labels) or 1 (who judges), from its file or trained: each on scenes of its own."""
    path, count = folder / f"segmenter_{category}_{number}.safetensors", len(PART_NAMES[category])
    torch.manual_seed(number)
    net = Segmenter(count).to(memory_format=torch.channels_last)
    if path.is_file():
        net.load_state_dict(checkpoints.read_tensors(path)[0])
        return net.eval()
    scenes = rendered(category, 2 * SCENES, 64, SEED_SCENES, ("image", "parts"))
    own = slice(number * SCENES, (number + 1) * SCENES)
    pictures, parts = scenes["image"][own], scenes["parts"][own].long()
    random, batch = torch.Generator().manual_seed(number), 32
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=images // batch)
    for _ in Progress(range(images // batch), desc=f"segmenter {number}"):
        chosen = torch.randint(SCENES, (batch,), generator=random)
        x, y = to_float(pictures[chosen]), parts[chosen]
        mirrored = torch.rand(batch, generator=random) < 0.5
        x, y = torch.where(mirrored[:, None, None, None], x.flip(3), x), torch.where(mirrored[:, None, None], y.flip(2), y)
        tint = 0.15 * torch.randn(2, batch, 3, 1, 1, generator=random)      # samples are never quite like renders
        grain = 0.1 * torch.rand(batch, 1, 1, 1, generator=random) * torch.randn(x.shape, generator=random)
        loss = functional.cross_entropy(net(x * (1 + tint[0]) + tint[1] + grain), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    checkpoints.write_safetensors(path, net.state_dict(), {})
    return net.eval()


def agreement(found: torch.Tensor, true: torch.Tensor, count: int) -> dict[str, float]:
    """Share of equal pixels where something is asked, and the mean over classes of intersection over union."""
    asked = true > 0
    ious = []
    for c in range(1, count + 1):
        a, b = (found == c) & asked, true == c
        if b.any():
            ious.append((a & b).sum().item() / (a | b).sum().item())
    return {"pixels": (found == true)[asked].float().mean().item(), "miou": sum(ious) / len(ious)}


def linear_probe(G, ws, masks, count: int, steps: int = 300):
    """A linear classifier of the same features on the same shots (as LinearGAN and DatasetGAN do): ws -> labels."""
    features = feature_map(G, ws, (16, 32))
    grown = functional.interpolate(features, (64, 64), mode="bilinear").permute(0, 2, 3, 1)[masks > 0]
    torch.manual_seed(0)
    layer = nn.Linear(grown.shape[1], count)
    optimizer = torch.optim.Adam(layer.parameters(), 0.05, weight_decay=1e-4)
    for _ in range(steps):
        loss = functional.cross_entropy(layer(grown * 10), masks[masks > 0] - 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def labels(ws):
        logits = torch.cat([layer(10 * feature_map(G, part, (16, 32)).permute(0, 2, 3, 1)) for part in ws.split(64)])
        return functional.interpolate(logits.permute(0, 3, 1, 2), (64, 64), mode="bilinear").argmax(1) + 1

    return labels
