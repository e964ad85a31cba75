"""Verifies a JSONL file of answers and responses through the pool: what `rl-reason verify` does."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_reason.errors import DataError, VerifierError
from rl_reason.rewards.pool import VerifierPool
from rl_reason.rewards.scorer import combine
from rl_reason.types import Prompt, Score, Verdict

_IN_FLIGHT = 4096
_SHOWN_FAULTS = 20
_SILENCE_S = 60.0


@dataclass(slots=True)
class Counts:
    """How many responses came out how."""

    right: int = 0
    wrong: int = 0
    unjudged: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.right + self.wrong + self.unjudged


def count_lines(path: Path) -> int:
    """Responses in the file, every line checked.

    Raises:
        DataError: it cannot be read, or lines are broken; the message names the first ones by file:line.
    """
    faults: list[str] = []
    count = broken = 0
    for number, line in _lines(path):
        fault = _fault(line)
        count += not fault
        broken += bool(fault)
        if fault and len(faults) < _SHOWN_FAULTS:
            faults.append(f"{path}:{number}: {fault}")
    if broken:
        more = f"\n… and {broken - len(faults)} more" if broken > len(faults) else ""
        raise DataError("broken lines; mend or remove them:\n" + "\n".join(faults) + more)
    return count


def verify_file(
    pool: VerifierPool,
    weights: Sequence[float],
    *,
    source: Path,
    target: Path,
    on_progress: Callable[[Counts], None] = lambda counts: None,
) -> Counts:
    """Judge every line of `source` and write it, in order, with `score`, `correct`, `reason` and `seconds`.

    The target appears only when it is complete. Fields other than prompt, answer and response are the verifier's
    metadata; a field `metadata` that is an object is merged into it.

    Raises:
        DataError: a line is broken, or the target cannot be written.
        VerifierError: the pool broke.
    """
    counts = Counts()
    with _atomic(target) as write:
        waiting: dict[int, dict[str, Any]] = {}
        scores: dict[int, Score] = {}
        next_out = 0
        for index, (number, line) in enumerate(_lines(source)):
            fault = _fault(line)
            if fault:
                raise DataError(f"{source}:{number}: {fault}")
            row = json.loads(line)
            pool.submit(index, _prompt(row, f"{source}:{number}"), row["response"])
            waiting[index] = row
            while len(waiting) >= _IN_FLIGHT:
                next_out = _advance(pool, weights, (waiting, scores), next_out, write, counts)
                on_progress(counts)
        while waiting:
            next_out = _advance(pool, weights, (waiting, scores), next_out, write, counts)
            on_progress(counts)
    return counts


def _advance(
    pool: VerifierPool,
    weights: Sequence[float],
    state: tuple[dict[int, dict[str, Any]], dict[int, Score]],
    next_out: int,
    write: Callable[[str], object],
    counts: Counts,
) -> int:
    """Take what is finished and write what is next in order; returns the index to write next."""
    waiting, scores = state
    patience_s = pool.longest_s + _SILENCE_S
    taken = pool.take(timeout_s=patience_s)
    if not taken:
        raise VerifierError(f"no verdict for {patience_s:g} s; is the machine overloaded? Use fewer --workers")
    for index, outcome in taken:
        if not isinstance(index, int):
            raise VerifierError(f"the pool gave back {index!r}, which is no line of this file; use a pool of its own")
        scores[index] = combine(pool.names, weights, outcome.scores)
    while next_out in scores:
        write(_line(waiting.pop(next_out), scores.pop(next_out), counts))
        next_out += 1
    return next_out


def _line(row: dict[str, Any], score: Score, counts: Counts) -> str:
    counts.right += score.verdict is Verdict.RIGHT
    counts.wrong += score.verdict is Verdict.WRONG
    counts.unjudged += score.verdict is Verdict.UNJUDGED
    correct = None if score.verdict is Verdict.UNJUDGED else score.verdict is Verdict.RIGHT
    verdict = {"score": score.reward, "correct": correct, "reason": score.reason, "seconds": round(score.seconds, 6)}
    return json.dumps(row | verdict, ensure_ascii=False) + "\n"


def _prompt(row: dict[str, Any], source: str) -> Prompt:
    given = row.get("metadata")
    extra = {key: value for key, value in row.items() if key not in ("prompt", "answer", "response", "metadata")}
    metadata = {**given, **extra} if isinstance(given, dict) else extra
    return Prompt(str(row.get("id", source)), row.get("prompt", ""), row["answer"], metadata=metadata, source=source)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _fault(line: bytes) -> str:
    try:
        row = json.loads(line)
    except ValueError as error:  # of JSON and of UTF-8
        return f"not JSON: {error}"
    if not isinstance(row, dict):
        return f"a JSON object is expected, not {type(row).__name__}"
    for key in ("answer", "response"):
        if not isinstance(row.get(key), str):
            return f"{key!r} must be a string, not {row[key]!r:.60}" if key in row else f"there is no {key!r}"
    if not isinstance(row.get("prompt", ""), str):
        return "'prompt' must be a string"
    return ""


@contextlib.contextmanager
def _atomic(target: Path) -> Iterator[Callable[[str], object]]:
    """Yields a function that writes text to a neighbour of the target, which takes its place at the end."""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)
