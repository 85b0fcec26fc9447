"""Everything a customisation consists of between two steps: networks, optimisers, random streams, data order.

Exact resume means that nothing which influences the next step lives anywhere else.  Each kind of randomness has a
stream of its own, so that showing samples or changing the augmentation does not move any other draw.  The streams
live on the CPU whatever the device: the same seed draws the same numbers everywhere.
"""

import copy
import hashlib

import torch
from torch import Tensor, nn

from ..nets.stylegan2 import Discriminator, Generator, WShift
from ..weights.checkpoints import content_hash

STREAMS = ("z", "mixing", "noise", "augment", "sketches", "images")
# What may train in G, by the names of its parameters: CustomizeConfig.optim_param.
LAYERS = {
    "style": lambda name: name.startswith("style."),    # the mapping network: which w are wanted (published)
    "w_shift": lambda name: "w_shift" in name,          # one vector that is added to every w (published ablation)
    "affine": lambda name: ".modulation." in name,      # what each layer makes of w; beyond the paper
    "all": lambda name: True,                           # how to paint as well; beyond the paper, overfits
}
IMAGE_LIMIT = 1.5  # samples of a generator overshoot [-1, 1] a little; values in [0, 255] overshoot a lot


class Shuffle:
    """Endless indices into `size` things, in epochs of a fresh random order.

    As published (DataLoader with drop_last), an epoch's incomplete last batch is dropped.  With fewer things than
    the batch that would leave nothing to train on - the published program then runs a million empty epochs - so here
    a batch goes on into the next epochs.
    """

    def __init__(self, generator: torch.Generator):
        self.generator, self.size, self.left = generator, 0, []

    def batch(self, n: int, size: int) -> Tensor:
        """The next n indices [n] into `size` things; a size other than the last starts a new epoch."""
        if size != self.size or len(self.left) < n <= size:
            self.size, self.left = size, []
        while len(self.left) < n:
            self.left += torch.randperm(size, generator=self.generator).tolist()
        taken, self.left = self.left[:n], self.left[n:]
        return torch.tensor(taken)

    def state_dict(self) -> dict:
        return dict(size=self.size, left=list(self.left))

    def load_state_dict(self, state: dict) -> None:
        self.size, self.left = state["size"], list(state["left"])


class Images:
    """The photographs D_image calls real: a data set, a function, or samples of the frozen original generator.

    Args:
        source: None for samples of G; a function `(n, generator) -> [n, 3, R, R]`; or anything with `len` that takes
            a tensor of indices, such as a tensor [M, 3, R, R] or `datasets.ImageFolder`.
        G: the original generator.
        streams: the random streams of the run.
    """

    def __init__(self, source, G: nn.Module, streams: dict[str, torch.Generator]):
        self.source, self.G, self.generator = source, G, streams["images"]
        self.order = Shuffle(self.generator)
        self.kind = "samples of G" if source is None else "a function" if callable(source) else f"{len(source)} images"

    @torch.no_grad()
    def batch(self, n: int) -> Tensor:
        """The next n images [n, 3, R, R] in about [-1, 1]; raises ValueError if the source gives anything else."""
        device = next(self.G.parameters()).device
        if self.source is None:
            z = torch.randn(n, self.G.z_dim, generator=self.generator).to(device)
            return self.G(z, generator=self.generator)
        if callable(self.source):
            images = self.source(n, self.generator)
        else:
            images = self.source[self.order.batch(n, len(self.source))]
        wanted = (n, 3, self.G.resolution, self.G.resolution)
        if tuple(images.shape) != wanted or not images.is_floating_point():
            raise ValueError(
                f"images gave a batch {list(images.shape)} of {images.dtype}; wanted float [N, 3, R, R] = {list(wanted)} "
                f"in [-1, 1]. sketchgan.photos.datasets.ImageFolder(path, {self.G.resolution}) reads a folder so; "
                f"datasets.to_float converts uint8."
            )
        if images.abs().max() > IMAGE_LIMIT:
            raise ValueError(
                f"images reach {images.abs().max():.3g}; wanted values in [-1, 1]. "
                f"Scale 0...255 by x / 127.5 - 1, or use sketchgan.photos.datasets.ImageFolder."
            )
        return images.to(device)


class TrainingState:
    """The networks of one customisation and all that moves with them.

    Attributes:
        G: the generator being customised, of which only `params_G` train; a copy of the one given.
        G_base: the original, frozen.  params_base: its counterparts of params_G (the references of the weight penalty).
        G_ema: running average of G, or None.
        D_sketch, D_image: both from the photograph discriminator D.  F: photograph to sketch, frozen.
        optimizer_G, optimizer_D; streams, name -> CPU generator; sketch_order; images; iteration: the next step's.
    """

    def __init__(self, G, D, F, images, config):
        device = torch.device(config.device)
        self.G_base = copy.deepcopy(G).to(device).requires_grad_(False).eval()
        if config.optim_param == "w_shift" and not isinstance(self.G_base.style[-1], WShift):
            self.G_base.style.append(WShift(G.w_dim).to(device).requires_grad_(False))
        self.G = copy.deepcopy(self.G_base)
        self.params_G = {k: p for k, p in self.G.named_parameters() if LAYERS[config.optim_param](k)}
        self.params_base = [dict(self.G_base.named_parameters())[k] for k in self.params_G]
        self.G_ema = copy.deepcopy(self.G) if config.g_ema_kimg > 0 else None

        self.D_image = copy.deepcopy(D).to(device).requires_grad_(True)
        self.D_sketch = copy.deepcopy(self.D_image)
        if not config.d_sketch_pretrained:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                self.D_sketch = Discriminator(**D.config).to(device)
        self.params_D = [*self.D_sketch.parameters(), *self.D_image.parameters()]
        self.F = frozen_sketcher(F, config.f_batch_stats).to(device)

        # D also takes the lazy R1 steps, one in d_reg_every: its step size and memory shrink to make up for them
        # (StyleGAN2, appendix B).
        ratio = config.d_reg_every / (config.d_reg_every + 1)
        self.optimizer_G = torch.optim.Adam(self.params_G.values(), config.lr * config.g_lr_factor, config.betas, fused=True)
        betas_D = tuple(beta**ratio for beta in config.betas)
        self.optimizer_D = torch.optim.Adam(self.params_D, config.lr * ratio, betas_D, fused=True)

        self.streams = {name: seeded(config.seed, name) for name in STREAMS}
        self.sketch_order = Shuffle(self.streams["sketches"])
        self.images = Images(images, self.G_base, self.streams)
        self.iteration = 0
        self.base = {name: content_hash(network) for name, network in dict(G=G, D=D, F=F).items()}

    @property
    def G_shown(self) -> nn.Module:
        """The generator to sample from and to save: the average where there is one."""
        return self.G if self.G_ema is None else self.G_ema

    def train_only(self, params) -> None:
        """Let gradients flow into these parameters and into no others: what is frozen costs nothing."""
        for p in (*self.params_G.values(), *self.params_D):
            p.requires_grad_(False)
        for p in params:
            p.requires_grad_(True)

    def update_ema(self, batch: int, half_life_kimg: float) -> None:
        """Move G_ema towards G so that half of it is forgotten after half_life_kimg thousand images."""
        if self.G_ema is not None:
            averages = dict(self.G_ema.named_parameters())
            weight = 1 - 0.5 ** (batch / (half_life_kimg * 1000))
            for name, p in self.params_G.items():
                averages[name].lerp_(p.detach(), weight)

    def parts(self) -> dict:
        """The parts that have a state_dict, by the name they have in a checkpoint."""
        names = ["G", "D_sketch", "D_image", "optimizer_G", "optimizer_D", "sketch_order"]
        parts = {name: getattr(self, name) for name in names + ["G_ema"] * (self.G_ema is not None)}
        return parts | {"image_order": self.images.order}

    def state_dict(self) -> dict:
        """Everything the next step depends on, as plain containers of tensors, numbers and strings (not copied)."""
        return {
            "iteration": self.iteration,
            "base": self.base,
            "images": self.images.kind,
            "streams": {name: stream.get_state() for name, stream in self.streams.items()},
            **{name: part.state_dict() for name, part in self.parts().items()},
        }

    def check_checkpoint(self, state: dict) -> None:
        """Raise ValueError if a state_dict began from other networks or images than this state has."""
        other = [name for name in self.base if state["base"][name] != self.base[name]]
        if other:
            raise ValueError(
                f"The checkpoint was made from another {' and another '.join(other)} than given now: the weights differ. "
                f"Resume with the networks the run began with (the base models, not the customised one)."
            )
        if state["images"] != self.images.kind:
            raise ValueError(
                f"The checkpoint was made with {state['images']} for D_image, and now there is {self.images.kind}. "
                f"Resume with the images the run began with."
            )

    def load_state_dict(self, state: dict) -> None:
        """Continue from a state_dict of the same base networks."""
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        for name, stream in self.streams.items():
            stream.set_state(state["streams"][name])
        self.iteration = state["iteration"]

    def finite(self) -> bool:
        """Whether every trained parameter is a number."""
        return all(p.isfinite().all() for p in (*self.params_G.values(), *self.params_D))


def seeded(seed: int, name: str) -> torch.Generator:
    """A CPU generator for one purpose: different names give unrelated streams of the same seed."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def frozen_sketcher(F: nn.Module, batch_stats: bool) -> nn.Module:
    """A frozen copy of F whose batch norms use the batch's statistics (published) or the running ones.

    PhotoSketch was never put into evaluation mode, by its authors or by GANSketching, and looks different there.
    """
    F = copy.deepcopy(F).requires_grad_(False).eval()
    if hasattr(F, "batch_stats"):  # another network of yours may do without batch norm
        F.batch_stats = batch_stats
    return F


def check_networks(G, D, F, config) -> None:
    """Raise ValueError, saying what to do, if the three networks do not fit together."""
    for name, network, kind in (("G", G, Generator), ("D", D, Discriminator)):
        if not isinstance(network, kind):
            raise ValueError(f"{name} is a {type(network).__name__}; wanted is a {kind.__name__}. Load it with load_generator(path) "
                             f"and load_discriminator(path).")
    if isinstance(F, (Generator, Discriminator)):
        raise ValueError(f"F is a {type(F).__name__}; wanted is a network from photographs to sketches. Use load_photosketch(path).")
    if D.resolution != G.resolution:
        raise ValueError(f"G makes {G.resolution} px but D looks at {D.resolution} px. Load both from one file: "
                         f"load_generator(path) and load_discriminator(path).")
    for name, network in dict(G=G, D=D, F=F).items():
        if not all(p.isfinite().all() for p in network.parameters()):
            raise ValueError(f"{name} has weights that are NaN or infinite, so nothing can be learned from it. "
                             f"Load an earlier or undamaged file.")
    if G.resolution % (4 << config.f_halvings):
        raise ValueError(f"F needs sides that are multiples of 4; {G.resolution} px halved {config.f_halvings} times "
                         f"are not. Lower f_halvings.")
    blank = torch.zeros(1, 3, G.resolution >> config.f_halvings, G.resolution >> config.f_halvings)
    blank = blank.to(next(F.parameters()))
    try:
        with torch.no_grad():
            made = list(F(blank).shape)
    except RuntimeError as error:
        raise ValueError(f"F does not take images {list(blank.shape)}: {error}. "
                         f"Use load_photosketch(path), a network from photographs to sketches.") from error
    wanted = [1, 1, *blank.shape[2:]]
    if made != wanted:
        raise ValueError(f"F turns images {list(blank.shape)} into {made}; wanted sketches {wanted}. "
                         f"Use load_photosketch(path), a network from photographs to sketches.")
