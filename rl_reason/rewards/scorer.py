"""Scores finished responses: the verifier pool with the recipe's weights (`protocols.Scorer`).

    reward  = sum over verifiers of weight * score
    verdict = that of the first verifier, the primary one, which says what "correct" means
    UNJUDGED, with no reward, as soon as the primary verifier or any verifier with a weight other than 0 could not judge

A verifier with weight 0 that is not the first is only watched: its score appears in `parts` when it has one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rl_reason.errors import VerifierError
from rl_reason.rewards.pool import Outcome, VerifierPool
from rl_reason.types import Score, Trajectory, Verdict

_SILENCE_S = 60.0
"""With work outstanding, the pool is given up after deadline_s plus so long without any outcome."""


class PoolScorer:
    """Implements `protocols.Scorer` over a pool, which it owns and closes.

    Args:
        pool: its verifiers' order decides which one is primary: the first.
        weights: one for each verifier of the pool, in its order.
    """

    def __init__(self, pool: VerifierPool, weights: Sequence[float]) -> None:
        if len(weights) != len(pool.names) or not all(math.isfinite(weight) for weight in weights):
            raise VerifierError(
                f"need one finite weight for each of the verifiers {list(pool.names)}, not {list(weights)}"
            )
        self._pool = pool
        self._weights = tuple(float(weight) for weight in weights)
        self._forget_counts()

    def submit(self, trajectory: Trajectory) -> None:
        """Hand over one finished response; returns at once."""
        self._pool.submit((trajectory.prompt.id, trajectory.index), trajectory.prompt, trajectory.text)

    def collect(self) -> dict[tuple[str, int], Score]:
        """Wait for all that was submitted: (prompt id, index) -> score. Empties the scorer.

        Raises:
            VerifierError: the pool lost its workers, or was silent past every deadline.
        """
        scores: dict[tuple[str, int], Score] = {}
        patience_s = self._pool.deadline_s + _SILENCE_S
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
        """Since the last call: `reward/unjudged_*`, `reward/worker_restarts`, and time and failures by verifier."""
        metrics = {
            "reward/unjudged_count": float(self._unjudged),
            "reward/unjudged_fraction": self._unjudged / self._judged if self._judged else 0.0,
            "reward/worker_restarts": float(self._pool.restarts - self._restarts),
        }
        for index, name in enumerate(self._pool.names):
            seconds = self._seconds[index] or [0.0]
            metrics[f"time/verifier/{name}/p50_s"] = float(np.percentile(seconds, 50))
            metrics[f"time/verifier/{name}/p99_s"] = float(np.percentile(seconds, 99))
            metrics[f"verifier/{name}/timeouts"] = float(self._failures["timeout"][index])
            metrics[f"verifier/{name}/crashes"] = float(self._failures["crash"][index])
        self._forget_counts()
        return metrics

    def close(self) -> None:
        """Stop the workers."""
        self._pool.close()

    def _count(self, outcome: Outcome) -> None:
        self._judged += 1
        if outcome.failure:
            self._failures[outcome.failure][outcome.failed] += 1
            self._seconds[outcome.failed].append(outcome.scores[outcome.failed].seconds)
            return
        for seconds, score in zip(self._seconds, outcome.scores, strict=True):
            seconds.append(score.seconds)

    def _forget_counts(self) -> None:
        count = len(self._weights)
        self._judged = self._unjudged = 0
        self._restarts = self._pool.restarts
        self._seconds: list[list[float]] = [[] for _ in range(count)]
        self._failures = {"timeout": [0] * count, "crash": [0] * count}


def combine(names: Sequence[str], weights: Sequence[float], scores: Sequence[Score]) -> Score:
    """One score out of several verifiers' (the rule is at the top of this file). All arguments are [verifiers]."""
    seconds = sum(score.seconds for score in scores)
    parts = {name: score.reward for name, score in zip(names, scores, strict=True) if score.reward is not None}
    for position, (name, weight, score) in enumerate(zip(names, weights, scores, strict=True)):
        if score.verdict is Verdict.UNJUDGED and (position == 0 or weight):
            return Score(Verdict.UNJUDGED, None, parts, f"{name}: {score.reason}", seconds)
    reward = sum(weight * parts[name] for name, weight in zip(names, weights, strict=True) if weight)
    reasons = [f"{name}: {score.reason}" for name, score in zip(names, scores, strict=True) if score.reason]
    return Score(scores[0].verdict, float(reward), parts, "; ".join(reasons), seconds)
