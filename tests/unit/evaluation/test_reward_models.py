"""Agreement of reward models with labels, by hand."""

import json
import math

import numpy as np
import pytest

from rl_reason.evaluation.reward_models import auc, calibration, measure
from rl_reason.types import Score, Verdict


def score(value, reason=""):
    if value is None:
        return Score(Verdict.UNJUDGED, None, reason=reason, seconds=2.0)
    return Score(Verdict.RIGHT if value >= 0.5 else Verdict.WRONG, value, {"m": value}, seconds=1.0)


def test_agreement_by_hand():
    labels = [True, True, True, False, False, True, False]
    scores = [score(v) for v in (0.9, 0.6, 0.2, 0.7, 0.1)] + [score(None, "malformed: a: b"), score(None, "malformed")]
    found = measure("m", "classic", labels, scores, confidence=0.95, calibrated=True)
    assert (found.responses, found.judged) == (7, 5)
    assert found.accuracy.value == pytest.approx(3 / 5)
    # Wilson for 3 of 5
    assert (found.accuracy.low, found.accuracy.high) == (
        pytest.approx(0.2307, abs=1e-4),
        pytest.approx(0.8824, abs=1e-4),
    )
    assert found.false_positives.value == 0.5 and found.false_negatives.value == pytest.approx(1 / 3)
    assert found.unjudged == {"malformed": 2}
    assert found.seconds == pytest.approx((5 * 1 + 2 * 2) / 7)
    assert found.calibration is not None
    # pairs right > wrong: 0.9 over both, 0.6 over 0.1, 0.2 over 0.1: 4 of 6
    assert found.calibration.auc == pytest.approx(4 / 6)
    assert found.calibration.brier == pytest.approx((0.01 + 0.16 + 0.64 + 0.49 + 0.01) / 5)


def test_what_was_not_judged_is_in_no_numerator_and_no_denominator():
    found = measure(
        "m", "judge", [True, False], [score(None, "tie"), score(None, "missing: x")], confidence=0.95, calibrated=False
    )
    assert found.judged == 0 and math.isnan(found.accuracy.value) and found.unjudged == {"tie": 1, "missing": 1}
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["accuracy"]["value"] is None


def test_calibration_by_hand():
    found = calibration(np.array([0.05, 0.05, 0.95, 1.0, 0.55]), np.array([False, True, True, True, False]))
    assert [(b.responses, b.right) for b in found.bins] == [(2, 0.5), (1, 0.0), (2, 1.0)]
    assert [b.probability for b in found.bins] == pytest.approx([0.05, 0.55, 0.975])
    assert found.expected_error == pytest.approx((2 * 0.45 + 0.55 + 2 * 0.025) / 5)


def test_auc_counts_ties_one_half():
    assert auc(np.array([0.5, 0.5]), np.array([True, False])) == 0.5
    assert auc(np.array([0.1, 0.2, 0.2, 0.9]), np.array([False, True, False, True])) == pytest.approx(3.5 / 4)
    assert math.isnan(auc(np.array([0.1]), np.array([True])))
