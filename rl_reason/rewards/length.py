"""Length reward of Kimi k1.5 (§2.3.3): among the responses to one prompt, shorter is better, and right comes first.

    lambda(i) = 0.5 - (len(i) - min_len) / (max_len - min_len)        in [-0.5, 0.5]
    len_reward(i) = lambda(i)            if response i is right
                    min(0, lambda(i))    if it is wrong
    all 0 when max_len == min_len

It is added to the verifier's reward times a weight that is 0 in the first phase of training and constant after it
(the paper's warm-up: the penalty slows early training). The paper does not state the weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def length_rewards(lengths: Sequence[int], correct: Sequence[bool]) -> NDArray[np.float64]:
    """Length reward of each of the K responses to one prompt.

    Args:
        lengths: [K] response lengths in tokens.
        correct: [K] whether the verifier found the response right.

    Returns:
        [K] in [-0.5, 0.5], to be multiplied by `length_weight`. Empty for K = 0.

    Raises:
        ValueError: the two differ in length.
    """
    if len(lengths) != len(correct):
        raise ValueError(f"{len(lengths)} lengths but {len(correct)} verdicts: give one of each for every response")
    length = np.asarray(lengths, dtype=np.float64)
    if length.size == 0 or length.min() == length.max():
        return np.zeros(length.size)
    lambdas = 0.5 - (length - length.min()) / (length.max() - length.min())
    return np.where(np.asarray(correct, dtype=bool), lambdas, np.minimum(0.0, lambdas))


def length_weight(iteration: int, *, weight: float, start_iteration: int) -> float:
    """Weight of the length reward: 0 before `start_iteration`, then `weight`, a switch and not a ramp (§2.3.3)."""
    return weight if iteration >= start_iteration else 0.0
