"""Masked NLL by hand."""

from __future__ import annotations

import pytest
import torch

from rl_reason.policy.likelihood import likelihood_loss


def test_denominator_is_global() -> None:
    logprobs = torch.tensor([-1.0, -2.0, -4.0])
    assert likelihood_loss(logprobs, tokens_total=10).item() == pytest.approx(0.7)
    parts = [likelihood_loss(logprobs[:1], tokens_total=10), likelihood_loss(logprobs[1:], tokens_total=10)]
    assert (parts[0] + parts[1]).item() == pytest.approx(0.7)
