"""The step as the published program computes it: the same operations, one to one, on the same networks.

Per-sample weights through grouped convolutions, FIR filters as plain PyTorch, NCHW throughout, gradients of all of G
(which the published program accumulates and never uses), every batch through a discriminator by itself, F with batch
norms that update their running buffers, plain Adam.  What it is compared with is
`sketchgan.customizing.step.train_step`: both take the same random numbers from the same streams, so that their losses
agree to rounding.
"""
import math

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from sketchgan.customizing.state import TrainingState
from sketchgan.customizing.step import discriminator_view, weighted
from sketchgan.nets.losses import d_logistic, g_nonsaturating, r1_penalty, weight_penalty
from sketchgan.nets.stylegan2 import minibatch_stddev
from sketchgan.ops import upfirdn2d


def plain_state(G, D, F, images, config) -> TrainingState:
    """A state for `plain_step`: F in training mode, all of G with gradients, Adam as it was called."""
    state = TrainingState(G, D, F, images, config)
    state.F = trained_mode(state.F)
    for name in ("G", "D"):
        group = getattr(state, f"optimizer_{name}").param_groups[0]
        setattr(state, f"optimizer_{name}", torch.optim.Adam(group["params"], group["lr"], group["betas"]))
    return state


def trained_mode(F: nn.Module) -> nn.Module:
    """F with ordinary batch norms in training mode."""
    for module in list(F.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                norm = nn.BatchNorm2d(child.num_features, eps=child.eps)
                norm.load_state_dict(child.state_dict())
                setattr(module, name, norm.requires_grad_(False))
    return F.train()


def plain_step(state: TrainingState, sketches: Tensor, images: Tensor | None, terms: dict, config) -> dict[str, float]:
    """One iteration; see `sketchgan.customizing.step.train_step` for arguments and result."""
    for p in state.params_D:
        p.requires_grad_(True)
    with torch.no_grad():
        fake_images = sample(state, config)
        fake_sketches = sketch(state.F, fake_images, config)
    seen = lambda x: discriminator_view(x, terms, state)
    real_logits = discriminate(state.D_sketch, seen(sketches))
    losses = {"D_sketch": d_logistic(real_logits, discriminate(state.D_sketch, seen(fake_sketches)))}
    if terms["l_image"] > 0:
        losses["D_image"] = d_logistic(discriminate(state.D_image, images), discriminate(state.D_image, fake_images))
    update(state.optimizer_D, weighted(losses, terms))

    if config.r1_gamma > 0 and state.iteration % config.d_reg_every == 0:
        strength = config.r1_gamma / 2 * config.d_reg_every
        penalties = {"R1_sketch": strength * r1_penalty(lambda x: discriminate(state.D_sketch, seen(x)), sketches)}
        if terms["l_image"] > 0:
            penalties["R1_image"] = strength * r1_penalty(lambda x: discriminate(state.D_image, x), images)
        update(state.optimizer_D, weighted(penalties, terms))
        losses |= penalties

    for p in state.params_D:
        p.requires_grad_(False)
    state.G.requires_grad_(True)
    fake_images = sample(state, config)
    fake_sketches = sketch(state.F, fake_images, config)
    wishes = {"G_sketch": g_nonsaturating(discriminate(state.D_sketch, seen(fake_sketches)))}
    if terms["l_image"] > 0:
        wishes["G_image"] = g_nonsaturating(discriminate(state.D_image, fake_images))
    if terms["l_weight"] > 0:
        wishes["G_weight"] = weight_penalty(list(state.params_G.values()), state.params_base)
    update(state.optimizer_G, weighted(wishes, terms))
    return {name: value.item() for name, value in (losses | wishes).items()}


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """The optimiser's own parameters begin at zero; what it does not hold accumulates gradients for ever."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = torch.zeros_like(p)
    loss.backward()
    optimizer.step()


# --- The generator ----------------------------------------------------------------------------------------------------

def sample(state: TrainingState, config) -> Tensor:
    """A batch of images, of the same z, mixing and noise as `sketchgan.customizing.step.sample` draws."""
    G, streams = state.G, state.streams
    draw = lambda: torch.randn(config.batch, G.z_dim, generator=streams["z"])
    mapped = lambda z: G.style(z)[:, None].repeat(1, G.num_ws, 1)
    ws = mapped(draw())
    if torch.rand(1, generator=streams["mixing"]).item() < config.mixing:
        cut = torch.randint(1, G.num_ws, (1,), generator=streams["mixing"]).item()
        ws = torch.cat([ws[:, :cut], mapped(draw())[:, cut:]], 1)
    noises = [torch.randn(config.batch, *b.shape[1:], generator=streams["noise"]) for b in G.noises.buffers()]
    x = G.input.input.repeat(config.batch, 1, 1, 1)
    x = styled(G.conv1, x, ws[:, 0], noises[0])
    rgb = modulated(G.to_rgb1.conv, x, ws[:, 1]) + G.to_rgb1.bias
    for j, to_rgb in enumerate(G.to_rgbs):
        i = 2 * j + 1
        x = styled(G.convs[i - 1], x, ws[:, i], noises[i])
        x = styled(G.convs[i], x, ws[:, i + 1], noises[i + 1])
        rgb = (modulated(to_rgb.conv, x, ws[:, i + 2]) + to_rgb.bias
               + upfirdn2d(rgb, to_rgb.upsample.kernel, up=2, pad=(2, 1), impl="ref"))
    return rgb


def styled(layer, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    """Modulated convolution, noise, bias and leaky ReLU."""
    x = modulated(layer.conv, x, w)
    return biased(x + layer.noise.weight * noise, layer.activate.bias)


def modulated(layer, x: Tensor, w: Tensor) -> Tensor:
    """A convolution with a weight for each sample, the batch as groups of one wide picture."""
    n, c, h, width = x.shape
    style = linear(layer.modulation, w).reshape(n, 1, c, 1, 1)
    weight = layer.scale * layer.weight * style                                            # [NOIkk]
    if layer.demodulate:
        weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8).reshape(n, -1, 1, 1, 1)
    out, k = weight.shape[1], weight.shape[-1]
    x = x.reshape(1, n * c, h, width)
    if layer.upsample:
        weight = weight.transpose(1, 2).reshape(n * c, out, k, k)
        y = nnf.conv_transpose2d(x, weight, stride=2, groups=n)
        return upfirdn2d(y.reshape(n, out, *y.shape[2:]), layer.blur.kernel, pad=(1, 1), impl="ref")
    y = nnf.conv2d(x, weight.reshape(n * out, c, k, k), padding=k // 2, groups=n)
    return y.reshape(n, out, h, width)


def linear(layer, x: Tensor) -> Tensor:
    """Equalised linear layer, with leaky ReLU where it has one."""
    if not layer.activation:
        return nnf.linear(x, layer.weight * layer.scale, layer.bias * layer.lr_mul)
    return biased(nnf.linear(x, layer.weight * layer.scale), layer.bias * layer.lr_mul)


def biased(x: Tensor, bias: Tensor) -> Tensor:
    """Bias, leaky ReLU, gain."""
    return nnf.leaky_relu(x + bias.reshape(1, -1, *[1] * (x.ndim - 2)), 0.2) * math.sqrt(2)


# --- The discriminator and F ------------------------------------------------------------------------------------------

def discriminate(D, x: Tensor) -> Tensor:
    """Logits of D, in plain operations."""
    x = convolved(D.convs[0], x)
    for block in list(D.convs)[1:]:
        x = (convolved(block.conv2, convolved(block.conv1, x)) + convolved(block.skip, x)) / math.sqrt(2)
    x = convolved(D.final_conv, minibatch_stddev(x, D.mbstd_group or len(x)))
    first, last = D.final_linear
    return linear(last, linear(first, x.reshape(len(x), -1)))


def convolved(layer, x: Tensor) -> Tensor:
    """FIR filter and stride 2 where it shrinks, convolution, bias and leaky ReLU where there are any."""
    conv, *act = list(layer)[layer.downsample:]
    k = conv.weight.shape[-1]
    if layer.downsample:
        x = upfirdn2d(x, layer[0].kernel, pad=(1 + k // 2, 1 + k // 2), impl="ref")
        x = nnf.conv2d(x, conv.weight * conv.scale, stride=2)
    else:
        x = nnf.conv2d(x, conv.weight * conv.scale, padding=k // 2)
    return biased(x, act[0].bias) if act else x


def sketch(F: nn.Module, images: Tensor, config) -> Tensor:
    """F of images, shrunk and enlarged again `f_halvings` times."""
    resize = lambda x, factor: nnf.interpolate(x, scale_factor=factor, mode="bicubic", align_corners=False)
    for _ in range(config.f_halvings):
        images = resize(images, 0.5)
    sketches = F.model(images)
    for _ in range(config.f_halvings):
        sketches = resize(sketches, 2)
    return sketches
