"""Chooses which sampled responses a report carries: whole groups, spread over the run, within a size limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rl_reason.tracking import trajectories

HEAD_CHARS, TAIL_CHARS = 14_000, 6_000
"""Of a longer text, what is shown of its beginning and end."""


@dataclass(frozen=True, slots=True)
class Responses:
    """What goes into the page, and how much there was."""

    rows: Sequence[dict[str, Any]]
    """As `trajectories.read` gives them, with `stage`; in order of stage and iteration."""
    kept_in_run: int
    """Responses in the run folder's files."""
    notes: Sequence[str]


def choose(folder: Path, *, limit: int, limit_chars: int) -> Responses:
    """Up to `limit` responses and `limit_chars` characters: first and last files first, then those between them.

    A file that cannot be read is named in the notes.
    """
    files: list[Path] = []
    notes: list[str] = []
    total = 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if trajectories.parse_name(path) is None:
            continue
        try:
            total += pq.read_metadata(path).num_rows
        except (pa.ArrowException, OSError) as error:
            notes.append(f"trajectories/{path.name} cannot be read: {error}")
            continue
        files.append(path)
    chosen: list[dict[str, Any]] = []
    room = limit_chars
    for position in spread(len(files)):
        try:
            groups = _groups(files[position])
        except (pa.ArrowException, OSError, ValueError, TypeError) as error:
            notes.append(f"trajectories/{files[position].name} cannot be read: {error}")
            continue
        for group in groups:
            size = sum(len(row["response"]) for row in group) + len(group[0]["prompt"])
            if len(chosen) + len(group) > limit or size > room:
                break
            chosen += group
            room -= size
    chosen.sort(key=lambda row: (row["stage"], row["iteration"]))
    return Responses(chosen, total, notes)


def spread(count: int) -> list[int]:
    """0 … count-1 so that any beginning of the list covers the range: ends first, then middles of the widest gaps."""
    if count == 0:
        return []
    order = [0, count - 1][: min(2, count)]
    gaps = [(0, count - 1)]
    while gaps:
        inner: list[tuple[int, int]] = []
        for low, high in gaps:
            if high - low > 1:
                middle = (low + high) // 2
                order.append(middle)
                inner += [(low, middle), (middle, high)]
        gaps = inner
    return order


def shorten(text: str) -> str:
    """Cut the middle out of a very long text, saying how much."""
    left_out = len(text) - HEAD_CHARS - TAIL_CHARS
    if left_out <= 0:
        return text
    return f"{text[:HEAD_CHARS]}\n\n[… {left_out:,} characters left out of this page …]\n\n{text[-TAIL_CHARS:]}"


def _groups(path: Path) -> list[list[dict[str, Any]]]:
    parsed = trajectories.parse_name(path)
    stage = parsed[0] if parsed else ""
    by_prompt: dict[str, list[dict[str, Any]]] = {}
    for row in trajectories.read(path):
        shown = row | {"stage": stage, "response": shorten(row["response"]), "prompt": shorten(row["prompt"])}
        by_prompt.setdefault(row["prompt_id"], []).append(shown)
    return list(by_prompt.values())
