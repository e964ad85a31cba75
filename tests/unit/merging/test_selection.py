from __future__ import annotations

import numpy as np
import pytest

from rl_reason.merging.methods.selection import _SAMPLE, keep, kth_largest


@pytest.mark.parametrize("k", [1, 2, 1000, 299_999, 300_000])
@pytest.mark.parametrize("kind", ["normal", "few values", "all equal", "sorted", "huge"])
def test_the_kth_largest_is_exact_and_k_are_kept(kind: str, k: int):
    random = np.random.default_rng(k)
    size = 300_000
    values = np.abs(random.standard_normal(size, np.float32))
    if kind == "few values":
        values = random.integers(0, 5, size).astype(np.float32)
    elif kind == "all equal":
        values[:] = 2.5
    elif kind == "sorted":
        values.sort()
    elif kind == "huge":
        values = values * np.float32(1e30)
    assert size > _SAMPLE  # so that it is bracketed
    blocks = np.array_split(values.reshape(-1, 100), 7)
    found = kth_largest(lambda: iter(blocks), size, k)
    assert found.value == np.sort(values)[size - k]
    kept, before = 0, 0
    for block in blocks:
        kept += int(keep(block, found, before).sum())
        before += int((block == np.float32(found.value)).sum())
    assert kept == k


def test_a_bracket_that_misses_is_widened():
    values = np.ones(1 << 19, np.float32)
    values[1:1001] = 9  # none of which is in the sample of every fourth from each block's start
    values[0::4] = 1
    k = int((values == 9).sum())
    assert kth_largest(lambda: iter([values]), values.size, k).value == 9
