"""The tracker that is always on: metrics.jsonl, one durable line an iteration, and the sampled responses."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from rl_reason.errors import CheckpointError
from rl_reason.tracking import trajectories
from rl_reason.tracking.atomic import full_disk_named, sweep, write_bytes_atomic
from rl_reason.types import Group

log = logging.getLogger(__name__)


class JsonlTracker:
    """Appends to `metrics.jsonl` and writes `trajectories/<stage>-<iteration>.parquet` (a `protocols.Tracker`).

    A line is on disk when `log` returns. Numbers that are not finite are written as null. Two runs of the same
    recipe and seed differ only in what `metric_names.depends_on_clock`.
    """

    def __init__(
        self, metrics: Path, trajectory_folder: Path, *, stage: str, every: int = 1, responses: int = 64
    ) -> None:
        """`stage` labels lines and files (`02-rl`), whatever the logged `stage` says: two stages may be of one kind.

        `every`: keep responses of each iteration divisible by it; 0 keeps none.
        `responses`: keep the first whole groups of such an iteration that hold no more than so many; at least one.
        """
        self._metrics = metrics
        self._folder = trajectory_folder
        self._stage = stage
        self._every = every
        self._responses = responses
        trajectory_folder.mkdir(parents=True, exist_ok=True)
        repair(metrics)

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Append one line and wait until it is on disk.

        Raises:
            CheckpointError: the disk is full.
        """
        ordered = {"iteration": metrics["iteration"], "stage": self._stage} | {
            name: _plain(metrics[name]) for name in sorted(metrics) if name not in ("iteration", "stage")
        }
        append(self._metrics, json.dumps(ordered, allow_nan=False) + "\n")

    def log_groups(self, iteration: int, groups: Sequence[Group], advantages: Sequence[Sequence[float]]) -> None:
        """Keep the iteration's responses, when it is one of those to keep.

        Raises:
            CheckpointError: the disk is full.
        """
        if self._every == 0 or iteration % self._every != 0 or not groups:
            return
        path = trajectories.file_of(self._folder, self._stage, iteration)
        held = accumulate(len(group.trajectories) for group in groups)
        kept = max(1, sum(total <= self._responses for total in held))
        trajectories.write(path, iteration, groups[:kept], advantages[:kept])

    def rewind(self, start: int) -> None:
        """Forget this stage's iterations `start` and later: they will be run again. Call before a stage (re)starts.

        `start` is the count of finished iterations in the checkpoint (0 for a new stage). Other stages are untouched.

        Raises:
            CheckpointError: a line in the middle of the file is damaged; the message names it.
        """
        forget(self._metrics, self._stage, start)
        sweep(self._folder)
        for path in self._folder.iterdir():
            parsed = trajectories.parse_name(path)
            if parsed is not None and parsed[0] == self._stage and parsed[1] >= start:
                path.unlink()

    def close(self) -> None:
        """Nothing is buffered."""


def append(path: Path, lines: str) -> None:
    """Add whole lines to a JSON-lines file; they are on disk on return.

    Raises:
        CheckpointError: the disk is full.
    """
    with full_disk_named(str(path), path.parent), path.open("ab") as file:
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


def forget(path: Path, stage: str, start: int) -> None:
    """Drop a stage's lines of iterations `start` and later; other stages are untouched.

    Raises:
        CheckpointError: a line in the middle of the file is damaged; the message names it.
    """
    if not path.exists():
        return
    content = path.read_bytes()
    kept: list[bytes] = []
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise CheckpointError(
                f"{path}:{number} is not JSON ({error}): the file was damaged from outside. Delete that line."
            ) from error
        if row["stage"] != stage or row["iteration"] < start:
            kept.append(line)
    if len(joined := b"".join(kept)) != len(content):
        write_bytes_atomic(path, joined)


def repair(path: Path) -> int:
    """Drop what a killed process left torn at the end of a JSON-lines file; returns how many bytes.

    A torn write is a prefix of a line, or, after a power cut, zeros: both are last and are no JSON object.
    """
    if not path.exists():
        return 0
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    while lines and not _is_row(lines[-1]):
        lines.pop()
    kept = b"".join(lines)
    torn = len(content) - len(kept)
    if torn:
        log.warning("%s: dropped %d bytes of a line that was being written when the process died", path, torn)
        write_bytes_atomic(path, kept)
    return torn


def _is_row(line: bytes) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        row: object = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict)


def _plain(value: Any) -> Any:
    """JSON's own types: NumPy scalars become numbers, numbers that are not finite become null."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
