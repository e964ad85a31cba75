"""TIES: trim, elect sign, disjoint merge (Yadav et al. 2023, arXiv 2306.01708)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rl_reason.merging.methods.method import F32, Parameter, Passes
from rl_reason.merging.methods.selection import Threshold, keep, kth_largest
from rl_reason.merging.methods.task_vectors import Place, TaskVectors, combine

HELD = 1 << 24
"""Magnitudes of a tensor of so many elements are kept between passes: 64 MB."""
DENSITY = Parameter("share of the task vector's elements that is kept", 1.0, 0, 1)


def ties(
    models: Sequence[F32], base: F32, weights: Sequence[float], densities: Sequence[float], *, scale: float = 1.0
) -> F32:
    """base + scale * the disjoint mean of the task vectors' largest elements (weighted; paper §4, algorithm 1)."""
    trimmed = [trim(model - base, density) for model, density in zip(models, densities, strict=True)]
    merged = combine(trimmed, weights, elect=True, normalize=True)
    merged *= np.float32(scale)
    merged += base
    return merged


def trim(delta: F32, density: float) -> F32:
    """The `density * size` elements (rounded down) of largest magnitude, the others 0."""
    measured = Trim().measure(lambda: [delta.copy()], delta.size, {"density": density})
    return Trim().thin(delta.copy(), Place(0, 0, 0, rescale=False), {"density": density}, measured)


@dataclass(slots=True)
class Cut:
    """Where a task vector is cut: the threshold, and how many elements equal to it come before each block."""

    threshold: Threshold
    equals_before: dict[int, int] = field(default_factory=dict)


def cut(passes: Passes, size: int, kept: int) -> Cut:
    """The cut that keeps so many of the largest elements, from 1 to `size`."""

    held = [np.abs(delta) for delta in passes()] if size <= HELD else None

    def magnitudes() -> Iterable[F32]:
        return held if held is not None else (np.abs(delta) for delta in passes())

    found, row, before = Cut(kth_largest(magnitudes, size, kept)), 0, 0
    for block in magnitudes():
        found.equals_before[row] = before
        before += int(np.count_nonzero(block == np.float32(found.threshold.value)))
        row += len(block)
    return found


class Trim:
    """Keeps the largest elements."""

    parameters: Mapping[str, Parameter] = {"density": DENSITY}

    def measure(self, passes: Passes, size: int, given: Mapping[str, float]) -> Cut | None:
        """The cut; None where all or nothing is kept."""
        kept = int(given["density"] * size)
        return cut(passes, size, kept) if 0 < kept < size else None

    def thin(self, delta: F32, place: Place, given: Mapping[str, float], measured: object) -> F32:
        """`trim`, by blocks."""
        if isinstance(measured, Cut):
            delta *= keep(np.abs(delta), measured.threshold, measured.equals_before[place.start])
        elif given["density"] < 1:
            delta[...] = 0
        return delta


TASK_ARITHMETIC = TaskVectors("task_arithmetic", None, elect=False, normalize=False)
TIES = TaskVectors("ties", Trim(), elect=True, normalize=True)
