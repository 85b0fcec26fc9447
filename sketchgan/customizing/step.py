"""Cross-domain adversarial learning: the recipe of Sketch Your Own GAN and one step of it, beside the paper (section
3).

    L_sketch = E[log D_sketch(y)] + E[log(1 - D_sketch(F(G(z))))]      y: the user's sketches
    L_image  = E[log D_image(x)]  + E[log(1 - D_image(G(z)))]          x: photographs
    min over G, max over both D:  L_sketch + l_image L_image + l_weight mean |theta - theta_base|

with the non-saturating logistic form of each, and R1 on both discriminators.  Numbers and order are those of the
published trainer: a step of the discriminators, every 16th time their R1, a step of the generator on fresh samples.
"""

import dataclasses
from collections.abc import Iterable
from typing import Annotated

import torch
from torch import Tensor, nn

from ..files.checks import (
    Count,
    Limits,
    Positive,
    Probability,
    Seed,
    Weight,
    Whole,
    check,
    check_device,
    check_fields,
    check_gradients,
)
from ..nets.augment import augment, parse_policy
from ..nets.losses import d_logistic, g_nonsaturating, r1_penalty, weight_penalty
from ..nets.stylegan2 import Discriminator, Generator
from ..weights.checkpoints import CheckpointError
from .controls import NAMES, check_sketches, check_term
from .state import LAYERS, TrainingState, same
from .stopping import StoppingRule
from .warmstart import WarmStart

# Fields that do not influence the steps themselves: these may differ when a run is resumed.
FREE_FIELDS = {"iterations", "stopping", "threads", "device", "sample_every", "samples", "checkpoint_every"}
FORMAT = 2        # of a checkpoint's contents: the first kept the order of all images
Beta = Annotated[float, Limits(least=0, below=1)]


@dataclasses.dataclass(frozen=True)
class CustomizeConfig:
    """The recipe.  Without arguments it trains as published, and `stopping` chooses what to keep of it; the comments
    give each number's reason."""

    iterations: Count = 75_001       # as published; the paper finds 30,000 enough at 256 px
    batch: Count = 4                 # the teaser cat has four sketches
    lr: Positive = 0.002             # Adam, for G; lr_mul 0.01 of the mapping network scales it down
    g_lr_factor: Positive = 1.0      # beyond the paper: G's rate alone times this; large values buy artefacts
    betas: tuple[Beta, Beta] = (0.0, 0.99)  # no momentum: the usual choice against GAN oscillation
    r1_gamma: Weight = 10.0          # penalty on D's gradient at real data, for both discriminators
    d_reg_every: Count = 16          # lazy R1: each 16th step, 16 times as strong
    mixing: Probability = 0.9        # share of batches whose layers take w from two z
    augment: Annotated[str, parse_policy] = "translation"  # for what D_sketch sees; never for images
    l_image: Weight = 0.7            # weight of D_image (0.5 for FFHQ)
    l_weight: Weight = 0.0           # weight of mean |theta - theta_base|; an alternative to l_image without images
    optim_param: Annotated[str, Limits(choices=tuple(LAYERS))] = "style"  # what trains in G: the mapping network
    d_sketch_pretrained: bool = True  # D_sketch from the photograph D (published) or from scratch
    f_batch_stats: bool = True       # F's batch norms use the batch (published) or running statistics
    f_halvings: Whole = 0            # shrink images this often by 2 for F and back after (2 for 1024 px FFHQ)
    bf16: bool = False               # beyond the paper: all but R1 in bfloat16; faster where the processor has it
    g_ema_kimg: Weight = 0.0         # half-life of G_ema in thousand images; 0: none, as published
    warm_start: bool = False         # beyond the paper: fit the mapping network to the nearest samples first
    warm: WarmStart = WarmStart()    # how
    # beyond the paper: when to look, what to keep, when to end; or never
    stopping: StoppingRule | None = StoppingRule()
    seed: Seed = 0                   # of every random stream
    device: Annotated[str, check_device] = "cpu"    # where everything runs
    threads: Count | None = None     # of torch on the CPU; None leaves them; results are exact only for the same
    sample_every: Whole = 100        # iterations between records with samples; 0: never
    samples: Count = 16              # how many, of fixed z and noise
    checkpoint_every: Count = 250    # iterations between good states (in memory, and in the file), or a minute

    def __post_init__(self):
        check_fields(self)
        if self.warm_start and self.optim_param in ("w_shift", "affine"):
            raise ValueError(f"warm_start fits the mapping network, which optim_param={self.optim_param!r} leaves as "
                             f"it is. Choose optim_param='style' or warm_start=False.")


@dataclasses.dataclass(frozen=True)
class Step:
    """What one step reports.

    phase: 'warm' while the warm start searches and fits, 'train', or at the end 'chosen' (see `customize`).
    iteration: counted from 0, of a step done; of what is chosen, how many steps it had.
    losses: name -> value; of what is chosen, its distance to the sketches in pixels and its relative diversity.
    seconds: of work so far, without pauses and what the caller did between the steps.
    samples: [n, 3, R, R] when due, else None; in the warm start, the nearest samples so far.
    G: the generator as it is now; it goes on changing, so copy what you keep.  The chosen one is a copy.
    message: a line for people, or ''.
    share: of the phase's work, what is done.
    done: of all work, warm start included, what is done by time; it may all be done before, where the rule says so.
    left: seconds until then, as far as one can tell.
    """

    phase: str
    iteration: int
    losses: dict[str, float]
    seconds: float
    samples: Tensor | None
    G: nn.Module
    message: str = ""
    share: float = 0.0
    done: float = 0.0
    left: float = 0.0


class NonFiniteLoss(RuntimeError):
    """A loss became NaN or infinite.  Training stopped and the last good state was restored."""


def train_step(state: TrainingState, sketches: Tensor, images: Tensor | None, terms: dict, config) -> dict[str, float]:
    """One iteration, in the order of the published trainer; changes `state` and returns the losses.

    Args:
        state: networks, optimisers and random streams.
        sketches: drawings for D_sketch [N, 1, R, R].
        images: photographs for D_image [N, 3, R, R]; None if l_image is 0.
        terms: l_image, l_weight and augment, as they are for this step.
        config: the recipe.
    Raises:
        NonFiniteLoss: before the update that would have spread it.
    Source: Wang et al. 2021, section 3, and the released trainer.
    """
    losses = discriminator_step(state, sketches, images, terms, config)
    if config.r1_gamma > 0 and state.iteration % config.d_reg_every == 0:
        losses |= r1_step(state, sketches, images, terms, config)
    losses |= generator_step(state, terms, config)
    state.update_ema(config.batch, config.g_ema_kimg)
    return {name: value.item() for name, value in losses.items()}


def discriminator_step(state, sketches, images, terms, config) -> dict[str, Tensor]:
    """D_sketch learns to tell drawings from sketched samples, D_image photographs from samples."""
    state.train_only(state.params_D)
    with torch.no_grad():
        fake_images = sample(state, config)
        fake_sketches = sketch(state.F, fake_images, config)
    seen = lambda x: discriminator_view(x, terms, state)
    losses = {"D_sketch": d_logistic(logits(state.D_sketch, seen(sketches), config),
                                     logits(state.D_sketch, seen(fake_sketches), config))}
    if terms["l_image"] > 0:
        losses["D_image"] = d_logistic(logits(state.D_image, images, config),
                                       logits(state.D_image, fake_images, config))
    update(state.optimizer_D, judging(state, terms), weighted(losses, terms), losses, state.iteration)
    return losses


def r1_step(state, sketches, images, terms, config) -> dict[str, Tensor]:
    """Lazy R1: (gamma / 2) E |grad_x D(x)|^2 at real data, d_reg_every times as strong in one step of as many.

    For D_sketch, x is the drawing itself: the gradient passes through a fresh augmentation.
    """
    strength = config.r1_gamma / 2 * config.d_reg_every
    sketch_logits = lambda x: state.D_sketch(discriminator_view(x, terms, state))
    losses = {"R1_sketch": strength * r1_penalty(sketch_logits, sketches)}
    if terms["l_image"] > 0:
        losses["R1_image"] = strength * r1_penalty(state.D_image, images)
    update(state.optimizer_D, judging(state, terms), weighted(losses, terms), losses, state.iteration)
    return losses


def generator_step(state, terms, config) -> dict[str, Tensor]:
    """The mapping network learns to please both discriminators, and not to wander if l_weight > 0."""
    state.train_only(state.params_G.values())
    fake_images = sample(state, config)
    fake_sketches = sketch(state.F, fake_images, config)
    losses = {"G_sketch": g_nonsaturating(logits(state.D_sketch, discriminator_view(fake_sketches, terms, state),
                                                 config))}
    if terms["l_image"] > 0:
        losses["G_image"] = g_nonsaturating(logits(state.D_image, fake_images, config))
    if terms["l_weight"] > 0:
        losses["G_weight"] = weight_penalty(list(state.params_G.values()), state.params_base)
    update(state.optimizer_G, state.params_G.values(), weighted(losses, terms), losses, state.iteration)
    return losses


def judging(state: TrainingState, terms: dict) -> list[nn.Parameter]:
    """The parameters of the discriminators that take part: without l_image, D_image rests."""
    return [*state.D_sketch.parameters(), *(state.D_image.parameters() if terms["l_image"] > 0 else ())]


def weighted(losses: dict[str, Tensor], terms: dict) -> Tensor:
    """Their sum: the sketch term counts once, the others by l_image and l_weight."""
    weights = {"sketch": 1, "image": terms["l_image"], "weight": terms["l_weight"]}
    return sum(weights[name.split("_")[1]] * value for name, value in losses.items())


def update(optimizer: torch.optim.Optimizer, taking_part: Iterable[nn.Parameter], loss: Tensor,
           losses: dict[str, Tensor],
           iteration: int) -> None:
    """One step of the optimiser for the parameters that take part, or NonFiniteLoss before anything has changed."""
    if not loss.isfinite():
        values = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.items())
        raise NonFiniteLoss(f"The loss of iteration {iteration} is not a finite number ({values}).")
    # Zeros for who takes part: a parameter that R1 does not reach (D's last bias) then still takes part in Adam's step,
    # as it does in the published program, and its second moment decays like the others'. None for who does not: what
    # rests stays as it is, whether training was resumed meanwhile or not.
    optimizer.zero_grad(set_to_none=True)
    for p in taking_part:
        p.grad = torch.zeros_like(p)
    loss.backward()
    optimizer.step()


def sample(state: TrainingState, config) -> Tensor:
    """A batch of images [N, 3, R, R]: fresh z, fresh noise, and mostly two z whose layers are mixed."""
    G, streams = state.G, state.streams
    draw = lambda: torch.randn(config.batch, G.z_dim, generator=streams["z"]).to(config.device)
    ws = G.mapping(draw())
    if torch.rand(1, generator=streams["mixing"]).item() < config.mixing:
        cut = torch.randint(1, G.num_ws, (1,), generator=streams["mixing"]).item()
        ws = torch.cat([ws[:, :cut], G.mapping(draw())[:, cut:]], 1)  # [N, num_ws, w_dim]
    with half(config):
        return G.synthesis(ws, generator=streams["noise"]).float()


def sketch(F: nn.Module, images: Tensor, config) -> Tensor:
    """F of images [N, 3, R, R] -> [N, 1, R, R], at a lower resolution if f_halvings asks for it."""
    resize = lambda x, factor: nn.functional.interpolate(x, scale_factor=factor, mode="bicubic", align_corners=False)
    for _ in range(config.f_halvings):
        images = resize(images, 0.5)
    with half(config):
        sketches = F(images).float()
    for _ in range(config.f_halvings):
        sketches = resize(sketches, 2)
    return sketches


def logits(D: nn.Module, x: Tensor, config) -> Tensor:
    """What D thinks of x [N, 3, R, R] -> [N, 1]; in float32, as the losses of bfloat16 logits have three digits."""
    with half(config):
        return D(x).float()


def half(config) -> torch.autocast:
    """Inside, convolutions run in bfloat16 if `config.bf16` asks for it; R1 stays outside: second derivatives need the
    digits."""
    return torch.autocast(torch.device(config.device).type, torch.bfloat16, enabled=config.bf16)


def discriminator_view(sketches: Tensor, terms: dict, state: TrainingState) -> Tensor:
    """What D_sketch sees of sketches [N, 1, R, R]: three equal channels, moved about at random [N, 3, R, R]."""
    return augment(sketches.repeat(1, 3, 1, 1), terms["augment"], state.streams["augment"])


def check_networks(G, D, F, config) -> None:
    """Raise ValueError, saying what to do, if the three networks do not fit together, or none could be trained."""
    check_gradients("customize")
    for name, network, kind in (("G", G, Generator), ("D", D, Discriminator)):
        if not isinstance(network, kind):
            raise ValueError(f"{name} is a {type(network).__name__}; wanted is a {kind.__name__}. Load it with "
                             f"load_generator(path) and load_discriminator(path).")
    if not isinstance(F, nn.Module) or isinstance(F, (Generator, Discriminator)):
        raise ValueError(f"F is a {type(F).__name__}; wanted is a network from photographs to sketches. Use "
                         f"load_photosketch(path).")
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


def check_contents(contents: dict, path, config: CustomizeConfig, state: TrainingState, sketches) -> None:
    """Raise ValueError, saying what to do, if a checkpoint cannot be continued with what was given, or if it holds what
    no run of ours has written: it may come from a stranger."""
    if contents.get("kind") != "customize":
        raise CheckpointError(f"{path} is no checkpoint of customize(). Give the file that was its checkpoint=.")
    if contents.get("format") != FORMAT:
        raise CheckpointError(f"{path} was written by another version of sketchgan, which stored the order of images "
                              f"otherwise, so it cannot be continued exactly. Begin anew, without resume.")
    ours, theirs = dataclasses.asdict(config), contents["config"]
    searched = config.warm_start or theirs["warm_start"]  # else it does not matter how
    differing = [k for k in ours if k not in FREE_FIELDS | (set() if searched else {"warm"})
                 and theirs[k] != ours[k]]
    if differing:
        changes = ", ".join(f"{k}: {theirs[k]} there, {ours[k]} here" for k in differing)
        raise CheckpointError(f"{path} was made with another recipe ({changes}). Resume with its own; sketches, "
                              f"l_image, l_weight and augment may change by Controls. Or begin anew, without resume.")
    R, changes = state.G.resolution, contents["history"]
    for name, value in [*contents["terms"].items(), *((change["name"], change["value"]) for change in changes)]:
        check_term(name, value)
    drawn = [contents["first_sketches"], contents["terms"]["sketches"],
             *(change["value"] for change in changes if change["name"] == "sketches")]
    for drawing in drawn:
        check_sketches(drawing, R)
    if contents["terms"].keys() != set(NAMES):
        raise ValueError(f"its terms are {', '.join(contents['terms'])}")
    if sketches is not None and not same(sketches, contents["first_sketches"]):
        raise CheckpointError(f"{path} was begun with other sketches. Resume with sketches=None, and pass new ones "
                              f"through Controls(sketches=...). Or begin anew, without resume.")
    for name, kind in dict(seconds=Weight, warm_seconds=Weight, warm=bool, watch=dict | None, history=list).items():
        check(name, contents[name], kind)
    for change in changes:
        check("iteration", change["iteration"], Whole)
    state.check(contents["state"], {len(drawing) for drawing in drawn})
