"""How often reward models agree with labels: accuracy, both kinds of error, what they could not judge, calibration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_reason.evaluation.metrics import NOTHING, Interval, wilson
from rl_reason.types import Score, Verdict

BINS = 10
"""Of equal width in probability."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Responses whose probability of being right lies in one tenth of [0, 1]."""

    responses: int
    probability: float
    """Their mean probability."""
    right: float
    """The share that is labelled right."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether a model's probabilities mean what they say."""

    bins: tuple[Bin, ...]
    """Those that hold a response."""
    expected_error: float
    """Mean over responses of |probability - right| of their bin (ECE; Naeini et al. 2015)."""
    brier: float
    """Mean of (probability - label)^2."""
    auc: float
    """Chance that a right response has a higher probability than a wrong one, ties one half: needs no threshold."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One reward model against the labels."""

    name: str
    kind: str
    responses: int
    judged: int
    accuracy: Interval
    """Of the judged responses, taken as independent (Wilson)."""
    false_positives: Interval
    """Called right, of the judged responses that are labelled wrong."""
    false_negatives: Interval
    """Called wrong, of the judged responses that are labelled right."""
    unjudged: dict[str, int]
    """Why (the first words of the reason) -> how many."""
    calibration: Calibration | None
    """None for models that only say yes or no."""
    seconds: float
    """Mean time a response."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable; NaN is written as null."""
        return _plain(asdict(self))


def measure(
    name: str, kind: str, labels: Sequence[bool], scores: Sequence[Score], *, confidence: float, calibrated: bool
) -> Agreement:
    """Compare one reward model's scores with the labels.

    Args:
        labels: [N] whether each response is right.
        scores: [N] the model's; rewards are probabilities where `calibrated`.
        confidence: of the intervals, such as 0.95.
    """
    judged = [(label, score) for label, score in zip(labels, scores, strict=True) if score.reward is not None]
    said = [score.verdict is Verdict.RIGHT for _, score in judged]
    truth = [label for label, _ in judged]
    reasons = [score.reason.split(":")[0] for score in scores if score.reward is None]
    return Agreement(
        name=name,
        kind=kind,
        responses=len(scores),
        judged=len(judged),
        accuracy=_share([a == b for a, b in zip(said, truth, strict=True)], confidence),
        false_positives=_share([a for a, b in zip(said, truth, strict=True) if not b], confidence),
        false_negatives=_share([not a for a, b in zip(said, truth, strict=True) if b], confidence),
        unjudged=dict(Counter(reasons).most_common()),
        calibration=calibration(np.array([score.reward for _, score in judged]), np.array(truth))
        if calibrated and judged
        else None,
        seconds=float(np.mean([score.seconds for score in scores])) if scores else 0.0,
    )


def calibration(probabilities: NDArray[np.float64], labels: NDArray[np.bool_]) -> Calibration:
    """Both [N], N at least 1."""
    which = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    bins = tuple(
        Bin(int(inside.sum()), float(probabilities[inside].mean()), float(labels[inside].mean()))
        for inside in (which == number for number in range(BINS))
        if inside.any()
    )
    gaps = [each.responses * abs(each.probability - each.right) for each in bins]
    return Calibration(
        bins=bins,
        expected_error=sum(gaps) / len(labels),
        brier=float(np.mean((probabilities - labels) ** 2)),
        auc=auc(probabilities, labels),
    )


def auc(values: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney): [N], [N]; NaN where only one label occurs."""
    right, wrong = int(labels.sum()), int((~labels).sum())
    if not right or not wrong:
        return math.nan
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    middle_rank = np.cumsum(count) - (count - 1) / 2
    return float((middle_rank[group][labels].sum() - right * (right + 1) / 2) / (right * wrong))


def _share(outcomes: Sequence[bool], confidence: float) -> Interval:
    if not outcomes:
        return NOTHING
    return wilson(sum(outcomes) / len(outcomes), len(outcomes), confidence=confidence)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
