"""What a learner minimises: small callables from the packed tokens' log-probs to a loss and sums for metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from rl_reason.learner.packing import MicroBatch
from rl_reason.policy.likelihood import likelihood_loss
from rl_reason.policy.mirror_descent import mirror_descent_loss
from rl_reason.policy.reduce import sum_by_sequence


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

    def __call__(self, logprobs: Tensor, batch: MicroBatch, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """(log-probs [M] of the counted tokens with gradient, …) -> scalar loss, and metrics that add up likewise."""
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
