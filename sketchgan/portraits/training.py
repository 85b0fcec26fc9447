"""Progressive training of the extrinsic path (Yang et al. 2022, section 3.3): a generator that yields a record a step.

    training = PortraitTraining(G, D, styles.images, extrinsic, intrinsic, PortraitConfig())
    for step in train_portraits(training, "portraits.training"):   # leave the loop to stop, call again to go on
        print(step.stage, step.losses)
    training.P_ema                                                  # the network to keep

Stage I is where it starts: with all weights 1 the network mixes styles of g, structure of one, colour of the other.
Stage II goes on mixing, but asks for the style's own rows earlier and earlier: rows from l on, with l one, then two
below the border. So the ModRes learn to change shapes, on pictures of which there are plenty. Stage III shows it the
style examples: each paired with the content that it was destylised to, and with random content.

Everything random in step k is drawn from (seed, k): a resumed training is the training that never stopped.
"""
from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from ..files.checks import Count, Images, Positive, Probability, Seed, Weight, Whole, check_fields, checked, shape
from ..nets import losses as game
from ..nets.augment import augment, parse_policy
from ..nets.stylegan2 import Discriminator, Generator
from ..pretraining.fitting import save_finite, step_generator
from ..weights.checkpoints import content_hash, load_training
from . import losses
from .network import DualStyleGAN

Codes = shape("N", "L", "D")
LOOKS = 2               # so many bad looks in a row are a collapse


@dataclass(frozen=True)
class PortraitConfig:
    """Everything that decides a training; saved in its checkpoint. Weights of losses are the paper's."""

    stage2: tuple[Whole, Whole, Whole] = (60, 60, 240)  # steps with l = border, border - 1, border - 2; paper 300, 300,
    #                                                     3000 at 1024 px
    stage3: Whole = 900             # steps on the style examples; paper 1000 to 2100
    batch: Count = 8                # pictures a step
    lr: Positive = 0.002            # Adam, of the extrinsic path and of the discriminator
    l_adv2: Weight = 0.1            # stage II: the game's weight beside the mixture that is known
    l_adv: Weight = 1.0             # stage III: the game
    l_perc: Weight = 1.0            # paired portraits look like their example
    l_cx: Weight = 0.25             # contextual part of the style
    l_fm: Weight = 0.25             # matching of features' means, the other part
    l_content: Weight = 1.0         # likeness to g's own picture; paper 1, of caricatures 4
    l_reg: Weight = 0.015           # smallness of the ModRes; paper 0.005 to 0.02, less exaggerates more
    paired: Probability = 0.5       # share of stage III's steps that show pairs
    encoded: Probability = 0.25     # share of stage II's steps whose style comes through the encoder, if there is one
    jitter: Weight = 0.1            # noise on extrinsic codes, in units of w's spread
    mixing: Probability = 0.9       # of random contents, the share whose later rows are of another z
    r1_gamma: Weight = 0.3          # as the base's
    d_reg_every: Count = 16         # lazy R1
    augment: Annotated[str, parse_policy] = "translation,cutout"    # of what the discriminator sees: few examples
    ema_kimg: Positive = 1.0        # half-life of the average, in thousands of pictures
    look_every: Count = 50          # steps from one look at the variety to the next
    collapse: Weight = 0.15         # of g's variety, below which the network has collapsed
    seed: Seed = 0
    __post_init__ = check_fields


@dataclass(frozen=True)
class PortraitStep:
    """One step: its number from 1 on, the stage (2 or 3) and l, unweighted losses; variety, as a share of g's, where it
    was looked at; whether the training has ended because there was none left (what is kept is the last sound state)."""

    iteration: int
    stage: int
    losses: dict[str, float]
    variety: float | None = None
    collapsed: bool = False


class PortraitTraining:
    """The state of a training, and its step.

    Args:
        G, D: the base, which stays as it is.
        styles: the examples `[S, 3, R, R]` in [-1, 1].
        extrinsic, intrinsic: of each example the code of its style and of its content, `[S, num_ws, w_dim]`.
        features: a frozen network whose features say how alike pictures are (`load_imagenet()`); None takes D's own.
        encode: pictures `[N, 3, R, R]` to latents `[N, num_ws, w_dim]`, for stage II; None does without.
    """

    @checked
    def __init__(self, G: Generator, D: Discriminator, styles: Images, extrinsic: Codes, intrinsic: Codes,
                 config: PortraitConfig = PortraitConfig(), features: nn.Module | None = None,
                 encode: Callable | None = None):
        wanted = (len(styles), G.num_ws, G.w_dim)
        for name, code in (("extrinsic", extrinsic), ("intrinsic", intrinsic)):
            if tuple(code.shape) != wanted:
                raise ValueError(f"{name} has shape {list(code.shape)}; {wanted[0]} style examples and this base want "
                                 f"{list(wanted)}: codes of another base or of other examples do not fit")
        if tuple(styles.shape[2:]) != (G.resolution,) * 2:
            raise ValueError(f"styles are {styles.shape[2]} x {styles.shape[3]} px and the base paints "
                             f"{G.resolution} px; open them with open_styles(source, {G.resolution})")
        self.config, self.encode, self.iteration, self.bad, self.collapsed = config, encode, 0, 0, False
        self.device = G.input.input.device
        self.styles, self.extrinsic, self.intrinsic = (x.detach().float().cpu() for x in (styles, extrinsic, intrinsic))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.P = DualStyleGAN(G)
        self.P_ema = copy.deepcopy(self.P).eval().requires_grad_(False)
        self.D = copy.deepcopy(D).requires_grad_(True)
        self.P_opt = torch.optim.Adam(self.P.extrinsic(), config.lr, (0.0, 0.99))
        self.D_opt = torch.optim.Adam(self.D.parameters(), config.lr, (0.0, 0.99))
        with torch.no_grad():
            ws = self._ws(64, step_generator(config.seed, -1))
            self.spread = float(ws[:, 0].std(0).mean())
            self.shown = self.P.mapping(self._z(8, step_generator(config.seed, -2)), 0.8)
            plain = self.P.generator.synthesis(self.shown, "none")
            self.critic = losses.CriticFeatures(D, self.P.generator.synthesis(ws, "none")).to(self.device)
            self.plain_variety = float(losses.spread_of(self.critic.levels(plain)))
        self.features = self.critic if features is None else features.to(self.device).eval().requires_grad_(False)
        self.sound = self._learnt(self.P_ema)
        examples = hashlib.sha256(b"".join(x.numpy().tobytes() for x in (self.styles, self.extrinsic, self.intrinsic)))
        self.about = {"base": content_hash(G), "examples": examples.hexdigest()}

    @property
    def total(self) -> int:
        """Steps of all stages."""
        return sum(self.config.stage2) + self.config.stage3

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.collapsed or self.iteration >= self.total

    # -- one step -----------------------------------------------------------------------------------------------------

    def step(self) -> PortraitStep:
        """One update of the extrinsic path and of the discriminator.

        Raises FloatingPointError where a loss is no number any more; P_ema is then the last sound network.
        """
        rng, before = step_generator(self.config.seed, self.iteration), sum(self.config.stage2)
        stage = 2 if self.iteration < before else 3
        made, real, terms = self._mixtures(rng) if stage == 2 else self._portraits(rng)
        weights = self._weights(stage)
        log = self._criticise(real, made.detach(), rng, self.config.l_adv2 if stage == 2 else 1.0)
        terms["adv"] = game.g_nonsaturating(self.D(augment(made, self.config.augment, rng)))
        loss = sum(weights[name] * term for name, term in terms.items() if weights[name])
        self._update(self.P_opt, self.P.extrinsic(), loss)
        log |= {name: float(term.detach()) for name, term in terms.items()}
        if bad := [name for name, value in log.items() if not math.isfinite(value)]:
            self._restore()
            raise FloatingPointError(f"the loss {bad[0]} is {log[bad[0]]} in step {self.iteration + 1}; P_ema holds "
                                     "the last sound network. Train again with a smaller lr")
        self.iteration += 1
        self._average()
        variety = self._look() if self.iteration % self.config.look_every == 0 or self.done else None
        return PortraitStep(self.iteration, stage, log, variety, self.collapsed)

    def border_of(self, iteration: int) -> int:
        """l of stage II in this iteration: from which row on the mixture that is asked for is the style's."""
        first, second, _ = self.config.stage2
        return max(1, self.P.border - (0 if iteration < first else 1 if iteration < first + second else 2))

    def _weights(self, stage: int) -> dict[str, float]:
        c = self.config
        if stage == 2:
            return {"adv": c.l_adv2, "perc": 1.0}
        return {"adv": c.l_adv, "perc": c.l_perc, "cx": c.l_cx, "fm": c.l_fm, "content": c.l_content, "reg": c.l_reg}

    def _z(self, n: int, rng: torch.Generator) -> Tensor:
        return torch.randn(n, self.P.z_dim, generator=rng).to(self.device)

    def _ws(self, n: int, rng: torch.Generator, mixing: float = 0.0) -> Tensor:
        """Random contents [n,num_ws,w_dim]; of a share `mixing` of batches the later rows are of another z."""
        ws = self.P.mapping(self._z(n, rng))
        if float(torch.rand((), generator=rng)) < mixing:
            cut = int(torch.randint(1, self.P.num_ws, (), generator=rng))
            ws = torch.cat([ws[:, :cut], self.P.mapping(self._z(n, rng))[:, cut:]], 1)
        return ws

    def _mixtures(self, rng: torch.Generator) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Stage II (equation 3): pictures made, mixtures of g that they should be, and losses."""
        l, n = self.border_of(self.iteration), self.config.batch
        with torch.no_grad():
            ws, style = self._ws(n, rng), self._ws(n, rng)
            noise = int(torch.randint(2 ** 31, (), generator=rng))
            again = lambda: torch.Generator().manual_seed(noise)
            wanted = self.P.generator.synthesis(torch.cat([ws[:, :l], style[:, l:]], 1), generator=again())
            if self.encode is not None and float(torch.rand((), generator=rng)) < self.config.encoded:
                style = self.encode(self.P.generator.synthesis(style, "none")).to(style)
        made = self.P.synthesis(ws, style, 1.0, generator=again())
        with torch.no_grad():
            seen = losses.maps(self.features, wanted)[:3]
        return made, wanted, {"perc": 0.5 * losses.perceptual(losses.maps(self.features, made)[:3], seen)}

    def _portraits(self, rng: torch.Generator) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Stage III (equation 4): portraits, style examples to tell them from, and losses."""
        c, P, n = self.config, self.P, self.config.batch
        pick = torch.randint(len(self.styles), (n,), generator=rng)
        wanted, style = self.styles[pick].to(self.device), self.extrinsic[pick].to(self.device)
        style = style + c.jitter * self.spread * torch.randn(style.shape, generator=rng).to(style)
        paired = float(torch.rand((), generator=rng)) < c.paired
        with torch.no_grad():
            ws = self._ws(n, rng, c.mixing)
            if paired:                  # colour of its own would tell the content's rows what the style's should say
                ws = torch.cat([self.intrinsic[pick].to(ws)[:, :P.border], ws[:, P.border:]], 1)
            noise = int(torch.randint(2 ** 31, (), generator=rng))
            plain = self.critic.levels(P.generator.synthesis(ws, generator=torch.Generator().manual_seed(noise)))[-2]
            seen = losses.maps(self.features, wanted)
        made = P.synthesis(ws, style, 1.0, generator=torch.Generator().manual_seed(noise))
        look = losses.maps(self.features, made)
        own = look if self.features is self.critic else self.critic.levels(made)
        coarse = next((i for i, x in enumerate(look) if x.shape[-1] <= 16), len(look) - 1)
        terms = {"cx": losses.contextual(look[coarse], seen[coarse]), "reg": losses.extrinsic_penalty(P),
                 "fm": losses.feature_matching(look[:3], seen[:3]),
                 "content": losses.content(own[-2], plain)}
        if paired:
            terms["perc"] = losses.perceptual(look[:3], seen[:3])
        real = self.styles[torch.randint(len(self.styles), (n,), generator=rng)].to(self.device)
        return made, real, terms

    def _criticise(self, real: Tensor, fake: Tensor, rng: torch.Generator, weight: float) -> dict[str, float]:
        c = self.config
        seen = lambda x: self.D(augment(x, c.augment, rng))
        loss = game.d_logistic(seen(real), seen(fake))
        log, total = {"D": float(loss.detach())}, weight * loss
        if self.iteration % c.d_reg_every == 0 and c.r1_gamma:
            r1 = game.r1_penalty(seen, real)
            log["r1"], total = float(r1.detach()), total + c.r1_gamma / 2 * c.d_reg_every * r1
        self._update(self.D_opt, list(self.D.parameters()), total)
        return log

    @staticmethod
    def _update(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], loss: Tensor) -> None:
        for p, grad in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True)):
            p.grad = grad
        optimizer.step()

    @torch.no_grad()
    def _average(self) -> None:
        seen = self.iteration * self.config.batch
        keep = 0.5 ** (self.config.batch / min(self.config.ema_kimg * 1000, max(1.0, 0.2 * seen)))
        for p, q in zip(self.P_ema.extrinsic(), self.P.extrinsic()):
            p.lerp_(q, 1 - keep)

    @torch.no_grad()
    def _look(self) -> float:
        """Variety of eight fixed contents in each of a few styles, as a share of g's; without any the training ends."""
        picks = torch.linspace(0, len(self.styles) - 1, min(4, len(self.styles))).long()
        made = [self.P_ema.synthesis(self.shown, self.extrinsic[i][None].to(self.device), 1.0, "none") for i in picks]
        variety = sum(float(losses.spread_of(self.critic.levels(x))) for x in made) / len(made) / self.plain_variety
        self.bad = self.bad + 1 if not variety >= self.config.collapse else 0
        if self.bad >= LOOKS:
            self.collapsed = True
            self._restore()
        elif not self.bad:
            self.sound = self._learnt(self.P_ema)
        return variety

    def _restore(self) -> None:
        self.P_ema.load_state_dict(self.sound, strict=False)

    @staticmethod
    def _learnt(network: DualStyleGAN) -> dict[str, Tensor]:
        return {k: v.clone() for k, v in network.state_dict().items() if not k.startswith("generator.")}

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def state(self) -> dict:
        """All that the next step depends on, in plain containers."""
        return {"kind": "portraits", "config": asdict(self.config), "about": self.about, "iteration": self.iteration,
                "bad": self.bad, "collapsed": self.collapsed, "sound": self.sound, "P": self._learnt(self.P),
                "P_ema": self._learnt(self.P_ema), "D": dict(self.D.state_dict()), "P_opt": self.P_opt.state_dict(),
                "D_opt": self.D_opt.state_dict()}

    def load(self, state: dict) -> None:
        """Go on from a `state`; more steps may be asked of stage III, nothing else may differ. Raises ValueError."""
        mine, theirs = asdict(self.config), state.get("config", {})
        if state.get("kind") != "portraits" or state.get("about") != self.about:
            raise ValueError("this checkpoint is of another base, other style examples or other codes; give the same "
                             "ones to go on, or another file to begin anew")
        as_list = lambda v: list(v) if isinstance(v, tuple) else v
        if changed := [k for k in mine if k != "stage3" and as_list(mine[k]) != as_list(theirs.get(k))]:
            raise ValueError(f"this checkpoint began with other values of {', '.join(changed)}; give the same ones to "
                             "go on, or another file to begin anew")
        for name in ("P", "P_ema"):
            getattr(self, name).load_state_dict(state[name], strict=False)
        for name in ("D", "P_opt", "D_opt"):
            getattr(self, name).load_state_dict(state[name])
        self.sound, self.iteration, self.bad = state["sound"], state["iteration"], state["bad"]
        self.collapsed = state["collapsed"]


def train_portraits(training: PortraitTraining, checkpoint: str | Path | None = None,
                    save_every: float = 60.0) -> Iterator[PortraitStep]:
    """Train to the end of stage III; yields after each step, and leaving the loop stops.

    checkpoint: a file written every `save_every` seconds, on leaving and at the end; if it exists, training goes on
        from it exactly where it was.
    """
    if checkpoint is not None and Path(checkpoint).exists():
        training.load(load_training(checkpoint))
    saved, save = time.monotonic(), lambda: checkpoint is not None and save_finite(checkpoint, training.state())
    try:
        while not training.done:
            yield training.step()
            if time.monotonic() - saved > save_every:
                save()
                saved = time.monotonic()
    except GeneratorExit:                           # the caller left between two steps, so what is here is whole
        save()
        raise
    save()
