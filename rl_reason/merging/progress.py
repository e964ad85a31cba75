"""A progress bar for a merge: bytes, rate and time left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rl_reason.merging.plan import Plan
from rl_reason.merging.writer import nbytes

_APPEARS_AFTER_S = 0.5
"""A merge of a small model is over by then, and what draws bars takes a tenth of that to import."""
_DRAWN_EVERY_S = 0.1


@contextmanager
def shown(plan: Plan) -> Iterator[Callable[[int], None]]:
    """Yields what `run.merge` tells of its progress, on the terminal's error stream."""
    bar = _Bar(total_bytes(plan))
    try:
        yield bar.add
    finally:
        bar.close()


class _Bar:
    """Appears late, and is moved a few times a second however often it is told something."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._lock = threading.Lock()
        self._next = time.monotonic() + _APPEARS_AFTER_S
        self._progress: Any = None

    def add(self, count: int) -> None:
        """Bytes more. From any thread."""
        with self._lock:
            self._done += count
            if time.monotonic() >= self._next:
                self._draw()
                self._next = time.monotonic() + _DRAWN_EVERY_S

    def close(self) -> None:
        """Leave the bar where the merge stopped."""
        with self._lock:
            if self._progress is not None:
                self._draw()
                self._progress.stop()

    def _draw(self) -> None:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            columns = (
                TextColumn("merging"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
            )  # fmt: skip
            self._progress = Progress(*columns, console=Console(stderr=True), refresh_per_second=4)
            self._progress.add_task("", total=self._total)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=self._done)


def total_bytes(plan: Plan) -> int:
    """Of the merged model's weights."""
    return sum(nbytes(output) for output in plan.outputs)


def summary(plan: Plan) -> str:
    """`111 tensors, 0.44 GB, of base, first`."""
    sources = ", ".join(str(one.folder) for one in plan.checkpoints)
    return f"{len(plan.outputs)} tensors, {total_bytes(plan) / 1e9:.2f} GB, of {sources}"
