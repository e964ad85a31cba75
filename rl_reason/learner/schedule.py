"""Learning-rate schedules as one pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping


def _constant(_: float) -> float:
    return 1.0


def _linear(progress: float) -> float:
    return 1.0 - progress


def _cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


SCHEDULES: Mapping[str, Callable[[float], float]] = {"constant": _constant, "linear": _linear, "cosine": _cosine}
"""Name -> share of the peak at a progress in [0, 1] after the warm-up; `linear` and `cosine` end at 0."""


def learning_rate_at(step: int, *, peak: float, schedule: str, warmup_steps: int, total_steps: int) -> float:
    """Learning rate of update `step`, counted from 0.

    During the warm-up it rises linearly: update i has (i + 1) / (warmup_steps + 1) of the peak, so that the first is
    not wasted on a rate of 0. After it, `SCHEDULES[schedule]` runs from the peak at update `warmup_steps` to its end
    at update `total_steps`; later updates keep the end value.

    Args:
        step: >= 0.
        peak: highest rate.
        schedule: a key of `SCHEDULES`.
        warmup_steps: >= 0, <= total_steps.
        total_steps: updates in the whole stage.
    """
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    span = max(1, total_steps - warmup_steps)
    return peak * SCHEDULES[schedule](min(1.0, (step - warmup_steps) / span))
