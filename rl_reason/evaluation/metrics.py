"""Accuracy figures with their uncertainty: avg@k, pass@k, paired differences. Pure functions on counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its two-sided confidence interval; all three NaN when there is nothing to estimate from."""

    value: float
    low: float
    high: float

    def excludes(self, number: float) -> bool:
        """True when `number` lies outside the interval."""
        return not self.low <= number <= self.high


NOTHING = Interval(math.nan, math.nan, math.nan)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that at least one of k responses, drawn without replacement from n of which c are right, is right.

        1 - C(n - c, k) / C(n, k)          (Chen et al. 2021, arXiv 2107.03374, Eq. 1)

    Unbiased for the pass rate of k fresh responses, unlike 1 - (1 - c/n)^k.

    Raises:
        ValueError: not 0 <= c <= n, or not 1 <= k <= n.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, got n={n} c={c} k={k}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def avg_at_k(right: Sequence[int], judged: Sequence[int], *, confidence: float = 0.95) -> Interval:
    """Mean over problems of (right / judged), with an interval for a fresh draw of problems and responses.

    Problems without a judged response are left out. With p the mean of the n per-problem means p_i, the interval is
    Wilson's (1927) at an effective sample size, as surveys do it (Korn & Graubard 1998):

        n_eff = p (1 - p) / (var(p_i) / n),   at most the number of responses; n when all p_i are 0 or all are 1

    The K responses of a problem are no independent trials; var(p_i), divided by n, not n - 1, measures what they are
    worth. With one response a problem this is Wilson's interval itself; it never leaves [0, 1] and never has width 0.
    """
    counts = [(r, j) for r, j in zip(right, judged, strict=True) if j > 0]
    if not counts:
        return NOTHING
    means = np.array([r / j for r, j in counts])
    p, between = float(means.mean()), float(means.var())
    responses = sum(j for _, j in counts)
    if p in (0.0, 1.0):
        effective = float(len(means))
    else:
        effective = min(p * (1 - p) * len(means) / between, responses) if between > 0 else responses
    return wilson(p, effective, confidence=confidence)


def wilson(p: float, n: float, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion p seen in n trials.

    centre = (p + z²/2n) / (1 + z²/n),   half = z sqrt(p(1-p)/n + z²/4n²) / (1 + z²/n)
    """
    z = critical_value(confidence)
    shrink = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / shrink
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def difference(after: Sequence[float], before: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Mean of the per-problem differences after - before, on the same problems, with a normal interval.

        d_i = after_i - before_i,   mean(d) ± z sd(d) / sqrt(n),   sd with n - 1

    Pairing takes the problems' own difficulty out, so this is narrower than two separate intervals suggest. Problems
    where either value is NaN are left out; NaN all through with fewer than two problems.
    """
    d = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    d = d[~np.isnan(d)]
    if len(d) < 2:
        return NOTHING
    half = critical_value(confidence) * float(d.std(ddof=1)) / math.sqrt(len(d))
    mean = float(d.mean())
    return Interval(mean, mean - half, mean + half)


def critical_value(confidence: float) -> float:
    """z of a two-sided interval: 1.96 for 0.95.

    Raises:
        ValueError: not strictly between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    return NormalDist().inv_cdf(0.5 + confidence / 2)
