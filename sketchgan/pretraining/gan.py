"""Training a base GAN: StyleGAN2's game, with the help that makes it learn on a laptop. One class, one step.

The game is the published one (Karras et al. 2020): non-saturating logistic loss, lazy R1, style mixing, an average of
the generator. Three helps are options of the configuration, and data/README.md says which of them made the shipped weights:

- growth: the first images are small (Karras et al. 2018, section 2), because a 32 px step costs a quarter of a 64 px step;
- heads: small patch discriminators on frozen features (Sauer et al. 2021), which see from the first step on;
- pairs: a scene of Menagerie is drawn from a normal code, so for it the answer to z = [code, rest] is known: the mapping network is
  taught what z means, and *paired* images are regressed onto their scenes (as in GLO, Bojanowski et al. 2018, but with known
  codes). This teaches shapes before the game refines them. Photographs take their principal components for a code.
"""
from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from ..nets import losses
from ..nets.augment import augment
from ..nets.features import FeatureHeads, Features
from ..nets.stylegan2 import Discriminator, Generator
from .mapping import teach_mapping, z_of_code


@dataclass(frozen=True)
class GanConfig:
    """Everything that decides a base GAN's training; saved in its checkpoint and in the metadata of its weights."""

    resolution: int = 64                    # pixels a side of the finished network
    z_dim: int = 64                         # small worlds need few dimensions; official networks have 512
    w_dim: int = 128                        # likewise
    num_mapping: int = 4                    # layers of the mapping network; official networks have 8
    channels: dict = field(default_factory=lambda: {4: 128, 8: 128, 16: 96, 32: 64, 64: 32, 128: 24, 256: 16})  # what two cores can carry
    d_channels: dict = field(default_factory=lambda: {4: 128, 8: 128, 16: 96, 32: 64, 64: 32, 128: 24, 256: 16})  # same
    batch: int = 16                         # images a step, over all processes
    kimg: float = 60.0                      # length, in thousands of real images shown
    growth: dict = field(default_factory=lambda: {32: 16.0})  # resolution -> kimg at which it is left for the next
    paired_kimg: float = 0.0                # until here only pairs are regressed; from here the game is played
    paired_share: float = 0.25              # size of the paired part of a batch during the game, as a share of it
    paired_weight: float = 3.0              # weight of the regression during the game
    paired_lr: float = 0.004                # of the generator while only pairs are regressed; falls to a tenth along a cosine
    lr: float = 0.002                       # Adam, both players (Karras et al. 2020, appendix B)
    mapping_lr: float = 1.0                 # factor on the mapping network's rate, which LR_MUL_MAPPING slows a hundredfold
    r1_gamma: float = 0.3                   # gradient penalty; the rule of stylegan2-ada gives 0.05 to 0.5 at 64 px
    d_reg_every: int = 16                   # lazy R1 (Karras et al. 2020, section 3.1)
    mixing: float = 0.9                     # probability of style mixing
    ema_kimg: float = 3.0                   # half-life of the generator's average, in kimg
    ema_rampup: float = 0.08                # ... but never more than this share of what was shown
    heads_weight: float = 0.0               # weight of the feature heads in the generator's loss; 0 does without them
    d_weight: float = 1.0                   # weight of StyleGAN2's discriminator in it
    augment: str = ""                       # differentiable augmentation of what D sees ('color,translation,cutout' for few photos)
    mirror: bool = False                    # photographs: each is also shown turned left to right
    code_dims: int = 48                     # photographs: numbers of the code that pairs give them (pairs.CodedPhotos)
    bf16: bool = False                      # all but R1 in bfloat16, where the processor has it: up to twice as fast
    seed: int = 0                           # of everything random


# What a resumed training may do otherwise than before: how long, how fast, in which precision. Not what it is.
MAY_CHANGE = {"kimg", "paired_kimg", "paired_share", "paired_weight", "paired_lr", "lr", "mapping_lr", "heads_weight", "d_weight", "bf16", "r1_gamma"}


def grow(old: nn.Module, new: nn.Module) -> None:
    """Copies into `new`, twice the resolution, all it shares with `old`; what is new keeps its initial values.

    A generator grows at its end, so keys agree. A discriminator grows at its beginning: its block i was block i - 1.
    """
    have, want = old.state_dict(), new.state_dict()
    for key in want:
        source = key
        if isinstance(new, Discriminator) and key.startswith("convs."):
            number = int(key.split(".")[1])
            source = key.replace(f"convs.{number}.", f"convs.{number - 1}.", 1) if number > 1 else ""
        if source in have and have[source].shape == want[key].shape:
            want[key].copy_(have[source])
    if isinstance(new, Generator):          # the finest toRGB starts silent: the picture before is the picture after, only larger
        want[f"to_rgbs.{len(new.to_rgbs) - 1}.conv.weight"].mul_(0.02)
    new.load_state_dict(want)


def average_gradients(parameters) -> None:
    """The mean gradient over all processes of a torch.distributed run; nothing in a single process."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for g, mean in zip(gradients, flat.split([g.numel() for g in gradients])):
        g.copy_(mean.view_as(g))


class GanTrainer:
    """The state of a base GAN's training, and its step.

    images: a data set, `images[index [B]] -> [B,3,R,R]` in [-1,1], with `len`; with pairs also `images.code [N,K]`, K <= z_dim.
    features: frozen `Features`, needed when the configuration has heads or pairs.
    rank, world: this process's place among all; each shows `batch / world` images a step.
    """

    def __init__(self, config: GanConfig, images, features: Features | None = None, device="cpu", rank: int = 0, world: int = 1):
        if config.batch % world:
            raise ValueError(f"batch {config.batch} does not divide among {world} processes: choose a multiple of {world}")
        if (config.heads_weight or config.paired_kimg) and features is None:
            raise ValueError("feature heads and pairs need a feature network: train one with `python -m sketchgan pretrain features` and pass it")
        if config.paired_kimg and getattr(images, "code", None) is None:
            raise ValueError("paired_kimg needs images with codes: a category of Menagerie, or photographs in pairs.CodedPhotos")
        self.config, self.images, self.device, self.rank, self.world = config, images, torch.device(device), rank, world
        self.features = features.to(device).eval().requires_grad_(False) if features else None
        self.seen, self.iteration, self.history, self.taught = 0, 0, [], False
        torch.manual_seed(config.seed)                      # initial weights agree in every process ...
        self._build(min([r for r in config.growth] + [config.resolution]))
        self.heads = FeatureHeads(features.channels).to(device) if config.heads_weight else None
        self.heads_opt = torch.optim.Adam(self.heads.parameters(), config.lr, (0.0, 0.99)) if self.heads else None
        self.rng = torch.Generator().manual_seed(config.seed * 1000 + rank + 1)      # ... what they see does not

    # -- networks ----------------------------------------------------------------------------------------------------

    def _build(self, resolution: int) -> None:
        c = self.config
        self.resolution = resolution
        self.G = Generator(resolution, c.z_dim, c.w_dim, c.num_mapping, c.channels).to(self.device)
        self.D = Discriminator(resolution, c.d_channels).to(self.device)
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        mapping, synthesis = [], []
        for name, p in self.G.named_parameters():
            (mapping if name.startswith("style.") else synthesis).append(p)
        self.G_opt = torch.optim.Adam([{"params": synthesis}, {"params": mapping, "lr": c.lr * c.mapping_lr}], c.lr, (0.0, 0.99))
        ratio = c.d_reg_every / (c.d_reg_every + 1)         # lazy regularisation: Adam sees 17 steps where 16 count
        self.D_opt = torch.optim.Adam(self.D.parameters(), c.lr * ratio, (0.0, 0.99 ** ratio))

    def _grow_if_due(self) -> None:
        due = self.config.growth.get(self.resolution)
        while due is not None and self.seen >= due * 1000:
            G, D, ema = self.G, self.D, self.G_ema
            state = torch.random.get_rng_state()
            torch.manual_seed(self.config.seed + self.resolution)
            self._build(self.resolution * 2)
            torch.random.set_rng_state(state)
            grow(G, self.G), grow(D, self.D), grow(ema, self.G_ema)
            due = self.config.growth.get(self.resolution)

    @property
    def done(self) -> bool:
        return self.seen >= self.config.kimg * 1000 and self.resolution == self.config.resolution

    def start_from(self, G: Generator, D: Discriminator) -> None:
        """Begins with trained networks of the full resolution (shipped weights, say) instead of random ones: no growth, no teaching."""
        for mine, given in ((self._full(Generator), G), (self._full(Discriminator), D)):
            if mine != {k: tuple(v.shape) for k, v in given.state_dict().items()}:
                raise ValueError(f"the {type(given).__name__.lower()} to start from has other sizes than the configuration "
                                 f"({given.config} against {self.config.resolution} px, {self.config.channels}): choose the configuration it was trained with")
        self._build(self.config.resolution)
        self.G.load_state_dict(G.state_dict()), self.G_ema.load_state_dict(G.state_dict()), self.D.load_state_dict(D.state_dict())
        self.taught = True

    def _full(self, kind: type) -> dict:
        c = self.config
        with torch.device("meta"):
            network = Generator(c.resolution, c.z_dim, c.w_dim, c.num_mapping, c.channels) if kind is Generator else Discriminator(c.resolution, c.d_channels)
        return {k: tuple(v.shape) for k, v in network.state_dict().items()}

    # -- one step ----------------------------------------------------------------------------------------------------

    def _ws(self, z: Tensor) -> Tensor:
        """Latents of a batch; with probability `mixing` the rows from a random layer on come from other z (style mixing)."""
        ws = self.G.mapping(z)
        if torch.rand((), generator=self.rng) < self.config.mixing:
            cut = int(torch.randint(1, self.G.num_ws, (), generator=self.rng))
            other = self.G.mapping(torch.randn(z.shape, generator=self.rng).to(z.device))
            ws = torch.cat([ws[:, :cut], other[:, cut:]], 1)
        return ws

    def _small(self, x: Tensor) -> Tensor:
        factor = x.shape[-1] // self.resolution
        return nnf.avg_pool2d(x, factor) if factor > 1 else x

    def _pair_loss(self, x: Tensor, target: Tensor) -> Tensor:
        """How far a picture is from the one its code stands for: absolute difference of pixels at three scales and of features."""
        loss = (x - target).abs().mean()
        for k in (2, 4):
            loss = loss + (nnf.avg_pool2d(x, k) - nnf.avg_pool2d(target, k)).abs().mean()
        with torch.no_grad():
            wanted = self._levels(target)
        return loss + 0.5 * sum((a - b).abs().mean() for a, b in zip(self._levels(x)[:3], wanted))

    def _half(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16)

    def _levels(self, x: Tensor) -> list[Tensor]:
        with self._half():
            return [level.float() for level in self.features.features(x)]

    def _set_rates(self, playing: bool) -> None:
        c = self.config
        rate = c.lr if playing else c.paired_lr * (0.55 + 0.45 * math.cos(math.pi * self.seen / (c.paired_kimg * 1000)))
        for group, factor in zip(self.G_opt.param_groups, (1.0, c.mapping_lr)):
            group["lr"] = rate * factor

    def step(self) -> dict[str, float]:
        """One update of every player; returns the losses by name."""
        c, n = self.config, self.config.batch // self.world
        if not self.taught and c.paired_kimg:
            self.taught = True
            teach_mapping(self.G, self.images.category, self.images.code.shape[1], seed=c.seed)
            self.G_ema.load_state_dict(self.G.state_dict())
        self._grow_if_due()
        index = torch.randint(len(self.images), (n,), generator=self.rng)
        real = self._small(self.images[index].to(self.device))
        playing = self.seen >= c.paired_kimg * 1000
        self._set_rates(playing)
        pairs = 0 if not c.paired_kimg else n if not playing else round(n * c.paired_share)

        # One pass of the generator serves both players.
        ws = []
        if playing:
            ws.append(self._ws(torch.randn(n, c.z_dim, generator=self.rng).to(self.device)))
        if pairs:
            z = z_of_code(self.images.code[index[:pairs]], c.z_dim, self.rng)
            ws.append(self.G.mapping(z.to(self.device)))
        # A pair's answer holds no noise, so there the noise inputs stay silent.
        with self._half():
            fake = self.G.synthesis(ws[0], generator=self.rng).float() if playing else None
            paired = self.G.synthesis(ws[-1], noise_mode="none").float() if pairs else None

        log = self._discriminator_step(real, fake) if playing else {}
        loss = 0.0
        if playing:
            logits = self._logits(fake)
            log["G"] = losses.g_nonsaturating(logits)
            loss = loss + c.d_weight * log["G"]
            if self.heads:
                log["G_heads"] = sum(losses.g_hinge(h) for h in self.heads(self._levels(self._augmented(fake))))
                loss = loss + c.heads_weight * log["G_heads"]
        if pairs:
            log["pairs"] = self._pair_loss(paired, real[:pairs])
            loss = loss + (c.paired_weight if playing else 1.0) * log["pairs"]
        self._update(self.G_opt, self.G, loss)
        self._average()
        self.seen += c.batch
        self.iteration += 1
        log = {k: float(v.detach()) for k, v in log.items()}
        if bad := [k for k, v in log.items() if v != v or abs(v) == float("inf")]:
            raise FloatingPointError(f"loss {', '.join(bad)} is {log[bad[0]]} after {self.seen} images: go on from the last checkpoint with a smaller lr or a larger r1_gamma")
        return log

    def _logits(self, x: Tensor) -> Tensor:
        with self._half():
            return self.D(self._augmented(x)).float()

    def _augmented(self, x: Tensor) -> Tensor:
        return augment(x, self.config.augment, self.rng) if self.config.augment else x

    def _discriminator_step(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        c, fake = self.config, fake.detach()
        log = {"D": losses.d_logistic(self._logits(real), self._logits(fake))}
        self._update(self.D_opt, self.D, log["D"])
        if self.iteration % c.d_reg_every == 0:
            log["r1"] = losses.r1_penalty(lambda x: self.D(self._augmented(x)), real)
            self._update(self.D_opt, self.D, c.r1_gamma / 2 * c.d_reg_every * log["r1"])
        if self.heads:
            with torch.no_grad():
                seen_real, seen_fake = self._levels(self._augmented(real)), self._levels(self._augmented(fake))
            log["D_heads"] = sum(losses.d_hinge(a, b) for a, b in zip(self.heads(seen_real), self.heads(seen_fake)))
            self._update(self.heads_opt, self.heads, log["D_heads"])
        return log

    @staticmethod
    def _update(optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        parameters = list(network.parameters())
        # Gradients for this player alone: the others' parameters are not touched by its loss.
        for p, g in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True)):
            p.grad = g
        average_gradients(parameters)
        optimizer.step()

    @torch.no_grad()
    def _average(self) -> None:
        c = self.config
        half_life = max(min(c.ema_kimg * 1000, self.seen * c.ema_rampup), 1e-8)
        keep = 0.5 ** (c.batch / half_life)
        for p, q in zip(self.G_ema.parameters(), self.G.parameters()):
            p.lerp_(q, 1 - keep)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def state(self) -> dict:
        """Everything needed to go on as if never stopped, in plain containers (see `checkpoints.save_training`)."""
        players = {"G": self.G, "D": self.D, "G_ema": self.G_ema, "heads": self.heads, "G_opt": self.G_opt, "D_opt": self.D_opt, "heads_opt": self.heads_opt}
        return {"kind": "gan", "config": asdict(self.config), "seen": self.seen, "iteration": self.iteration, "resolution": self.resolution,
                "taught": self.taught, "history": self.history, "rng": self.rng.get_state(), **{k: dict(v.state_dict()) for k, v in players.items() if v is not None}}

    def load(self, state: dict) -> None:
        """Goes on from a `state`. Lengths and rates may change, and the change is kept in `history`; anything else raises ValueError."""
        mine, theirs = asdict(self.config), {**asdict(GanConfig()), **state.get("config", {})}      # a field younger than the checkpoint had its default
        changed = {k: [theirs.get(k), v] for k, v in mine.items() if v != theirs.get(k)}
        self.history = list(state.get("history", [])) + ([{"seen": state["seen"], "changed": changed}] if changed else [])
        if differ := sorted(set(changed) - MAY_CHANGE):
            raise ValueError("this checkpoint was trained with another configuration: " +
                             "; ".join(f"{k} was {theirs.get(k)!r}, now {mine[k]!r}" for k in differ) + ". Use the old values, or start afresh in another folder")
        self._build(state["resolution"])
        self.taught = state.get("taught", True)
        for name in ("G", "D", "G_ema", "heads", "G_opt", "D_opt", "heads_opt"):
            if (part := getattr(self, name)) is not None:
                part.load_state_dict(state[name])
        self.rng.set_state(state["rng"])
        self.seen, self.iteration = state["seen"], state["iteration"]
