"""Live progress on a terminal, one plain line an iteration elsewhere, and the pipeline's closing table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from rl_reason.types import Group

_FIELDS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("reward/mean", "reward", lambda x: f"{x:.3f}"),
    ("learner/loss", "loss", lambda x: f"{x:.4f}"),
    ("accuracy/train", "acc", lambda x: f"{100 * x:.1f}%"),
    ("accuracy/eval", "eval", lambda x: f"{100 * x:.1f}%"),
    ("accuracy/eval_greedy", "greedy", lambda x: f"{100 * x:.1f}%"),
    ("evolution/best_so_far", "best", lambda x: f"{100 * x:.1f}%"),
    ("response/tokens_mean", "len", lambda x: f"{x:.0f}"),
    ("throughput/rollout_tokens_per_s", "tok/s", lambda x: short_count(x)),
    ("policy/logprob_gap_max", "gap", lambda x: f"{x:.0e}"),
)
"""Metric, label, format: shown in this order, each when its stage has it."""
_WITH_REWARD_LEFT_OUT = "learner/loss"
"""In RL the loss says nothing that reward does not; the line is short."""


_WIDTH_OF_FILES = 200
"""A log has room for a table's natural width; only a terminal must squeeze it."""


class Console:
    """Progress of one stage at a time; also a `protocols.Tracker`, so that it can be one of a `FanOutTracker`."""

    def __init__(self, out: RichConsole | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`out` defaults to standard output; whether it is a terminal decides between the two ways of showing."""
        self._out = out or RichConsole(highlight=False)
        if out is None and not self._out.is_terminal:
            self._out.width = _WIDTH_OF_FILES
        self._clock = clock
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._name = ""
        self._total = self._start = self._done = 0
        self._begun = 0.0
        self._shown: dict[str, float] = {}

    def start_stage(self, name: str, total: int, *, start: int = 0) -> None:
        """Begin to show a stage of `total` iterations, `start` of which an earlier process has done."""
        self.end()
        self._name, self._total, self._start, self._done = name, total, start, start
        self._begun = self._clock()
        self._shown = {}
        if start:
            self._out.print(f"{name}: continuing after {start} of {total} iterations", markup=False)
        if self._out.is_terminal:
            self._progress = Progress(
                TextColumn("[bold]{task.description}", markup=True),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[line]}", markup=False),
                console=self._out,
                refresh_per_second=2,
            )
            self._task = self._progress.add_task(name, total=total, completed=start, line="")
            self._progress.start()

    def update(self, metrics: Mapping[str, Any]) -> None:
        """Show one finished iteration. Values that only come now and then (evaluations) stay until the next."""
        self._done = int(metrics["iteration"]) + 1
        for name, _, _ in _FIELDS:
            value = metrics.get(name)
            if isinstance(value, int | float) and math.isfinite(value):
                self._shown[name] = float(value)
        line = self._line()
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done, line=line)
        else:
            width = len(str(self._total))
            self._out.print(f"{self._name} {self._done:>{width}}/{self._total}  {line}", markup=False, soft_wrap=True)

    def end(self) -> None:
        """Leave the stage's last state standing; safe to call twice."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = self._task = None

    def say(self, message: str) -> None:
        """Print a line above the progress display. Plain text: nothing in it is taken as markup."""
        self._out.print(message, markup=False, soft_wrap=True)

    def table(self, rows: Sequence[Mapping[str, str]], *, title: str = "") -> None:
        """Print rows as a table; columns are the keys in order of first appearance, missing cells stay empty."""
        self._out.print(render_table(rows, title=title))

    def log(self, metrics: Mapping[str, Any]) -> None:
        """`Tracker.log`: the same as `update`."""
        self.update(metrics)

    def log_groups(self, iteration: int, groups: Sequence[Group], advantages: Sequence[Sequence[float]]) -> None:
        """`Tracker.log_groups`: responses are not shown here."""

    def close(self) -> None:
        """`Tracker.close`: the same as `end`."""
        self.end()

    def _line(self) -> str:
        hidden = {_WITH_REWARD_LEFT_OUT} if "reward/mean" in self._shown else set[str]()
        parts = [
            f"{label} {form(self._shown[name])}" for name, label, form in _FIELDS if name in self._shown.keys() - hidden
        ]
        if self._done < self._total and self._done > self._start:
            seconds_each = (self._clock() - self._begun) / (self._done - self._start)
            parts.append(f"eta {short_time(seconds_each * (self._total - self._done))}")
        elif self._done >= self._total:
            parts.append(f"took {short_time(self._clock() - self._begun)}")
        return "  ".join(parts)


def render_table(rows: Sequence[Mapping[str, str]], *, title: str = "") -> Table:
    """A rich table; the first column is left-aligned, the others right. Cells are plain text, never markup."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for position, name in enumerate(columns):
        table.add_column(Text(name), justify="left" if position == 0 else "right", no_wrap=position == 0)
    for row in rows:
        table.add_row(*(Text(row.get(name, "")) for name in columns))
    return table


def short_count(value: float) -> str:
    """950 -> `950`, 12345 -> `12.3k`, 2500000 -> `2.5M`."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}{suffix}"
    return f"{value:.0f}"


def short_time(seconds: float) -> str:
    """5 -> `5s`, 92 -> `1m32s`, 7325 -> `2h02m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
