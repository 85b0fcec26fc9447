"""Losses against closed forms and against the reference implementation."""
import math

import pytest
import torch

from sketchgan.nets import losses
from tests.parity.reference import case


def test_parity():
    c = case("losses")
    real, fake = c["real_logits"], c["fake_logits"]
    assert losses.d_logistic(real, fake).item() == pytest.approx(c["d_logistic"].item(), rel=1e-6)
    assert losses.g_nonsaturating(fake).item() == pytest.approx(c["g_nonsaturating"].item(), rel=1e-6)
    new, old = ([c[f"weight_{which}_{i}"] for i in range(2)] for which in ("new", "ref"))
    assert losses.weight_penalty(new, old).item() == pytest.approx(c["weight_penalty"].item(), rel=1e-6)


def test_logistic_at_zero_and_far_out():
    zero, big = torch.zeros(3, 1), torch.full((5, 1), 100.0)
    assert losses.d_logistic(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert losses.g_nonsaturating(zero).item() == pytest.approx(math.log(2))
    assert losses.d_logistic(big, -big).item() == pytest.approx(0, abs=1e-30)
    assert losses.g_nonsaturating(-big).item() == pytest.approx(100)


def test_nonsaturating_gradient_is_minus_sigmoid():
    logits = torch.tensor([[-3.0], [0.0], [2.0]], requires_grad=True)
    losses.g_nonsaturating(logits).backward()
    torch.testing.assert_close(logits.grad, -torch.sigmoid(-logits.detach()) / 3)


def test_hinge():
    real, fake = torch.tensor([[2.0], [0.5]]), torch.tensor([[-3.0], [0.0]])
    assert losses.d_hinge(real, fake).item() == pytest.approx((0 + 0.5) / 2 + (0 + 1) / 2)
    assert losses.g_hinge(fake).item() == pytest.approx(1.5)


def test_r1_of_a_linear_and_a_quadratic_critic():
    x, w = torch.randn(4, 1, 3, 3), torch.randn(9, requires_grad=True)
    penalty = losses.r1_penalty(lambda x: x.flatten(1) @ w, x)
    assert penalty.item() == pytest.approx(w.square().sum().item(), rel=1e-5)
    penalty.backward()
    torch.testing.assert_close(w.grad, 2 * w.detach())
    quadratic = losses.r1_penalty(lambda x: x.square().flatten(1).sum(1), x)
    assert quadratic.item() == pytest.approx(4 * x.square().sum().item() / 4, rel=1e-5)
    assert not x.requires_grad


def test_r1_sees_what_happens_before_the_critic():
    x, w = torch.randn(2, 1, 2, 2), torch.ones(12)
    repeated = losses.r1_penalty(lambda x: x.repeat(1, 3, 1, 1).flatten(1) @ w, x)
    assert repeated.item() == pytest.approx(4 * 3 ** 2)  # each pixel is seen three times


def test_weight_penalty_is_a_mean_of_means():
    old = [torch.zeros(2, 5), torch.zeros(3)]
    new = [torch.full((2, 5), 1.0), torch.full((3,), -3.0)]
    assert losses.weight_penalty(new, old).item() == pytest.approx(2)
    parameter = torch.tensor([1.0, -2.0], requires_grad=True)
    losses.weight_penalty([parameter], [torch.zeros(2)]).backward()
    assert parameter.grad.tolist() == [0.5, -0.5]


@pytest.mark.parametrize("new, old", [([], []), ([torch.ones(2)], []), ([torch.ones(2)], [torch.ones(3)])])
def test_weight_penalty_refuses_other_tensors(new, old):
    with pytest.raises(ValueError, match="same tensors twice"):
        losses.weight_penalty(new, old)
