"""DELLA: drop by rank of magnitude, rescale, elect, fuse (Deep et al. 2024, arXiv 2406.11617)."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np

from rl_reason.merging.methods.method import F32, Parameter, Passes
from rl_reason.merging.methods.task_vectors import Place, TaskVectors

_STEPS = 1 << 16


def chances(width: int, density: float, epsilon: float) -> F32:
    """Chance to be kept by rank in the row, from the smallest magnitude to the largest: density -+ epsilon / 2
    (MAGPRUNE, paper §3.1), within [0, 1].
    """
    ramp = np.linspace(-0.5, 0.5, width) if width > 1 else np.zeros(1)
    return np.clip(density + epsilon * ramp, 0, 1).astype(np.float32)


def magprune(delta: F32, draws: np.ndarray, density: float, epsilon: float, *, rescale: bool = True) -> F32:
    """Elements kept by their rank's chance, divided by it.

    Args:
        delta: [rows, width], or [width], a row of its own.
        draws: uniform in [0, 65536), one for each rank of each row.
        density: mean chance to be kept.
        epsilon: the largest chance minus the smallest one.
        rescale: whether to divide.
    """
    rows = delta.reshape(-1, delta.shape[-1])
    chance = chances(rows.shape[1], density, epsilon)
    kept = draws.reshape(rows.shape) < np.round(chance * _STEPS).astype(np.uint32)
    factor = kept * (1 / np.maximum(chance, np.float32(1 / _STEPS)) if rescale else np.float32(1))
    spread = np.empty(rows.size, np.float32)
    spread[_by_rank(rows)] = factor.ravel()
    spread *= rows.ravel()
    return spread.reshape(delta.shape)


def _by_rank(rows: F32) -> np.ndarray:
    """Places in the flattened rows, of each row from the smallest magnitude to the largest, equals in their order."""
    bits = np.abs(rows).view(np.uint32)
    width = rows.shape[1]
    if width <= 1 << 16 and not np.bitwise_or.reduce(bits, axis=None) & 0xFFFF:  # bfloat16s: columns fit below them
        columns = np.arange(width, dtype=np.uint32)
        keys = bits | columns
        keys.sort(axis=1)
        keys &= np.uint32(0xFFFF)
        keys += np.arange(0, rows.size, width, dtype=np.uint32)[:, None]
        return keys.ravel()
    packed = bits.astype(np.uint64)
    packed <<= np.uint64(32)
    packed |= np.arange(rows.size, dtype=np.uint64).reshape(rows.shape)
    packed.sort(axis=1)
    return packed.view(np.uint32).ravel()[0 if sys.byteorder == "little" else 1 :: 2]


class MagPrune:
    """`magprune`."""

    parameters: Mapping[str, Parameter] = {
        "density": Parameter("mean chance of an element to be kept", 1.0, 0, 1),
        "epsilon": Parameter("chance of the largest element to be kept minus that of the smallest", 0.15, 0, 1),
    }

    def measure(self, passes: Passes, size: int, given: Mapping[str, float]) -> None:
        """Nothing: ranks are those within a row, and blocks have whole rows (of a vector, so much as a block holds)."""

    def thin(self, delta: F32, place: Place, given: Mapping[str, float], measured: object) -> F32:
        """One block of it."""
        if given["density"] >= 1:
            return delta
        draws = place.random_16_bits(delta.size)
        return magprune(delta, draws, given["density"], given["epsilon"], rescale=place.rescale)


DELLA_LINEAR = TaskVectors("della_linear", MagPrune(), elect=False, normalize=False, rescale=True)
DELLA = TaskVectors("della", MagPrune(), elect=True, normalize=True, rescale=True)
