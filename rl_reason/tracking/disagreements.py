"""The tracker of what two verifiers make of one answer: disagreements.jsonl, a line for each response in dispute.

A line has `iteration stage prompt_id index prompt answer response` and `verifiers`: the first verifier's and each
contradicting one's `verdict`, `reward` and `reason`, by name.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_reason.tracking.jsonl import append, forget, repair
from rl_reason.types import Group, Score, Trajectory

log = logging.getLogger(__name__)

MAX_LINES = 100
"""Of an iteration; the first ones are kept."""
MAX_BYTES = 64 * 2**20
"""The file takes no more lines when it is so large."""


class DisagreementTracker:
    """Appends to `disagreements.jsonl` (a `protocols.Tracker`); lines are on disk when `log_groups` returns.

    Args:
        path: the file; made when there is something to write.
        stage: label of its lines (`02-rl`).
        compared: names of the verifiers whose verdicts are held against the first one's.
    """

    def __init__(self, path: Path, *, stage: str, compared: Collection[str]) -> None:
        self._path = path
        self._stage = stage
        self._compared = frozenset(compared)
        repair(path)

    def log(self, metrics: Mapping[str, Any]) -> None:
        """The share of disagreements is among the metrics already."""

    def log_groups(self, iteration: int, groups: Sequence[Group], advantages: Sequence[Sequence[float]]) -> None:
        """Keep an iteration's disagreements.

        Raises:
            CheckpointError: the disk is full.
        """
        rows = [row for group in groups for row in self._rows(group)][:MAX_LINES]
        if not rows:
            return
        lines = "".join(json.dumps({"iteration": iteration, "stage": self._stage} | row) + "\n" for row in rows)
        size = self._path.stat().st_size if self._path.exists() else 0
        if size + len(lines) > MAX_BYTES:
            log.warning("%s is full: %d disagreements of iteration %d left out", self._path, len(rows), iteration)
            return
        append(self._path, lines)

    def rewind(self, start: int) -> None:
        """Forget this stage's iterations `start` and later: they will be run again.

        Raises:
            CheckpointError: a line in the middle of the file is damaged; the message names it.
        """
        forget(self._path, self._stage, start)

    def close(self) -> None:
        """Nothing is buffered."""

    def _rows(self, group: Group) -> Iterator[dict[str, Any]]:
        for trajectory, score in zip(group.trajectories, group.scores, strict=True):
            of_all = list(score.judgements.items())
            against = [(name, own) for name, own in of_all if name in self._compared and own.contradicts(of_all[0][1])]
            if against:
                yield _row(trajectory, [of_all[0], *against])


def _row(trajectory: Trajectory, judgements: Sequence[tuple[str, Score]]) -> dict[str, Any]:
    prompt = trajectory.prompt
    return {
        "prompt_id": prompt.id,
        "index": trajectory.index,
        "prompt": prompt.text,
        "answer": prompt.answer,
        "response": trajectory.text,
        "verifiers": {
            name: {"verdict": score.verdict.value, "reward": score.reward, "reason": score.reason}
            for name, score in judgements
        },
    }
