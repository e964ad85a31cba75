"""Words that stand for mathematics: number words, "no solution", "all real numbers", and multiple-choice letters."""

from __future__ import annotations

import re

_NOTHING = "nosolution nosolutions norealsolution norealsolutions nosuchnumber theemptyset emptyset thereisnosolution"
_UNDEFINED = "dne doesnotexist undefined notdefined limitdoesnotexist thelimitdoesnotexist"
_EVERYTHING = "allreals allrealnumbers allrealnumber realnumbers thereals therealnumbers anyrealnumber allrealx"
_MEANINGS = {
    **dict.fromkeys(["allintegers", "theintegers", "integers"], "Z"),
    **dict.fromkeys(_NOTHING.split(), r"\emptyset"),
    **dict.fromkeys(_UNDEFINED.split(), "undefined"),
    **dict.fromkeys(_EVERYTHING.split(), r"\reals"),
    **{
        "infinity": r"\infty",
        "positiveinfinity": r"\infty",
        "negativeinfinity": r"-\infty",
        "minusinfinity": r"-\infty",
    },
    **{"onehalf": "1/2", "ahalf": "1/2", "half": "1/2", "onethird": "1/3", "twothirds": "2/3", "onequarter": "1/4"},
    **{"onefourth": "1/4", "threequarters": "3/4", "threefourths": "3/4"},
}
_SMALL = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {**{word: n for n, word in enumerate(_SMALL)}, **{word: 20 + 10 * n for n, word in enumerate(_TENS)}}
_LARGE = {"thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_CHOICE = re.compile(
    r"(?:\\(?:text|textbf|textrm|mathrm|mathbf|mbox|bf|rm)\s*)?\{?\s*(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer)\s+)?"
    r"(?:\(\s*([A-Ja-j])\s*\)|([A-J])\s*[).:](?=\s|\}|$)|([A-J])(?=\s+[A-Z][a-z]|\s*\}?\s*$))"
    r"(?:\s*[.:]?\s*(?:\}\s*|\s|$))((?![-+*/^=<>!,;_]\s*)\S.*|(?<=\s)-\d.*)?",
    re.S,
)


def meaning(words: str) -> str | None:
    """What a phrase means, in LaTeX; None for words that are just words."""
    squeezed = re.sub(r"[^a-z]", "", words.casefold())
    if squeezed in _MEANINGS:
        return _MEANINGS[squeezed]
    value = _number(re.findall(r"[a-z]+", words.casefold()))
    return None if value is None else str(value)


def _number(words: list[str]) -> int | None:
    """The value of number words such as ["three", "hundred", "and", "five"]; None if another word is among them."""
    negative = words[:1] in (["minus"], ["negative"])
    total = group = 0
    words = [word for word in words[negative:] if word != "and"]
    if not words or len(words) > 12:
        return None
    for word in words:
        if word in _VALUES:
            group += _VALUES[word]
        elif word == "hundred":
            group = (group or 1) * 100
        elif word in _LARGE:
            total, group = total + (group or 1) * _LARGE[word], 0
        else:
            return None
    return -(total + group) if negative else total + group


def choice(text: str) -> tuple[str, str] | None:
    """(letter, the rest) of a multiple-choice answer such as `(B) 5`, `\\text{(B)}` or `B.`; None for all else."""
    match = _CHOICE.fullmatch(text)
    if match is None:
        return None
    return (match[1] or match[2] or match[3]).upper(), (match[4] or "").strip().removesuffix("}").strip()
