"""Length reward of k1.5 §2.3.3, by hand."""

from __future__ import annotations

import pytest

from rl_reason.rewards.length import length_rewards, length_weight


@pytest.mark.parametrize(
    ("lengths", "correct", "expected"),
    [
        # lambda = 0.5 - (len - 100) / 400: 0.5, 0.25, 0, -0.25, -0.5
        ([100, 200, 300, 400, 500], [True] * 5, [0.5, 0.25, 0.0, -0.25, -0.5]),
        ([100, 200, 300, 400, 500], [False] * 5, [0.0, 0.0, 0.0, -0.25, -0.5]),
        # the shortest is wrong and gains nothing; the longest is right and still pays
        ([100, 500, 300], [False, True, True], [0.0, -0.5, 0.0]),
        ([500, 100], [False, True], [-0.5, 0.5]),
        # one length: nothing to prefer
        ([7, 7, 7], [True, False, True], [0.0, 0.0, 0.0]),
        ([42], [True], [0.0]),
        ([], [], []),
    ],
)
def test_table_of_signs(lengths: list[int], correct: list[bool], expected: list[float]) -> None:
    assert length_rewards(lengths, correct).tolist() == expected


def test_every_response_needs_a_verdict() -> None:
    with pytest.raises(ValueError, match="2 lengths but 1 verdicts"):
        length_rewards([1, 2], [True])


def test_weight_is_a_switch_not_a_ramp() -> None:
    weights = [length_weight(iteration, weight=0.3, start_iteration=2) for iteration in range(5)]
    assert weights == [0.0, 0.0, 0.3, 0.3, 0.3]
