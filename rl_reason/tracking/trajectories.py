"""Sampled responses with their scores, as one parquet file an iteration: the columns, writing, reading."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rl_reason.tracking.atomic import TEMPORARY, fsync_file, fsync_folder, full_disk_named
from rl_reason.types import Group, Score, Trajectory

SCHEMA = pa.schema(
    [
        ("iteration", pa.int64()),
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        ("index", pa.int32()),  # which of the prompt's K responses
        ("response", pa.string()),
        ("tokens", pa.int32()),  # response tokens
        ("logprob_mean", pa.float32()),  # nats a token, behaviour policy
        ("stop_reason", pa.string()),
        ("verdict", pa.string()),
        ("reward", pa.float64()),  # null when unjudged
        ("parts", pa.string()),  # JSON: verifier -> unweighted score
        ("reason", pa.string()),
        ("advantage", pa.float64()),  # null when unjudged
        ("policy_version", pa.int64()),  # of the oldest segment
        ("segments", pa.int32()),
        ("seconds", pa.float64()),  # time the verifiers took
    ]
)
_NAME = re.compile(r"(?P<stage>.+)-(?P<iteration>\d{6,})\.parquet")


def file_of(folder: Path, stage: str, iteration: int) -> Path:
    """Where the responses of one iteration lie."""
    return folder / f"{stage}-{iteration:06d}.parquet"


def parse_name(path: Path) -> tuple[str, int] | None:
    """(stage, iteration) of a trajectory file; None for any other file."""
    match = _NAME.fullmatch(path.name)
    return (match["stage"], int(match["iteration"])) if match and not path.name.startswith(".") else None


def write(path: Path, iteration: int, groups: Sequence[Group], advantages: Sequence[Sequence[float]]) -> None:
    """Write one row a response, atomically. `advantages[g][k]` belongs to `groups[g].trajectories[k]`.

    Raises:
        CheckpointError: the disk is full.
    """
    rows = [
        _row(iteration, trajectory, score, advantage)
        for group, of_group in zip(groups, advantages, strict=True)
        for trajectory, score, advantage in zip(group.trajectories, group.scores, of_group, strict=True)
    ]
    temporary = path.parent / f"{TEMPORARY}{path.name}-{os.getpid()}"
    with full_disk_named(str(path), path.parent):
        try:
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary, compression="zstd")
            fsync_file(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(path.parent)


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of one file, `parts` decoded.

    Raises:
        pyarrow.ArrowException: not a parquet file of ours.
    """
    if missing := set(SCHEMA.names) - set(pq.read_schema(path).names):
        raise pa.ArrowInvalid(f"it has no column {', '.join(sorted(missing))}")
    rows = pq.read_table(path, schema=SCHEMA).to_pylist()
    return [row | {"parts": json.loads(row["parts"])} for row in rows]


def _row(iteration: int, trajectory: Trajectory, score: Score, advantage: float) -> dict[str, Any]:
    prompt = trajectory.prompt
    return {
        "iteration": iteration,
        "prompt_id": _storable(prompt.id),
        "prompt": _storable(prompt.text),
        "answer": _storable(prompt.answer),
        "index": trajectory.index,
        "response": _storable(trajectory.text),
        "tokens": trajectory.length,
        "logprob_mean": float(trajectory.logprobs.mean()) if trajectory.length else None,
        "stop_reason": trajectory.stop_reason.value,
        "verdict": score.verdict.value,
        "reward": score.reward,
        "parts": json.dumps(dict(score.parts)),
        "reason": _storable(score.reason),
        "advantage": advantage if math.isfinite(advantage) else None,
        "policy_version": min((segment.version for segment in trajectory.segments), default=None),
        "segments": len(trajectory.segments),
        "seconds": score.seconds,
    }


def _storable(text: str) -> str:
    """Lone surrogates cannot be stored as UTF-8; models' text should have none, but it is hostile input."""
    return text.encode("utf-8", "replace").decode("utf-8")
