"""Training a base GAN: StyleGAN2's game, with the help that makes it learn on a laptop. One class, one step.

The game is the published one (Karras et al. 2020): non-saturating logistic loss, lazy R1, style mixing, an average of
the generator. Three helps are options of the configuration, and data/README.md says which of them made the shipped
weights:

- growth: the first images are small (Karras et al. 2018, section 2): a 32 px step costs a quarter of a 64 px step;
- heads: small patch discriminators on frozen features (Sauer et al. 2021), which see from the first step on;
- pairs: a scene of Menagerie is drawn from a normal code, so for it the answer to z = [code, rest] is known: the
  mapping network is taught what z means, and *paired* images are regressed onto their scenes (as in GLO, Bojanowski et
  al. 2018, but with known codes). This teaches shapes before the game refines them. Photographs take their principal
  components for a code.
"""
from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from ..files.checks import Count, Indexed, Limits, Whole, check, checked
from ..nets import losses
from ..nets.augment import augment
from ..nets.features import FeatureHeads
from ..nets.stylegan2 import Discriminator, Generator
from ..photos.datasets import check_images
from ..weights.checkpoints import CheckpointError
from ..weights.stored_states import check_optimizer, own_moments, require_like
from .mapping import known_w, teach_mapping, z_of_code
from .recipe import MAY_CHANGE, GanConfig, stages


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
    if isinstance(new, Generator):          # the finest toRGB starts silent: the picture stays, only larger
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


@dataclass
class Batch:
    """What one step is about: real pictures [B,3,R,R], samples beside them (None while only pairs are regressed), and
    pictures painted for known codes (None without pairs), whose answers are the first of `real`."""

    real: Tensor
    fake: Tensor | None
    paired: Tensor | None


class GanTrainer:
    """The state of a base GAN's training, and its step.

    images: a data set, `images[index [B]] -> [B,3,R,R]` in [-1,1], with `len`; with pairs also `images.code [N,K]`,
        K <= z_dim.
    features: a frozen `Features` or `ImageNetFeatures`, needed when the configuration has heads or pairs.
    rank, world: this process's place among all; each shows `batch / world` images a step.
    """

    PARTS = ("G", "D", "G_ema", "heads", "G_opt", "D_opt", "heads_opt")

    @checked
    def __init__(self, config: GanConfig, images: Indexed, features: nn.Module | None = None, device="cpu",
                 rank: Whole = 0, world: Count = 1):
        if config.batch % world:
            raise ValueError(f"batch {config.batch} does not divide among world={world} processes: choose a "
                             f"multiple of {world}")
        if (config.heads_weight or config.paired_kimg) and features is None:
            raise ValueError("feature heads and pairs need a feature network: give --features imagenet, or one trained "
                             "with `python -m sketchgan pretrain features`")
        if config.paired_kimg and getattr(images, "code", None) is None:
            raise ValueError("paired_kimg needs images with codes: a category of Menagerie, or photographs in "
                             "mapping.CodedPhotos")
        if isinstance(images, (str, list, tuple, dict)):
            raise ValueError(f"images is a {type(images).__name__}; wanted a data set, such as open_images gives")
        some = check_images(images[torch.linspace(0, len(images) - 1, 16).long()])
        if some.shape[-1] % config.resolution:
            raise ValueError(f"images are of {some.shape[-1]} px and the configuration asks for {config.resolution}: "
                             f"open them at that resolution")
        self.config, self.images, self.device, self.rank, self.world = config, images, torch.device(device), rank, world
        self.features = features.to(device).eval().requires_grad_(False) if features else None
        self.seen, self.iteration, self.history, self.taught = 0, 0, [], False
        self.stages = stages(config)
        torch.manual_seed(config.seed)                      # initial weights agree in every process ...
        self._build(min(self.stages, default=config.resolution))
        self.heads = FeatureHeads(features.channels, mix=config.heads_mix).to(device) if config.heads_weight else None
        self.heads_opt = torch.optim.Adam(self.heads.parameters(), config.lr, (0.0, 0.99)) if self.heads else None
        self.rng = torch.Generator().manual_seed(config.seed * 1000 + rank + 1)      # ... what they see does not

    # -- networks -----------------------------------------------------------------------------------------------------

    def _build(self, resolution: int) -> None:
        c = self.config
        self.resolution = resolution
        self.G = Generator(resolution, c.z_dim, c.w_dim, c.num_mapping, c.channels).to(self.device)
        self.D = Discriminator(resolution, c.d_channels).to(self.device)
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        mapping, synthesis = [], []
        for name, p in self.G.named_parameters():
            (mapping if name.startswith("style.") else synthesis).append(p)
        groups = [{"params": synthesis}, {"params": mapping, "lr": c.lr * c.mapping_lr}]
        self.G_opt = torch.optim.Adam(groups, c.lr, (0.0, 0.99))
        ratio = c.d_reg_every / (c.d_reg_every + 1)         # lazy regularisation: Adam sees 17 steps where 16 count
        self.D_opt = torch.optim.Adam(self.D.parameters(), c.lr * ratio, (0.0, 0.99 ** ratio))

    def _grow_if_due(self) -> None:
        while self.seen >= self.stages.get(self.resolution, math.inf) * 1000:
            G, D, ema = self.G, self.D, self.G_ema
            state = torch.random.get_rng_state()
            torch.manual_seed(self.config.seed + self.resolution)
            self._build(self.resolution * 2)
            torch.random.set_rng_state(state)
            grow(G, self.G), grow(D, self.D), grow(ema, self.G_ema)

    @property
    def done(self) -> bool:
        return self.seen >= self.config.kimg * 1000 and self.resolution == self.config.resolution

    @property
    def usable(self) -> bool:
        """Whether what there is now can be used as a base GAN: of the full resolution, and knowing what z means."""
        return self.resolution == self.config.resolution and (self.taught or not self.config.paired_kimg)

    def start_from(self, G: Generator, D: Discriminator) -> None:
        """Begins with trained networks of the full resolution (shipped weights, say) instead of random ones: no growth,
        no teaching."""
        self._build(self.config.resolution)
        shapes = lambda network: {k: v.shape for k, v in network.state_dict().items()}
        for mine, given in ((self.G, G), (self.D, D)):
            if shapes(mine) != shapes(given):
                raise ValueError(f"the {type(given).__name__.lower()} to start from has other sizes than the "
                                 f"configuration ({given.config} against {self.config.resolution} px, "
                                 f"{self.config.channels}): choose the configuration it was trained with")
        for mine, given in ((self.G, G), (self.G_ema, G), (self.D, D)):
            mine.load_state_dict(given.state_dict())
        self.taught = True

    # -- one step -----------------------------------------------------------------------------------------------------

    def step(self) -> dict[str, float]:
        """One update of every player; returns the losses by name."""
        c = self.config
        playing = self.seen >= c.paired_kimg * 1000
        self._teach_if_due(playing)
        self._grow_if_due()
        batch = self._batch(playing)
        log = self._critics(batch)
        if batch.fake is None or not self._watching:
            log |= self._generator(batch)
            self._average()
        self.seen += c.batch
        self.iteration += 1
        log = {k: float(v.detach()) for k, v in log.items()}
        if bad := [k for k, v in log.items() if not math.isfinite(v)]:
            raise FloatingPointError(f"loss {', '.join(bad)} is {log[bad[0]]} after {self.seen} images: go on from the "
                                     "last checkpoint with a smaller lr or a larger r1_gamma")
        return log

    @property
    def _watching(self) -> bool:
        """Whether the game has begun and only the critics learn."""
        return self.seen < (self.config.paired_kimg + self.config.critic_kimg) * 1000

    def _teach_if_due(self, playing: bool) -> None:
        c = self.config
        if c.paired_kimg and not self.taught and (playing or not c.known_w):
            self.taught = True
            teach_mapping(self.G, self.images.category, self.images.code.shape[1], c.teach_steps, c.teach_batch,
                          seed=c.seed)
            self.G_ema.style.load_state_dict(self.G.style.state_dict())

    def latents(self, z: Tensor, G: Generator) -> Tensor:
        """The ws [N,num_ws,w_dim] of z [N,z_dim]; before the mapping network was taught (`known_w`), what it will be
        taught."""
        if self.taught or not (self.config.known_w and self.config.paired_kimg):
            return G.mapping(z)
        dims = self.images.code.shape[1]
        answer, _ = known_w(self.images.category, dims, self.config.w_dim, self.config.seed)
        return answer(z[:, :dims].cpu()).to(self.device)[:, None].expand(-1, G.num_ws, -1)

    def _mixed(self, z: Tensor) -> Tensor:
        """Latents of a batch; with probability `mixing` the rows from a random layer on come from other z."""
        ws = self.G.mapping(z)
        if torch.rand((), generator=self.rng) < self.config.mixing:
            cut = int(torch.randint(1, self.G.num_ws, (), generator=self.rng))
            other = self.G.mapping(torch.randn(z.shape, generator=self.rng).to(z.device))
            ws = torch.cat([ws[:, :cut], other[:, cut:]], 1)
        return ws

    def _batch(self, playing: bool) -> Batch:
        """Real pictures and what the generator paints beside them; one pass of it serves both players."""
        c, n = self.config, self.config.batch // self.world
        index = torch.randint(len(self.images), (n,), generator=self.rng)
        real = self.images[index].to(self.device)
        if (factor := real.shape[-1] // self.resolution) > 1:
            real = nnf.avg_pool2d(real, factor)
        pairs = 0 if not c.paired_kimg else n if not playing else 0 if self._watching else round(n * c.paired_share)
        fake = paired = None
        if playing:
            ws = self._mixed(torch.randn(n, c.z_dim, generator=self.rng).to(self.device))
        if pairs:
            z = z_of_code(self.images.code[index[:pairs]], c.z_dim, self.rng).to(self.device)
            paired_ws = self.latents(z, self.G)
        with self._half():
            if playing:
                fake = self.G.synthesis(ws, generator=self.rng).float()
            if pairs:                       # a pair's answer holds no noise, so there the noise inputs stay silent
                paired = self.G.synthesis(paired_ws, noise_mode="none").float()
        return Batch(real, fake, paired)

    def _critics(self, batch: Batch) -> dict[str, Tensor]:
        """Updates D and the heads on samples; their losses."""
        if batch.fake is None:
            return {}
        c, real, fake = self.config, batch.real, batch.fake.detach()
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

    def _generator(self, batch: Batch) -> dict[str, Tensor]:
        """Updates G: what every critic says of its samples, and how far its pairs are from their answers."""
        c, log, loss = self.config, {}, 0.0
        if batch.fake is not None:
            log["G"] = losses.g_nonsaturating(self._logits(batch.fake))
            loss = loss + c.d_weight * log["G"]
            if self.heads:
                levels = self._levels(self._augmented(batch.fake))
                log["G_heads"] = sum(losses.g_hinge(h) for h in self.heads(levels))
                loss = loss + c.heads_weight * log["G_heads"]
        if batch.paired is not None:
            log["pairs"] = self._pair_loss(batch.paired, batch.real[:len(batch.paired)])
            loss = loss + (c.paired_weight if batch.fake is not None else 1.0) * log["pairs"]
        share = self.seen / (c.paired_kimg * 1000) if batch.fake is None else 1.0
        rate = c.lr if batch.fake is not None else c.paired_lr * (0.55 + 0.45 * math.cos(math.pi * share))
        for group, factor in zip(self.G_opt.param_groups, (1.0, c.mapping_lr)):
            group["lr"] = rate * factor
        self._update(self.G_opt, self.G, loss)
        return log

    def _pair_loss(self, x: Tensor, target: Tensor) -> Tensor:
        """How far a picture is from the one its code stands for: absolute difference of pixels at three scales and of
        three levels of features."""
        loss = (x - target).abs().mean()
        for k in (2, 4):
            loss = loss + (nnf.avg_pool2d(x, k) - nnf.avg_pool2d(target, k)).abs().mean()
        with torch.no_grad():
            wanted = self._levels(target, 3)
        return loss + 0.5 * sum((a - b).abs().mean() for a, b in zip(self._levels(x, 3), wanted))

    def _half(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16)

    def _levels(self, x: Tensor, levels: int = 4) -> list[Tensor]:
        with self._half():
            return [level.float() for level in self.features.features(x, levels)]

    def _logits(self, x: Tensor) -> Tensor:
        with self._half():
            return self.D(self._augmented(x)).float()

    def _augmented(self, x: Tensor) -> Tensor:
        return augment(x, self.config.augment, self.rng) if self.config.augment else x

    @staticmethod
    def _update(optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        parameters = [p for p in network.parameters() if p.requires_grad]
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

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def state(self) -> dict:
        """Everything needed to go on as if never stopped, in plain containers (see `fitting.save_finite`)."""
        parts = {name: getattr(self, name) for name in self.PARTS}
        return {"kind": "gan", "config": asdict(self.config), "seen": self.seen, "iteration": self.iteration,
                "resolution": self.resolution, "taught": self.taught, "history": self.history,
                "rng": self.rng.get_state(), **{k: dict(v.state_dict()) for k, v in parts.items() if v is not None}}

    def load(self, state: dict) -> None:
        """Goes on from a `state`. Lengths and rates may change, and the change is kept in `history`; anything else
        raises ValueError."""
        # A field younger than the checkpoint had its default.
        mine, theirs = asdict(self.config), {**asdict(GanConfig()), **state.get("config", {})}
        changed = {k: [theirs.get(k), v] for k, v in mine.items() if v != theirs.get(k)}
        kept = [{"seen": state["seen"], "changed": changed}] if changed else []
        self.history = list(state.get("history", [])) + kept
        if differ := sorted(set(changed) - MAY_CHANGE):
            raise CheckpointError("this checkpoint was trained with another configuration: " +
                             "; ".join(f"{k} was {theirs.get(k)!r}, now {mine[k]!r}" for k in differ) +
                             ". Use the old values, or start afresh in another folder")
        sizes = {self.config.resolution >> k for k in range(12)} - {0, 1, 2}
        self._build(check("resolution", state["resolution"], Annotated[int, Limits(choices=tuple(sizes))]))
        # Heads may come in when the game begins: without a state they start afresh.
        parts = {name: part for name in self.PARTS if (part := getattr(self, name)) is not None and name in state}
        seen, iteration = (check(name, state[name], Whole) for name in ("seen", "iteration"))
        for name, part in parts.items():
            if name.endswith("_opt"):
                check_optimizer(state[name], part, iteration, name, free=("lr",))
            else:
                require_like(state[name], dict(part.state_dict()), name)
        for name, part in parts.items():
            part.load_state_dict(own_moments(state[name], part) if name.endswith("_opt") else state[name])
        self.rng.set_state(state["rng"])
        self.taught = check("taught", state.get("taught", True), bool)
        self.seen, self.iteration = seen, iteration
