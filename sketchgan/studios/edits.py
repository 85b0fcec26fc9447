"""The board of latent edits: a slider for each direction, with pictures of both of its ends, for Jupyter."""

import os
import time
from pathlib import Path
from typing import Annotated

import torch
from torch import nn

from .. import plotting
from ..editing.ganspace import Direction, edit, find_components
from ..files.atomic import write_atomically
from ..files.checks import Able, Limits, checked
from ..widgets.parts import WIDE, Message, Picture, button, row, w
from .painter import Painter, Undo

SIDE, END = 256, 64             # screen pixels of the picture, and of the pictures at the ends
REACH, STEP = 3.0, 0.25         # sigmas that a slider goes either way
Found = Annotated[object, Able(names=("direction", "vectors"))]


class EditExplorer(w.VBox):
    """A sample under sliders: principal components, and directions with names.

        board = EditExplorer({"original": G, "mine": mine}, named=directions)
        board.picture()                 [1, 3, R, R] as set; board.latents() its ws; board.edits what the sliders say

    models: a generator, or name -> generator, the original first: directions are found there, and mean the same on
    those that were customised from it. components: of the original, or None to find them. named: name -> Direction or
    `Named`. count: sliders on a page. seed: of the sample to begin with. folder: where Save writes. threaded: see
    `Painter`.
    """

    @checked
    def __init__(self, models: nn.Module | dict[str, nn.Module], components: Found | None = None,
                 named: dict | None = None, count: Annotated[int, Limits(1, 12)] = 6,
                 seed: Annotated[int, Limits(0, 2**31 - 1)] = 0, folder: str | os.PathLike = "outputs/edits",
                 threaded: bool | None = None):
        models = models if isinstance(models, dict) else {"original": models}
        if not models:
            raise ValueError("models is {}; give a generator, or a dict name -> generator, the original first")
        self.models, G = models, next(iter(models.values()))
        for name, other in models.items():
            if (other.z_dim, other.num_ws, other.w_dim) != (G.z_dim, G.num_ws, G.w_dim):
                raise ValueError(f"models has {name!r}, which is built otherwise than {next(iter(models))!r}: the same "
                                 f"z and directions mean nothing to both. Give models customised from one original")
        self.components = components or find_components(G)
        if self.components.vectors.shape[1] != G.w_dim:
            raise ValueError(f"components are of w_dim {self.components.vectors.shape[1]}, and models of {G.w_dim}: "
                             f"leave them out, and they are found")
        named = {name: getattr(found, "direction", found) for name, found in (named or {}).items()}
        if not all(isinstance(found, Direction) for found in named.values()):
            raise ValueError("named holds something that is no Direction; give what `find_directions` found")
        self.directions = named | {f"component {i}": self.components.direction(i) for i in range(len(self.components))}
        self.amounts: dict[str, float] = {}
        self.status = Message()
        self.painter, self._shown = Painter(self.status, threaded), []
        self._make_knobs(seed, folder, count, len(named))
        self._make_sliders(count)
        self._history = Undo(self._settings, self._put)
        self._turn_page()
        self._ask()

    def _make_knobs(self, seed, folder, count, named):
        narrow, last = {"description_width": "auto"}, next(iter(self.models.values())).num_ws
        names = list(self.directions)
        starts = [*range(0, named, count), *range(named, len(names), count)]
        ends = [*starts[1:], len(names)]
        pages = [(names[a:b], f"{names[a]} to {names[b - 1].split()[-1]}" if a >= named else f"named {a + 1} to {b}")
                 for a, b in zip(starts, ends)]
        self.model = w.Dropdown(options=list(self.models), description="model", style=narrow, layout=w.Layout(
            width="200px", display=None if len(self.models) > 1 else "none"), tooltip="Whose picture is edited")
        self.seed = w.BoundedIntText(seed, 0, 2**31 - 1, description="seed", style=narrow, tooltip="Which sample",
                                     layout=w.Layout(width="130px"))
        self.truncation = w.FloatSlider(1.0, min=0.0, max=1.5, step=0.05, description="truncation",
                                        tooltip="Before the edit; less: nearer to the mean, with fewer failures")
        self.page = w.Dropdown(options=[(title, tuple(part)) for part, title in pages], description="directions",
                               style=narrow, layout=w.Layout(width="270px"), tooltip="Which directions have sliders")
        self.layers = w.IntRangeSlider(value=(1, last), min=1, max=last, description="layers",
                                       tooltip="Layers that move: the first have pose, the last colours; all of them: "
                                               "as each direction has it")
        self.folder = w.Text(str(folder), description="folder", style=narrow, layout=w.Layout(width="240px"))
        self.undo_button = button("Undo", "Back to before the last change", self.undo)
        self.reset_button = button("Reset", "All sliders to 0, all layers", self.reset)
        self.other_button = button("Other sample", "Go on to the next seed; the sliders stay",
                                   lambda: setattr(self.seed, "value", self.seed.value + 1))
        self.save_button = button("Save", "Write the picture before and after", lambda: self.status.guard(self.save))
        for name, knob in dict(model=self.model, seed=self.seed, truncation=self.truncation,
                               layers=self.layers).items():
            knob.observe(lambda _, name=name: self._changed(name), "value")
        self.page.observe(lambda _: (self._turn_page(), self._ask()), "value")

    def _make_sliders(self, count):
        self.before, self.after = Picture(SIDE // 2), Picture(SIDE)
        self.sliders, self.ends, rows = [], [], []
        for i in range(count):
            slider = w.FloatSlider(0.0, min=-REACH, max=REACH, step=STEP, readout_format="+.2f",
                                   style={"description_width": "110px"},
                                   layout=w.Layout(flex="1 1 200px", min_width="200px"))
            slider.observe(lambda change, i=i: self._slid(i, change.new), "value")
            self.sliders.append(slider)
            self.ends.append((Picture(END), Picture(END)))
            rows.append(row(self.ends[i][0], slider, self.ends[i][1]))
        self._rows = rows
        pictures = w.VBox([self.after, w.HTML("<small>before:</small>"), self.before])
        board = w.HBox([pictures, w.VBox(rows, layout=w.Layout(flex="1 1 360px"))],
                       layout=w.Layout(flex_flow="row wrap", grid_gap="0 12px"))
        super().__init__([row(self.model, self.seed, self.other_button, self.truncation),
                          row(self.page, self.layers, self.undo_button, self.reset_button), board,
                          row(self.folder, self.save_button), self.status],
                         layout=w.Layout(max_width="820px", width=WIDE))

    # ---- what programs use

    @property
    def edits(self) -> list[tuple[Direction, float, range | None]]:
        """(direction, sigmas, layers) of every slider that is not at 0, on all pages; layers None: the direction's."""
        return [(self.directions[name], sigma, self._layers()) for name, sigma in self.amounts.items() if sigma]

    def latents(self, edited: bool = True, but: dict[str, float] | None = None) -> torch.Tensor:
        """ws [1, num_ws, w_dim] as set; edited=False without the edits; but: name -> sigmas instead of the slider's."""
        G = self.models[self.model.value]
        z = torch.randn(1, G.z_dim, generator=torch.Generator().manual_seed(self.seed.value))
        ws = G.mapping(z.to(next(G.parameters()).device), self.truncation.value)
        if not edited:
            return ws
        for name, sigma in (self.amounts | (but or {})).items():
            ws = edit(ws, self.directions[name], sigma, self._layers()) if sigma else ws
        return ws

    @torch.no_grad()
    def picture(self, edited: bool = True) -> torch.Tensor:
        """The picture [1, 3, R, R] as set, or before the edits."""
        return self._paint(self.latents(edited))

    def undo(self) -> None:
        """Back to before the last change."""
        self.status.say("" if self._history.undo() else "there is nothing to undo")
        self._ask()

    def reset(self) -> None:
        """All sliders to 0, all layers; can be undone."""
        seed, model, truncation, *_ = self._settings()
        self._history.note("reset")
        self._history.put((seed, model, truncation, (self.layers.min, self.layers.max), {}))
        self._ask()

    def save(self) -> Path:
        """Writes the picture before and after, side by side, as folder/seed_SEED.png; returns the path."""
        path = Path(self.folder.value) / f"seed_{self.seed.value}.png"
        both = torch.cat([self.picture(False), self.picture()]).clamp(-1, 1)
        write_atomically(path, plotting.png(plotting.image_grid(both, 2, max(1, 256 // both.shape[-1])), 6))
        self.status.say(f"saved {path}")
        return path

    # ---- hands

    def _layers(self):
        low, high = self.layers.value
        return None if (low, high) == (self.layers.min, self.layers.max) else range(low - 1, high)

    def _settings(self):
        return (self.seed.value, self.model.value, self.truncation.value, tuple(self.layers.value), dict(self.amounts))

    def _put(self, settings):
        seed, model, truncation, layers, self.amounts = *settings[:4], dict(settings[4])
        self.seed.value, self.model.value, self.truncation.value, self.layers.value = seed, model, truncation, layers
        self._turn_page()

    def _changed(self, by):
        if self._history.note(by):
            self._ask()

    def _slid(self, i, sigma):
        if self._turning or i >= len(self._shown):
            return
        self.amounts[self._shown[i]] = round(sigma, 3)      # a browser steps to 2.000000000000001
        self._changed(self._shown[i])

    _turning = False

    def _turn_page(self):
        """Gives the sliders the names and amounts of the page that is chosen."""
        self._shown, self._turning = list(self.page.value), True
        for i, (slider, line) in enumerate(zip(self.sliders, self._rows)):
            line.layout.display = None if i < len(self._shown) else "none"
            if i < len(self._shown):
                slider.description, slider.value = self._shown[i], self.amounts.get(self._shown[i], 0.0)
                slider.tooltip = f"Sigmas along {self._shown[i]}; arrow keys move it"
        self._turning = False

    # ---- the view

    @torch.no_grad()
    def _paint(self, ws):
        G = self.models[self.model.value]
        return torch.cat([G.synthesis(part, "const").cpu() for part in ws.split(8)])

    def _ask(self):
        self.painter.ask(self._job)

    def _job(self):
        """First the picture, then what stands beside it."""
        began, at = time.perf_counter(), self._settings()
        self._place(self.after, self.picture()[0], f"sample {at[0]} of {at[1]}, edited")
        moved = ", ".join(f"{direction.name} {sigma:+g}" for direction, sigma, _ in self.edits) or "no edit"
        self.status.say(f"{moved}; painted in {time.perf_counter() - began:.2f} s")
        yield
        self._place(self.before, self.picture(False)[0], f"sample {at[0]} of {at[1]}, as it was")
        yield
        for name, pair in zip(list(self._shown), self.ends):
            both = self._paint(torch.cat([self.latents(but={name: sigma}) for sigma in (-REACH, REACH)]))
            for picture, image, sigma in zip(pair, both, (-REACH, REACH)):
                self._place(picture, image, f"{name} at {sigma:+g} sigmas")
            yield

    def _place(self, picture, image, text):
        picture.show(plotting.png(plotting.image_grid(image[None].clamp(-1, 1))), text)
