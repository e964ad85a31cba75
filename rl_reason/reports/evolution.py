"""The report's part on evolutionary search: the winning recipe, its test, and the trade-offs that were met."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from rl_reason.reports.read import Run, number

_MOST_ROWS = 20


def evolution_section(run: Run) -> str:
    """One card a stage that searched; empty without any."""
    return "".join(
        f"<h2>Merge found in {escape(stage.label)}</h2>{evolution_card(stage.evolution)}"
        for stage in run.stages
        if stage.evolution
    )


def evolution_card(found: Mapping[str, Any]) -> str:
    """The winner as text, beside what it came to."""
    tested = found.get("test")
    facts = [
        ("test accuracy", _percent(tested.get("accuracy") if isinstance(tested, dict) else None)),
        ("test problems", _plain(found.get("test_problems"))),
        ("accuracy it was chosen by", _percent(found.get("chosen_by"))),
        ("evaluations", _plain(found.get("evaluations"))),
        ("candidates that failed", _plain(found.get("failed"))),
    ]
    alone = found.get("sources")
    facts += [
        (f"{escape(str(one.get('model', '')))} alone", _percent(one.get("accuracy")))
        for one in (alone if isinstance(alone, list) else [])
        if isinstance(one, dict)
    ]
    rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in facts)
    kept = found.get("best_source")
    if kept:
        rows += f"<tr><td>no merge was as good as</td><td>{escape(str(kept))}</td></tr>"
    front = found.get("front")
    points = [one for one in front if isinstance(one, dict)] if isinstance(front, list) else []
    trade = "".join(
        f"<tr><td>{_percent(one.get('accuracy'))}</td><td>{_plain(one.get('tokens_mean'))}</td></tr>"
        for one in points[:_MOST_ROWS]
    )
    table = f"<table><tr><th>accuracy</th><th>tokens</th></tr>{trade}</table>" if len(points) > 1 else ""
    winner = escape(str(found.get("winner", "")))
    return f'<div class="card"><table>{rows}</table>{table}<pre>{winner}</pre></div>'


def _percent(value: Any) -> str:
    known = number(value)
    return "not known" if known is None else f"{known:.1%}"


def _plain(value: Any) -> str:
    known = number(value)
    return "not known" if known is None else f"{known:,.4g}"
