"""Reads a run folder for the report: recipe, metrics, stage results, sampled responses; works half-way through a run.

A stage's `result.json` may hold (all optional, others are ignored):
    kind            `sft`, `rl`, `eval`, …
    seconds         wall time of the stage, all its starts together
    iterations      iterations (sft: steps) done
    rollout_tokens  response tokens written
    train_tokens    tokens trained on
    evaluation      {accuracy, low, high: fractions, the 95% interval; problems, samples: counts (samples a problem);
                     tokens_mean; greedy: fraction; pass_at_k: fraction} of the model that the stage ends with
    evolution       of an evolve stage: winner, chosen_by, sources, best_source, test, evaluations, failed, front
    funnel          of a generate_tests stage: step -> problems left after it, in order
    reward_models   of an eval_reward_models stage: `Agreement.to_dict()` of each (`evaluation/reward_models.py`)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rl_reason.errors import CheckpointError, DataError
from rl_reason.tracking.atomic import read_json
from rl_reason.tracking.run_folder import RunFolder, StageFolder

LARGEST = 1e200
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Held-out results of one model. Fractions of 1."""

    accuracy: float
    low: float | None
    high: float | None
    problems: int | None
    samples: int | None
    tokens_mean: float | None
    so_far: bool
    """From the latest line of metrics of an unfinished stage, not from its result."""


@dataclass(frozen=True, slots=True)
class StageSummary:
    """One line of the headline table."""

    label: str
    kind: str
    finished: bool
    iterations: int
    seconds: float | None
    rollout_tokens: float | None
    evaluation: Evaluation | None
    reward_models: Sequence[Row] = ()
    """One measurement a reward model, as `evaluation/reward_models.py` writes it."""
    funnel: Row = field(default_factory=dict)
    """Step -> problems left after it, of a generate_tests stage."""
    evolution: Row = field(default_factory=dict)
    """Of an evolve stage: what its result says of the search."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run folder says, but for the responses."""

    folder: RunFolder
    recipe: str
    provenance: Mapping[str, Any]
    rows: Mapping[str, Sequence[Row]]
    """Stage label -> its lines of metrics, in order of iteration."""
    stages: Sequence[StageSummary]
    notes: Sequence[str]
    """What could not be read."""


def read_run(path: Path) -> Run:
    """Read a run folder.

    Raises:
        DataError: it is none; the message says what one looks like.
    """
    folder = RunFolder(path)
    if not (folder.resolved.is_file() or folder.metrics.is_file() or folder.stages_folder.is_dir()):
        raise DataError(
            f"{path} is not a run folder. One is written by `rl-reason run RECIPE.yaml --out DIR` and holds "
            "resolved.yaml, metrics.jsonl and stages/."
        )
    notes: list[str] = []
    rows = read_metrics(folder.metrics, notes)
    stages = [_summary(stage, rows.get(stage.label, ()), notes) for stage in folder.stages()]
    known = {stage.label for stage in stages}
    stages += [_without_folder(label, of_stage) for label, of_stage in rows.items() if label not in known]
    recipe = folder.resolved.read_text(encoding="utf-8", errors="replace") if folder.resolved.is_file() else ""
    return Run(folder, recipe, _json(folder.provenance, notes), rows, stages, notes)


def read_metrics(path: Path, notes: list[str]) -> dict[str, list[Row]]:
    """Lines by stage. A torn last line (the run may be writing it) is left out; others are named in `notes`."""
    by_stage: dict[str, list[Row]] = {}
    if not path.is_file():
        return by_stage
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip() or number == len(lines):
            continue
        try:
            row = json.loads(line)
            by_stage.setdefault(str(row["stage"]), []).append({**row, "iteration": int(row["iteration"])})
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            notes.append(f"{path.name}:{number} was left out: {type(error).__name__}: {error}")
    return {stage: sorted(rows, key=lambda row: row["iteration"]) for stage, rows in by_stage.items()}


def number(value: Any) -> float | None:
    """A finite JSON number as float; None for anything else, and for what no curve can show (beyond 1e200)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < LARGEST else None


def total(rows: Sequence[Row], name: str) -> float | None:
    """Sum of one metric over the rows that have it; None when none has."""
    values = [value for value in (number(row.get(name)) for row in rows) if value is not None]
    return sum(values) if values else None


def _summary(stage: StageFolder, rows: Sequence[Row], notes: list[str]) -> StageSummary:
    result = _json(stage.result_file, notes)
    iterations = number(result.get("iterations"))
    seconds = number(result.get("seconds"))
    tokens = number(result.get("rollout_tokens"))
    return StageSummary(
        label=stage.label,
        kind=str(result.get("kind", stage.name)),
        finished=stage.finished(),
        iterations=int(iterations) if iterations is not None else _iterations(rows),
        seconds=seconds if seconds is not None else total(rows, "time/iteration_s"),
        rollout_tokens=tokens if tokens is not None else total(rows, "response/tokens_total"),
        evaluation=_evaluation(result.get("evaluation")) or _latest_evaluation(rows),
        funnel=_counts(result.get("funnel")),
        evolution=_dict(result.get("evolution")),
        reward_models=[each for each in _list(result.get("reward_models")) if isinstance(each, dict)],
    )


def _without_folder(label: str, rows: Sequence[Row]) -> StageSummary:
    return StageSummary(
        label=label,
        kind=label,
        finished=False,
        iterations=_iterations(rows),
        seconds=total(rows, "time/iteration_s"),
        rollout_tokens=total(rows, "response/tokens_total"),
        evaluation=_latest_evaluation(rows),
    )


def _dict(found: Any) -> Row:
    return found if isinstance(found, dict) else {}


def _iterations(rows: Sequence[Row]) -> int:
    return rows[-1]["iteration"] + 1 if rows else 0


def _evaluation(found: Any) -> Evaluation | None:
    if not isinstance(found, dict):
        return None
    accuracy = number(found.get("accuracy"))
    problems, samples = number(found.get("problems")), number(found.get("samples"))
    if accuracy is None:
        return None
    return Evaluation(
        accuracy=accuracy,
        low=number(found.get("low")),
        high=number(found.get("high")),
        problems=int(problems) if problems is not None else None,
        samples=int(samples) if samples is not None else None,
        tokens_mean=number(found.get("tokens_mean")),
        so_far=False,
    )


def _latest_evaluation(rows: Sequence[Row]) -> Evaluation | None:
    for row in reversed(rows):
        accuracy = number(row.get("accuracy/eval"))
        if accuracy is not None:
            return Evaluation(
                accuracy=accuracy,
                low=number(row.get("accuracy/eval_low")),
                high=number(row.get("accuracy/eval_high")),
                problems=None,
                samples=None,
                tokens_mean=number(row.get("eval/tokens_mean")),
                so_far=True,
            )
    return None


def _counts(found: Any) -> Row:
    counts = found if isinstance(found, dict) else {}
    return {str(name): count for name, count in counts.items() if number(count) is not None}


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _json(path: Path, notes: list[str]) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        return read_json(path)
    except CheckpointError as error:
        notes.append(str(error))
        return {}
