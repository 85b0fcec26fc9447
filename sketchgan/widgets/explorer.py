"""Looking round in a generator, for Jupyter: seeds, truncation, noise, mixing of styles, before and after."""

import os
import threading
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import nn

from .. import plotting
from ..customizing.state import frozen_sketcher
from ..files.atomic import write_atomically
from ..files.checks import Count, Limits, Seed, checked
from .parts import WIDE, Message, button, grid, row, w

NOISES = {"the same for all": "const", "fresh for each": "random", "none": "none"}


def _styles(G, seed, count, truncation_psi):
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, G.z_dim, generator=random).to(next(G.parameters()).device)
    return G.mapping(z, truncation_psi), random             # [count, num_ws, w_dim]


@torch.no_grad()
@checked
def seeded_samples(G: nn.Module, seed: Seed = 0, count: Count = 8, truncation_psi: float = 1.0,
                   noise_mode: Literal["const", "random", "none"] = "const"):
    """Samples [count, 3, R, R] of a generator; the same seed gives the same z, and the same noise, to any other.

    truncation_psi: 1 for all the variety, 0 for the mean picture. noise_mode: as for `Generator.synthesis`.
    """
    ws, random = _styles(G, seed, count, truncation_psi)
    return G.synthesis(ws, noise_mode, random)


@torch.no_grad()
def mixed_samples(G, first, second, layers, seed=0, truncation_psi=1.0, noise_mode="const"):
    """Three pictures [3, 3, R, R]: a sample, the same with some layers' styles from another one, and that other one.

    first, second: numbers of the two samples of this seed, from 0. layers: (from, to), the layers that come from the
    second, counted from 0, the last one not included. All three have the same noise.
    Source: style mixing, Karras et al. 2019, "A Style-Based Generator Architecture", section 3.1.
    """
    ws, _ = _styles(G, seed, 1 + max(first, second), truncation_psi)
    a, b = ws[[first]], ws[[second]]
    mixed = torch.cat([a[:, :layers[0]], b[:, slice(*layers)], a[:, layers[1]:]], 1)
    return torch.cat([G.synthesis(ws, noise_mode, torch.Generator().manual_seed(seed)) for ws in (a, mixed, b)])


class SampleExplorer(w.VBox):
    """Samples of a generator under your hands, beside those of the original at the same z and noise.

        SampleExplorer(G, before=original, F=F)
        explorer.samples()            {'before': [N, 3, R, R], 'now': [N, 3, R, R]}, as set
        explorer.mixed()              [3, 3, R, R]: see `mixed_samples`
        explorer.save_sheet(path)     one picture of all rows; explorer.save_images(folder) each sample as a PNG

    G: the generator. before: the original, or None. F: the sketcher; with it, outlines can be shown below the samples.
    count: samples in a row. seed: to begin with. folder: where the buttons save.
    """

    @checked
    def __init__(self, G: nn.Module, before: nn.Module | None = None, F: nn.Module | None = None,
                 count: Annotated[int, Limits(1, 64)] = 8, seed: Annotated[int, Limits(0, 2**31 - 1)] = 0,
                 folder: str | os.PathLike = "outputs/samples"):
        if before is not None and (before.z_dim, before.resolution) != (G.z_dim, G.resolution):
            raise ValueError(f"before makes {before.resolution} px from z of {before.z_dim} numbers, G {G.resolution} "
                             f"px from {G.z_dim}: the same z means nothing to both. Give the one G was made from")
        self.networks = ({"before": before} if before is not None else {}) | {"now": G}
        self.G, self.count, self._lock = G, count, threading.RLock()
        self.F = F if F is None else frozen_sketcher(F, batch_stats=False)
        self._make_knobs(seed, folder)
        self._make_rows()
        self._show_samples()
        self._show_mixed()

    def _make_knobs(self, seed, folder):
        narrow, last = {"description_width": "auto"}, self.G.num_ws
        number = lambda value, low, high, name, tooltip: w.BoundedIntText(
            value, low, high, description=name, tooltip=tooltip, style=narrow, layout=w.Layout(width="130px"))
        self.seed = number(seed, 0, 2**31 - 1, "seed", "Each seed is another row of samples")
        self.other_button = button("Other samples", "Go on to the next seed",
                                   lambda: setattr(self.seed, "value", self.seed.value + 1))
        self.truncation = w.FloatSlider(1.0, min=0.0, max=1.5, step=0.05, description="truncation",
                                        tooltip="1: all the variety; less: nearer to the mean, with fewer failures")
        self.noise = w.Dropdown(options=list(NOISES.items()), description="noise", layout=w.Layout(width="230px"),
                                tooltip="Noise decides what style leaves open: single hairs, grain")
        self.outlines = w.ToggleButton(description="Outlines", tooltip="Show how F draws each sample, below it",
                                       layout=w.Layout(width="auto", display=None if self.F is not None else "none"))
        self.first = number(1, 1, self.count, "mix sample", "Number in the row of the sample that is changed")
        self.second = number(min(2, self.count), 1, self.count, "with sample", "Number of the one that lends its style")
        self.layers = w.IntRangeSlider(value=(last // 2 + 1, last), min=1, max=last, description="layers",
                                       tooltip="Layers that take the other's style: first come pose, last colours")
        self.folder = w.Text(str(folder), description="folder", tooltip="Where pictures are saved", style=narrow,
                             layout=w.Layout(width="260px"))
        self.status = Message()
        self.sheet_button = button(
            "Save sheet", "Write all rows as one picture, sheet_SEED.png", lambda: self.status.guard(
                lambda: self.save_sheet(Path(self.folder.value) / f"sheet_{self.seed.value}.png")))
        self.images_button = button("Save PNGs", "Write each sample as a picture of its own",
                                    lambda: self.status.guard(self.save_images, self.folder.value))
        for knob in (self.seed, self.truncation, self.noise, self.outlines):
            knob.observe(lambda _: self._show_samples(), "value")
        for knob in (self.seed, self.truncation, self.noise, self.first, self.second, self.layers):
            knob.observe(lambda _: self._show_mixed(), "value")

    def _make_rows(self):
        self.rows = {name: w.Image(format="png", layout=w.Layout(width=WIDE)) for name in self.networks}
        self.mixture = w.Image(format="png", layout=w.Layout(width="38%", min_width="240px"))
        self.mixture_caption = w.HTML()
        captions = {"before": "<b>before</b>: the original, from the same z and noise", "now": "<b>now</b>"}
        super().__init__([row(self.seed, self.other_button, self.truncation, self.noise, self.outlines),
                          *(part for name, images in self.rows.items() for part in (w.HTML(captions[name]), images)),
                          row(self.first, self.second, self.layers), self.mixture_caption, self.mixture,
                          row(self.folder, self.sheet_button, self.images_button), self.status],
                         layout=w.Layout(max_width="800px"))

    # ---- what programs use

    def samples(self):
        """{'before' (if there is one), 'now': [count, 3, R, R]} as the knobs are set."""
        return {name: seeded_samples(G, self.seed.value, self.count, self.truncation.value, self.noise.value)
                for name, G in self.networks.items()}

    def mixed(self):
        """[3, 3, R, R] of G: the first sample, the mixture, the second sample."""
        low, high = self.layers.value
        return mixed_samples(self.G, self.first.value - 1, self.second.value - 1, (low - 1, high), self.seed.value,
                             self.truncation.value, self.noise.value)

    def sheet(self):
        """A PIL image of all rows with their names, as shown."""
        blocks = []
        for name, images in self.samples().items():
            blocks.append((name, plotting.image_grid(images, 8, 2)))
            if self.outlines.value:
                blocks.append(("outlines", plotting.sketch_sheet(self._drawn(images), 8, 2)))
        return plotting.stack(blocks)

    def save_sheet(self, path):
        """Writes the sheet as PNG, whole or not at all."""
        write_atomically(path, plotting.png(self.sheet(), 6))
        self.status.say(f"saved {path}")

    def save_images(self, folder):
        """Writes each sample of G as folder/seed_SEED_NUMBER.png at its own size; returns the paths."""
        images = self.samples()["now"]
        paths = [Path(folder) / f"seed_{self.seed.value}_{i + 1}.png" for i in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            write_atomically(path, plotting.png(plotting.image_grid(image[None]), 6))
        self.status.say(f"saved {len(paths)} pictures in {folder}")
        return paths

    # ---- the view

    def _show_samples(self):
        with self._lock:
            for name, images in self.samples().items():
                self.rows[name].value = grid(images, self._drawn(images))

    def _show_mixed(self):
        with self._lock:
            first, second, (low, high) = self.first.value, self.second.value, self.layers.value
            self.mixture_caption.value = (f"sample {first}; the same with the style of sample {second} in layer"
                                          + (f" {low}" if low == high else f"s {low} to {high}") + f"; sample {second}")
            self.mixture.value = grid(self.mixed())

    @torch.no_grad()
    def _drawn(self, images):
        return self.F.to(images.device)(images) if self.outlines.value else None
