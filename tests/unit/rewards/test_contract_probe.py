"""The rules of a `Score`, and what may be a constructor's default."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from rl_reason.rewards.contract_probe import _is_plain, _pickle_faults, _score_faults
from rl_reason.types import Score, Verdict


@pytest.mark.parametrize(
    "score",
    [
        Score(Verdict.RIGHT, 1.0, {"it": 1.0}),
        Score(Verdict.WRONG, 0),
        Score(Verdict.WRONG, -0.5, {"a": 0, "b": True}, "too long"),
        Score(Verdict.RIGHT, np.float32(1.0), {"a": np.float64(0.5)}),  # type: ignore[arg-type]
        Score(Verdict.UNJUDGED, None, reason="no reference"),
    ],
)
def test_scores_that_keep_the_rules(score: Score) -> None:
    assert _score_faults(score) == [] and _pickle_faults(score) == []


@pytest.mark.parametrize(
    ("score", "says"),
    [
        (1.0, "verify returned 1.0, a float; return a Score"),
        (None, "verify returned None"),
        (Score("right", 1.0), "the verdict is 'right'"),  # type: ignore[arg-type]
        (Score(Verdict.RIGHT, None), "RIGHT with reward None; it is a finite number"),
        (Score(Verdict.WRONG, float("nan")), "WRONG with reward nan"),
        (Score(Verdict.WRONG, float("-inf")), "WRONG with reward -inf"),
        (Score(Verdict.RIGHT, "1"), "RIGHT with reward '1'"),  # type: ignore[arg-type]
        (Score(Verdict.UNJUDGED, 0.0, reason="hm"), "UNJUDGED with reward 0.0; it is None"),
        (Score(Verdict.UNJUDGED, None), "UNJUDGED without a reason"),
        (Score(Verdict.RIGHT, 1.0, {"it": float("inf")}), "parts has {'it': inf}"),
        (Score(Verdict.RIGHT, 1.0, {1: 1.0}), "parts has {1: 1.0}"),  # type: ignore[dict-item]
        (Score(Verdict.RIGHT, 1.0, [1.0]), "parts is [1.0]"),  # type: ignore[arg-type]
        (Score(Verdict.RIGHT, 1.0, reason=None), "the reason is None"),  # type: ignore[arg-type]
    ],
)
def test_scores_that_break_a_rule(score: Any, says: str) -> None:
    (fault,) = _score_faults(score)
    assert fault.startswith(says)


def test_an_unpicklable_score_is_named() -> None:
    (fault,) = _pickle_faults(Score(Verdict.RIGHT, 1.0, MappingProxyType({"it": 1.0})))
    assert "cannot be pickled" in fault


def test_plain_data() -> None:
    assert all(map(_is_plain, [None, True, 1, 0.5, "a", [1, "b"], ("a",), {"a": [None]}, []]))
    assert not any(map(_is_plain, [object(), {1: 2}, [Path()], print, {1}, b"x"]))
