"""The report's first lines: what the run achieved, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rl_reason.reports.read import Evaluation, Run, StageSummary, number

_OF_VERIFIER = "eval/verifier/"


def headline_rows(stages: Sequence[StageSummary]) -> list[dict[str, str]]:
    """One row a stage, cells as plain text (empty where unknown): also what the pipeline prints at its end.

    `accuracy` is held-out accuracy, `held-out` problems x samples a problem, `tokens each` the mean held-out response.
    """
    rows: list[dict[str, str]] = []
    under_way = any(not stage.finished for stage in stages)
    before: Evaluation | None = None
    for stage in stages:
        now = stage.evaluation
        rows.append(
            {
                "stage": stage.label,
                "state": ("finished" if stage.finished else "under way") if under_way else "",
                "iterations": f"{stage.iterations:,}",
                "accuracy": accuracy_text(now),
                "95% interval": interval_text(now),
                "change": change_text(before, now),
                "held-out": f"{now.problems} x {now.samples}" if now and now.problems and now.samples else "",
                "tokens each": f"{now.tokens_mean:.0f}" if now and now.tokens_mean is not None else "",
                "tokens in all": f"{stage.rollout_tokens:,.0f}" if stage.rollout_tokens else "",
                "time": f"{stage.seconds:,.0f} s" if stage.seconds is not None else "",
            }
        )
        before = now or before
    return rows


def headline_table(run: Run) -> str:
    """The rows above as HTML, columns without content left out."""
    rows = headline_rows(run.stages)
    columns = [name for name in rows[0] if any(row[name] for row in rows)] if rows else []
    if not columns:
        return '<p class="soft">No stage has begun.</p>'
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(_cell(name, row[name]) for name in columns) + "</tr>" for row in rows)
    return f'<div class="card scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def verifier_table(run: Run) -> str:
    """What each verifier and each part of its score came to on the held-out problems, a row a stage; empty without."""
    found = {
        stage.label: {
            metric.removeprefix(_OF_VERIFIER): value
            for metric, value in next(
                (row for row in reversed(run.rows.get(stage.label, ())) if _has_verifiers(row)), {}
            ).items()
            if metric.startswith(_OF_VERIFIER)
        }
        for stage in run.stages
    }
    columns = sorted({column for figures in found.values() for column in figures})
    if not columns:
        return ""
    head = "".join(f"<th>{escape(_heading(column))}</th>" for column in ("stage", *columns))
    body = "".join(
        f"<tr><td>{escape(label)}</td>"
        + "".join(f"<td>{escape(_figure(column, figures.get(column)))}</td>" for column in columns)
        + "</tr>"
        for label, figures in found.items()
        if figures
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<h2>Verifiers on the held-out problems</h2><div class="card scroll">{table}</div>'


def tiles(run: Run) -> str:
    """The few numbers to see first: accuracy before and after, response length, tokens, time."""
    found: list[tuple[str, str]] = []
    evaluated = [(stage.label, stage.evaluation) for stage in run.stages if stage.evaluation is not None]
    if evaluated:
        (first, before), (last, now) = evaluated[0], evaluated[-1]
        found.append((accuracy_text(now), f"held-out accuracy after {last}"))
        if first != last:
            found.append((change_text(before, now), f"against {first}"))
        if now.tokens_mean is not None:
            found.append((f"{now.tokens_mean:.0f}", "tokens a held-out response"))
    tokens = sum(stage.rollout_tokens or 0 for stage in run.stages)
    if tokens:
        found.append((f"{tokens / 1e6:.2f} M", "tokens rolled out"))
    seconds = sum(stage.seconds or 0 for stage in run.stages)
    if seconds:
        found.append((f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h", "in all stages"))
    cells = (f'<div class="card tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in found)
    return f'<div class="tiles">{"".join(cells)}</div>' if found else ""


def accuracy_text(evaluation: Evaluation | None) -> str:
    """`77.3%`, with `so far` when the stage is still under way."""
    if evaluation is None:
        return ""
    return f"{100 * evaluation.accuracy:.1f}%" + (" so far" if evaluation.so_far else "")


def interval_text(evaluation: Evaluation | None) -> str:
    """`75.1 to 79.4`."""
    if evaluation is None or evaluation.low is None or evaluation.high is None:
        return ""
    return f"{100 * evaluation.low:.1f} to {100 * evaluation.high:.1f}"


def change_text(before: Evaluation | None, now: Evaluation | None) -> str:
    """Percentage points since the evaluation before: `+29.2 points`."""
    if before is None or now is None:
        return ""
    return f"{100 * (now.accuracy - before.accuracy):+.1f} points"


def _has_verifiers(row: Mapping[str, Any]) -> bool:
    return any(metric.startswith(_OF_VERIFIER) for metric in row)


def _heading(column: str) -> str:
    name, _, figure = column.rpartition("/")
    figure = "right" if figure == "right_fraction" else figure.removesuffix("_mean").replace("_", " ")
    return f"{name}: {figure}" if name and name != figure else figure


def _figure(column: str, value: Any) -> str:
    known = number(value)
    if known is None:
        return ""
    return f"{100 * known:.1f}%" if column.endswith("/right_fraction") else f"{known:.3g}"


def _cell(column: str, text: str) -> str:
    colour = ""
    if column == "change" and text:
        colour = ' class="up"' if text.startswith("+") else ' class="down"'
    return f"<td{colour}>{escape(text)}</td>"
