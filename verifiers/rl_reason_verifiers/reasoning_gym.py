"""`reasoning_gym`: scores an answer with the scorer of the reasoning-gym task that the prompt comes from."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from typing import Any, ClassVar

from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._extract import last_boxed

MAX_ANSWER_CHARS = 20_000
_NOT_A_NUMBER = re.compile(r"\b(nan|inf|infinity)\b", re.IGNORECASE)


class ReasoningGym:
    """The answer scores 1 with the scorer of the reasoning-gym task that the prompt comes from.

    Many of those scorers can be played: they give part of the mark for an answer that merely contains the right one,
    and some give all of it for a list of answers that begins with the right one (`gsm_symbolic`, `time_intervals`,
    `word_sorting`), for nonsense (`game_of_life_halting`) or for `nan` (`complex_arithmetic`). So a full mark for
    something other than the reference is believed only from a scorer that does not also give it to a wrong answer;
    and where it gives it to the reference with a wrong answer beside it, the answer may have no more words than the
    reference. Marks below 1 count as 0 unless asked for.

    Args:
        tag: the answer is what stands in the last `<tag>…</tag>`, or in the last \\boxed{…}, whichever comes later.
        partial_credit: True makes the reward of a WRONG answer the scorer's own number instead of 0, which rewards
            dumping answers in many tasks.
    """

    needs: ClassVar[tuple[str, ...]] = ("package:reasoning-gym", "metadata:task", "metadata:entry")
    example: ClassVar[dict[str, Any]] = {
        "answer": "-4",
        "response": "<think>4 - 1 = 3, and 3 - 7 = -4</think>\n\\boxed{-4}",
        "task": "chain_sum",
        "entry": {"question": "4 - 1 - 7 =", "answer": "-4", "metadata": {"difficulty": {}}},
    }

    def __init__(self, *, tag: str = "answer", partial_credit: bool = False) -> None:
        if not tag:
            raise ValueError("tag must not be empty")
        self._open, self._close = f"<{tag}>", f"</{tag}>"
        self._partial_credit = partial_credit
        self._package = importlib.import_module("reasoning_gym")  # 0.7 s: here, where no response's deadline runs
        self._tasks: dict[str, Any] = {}

    def verify(self, prompt: Prompt, response: str) -> Score:
        """UNJUDGED when the metadata names no task, or the task's scorer fails even on the reference answer."""
        task, entry = prompt.metadata.get("task"), prompt.metadata.get("entry")
        if not isinstance(task, str) or not isinstance(entry, dict):
            reason = 'metadata must have {"task": name, "options": {…}, "entry": {…}}'
            return Score(Verdict.UNJUDGED, None, reason=reason)
        answer = self._extract(response)
        if answer is None:
            return _wrong(f"no {self._open}…{self._close} or \\boxed{{…}} in the response")
        if len(answer) > MAX_ANSWER_CHARS:
            return _wrong(f"the answer has over {MAX_ANSWER_CHARS} characters")
        try:
            dataset = self._dataset(task, prompt.metadata.get("options") or {})
        except (ValueError, TypeError, AssertionError) as error:
            return Score(Verdict.UNJUDGED, None, reason=f"reasoning-gym task {task!r} cannot be made: {error}")

        def mark(text: str) -> float | None:
            """The scorer's number; None when it raises or gives none."""
            try:
                value = float(dataset.score_answer(answer=text, entry=entry))
            except Exception:  # scorers parse what they are given and throw whatever comes of it
                return None
            return value if math.isfinite(value) else None

        return self._judge(task, answer, entry.get("answer"), mark)

    def _judge(self, task: str, answer: str, reference: object, mark: Callable[[str], float | None]) -> Score:
        value = mark(answer)
        if value is None:
            if mark(str(reference)) is None:  # not the answer's fault
                return Score(Verdict.UNJUDGED, None, reason=f"the scorer of {task!r} fails")
            return _wrong(f"the scorer of {task!r} cannot read {answer[:80]!r}")
        if value < 1.0:
            reason = f"{task} scored {answer[:80]!r} {value:g}"
            return _wrong(reason, value if self._partial_credit else 0.0)
        fault = "" if reference is None else _played(answer, str(reference), mark)
        return _wrong(fault) if fault else Score(Verdict.RIGHT, value, {"reasoning_gym": value})

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


def _wrong(reason: str, value: float = 0.0) -> Score:
    return Score(Verdict.WRONG, value, {"reasoning_gym": value}, reason)


def _played(answer: str, reference: str, mark: Callable[[str], float | None]) -> str:
    """Why a full mark for this answer is not to be believed; empty when it is."""
    if _squeezed(answer) == _squeezed(reference):
        return ""
    if _NOT_A_NUMBER.search(answer) and not _NOT_A_NUMBER.search(reference):
        return f"{answer[:80]!r} is no number"
    decoy = _decoy(reference)
    if _full(mark(decoy)):
        return f"the scorer takes anything for right here, and {answer[:80]!r} is not the reference"
    beside = (f"{reference} {decoy}", f"{reference}, {decoy}", f"{reference}\n{decoy}", f"{decoy} or {reference}")
    if len(re.findall(r"\w+", answer)) > len(re.findall(r"\w+", reference)) and any(
        _full(mark(text)) for text in beside
    ):
        return f"{answer[:80]!r} says more than one answer"
    return ""


def _full(value: float | None) -> bool:
    return value is not None and value >= 1.0


def _squeezed(text: str) -> str:
    return "".join(text.split()).casefold()


def _decoy(reference: str) -> str:
    """A wrong answer of the reference's form: other digits, or other letters where there are no digits."""
    if any(character.isdecimal() for character in reference):
        return re.sub(r"[0-9]", lambda digit: str((int(digit[0]) + 1) % 10), reference)
    return re.sub(r"[a-yA-Y]", lambda letter: chr(ord(letter[0]) + 1), reference) + "q"
