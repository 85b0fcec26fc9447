"""Losses as pure functions of tensors; each returns a scalar and says its formula."""
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..files.checks import explained


@explained
def d_logistic(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Discriminator: `E[softplus(-D(x))] + E[softplus(D(G(z)))]` (Goodfellow et al. 2014; GANSketching eq. 1).

    Args:
        real_logits, fake_logits: `[N, 1]` or `[N, 1, H, W]`; the two N may differ.
    """
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


@explained
def g_nonsaturating(fake_logits: Tensor) -> Tensor:
    """Generator: `E[softplus(-D(G(z)))]`, the non-saturating form of the game (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake_logits).mean()


@explained
def d_hinge(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Feature heads: `E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]` (Sauer et al. 2021, section 3)."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


@explained
def g_hinge(fake_logits: Tensor) -> Tensor:
    """Generator against the feature heads: `-E[D(G(z))]`."""
    return -fake_logits.mean()


@explained
def r1_penalty(D: Callable[[Tensor], Tensor], x_real: Tensor) -> Tensor:
    """`E_x ||grad_x D(x)||^2`, differentiable by the parameters of D (Mescheder et al. 2018, eq. 9).

    Args:
        D: images (or sketches) `[N, ...]` to logits; whatever it does to them first, such as augmentation or repeating
            a sketch's channel, is inside the gradient, as published.
        x_real: `[N, C, H, W]` real data.
    Returns:
        the mean over the batch of the squared gradient norm.  A lazy step, one in `k`, weighs it `r1_gamma / 2 * k`.
    """
    x = x_real.detach().requires_grad_(True)
    grad, = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return grad.square().flatten(1).sum(1).mean()


@explained
def weight_penalty(params: Iterable[Tensor], params0: Iterable[Tensor]) -> Tensor:
    """Mean over tensors of `mean |theta - theta0|`: GANSketching's L_weight, as its code computes it.

    Args:
        params, params0: the trained tensors and their original values, in the same order.
    Raises:
        ValueError: if the two differ in number or shape, or are empty.
    """
    params, params0 = list(params), list(params0)
    shapes, shapes0 = [tuple(p.shape) for p in params], [tuple(p.shape) for p in params0]
    if not params or shapes != shapes0:
        raise ValueError(f"params and params0 must be the same tensors twice, not {len(params)} and {len(params0)} of "
                         f"shapes {shapes[:4]} and {shapes0[:4]}; take both lists from the same module")
    return torch.stack([(p - q.detach()).abs().mean() for p, q in zip(params, params0)]).mean()
