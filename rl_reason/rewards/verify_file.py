"""Verifies a JSONL file of answers and responses through the pool: what `rl-reason verify` does."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_reason.errors import DataError, VerifierError
from rl_reason.rewards.pool import Outcome, VerifierPool
from rl_reason.rewards.scorer import combine
from rl_reason.types import Prompt, Score, Verdict

_IN_FLIGHT = 4096
"""Responses in the pool at once."""
_HELD_BYTES = 256 * 2**20
"""Lines that are judged but wait for an earlier one, and those in the pool, are no larger together."""
_SHOWN_FAULTS = 20
_SILENCE_S = 60.0

Write = Callable[[str], object]
Row = dict[str, Any]


@dataclass(slots=True)
class Counts:
    """How many responses came out how."""

    right: int = 0
    wrong: int = 0
    unjudged: int = 0
    disagreements: int = 0
    """Responses on which a later verifier contradicts the first."""

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
        row = _row(line)
        if not isinstance(row, str):
            count += 1
            continue
        broken += 1
        if len(faults) < _SHOWN_FAULTS:
            faults.append(f"{path}:{number}: {row}")
    if broken:
        more = f"\n… and {broken - len(faults)} more" if broken > len(faults) else ""
        raise DataError("broken lines; mend or remove them:\n" + "\n".join(faults) + more)
    return count


def verify_file(
    pool: VerifierPool,
    *,
    source: Path,
    target: Path,
    disagreements: Path | None = None,
    on_progress: Callable[[Counts], None] = lambda counts: None,
) -> Counts:
    """Judge every line of `source` and write it, in order, with `score`, `correct`, `reason` and `seconds`.

    These are the first verifier's; where there are several, `verifiers` has them for each, by name, and
    `disagreements` gets the lines, with their number, on which a later verifier contradicts the first. Both files
    appear only when they are complete. Fields other than prompt, answer and response are the verifiers' metadata; a
    field `metadata` that is an object is merged into it.

    Raises:
        DataError: a line is broken, or a file cannot be written.
        VerifierError: the pool broke.
    """
    with contextlib.ExitStack() as files:
        write = files.enter_context(_atomic(target))
        dispute = files.enter_context(_atomic(disagreements)) if disagreements else None
        run = _Verification(pool, write, dispute)
        for number, line in _lines(source):
            row = _row(line)
            if isinstance(row, str):
                raise DataError(f"{source}:{number}: {row}")
            run.submit(f"{source}:{number}", number, row, len(line))
            while run.is_full():
                run.receive()
                on_progress(run.counts)
        while pool.outstanding:
            run.receive()
            on_progress(run.counts)
    return run.counts


class _Verification:
    """Lines in the pool, and those that wait for an earlier one to be written first."""

    def __init__(self, pool: VerifierPool, write: Write, dispute: Write | None) -> None:
        self.counts = Counts()
        self._pool, self._write, self._dispute = pool, write, dispute
        self._rows: dict[int, tuple[int, Row, int]] = {}
        """Index -> line number, row, bytes: in the pool."""
        self._judged: dict[int, tuple[str, str, int]] = {}
        """Index -> what to write, what is in dispute, bytes."""
        self._submitted = self._written = self._held_bytes = 0

    def submit(self, place: str, number: int, row: Row, size: int) -> None:
        """Hand over the next line."""
        self._pool.submit(self._submitted, _prompt(row, place), row["response"])
        self._rows[self._submitted] = (number, row, size)
        self._submitted += 1
        self._held_bytes += size

    def is_full(self) -> bool:
        """Whether results should be received before more is submitted."""
        return len(self._rows) >= _IN_FLIGHT or (self._held_bytes > _HELD_BYTES and bool(self._rows))

    def receive(self) -> None:
        """Wait for results, and write those whose turn it is."""
        patience_s = self._pool.longest_s + _SILENCE_S
        taken = self._pool.take(timeout_s=patience_s)
        if not taken:
            raise VerifierError(f"no verdict for {patience_s:g} s; is the machine overloaded? Use fewer --workers")
        for index, outcome in taken:
            if not isinstance(index, int):
                raise VerifierError(
                    f"the pool gave back {index!r}, which is no line of the file; use a pool of its own"
                )
            number, row, size = self._rows.pop(index)
            self._judged[index] = (*self._texts(number, row, outcome), size)
        while self._written in self._judged:
            text, disputed, size = self._judged.pop(self._written)
            self._write(text)
            if disputed and self._dispute is not None:
                self._dispute(disputed)
            self._written += 1
            self._held_bytes -= size

    def _texts(self, number: int, row: Row, outcome: Outcome) -> tuple[str, str]:
        """The line to write, and the same for the disagreements when it belongs there."""
        scores, names = outcome.scores, self._pool.names
        first = combine(names[:1], [1.0], scores[:1])
        self.counts.right += first.verdict is Verdict.RIGHT
        self.counts.wrong += first.verdict is Verdict.WRONG
        self.counts.unjudged += first.verdict is Verdict.UNJUDGED
        judged = row | _columns(first)
        if len(scores) == 1:
            return _json_line(judged), ""
        judged["verifiers"] = {name: _columns(score) for name, score in zip(names, scores, strict=True)}
        disputed = any(score.contradicts(first) for score in scores[1:])
        self.counts.disagreements += disputed
        return _json_line(judged), _json_line({"line": number} | judged) if disputed and self._dispute else ""


def _columns(score: Score) -> Row:
    correct = None if score.verdict is Verdict.UNJUDGED else score.verdict is Verdict.RIGHT
    return {"score": score.reward, "correct": correct, "reason": score.reason, "seconds": round(score.seconds, 6)}


_encode = json.JSONEncoder(ensure_ascii=False).encode


def _json_line(row: Row) -> str:
    return _encode(row) + "\n"


def _prompt(row: Row, place: str) -> Prompt:
    given = row.get("metadata")
    extra = {key: value for key, value in row.items() if key not in ("prompt", "answer", "response", "metadata")}
    metadata = {**given, **extra} if isinstance(given, dict) else extra
    answer = row.get("answer")
    return Prompt(str(row.get("id", place)), row.get("prompt") or "", answer or "", metadata=metadata, source=place)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _row(line: bytes) -> Row | str:
    """The line's fields, or what is wrong with it. `answer` and `prompt` may be missing or null: not all need them."""
    try:
        row: Any = json.loads(line)
    except ValueError as error:  # of JSON and of UTF-8
        return f"not JSON: {error}"
    except RecursionError:
        return "nested too deeply"
    if not isinstance(row, dict):
        return f"a JSON object is expected, not {type(row).__name__}"
    if "response" not in row:
        return "there is no 'response'"
    for key in ("response", "answer", "prompt"):
        value: Any = row.get(key)
        if not isinstance(value, str) and (value is not None or key == "response"):
            return f"{key!r} must be a string, not {value!r:.60}"
    return row


@contextlib.contextmanager
def _atomic(target: Path) -> Iterator[Write]:
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
