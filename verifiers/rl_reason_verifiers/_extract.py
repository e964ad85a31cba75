r"""Finds the answer in a response: the last \boxed{…} with its braces balanced, and the documented fallbacks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rl_reason_verifiers._answer_in_prose import (
    MATH,
    after_marker,
    before_marker,
    inside,
    last_expression,
    last_math,
    last_number,
)
from rl_reason_verifiers._phrases import meaning
from rl_reason_verifiers._units import measure
from rl_reason_verifiers._words import CONSTANTS, FUNCTIONS

MAX_SEARCH_CHARS = 200_000
"""Only the end of a longer response is looked at."""
_MAX_BOXES = 8
_UNCLOSED_TRIES = 3
_MAX_UNCLOSED_CHARS = 200
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BOX_WORDS = ("\\boxed", "\\fbox")
_BRACE = re.compile(r"(?<!\\)[{}]")
_WORD = re.compile(r"[^\s$}]+")
_BETWEEN_BOXES = re.compile(
    r"(?:[\s$,;.\\()\[\]{}*]|\\?text|mbox|q?quad|\b(?:and|or|for|parts?|respectively)\b|\([a-h]\))*"
)
_THINK_END = "</think>"
_TAG = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.S | re.I)
_HASHES = re.compile(
    r"####[ \t]*(?!(?:step|part|case|solution|final|answer)\b)(\S[^\n]*)|^###[ \t]*(-?[$\d][^\n]*)$", re.I | re.M
)
_ANSWER = r"(?:answers?|답|정답|答案|答え|ответ|respuesta|réponse|resposta|risposta)[\"'*_]{0,4}\s{0,8}"
_IS = r"(?:(?:is|are|es|est|é|è)\b\s{0,8}[:\uff1a]?|[:\uff1a=]|是|为|は)"
_FINAL = re.compile(
    rf"(?:final\s{{1,4}}|最终|окончательный ){_ANSWER}{_IS}?[*_]{{0,4}}\s{{0,8}}:?(?: the final answer is\b:?)?",
    re.I,
)
_COLON = re.compile(rf"(?<![A-Za-z]){_ANSWER}{_IS}|^A:", re.I | re.M)
_BARE = re.compile(rf"(?<![A-Za-z]){_ANSWER}(?=\$|\\\(|\\\[|-?\d)", re.I)
_BEFORE = re.compile(r"\b(?:is|are) (?:the|my|our) (?:final |correct )?answers?\b", re.I)
_COMMAND = re.compile(r"\\(?:text|mathrm|textbf|mbox)\s*\{[^{}]*\}|\\(?:begin|end)\{[a-z]+\}|\\[A-Za-z]+")
_WORDS = re.compile(r"[A-Za-z]{2,}")
_LIST_WORDS = re.compile(r"(?<![A-Za-z\\])(?:and|or)(?![a-z])")
_SHORT_WORDS = frozenset(
    [
        *("is", "it", "so", "to", "of", "we", "as", "at", "by", "he", "if", "no", "my", "on", "us", "an", "be", "do"),
        *("go", "up", "me"),
    ]
)


@dataclass(frozen=True, slots=True)
class Box:
    """Contents of a box and where it stands in the text searched."""

    text: str
    start: int
    end: int


def last_boxed(text: str) -> Box | None:
    """The last box that is closed, of the end of the text; None if there is none. Linear in the text's length."""
    end = len(text)
    for _ in range(_UNCLOSED_TRIES):
        start = max(text.rfind(word, max(0, len(text) - MAX_SEARCH_CHARS), end) for word in _BOX_WORDS)
        if start < 0:
            return None
        box = _box_at(text, start)
        if box is not None:
            return _outermost(text, box)
        end = start
    return None


def _outermost(text: str, box: Box) -> Box:
    """The box around this one, if it stands in another."""
    start = box.start
    for _ in range(_MAX_BOXES):
        start = max(text.rfind(word, max(0, box.start - _MAX_UNCLOSED_CHARS), start) for word in _BOX_WORDS)
        around = _box_at(text, start) if start >= 0 else None
        if around is None or around.end < box.end:
            break
        box = around
    return box


def find_answer(response: str, fallbacks: Sequence[str]) -> str | None:
    """The answer's text, or None.

    What follows the last `</think>` is searched first, and what precedes it only if no answer follows. Boxes that only
    "and" or a comma parts are one answer: a list. A "final answer is X" after the last box overrules the box.
    """
    text = response[-MAX_SEARCH_CHARS:]
    thought, end, said = text.rpartition(_THINK_END)
    if end and said.strip():
        found = _find(said, fallbacks)
        return found if found is not None else _boxed(thought)
    return _find(text, fallbacks)


def _find(text: str, fallbacks: Sequence[str]) -> str | None:
    box = last_boxed(text)
    if box is not None:
        found = after_marker(_FINAL, text[box.end :]) if "final_answer" in fallbacks else None
        return found if found and re.search(r"\d", found) else _joined(text, box)
    for name in fallbacks:
        found = _FINDERS[name](text)
        if found:
            return found
    return None


def _boxed(text: str) -> str | None:
    box = last_boxed(text)
    return None if box is None else _joined(text, box)


def _box_at(text: str, start: int) -> Box | None:
    match = _BOX.match(text, start)
    if match is None:
        return None
    at = match.end()
    if text[at : at + 1] != "{":
        word = _WORD.match(text, at)  # TeX also takes \boxed 5
        return Box(word.group(), start, word.end()) if word else None
    depth = 0
    for brace in _BRACE.finditer(text, at):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return Box(text[at + 1 : brace.start()].strip(), start, brace.end())
    return None


def _joined(text: str, last: Box) -> str:
    boxes = [last]
    while len(boxes) < _MAX_BOXES:
        start = max(text.rfind(word, 0, boxes[0].start) for word in _BOX_WORDS)
        before = _box_at(text, start) if start >= 0 else None
        if before is None or before.end > boxes[0].start:
            break
        between = text[before.end : boxes[0].start]
        if len(between) > 60 or not re.search(r"\b(?:and|or)\b|,|;", between) or not _BETWEEN_BOXES.fullmatch(between):
            break
        boxes.insert(0, before)
    return ", ".join(box.text for box in boxes)


def unclosed_box(text: str) -> str | None:
    """What follows an opening that is never closed, when it is short: the rest of a text cut off within its box."""
    start = max(text.rfind(word) for word in _BOX_WORDS)
    match = _BOX.match(text, start) if start >= 0 else None
    if match is None or len(text) - match.end() > _MAX_UNCLOSED_CHARS:
        return None
    return text[match.end() + 1 :].strip(" $\n.") or None


def _whole(text: str) -> str | None:
    """The response itself when it is one short line of mathematics, or a few words without any."""
    line = text.strip().strip("*`").strip()
    if len(line) > 300:
        return None
    wholly_math = MATH.fullmatch(line)
    if wholly_math:
        return inside(wholly_math)
    if not line or "\n" in line:
        return None
    plain = _COMMAND.sub(" ", line)
    words = [word for word in _WORDS.findall(_LIST_WORDS.sub(" ", plain)) if not _is_symbol(word, " " not in line)]
    few = len(words) <= 3 and "," not in line and not any(character.isdigit() for character in plain)
    return line if few or not words else None


def _is_symbol(word: str, dense: bool) -> bool:
    """Whether letters without a backslash may be mathematics: AB, xy, sin, cm; in a line without spaces, any."""
    lower = word.lower()
    if dense or word.isupper() or lower in FUNCTIONS or lower in CONSTANTS or lower in ("percent", "degrees"):
        return True
    return (len(word) == 2 and lower not in _SHORT_WORDS) or measure(lower) is not None or meaning(word) is not None


def _hashes(text: str) -> str | None:
    matches = _HASHES.findall(text)
    return (matches[-1][0] or matches[-1][1]).strip() if matches else None


def _tagged(text: str) -> str | None:
    start = text.lower().rfind("<answer>")
    match = _TAG.match(text, start) if start >= 0 else None
    return match[1].strip() if match else None


_FINDERS = {
    "answer_tag": _tagged,
    "final_answer": lambda text: after_marker(_FINAL, text),
    "hashes": _hashes,
    "answer_colon": lambda text: (
        after_marker(_COLON, text) or after_marker(_BARE, text) or before_marker(_BEFORE, text)
    ),
    "whole": _whole,
    "last_expression": last_expression,
    "last_math": last_math,
    "last_number": last_number,
}
FALLBACKS = tuple(_FINDERS)
"""Where to look, in the caller's order, when there is no box."""
DEFAULT_FALLBACKS = ("answer_tag", "final_answer", "hashes", "answer_colon", "whole", "last_expression")
