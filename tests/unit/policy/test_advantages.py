"""Baselines and advantages by hand."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from rl_reason.policy.advantages import group_advantages, log_mean_exp_baseline, mean_baseline


def test_mean_baseline_gives_advantages_that_sum_to_zero() -> None:
    advantages = group_advantages([1.0, 0.0, 0.0, 1.0, 1.0], baseline=mean_baseline)
    assert advantages.tolist() == pytest.approx([0.4, -0.6, -0.6, 0.4, 0.4])


def test_unjudged_responses_are_not_in_the_baseline_and_have_no_advantage() -> None:
    advantages = group_advantages([1.0, None, 0.0], baseline=mean_baseline)
    assert advantages[[0, 2]].tolist() == [0.5, -0.5]
    assert math.isnan(advantages[1])


@pytest.mark.parametrize("rewards", [[1.0], [None, 1.0, None], [None, None]])
def test_a_response_with_nothing_to_compare_with_has_no_advantage(rewards: list[float | None]) -> None:
    assert np.isnan(group_advantages(rewards, baseline=mean_baseline)).all()


def test_log_mean_exp_by_hand() -> None:
    # tau = 1: log((e^1 + e^0) / 2) = log(1.859141) = 0.620115
    assert log_mean_exp_baseline(np.array([1.0, 0.0]), 1.0) == pytest.approx(0.6201145, abs=1e-7)
    # tau = 0.5: 0.5 log((e^2 + 1) / 2) = 0.5 log(4.194528) = 0.716890
    assert log_mean_exp_baseline(np.array([1.0, 0.0]), 0.5) == pytest.approx(0.7168904, abs=1e-7)


def test_log_mean_exp_lies_between_mean_and_maximum_and_tends_to_them() -> None:
    rewards = np.array([1.0, 0.0, 0.25, -0.5])
    assert log_mean_exp_baseline(rewards, 1e6) == pytest.approx(mean_baseline(rewards), abs=1e-6)
    # tau -> 0: max - tau log K
    assert log_mean_exp_baseline(rewards, 1e-3) == pytest.approx(1.0 - 1e-3 * math.log(4), abs=1e-9)
    assert mean_baseline(rewards) < log_mean_exp_baseline(rewards, 0.3) < 1.0


def test_log_mean_exp_does_not_overflow() -> None:
    assert log_mean_exp_baseline(np.array([1000.0, 1000.0]), 1e-3) == 1000.0


def test_a_baseline_with_a_parameter_is_a_partial() -> None:
    advantages = group_advantages([1.0, 0.0], baseline=partial(log_mean_exp_baseline, tau=1.0))
    assert advantages.tolist() == pytest.approx([0.3798855, -0.6201145], abs=1e-7)
