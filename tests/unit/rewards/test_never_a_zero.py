""" "Could not judge" is never a zero: random outcomes of verifiers, from the pool's result to the learner's batch."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import pytest

from rl_reason.policy.advantages import mean_baseline
from rl_reason.rewards.pool import Outcome
from rl_reason.rewards.scorer import PoolScorer
from rl_reason.rollout.assemble import Assembler
from rl_reason.rollout.phase import rollout_metrics
from rl_reason.types import Group, Prompt, Score, Segment, StopReason, Trajectory, Verdict

NAMES = ("first", "weighted", "watched")
WEIGHTS = (1.0, 0.25, 0.0)
RESPONSES = 4


class OutcomePool:
    """Gives back the outcome that stands for the response's number."""

    names = NAMES
    longest_s = 1.0
    restarts = 0

    def __init__(self, outcomes: list[Outcome]) -> None:
        self._outcomes = outcomes
        self._waiting: deque[tuple[object, str]] = deque()

    @property
    def outstanding(self) -> int:
        return len(self._waiting)

    def submit(self, key: object, prompt: Prompt, response: str) -> None:
        self._waiting.append((key, response))

    def take(self, *, timeout_s: float | None = None) -> list[tuple[object, Outcome]]:
        key, response = self._waiting.pop()
        return [(key, self._outcomes[int(response)])]


def random_score(draw: random.Random) -> tuple[Score, str]:
    """A verifier's score and how it failed. A judged reward may be 0 or below: it is not the same as none."""
    kind = draw.choice(["right", "wrong", "unjudged", "timeout", "crash"])
    if kind == "right":
        return Score(Verdict.RIGHT, draw.choice([1.0, 0.5])), ""
    if kind == "wrong":
        return Score(Verdict.WRONG, draw.choice([0.0, -1.0])), ""
    return Score(Verdict.UNJUDGED, None, reason=kind), "" if kind == "unjudged" else kind


def random_outcome(draw: random.Random) -> Outcome:
    scores, failures = zip(*(random_score(draw) for _ in NAMES), strict=True)
    return Outcome(scores, failures if any(failures) else ())


@pytest.mark.parametrize("seed", range(40))
def test_reward_verdict_baseline_batch_and_counts_agree(seed: int) -> None:
    draw = random.Random(seed)
    outcomes = [random_outcome(draw) for _ in range(5 * RESPONSES)]
    segment = Segment(np.zeros(2, np.int32), np.zeros(2, np.float32), 0)
    prompts = [Prompt(f"p{row}", "?", "4", tokens=(1,)) for row in range(5)]
    scorer = PoolScorer(OutcomePool(outcomes), WEIGHTS, ["watched"])  # type: ignore[arg-type]
    trajectories = [
        [
            Trajectory(prompt, k, (segment,), StopReason.STOP, str(row * RESPONSES + k))  # its outcome's number
            for k in range(RESPONSES)
        ]
        for row, prompt in enumerate(prompts)
    ]
    for trajectory in (each for row in trajectories for each in row):
        scorer.submit(trajectory)
    scores = scorer.collect()
    metrics = scorer.metrics()
    groups = [
        Group(prompt, tuple(row), tuple(scores[prompt.id, k] for k in range(RESPONSES)))
        for prompt, row in zip(prompts, trajectories, strict=True)
    ]
    assembler = Assembler(mean_baseline, lambda lengths, correct, iteration: np.zeros(len(lengths)))
    assembled = assembler(groups, 0)

    # by hand: the first and the weighted verifier must have judged; the watched one does not matter
    judgeable = [all(score.verdict is not Verdict.UNJUDGED for score in outcome.scores[:2]) for outcome in outcomes]
    rewards = [
        (outcome.scores[0].reward or 0.0) + 0.25 * (outcome.scores[1].reward or 0.0) if good else None
        for outcome, good in zip(outcomes, judgeable, strict=True)
    ]
    flat = [score for group in groups for score in group.scores]
    assert [score.reward for score in flat] == rewards
    assert [score.verdict is not Verdict.UNJUDGED for score in flat] == judgeable
    assert metrics["reward/unjudged_count"] == judgeable.count(False)
    trained = 0
    for row in range(5):
        of_group = rewards[row * RESPONSES : (row + 1) * RESPONSES]
        judged = [reward for reward in of_group if reward is not None]
        trained += len(judged) if len(judged) > 1 else 0
        for reward, advantage in zip(of_group, assembled.advantages[row], strict=True):
            if reward is None or len(judged) < 2:
                assert np.isnan(advantage)
            else:
                assert advantage == pytest.approx(reward - sum(judged) / len(judged))
    assert len(assembled.sequences) == trained
    assert assembled.metrics["rollout/left_out_count"] == len(flat) - trained
    seen = rollout_metrics(groups, 1.0)
    known = [reward for reward in rewards if reward is not None]
    assert seen["reward/mean"] == pytest.approx(sum(known) / len(known) if known else float("nan"), nan_ok=True)
    right = sum(score.verdict is Verdict.RIGHT for score in flat)
    share = right / judgeable.count(True) if any(judgeable) else float("nan")
    assert seen["accuracy/train"] == pytest.approx(share, nan_ok=True)
    for index, name in enumerate(NAMES):
        own = [outcome.scores[index] for outcome in outcomes]
        failures = [outcome.failures[index] if outcome.failures else "" for outcome in outcomes]
        assert metrics[f"verifier/{name}/unjudged"] == sum(score.verdict is Verdict.UNJUDGED for score in own)
        assert metrics[f"verifier/{name}/timeouts"] == failures.count("timeout")
        assert metrics[f"verifier/{name}/crashes"] == failures.count("crash")
