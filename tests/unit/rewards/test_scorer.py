"""How several verifiers' scores become one, and what is counted."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pytest

from rl_reason.errors import VerifierError
from rl_reason.rewards.pool import Outcome
from rl_reason.rewards.scorer import PoolScorer, combine
from rl_reason.rewards.tally import Tally
from rl_reason.tracking.metric_names import describe
from rl_reason.types import Prompt, Score, Segment, StopReason, Trajectory, Verdict

RIGHT = Score(Verdict.RIGHT, 1.0, seconds=0.25)
WRONG = Score(Verdict.WRONG, 0.0, reason="differs", seconds=0.5)
UNJUDGED = Score(Verdict.UNJUDGED, None, reason="no reference", seconds=1.0)
NAMES = ("math", "format")


@pytest.mark.parametrize(
    ("weights", "scores", "verdict", "reward"),
    [
        ((1.0, 0.25), (RIGHT, RIGHT), Verdict.RIGHT, 1.25),
        ((1.0, 0.25), (RIGHT, WRONG), Verdict.RIGHT, 1.0),  # the first verifier says what is right
        ((1.0, 0.25), (WRONG, RIGHT), Verdict.WRONG, 0.25),
        ((1.0, -0.5), (RIGHT, RIGHT), Verdict.RIGHT, 0.5),
        ((1.0, 0.25), (UNJUDGED, RIGHT), Verdict.UNJUDGED, None),
        ((1.0, 0.25), (RIGHT, UNJUDGED), Verdict.UNJUDGED, None),
        ((1.0, 0.0), (RIGHT, UNJUDGED), Verdict.RIGHT, 1.0),  # a verifier that is only watched
        ((0.0, 1.0), (UNJUDGED, RIGHT), Verdict.UNJUDGED, None),  # the primary one is never only watched
        ((0.0, 1.0), (WRONG, RIGHT), Verdict.WRONG, 1.0),
    ],
)
def test_combination(
    weights: tuple[float, float], scores: tuple[Score, Score], verdict: Verdict, reward: float | None
) -> None:
    score = combine(NAMES, weights, scores)
    assert (score.verdict, score.reward) == (verdict, reward)
    assert score.seconds == sum(part.seconds for part in scores)
    assert score.parts == {n: s.reward for n, s in zip(NAMES, scores, strict=True) if s.reward is not None}


def test_reason_names_the_verifier() -> None:
    assert combine(NAMES, (1.0, 1.0), (WRONG, RIGHT)).reason == "math: differs"
    assert combine(NAMES, (1.0, 1.0), (RIGHT, UNJUDGED)).reason == "format: no reference"


class ScriptedPool:
    """Gives outcomes by response text, last submitted first."""

    names = NAMES
    longest_s = 1.0
    restarts = 0

    def __init__(self, outcomes: dict[str, Outcome]) -> None:
        self._outcomes = outcomes
        self._waiting: deque[tuple[object, str]] = deque()

    @property
    def outstanding(self) -> int:
        return len(self._waiting)

    def submit(self, key: object, prompt: Prompt, response: str) -> None:
        self._waiting.append((key, response))

    def take(self, *, timeout_s: float | None = None) -> list[tuple[object, Outcome]]:
        key, response = self._waiting.pop()
        return [(key, self._outcomes[response])] if response in self._outcomes else []


def trajectory(index: int, text: str) -> Trajectory:
    segment = Segment(np.zeros(1, np.int32), np.zeros(1, np.float32), 0)
    return Trajectory(Prompt("p", "?", "4"), index, (segment,), StopReason.STOP, text)


def test_collect_gives_every_response_its_own_score_and_metrics_count() -> None:
    late = Score(Verdict.UNJUDGED, None, reason="deadline", seconds=2.0)
    pool = ScriptedPool(
        {
            "good": Outcome((RIGHT, RIGHT)),
            "bad": Outcome((WRONG, RIGHT)),
            "slow": Outcome((RIGHT, late), ("", "timeout")),
            "bomb": Outcome((UNJUDGED, WRONG), ("crash", "")),
        }
    )
    scorer = PoolScorer(pool, [1.0, 1.0], ["format"])  # type: ignore[arg-type]
    for index, text in enumerate(("good", "bad", "slow", "bomb")):
        scorer.submit(trajectory(index, text))
    scores = scorer.collect()
    assert {key: score.reward for key, score in scores.items()} == {
        ("p", 0): 2.0,
        ("p", 1): 1.0,
        ("p", 2): None,
        ("p", 3): None,
    }
    assert scorer.collect() == {}
    metrics = scorer.metrics()
    assert metrics["reward/unjudged_count"] == 2 and metrics["reward/unjudged_fraction"] == 0.5
    assert metrics["verifier/format/timeouts"] == 1 and metrics["verifier/math/crashes"] == 1
    assert metrics["time/verifier/math/p50_s"] == 0.375  # of 0.25, 0.5, 0.25 and the crash's 1.0
    assert metrics["time/verifier/format/p99_s"] == pytest.approx(2.0, rel=0.03)
    assert metrics["verifier/math/unjudged"] == metrics["verifier/format/unjudged"] == 1
    assert metrics["verifier/math/right_fraction"] == pytest.approx(2 / 3)  # good, slow; bad is wrong
    assert metrics["verifier/format/disagreement_fraction"] == 0.5  # on bad, of good and bad
    assert "verifier/math/disagreement_fraction" not in metrics
    assert all(describe(name) is not None for name in metrics)
    again = scorer.metrics()
    assert again["reward/unjudged_count"] == again["verifier/math/unjudged"] == 0
    assert math.isnan(again["verifier/math/right_fraction"])


def test_the_parts_of_a_verifiers_score_are_averaged_under_its_name() -> None:
    tally = Tally(compared=False)
    for thinks, share in ((1.0, 0.5), (0.0, None)):
        parts = {"thinks": thinks} | ({} if share is None else {"Loop share!": share})
        score = Score(Verdict.RIGHT, 1.0, parts, seconds=0.1)
        tally.count(score, "", score)
    metrics = tally.metrics("x/y.py:Check")
    assert metrics["verifier/x/y.py:Check/thinks_mean"] == 0.5
    assert metrics["verifier/x/y.py:Check/loop_share_mean"] == 0.5  # of the one response that has it
    assert all(describe(name) is not None for name in metrics)


def test_a_silent_pool_is_a_fault() -> None:
    scorer = PoolScorer(ScriptedPool({}), [1.0, 1.0])  # type: ignore[arg-type]
    scorer.submit(trajectory(0, "x"))
    scorer.submit(trajectory(1, "x"))
    with pytest.raises(VerifierError, match="no verdict for 61 s with 1 responses outstanding"):
        scorer.collect()


@pytest.mark.parametrize("weights", [[1.0], [1.0, float("nan")], [1.0, 1.0, 1.0]])
def test_weights_must_fit(weights: list[float]) -> None:
    with pytest.raises(VerifierError, match="one finite weight for each"):
        PoolScorer(ScriptedPool({}), weights)  # type: ignore[arg-type]


@pytest.mark.parametrize("compared", [["math"], ["absent"]])
def test_only_later_verifiers_are_compared(compared: list[str]) -> None:
    with pytest.raises(VerifierError, match="cannot be compared with 'math'"):
        PoolScorer(ScriptedPool({}), [1.0, 1.0], compared)  # type: ignore[arg-type]


def test_each_verifiers_own_score_is_kept_where_there_are_several() -> None:
    assert combine(NAMES, (1.0, 0.0), (RIGHT, UNJUDGED)).judgements == {"math": RIGHT, "format": UNJUDGED}
    assert combine(NAMES, (1.0, 1.0), (UNJUDGED, WRONG)).judgements == {"math": UNJUDGED, "format": WRONG}
    assert combine(("math",), (1.0,), (RIGHT,)).judgements == {}


def test_what_could_not_be_judged_contradicts_nothing() -> None:
    assert RIGHT.contradicts(WRONG) and WRONG.contradicts(RIGHT)
    assert not any(a.contradicts(b) for a in (RIGHT, WRONG, UNJUDGED) for b in (UNJUDGED, a))
