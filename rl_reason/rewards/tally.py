"""What one verifier did with the responses of an iteration, as metrics."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import numpy as np

from rl_reason.types import Score, Verdict


class Tally:
    """Counts of one verifier.

    Args:
        compared: whether its verdicts are compared with the primary verifier's.
    """

    def __init__(self, *, compared: bool) -> None:
        self._compared = compared
        self._seconds: list[float] = []
        self._verdicts: Counter[Verdict] = Counter()
        self._failures: Counter[str] = Counter()
        self._parts: defaultdict[str, list[float]] = defaultdict(list)
        self._both_judged = self._disagreements = 0

    def count(self, score: Score, failure: str, primary: Score) -> None:
        """One response: this verifier's score, how it failed ("" when it did not), the primary verifier's score."""
        self._seconds.append(score.seconds)
        self._verdicts[score.verdict] += 1
        self._failures[failure] += 1
        for part, value in score.parts.items():
            self._parts[part].append(value)
        self._both_judged += Verdict.UNJUDGED not in (score.verdict, primary.verdict)
        self._disagreements += score.contradicts(primary)

    def metrics(self, name: str) -> dict[str, float]:
        """Under the tracker's names; shares of nothing are NaN."""
        seconds = self._seconds or [0.0]
        judged = self._verdicts[Verdict.RIGHT] + self._verdicts[Verdict.WRONG]
        metrics = {
            f"time/verifier/{name}/p50_s": float(np.percentile(seconds, 50)),
            f"time/verifier/{name}/p99_s": float(np.percentile(seconds, 99)),
            f"verifier/{name}/timeouts": float(self._failures["timeout"]),
            f"verifier/{name}/crashes": float(self._failures["crash"]),
            f"verifier/{name}/unjudged": float(self._verdicts[Verdict.UNJUDGED]),
            f"verifier/{name}/right_fraction": _share(self._verdicts[Verdict.RIGHT], judged),
        }
        metrics |= {f"verifier/{name}/{_slug(part)}_mean": float(np.mean(self._parts[part])) for part in self._parts}
        if self._compared:
            metrics[f"verifier/{name}/disagreement_fraction"] = _share(self._disagreements, self._both_judged)
        return metrics


def _slug(part: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_") or "part"


def _share(count: int, of: int) -> float:
    return count / of if of else float("nan")
