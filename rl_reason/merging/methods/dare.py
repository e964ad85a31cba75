"""DARE: drop elements of task vectors at random and rescale the rest (Yu et al. 2023, arXiv 2311.03099).

The rest is multiplied by 1 / density, as in the paper. mergekit scales so that the sum of magnitudes stays what it was
before, which is the same only on average.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rl_reason.merging.methods.method import F32, Parameter, Passes
from rl_reason.merging.methods.task_vectors import Place, TaskVectors

_STEPS = 1 << 16


def drop(delta: F32, kept: np.ndarray, density: float) -> F32:
    """kept * delta / density (paper §3.2, with density = 1 - p)."""
    return delta * kept * np.float32(1 / density)


class Drop:
    """Keeps each element with probability `density`, in steps of 2^-16."""

    parameters: Mapping[str, Parameter] = {"density": Parameter("chance of an element to be kept", 1.0, 0, 1)}

    def measure(self, passes: Passes, size: int, given: Mapping[str, float]) -> None:
        """Nothing."""

    def thin(self, delta: F32, place: Place, given: Mapping[str, float], measured: object) -> F32:
        """`drop`, in place."""
        steps = round(given["density"] * _STEPS)
        if steps == _STEPS:
            return delta
        delta *= (place.random_16_bits(delta.size) < steps).reshape(delta.shape)
        if place.rescale and steps:
            delta *= np.float32(_STEPS / steps)
        return delta


DARE_LINEAR = TaskVectors("dare_linear", Drop(), elect=False, normalize=False, rescale=True)
DARE_TIES = TaskVectors("dare_ties", Drop(), elect=True, normalize=False, rescale=True)
