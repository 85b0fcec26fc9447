"""A studio of portraits, for Jupyter: pick who sits and whose style it is, turn structure and colour up and down."""
import math
import os
import threading
from pathlib import Path

import torch

from .. import plotting
from ..files.atomic import write_atomically
from ..files.checks import Seed, checked
from ..portraits.transfer import COLOUR, STRUCTURE, Portraitist
from ..widgets.parts import WIDE, Message, Picture, button, folded, row, w

SITTERS, SIDE = 8, 224      # contents in the strip; screen pixels of the large pictures
KEEP = {"the style's": "no", "the content's": "weights", "the content's, fitted": "code"}


class PortraitStudio(w.VBox):
    """One content in one style, live.

        studio = PortraitStudio(portraitist)
        studio.picture()              [1, 3, R, R], as the knobs are set
        studio.options()              what to give `Portraitist.transfer` for the same

    portraitist: network, styles and, for new styles, a sampler. seed: of the first content in the strip.
    folder: where Save writes.
    """

    @checked
    def __init__(self, portraitist: Portraitist, seed: Seed = 0, folder: str | os.PathLike = "outputs/portraits"):
        self.portraitist, self.network, self.folder = portraitist, portraitist.network, Path(folder)
        self.names, self._lock, self._held = list(portraitist.codes), threading.RLock(), False
        self._make_knobs(seed)
        self._lay_out()
        self._show_strips()
        self.show()

    def _make_knobs(self, seed):
        number = lambda value, low, high, name, tooltip: w.BoundedIntText(
            value, low, high, description=name, tooltip=tooltip, style={"description_width": "auto"},
            layout=w.Layout(width="130px"))
        slider = lambda value, name, tooltip: w.FloatSlider(value, min=0.0, max=1.5, step=0.05, description=name,
                                                            tooltip=tooltip)
        self.seed = number(seed % 2**31, 0, 2**31 - 1, "seed", "Each seed is another strip of contents")
        self.content = number(1, 1, SITTERS, "content", "Number in the upper strip")
        self.style = w.Dropdown(options=self.names, description="style", tooltip="Whose style it is")
        self.other = button("Random style", "A new style, from the sampler; without one, any of those known",
                            self.random_style)
        self.structure = slider(STRUCTURE, "structure", "How far shapes follow the style; above 1 it exaggerates")
        self.colour = slider(COLOUR, "colour", "How far colours and textures follow the style")
        self.keep = w.Dropdown(options=list(KEEP.items()), description="colours")
        self.truncation = w.FloatSlider(1.0, min=0.0, max=1.0, step=0.05, description="truncation",
                                        tooltip="Below 1 the content is nearer to the mean")
        self.rows = [w.FloatSlider(value, min=0.0, max=1.5, step=0.05, description=f"row {i}") for i, value in
                     enumerate([STRUCTURE] * self.network.border
                               + [COLOUR] * (self.network.num_ws - self.network.border))]
        self.status, self.new_seed = Message(), None
        self.save_button = button("Save", "Write the result and what it was made of", lambda: self.status.guard(
            self.save))
        self.seed.observe(lambda _: (self._show_strips(), self.show()), "value")
        self.style.observe(lambda _: self._pick(None), "value")
        for knob in (self.content, self.keep, self.truncation, *self.rows):
            knob.observe(lambda _: self.show(), "value")
        for knob in (self.structure, self.colour):
            knob.observe(lambda _: self._spread(), "value")

    def _lay_out(self):
        strip = lambda: w.Image(format="png", layout=w.Layout(width=WIDE))
        self.sitters, self.examples = strip(), strip()
        self.plain, self.example, self.result = (Picture(SIDE) for _ in range(3))
        self.caption = w.HTML()
        super().__init__([row(self.seed, self.content, self.style, self.other), self.sitters, self.examples,
                          row(self.structure, self.colour), row(self.keep, self.truncation),
                          row(self.plain, self.example, self.result), self.caption,
                          folded("each row's weight", *self.rows), row(self.save_button), self.status],
                         layout=w.Layout(max_width="800px"))

    # ---- what programs use

    def options(self):
        """The weights of all rows, whose colours are kept, and the truncation."""
        return dict(weights=[knob.value for knob in self.rows], preserve_colour=self.keep.value,
                    truncation_psi=self.truncation.value)

    def contents(self):
        """z of the strip, [8, z_dim]."""
        return torch.randn(SITTERS, self.network.z_dim, generator=torch.Generator().manual_seed(self.seed.value))

    def picture(self):
        """The portrait as the knobs are set, [1, 3, R, R] in [-1, 1]."""
        style = self.style.value if self.new_seed is None else self.new_seed
        return self.portraitist.transfer(self._sitter(), style, **self.options())

    def random_style(self):
        """Take a new style from the sampler, or any known one where there is none."""
        if self.portraitist.sampler is None:
            others = [name for name in self.names if name != self.style.value] or self.names
            self.style.value = others[int(torch.randint(len(others), ()))]
        else:
            self._pick(int(torch.randint(2**31 - 1, ())))

    def save(self):
        """Writes the portrait at its own size, and content, style and portrait beside each other; returns the path."""
        style = self.style.value if self.new_seed is None else f"new-{self.new_seed}"
        path = self.folder / f"{self.seed.value}-{self.content.value}-{Path(style).stem}.png"
        write_atomically(path, plotting.png(plotting.image_grid(self.picture().cpu()), 6))
        sheet = self.portraitist.overview(self._sitter(), self.style.value if self.new_seed is None else self.new_seed,
                                          **self.options())
        write_atomically(path.with_name(f"{path.stem}_overview.png"), plotting.png(sheet, 6))
        self.status.say(f"saved {path}")
        return path

    # ---- the view

    def _sitter(self):
        return self.contents()[self.content.value - 1][None]

    def _pick(self, seed):
        self.new_seed = seed
        self.show()

    def _spread(self):
        """The two sliders set all rows on their side of the border; the picture is made once."""
        with self._lock:
            self._held = True
            try:
                for i, knob in enumerate(self.rows):
                    knob.value = (self.structure if i < self.network.border else self.colour).value
            finally:
                self._held = False
        self.show()

    def _show_strips(self):
        enlarged = max(1, math.ceil(96 / self.network.resolution))
        strip = lambda images: plotting.png(plotting.image_grid(images.cpu(), SITTERS, enlarged))
        self.sitters.value = strip(self.portraitist.plain(self.contents()))
        known = [self.portraitist.pictures[name] for name in self.names if name in self.portraitist.pictures]
        self.examples.value = strip(torch.stack(known[:: max(1, len(known) // SITTERS)][:SITTERS])) if known else b""

    def show(self):
        """Paints the three large pictures again."""
        if self._held:
            return
        with self._lock:
            scale = max(1, SIDE // self.network.resolution)
            large = lambda x: plotting.png(plotting.image_grid(x.cpu(), 1, scale))
            self.plain.show(large(self.portraitist.plain(self._sitter(), self.truncation.value)), "the content")
            known = self.portraitist.pictures.get(self.style.value) if self.new_seed is None else None
            style = self.style.value if self.new_seed is None else self.new_seed
            # A style without an example is shown as what the generator makes of its code.
            example = self.portraitist.plain(self.portraitist.style(style)) if known is None else known[None]
            self.example.show(large(example), "the style")
            self.result.show(large(self.picture()), "the content in the style")
            said = self.style.value if self.new_seed is None else f"a new style, {self.new_seed}"
            self.caption.value = f"content {self.content.value} of seed {self.seed.value}; style: {said}; the portrait"
