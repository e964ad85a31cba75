"""Per-token estimates of a KL divergence from samples (Schulman, "Approximating KL Divergence", 2020); metrics only.

Samples come from q. With log_ratio = log p - log q at a sampled token, the mean of either estimate over tokens
estimates KL(q || p). Here q is the behaviour policy, the reference of mirror descent, and p the policy trained.
"""

from __future__ import annotations

from torch import Tensor


def k1(log_ratio: Tensor) -> Tensor:
    """-log(p/q): unbiased, can be negative. [...] -> [...], in nats."""
    return -log_ratio


def k3(log_ratio: Tensor) -> Tensor:
    """p/q - 1 - log(p/q): unbiased, never negative, of lower variance. [...] -> [...], in nats."""
    return log_ratio.expm1() - log_ratio
