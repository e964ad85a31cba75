"""The report's part on test-case generation: how many problems are left after each step, beside the paper's counts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from rl_reason.reports.read import Run

PAPER: Mapping[str, int] = {
    "problems": 1000,
    "without special judge": 614,
    "with enough valid cases": 463,
    "kept": 323,
}
"""Kimi k1.5's funnel (arXiv 2501.12599 §2.3.5), of 1,000 online-contest problems."""
_NAMES, _WIDE, _ROW, _BAR = 170, 520, 26, 18


def funnel_section(run: Run) -> str:
    """One figure a stage that generated tests; empty without any."""
    return "".join(
        f"<h2>Test cases in {escape(stage.label)}</h2>{funnel_figure(stage.funnel)}"
        for stage in run.stages
        if stage.funnel
    )


def funnel_figure(counts: Mapping[str, float]) -> str:
    """Horizontal bars, in the funnel's order; a tick on each where the paper's share lies."""
    most = max(next(iter(counts.values())), 1)
    parts: list[str] = []
    for index, (name, count) in enumerate(counts.items()):
        y = 6 + index * _ROW
        middle = y + _BAR / 2
        width = (_WIDE - _NAMES) * count / most
        parts.append(f'<text x="{_NAMES - 7}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="dot s0" x="{_NAMES}" y="{y}" width="{width:.1f}" height="{_BAR}"/>')
        share = f"{count:,.0f} ({count / most:.0%})"
        if name in PAPER:
            share += f"; paper {PAPER[name] / PAPER['problems']:.0%}"
            x = _NAMES + (_WIDE - _NAMES) * PAPER[name] / PAPER["problems"]
            parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 2}" y2="{y + _BAR + 2}"/>')
        parts.append(f'<text x="{_WIDE + 8}" y="{middle + 4:.1f}">{share}</text>')
    height = 12 + len(counts) * _ROW
    return (
        f'<div class="card"><svg viewBox="0 0 {_WIDE + 170} {height}" role="img" '
        f'aria-label="problems left after each step">{"".join(parts)}</svg></div>'
    )
