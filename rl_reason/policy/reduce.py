"""Sums over the sequences of a packed batch, and their last entries."""

from __future__ import annotations

import torch
from torch import Tensor


def sum_by_sequence(values: Tensor, sequence_index: Tensor, sequences: int) -> Tensor:
    """Sum of each sequence's entries, differentiable: [M] values -> [S] sums; 0 for a sequence without any.

    Args:
        values: [M] one value a token.
        sequence_index: [M] int64, which of the S sequences each token belongs to.
        sequences: S.
    """
    return values.new_zeros(sequences).index_add(0, sequence_index, values)


def last_entries(sequence_index: Tensor) -> Tensor:
    """Where each sequence's last entry is: [M] int64, entries of a sequence side by side -> [L] positions in M.

    L is the number of sequences that have an entry.
    """
    ends = torch.ones_like(sequence_index, dtype=torch.bool)
    ends[:-1] = sequence_index[1:] != sequence_index[:-1]
    return ends.nonzero()[:, 0]
