"""KL estimators against the exact divergence."""

from __future__ import annotations

import pytest
import torch

from rl_reason.policy.kl import k1, k3


def test_by_hand() -> None:
    log_ratio = torch.tensor([0.0, 0.5, -0.5])
    assert k1(log_ratio).tolist() == [0.0, -0.5, 0.5]
    # e^0.5 - 1 - 0.5 = 0.148721; e^-0.5 - 1 + 0.5 = 0.106531
    assert k3(log_ratio).tolist() == pytest.approx([0.0, 0.1487213, 0.1065307], abs=1e-6)


def test_expectation_under_q_is_the_divergence_from_q_to_p() -> None:
    q, p = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.25, 0.25, 0.5])
    exact = (q * (q / p).log()).sum()
    for estimator in (k1, k3):
        torch.testing.assert_close((q * estimator((p / q).log())).sum(), exact)
