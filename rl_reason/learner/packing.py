"""Training sequences to packed micro-batches: no padding, no sequence split, shares equal in tokens between ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rl_reason.policy.packed_attention import Segments
from rl_reason.types import TrainingSequence


@dataclass(frozen=True)
class MicroBatch:
    """S sequences in one row of N positions, M of which predict a token that counts.

    A sequence's last token is never an input: nothing is predicted from it.
    """

    tokens: Tensor
    """[1, N] int64."""
    positions: Tensor
    """[1, N] int64, from 0 in each sequence."""
    segments: Segments
    predicting: Tensor
    """[M] int64 into N: the positions whose next token counts in the loss."""
    targets: Tensor
    """[M] int64: those next tokens."""
    behaviour_logprobs: Tensor
    """[M] fp32: theirs at roll-out."""
    sequence_index: Tensor
    """[M] int64: which of the S sequences each belongs to."""
    advantages: Tensor
    """[S] fp32."""

    @property
    def sequences(self) -> int:
        """S."""
        return len(self.segments.lengths)


def positions_of(sequence: TrainingSequence) -> int:
    """Positions that a sequence takes in a packed row: all of its tokens but the last."""
    return len(sequence.tokens) - 1


def pack(sequences: Sequence[TrainingSequence], device: torch.device) -> MicroBatch:
    """Join sequences, each of at least two tokens, into one micro-batch."""
    lengths = [positions_of(sequence) for sequence in sequences]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    counted = [np.flatnonzero(sequence.loss_mask[1:]) for sequence in sequences]

    def joined(parts: list[np.ndarray], dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(np.concatenate(parts)).to(device=device, dtype=dtype)

    return MicroBatch(
        tokens=joined([sequence.tokens[:-1] for sequence in sequences], torch.int64)[None],
        positions=joined([np.arange(length) for length in lengths], torch.int64)[None],
        segments=Segments(torch.from_numpy(offsets).to(device=device, dtype=torch.int32), tuple(lengths)),
        predicting=joined([at + offset for at, offset in zip(counted, offsets, strict=False)], torch.int64),
        targets=joined([s.tokens[1:][at] for s, at in zip(sequences, counted, strict=True)], torch.int64),
        behaviour_logprobs=joined(
            [s.behaviour_logprobs[1:][at] for s, at in zip(sequences, counted, strict=True)], torch.float32
        ),
        sequence_index=joined([np.full(len(at), i) for i, at in enumerate(counted)], torch.int64),
        advantages=torch.tensor([sequence.advantage for sequence in sequences], dtype=torch.float32, device=device),
    )


def bins(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """First-fit decreasing: indices of `lengths` in bins that hold at most `capacity` each.

    A length above the capacity gets a bin of its own. Deterministic: equal lengths keep their order.
    """
    chosen: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for which, free in enumerate(room):
            if lengths[index] <= free:
                chosen[which].append(index)
                room[which] -= lengths[index]
                break
        else:
            chosen.append([index])
            room.append(capacity - lengths[index])
    return chosen


def shares(lengths: Sequence[int], ranks: int) -> list[list[int]]:
    """Indices of `lengths` for each rank: longest first, each to the rank that has the fewest tokens so far."""
    of_rank: list[list[int]] = [[] for _ in range(ranks)]
    load = [0] * ranks
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        least = load.index(min(load))
        of_rank[least].append(index)
        load[least] += lengths[index]
    return of_rank


def plan(lengths: Sequence[int], *, ranks: int, micro_batch_tokens: int) -> list[list[list[int]]]:
    """[rank][micro-batch][sequence]: indices of `lengths`, the same number of micro-batches on every rank.

    Ranks must pass through the same collective calls, so one with less to do has empty micro-batches at its end.
    """
    of_rank = [
        [[share[i] for i in chosen] for chosen in bins([lengths[i] for i in share], micro_batch_tokens)]
        for share in shares(lengths, ranks)
    ]
    most = max(len(micro_batches) for micro_batches in of_rank)
    return [micro_batches + [[] for _ in range(most - len(micro_batches))] for micro_batches in of_rank]


def empty_sequence() -> TrainingSequence:
    """What a rank without work runs so that the others' collective calls return: two tokens, none of which counts."""
    return TrainingSequence(np.zeros(2, np.int32), np.zeros(2, np.bool_), np.zeros(2, np.float32))


def minibatches(count: int, *, parts: int, seed: int, step: int, epoch: int) -> list[list[int]]:
    """Shuffle `count` sequences by (seed, step, epoch) and cut them into at most `parts` parts of nearly equal size."""
    order = np.random.default_rng([seed, step, epoch]).permutation(count)
    return [[int(i) for i in part] for part in np.array_split(order, min(parts, count))]
