"""Advantages of a group: reward minus a baseline estimated from the group's own responses (Kimi k1.5 §2.3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Baseline = Callable[[NDArray[np.float64]], float]
"""Judged rewards of one group [K] -> what is subtracted from each of them."""


def mean_baseline(rewards: NDArray[np.float64]) -> float:
    """Mean reward of the group: the estimate of tau log Z that the paper uses (§2.3.2, below eq. 2).

    It is the limit of `log_mean_exp_baseline` for tau -> infinity.

    Args:
        rewards: [K], K >= 1.
    """
    return float(np.mean(rewards))


def log_mean_exp_baseline(rewards: NDArray[np.float64], tau: float) -> float:
    """tau * log(mean_j exp(r_j / tau)): tau log Z from K samples of the reference (§2.3.2, the exact form).

    Between the mean (tau -> infinity) and the maximum (tau -> 0). Computed from the largest reward down, so that
    exp cannot overflow at small tau.

    Args:
        rewards: [K], K >= 1.
        tau: strength of the KL term, > 0, in units of reward per nat.
    """
    largest = float(np.max(rewards))
    return largest + tau * float(np.log(np.mean(np.exp((rewards - largest) / tau))))


def group_advantages(rewards: Sequence[float | None], *, baseline: Baseline) -> NDArray[np.float64]:
    """A_j = r_j - baseline(judged rewards); no division by the standard deviation, no clipping.

    Args:
        rewards: [K] rewards of one prompt's responses; None for a response that could not be judged.
        baseline: sees the judged rewards only.

    Returns:
        [K]; NaN for unjudged responses, and for all of them when fewer than two were judged, since one response
        has nothing to be compared with.
    """
    values = np.array([np.nan if reward is None else reward for reward in rewards], dtype=np.float64)
    judged = values[~np.isnan(values)]
    if len(judged) < 2:
        return np.full(len(values), np.nan)
    return values - baseline(judged)
