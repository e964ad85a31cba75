"""Finds the expression that prose gives as its answer: after a marker such as "answer:", before one, or the last."""

from __future__ import annotations

import re

from rl_reason_verifiers._phrases import meaning
from rl_reason_verifiers._units import measure

_TAIL_CHARS = 2_000
"""How far these functions look."""
_MAX_SENTENCES = 12

MATH = re.compile(
    r"\$\$(?P<display>.+?)\$\$|\\\[(?P<bracket>.+?)\\\]|\\\((?P<paren>.+?)\\\)"
    r"|(?<![\\$\w])\$(?=\S)(?P<tight>(?:\\.|[^$\\]){1,400}?)(?<![\s=+*/])\$(?!\d)"
    r"|(?<![\\$\w])\$(?P<loose>\s(?:\\.|[^$\\]){0,400}?\s)\$",
    re.S,
)
"""Mathematics between delimiters. `$` counts when it is tight on both sides or loose on both: prices are neither."""
_GROUP = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]{0,200}\}){0,200}\}){0,200}\}"
_NUMBER = re.compile(
    r"(?<![\w.^_{])(?:(?<![\d)%] )(?<![\d)%])[-+])?[$€£]?-?"
    r"(?:[1-9]\d{0,2}(?:,\d{3})+(?!\d)|[1-9]\d{0,2}(?: \d{3})+(?![\d.])|\d+,\d{1,2}(?![\d,])|\d+)?(?:\.\d+|(?<=\d))"
    r"(?:[eE][-+]?\d+)?(?:\s?/\s?\d+(?![\d.,]*\d*\s*=))?(?:\s?\\?%)?"
)
_PIECE = re.compile(
    rf"(?P<math>{MATH.pattern})|\\[A-Za-z]+(?:\s?(?:{_GROUP}|\[[^\[\]]{{0,40}}\]))*|\\[{{}}|%]|{_GROUP}"
    r"|(?P<value>[$€£]?(?:\d+(?:,\d{3})+(?!\d)|\d{1,3}(?: \d{3})+(?![\d.])|\d+)?(?:\.?\d+)(?:[eE][-+]?\d+)?%?)"
    r"|(?:sin|cos|tan|log|ln|exp|sqrt|pi)(?![A-Za-z])|(?<![A-Za-z'\u2019])[A-Za-z](?![A-Za-z'\u2019])"
    r"|[-+*/^_=<>(){}\[\]|!,;:\u2212\u00d7\u00b7\u00f7\u00b1\u2264\u2265\u2260\u221a\u221e\u03c0\u222a\u00b0\u00b2\u00b3]"
)
_JOIN = re.compile(r"\s{0,2}|\s?(?:and|or)\s")
_SUBSTANCE = re.compile(r"\d|\\[A-Za-z]{2}|[\u221e\u03c0]|(?<![A-Za-z])pi(?![A-Za-z])|\$[^$]+\$")
_ARTICLE = re.compile(r"[aAI]$")
_TRIM_LEFT = re.compile(r"^(?:[,;:!*/^_=<>)\]}|]\s*)+|^-\s+")
_TRIM_RIGHT = re.compile(r"(?:\s*(?:[-+*/^_=<>(\[{,;:|]|(?<=\d)!(?!\w)|(?<=\s)[A-Za-z]))+$")
_UNIT = re.compile(
    r"\s?((?:square |cubic |sq\.? |[a-zA-Z\u00b0]+/)?[A-Za-z]{1,12})(\^?[23]|[\u00b2\u00b3])?(?![A-Za-z])"
)
_GLUED_UNIT = re.compile(r"(?<=\d)\s?(m|cm|mm|km|ft|in)(\^?[23]|[\u00b2\u00b3])$")
_CLOCK = re.compile(r"\s?[ap]\.?\s?m\b\.?", re.I)
_EQUALS = re.compile(r"=\s{0,4}(?:[$€£]?<<[^<>\n]{0,200}>>)?\s{0,4}(?=[-+$€£.\d])")
_LETTERS = re.compile(r"[A-Za-z]{3}")
_OPTION = re.compile(r"^\s*\(?([A-H])[.):]\s|(?<![A-Za-z])\(?([A-H])[).]{0,2}\s*$")
"""A multiple-choice letter that begins or ends a text without numbers."""
_PHRASE = re.compile(r"\b(no (?:real )?solutions?|does not exist|all real numbers|all integers)\W{0,4}$", re.I)
_YES_NO = re.compile(r"\s*(yes|no|true|false)\b\s*[,.:;]", re.I)
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)|\u3002|\n")
_TURN = re.compile(
    r"[,;]?\s*\b(?:because|since|as|which|where|when|whereas|but|not|rather|so|after|given|if|then|thus|hence|"
    r"I hope|obtained|using|from)\b|,\s+(?:it|this|that|they|we|you|I|he|she)\b|\s--?\s[a-z]{2}|\s\([a-z]{3}"
)
"""Where a sentence stops giving its answer and starts to explain it."""
_COPULA = re.compile(r"\b(?:is|are|equals?|be|was)\b\s*:?\s*|[:\uff1a]\s+")
_STOP_WORDS = re.compile(r"\s*(?:I hope it is correct|<\|im_|<\|end|<\|eot|</s>|</?answer).*", re.S)
_FILLER = re.compile(r"^(?:for sure|definitely|certainly|clearly|simply|just|therefore|thus|exactly)\s+", re.I)
_ADORNMENT = " *_`\"'\n\t"


def after_marker(marker: re.Pattern[str], text: str) -> str | None:
    """The answer that stands after the last marker; None if there is none."""
    for match in reversed(list(marker.finditer(text))[-3:]):
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
    """The last mathematics of a text, with the unit that follows it.

    That is a run of numbers, LaTeX, letters and signs with a number or a command in it; or what a calculation in the
    last line that has any comes to. Without either, a multiple-choice letter or a number word at the end.
    """
    tail = text[-_TAIL_CHARS:]
    result = _result(tail)
    if result is not None:
        return result
    for sentence in reversed(_sentences(tail)[-_MAX_SENTENCES:]):
        found = _runs(sentence)
        if found:
            return _with_unit(sentence, *found[-1])
    option = _OPTION.search(tail)
    if option:
        return option[1] or option[2]
    phrase = _PHRASE.search(tail) or _YES_NO.match(tail)
    if phrase:
        return phrase[1]
    words = re.findall(r"[A-Za-z]+", tail)[-1:]
    return words[0] if words and meaning(words[0]) else None


def last_math(text: str) -> str | None:
    """The last mathematics between delimiters."""
    matches = list(MATH.finditer(text[-_TAIL_CHARS:]))
    return inside(matches[-1]) if matches else None


def last_number(text: str) -> str | None:
    """The last number outside words."""
    found = None
    for match in _NUMBER.finditer(text[-_TAIL_CHARS:]):
        if any(character.isdigit() for character in match.group()):
            found = match
    return found.group().strip() if found else None


def inside(match: re.Match[str]) -> str:
    """What is between the delimiters."""
    names = ("display", "bracket", "paren", "tight", "loose")
    return next(match[name] for name in names if match[name] is not None).strip()


def _sentences(text: str) -> list[str]:
    """The text cut at full stops and line ends that stand outside delimited mathematics."""
    covered = [match.span() for match in MATH.finditer(text)]
    cuts, at = [0], 0
    for end in _SENTENCE_END.finditer(text):
        while at < len(covered) and covered[at][1] <= end.start():
            at += 1
        if at == len(covered) or not covered[at][0] <= end.start():
            cuts.append(end.end())
    return [text[begin:end] for begin, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _result(text: str) -> str | None:
    """The number after the last `=` of the last line, if words follow it: 2 + 3 = 5 apples in 2 days."""
    line = text.rstrip().rpartition("\n")[2]
    equals = list(_EQUALS.finditer(line))
    if not equals or MATH.search(line):
        return None
    number = _NUMBER.match(line, equals[-1].end())
    if number is None or not (_LETTERS.search(line, number.end()) or "<<" in line):
        return None
    return number.group().strip()


def _runs(text: str) -> list[tuple[int, int]]:
    """Where the runs of mathematics in a text begin and end."""
    groups: list[list[int]] = []
    for match in _PIECE.finditer(text):
        article = _ARTICLE.match(match.group()) and re.match(r"\s[a-z']{2}|'", text[match.end() :])
        if article:
            continue
        if groups and _JOIN.fullmatch(text, groups[-1][1], match.start()):
            groups[-1][1] = match.end()
        else:
            groups.append([match.start(), match.end()])
    found: list[tuple[int, int]] = []
    for begin, end in groups:
        left = _TRIM_LEFT.match(text[begin:end])
        begin += left.end() if left else 0
        kept = _TRIM_RIGHT.sub("", text[begin:end])
        if _SUBSTANCE.search(kept):
            found.append((begin, begin + len(kept)))
    return found


def _with_unit(text: str, begin: int, end: int) -> str:
    """The run, with a per cent sign, a time of day or a known unit that follows it."""
    run = text[begin:end].strip()
    delimited = MATH.fullmatch(run)
    run = inside(delimited) if delimited else _GLUED_UNIT.sub(r"\\text{ \1}\2", run)
    clock = _CLOCK.match(text, end) if ":" in run else None
    if clock:
        return run + clock.group()
    unit = _UNIT.match(text, end)
    if unit is None:
        return run
    if unit[1] in ("percent", "pct"):
        return run + "%"
    known = unit[1].lower() in ("degrees", "degree") or (len(unit[1]) > 1 and measure(unit[1]))
    lone = len(unit[1]) == 1 and measure(unit[1]) and (unit[2] or not text[unit.end() :].strip(" ."))
    return f"{run}\\text{{ {unit[1]}}}{unit[2] or ''}" if known or lone else run


def _given(rest: str) -> str | None:
    math = MATH.match(rest)
    sentence = _cut(rest[math.end() :], 0) if math else _cut(rest, 1)
    if math:
        joined = rest[: math.end()] + sentence
        first = _runs(joined)[:1]
        return _with_unit(joined, *first[0]) if first else inside(math)
    sentence = sentence.strip(_ADORNMENT)
    piece = _FILLER.sub("", _COPULA.split(sentence)[-1].strip(_ADORNMENT) or sentence)
    if piece.count("}") > piece.count("{"):
        piece = piece.rstrip("}\"' ")
    runs = _runs(piece)
    if not runs:
        return piece if len(piece) <= 100 else None
    first = next((run for run in runs if run[0] == 0), None)
    if first and not _LETTERS.search(re.sub(r"\\[A-Za-z]+", "", piece)):
        return piece
    return _with_unit(piece, *(first or runs[-1]))


def _cut(text: str, least: int) -> str:
    """The text up to where its sentence ends or, after `least` characters, turns to an explanation."""
    sentence = _SENTENCE_END.split(text, maxsplit=1)[0]
    turn = _TURN.search(sentence, least)
    return sentence[: turn.start()] if turn else sentence
