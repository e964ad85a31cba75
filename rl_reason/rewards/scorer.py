"""Scores finished responses: the verifier pool with the recipe's weights (`protocols.Scorer`).

    reward  = sum over verifiers of weight * score
    verdict = that of the first verifier, the primary one, which says what "correct" means
    UNJUDGED, with no reward, as soon as the primary verifier or any verifier with a weight other than 0 could not judge

A verifier with weight 0 that is not the first is only watched: its score appears in `parts` when it has one. A verifier
that hangs or crashes could not judge; the scores of the others are kept in `parts` and `judgements` all the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from rl_reason.errors import VerifierError
from rl_reason.rewards.pool import Outcome, VerifierPool
from rl_reason.rewards.tally import Tally
from rl_reason.types import Score, Trajectory, Verdict

_SILENCE_S = 60.0
"""With work outstanding, the pool is given up after the sum of the deadlines plus so long without any outcome."""


class PoolScorer:
    """Implements `protocols.Scorer` over a pool, which it owns and closes.

    Args:
        pool: its verifiers' order decides which one is primary: the first.
        weights: one for each verifier of the pool, in its order.
        compared: names of verifiers whose verdicts are compared with the primary one's.
    """

    def __init__(self, pool: VerifierPool, weights: Sequence[float], compared: Collection[str] = ()) -> None:
        if len(weights) != len(pool.names) or not all(math.isfinite(weight) for weight in weights):
            raise VerifierError(
                f"need one finite weight for each of the verifiers {list(pool.names)}, not {list(weights)}"
            )
        self._pool = pool
        unknown = set(compared) - set(pool.names[1:])
        if unknown:
            raise VerifierError(f"{sorted(unknown)} cannot be compared with {pool.names[0]!r}: no later verifiers")
        self._weights = tuple(float(weight) for weight in weights)
        self._compared = frozenset(compared)
        self._start_counting()

    def submit(self, trajectory: Trajectory) -> None:
        """Hand over one finished response; returns at once."""
        self._pool.submit((trajectory.prompt.id, trajectory.index), trajectory.prompt, trajectory.text)

    def collect(self) -> dict[tuple[str, int], Score]:
        """Wait for all that was submitted: (prompt id, index) -> score. Empties the scorer.

        Raises:
            VerifierError: the pool lost its workers, or was silent past every deadline.
        """
        scores: dict[tuple[str, int], Score] = {}
        patience_s = self._pool.longest_s + _SILENCE_S
        while self._pool.outstanding:
            taken = self._pool.take(timeout_s=patience_s)
            if not taken:
                raise VerifierError(
                    f"no verdict for {patience_s:g} s with {self._pool.outstanding} responses outstanding; "
                    "is the machine overloaded? Lower the number of workers or raise the deadline"
                )
            for key, outcome in taken:
                prompt_id, index = key  # type: ignore[misc]  # the keys are those of submit
                self._count(outcome)
                scores[prompt_id, index] = combine(self._pool.names, self._weights, outcome.scores)
                self._unjudged += scores[prompt_id, index].verdict is Verdict.UNJUDGED
        return scores

    def metrics(self) -> dict[str, float]:
        """Since the last call: `reward/unjudged_*`, `reward/worker_restarts`, and each verifier's tally."""
        metrics = {
            "reward/unjudged_count": float(self._unjudged),
            "reward/unjudged_fraction": self._unjudged / self._judged if self._judged else 0.0,
            "reward/worker_restarts": float(self._pool.restarts - self._restarts),
        }
        for name, tally in zip(self._pool.names, self._tallies, strict=True):
            metrics |= tally.metrics(name)
        self._start_counting()
        return metrics

    def close(self) -> None:
        """Stop the workers."""
        self._pool.close()

    def _count(self, outcome: Outcome) -> None:
        self._judged += 1
        primary = outcome.scores[0]
        failures = outcome.failures or ("",) * len(outcome.scores)
        for tally, score, failure in zip(self._tallies, outcome.scores, failures, strict=True):
            tally.count(score, failure, primary)

    def _start_counting(self) -> None:
        self._judged = self._unjudged = 0
        self._restarts = self._pool.restarts
        self._tallies = [Tally(compared=name in self._compared) for name in self._pool.names]


def combine(names: Sequence[str], weights: Sequence[float], scores: Sequence[Score]) -> Score:
    """One score out of several verifiers' (the rule is at the top of this file). All arguments are [verifiers]."""
    seconds = sum(score.seconds for score in scores)
    parts = {name: score.reward for name, score in zip(names, scores, strict=True) if score.reward is not None}
    judgements = dict(zip(names, scores, strict=True)) if len(scores) > 1 else {}
    for position, (name, weight, score) in enumerate(zip(names, weights, scores, strict=True)):
        if score.verdict is Verdict.UNJUDGED and (position == 0 or weight):
            return Score(Verdict.UNJUDGED, None, parts, f"{name}: {score.reason}", seconds, judgements)
    reward = sum(weight * parts[name] for name, weight in zip(names, weights, strict=True) if weight)
    reasons = [f"{name}: {score.reason}" for name, score in zip(names, scores, strict=True) if score.reason]
    return Score(scores[0].verdict, float(reward), parts, "; ".join(reasons), seconds, judgements)
