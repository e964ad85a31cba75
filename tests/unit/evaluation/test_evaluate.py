import json
import math
from dataclasses import replace

import numpy as np
import pytest

from rl_reason.errors import DataError, RolloutError
from rl_reason.evaluation.evaluate import EvalResult, compare, evaluate, summarise
from rl_reason.types import Group, Prompt, Score, Segment, StopReason, Trajectory, Verdict

SCORES = {"R": Score(Verdict.RIGHT, 1.0), "W": Score(Verdict.WRONG, 0.0), "?": Score(Verdict.UNJUDGED, None)}


class ScriptedRollout:
    """Response j of a prompt has (10 + j) tokens and the verdict of letter j of the prompt's answer."""

    def __init__(self, *, truncated=()):
        self.truncated, self.iterations, self.groups = set(truncated), [], []

    def start(self, prompts, *, iteration):
        self.iterations.append(iteration)
        self.groups = [self.group(prompt) for prompt in prompts]
        return self

    def finish(self):
        return self

    def group(self, prompt):
        trajectories = tuple(
            Trajectory(
                prompt,
                j,
                (Segment(np.zeros(10 + j, np.int32), np.zeros(10 + j, np.float32), 0),),
                StopReason.LENGTH if (prompt.id, j) in self.truncated else StopReason.STOP,
                "",
            )
            for j in range(len(prompt.answer))
        )
        return Group(prompt, trajectories, tuple(SCORES[letter] for letter in prompt.answer))


def prompts(**verdicts):
    return [Prompt(name, f"question {name}", answer, source=f"f:{name}") for name, answer in verdicts.items()]


def test_the_figures_by_hand():
    rollout = ScriptedRollout(truncated=[("b", 1), ("c", 3)])
    result = evaluate(
        rollout, prompts(a="RRRR", b="RWWW", c="?R?W", d="????"), responses_per_prompt=4, pass_at=(1, 2, 4), iteration=7
    )
    assert rollout.iterations == [7]
    assert result.accuracy.value == pytest.approx((1 + 1 / 4 + 1 / 2) / 3), "d was never judged"
    assert result.pass_at == pytest.approx({1: (1 + 1 / 4 + 1 / 2) / 3, 2: (1 + 1 / 2 + 1) / 3, 4: (1 + 1) / 2})
    assert (result.problems, result.unjudged, result.truncated_fraction) == (4, 6, 2 / 16)
    assert result.tokens_mean == 11.5 and result.tokens_p99 == pytest.approx(13)
    assert result.table[2] == {
        "id": "c", "source": "f:c", "right": 1, "judged": 2, "responses": 4, "tokens_mean": 11.5, "truncated": 1,
    }  # fmt: skip
    assert result.metrics()["accuracy/eval_pass_at_4"] == 1.0
    assert result.metrics()["eval/unjudged_count"] == 6.0


def test_every_verifier_has_its_figures():
    def score(letter):
        own = Score(Verdict.WRONG, 0.0, {"thinks": float(letter == "R")})
        return replace(SCORES[letter], judgements={"math": SCORES[letter], "format": own})

    rollout = ScriptedRollout()
    result = evaluate(rollout, prompts(a="RW"), responses_per_prompt=2)
    assert result.verifiers == {}  # one alone is the accuracy itself
    (group,) = rollout.groups
    judged = Group(group.prompt, group.trajectories, (score("R"), score("W")))
    result = summarise([judged], responses_per_prompt=2, pass_at=(), confidence=0.95)
    assert (
        result.metrics().items()
        >= {
            "eval/verifier/math/right_fraction": 0.5,
            "eval/verifier/format/right_fraction": 0.0,
            "eval/verifier/format/thinks_mean": 0.5,
        }.items()
    )
    assert EvalResult.from_dict(json.loads(json.dumps(result.to_dict()))).verifiers == result.verifiers


def test_a_result_survives_json_with_its_missing_figures():
    result = evaluate(ScriptedRollout(), prompts(a="?R", b="??"), responses_per_prompt=2, pass_at=(2,))
    assert math.isnan(result.pass_at[2])
    text = json.dumps(result.to_dict(), allow_nan=False)
    back = EvalResult.from_dict(json.loads(text))
    assert back.accuracy == result.accuracy and back.table == result.table and math.isnan(back.pass_at[2])


def test_compare_pairs_by_problem():
    before = evaluate(ScriptedRollout(), prompts(a="RW", b="RW", c="WW"), responses_per_prompt=2)
    after = evaluate(ScriptedRollout(), prompts(c="RW", a="RR", b="RW"), responses_per_prompt=2)
    interval = compare(after, before)
    # d = 1/2 (c), 1/2 (a), 0 (b), as worked out in test_metrics.py
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.333333, 0.006672, 0.659994), abs=2e-6)
    other = evaluate(ScriptedRollout(), prompts(x="RW"), responses_per_prompt=2)
    with pytest.raises(DataError, match="different problems"):
        compare(after, other)


def test_impossible_requests_and_incomplete_rollouts_are_refused():
    with pytest.raises(DataError, match="no prompts"):
        evaluate(ScriptedRollout(), [], responses_per_prompt=1)
    with pytest.raises(DataError, match=r"k in \[4\] needs 1 <= k <= responses_per_prompt = 2"):
        evaluate(ScriptedRollout(), prompts(a="RR"), responses_per_prompt=2, pass_at=(4,))
    with pytest.raises(RolloutError, match="got 3 responses, not 2"):
        evaluate(ScriptedRollout(), prompts(a="RR", b="RRR"), responses_per_prompt=2)

    class Dropping(ScriptedRollout):
        def finish(self):
            self.groups.pop()
            return self

    with pytest.raises(RolloutError, match="2 prompts and got 1 groups"):
        evaluate(Dropping(), prompts(a="RR", b="RR"), responses_per_prompt=2)
