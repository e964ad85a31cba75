"""`reasoning_gym`: scores an answer with the scorer of the reasoning-gym task that the prompt comes from."""

from __future__ import annotations

import importlib
import math
from typing import Any

from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._extract import last_boxed


class ReasoningGym:
    """The answer scores 1 with the scorer of the reasoning-gym task that the prompt comes from.

    The prompt's metadata says which task: `{"task": name, "options": {...}, "entry": {...}}`.

    Score 1 is RIGHT, anything less WRONG; the reward is the scorer's own number, which for many tasks gives partial
    credit for an answer that merely contains the right one. Set `partial_credit=False` where that would be farmed.

    Args:
        tag: the answer is what stands in the last `<tag>…</tag>`, or in the last \\boxed{…}, whichever comes later.
        partial_credit: False turns every score below 1 into 0.
    """

    def __init__(self, *, tag: str = "answer", partial_credit: bool = True) -> None:
        if not tag:
            raise ValueError("tag must not be empty")
        self._open, self._close = f"<{tag}>", f"</{tag}>"
        self._partial_credit = partial_credit
        self._package = importlib.import_module("reasoning_gym")  # 0.7 s: here, where no response's deadline runs
        self._tasks: dict[str, Any] = {}

    def verify(self, prompt: Prompt, response: str) -> Score:
        """UNJUDGED when the metadata names no task or the task's scorer fails."""
        task, entry = prompt.metadata.get("task"), prompt.metadata.get("entry")
        if not isinstance(task, str) or not isinstance(entry, dict):
            reason = 'metadata must have {"task": name, "options": {…}, "entry": {…}}'
            return Score(Verdict.UNJUDGED, None, reason=reason)
        answer = self._extract(response)
        if answer is None:
            reason = f"no {self._open}…{self._close} or \\boxed{{…}} in the response"
            return Score(Verdict.WRONG, 0.0, {"reasoning_gym": 0.0}, reason)
        try:
            dataset = self._dataset(task, prompt.metadata.get("options") or {})
        except (ValueError, TypeError, AssertionError) as error:
            return Score(Verdict.UNJUDGED, None, reason=f"reasoning-gym task {task!r} cannot be made: {error}")
        value = float(dataset.score_answer(answer=answer, entry=entry))
        if not math.isfinite(value):
            return Score(Verdict.UNJUDGED, None, reason=f"the scorer of {task!r} gave {value}")
        right = value >= 1.0
        if not right and not self._partial_credit:
            value = 0.0
        reason = "" if right else f"{task} scored {answer[:80]!r} {value:g}"
        return Score(Verdict.RIGHT if right else Verdict.WRONG, value, {"reasoning_gym": value}, reason)

    def _dataset(self, task: str, options: dict[str, Any]) -> Any:
        key = f"{task} {sorted(options.items())!r}"
        if key not in self._tasks:
            self._tasks[key] = self._package.create_dataset(task, **{**options, "size": 1, "seed": 0})
        return self._tasks[key]

    def _extract(self, response: str) -> str | None:
        boxed = last_boxed(response)
        end = response.rfind(self._close)
        start = response.rfind(self._open, 0, end) if end >= 0 else -1
        tagged = response[start + len(self._open) : end].strip() if start >= 0 else None
        if boxed is None or (tagged is not None and start > boxed.end):
            return tagged
        if tagged is not None and boxed.start > start and boxed.end <= end:
            return boxed.text  # a box within the tags
        return boxed.text if tagged is None or boxed.start > end else tagged
