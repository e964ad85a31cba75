"""A progress bar for a merge: bytes, rate and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from rl_reason.merging.plan import Plan
from rl_reason.merging.writer import nbytes


@contextmanager
def shown(plan: Plan) -> Iterator[Callable[[int], None]]:
    """Yields what `run.merge` tells of its progress, on the terminal's error stream."""
    columns = (TextColumn("merging"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as progress:
        task = progress.add_task("", total=total_bytes(plan))
        yield lambda count: progress.advance(task, count)


def total_bytes(plan: Plan) -> int:
    """Of the merged model's weights."""
    return sum(nbytes(output) for output in plan.outputs)


def summary(plan: Plan) -> str:
    """`111 tensors, 0.44 GB, of base, first`."""
    sources = ", ".join(str(one.folder) for one in plan.checkpoints)
    return f"{len(plan.outputs)} tensors, {total_bytes(plan) / 1e9:.2f} GB, of {sources}"
