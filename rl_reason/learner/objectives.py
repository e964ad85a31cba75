"""What a learner minimises: small callables from the packed tokens' values to a loss and sums for metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from rl_reason.errors import LearnerError
from rl_reason.learner.packing import MicroBatch
from rl_reason.policy.likelihood import likelihood_loss
from rl_reason.policy.mirror_descent import mirror_descent_loss
from rl_reason.policy.preference import bradley_terry_loss, label_loss
from rl_reason.policy.reduce import last_entries, sum_by_sequence


@dataclass(frozen=True)
class Totals:
    """Counts of a whole mini-batch, over all micro-batches and ranks: the denominators of every loss."""

    sequences: int
    tokens: int
    """Tokens that count in the loss."""


class Objective(Protocol):
    """Loss of one micro-batch, normalised by the mini-batch's totals, so that micro-batch losses add up."""

    @property
    def has_reference(self) -> bool:
        """Whether the sequences carry roll-out log-probs that the policy can be compared with."""
        ...

    def __call__(self, values: Tensor, batch: MicroBatch, totals: Totals, /) -> tuple[Tensor, dict[str, Tensor]]:
        """(what the model gives at the counted positions, [M] with gradient: log-probs, or rewards of a reward model;
        …) -> scalar loss, and metrics that add up likewise."""
        ...


@dataclass(frozen=True)
class MirrorDescentObjective:
    """Kimi k1.5's online mirror descent; the reference is the policy that rolled out (`policy/mirror_descent.py`)."""

    tau: float
    has_reference: bool = field(default=True, init=False)

    def __call__(self, logprobs: Tensor, batch: MicroBatch, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """Sums log-probs and their roll-out values over each sequence."""
        loss, sums = mirror_descent_loss(
            sum_by_sequence(logprobs, batch.sequence_index, batch.sequences),
            sum_by_sequence(batch.behaviour_logprobs, batch.sequence_index, batch.sequences),
            batch.advantages,
            tau=self.tau,
            sequences_total=totals.sequences,
        )
        return loss, {name: value / totals.sequences for name, value in sums.items()}


@dataclass(frozen=True)
class LikelihoodObjective:
    """Maximum likelihood of the counted tokens; advantages and roll-out log-probs are not looked at."""

    has_reference: bool = field(default=False, init=False)

    def __call__(self, logprobs: Tensor, batch: MicroBatch, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """No metrics beside the loss, which is the mean NLL a token in nats."""
        return likelihood_loss(logprobs, tokens_total=totals.tokens), {}


@dataclass(frozen=True)
class PairObjective:
    """Bradley-Terry on pairs of responses: a sequence's reward is the value at its end (`policy/preference.py`)."""

    centre: float
    has_reference: bool = field(default=False, init=False)

    def __call__(self, rewards: Tensor, batch: MicroBatch, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """Of each pair the sequence with advantage 1 is the better one."""
        at, owners = ends_of(batch)
        better = batch.advantages[owners] > 0.5
        chosen, rejected = owners[better], owners[~better]
        # The number of a pair orders both sides alike.
        first, second = batch.pairs[chosen].argsort(), batch.pairs[rejected].argsort()
        if len(first) != len(second) or (batch.pairs[chosen][first] != batch.pairs[rejected][second]).any():
            raise LearnerError("a sequence stands without its partner: every pair needs one chosen and one rejected")
        ends = rewards.index_select(0, at)
        pairs_total = totals.sequences // 2
        loss, sums = bradley_terry_loss(
            ends[better][first], ends[~better][second], centre=self.centre, pairs_total=pairs_total
        )
        return loss, {name: value / pairs_total for name, value in sums.items()}


@dataclass(frozen=True)
class LabelObjective:
    """Cross-entropy on labelled responses: a sequence's reward is the value at its end (`policy/preference.py`)."""

    has_reference: bool = field(default=False, init=False)

    def __call__(self, rewards: Tensor, batch: MicroBatch, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """A sequence's advantage is its label."""
        at, owners = ends_of(batch)
        loss, sums = label_loss(rewards.index_select(0, at), batch.advantages[owners], sequences_total=totals.sequences)
        return loss, {name: value / totals.sequences for name, value in sums.items()}


def ends_of(batch: MicroBatch) -> tuple[Tensor, Tensor]:
    """(where in [M] each sequence's last counted position is, which of the S sequences that is), both [L]."""
    at = last_entries(batch.sequence_index)
    return at, batch.sequence_index[at]
