"""The journal of a search: every outcome, a line each, on the disk before the search learns of it.

It is all that a search keeps. A search that is started again asks the same questions in the same order, as everything
random in it follows from the seed, and takes the answers that the journal has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rl_reason.errors import MergeError
from rl_reason.merging.evolution.candidate import Candidate, Outcome


class Journal:
    """Outcomes by candidate and set of problems, in one JSONL file."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        """Open, or begin.

        Args:
            path: the file; made if it is not there. A torn last line, of a killed process, is dropped.
            about: what the outcomes depend on; plain JSON.

        Raises:
            MergeError: the file is of another search, or damaged; the message says what differs, or where.
        """
        self._path = path
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        about = json.loads(json.dumps(about))
        lines = self._whole_lines() if path.exists() else []
        if lines:
            self._check(lines[0].get("search"), about)
            for number, line in enumerate(lines[1:], start=2):
                try:
                    self._outcomes[line["key"], line["problems"]] = Outcome(**line["outcome"])
                except (KeyError, TypeError) as error:
                    raise MergeError(f"{path}:{number} is no outcome of a search; restore the file") from error
        self._file = path.open("ab")
        if not lines:
            self._append({"search": about})

    def __len__(self) -> int:
        return len(self._outcomes)

    def get(self, candidate: Candidate, problems: str) -> Outcome | None:
        """What is known of it."""
        return self._outcomes.get((candidate.key, problems))

    def add(self, candidate: Candidate, problems: str, outcome: Outcome, **where: Any) -> None:
        """Keep an outcome; it survives a power cut when this returns. `where` is for readers: generation, index."""
        entry = {"problems": problems, **where, "outcome": asdict(outcome), "content": candidate.content}
        self._append({"key": candidate.key, **entry})
        self._outcomes[candidate.key, problems] = outcome

    def keys(self, problems: str) -> set[str]:
        """Of the candidates that have been evaluated on these problems."""
        return {key for key, on in self._outcomes if on == problems}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise MergeError(
                f"could not write {self._path}: {error.strerror}; all lines before are good: make room and run the "
                "same command again"
            ) from error

    def _whole_lines(self) -> list[dict[str, Any]]:
        lines, end = [], 0
        for number, (line, after) in enumerate(_ended(self._path.read_bytes()), start=1):
            try:
                lines.append(json.loads(line))
            except ValueError as error:
                raise MergeError(f"{self._path}:{number} is not JSON; restore the file, or start elsewhere") from error
            end = after
        os.truncate(self._path, end)
        return lines

    def _check(self, found: Any, about: Mapping[str, Any]) -> None:
        if found == about:
            return
        if not isinstance(found, dict):
            raise MergeError(f"{self._path} is no journal of a search; give another folder")
        keys = sorted(key for key in {*found, *about} if found.get(key) != about.get(key))
        differing = "; ".join(f"{key} was {_short(found.get(key))}, is {_short(about.get(key))}" for key in keys)
        raise MergeError(
            f"{self._path} is of another search: {differing}. Go on with the same settings, or give another folder"
        )


def _ended(content: bytes) -> Iterator[tuple[bytes, int]]:
    """(line, offset after it), of the lines that end in a line feed."""
    at = 0
    while (end := content.find(b"\n", at)) >= 0:
        yield content[at:end], end + 1
        at = end + 1


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"
