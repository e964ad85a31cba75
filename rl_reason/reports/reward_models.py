"""The report's part on reward models: a table, accuracies beside the paper's two figures, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rl_reason.reports.curves import BOTTOM, HEIGHT, RIGHT, TOP, WIDTH
from rl_reason.reports.read import Run, number

PAPER = (("classic, Kimi k1.5", 84.4), ("chain of thought, Kimi k1.5", 98.5))
"""Spot-check accuracy in per cent (arXiv 2501.12599 §2.3.5), on the authors' own data: for orientation only."""
_BAR, _GAP, _NAMES = 18, 12, 120
_SIDE = 56

Measured = Mapping[str, Any]


def reward_model_section(run: Run) -> str:
    """One block a stage that measured reward models; empty without any."""
    return "".join(
        f"<h2>Reward models in {escape(stage.label)}</h2>{table(stage.reward_models)}"
        f'<div class="charts">{accuracy_figure(stage.reward_models)}{calibration_figure(stage.reward_models)}</div>'
        for stage in run.stages
        if stage.reward_models
    )


def table(models: Sequence[Measured]) -> str:
    """All figures; the paper's below."""
    head = ("model", "kind", "accuracy", "interval", "false right", "false wrong", "unjudged", "AUC", "calib. error")
    rows = [_row(model) for model in models]
    rows += [(escape(name), "", f"{value:.1f}%", *[""] * (len(head) - 3)) for name, value in PAPER]
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f'<div class="card scroll"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def accuracy_figure(models: Sequence[Measured]) -> str:
    """Horizontal bars with intervals, from 0 to 100%, and the paper's figures as lines."""
    bars = [(str(model.get("name", "?")), *_three(model, "accuracy")) for model in models]
    bottom = TOP + 14 + len(bars) * (_BAR + _GAP)
    parts = [
        f'<line class="grid" x1="{_x(tick):.1f}" x2="{_x(tick):.1f}" y1="{TOP}" y2="{bottom}"/>'
        f'<text x="{_x(tick):.1f}" y="{bottom + 15}" text-anchor="middle">{tick}</text>'
        for tick in range(0, 101, 25)
    ]
    for index, (name, value, low, high) in enumerate(bars):
        y = TOP + 14 + index * (_BAR + _GAP)
        middle = y + _BAR / 2
        parts.append(f'<text x="{_NAMES - 7}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        if value is None:
            parts.append(f'<text x="{_NAMES + 4}" y="{middle + 4:.1f}">nothing judged</text>')
            continue
        parts.append(
            f'<rect class="dot s{index % 5}" x="{_NAMES}" y="{y}" width="{_x(value) - _NAMES:.1f}" height="{_BAR}"/>'
        )
        if low is not None and high is not None:
            parts.append(f'<line class="axis" x1="{_x(low):.1f}" x2="{_x(high):.1f}" y1="{middle}" y2="{middle}"/>')
    for index, (name, value) in enumerate(PAPER):
        parts.append(f'<line class="cursor" x1="{_x(value):.1f}" x2="{_x(value):.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(
            f'<text x="{_x(value) - 4:.1f}" y="{bottom + 30 + 13 * index}" text-anchor="end">'
            f"{value} {escape(name)}</text>"
        )
    return _figure("Accuracy on labelled responses, %", "".join(parts), height=bottom + 48)


def calibration_figure(models: Sequence[Measured]) -> str:
    """Share of right responses by the probability that the model gave them; empty where no model gives any."""
    curves = [(index, str(model.get("name", "?")), _bins(model)) for index, model in enumerate(models) if _bins(model)]
    if not curves:
        return ""
    low, high = HEIGHT - BOTTOM, TOP

    def at(x: float, y: float) -> str:
        return f"{_SIDE + x * (WIDTH - RIGHT - _SIDE):.1f},{low + y * (high - low):.1f}"

    parts = [f'<polyline class="cursor" fill="none" points="{at(0, 0)} {at(1, 1)}"/>']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        (x, _), (_, y) = at(tick, 0).split(","), at(0, tick).split(",")
        parts.append(f'<line class="grid" x1="{_SIDE}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_SIDE - 7}" y="{float(y) + 3.5:.1f}" text-anchor="end">{100 * tick:g}</text>')
        parts.append(f'<text x="{x}" y="{low + 16}" text-anchor="middle">{100 * tick:g}</text>')
    middle = (_SIDE + WIDTH) / 2
    parts.append(f'<text class="name" x="{middle:.0f}" y="{HEIGHT - 4}" text-anchor="middle">given, %</text>')
    for index, _, bins in curves:
        points = [at(x, y) for x, y, _ in bins]
        parts.append(f'<polyline class="line s{index % 5}" points="{" ".join(points)}"/>')
        for point, (_, _, count) in zip(points, bins, strict=True):
            x, y = point.split(",")
            title = f"<title>{count:,} responses</title>"
            parts.append(f'<circle class="dot s{index % 5}" cx="{x}" cy="{y}" r="3">{title}</circle>')
    legend = "".join(
        f'<span class="legend"><i class="s{index % 5}"></i>{escape(name)}</span>' for index, name, _ in curves
    )
    return _figure("Right responses by given probability, %", "".join(parts), height=HEIGHT, legend=legend)


def _row(model: Measured) -> tuple[str, ...]:
    value, low, high = _three(model, "accuracy")
    reasons = model.get("unjudged")
    why = ", ".join(f"{count} {name}" for name, count in reasons.items()) if isinstance(reasons, dict) else ""
    total, judged = number(model.get("responses")) or 0, number(model.get("judged")) or 0
    found = model.get("calibration")
    calibration: Mapping[str, Any] = found if isinstance(found, dict) else {}
    return (
        escape(str(model.get("name", "?"))),
        escape(str(model.get("kind", ""))),
        _percent(value),
        f"{low:.1f} to {high:.1f}" if low is not None and high is not None else "",
        _percent(_three(model, "false_positives")[0]),
        _percent(_three(model, "false_negatives")[0]),
        escape(f"{total - judged:,.0f} of {total:,.0f}" + (f" ({why})" if why else "")),
        _decimal(calibration.get("auc")),
        _decimal(calibration.get("expected_error")),
    )


def _three(model: Measured, key: str) -> tuple[float | None, float | None, float | None]:
    """(value, low, high) in per cent."""
    found = model.get(key)
    if not isinstance(found, dict):
        return None, None, None
    value, low, high = (
        None if each is None else 100 * each for each in (number(found.get(name)) for name in ("value", "low", "high"))
    )
    return value, low, high


def _bins(model: Measured) -> list[tuple[float, float, int]]:
    """(mean probability, share right, responses) of each bin."""
    found = model.get("calibration")
    bins = found.get("bins") if isinstance(found, dict) else None
    return [(each["probability"], each["right"], each["responses"]) for each in bins or ()]


def _x(percent: float) -> float:
    return _NAMES + percent / 100 * (WIDTH - RIGHT - _NAMES - 12)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}%"


def _decimal(value: Any) -> str:
    found = number(value)
    return "" if found is None else f"{found:.3f}"


def _figure(title: str, drawing: str, *, height: float, legend: str = "") -> str:
    label = escape(title, quote=True)
    svg = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{label}">{drawing}</svg>'
    return f'<figure class="card"><figcaption><h3>{escape(title)}</h3>{legend}</figcaption>{svg}</figure>'
