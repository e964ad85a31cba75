"""One tracker made of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from rl_reason.protocols import Tracker
from rl_reason.types import Group


class FanOutTracker:
    """Passes everything on to each tracker in turn. Put the durable one first: a fault stops the later ones."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    def log(self, metrics: Mapping[str, Any]) -> None:
        """To each tracker, in order."""
        for tracker in self._trackers:
            tracker.log(metrics)

    def log_groups(self, iteration: int, groups: Sequence[Group], advantages: Sequence[Sequence[float]]) -> None:
        """To each tracker, in order."""
        for tracker in self._trackers:
            tracker.log_groups(iteration, groups, advantages)

    def close(self) -> None:
        """Close all of them, last first, even when one fails; then its error is raised."""
        with ExitStack() as stack:
            for tracker in self._trackers:
                stack.callback(tracker.close)
