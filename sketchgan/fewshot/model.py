"""A layout model: everything that one to five labelled pictures have taught, in one file that names its generator."""
from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from ..files.checks import Able, GeneratorLike, check_fields, checked
from ..files.readers import reading
from ..nets.encoders import Encoder
from ..pretraining import fitting
from ..weights import checkpoints
from ..weights.building import build
from .classes import Classes, LayoutError
from .encoder import EncoderConfig, encoder_loss, layouts, new_encoder, pairs, unexplained
from .examples import Examples
from .labels import Labeller, feature_map, learn_labels

BANK, CALIBRATION = 1000, 128       # samples for retrieval; layouts of samples on which the usual score is measured
REMEDY = "Train one with `python -m sketchgan fewshot train`."


def fingerprint(base: str) -> None:
    """Raises ValueError unless this is a `content_hash`."""
    if len(base) != 64 or set(base) - set("0123456789abcdef"):
        raise ValueError(f"base is {base[:70]!r}; wanted the content_hash of a generator, 64 hexadecimal digits")


def check_path(path: str | os.PathLike) -> str | os.PathLike:
    """The path, unless no system could have a file of that name: ValueError."""
    if "\0" in os.fspath(path):
        raise ValueError(f"out is {path!r}, which holds a character of code 0; choose another name")
    return path


@dataclass(eq=False)
class LayoutModel:
    """Classes, pseudo labels and mask encoder of one generator.

    classes: names and colours. labeller: what the examples say. encoder: layouts to latents. base: the fingerprint
    (`content_hash`) of the generator that all this is about. usual: the score below which a layout is far from what it
    paints. info: how it was trained, and how well.
    """

    classes: Classes
    labeller: Labeller
    encoder: Annotated[object, Able(names=("w_avg", "config"))]
    base: Annotated[str, fingerprint]
    usual: float = 0.0
    info: dict = field(default_factory=dict)
    __post_init__ = check_fields

    @property
    def mix_from(self) -> int:
        """The first row of ws that paints above the features that were labelled: what a layout leaves open."""
        return 2 * (max(self.labeller.resolutions).bit_length() - 1) - 3

    def accept(self, G, masks: Tensor) -> Tensor:
        """Label maps as int64 [N, R, R] on G's device, fit for G and for these classes; LayoutError if they are not."""
        self.require(G)
        return self.classes.require(masks, G.resolution).to(next(G.parameters()).device)

    def require(self, G) -> None:
        """Raises LayoutError unless G is the generator that the model was trained for, weight for weight."""
        if getattr(self, "_seen", None) is not G or self._stamp != _stamp(G):
            given = checkpoints.content_hash(G)
            if given != self.base:
                raise LayoutError(f"this model was trained for the generator {self.base[:12]} and G is {given[:12]}: "
                                  "features of another generator mean other things. Load the base it was trained for, "
                                  f"or train a model for this one. {REMEDY}")
            self._seen, self._stamp = G, _stamp(G)

    def bank(self, G) -> tuple[Tensor, Tensor]:
        """Pseudo labels uint8 [1000, r, r] of seeded samples of G, and their w [1000, w_dim]; made once."""
        if not hasattr(self, "_bank"):
            masks, ws = pairs(G, self.labeller, BANK, torch.Generator().manual_seed(0))
            step = G.resolution // max(self.labeller.resolutions)
            self._bank = masks[:, step // 2::step, step // 2::step].to(torch.uint8), ws[:, 0].clone()
        return self._bank

    @checked
    def save(self, path: str | os.PathLike) -> None:
        """Writes one safetensors file: weights, vectors, names, colours, and the fingerprint of the base."""
        labeller = self.labeller
        tensors = {f"encoder.{key}": value for key, value in self.encoder.state_dict().items()}
        tensors |= {"labels.vectors": labeller.vectors, "labels.ids": labeller.ids,
                    "labels.prototypes": labeller.prototypes}
        about = dict(names=self.classes.names, colors=self.classes.colors, kind=labeller.kind, k=labeller.k,
                     resolutions=labeller.resolutions, threshold=labeller.threshold, usual=self.usual)
        checkpoints.write_safetensors(path, tensors, {"config": {"layouts": about, "encoder": self.encoder.config},
                                                      "base": self.base, "info": self.info})


def _stamp(G) -> tuple:
    """Changes when a weight of G was written to: cheap enough for every stroke on the pad."""
    return tuple((id(p), p._version) for p in G.parameters())


@checked
def load_layouts(path: str | os.PathLike, G: GeneratorLike | None = None) -> LayoutModel:
    """The layout model in a file; with G, checked to be that generator's.

    Raises FileNotFoundError, CheckpointError for a file that is damaged or holds something else, LayoutError for
    another generator.
    """
    with reading(path, checkpoints.CheckpointError, REMEDY, also=(FileNotFoundError, LayoutError)):
        tensors, metadata = checkpoints.read_tensors(path)
        configs = metadata["config"] if type(metadata.get("config")) is dict else {}
        about = configs.get("layouts")
        if type(about) is not dict or type(configs.get("encoder")) is not dict:
            raise checkpoints.CheckpointError(f"{path} holds no layout model (it holds {', '.join(configs) or 'none'}"
                                              f" of our networks). {REMEDY}")
        part = lambda prefix: {key.removeprefix(prefix): value for key, value in tensors.items()
                               if key.startswith(prefix)}
        if any(size > sum(t.numel() for t in tensors.values()) for size in configs["encoder"].values()):
            raise checkpoints.CheckpointError(f"{path} describes an encoder larger than the file. {REMEDY}")
        encoder = build(Encoder, configs["encoder"], part("encoder."), path).float()
        labels = part("labels.")
        classes = Classes(tuple(about["names"]), tuple(map(tuple, about["colors"])))
        labeller = Labeller(about["kind"], labels["vectors"], labels["ids"], labels["prototypes"],
                            tuple(about["resolutions"]), about["k"], about["threshold"])
        model = LayoutModel(classes, labeller, encoder, metadata["base"], about["usual"], metadata.get("info") or {})
        if len(classes) != len(labeller.prototypes) or encoder.config["in_channels"] != len(classes):
            raise checkpoints.CheckpointError(f"{path} has {len(classes)} classes, {len(labeller.prototypes)} "
                                              f"prototypes and an encoder of {encoder.config['in_channels']}. {REMEDY}")
    if G is not None:
        model.require(G)
    return model


@torch.no_grad()
@checked
def calibrate(model: LayoutModel, G: GeneratorLike) -> float:
    """Sets and returns `usual`: of layouts of samples, 95 % score above it."""
    masks, _ = pairs(G, model.labeller, CALIBRATION, torch.Generator().manual_seed(2_000_000))
    masks = masks[(masks > 0).flatten(1).any(1)]
    scores = []
    for part in masks.split(32):
        ws = model.encoder.eval()(layouts(part, model.encoder))
        scores.append(model.labeller.agreement(feature_map(G, ws, model.labeller.resolutions), part))
    model.usual = torch.cat(scores).quantile(0.05).item() if scores else 0.0
    return model.usual


@checked
def new_layouts(G: GeneratorLike, examples: Examples, config: EncoderConfig = EncoderConfig(), **rule) -> LayoutModel:
    """A model whose labels are ready and whose encoder knows nothing yet; `teach` trains it.

    rule: kind, resolutions, k, threshold of `learn_labels`.
    """
    labeller = learn_labels(G, examples.ws, examples.masks, len(examples.classes), **rule)
    return LayoutModel(examples.classes, labeller, new_encoder(G, len(examples.classes), config),
                       checkpoints.content_hash(G))


@checked
def teach(model: LayoutModel, G: GeneratorLike, config: EncoderConfig = EncoderConfig(),
          checkpoint: str | os.PathLike | None = None):
    """Trains the model's encoder in place; yields `pretraining.fitting.Progress` after each step. Leaving the loop
    stops; with a checkpoint the next call goes on exactly there. Call `calibrate` afterwards."""
    loss_of = encoder_loss(model.encoder, G, model.labeller, config)
    return fitting.fit(model.encoder, loss_of, config.batch, config, checkpoint and Path(checkpoint))


@checked
def train_layouts(G: GeneratorLike, examples: Examples, out: str | os.PathLike,
                  config: EncoderConfig = EncoderConfig(), minutes: float | None = None, **rule) -> LayoutModel:
    """Learn labels, train the encoder with a bar and an estimate, write `out`; the same call goes on where one was
    stopped."""
    out = Path(check_path(out))
    model = new_layouts(G, examples, config, **rule)
    loss_of = encoder_loss(model.encoder, G, model.labeller, config)
    images = fitting.train(model.encoder, loss_of, config.batch, config, out, minutes)
    calibrate(model, G)
    left = unexplained(model.encoder, G, model.labeller)
    model.info = dict(training=fitting.plain(config), images=images, examples=len(examples.ws),
                      unexplained=[round(share, 4) for share in left])
    model.save(out)
    if images >= config.kimg * 1000:
        fitting.unfinished(out).unlink(missing_ok=True)
    return model
