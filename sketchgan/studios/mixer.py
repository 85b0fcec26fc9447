"""The board of mixtures: an original and one or two models customised from it, on a map under the hand, for Jupyter."""

import os
import time
from pathlib import Path
from typing import Annotated

import torch
from PIL import Image
from torch import nn

from .. import plotting
from ..editing.mixing import ORIGINAL, Mixer
from ..files.atomic import write_atomically
from ..files.checks import Limits, checked
from ..weights.checkpoints import save_delta
from ..widgets.hand import ARROWS, CROSS
from ..widgets.parts import BORDER, LOCK, WIDE, Message, Paper, button, grid, painting, row, w
from .painter import Painter, Undo

MOST, STEP = 1.5, 0.05          # of the strengths
SIDE, MARGIN = 176, 26          # pixels of the triangle's side, and round the map
CELLS = 4                       # pictures of the map along a side of the triangle
UP = (0.5, -0.866)              # from the original to the second model, in sides; the first lies at (1, 0)


class ModelMixer(w.VBox):
    """Models between models: a point on the map, or a slider for each customisation, and samples of what lies there.

        board = ModelMixer({"original": G, "side": side, "rider": rider})
        board.shares                    {'original': 0.2, 'side': 0.5, 'rider': 0.3}
        board.samples()                 [count, 3, R, R] of the mixture; board.network() it as one generator

    models: name -> generator, two or three of one family; the first is the original. On the map the corners are the
    models, the straight lines strengths, and beyond the line of the customised two lies the land where both are added,
    up to 1.5 of each. count: samples shown. seed: to begin with. folder: where Save writes. threaded: see `Painter`.
    """

    @checked
    def __init__(self, models: dict[str, nn.Module], count: Annotated[int, Limits(1, 16)] = 4,
                 seed: Annotated[int, Limits(0, 2**31 - 1)] = 0, folder: str | os.PathLike = "outputs/mixtures",
                 threaded: bool | None = None):
        if len(models) not in (2, 3):
            raise ValueError(f"models are {len(models)}; a map has an original and one or two customised from it")
        # What the first is called is for people; for the mixer it is what takes the rest of the shares.
        self.first, *self.names = models
        self.models = models
        self.mixer = Mixer({ORIGINAL if name == self.first else name: G for name, G in models.items()})
        self.G, self.count = models[self.first], count
        self.status = Message()
        self.painter = Painter(self.status, threaded)
        self._map, self._cells, self._held = None, {}, False
        self._sent = w.Image(format="png")                  # the map, as the browser has it: sent when it has changed
        self._make_canvas()
        self._make_knobs(seed, folder)
        self._history = Undo(self._settings, self._put)
        super().__init__([row(self.seed, self.other_button, self.truncation, self.space),
                          row(w.VBox([self.canvas, *self.strengths]), self.view, align_items="flex-start"),
                          row(self.undo_button, self.reset_button, self.middle_button, self.folder, self.save_button),
                          self.status], layout=w.Layout(max_width="860px", width=WIDE))
        self._draw()
        self._ask()

    def _make_canvas(self):
        two = len(self.names) == 2
        width, height = round((MOST * (1 + UP[0] * two)) * SIDE) + 2 * MARGIN, round(-UP[1] * MOST * SIDE * two) \
            + 2 * MARGIN + 16
        self.origin = (MARGIN, height - MARGIN)
        self.canvas = c = Paper(width=width, height=height,
                                tooltip="Map of the models: drag the ring, or move it with the arrow keys")
        c.layout = w.Layout(width=f"{width}px", height=f"{height}px", border=BORDER)
        c.on_mouse_down(self._down), c.on_mouse_move(self._move), c.on_mouse_up(self._up), c.on_mouse_out(self._up)
        c.on_touch_start(lambda touches: self._down(*touches[0])), c.on_touch_move(lambda t: self._move(*t[0]))
        c.on_touch_end(lambda touches: self._up()), c.on_touch_cancel(lambda touches: self._up())
        c.on_key_down(self._key)
        c.on_client_ready(self._draw)

    def _make_knobs(self, seed, folder):
        narrow = {"description_width": "auto"}
        self.seed = w.BoundedIntText(seed, 0, 2**31 - 1, description="seed", style=narrow, tooltip="Which samples",
                                     layout=w.Layout(width="130px"))
        self.other_button = button("Other samples", "Go on to the next seed",
                                   lambda: setattr(self.seed, "value", self.seed.value + 1))
        self.truncation = w.FloatSlider(1.0, min=0.0, max=1.5, step=0.05, description="truncation",
                                        tooltip="Less: nearer to the mean of the mixture, with fewer failures")
        self.space = w.Dropdown(options=[("w space", "w"), ("weight space", "weights")], description="mixed in",
                                style=narrow, layout=w.Layout(width="200px"),
                                tooltip="The answers of the mapping networks, or their weights, which is one network")
        self.strengths = [w.FloatSlider(0.0, min=0.0, max=MOST, step=STEP, description=name, style={
            "description_width": "90px"}, tooltip=f"Strength of {name}: 0 is the original, 1 the model, 1.5 more",
            layout=w.Layout(width=f"{self.canvas.width}px")) for name in self.names]
        self.view = w.Image(format="png", layout=w.Layout(width="300px"))
        self.folder = w.Text(str(folder), description="folder", style=narrow, layout=w.Layout(width="230px"))
        self.undo_button = button("Undo", "Back to before the last change", self.undo)
        self.reset_button = button("Original", "All strengths to 0", lambda: self.go(0.0))
        self.middle_button = button("Middle", "As much of each model", lambda: self.go(1 / len(self.models)))
        self.save_button = button("Save", "Write the samples, and the mixture as a model",
                                  lambda: self.status.guard(self.save))
        for name, knob in dict(seed=self.seed, truncation=self.truncation, space=self.space,
                               **{f"strength {i}": s for i, s in enumerate(self.strengths)}).items():
            knob.observe(lambda _, name=name.split()[0]: self._changed(name), "value")

    # ---- what programs use

    @property
    def shares(self) -> dict[str, float]:
        """Name -> share of the mixture, as set; they sum to 1."""
        amounts = {name: round(s.value, 4) for name, s in zip(self.names, self.strengths)}
        return {self.first: round(1 - sum(amounts.values()), 4)} | amounts

    def go(self, *strengths: float) -> None:
        """Moves the point: a strength for each customisation, or one for all; 0 to 1.5."""
        strengths = strengths * len(self.names) if len(strengths) == 1 else strengths
        if len(strengths) != len(self.names) or not all(0 <= s <= MOST for s in strengths):
            raise ValueError(f"strengths are {strengths}; wanted one for each of {', '.join(self.names)}, from 0 to "
                             f"{MOST}")
        self._history.note("go")
        settings = self._settings()
        self._history.put((*settings[:3], strengths))
        self._draw(), self._ask()

    @torch.no_grad()
    def samples(self) -> torch.Tensor:
        """Samples [count, 3, R, R] of the mixture, as set."""
        return self.G.synthesis(self._ws(self._shares()), "const").cpu()

    def network(self) -> nn.Module:
        """The mixture as one generator: its weights are mixed, whatever the view shows."""
        return self.mixer.network(self._shares())

    def undo(self) -> None:
        """Back to before the last change."""
        self.status.say("" if self._history.undo() else "there is nothing to undo")
        self._draw(), self._ask()

    def save(self) -> list[Path]:
        """Writes the samples as they are shown, and the mixture (in weight space) as a delta to the original."""
        name = "_".join(f"{name}{100 * share:.0f}" for name, share in self.shares.items())
        paths = [Path(self.folder.value) / f"{name}.{suffix}" for suffix in ("png", "safetensors")]
        write_atomically(paths[0], plotting.png(plotting.image_grid(self.samples(), 2, 2), 6))
        save_delta(paths[1], self.network(), self.G, {"mixture": self.shares})
        self.status.say(f"saved {paths[0]} and the model {paths[1].name}, a delta to {self.first}")
        return paths

    def _shares(self, strengths=None):
        strengths = [s.value for s in self.strengths] if strengths is None else strengths
        return {ORIGINAL: 1 - sum(strengths)} | dict(zip(self.names, strengths, strict=True))

    def _ws(self, shares, count=None):
        z = torch.randn(self.count, self.G.z_dim, generator=torch.Generator().manual_seed(self.seed.value))
        return self.mixer.ws(shares, z[:count], self.space.value, self.truncation.value)

    # ---- hands

    def _settings(self):
        return (self.seed.value, self.truncation.value, self.space.value, tuple(s.value for s in self.strengths))

    def _put(self, settings):
        self.seed.value, self.truncation.value, self.space.value, strengths = settings
        for slider, value in zip(self.strengths, strengths):
            slider.value = value

    def _changed(self, by):
        if self._history.note(by):
            self._draw(), self._ask()

    def _down(self, x, y):
        self._held = True
        self._history.note("pen down")                      # a drag is one change, the next drag another
        self._move(x, y)

    def _up(self, *at):
        if len(at) == 2:                                    # the browser leaves out moves that follow each other fast
            self._move(*at)
        self._held = False

    def _move(self, x, y):
        if not self._held:
            return
        x, y = (x - self.origin[0]) / SIDE, (y - self.origin[1]) / SIDE
        second = y / UP[1] if len(self.names) == 2 else 0.0
        wanted = [x - UP[0] * second, second][:len(self.names)]
        at = [min(max(round(s / STEP) * STEP, 0.0), MOST) for s in wanted]
        if at == [s.value for s in self.strengths]:
            return
        self._history.put((*self._settings()[:3], at))
        self._draw(), self._ask()

    def _key(self, key, shift, ctrl, meta):
        """A key pressed on the map, which keeps every key to itself: even Tab leaves it only from here."""
        if key in ARROWS:
            dx, dy = ARROWS[key]
            at = [s.value for s in self.strengths]
            at[0] = min(max(at[0] + dx * STEP * (4 if shift else 1), 0.0), MOST)
            if len(at) == 2:
                at[1] = min(max(at[1] - dy * STEP * (4 if shift else 1), 0.0), MOST)
            self._history.note(f"key {self._settings()}")
            self._history.put((*self._settings()[:3], at))
            self._draw(), self._ask()
        elif key.lower() == "z" and (ctrl or meta):
            self.undo()
        elif key == "Tab" and not shift:
            self.strengths[0].send({"do": "focus"})
            self.canvas.send({"do": "blur"})
        elif key in ("Tab", "Escape"):
            self.canvas.send({"do": "blur"})

    # ---- the view

    def place(self, strengths) -> tuple[float, float]:
        """Where strengths lie on the map, in pixels of the canvas."""
        x = strengths[0] + (UP[0] * strengths[1] if len(strengths) == 2 else 0.0)
        y = UP[1] * strengths[1] if len(strengths) == 2 else 0.0
        return self.origin[0] + x * SIDE, self.origin[1] + y * SIDE

    def _draw(self):
        """The map, the lines between the models, their names, and the ring where the mixture is."""
        c, at = self.canvas, [s.value for s in self.strengths]
        corners = [self.place([float(i == j) for j in range(len(at))]) for i in (-1, *range(len(at)))]
        with painting(c):
            c.global_alpha, c.fill_style = 1, "white"
            c.fill_rect(0, 0, c.width, c.height)
            if self._sent.value:
                c.draw_image(self._sent, 0, 0, c.width, c.height)
            c.stroke_style, c.line_width = "#22252b", 1.5
            c.stroke_lines([*corners, corners[0]])
            c.font = "12px sans-serif"
            for name, (x, y) in zip((self.first, *self.names), corners):
                across, up = max(2, min(x - 20, c.width - 80)), y + (MARGIN - 5 if y >= self.origin[1] else -MARGIN + 5)
                c.fill_style = "rgba(255,255,255,0.85)"
                c.fill_rect(across - 2, up - 11, 7 * len(name) + 4, 14)
                c.fill_style = "#22252b"
                c.fill_text(name, across, up)
            for width, color in ((5, "white"), (3, CROSS)):
                c.line_width, c.stroke_style = width, color
                c.stroke_circle(*self.place(at), 9)

    def _ask(self):
        self.painter.ask(self._job)

    def _job(self):
        """First the samples, then what of the map is not painted yet."""
        began = time.perf_counter()
        self.view.value = grid(self.samples().clamp(-1, 1)) if self.count > 4 else plotting.png(
            plotting.image_grid(self.samples().clamp(-1, 1), 2, max(1, 144 // self.G.resolution)))
        said = ", ".join(f"{name} {100 * share:.0f} %" for name, share in self.shares.items())
        self.status.say(f"{said}; painted in {time.perf_counter() - began:.2f} s")
        yield
        key = self._settings()[:3]
        if self._map != key:
            self._map, self._cells = key, {}
        steps = range(round(MOST * CELLS) + 1)
        lines = [[(a / CELLS, b / CELLS) for a in steps] for b in steps] if len(self.names) == 2 else \
            [[(a / CELLS,) for a in steps]]
        for line in lines:
            if line[0] not in self._cells:
                self._paint_line(line)
                self._show_map()
                yield

    @torch.no_grad()
    def _paint_line(self, line):
        ws = torch.cat([self._ws(self._shares(at), 1) for at in line])
        images = self.G.synthesis(ws, "const").clamp(-1, 1)
        side = SIDE // CELLS - 2
        for at, pixels in zip(line, plotting.to_uint8(images)):
            self._cells[at] = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)

    def _show_map(self):
        sheet = Image.new("RGB", (self.canvas.width, self.canvas.height), "white")
        for at, picture in self._cells.items():
            x, y = self.place(at)
            sheet.paste(picture, (round(x - picture.width / 2), round(y - picture.height / 2)))
        with LOCK:
            self._sent.value = plotting.png(sheet)
        self._draw()
