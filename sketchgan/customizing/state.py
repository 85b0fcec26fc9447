"""Everything a customisation consists of between two steps: networks, optimisers, random streams, data order.

Exact resume means that nothing which influences the next step lives anywhere else.  Each kind of randomness has a
stream of its own, so that showing samples or changing the augmentation does not move any other draw.  The streams
live on the CPU whatever the device: the same seed draws the same numbers everywhere.
"""

import copy
import hashlib
from typing import Annotated

import torch
from torch import Tensor, nn

from ..files.checks import Able, Filled, Seed, Whole, check, checked
from ..nets.stylegan2 import Discriminator, Generator, WShift
from ..weights.checkpoints import CheckpointError, content_hash
from ..weights.stored_states import check_optimizer, own_moments, require_like

STREAMS = ("z", "mixing", "noise", "augment", "sketches", "images")
# What may train in G, by the names of its parameters: CustomizeConfig.optim_param.
LAYERS = {
    "style": lambda name: name.startswith("style."),    # the mapping network: which w are wanted (published)
    "w_shift": lambda name: "w_shift" in name,          # one vector that is added to every w (published ablation)
    "affine": lambda name: ".modulation." in name,      # what each layer makes of w; beyond the paper
    "all": lambda name: True,                           # how to paint as well; beyond the paper, overfits
}
Recipe = Annotated[object, Able(names=("optim_param", "betas", "device"))]     # a CustomizeConfig, which builds on this
IMAGE_LIMIT = 1.5  # samples of a generator overshoot [-1, 1] a little; values in [0, 255] overshoot a lot


class Shuffle:
    """Endless indices into `size` things, in epochs of a fresh random order.

    As published (DataLoader with drop_last), an epoch's incomplete last batch is dropped.  With fewer things than
    the batch that would leave nothing to train on - the published program then runs a million empty epochs - so here
    a batch goes on into the next epochs.  An epoch's order is a function of the stream's state when it began: that and
    how much of it is taken are all there is to store, of however many things.
    """

    def __init__(self, generator: torch.Generator):
        self.generator, self.began, self.taken, self.order = generator, generator.get_state(), 0, torch.empty(0).long()

    def batch(self, n: int, size: int) -> Tensor:
        """The next n indices [n] into `size` things, at least one; a size other than the last starts a new epoch."""
        if size != len(self.order) or len(self.order) - self.taken < n <= size:
            self.begin(size)
        batch = self.order[self.taken : self.taken + n]
        self.taken += len(batch)
        while len(batch) < n:
            self.begin(size)
            self.taken = min(n - len(batch), size)
            batch = torch.cat([batch, self.order[: self.taken]])
        return batch

    def begin(self, size: int) -> None:
        """An epoch from its beginning."""
        self.began, self.taken = self.generator.get_state(), 0
        self.order = torch.randperm(size, generator=self.generator)

    def state_dict(self) -> dict:
        return dict(size=len(self.order), taken=self.taken, began=self.began)

    def load_state_dict(self, state: dict) -> None:
        """Go on where another left off; leaves the stream as that one had it after drawing its order."""
        if state["size"]:
            self.generator.set_state(state["began"])
            self.begin(state["size"])
        self.taken = state["taken"]


class Images:
    """The photographs D_image calls real: a data set, a function, or samples of the frozen original generator.

    Args:
        source: None for samples of G; a function `(n, generator) -> [n, 3, R, R]`; or anything with `len` that takes
            a tensor of indices, such as a tensor [M, 3, R, R] or `photos.ImageFolder`.
        G: the original generator.
        streams: the random streams of the run.
    Attributes:
        kind: what the source is, to know it again by: of things that can be counted, their number and a hash of some.
    """

    def __init__(self, source, G: nn.Module, streams: dict[str, torch.Generator]):
        self.source, self.G, self.generator, self.dark = source, G, streams["images"], False
        self.order = Shuffle(self.generator)
        self.kind = "samples of G" if source is None else "a function" if callable(source) else self.fingerprint()

    def fingerprint(self, most: int = 8) -> str:
        """'7 images (0123456789abcdef)'; raises ValueError if the source is none."""
        indexed = hasattr(self.source, "__len__") and hasattr(self.source, "__getitem__")
        if not indexed or isinstance(self.source, (str, dict, list, tuple)):
            raise ValueError(f"images is a {type(self.source).__name__}; wanted a tensor [M, 3, R, R], an ImageFolder, "
                             f"a function (n, generator) -> [n, 3, R, R], or None.")
        count = len(self.source)
        if not count:
            raise ValueError("There are no images: the source is empty. Give at least one, or None for samples of G.")
        some = torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).long()
        images = self.checked(self.source[some], len(some)).detach().cpu().float().contiguous()
        digest = hashlib.sha256(f"{count} {list(images.shape)}".encode() + images.numpy().tobytes())
        return f"{count} images ({digest.hexdigest()[:16]})"

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
        return self.checked(images, n).to(device)

    def checked(self, images: Tensor, n: int) -> Tensor:
        """The same images, or ValueError."""
        wanted, R = (n, 3, self.G.resolution, self.G.resolution), self.G.resolution
        if not isinstance(images, Tensor) or tuple(images.shape) != wanted or not images.is_floating_point():
            kind = getattr(images, "dtype", type(images).__name__)
            given = f"{list(getattr(images, 'shape', []))} of {kind}"
            raise ValueError(f"images gave a batch {given}; wanted float [N, 3, R, R] = {list(wanted)} in [-1, 1]. "
                             f"sketchgan.photos.ImageFolder(path, {R}) reads a folder; photos.to_float converts uint8.")
        low, high = images.aminmax()
        if not -IMAGE_LIMIT <= low <= high <= IMAGE_LIMIT:      # written so that NaN fails too
            raise ValueError(f"images reach {max(high, -low):.3g}; wanted values in [-1, 1]. Scale 0...255 by "
                             f"x / 127.5 - 1, or use sketchgan.photos.ImageFolder.")
        if not self.dark and 0 <= low < high:
            raise ValueError(f"images lie in [{low:.3g}, {high:.3g}]; wanted values in [-1, 1], and no photographs are "
                             "all brighter than mid-grey. Scale 0...1 by x * 2 - 1, or use photos.ImageFolder.")
        self.dark = True  # asked of the first ones only: a batch of snow is no mistake
        return images


class TrainingState:
    """The networks of one customisation and all that moves with them.

    Attributes:
        G: the generator being customised, of which only `params_G` train; a copy of the one given.
        G_base: the original, frozen.  params_base: its counterparts of params_G (the references of the weight penalty).
        G_ema: running average of G, or None.
        D_sketch, D_image: both from the photograph discriminator D.  F: photograph to sketch, frozen.
        optimizer_G, optimizer_D; streams, name -> CPU generator; sketch_order; images; iteration: the next step's.
    """

    @checked
    def __init__(self, G: Generator, D: Discriminator, F: nn.Module, images, config: Recipe):
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
        self.optimizer_G = torch.optim.Adam(self.params_G.values(), config.lr * config.g_lr_factor, config.betas,
                                            fused=True)
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

    def check(self, state: dict, sizes: set[int]) -> None:
        """Raise ValueError (CheckpointError) unless a state_dict can be continued here: of these networks and images,
        each tensor of the shape and kind that is needed, every number in its range.  sizes: of what the sketches' order
        may be of."""
        other = [name for name in self.base if state["base"][name] != self.base[name]]
        if other:
            raise CheckpointError(
                f"The checkpoint was made from another {' and another '.join(other)} than given now: the weights "
                f"differ. Resume with the networks the run began with (the base models, not the customised one)."
            )
        if state["images"] != self.images.kind:
            raise CheckpointError(
                f"The checkpoint was made with {state['images']} for D_image, and now there is {self.images.kind}. "
                f"Resume with the images the run began with."
            )
        ours = self.state_dict()
        require_like(list(state), list(ours), "the parts of its state")
        iteration = check("iteration", state["iteration"], Whole)
        for name, part in self.parts().items():
            if name.startswith("optimizer"):
                check_optimizer(state[name], part, iteration, name)
            else:
                require_like(state[name], ours[name], name, also=("size", "taken"))
        require_like(state["streams"], ours["streams"], "streams")
        orders = {"sketch_order": sizes, "image_order": {0 if self.images.source is None or callable(self.images.source)
                                                         else len(self.images.source)}}
        for name, allowed in orders.items():
            order = state[name]
            if order["size"] not in allowed | {0} or not 0 <= order["taken"] <= order["size"]:
                raise ValueError(f"{name} takes {order['taken']!r} of {order['size']!r}")
        for stream in (*state["streams"].values(), state["sketch_order"]["began"], state["image_order"]["began"]):
            torch.Generator().set_state(stream)         # it refuses what is no state

    def load_state_dict(self, state: dict) -> None:
        """Continue from a state_dict that `check` lets pass."""
        for name, part in self.parts().items():
            part.load_state_dict(own_moments(state[name], part) if name.startswith("optimizer") else state[name])
        for name, stream in self.streams.items():
            stream.set_state(state["streams"][name])
        self.iteration = state["iteration"]

    def finite(self) -> bool:
        """Whether every trained parameter is a number."""
        return all(p.isfinite().all() for p in (*self.params_G.values(), *self.params_D))


@checked
def seeded(seed: Seed, name: Annotated[str, Filled()]) -> torch.Generator:
    """A CPU generator for one purpose: different names give unrelated streams of the same seed."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@checked
def frozen_sketcher(F: nn.Module, batch_stats: bool) -> nn.Module:
    """A frozen copy of F whose batch norms use the batch's statistics (published) or the running ones.

    PhotoSketch was never put into evaluation mode, by its authors or by GANSketching, and looks different there.
    """
    F = copy.deepcopy(F).requires_grad_(False).eval()
    if hasattr(F, "batch_stats"):  # another network of yours may do without batch norm
        F.batch_stats = batch_stats
    return F


def same(a, b) -> bool:
    """Whether two values are equal, of tensors in shape and every element."""
    if isinstance(a, Tensor):
        return a.shape == b.shape and torch.equal(a.cpu(), b.cpu())
    return a == b
