"""Training sequences to packed micro-batches: no padding, no sequence split, shares equal in tokens between ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rl_reason.policy.packed_attention import Segments
from rl_reason.types import TrainingSequence


@dataclass(frozen=True)
class MicroBatch:
    """S sequences in one row of N positions, M of which predict a token that counts.

    A sequence's last token is never an input: nothing is predicted from it. Sequences with the same prompt may share
    the prompt's positions; what is predicted is the same, to rounding.
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
    pairs: Tensor
    """[S] int64: number of the pair, -1 for a sequence in none. Both of a pair are here."""

    @property
    def sequences(self) -> int:
        """S."""
        return len(self.advantages)


def positions_of(sequence: TrainingSequence) -> int:
    """Positions that a sequence alone takes in a packed row: all of its tokens but the last."""
    return len(sequence.tokens) - 1


def prompt_length(sequence: TrainingSequence) -> int:
    """Tokens before the first one that counts in the loss; 0 where none counts."""
    return int(np.argmax(sequence.loss_mask))


def prompt_groups(sequences: Sequence[TrainingSequence]) -> list[list[int]]:
    """Indices of sequences that have the same prompt, in the order in which prompts appear."""
    groups: dict[bytes | int, list[int]] = {}
    for index, sequence in enumerate(sequences):
        length = prompt_length(sequence)
        key = sequence.tokens[:length].tobytes() if length else index
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def shared_positions(sequences: Sequence[TrainingSequence]) -> int:
    """Positions that sequences of one prompt take together, the prompt's counted once."""
    return prompt_length(sequences[0]) + sum(positions_of(s) - prompt_length(s) for s in sequences)


def unit_positions(sequences: Sequence[TrainingSequence], *, share_prompts: bool) -> int:
    """Positions that a unit takes, its prompt counted once where prompts are shared."""
    return shared_positions(sequences) if share_prompts else sum(positions_of(s) for s in sequences)


def pack(sequences: Sequence[TrainingSequence], device: torch.device, *, share_prompts: bool = False) -> MicroBatch:
    """Join sequences, each of at least two tokens, into one micro-batch.

    Args:
        share_prompts: compute the prompt of several responses once.
    """
    layout = _Layout()
    for group in prompt_groups(sequences) if share_prompts else [[index] for index in range(len(sequences))]:
        layout.add([sequences[index] for index in group], group)
    order = np.argsort(layout.owners, kind="stable")

    def joined(parts: Sequence[np.ndarray], dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(np.concatenate(parts)).to(device=device, dtype=dtype)

    def of_owners(pick: Callable[[TrainingSequence], np.ndarray], dtype: torch.dtype) -> Tensor:
        return joined([pick(s)[1:][s.loss_mask[1:]] for s in sequences], dtype)

    counts = [int(sequence.loss_mask[1:].sum()) for sequence in sequences]
    offsets = np.concatenate([[0], np.cumsum(layout.lengths)])
    return MicroBatch(
        tokens=joined(layout.tokens, torch.int64)[None],
        positions=joined(layout.positions, torch.int64)[None],
        segments=Segments(
            torch.from_numpy(offsets).to(device=device, dtype=torch.int32),
            tuple(layout.lengths),
            tuple(layout.continues) if any(parent is not None for parent in layout.continues) else (),
        ),
        predicting=joined([layout.predicting[which] for which in order], torch.int64),
        targets=of_owners(lambda s: s.tokens, torch.int64),
        behaviour_logprobs=of_owners(lambda s: s.behaviour_logprobs, torch.float32),
        sequence_index=torch.from_numpy(np.repeat(np.arange(len(sequences)), counts)).to(device),
        advantages=torch.tensor([sequence.advantage for sequence in sequences], dtype=torch.float32, device=device),
        pairs=torch.tensor([sequence.pair for sequence in sequences], dtype=torch.int64, device=device),
    )


class _Layout:
    """A packed row as it grows: segments, and where each sequence's counted tokens are predicted from."""

    def __init__(self) -> None:
        self.tokens: list[np.ndarray] = []
        self.positions: list[np.ndarray] = []
        self.lengths: list[int] = []
        self.continues: list[int | None] = []
        self.predicting: list[np.ndarray] = []
        self.owners: list[int] = []
        self._end = 0

    def add(self, group: Sequence[TrainingSequence], owners: Sequence[int]) -> None:
        """Sequences of one prompt: alone as one segment, together as the prompt's and one for each response."""
        shared = prompt_length(group[0]) if len(group) > 1 else 0
        begin, parent = self._end, None
        if shared:
            parent = self._append(group[0].tokens[:shared], 0, None)
        for sequence, owner in zip(group, owners, strict=True):
            at = np.flatnonzero(sequence.loss_mask[1:])
            # Positions before `shared` lie in the prompt's segment, the others in this response's own.
            self.predicting.append(np.where(at < shared, begin + at, self._end + at - shared))
            self.owners.append(owner)
            if len(sequence.tokens) - 1 > shared:
                self._append(sequence.tokens[shared:-1], shared, parent)

    def _append(self, tokens: np.ndarray, first: int, parent: int | None) -> int:
        self.tokens.append(tokens)
        self.positions.append(np.arange(first, first + len(tokens)))
        self.lengths.append(len(tokens))
        self.continues.append(parent)
        self._end += len(tokens)
        return len(self.lengths) - 1


def units(sequences: Sequence[TrainingSequence], *, capacity: int, share_prompts: bool) -> list[list[int]]:
    """What stays together in a micro-batch: pairs, single sequences, or all those of one prompt as far as they fit."""
    everything = list(range(len(sequences)))
    if not share_prompts:
        return inseparable(sequences, everything)
    made: list[list[int]] = []
    for group in prompt_groups(sequences):
        unit: list[int] = []
        for atom in inseparable(sequences, group):
            if unit and shared_positions([sequences[i] for i in [*unit, *atom]]) > capacity:
                made.append(unit)
                unit = []
            unit += atom
        made.append(unit)
    return made


def inseparable(sequences: Sequence[TrainingSequence], indices: Sequence[int]) -> list[list[int]]:
    """The indices, those of a pair together, in the order in which they first appear."""
    atoms: dict[tuple[str, int], list[int]] = {}
    for index in indices:
        pair = sequences[index].pair
        atoms.setdefault(("single", index) if pair < 0 else ("pair", pair), []).append(index)
    return list(atoms.values())


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
    """Shuffle `count` prompts by (seed, step, epoch) and cut them into at most `parts` parts of nearly equal size."""
    order = np.random.default_rng([seed, step, epoch]).permutation(count)
    return [[int(i) for i in part] for part in np.array_split(order, min(parts, count))]
