"""Schedules by hand."""

from __future__ import annotations

from functools import partial

import pytest

from rl_reason.learner.schedule import learning_rate_at


def test_constant_after_warm_up() -> None:
    rate = partial(learning_rate_at, peak=1.0, schedule="constant", warmup_steps=3, total_steps=10)
    assert [rate(step) for step in (0, 1, 2, 3, 9, 99)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_linear_falls_to_zero() -> None:
    rate = partial(learning_rate_at, peak=2.0, schedule="linear", warmup_steps=2, total_steps=6)
    assert [rate(step) for step in (2, 3, 4, 5, 6, 7)] == pytest.approx([2.0, 1.5, 1.0, 0.5, 0.0, 0.0])


def test_cosine_is_half_way_in_the_middle() -> None:
    rate = partial(learning_rate_at, peak=4.0, schedule="cosine", warmup_steps=0, total_steps=8)
    # 2 (1 + cos(pi / 4)) = 3.414214
    assert [rate(step) for step in (0, 2, 4, 8)] == pytest.approx([4.0, 3.4142136, 2.0, 0.0])


def test_warm_up_as_long_as_the_stage() -> None:
    assert learning_rate_at(5, peak=1.0, schedule="linear", warmup_steps=5, total_steps=5) == 1.0
