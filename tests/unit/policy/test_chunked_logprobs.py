"""The chunked head against the plain computation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rl_reason.policy.chunked_logprobs import chunked_logprobs


def plain(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    distribution = torch.log_softmax(hidden.float() @ weight.float().t() / temperature, -1)
    return distribution.gather(1, targets[:, None])[:, 0], -(distribution.exp() * distribution).sum(-1)


def test_by_hand() -> None:
    # logits (log 1, log 3) at temperature 1: p = (1/4, 3/4); at temperature 1/2: p = (1/10, 9/10)
    hidden, weight = torch.tensor([[1.0]]), torch.tensor([[0.0], [math.log(3)]])
    logprob, entropy = chunked_logprobs(hidden, weight, torch.tensor([1]))
    assert logprob.item() == pytest.approx(math.log(0.75))
    assert entropy.item() == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75))
    assert chunked_logprobs(hidden, weight, torch.tensor([0]), temperature=0.5)[0].item() == pytest.approx(
        math.log(0.1)
    )


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("chunk_tokens", [1, 4, 100])
def test_values_and_gradients_are_those_of_the_plain_computation(temperature: float, chunk_tokens: int) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(11, 8, dtype=torch.float64).float().requires_grad_()
    weight = torch.randn(13, 8).requires_grad_()
    targets = torch.randint(13, (11,))
    into = torch.randn(11)
    logprobs, entropies = chunked_logprobs(hidden, weight, targets, temperature=temperature, chunk_tokens=chunk_tokens)
    expected, expected_entropies = plain(hidden, weight, targets, temperature)
    torch.testing.assert_close(logprobs, expected, atol=2e-6, rtol=1e-6)
    torch.testing.assert_close(entropies, expected_entropies, atol=2e-6, rtol=1e-6)
    assert not entropies.requires_grad
    ours = torch.autograd.grad(logprobs, (hidden, weight), into)
    theirs = torch.autograd.grad(expected, (hidden, weight), into)
    for gradient, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, wanted, atol=5e-6, rtol=1e-5)


def test_tied_weight_gets_both_gradients() -> None:
    torch.manual_seed(0)
    table = torch.randn(6, 4, requires_grad=True)
    tokens, targets = torch.tensor([0, 5, 2]), torch.tensor([1, 1, 3])
    logprobs, _ = chunked_logprobs(table[tokens].tanh(), table, targets, chunk_tokens=2)
    expected, _ = plain(table[tokens].tanh(), table, targets, 1.0)
    torch.testing.assert_close(
        torch.autograd.grad(logprobs.sum(), table)[0],
        torch.autograd.grad(expected.sum(), table)[0],
        atol=1e-6,
        rtol=1e-5,
    )


def test_bfloat16_inputs_give_fp32_log_probs() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(9, 16).bfloat16().requires_grad_(), torch.randn(20, 16).bfloat16().requires_grad_()
    targets = torch.randint(20, (9,))
    logprobs, _ = chunked_logprobs(hidden, weight, targets, chunk_tokens=4)
    torch.testing.assert_close(logprobs, plain(hidden, weight, targets, 1.0)[0], atol=1e-5, rtol=1e-5)
    into_hidden, into_weight = torch.autograd.grad(logprobs.sum(), (hidden, weight))
    assert into_hidden.dtype is into_weight.dtype is torch.bfloat16


def test_no_targets_at_all() -> None:
    hidden, weight = torch.zeros(0, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    logprobs, _ = chunked_logprobs(hidden, weight, torch.zeros(0, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(logprobs.sum(), weight)
    assert gradient.abs().max().item() == 0.0
