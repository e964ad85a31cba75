"""Finds the longest loop of a sequence: one pattern, back to back. O(n log n), whatever the pattern's length.

A loop of period p makes x[i] == x[i - p] hold on a stretch of the sequence, so for a given p the longest loop is the
longest run of that comparison. Which p are worth comparing: the small ones all; of the larger ones those that occur
most as the distance between an 8-gram and its previous occurrence, because inside a loop of period p every 8-gram
that the pattern holds once comes back after exactly p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SMALL_PERIODS = 16
_PROPOSED_PERIODS = 16
_GRAM = 8
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Loop:
    """A stretch of a sequence that is one pattern, back to back."""

    start: int
    period: int
    """Length of the pattern; the smallest one found for the stretch."""
    length: int
    """Of the whole stretch; the last copy may be cut short."""

    @property
    def repeats(self) -> float:
        """How many times the pattern comes."""
        return self.length / self.period


def longest_loop(items: NDArray[np.integer], *, min_repeats: int) -> Loop | None:
    """The longest loop of the [n] items whose pattern comes at least `min_repeats` (>= 2) times."""
    best: Loop | None = None
    for period in sorted({*range(1, _SMALL_PERIODS + 1), *_proposed(items)}):
        if period * min_repeats > len(items):
            break
        start, run = _longest_run(items[period:] == items[:-period])
        length = run + period
        if run and length >= period * min_repeats and (best is None or length > best.length):
            best = Loop(start, period, length)
    return best


def grams(items: NDArray[np.integer], size: int) -> NDArray[np.uint64]:
    """[n - size + 1]: a hash of each run of `size` items."""
    count = max(len(items) - size + 1, 0)
    mixed = np.zeros(count, dtype=np.uint64)
    values = items.astype(np.uint64) + np.uint64(1)
    for offset in range(size):
        mixed = (mixed ^ values[offset : offset + count]) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _proposed(items: NDArray[np.integer]) -> list[int]:
    hashes = grams(items, _GRAM)
    order = np.argsort(hashes, kind="stable")
    same = hashes[order[1:]] == hashes[order[:-1]]
    distances = (order[1:] - order[:-1])[same]
    if not len(distances):
        return []
    counts = np.bincount(distances)
    likely = np.argsort(-counts, kind="stable")[:_PROPOSED_PERIODS]
    return [int(period) for period in likely if counts[period]]


def _longest_run(true: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and length of the longest run of True."""
    edges = np.flatnonzero(np.diff(true, prepend=False, append=False))
    if not len(edges):
        return 0, 0
    lengths = edges[1::2] - edges[::2]
    at = int(np.argmax(lengths))
    return int(edges[2 * at]), int(lengths[at])
