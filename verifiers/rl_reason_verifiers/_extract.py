"""Finds the answer in a response: the last \\boxed{…} with its braces balanced, and the documented fallbacks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_SEARCH_CHARS = 200_000
"""Only the end of a longer response is looked at."""
_MAX_BOXES = 8
_TAIL_CHARS = 4_000
"""How far the fallbacks look: their patterns are not linear in the length."""
_UNCLOSED_TRIES = 3
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BOX_WORDS = ("\\boxed", "\\fbox")
_BETWEEN_BOXES = re.compile(r"(?:[\s$,;.\\()\[\]{}]|\\?text|mbox|q?quad|\band\b)*")
_HASHES = re.compile(r"####[ \t]*(\S[^\n]*)")
_FINAL = re.compile(r"final\s+answer\b\**\s*(?:is\b|:)?\s*:?(?:\s*the\s+final\s+answer\s+is\b:?)?\s*", re.I)
_COLON = re.compile(r"(?:\banswer\**\s*(?:is\b\s*:?|:)|^A:)\**[ \t]*", re.I | re.M)
_MATH = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<!\\)\$((?:\\.|[^$\\])+?)(?<!\\)\$", re.S)
_NUMBER = re.compile(r"(?<![\w.])[-+]?[$€£]?(?:[1-9]\d{0,2}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?%?")
_SENTENCE_END = re.compile(r"\.(?:\s|$)|\n")
_TWO_WORDS = re.compile(r"[A-Za-z]{3,}[\s,:]+[A-Za-z]{2,}|[A-Za-z]{4,}\s*:")
_STOP_WORDS = re.compile(r"\s*(?:I hope it is correct|<\|im_|<\|end).*", re.S)

FALLBACKS = ("final_answer", "hashes", "answer_colon", "whole", "last_math", "last_number")
"""Where to look, in the caller's order, when there is no box."""


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
            return box
        end = start
    return None


def find_answer(response: str, fallbacks: Sequence[str]) -> str | None:
    """The answer's text, or None. Boxes that only "and" or a comma parts are one answer: a list."""
    text = response[-MAX_SEARCH_CHARS:]
    box = last_boxed(text)
    if box is not None:
        return _joined(text, box)
    for name in fallbacks:
        found = _FINDERS[name](text)
        if found:
            return found
    return None


def _box_at(text: str, start: int) -> Box | None:
    match = _BOX.match(text, start)
    if match is None:
        return None
    at = match.end()
    if text[at : at + 1] != "{":
        word = re.compile(r"[^\s$}]+").match(text, at)  # TeX also takes \boxed 5
        return Box(word.group(), start, word.end()) if word else None
    depth = 0
    for brace in re.compile(r"(?<!\\)[{}]").finditer(text, at):
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
        if len(between) > 40 or not re.search(r"\band\b|,|;", between) or not _BETWEEN_BOXES.fullmatch(between):
            break
        boxes.insert(0, before)
    return ", ".join(box.text for box in boxes)


def _after(pattern: re.Pattern[str], text: str) -> str | None:
    matches = list(pattern.finditer(text))
    if not matches:
        return None
    rest = _STOP_WORDS.sub("", text[matches[-1].end() :][:_TAIL_CHARS].strip())
    math = _MATH.match(rest)
    if math:
        tail = _SENTENCE_END.split(rest, maxsplit=1)[0]
        return (tail if len(tail) > len(math.group()) else math.group()).strip()
    sentence = _SENTENCE_END.split(rest, maxsplit=1)[0].strip().strip("*").strip()
    sentence = re.split(r"\bis\b:?\s*", sentence)[-1] or sentence
    inner = list(_MATH.finditer(sentence))
    if inner:
        return _inside(inner[-1])
    if len(sentence.split()) > 4:
        return _last_number(sentence)
    return sentence or None


def _inside(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None).strip()


def _last_math(text: str) -> str | None:
    matches = list(_MATH.finditer(text[-_TAIL_CHARS:]))
    return _inside(matches[-1]) if matches else None


def _last_number(text: str) -> str | None:
    matches = [
        match.group() for match in _NUMBER.finditer(text[-_TAIL_CHARS:]) if any(c.isdigit() for c in match.group())
    ]
    return matches[-1] if matches else None


def _whole(text: str) -> str | None:
    """The response itself when it is one short line without words."""
    line = text.strip()
    return None if len(line) > 100 or "\n" in line or _TWO_WORDS.search(line) else line or None


def _hashes(text: str) -> str | None:
    matches = _HASHES.findall(text)
    return matches[-1].strip() if matches else None


_FINDERS = {
    "final_answer": lambda text: _after(_FINAL, text),
    "hashes": _hashes,
    "answer_colon": lambda text: _after(_COLON, text),
    "whole": _whole,
    "last_math": _last_math,
    "last_number": _last_number,
}
