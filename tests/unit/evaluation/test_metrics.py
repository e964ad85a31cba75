import itertools
import math

import numpy as np
import pytest

from rl_reason.evaluation.metrics import avg_at_k, critical_value, difference, pass_at_k, wilson


def test_pass_at_k_by_hand():
    assert pass_at_k(4, 1, 2) == pytest.approx(0.5)  # 1 - C(3,2)/C(4,2) = 1 - 3/6
    assert pass_at_k(5, 2, 3) == pytest.approx(0.9)  # 1 - C(3,3)/C(5,3) = 1 - 1/10
    assert pass_at_k(8, 3, 1) == pytest.approx(3 / 8)
    assert pass_at_k(4, 0, 4) == 0.0
    assert pass_at_k(4, 1, 4) == 1.0
    assert pass_at_k(3, 2, 2) == 1.0  # one wrong response only, so two drawn hold a right one


def test_pass_at_k_is_unbiased_for_the_pass_rate():
    p, n, k = 0.3, 5, 2
    mean = sum(
        p ** sum(outcome) * (1 - p) ** (n - sum(outcome)) * pass_at_k(n, sum(outcome), k)
        for outcome in itertools.product((0, 1), repeat=n)
    )
    assert mean == pytest.approx(1 - (1 - p) ** k)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_pass_at_k_refuses_impossible_counts(n, c, k):
    with pytest.raises(ValueError, match="pass@k"):
        pass_at_k(n, c, k)


def test_wilson_by_hand():
    # 8 of 10, z = 1.96: centre (0.8 + 0.19208) / 1.38416 = 0.71674,
    # half 1.96 sqrt(0.016 + 0.009604) / 1.38416 = 0.22658
    interval = wilson(0.8, 10)
    assert interval.low == pytest.approx(0.49016, abs=2e-5)
    assert interval.high == pytest.approx(0.94332, abs=2e-5)


def test_avg_at_one_is_wilsons_interval():
    got, expected = avg_at_k([1] * 8 + [0] * 2, [1] * 10), wilson(0.8, 10)
    assert (got.value, got.low, got.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_avg_at_four_by_hand():
    # Means 1, 1/2, 0, 1/2: p 1/2, var 1/8, so n_eff = 0.25 x 4 / 0.125 = 8 of the 16 responses;
    # half = 1.959964 sqrt(0.25/8 + 3.841459/256) / (1 + 3.841459/8) = 0.28478.
    interval = avg_at_k([4, 2, 0, 2], [4, 4, 4, 4])
    assert interval.value == 0.5
    assert (interval.low, interval.high) == pytest.approx((0.21522, 0.78478), abs=2e-5)


def test_unjudged_responses_leave_the_denominator_and_empty_problems_leave_the_mean():
    interval = avg_at_k([1, 3, 0], [2, 4, 0])
    assert interval.value == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert all(math.isnan(number) for number in (avg_at_k([0], [0]).value, avg_at_k([], []).low))


def test_intervals_at_the_edges_have_width_and_stay_inside():
    sure = avg_at_k([4] * 5, [4] * 5)  # n_eff is the 5 problems: low = (1.384146 - 0.384146) / 1.768292
    assert (sure.low, sure.high) == pytest.approx((0.565518, 1.0), abs=2e-6)
    never = avg_at_k([0] * 5, [4] * 5)
    assert (never.low, never.high) == pytest.approx((0.0, 1 - 0.565518), abs=2e-6)
    alike = avg_at_k([2] * 3, [4] * 3)  # no spread between problems: at most the 12 responses' worth
    assert (alike.low, alike.high) == pytest.approx((wilson(0.5, 12).low, wilson(0.5, 12).high))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        chances = rng.beta(0.8, 1.2, size=60)  # mean 0.4, strongly varying difficulty
        interval = avg_at_k(rng.binomial(4, chances), [4] * 60)
        covered += not interval.excludes(0.4)
    assert 930 <= covered <= 970, "950 expected; 3 standard deviations are 21"


def test_paired_difference_by_hand():
    # d = 1/2, 0, 1/2: mean 1/3, sd 0.288675, half = 1.959964 x 0.288675 / sqrt(3) = 0.326661
    interval = difference([1.0, 0.5, 0.5, math.nan, 1.0], [0.5, 0.5, 0.0, 1.0, math.nan])
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.333333, 0.006672, 0.659994), abs=2e-6)
    assert interval.excludes(0.0) and not interval.excludes(0.5)
    assert math.isnan(difference([1.0], [0.0]).value)


def test_critical_values():
    assert critical_value(0.95) == pytest.approx(1.959964, abs=1e-6)
    assert critical_value(0.99) == pytest.approx(2.575829, abs=1e-6)
    for confidence in (0, 1, 95):
        with pytest.raises(ValueError, match="between 0 and 1"):
            critical_value(confidence)
