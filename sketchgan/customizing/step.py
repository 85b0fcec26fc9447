"""Cross-domain adversarial learning: one step of Sketch Your Own GAN, readable beside the paper (section 3).

    L_sketch = E[log D_sketch(y)] + E[log(1 - D_sketch(F(G(z))))]      y: the user's sketches
    L_image  = E[log D_image(x)]  + E[log(1 - D_image(G(z)))]          x: photographs
    min over G, max over both D:  L_sketch + l_image L_image + l_weight mean |theta - theta_base|

with the non-saturating logistic form of each, and R1 on both discriminators.  Numbers and order are those of the
published trainer: a step of the discriminators, every 16th time their R1, a step of the generator on fresh samples.
"""

import torch
from torch import Tensor, nn

from ..nets.augment import augment
from ..nets.losses import d_logistic, g_nonsaturating, r1_penalty, weight_penalty
from .state import TrainingState


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
    losses = {"D_sketch": d_logistic(logits(state.D_sketch, seen(sketches), config), logits(state.D_sketch, seen(fake_sketches), config))}
    if terms["l_image"] > 0:
        losses["D_image"] = d_logistic(logits(state.D_image, images, config), logits(state.D_image, fake_images, config))
    update(state.optimizer_D, weighted(losses, terms), losses, state.iteration)
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
    update(state.optimizer_D, weighted(losses, terms), losses, state.iteration)
    return losses


def generator_step(state, terms, config) -> dict[str, Tensor]:
    """The mapping network learns to please both discriminators, and not to wander if l_weight > 0."""
    state.train_only(state.params_G.values())
    fake_images = sample(state, config)
    fake_sketches = sketch(state.F, fake_images, config)
    losses = {"G_sketch": g_nonsaturating(logits(state.D_sketch, discriminator_view(fake_sketches, terms, state), config))}
    if terms["l_image"] > 0:
        losses["G_image"] = g_nonsaturating(logits(state.D_image, fake_images, config))
    if terms["l_weight"] > 0:
        losses["G_weight"] = weight_penalty(list(state.params_G.values()), state.params_base)
    update(state.optimizer_G, weighted(losses, terms), losses, state.iteration)
    return losses


def weighted(losses: dict[str, Tensor], terms: dict) -> Tensor:
    """Their sum: the sketch term counts once, the others by l_image and l_weight."""
    weights = {"sketch": 1, "image": terms["l_image"], "weight": terms["l_weight"]}
    return sum(weights[name.split("_")[1]] * value for name, value in losses.items())


def update(optimizer: torch.optim.Optimizer, loss: Tensor, losses: dict[str, Tensor], iteration: int) -> None:
    """One step of the optimiser, or NonFiniteLoss before anything has changed."""
    if not loss.isfinite():
        values = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.items())
        raise NonFiniteLoss(f"The loss of iteration {iteration} is not a finite number ({values}).")
    # Zeros, not None: a parameter that R1 does not reach (D's last bias) then still takes part in Adam's step, as it
    # does in the published program, and its second moment decays like the others'.
    optimizer.zero_grad(set_to_none=False)
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
    """Inside, convolutions run in bfloat16 if `config.bf16` asks for it; R1 stays outside: second derivatives need the digits."""
    return torch.autocast(torch.device(config.device).type, torch.bfloat16, enabled=config.bf16)


def discriminator_view(sketches: Tensor, terms: dict, state: TrainingState) -> Tensor:
    """What D_sketch sees of sketches [N, 1, R, R]: three equal channels, moved about at random [N, 3, R, R]."""
    return augment(sketches.repeat(1, 3, 1, 1), terms["augment"], state.streams["augment"])
