"""Inner products of vectors: what angles and lengths of whole tensors come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rl_reason.merging.methods.method import F32


def products(vectors: Sequence[F32]) -> NDArray[np.float64]:
    """[n, n] inner products of n arrays of one shape, each taken as one vector; computed in float32."""
    flat = [vector.ravel() for vector in vectors]
    gram = np.empty((len(flat), len(flat)))
    for row, one in enumerate(flat):
        for column in range(row, len(flat)):
            gram[row, column] = gram[column, row] = float(np.dot(one, flat[column]))
    return gram


def summed(blocks: Iterable[Sequence[F32]]) -> NDArray[np.float64]:
    """`products` of tensors that come in blocks: the blocks' products, added up in float64."""
    total = np.zeros((1, 1))
    for vectors in blocks:
        total = total + products(vectors)
    return total
