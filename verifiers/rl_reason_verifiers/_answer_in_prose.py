"""Finds the expression that prose gives as its answer: after a marker such as "answer:", before one, or the last."""

from __future__ import annotations

import re

_TAIL_CHARS = 4_000
"""How far these functions look: their patterns are not linear in the length."""

MATH = re.compile(
    r"\$\$(?P<display>.+?)\$\$|\\\[(?P<bracket>.+?)\\\]|\\\((?P<paren>.+?)\\\)"
    r"|(?<![\\$\w])\$(?P<tight>[^\s$](?:(?:\\.|[^$\\]){0,400}?[^\s$\\])?)\$(?!\d)"
    r"|(?<![\\$\w])\$(?P<loose>\s(?:\\.|[^$\\]){0,400}?\s)\$",
    re.S,
)
"""Mathematics between delimiters. `$` counts when it is tight on both sides or loose on both: prices are neither."""
_NUMBER = re.compile(
    r"(?<![\w.^_{])(?:(?<![\d)%] )(?<![\d)%])[-+])?[$€£]?-?(?:[1-9]\d{0,2}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+|(?<=\d))"
    r"(?:[eE][-+]?\d+)?(?:\s?/\s?\d+(?![\d.,]*\d*\s*=))?(?:\s?\\?%)?"
)
_EQUALS = re.compile(r"=\s{0,4}(?:[$€£]?<<[^<>\n]{0,200}>>)?\s{0,4}(?=[-+$€£.\d])")
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)|。|\n")
_TURN = re.compile(
    r"[,;]?\s*\b(?:because|since|as|which|where|when|whereas|but|not|rather|so|after|given|if|then|thus|hence|"
    r"I hope|obtained|using|from)\b|\s--?\s[a-z]{2}|\s\([a-z]{3}"
)
"""Where a sentence stops giving its answer and starts to explain it."""
_COPULA = re.compile(r"\b(?:is|are|equals?|be|was)\b\s*:?\s*|[:\uff1a]\s+|(?<=[A-Za-z\s$])=(?=\s)")
_STOP_WORDS = re.compile(r"\s*(?:I hope it is correct|<\|im_|<\|end|<\|eot|</s>|</?answer).*", re.S)
_MANY_WORDS = 4
_ADORNMENT = " *_`\"'\n\t"


def after_marker(marker: re.Pattern[str], text: str) -> str | None:
    """The answer that stands after the last marker; None if there is none."""
    matches = list(marker.finditer(text))
    for match in reversed(matches[-3:]):
        found = _given(_STOP_WORDS.sub("", text[match.end() :][:_TAIL_CHARS]).strip(_ADORNMENT))
        if found:
            return found
    return None


def before_marker(marker: re.Pattern[str], text: str) -> str | None:
    """The last expression of the sentence that a marker such as "is the answer" ends."""
    matches = list(marker.finditer(text))
    if not matches:
        return None
    return last_expression(_SENTENCE_END.split(text[max(0, matches[-1].start() - 200) : matches[-1].start()])[-1])


def last_expression(text: str) -> str | None:
    """Delimited mathematics or a number, whichever ends last, with the per cent sign or unit that follows it."""
    tail = text[-_TAIL_CHARS:]
    segments = list(MATH.finditer(tail))
    end = segments[-1].end() if segments else 0
    number = _result(tail, end) or _last_match(tail, end)
    if number is None:
        return _with_unit(tail, segments[-1]) if segments else None
    return number.group().strip()


def _result(text: str, start: int) -> re.Match[str] | None:
    """The number after the last `=` of the last line that has numbers: what a calculation in prose ends in."""
    line = max((text.rfind("\n", 0, len(text.rstrip())), start - 1))
    equals = _EQUALS.search(text, line + 1)
    while equals:
        later = _EQUALS.search(text, equals.end())
        if later is None:
            return _NUMBER.match(text, equals.end())
        equals = later
    return None


def last_math(text: str) -> str | None:
    """The last mathematics between delimiters."""
    matches = list(MATH.finditer(text[-_TAIL_CHARS:]))
    return inside(matches[-1]) if matches else None


def last_number(text: str) -> str | None:
    """The last number outside words."""
    match = _last_match(text[-_TAIL_CHARS:], 0)
    return match.group().strip() if match else None


def inside(match: re.Match[str]) -> str:
    """What is between the delimiters."""
    return next(group for group in match.groups() if group is not None).strip()


def _last_match(text: str, start: int) -> re.Match[str] | None:
    found = None
    for match in _NUMBER.finditer(text, start):
        if any(character.isdigit() for character in match.group()):
            found = match
    return found


def _with_unit(text: str, segment: re.Match[str]) -> str:
    percent = re.compile(r"\s*(?:\\?%|percent\b)").match(text, segment.end())
    return inside(segment) + (percent.group() if percent else "")


def _given(rest: str) -> str | None:
    math = MATH.match(rest)
    if math:
        sentence = _cut(rest[math.end() :])
        joined = math.group() + sentence
        return joined.strip() if len(sentence.split()) <= _MANY_WORDS or MATH.search(sentence) else math.group()
    sentence = _cut(rest).strip(_ADORNMENT)
    piece = _COPULA.split(sentence)[-1].strip(_ADORNMENT) or sentence
    inner = list(MATH.finditer(piece))
    if inner:
        return piece if len(MATH.sub("", piece).split()) <= 1 else inside(inner[-1])
    if len(piece.split()) <= _MANY_WORDS:
        return piece or None
    first = _NUMBER.match(piece)
    if (
        first
        and any(character.isdigit() for character in first.group())
        and re.match(r"\s+[A-Za-z]{3}", piece[first.end() :])
    ):
        return first.group()
    return last_number(piece) or (piece if len(piece) <= 100 else None)


def _cut(text: str) -> str:
    """The text up to where its sentence ends or turns to an explanation."""
    sentence = _SENTENCE_END.split(text, maxsplit=1)[0]
    turn = _TURN.search(sentence)
    return sentence[: turn.start()] if turn and turn.start() else sentence
