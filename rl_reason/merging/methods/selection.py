"""The k-th largest magnitude of a tensor that comes in blocks: exact, in memory for a small part of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_reason.merging.methods.method import F32, Passes

_SAMPLE = 1 << 17
_MARGIN = 4.0
"""Standard deviations of the sample's rank that the bracket spans on each side."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Keeps exactly k elements: those above `value`, and the first `equals` of those equal to it."""

    value: float
    equals: int


def kth_largest(passes: Passes, size: int, k: int) -> Threshold:
    """The threshold that keeps the k largest of `size` magnitudes, none of which is NaN.

    Args:
        passes: goes over the magnitudes in blocks, in order; two or three times.
        size: how many there are.
        k: from 1 to `size`.
    """
    low, high = _bracket(passes, size, k)
    while True:
        above, inside = 0, _Collected()
        for block in passes():
            above += int(np.count_nonzero(block > high))
            inside.add(block[(block >= low) & (block <= high)])
        found = inside.values
        if above < k <= above + found.size:
            place = found.size - (k - above)
            value = np.partition(found, place)[place]
            greater = above + int(np.count_nonzero(found > value))
            return Threshold(float(value), k - greater)
        low, high = (low, np.inf) if k <= above else (-np.inf, high)


def keep(magnitudes: F32, threshold: Threshold, equals_before: int = 0) -> NDArray[np.bool_]:
    """Which elements of a block are kept; `equals_before` elements of earlier blocks equal the threshold."""
    kept = magnitudes >= np.float32(threshold.value)
    equal = magnitudes == np.float32(threshold.value)
    left = threshold.equals - equals_before
    if np.count_nonzero(equal) > left:
        places = np.flatnonzero(equal)[max(0, left) :]
        kept.ravel()[places] = False
    return kept


def _bracket(passes: Passes, size: int, k: int) -> tuple[float, float]:
    """Two values that the k-th largest very likely lies between, from every n-th element."""
    step = max(1, size // _SAMPLE)
    if step == 1:
        return -np.inf, np.inf
    drawn = _Collected()
    for block in passes():
        drawn.add(block.ravel()[::step])
    sample = np.sort(drawn.values)[::-1]
    share = k / size
    middle, spread = share * sample.size, _MARGIN * np.sqrt(share * (1 - share) * sample.size) + 2
    high, low = int(middle - spread), int(middle + spread)
    return (
        float(sample[low]) if low < sample.size else -np.inf,
        float(sample[high]) if high >= 0 else np.inf,
    )


class _Collected:
    """Values that come in pieces, in one growing array: pieces kept by themselves would lie between the blocks that
    come and go, and no block would fit where the one before it was.
    """

    def __init__(self) -> None:
        self._room, self._size = np.empty(1 << 16, np.float32), 0

    def add(self, piece: F32) -> None:
        """One more piece."""
        if self._size + piece.size > self._room.size:
            larger = np.empty(max(2 * self._room.size, self._size + piece.size), np.float32)
            larger[: self._size] = self.values
            self._room = larger
        self._room[self._size : self._size + piece.size] = piece
        self._size += piece.size

    @property
    def values(self) -> F32:
        """All of them."""
        return self._room[: self._size]
