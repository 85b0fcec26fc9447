"""How near a GAN comes to a sketch, and whether the sketch stands where it paints: said while one draws."""

import html
import threading

import torch

from .. import plotting
from ..customizing import frozen_sketcher
from ..drawing import SketchError, chamfer, sketch_of, targets, usual_box
from ..drawing.placing import bounds, fit
from ..drawing.strokes import FRAME
from ..nets import sample
from .parts import Picture, row, w

SAMPLES, SHOWN = 256, 3
# Mean distance of the nearest three in shares of the side, colour, word, advice. To drawings of what it paints, a base
# comes within 1.0 to 1.7 px of 64; to a star, another animal or a triangle 1.8 to 3.5, to a small sketch in a corner 5.
LEVELS = ((1.7 / 64, "#1a9641", "near", "this GAN paints such pictures"),
          (2.6 / 64, "#d98200", "some way off", "it will come nearer, perhaps not all the way"),
          (9.0, "#d7191c", "far", "this GAN paints nothing like it; draw a whole outline of what it paints"))


class Nearness(w.VBox):
    """The samples of G that come nearest to the sketch in hand, a verdict in a colour, and the switch of the fit.

    G, F: as for `SketchPad`. changed: called without arguments when the fit has changed. What G paints is looked up
    once, on a thread: some seconds, in which one can draw already.
    """

    def __init__(self, G, F, changed):
        self.G, self._changed = G, changed
        self.F = frozen_sketcher(F, batch_stats=False)      # our own, so that no other thread meets it half switched
        self.usual = self._images = self._outlines = self._sketch = None
        self._lock, self._placed, self._due, self._works = threading.Lock(), threading.Event(), False, False
        self.fit = w.Checkbox(True, description="fit it to where this GAN paints (blue)",
                              tooltip="Move and scale a sketch that stands where this GAN does not paint", indent=False,
                              layout=w.Layout(width="auto"))
        self.fit.observe(lambda _: changed(), "value")
        self.pictures = [Picture(56) for _ in range(SHOWN)]
        self.verdict = w.HTML()
        super().__init__([row(*self.pictures, w.VBox([self.verdict, self.fit], layout=w.Layout(flex="1 1 220px")))])

    def fitted(self, strokes, wait=True):
        """The strokes where training gets them: themselves if they stand well, or if the fit is off.

        wait: False gives them as they are while nobody knows yet where G paints.
        """
        if wait:
            self._placed.wait()
        if not self.fit.value or self.usual is None or self.usual.holds(bounds(strokes) / FRAME):
            return strokes
        try:
            return tuple(fit(strokes, self.usual.box, FRAME))
        except SketchError:                                 # a dot has no size
            return strokes

    def show(self, sketch):
        """Says how near G comes to a sketch [1, 1, R, R], soon; None is a blank one."""
        with self._lock:
            self._sketch, self._due = sketch, True
            if not self._works:
                self._works = True
                threading.Thread(target=self._work, daemon=True, name="nearness").start()

    @torch.no_grad()
    def _work(self):
        """Looks up what G paints if that is not known, then answers the newest question until there is no other."""
        try:
            if self._outlines is None:
                self._look()
            while self._again():
                self._answer(self._sketch)
        except Exception as error:                          # in a thread it would be invisible; and it does not go on
            self.verdict.value = html.escape(f"how near this GAN comes cannot be said: {error}")

    def _look(self):
        self.verdict.value = "looking at what this GAN paints ..."
        try:
            self.usual = usual_box(self.G, self.F)
        finally:
            self._placed.set()
        self._changed()
        self._images = sample(self.G, SAMPLES)
        drawn = sketch_of(self._images.to(next(self.F.parameters()).device), self.F).cpu()
        self._outlines = targets(drawn, self.G.resolution / 6)

    def _again(self):
        with self._lock:
            again, self._due = self._due, False
            self._works = again
            return again

    def _answer(self, sketch):
        if sketch is None:
            self.verdict.value = "Draw, and this says how near the GAN comes to it."
            for picture in self.pictures:
                picture.value = ""
            return
        distances, order = chamfer(sketch, self._outlines)[0].sort(stable=True)
        away = distances[:SHOWN].mean().item()
        colour, word, advice = next(level[1:] for level in LEVELS if away <= level[0] * self.G.resolution)
        for picture, i, distance in zip(self.pictures, order, distances):
            png = plotting.png(plotting.image_grid(self._images[i][None]))
            picture.show(png, f"a sample {distance:.1f} px from this sketch")
        style = f"border-left: 6px solid {colour}; padding-left: 6px; line-height: 1.3"
        self.verdict.value = (f'<div role="status" style="{style}"><b>{word}</b>: the nearest of {SAMPLES} samples are '
                              f"{away:.1f} px away; {advice}</div>")
