"""Segment sums."""

from __future__ import annotations

import torch

from rl_reason.policy.reduce import last_entries, sum_by_sequence


def test_sums_and_gradients_by_hand() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 8.0], requires_grad=True)
    sums = sum_by_sequence(values, torch.tensor([0, 2, 0, 2]), 4)
    assert sums.tolist() == [5.0, 0.0, 10.0, 0.0]
    (sums * torch.tensor([1.0, 5.0, 3.0, 7.0])).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1.0, 3.0, 1.0, 3.0]


def test_last_entries_by_hand() -> None:
    assert last_entries(torch.tensor([0, 0, 2, 3, 3, 3])).tolist() == [1, 2, 5]
    assert last_entries(torch.tensor([4])).tolist() == [0]
    assert last_entries(torch.zeros(0, dtype=torch.int64)).tolist() == []
