"""A board to label samples and to paint layouts on, for Jupyter: colours in, pictures out, live."""
from __future__ import annotations

import functools
import time
from typing import Annotated

import torch
from torch import nn

from .. import plotting
from ..fewshot import (
    Classes,
    Examples,
    LayoutError,
    LayoutModel,
    Refinement,
    appearances,
    learn_labels,
    sample_codes,
    synthesize,
)
from ..fewshot.board import LabelBoard
from ..files.checks import Limits, Seed, checked
from ..widgets.parts import BUSY, LOCK, Message, Picture, button, grid, row, w
from .label_canvas import LabelCanvas

HINT = """<details style="line-height: 1.4"><summary>Choose a class, then paint or fill. Keys ...</summary>
On the paper, <b>0</b> to <b>9</b> choose the class (0 takes colour away), <b>B</b> takes the brush and <b>F</b> fill,
<b>[</b> and <b>]</b> change the width, <b>arrow keys</b> move a cross (with Shift: further) and <b>space</b> puts the
brush down and lifts it, <b>Ctrl+Z</b> undoes, <b>Ctrl+Y</b> redoes, <b>Tab</b> or <b>Esc</b> leaves the paper.
</details>"""
SHOWN = 6       # appearances in the strip


class LayoutPad(w.VBox):
    """Paint a label map and see what a generator makes of it; or lay a sample below and label that.

        pad = LayoutPad(G, classes=Classes(("sky", "ground", "cat")))     # to label samples
        pad.examples()                     what was kept with "Keep as example"
        pad = LayoutPad(G, model)          # to paint: the picture follows each stroke
        pad.mask()                         -> int64 [1, R, R];  pad.result: the last `Synthesis`
        pad.change("undo")                 what the buttons do: undo, redo, clear
        pad.on_change(f)                   calls f(pad) after each change

    G: the generator. model: a LayoutModel of it; without one nothing is painted, until examples give labels to look at.
    classes: names and colours, the model's own without it. size: side of the paper on the screen. seed: of the sample
    below.
    """

    @checked
    def __init__(self, G: nn.Module, model: LayoutModel | None = None, classes: Classes | None = None,
                 size: Annotated[int, Limits(64, 1024)] = 256, seed: Seed = 0):
        if model is None and classes is None:
            raise ValueError("classes is None and model is None; give the classes to label, Classes(('sky', 'cat')), "
                             "or a model that has some")
        if model is not None:
            model.require(G)
            if classes is not None and classes != model.classes:
                raise ValueError("classes are not those of the model; leave them out, or leave out the model")
        self.G, self.model, self.classes = G, model, model.classes if model else classes
        self.labeller = model.labeller if model else None
        self.board, self.result, self.seconds = LabelBoard(G.resolution), None, 0.0
        self._kept, self._listeners, self._variety = [], [], 0
        self._make_buttons()
        keys = {"ctrl+z": "undo", "ctrl+shift+z": "redo", "ctrl+y": "redo"}
        keys = {key: functools.partial(self.change, name) for key, name in keys.items()}
        keys |= {str(i): functools.partial(self.choose, i) for i in range(min(10, len(self.classes) + 1))}
        keys |= {"b": lambda: setattr(self.tool, "value", "brush"), "f": lambda: setattr(self.tool, "value", "fill"),
                 "[": lambda: setattr(self.breadth, "value", self.breadth.value - 1),
                 "]": lambda: setattr(self.breadth, "value", self.breadth.value + 1)}
        self.canvas = LabelCanvas(self.board, self.classes.palette, size, self._do, keys, after=self.undo_button)
        self._make_tools()
        self._arrange(size)
        self.choose(1)
        self.underlay(seed)
        self.said.say("Paint a layout: the picture follows")

    def _make_buttons(self):
        named = lambda name, label, tooltip: button(label, tooltip, functools.partial(self.change, name))
        self.undo_button = named("undo", "Undo", "Take back the last change (Ctrl+Z)")
        self.redo_button = named("redo", "Redo", "Do again what Undo took back (Ctrl+Y)")
        self.clear_button = named("clear", "Clear", "Remove all colours")
        self.status, self.said = Message(), Message()
        guarded = lambda label, tooltip, action, style="": button(
            label, tooltip, lambda: self.status.guard(action), style=style)
        self.other_button = guarded("Other sample", "Lay another sample of the generator below the paper",
                                    lambda: self.underlay(self.seed + 1))
        self.label_button = guarded("Label this sample for me", "What the examples say of it; correct what is wrong",
                                    self.label_sample)
        self.keep_button = guarded("Keep as example", "These labels belong to the sample below: learn from them",
                                   self.keep_example)
        self.refine_button = guarded("Refine", "Bring the picture nearer to the layout: a second or two", self.refine)
        self.vary_button = guarded("Other appearances", "The same layout, other random rows", self.vary)
        self._names = ("unknown", *self.classes.names)
        self.class_buttons = [button(name, f"Paint {name} ({i})" if i else "Take colour away (0)",
                                     functools.partial(self.choose, i)) for i, name in enumerate(self._names)]

    def _make_tools(self):
        narrow = {"description_width": "auto"}
        line = dict(display="flex", flex_flow="row", width="auto", grid_gap="8px")
        self.tool = w.RadioButtons(options=["brush", "fill"], orientation="horizontal", description="tool",
                                   style=narrow, tooltip="Brush paints a line, fill a region (B, F)",
                                   layout=w.Layout(**line))
        self.breadth = w.BoundedIntText(max(1, self.G.resolution // 10), 1, self.G.resolution, description="width",
                                        style=narrow, tooltip="Of the brush, in pixels of the picture ([ and ])",
                                        layout=w.Layout(width="110px"))
        self.strength = w.RadioButtons(options=[("faint", 0.4), ("strong", 0.7), ("opaque", 1.0)], value=0.7,
                                       orientation="horizontal", description="colours", style=narrow,
                                       tooltip="How much the colours cover the sample below", layout=w.Layout(**line))
        follow = lambda knob, name: knob.observe(lambda _: setattr(self.canvas, name, knob.value), "value")
        follow(self.tool, "tool"), follow(self.breadth, "breadth"), follow(self.strength, "strength")
        self.strength.observe(lambda _: self.canvas.paint(), "value")
        self.canvas.breadth = self.breadth.value

    def _arrange(self, size):
        swatch = lambda color: w.HTML('<div style="width: 18px; height: 18px; margin-top: 5px; border: 1px solid #888; '
                                      f'background: rgb{tuple(int(v) for v in color)}"></div>')
        chooser = row(*(w.HBox([swatch(color), made]) for color, made in zip(self.classes.palette, self.class_buttons)),
                      max_width="420px")
        self.picture, self.strip = Picture(size), w.Image(format="png", layout=w.Layout(max_width="100%"))
        paper = w.VBox([self.canvas, row(self.undo_button, self.redo_button, self.clear_button)])
        self.answer = w.VBox([self.picture, row(self.refine_button, self.vary_button)])
        self.answers = w.VBox([self.said, self.strip])
        for part in (self.answer, self.answers) if self.model is None else ():
            part.layout.display = "none"
        super().__init__([w.HTML(HINT), chooser, row(self.tool, self.breadth, self.strength),
                          row(paper, self.answer, align_items="flex-start", grid_gap="4px 12px"),
                          row(self.other_button, self.label_button, self.keep_button), self.status, BUSY, self.answers],
                         layout=w.Layout(max_width="800px"))

    # ---- what programs use

    def mask(self):
        """What is painted, int64 [1, R, R], 0 where nothing is."""
        with LOCK:
            return torch.from_numpy(self.board.mask.astype("int64"))[None]

    def load(self, mask):
        """Puts a label map [R, R] or [1, R, R] on the paper in place of what is there."""
        mask = self.classes.checked_ids(torch.as_tensor(mask)).reshape(mask.shape[-2:])
        self._do(lambda: self.board.replace(mask.numpy()))

    def change(self, name):
        """Does what a button does: undo, redo or clear."""
        self._do(getattr(self.board, name))

    def choose(self, label):
        """Takes class number `label` in hand; 0 takes colour away."""
        self.canvas.label = label
        for i, made in enumerate(self.class_buttons):
            made.button_style = "primary" if i == label else ""

    def on_change(self, listener):
        """Calls `listener(pad)` after each change of the layout, on whatever thread the change comes."""
        self._listeners.append(listener)

    def underlay(self, seed):
        """Lays the sample of a seed below the paper; what is painted stays."""
        self.seed, self.ws = seed, sample_codes(self.G, [seed])
        with torch.no_grad():
            self.canvas.lay_below(self.G.synthesis(self.ws, noise_mode="const").clamp(-1, 1).cpu())
        self.canvas.paint()
        self.status.say(f"sample {seed} lies below the paper")

    def label_sample(self):
        """Paints what the examples say of the sample below; LayoutError before there are any."""
        if self.labeller is None:
            raise LayoutError("nothing has been learnt yet: paint each class on this sample, then keep it as example")
        self.load(self.labeller.labels(self.G, self.ws).cpu())

    def keep_example(self):
        """Takes the sample below and what is painted on it as an example; from then on its labels are known."""
        if self.board.blank:
            raise LayoutError("nothing is painted: label the sample below first")
        self._kept = [kept for kept in self._kept if kept[0] != self.seed] + [(self.seed, self.ws, self.mask())]
        self.status.say(f"{len(self._kept)} kept: sample{'s' * (len(self._kept) > 1)} "
                        f"{', '.join(str(seed) for seed, *_ in self._kept)}")
        if self.model is None:                              # a model's own labels stay as they were trained
            examples = self.examples()
            self.labeller = learn_labels(self.G, examples.ws, examples.masks, len(self.classes))

    def examples(self):
        """The examples that were kept; LayoutError if there are none."""
        if not self._kept:
            raise LayoutError("no example was kept: label the sample below the paper, then press Keep as example")
        return Examples(self.classes, torch.cat([ws for _, ws, _ in self._kept]),
                        torch.cat([mask for *_, mask in self._kept]))

    def refine(self, steps=40):
        """Brings the picture nearer to the layout; seconds."""
        self._paint_result(Refinement(steps=steps))

    def vary(self):
        """Shows other appearances of the present picture."""
        self._variety += 1
        self._show_strip()

    # ---- showing

    def _do(self, change):
        began = time.perf_counter()
        with LOCK:
            before = self.board.mask
            change()
            changed = self.board.mask is not before
            self.canvas.paint()
        if changed:
            self.status.guard(self._paint_result)
            self.seconds = time.perf_counter() - began
            for listener in self._listeners:
                listener(self)

    def _paint_result(self, refinement=None):
        """The picture of the layout, its cosine, and other appearances."""
        if self.model is None:
            return
        if self.board.blank:
            self.result = None
            self.picture.show(plotting.png(plotting.image_grid(torch.ones(1, 3, 8, 8))), "no picture yet")
            self.strip.value = b""
            return self.said.say("Paint a layout: the picture follows")
        self.result = synthesize(self.model, self.G, self.mask(), refinement=refinement)
        sheet = plotting.image_grid(self.result.images, 1, max(1, self.picture.side // self.G.resolution))
        self.picture.show(plotting.png(sheet), "the picture of this layout")
        self.said.say(self.result.said())
        self._show_strip()

    def _show_strip(self):
        if self.result is not None:
            images = appearances(self.model, self.G, self.mask(), SHOWN, self._variety, ws=self.result.ws).images
            self.strip.value = grid(images)
