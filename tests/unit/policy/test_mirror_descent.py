"""The loss by hand, its identities, and what it converges to."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rl_reason.policy.mirror_descent import exact_surrogate, mirror_descent_loss

LOGPROBS = [-1.0, -2.0]
REFERENCES = [-1.5, -1.0]
ADVANTAGES = [0.5, -0.5]


def case() -> tuple[Tensor, Tensor, Tensor]:
    return torch.tensor(LOGPROBS, requires_grad=True), torch.tensor(REFERENCES), torch.tensor(ADVANTAGES)


def test_value_and_gradient_by_hand() -> None:
    logprobs, references, advantages = case()
    loss, sums = mirror_descent_loss(logprobs, references, advantages, tau=0.2, sequences_total=2)
    # sequence 1: 0.5 + 0.1 * 0.25 = 0.525; sequence 2: -1 + 0.1 * 1 = -0.9; (0.525 - 0.9) / 2
    assert loss.item() == pytest.approx(-0.1875)
    loss.backward()
    # (-A + tau * ratio) / 2: (-0.5 + 0.2 * 0.5) / 2 and (0.5 - 0.2 * 1) / 2
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([-0.2, 0.15])
    assert sums["policy/sequence_log_ratio"].item() == pytest.approx(-0.5)
    assert sums["policy/sequence_log_ratio_square"].item() == pytest.approx(1.25)


def test_gradient_is_that_of_the_squared_surrogate() -> None:
    tau = 0.3
    logprobs, references, advantages = case()
    mirror_descent_loss(logprobs, references, advantages, tau=tau, sequences_total=2)[0].backward()
    squared = torch.tensor(LOGPROBS, requires_grad=True)
    ((advantages - tau * (squared - references)).square() / (2 * tau)).mean().backward()
    assert logprobs.grad is not None and squared.grad is not None
    torch.testing.assert_close(logprobs.grad, squared.grad)


def test_first_step_is_reinforce_with_a_baseline() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 7, requires_grad=True)
    actions, rewards = torch.tensor([0, 3, 3, 6, 1]), torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0])
    advantages = rewards - rewards.mean()
    logprobs = torch.log_softmax(logits, -1)[torch.arange(5), actions]
    loss, _ = mirror_descent_loss(logprobs, logprobs.detach(), advantages, tau=0.7, sequences_total=5)
    (gradient,) = torch.autograd.grad(loss, logits)
    # REINFORCE, written out: d log softmax_a / d z = onehot(a) - p
    expected = -(advantages[:, None] * (torch.nn.functional.one_hot(actions, 7) - torch.softmax(logits, -1))) / 5
    torch.testing.assert_close(gradient, expected.detach())


def test_parts_of_a_minibatch_add_up_to_the_whole() -> None:
    torch.manual_seed(1)
    logprobs, references, advantages = torch.randn(3, 6).unbind()
    whole, _ = mirror_descent_loss(logprobs, references, advantages, tau=0.1, sequences_total=6)
    parts = [
        mirror_descent_loss(logprobs[rows], references[rows], advantages[rows], tau=0.1, sequences_total=6)[0]
        for rows in (slice(0, 1), slice(1, 6))
    ]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), abs=1e-6)


def test_exact_surrogate_converges_to_the_tilted_reference() -> None:
    reference = torch.log_softmax(torch.tensor([0.3, -0.2, 1.0, 0.0]), 0)
    rewards = torch.tensor([1.0, 0.0, 0.0, 0.5])
    tau = 0.5
    logits = reference.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = exact_surrogate(torch.log_softmax(logits, 0), reference, rewards, tau=tau)
        loss.backward()
        return loss.item()

    optimizer.step(closure)
    weights = [math.exp(p) * math.exp(r / tau) for p, r in zip(reference.tolist(), rewards.tolist(), strict=True)]
    expected = torch.tensor([weight / sum(weights) for weight in weights])
    torch.testing.assert_close(torch.softmax(logits, 0), expected, atol=1e-5, rtol=0)
    assert closure() < 1e-9


def test_sampled_loss_with_exact_log_z_has_the_same_fixed_point() -> None:
    """With every response weighted by the reference, A = r - tau log Z and enough steps, the sampled loss agrees."""
    reference = torch.log_softmax(torch.tensor([0.0, 0.5, -0.5]), 0)
    rewards, tau = torch.tensor([1.0, 0.0, 0.0]), 1.0
    advantages = rewards - tau * torch.logsumexp(reference + rewards / tau, 0)
    logits = reference.clone().requires_grad_()
    for _ in range(400):
        logprobs = torch.log_softmax(logits, 0)
        # Importance of each response under the reference, folded into the sum over responses.
        losses = [
            mirror_descent_loss(
                logprobs[j : j + 1], reference[j : j + 1], advantages[j : j + 1], tau=tau, sequences_total=1
            )[0]
            for j in range(3)
        ]
        loss = (reference.exp() * torch.stack(losses)).sum()
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = (logits - gradient).detach().requires_grad_()
    expected = torch.softmax(reference + rewards / tau, 0)
    torch.testing.assert_close(torch.softmax(logits, 0), expected, atol=1e-4, rtol=0)
