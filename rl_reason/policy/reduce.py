"""Sums over the sequences of a packed batch."""

from __future__ import annotations

from torch import Tensor


def sum_by_sequence(values: Tensor, sequence_index: Tensor, sequences: int) -> Tensor:
    """Sum of each sequence's entries, differentiable: [M] values -> [S] sums; 0 for a sequence without any.

    Args:
        values: [M] one value a token.
        sequence_index: [M] int64, which of the S sequences each token belongs to.
        sequences: S.
    """
    return values.new_zeros(sequences).index_add(0, sequence_index, values)
