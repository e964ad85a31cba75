"""The report: one self-contained HTML page about a run, finished or under way."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rl_reason.reports.curves import CHARTS, Drawing, draw, verifier_charts
from rl_reason.reports.evolution import evolution_section
from rl_reason.reports.funnel import funnel_section
from rl_reason.reports.headline import headline_table, tiles, verifier_table
from rl_reason.reports.read import Run, read_run
from rl_reason.reports.responses import Responses, choose
from rl_reason.reports.reward_models import reward_model_section
from rl_reason.tracking.atomic import write_text_atomic

_ASSETS = Path(__file__).parent / "assets"
MAX_RESPONSES = 2_000
MAX_RESPONSE_CHARS = 12_000_000


def write_report(run_dir: Path, *, max_responses: int = MAX_RESPONSES) -> Path:
    """Write `report.html` into a run folder and return its path.

    Raises:
        DataError: not a run folder.
        CheckpointError: the disk is full.
    """
    run = read_run(run_dir)
    responses = choose(run.folder.trajectories, limit=max_responses, limit_chars=MAX_RESPONSE_CHARS)
    # Text from outside may hold halves of characters, which cannot be written.
    write_text_atomic(run.folder.report, render(run, responses).encode("utf-8", "replace").decode())
    return run.folder.report


def render(run: Run, responses: Responses) -> str:
    """The whole page. Model text is only in a JSON block that is no script and is shown with textContent;
    a content security policy lets no script run but our own, named by its hash, and nothing be fetched.
    """
    style = (_ASSETS / "page.css").read_text(encoding="utf-8")
    script = (_ASSETS / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    name = escape(run.folder.path.resolve().name)
    charts, hover = _charts(run)
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{name} · rl-reason</title>\n<style>{style}</style></head>\n<body><main>",
            f'<h1>{name}</h1><p class="sub">{_subtitle(run)}</p>',
            tiles(run),
            headline_table(run),
            verifier_table(run),
            _notes([*run.notes, *responses.notes]),
            funnel_section(run),
            evolution_section(run),
            reward_model_section(run),
            charts,
            _browser(responses),
            _records(run),
            "</main>\n",
            _json_block("chart-data", hover),
            _json_block("response-data", _embed(responses.rows)),
            f"<script>{script}</script></body></html>\n",
        ]
    )


def json_for_html(value: Any) -> str:
    """JSON in which no text can end a script element or begin markup: `<`, `>`, `&`, U+2028 and U+2029 escaped.

    Numbers that are not finite become null: a browser's parser knows none.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json_block(identity: str, value: Any) -> str:
    return f'<script type="application/json" id="{identity}">{json_for_html(value)}</script>\n'


def _subtitle(run: Run) -> str:
    listed = run.provenance.get("starts")
    starts = [start for start in listed if isinstance(start, dict)] if isinstance(listed, list) else []
    facts = [f"{len(run.stages)} stage{'' if len(run.stages) == 1 else 's'}"]
    running = [stage.label for stage in run.stages if not stage.finished]
    facts.append(f"not finished: {', '.join(running)}" if running else "all finished")
    if starts:
        facts.append(f"started {starts[0].get('at', '?')} on {starts[0].get('host', '?')}")
        if len(starts) > 1:
            facts.append("resumed once" if len(starts) == 2 else f"resumed {len(starts) - 1} times")
    return escape(" · ".join(facts))


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return f'<div class="card notes"><b>Left out</b><br>{"<br>".join(escape(note) for note in notes)}</div>'


def _charts(run: Run) -> tuple[str, dict[str, Any]]:
    """A section of charts for each stage that has curves, and the script's data by figure id."""
    sections: list[str] = []
    hover: dict[str, Any] = {}
    evaluations = {stage.label for stage in run.stages if stage.kind == "eval"}
    for label, rows in run.rows.items():
        if label in evaluations:  # sampled and greedy are two results, not a course
            continue
        figures: list[str] = []
        for position, chart in enumerate((*CHARTS, *verifier_charts(rows))):
            drawing = draw(chart, rows)
            if drawing is None:
                continue
            identity = f"chart-{len(sections)}-{position}"
            hover[identity] = drawing.hover
            heading = f"<h3>{escape(chart.title)}</h3>{_legend(drawing)}"
            figures.append(
                f'<figure class="card" id="{identity}"><figcaption>{heading}</figcaption>{drawing.svg}</figure>'
            )
        if figures:
            sections.append(f'<h2>Curves of {escape(label)}</h2><div class="charts">{"".join(figures)}</div>')
    return "".join(sections), hover


def _legend(drawing: Drawing) -> str:
    labels = [series["label"] for series in drawing.hover["series"]]
    if len(labels) == 1:
        return ""
    return "".join(f'<span class="legend"><i class="s{k}"></i>{escape(label)}</span>' for k, label in enumerate(labels))


def _embed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The browser's data; each prompt's text once."""
    prompts: dict[tuple[str, str, str], int] = {}
    embedded: list[dict[str, Any]] = []
    for row in rows:
        prompt = prompts.setdefault((row["prompt_id"], row["prompt"], row["answer"]), len(prompts))
        same = (
            "stage",
            "iteration",
            "index",
            "response",
            "tokens",
            "verdict",
            "reward",
            "parts",
            "reason",
            "advantage",
        )
        embedded.append(
            {name: row[name] for name in same}
            | {
                "prompt": prompt,
                "stop": row["stop_reason"],
                "version": row["policy_version"],
                "logprob": row["logprob_mean"],
            }
        )
    return {"prompts": [[text, answer] for _, text, answer in prompts], "rows": embedded}


def _browser(responses: Responses) -> str:
    shown, kept = len(responses.rows), responses.kept_in_run
    if not shown:
        return '<h2>Responses</h2><p class="soft">No response has been kept (yet).</p>'
    left_out = (
        f" {kept - shown:,} more are in the run folder's trajectories/ and left out of this page."
        if kept > shown
        else ""
    )
    verdicts = "".join(f'<option value="{name}">{name}</option>' for name in ("right", "wrong", "unjudged"))
    return (
        f'<h2>Responses</h2><p class="sub">{shown:,} sampled responses.{left_out}</p><div class="card">'
        '<div class="filters"><select id="browse-stage" aria-label="Stage"></select>'
        '<select id="browse-iteration" aria-label="Iteration"></select>'
        f'<select id="browse-verdict" aria-label="Verdict"><option value="">every verdict</option>{verdicts}</select>'
        '<select id="browse-order" aria-label="Order"><option value="">in order</option>'
        '<option value="latest">latest first</option><option value="longest">longest first</option></select>'
        '<input id="browse-search" type="search" placeholder="search in prompts, answers, responses"></div>'
        '<div class="browser"><div class="list" id="browse-list"></div>'
        '<div class="detail" id="browse-detail"></div></div>'
        '<div class="pages"><button id="browse-back">Previous</button><span id="browse-count"></span>'
        '<button id="browse-on">Next</button></div></div>'
    )


def _records(run: Run) -> str:
    provenance = json.dumps(run.provenance, indent=2, ensure_ascii=False)
    parts = [("Recipe, as resolved", run.recipe), ("Provenance", provenance if run.provenance else "")]
    return "".join(
        f'<details class="card"><summary>{title}</summary><pre>{escape(text)}</pre></details>'
        for title, text in parts
        if text
    )
