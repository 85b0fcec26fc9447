"""The board of photographs: a picture is projected before your eyes, handed to another model, edited, saved."""

import base64
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
from torch import nn

from .. import plotting
from ..drawing.sketches import IMAGE_SUFFIXES
from ..editing.carrying import PhotoEdit
from ..editing.ganspace import edit, find_components
from ..editing.projector import ProjectConfig, Projection, projecting, usual_losses
from ..files.atomic import write_atomically
from ..files.checks import Able, Limits, checked
from ..nets.encoders import Encoder
from ..photos import PictureError, read_square, to_float
from ..widgets.parts import COUNTLESS, LOCK, WIDE, Message, Picture, button, row, uploader, w
from .painter import Painter, Undo

SIDE, REACH, STEP = 192, 6.0, 0.25      # screen pixels of a picture; sigmas that a slider goes either way
STEPS, QUICK = 150, 60                  # of a projection from the mean, and from an encoder's answer
USUAL = 4                               # samples that tell what a projection usually reaches
Found = Annotated[object, Able(names=("direction", "vectors"))]


class PhotoEditor(w.VBox):
    """A photograph under sliders: projected into the original, painted by a customised model, moved along directions.

        board = PhotoEditor({"original": G, "mine": mine}, encoder=load_encoder(path))
        board.take(image); board.find(); board.wait()     as Upload and Find do
        board.found                                        the Projection, or None
        board.picture()                                    [1, 3, R, R] as set: swapped and edited

    models: name -> generator, the original first; the others customised from it. D: what sees the perceptual part
    of the loss, see `projecting`; without it pixels alone count, in half the time. encoder: of the original, to begin
    with; see `pretrain photo-encoder`. config: of the projection. components, named: directions, see `EditExplorer`.
    count: how many sliders. folder: where Save writes. threaded: see `Painter`.
    """

    @checked
    def __init__(self, models: dict[str, nn.Module], D: nn.Module | None = None, encoder: Encoder | None = None,
                 config: ProjectConfig | None = None, components: Found | None = None, named: dict | None = None,
                 count: Annotated[int, Limits(1, 8)] = 3, seed: Annotated[int, Limits(0, 2**31 - 1)] = 0,
                 folder: str | os.PathLike = "outputs/photos", threaded: bool | None = None):
        if not models:
            raise ValueError("models is {}; give name -> generator, the original first, then those made of it")
        self.models, self.G = models, next(iter(models.values()))
        for name, other in models.items():
            if (other.z_dim, other.num_ws, other.w_dim) != (self.G.z_dim, self.G.num_ws, self.G.w_dim):
                raise ValueError(f"models has {name!r}, which is built otherwise than the first: nothing can be "
                                 "carried over. Give models customised from one original")
        self.D, self.encoder = D, encoder
        self.config = config or ProjectConfig(start="mean" if encoder is None else "encoder",
                                              steps=STEPS if encoder is None else QUICK)
        found = components or find_components(self.G, count)
        named = {name: getattr(item, "direction", item) for name, item in (named or {}).items()}
        self.directions = named | {f"component {i}": found.direction(i) for i in range(min(count, len(found)))}
        self.found: Projection | None = None
        self.photo: torch.Tensor | None = None
        self._edit, self._usual, self._stopped = None, None, False
        self.status, self.verdict = Message(), Message()
        self.projector, self.painter = Painter(self.status, threaded), Painter(self.status, threaded)
        self._make_knobs(seed, folder)
        self._make_board()
        self._history = Undo(self._settings, self._put)
        self.sample()

    def _make_knobs(self, seed, folder):
        narrow, last = {"description_width": "auto"}, self.G.num_ws
        self.upload = uploader("Photo", "Edit a photo from your computer; its middle square is taken", IMAGE_SUFFIXES,
                               self._uploaded, self.status)
        self.seed = w.BoundedIntText(seed, 0, 2**31 - 1, description="or sample", style=narrow,
                                     layout=w.Layout(width="150px"), tooltip="A sample of the original instead")
        self.find_button = button("Find", "Look for latents that paint the photo", self.find, style="primary")
        self.stop_button = button("Stop", "Keep the best so far", self.stop)
        self.model = w.Dropdown(options=list(self.models), description="painted by", style=narrow,
                                value=list(self.models)[-1], layout=w.Layout(width="230px"),
                                tooltip="Which model paints the latents of the photo")
        self.keep = w.FloatSlider(1.0, min=0.0, max=1.5, step=0.05, description="keep", readout_format=".2f",
                                  tooltip="How much of what only this photo has is carried over to the other model")
        self.layers = w.IntRangeSlider(value=(1, last), min=1, max=last, description="in layers",
                                       tooltip="Layers in which it is kept: the first hold pose, the last colours")
        self.sliders = [w.FloatSlider(0.0, min=-REACH, max=REACH, step=STEP, description=name, readout_format="+.2f",
                                      style={"description_width": "110px"}, layout=w.Layout(width="380px"),
                                      tooltip=f"Sigmas along {name}; arrow keys move it") for name in self.directions]
        self.undo_button = button("Undo", "Back to before the last change", self.undo)
        self.reset_button = button("Reset", "All sliders as they were", self.reset)
        self.folder = w.Text(str(folder), description="folder", style=narrow, layout=w.Layout(width="240px"))
        self.save_button = button("Save", "Write photo, projection and result", lambda: self.status.guard(self.save))
        self.link = w.HTML()
        self.seed.observe(lambda _: self.sample(), "value")
        for name, knob in dict(model=self.model, keep=self.keep, layers=self.layers,
                               **dict(zip(self.directions, self.sliders))).items():
            knob.observe(lambda _, name=name: self._history.note(name) and self._show(), "value")

    def _make_board(self):
        self.views = {name: Picture(SIDE) for name in ("photo", "found", "result")}
        captions = ("the photo", "what the original paints of it", "as set below")
        columns = [w.VBox([w.HTML(f"<small>{caption}</small>"), view])
                   for caption, view in zip(captions, self.views.values())]
        super().__init__([COUNTLESS, row(self.upload, self.seed, self.find_button, self.stop_button), row(*columns),
                          self.status, self.verdict, row(self.model, self.keep, self.layers), *self.sliders,
                          row(self.undo_button, self.reset_button, self.folder, self.save_button, self.link)],
                         layout=w.Layout(max_width="820px", width=WIDE))

    # ---- what programs use

    @checked
    def take(self, image: torch.Tensor) -> None:
        """Takes a picture [1, 3, R, R] in [-1, 1] to be edited; `find` looks for its latents."""
        if image.shape != (1, 3, self.G.resolution, self.G.resolution):
            raise ValueError(f"image is {list(image.shape)}; wanted [1, 3, {self.G.resolution}, {self.G.resolution}]")
        self.stop()
        with LOCK:
            self.photo, self.found, self._edit = image.detach().float().clamp(-1, 1), None, None
        self._place("photo", self.photo, "the photo")
        for name in ("found", "result"):
            self._place(name, torch.ones_like(self.photo), "nothing yet")
        self.verdict.say("")
        self.status.say("press Find")

    @torch.no_grad()
    def sample(self) -> None:
        """Takes a sample of the original, that of `seed`, instead of a photo."""
        z = torch.randn(1, self.G.z_dim, generator=torch.Generator().manual_seed(self.seed.value))
        self.take(self.G(z.to(next(self.G.parameters()).device), noise_mode="const"))

    def find(self) -> None:
        """Begins to look for latents; the view follows."""
        self._stopped = False
        self.projector.ask(self._projection)

    def stop(self) -> None:
        """Ends the search; the best so far stays."""
        self._stopped = True

    def wait(self, seconds: float = 120.0) -> bool:
        """Returns when everything asked for is done: True, or False if that takes longer."""
        return self.projector.wait(seconds) and self.painter.wait(seconds)

    def edited(self, ws: torch.Tensor) -> torch.Tensor:
        """Latents moved as the sliders say."""
        for slider, direction in zip(self.sliders, self.directions.values()):
            ws = edit(ws, direction, slider.value) if slider.value else ws
        return ws

    def picture(self) -> torch.Tensor:
        """The result [1, 3, R, R]: carried over to the model that is chosen, and edited."""
        if self._edit is None:
            raise ValueError("there are no latents of this photo yet: press Find")
        customised = self.models[self.model.value]
        low, high = self.layers.value
        found = replace(self._edit, customised=customised, keep=self.keep.value, layers=range(low - 1, high))
        return found.paint(self.edited, swapped=customised is not self.G)

    def undo(self) -> None:
        """Back to before the last change."""
        self.status.say("" if self._history.undo() else "there is nothing to undo")
        self._show()

    def reset(self) -> None:
        """All sliders as they were in the beginning; can be undone."""
        self._history.note("reset")
        self._history.put((self.model.value, 1.0, (1, self.G.num_ws), [0.0] * len(self.sliders)))
        self._show()

    def save(self) -> Path:
        """Writes photo, projection and result side by side, and the result alone; returns the first path."""
        result = self.picture()
        path = Path(self.folder.value) / f"photo_{self.model.value}.png"
        both = torch.cat([self.photo, self.found.images.clamp(-1, 1), result])
        write_atomically(path, plotting.png(plotting.image_grid(both, 3, max(1, 256 // result.shape[-1])), 6))
        write_atomically(path.with_stem(f"{path.stem}_alone"), plotting.png(plotting.image_grid(result), 6))
        self.status.say(f"saved {path}")
        return path

    # ---- hands and views

    def _uploaded(self, name, data):
        try:
            square, _ = read_square(data, self.G.resolution)
        except PictureError as error:
            raise ValueError(f"{name} cannot be edited: {error}; save it again as PNG or JPEG") from error
        self.take(to_float(torch.tensor(square).permute(2, 0, 1)[None]))
        self.find()

    def _settings(self):
        return (self.model.value, self.keep.value, tuple(self.layers.value), [s.value for s in self.sliders])

    def _put(self, settings):
        self.model.value, self.keep.value, self.layers.value, sigmas = settings
        for slider, sigma in zip(self.sliders, sigmas):
            slider.value = sigma

    def _projection(self):
        """The search, step by step; then how good that is, which takes a few samples of the original."""
        photo = self.photo
        for found in projecting(self.G, photo, self.D, self.config, self.encoder):
            if not self._hold(photo, found):
                return
            if found.step % 5 == 0 or found.step == found.steps:
                self._place("found", found.images, "what the original paints of the photo")
                self.status.say(f"step {found.step} of {found.steps}, {found.psnr.item():.1f} dB, {found.eyes}")
            yield
            if self._stopped:
                break
        self._place("found", found.images, "what the original paints of the photo")
        if not self._hold(photo, found, PhotoEdit(found, self.G)):
            return
        self._show()
        yield
        if self._usual is None:
            self._usual = usual_losses(self.G, self.D, self.config, self.encoder, USUAL, progress=False)
        self.verdict.say(found.verdict(self._usual)[0])

    def _hold(self, photo, found, made=None):
        """Keeps what was found of this photo, unless another has been taken meanwhile: then False."""
        with LOCK:
            if self.photo is not photo:
                return False
            self.found, self._edit = found, made or self._edit
            return True

    def _show(self):
        if self._edit is not None:
            self.painter.ask(self._result)

    def _result(self):
        image = self.picture()
        moved = ", ".join(f"{s.description} {s.value:+g}" for s in self.sliders if s.value) or "no edit"
        self._place("result", image, f"the photo, painted by {self.model.value}, {moved}")
        self.link.value = (f'<a download="photo.png" href="data:image/png;base64,'
                           f'{base64.b64encode(plotting.png(plotting.image_grid(image), 6)).decode()}">Download</a>')
        yield

    def _place(self, name, image, text):
        scale = max(1, SIDE // image.shape[-1])
        self.views[name].show(plotting.png(plotting.image_grid(image.clamp(-1, 1), scale=scale)), text)
