"""Reads numbers with their units out of text: signs, separators, exponents, fractions, digits of other scripts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from rl_reason_verifiers._unicode import ascii_digits

MAX_DIGITS = 400
"""A number with more digits, or a larger exponent, is not read: nobody means it, and it would cost time."""
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{FULLWIDTH HYPHEN-MINUS}\N{FIGURE DASH}", "-"),
        **dict.fromkeys("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}", " "),
        **dict.fromkeys("\N{MULTIPLICATION SIGN}\N{MIDDLE DOT}\N{DOT OPERATOR}", "*"),
        **{"\N{FULLWIDTH FULL STOP}": ".", "\N{FULLWIDTH COMMA}": ",", "\N{FULLWIDTH PERCENT SIGN}": "%"},
        **{"\N{ARABIC DECIMAL SEPARATOR}": ".", "\N{ARABIC THOUSANDS SEPARATOR}": ","},
        **{"\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{GREEK SMALL LETTER MU}": "\N{MICRO SIGN}"},
    }
)
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_LOWERED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_REWRITES = [
    (re.compile(r"(?<!\\)\$(?=[^\s$])([^$\n]{1,200})(?<=[^\s\\])\$(?!\d)"), r"\1"),  # a formula, not two prices
    (re.compile(r"(?<=\d)\s?\*\*\s?(?=[-+]?\d)"), "^"),
    (re.compile(r"\\(?:left|right|displaystyle|mathbf|mathrm|textbf|text|mbox|operatorname)(?![A-Za-z])\s?"), ""),
    (re.compile(r"(?<=\d)(?:\{,\}|,?\\[,!;:]|\\ )(?=\d{3}(?!\d))"), ","),
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])\s?"), "*"),
    (re.compile(r"\\[dt]?frac\s?\{\s?(-?\d+)\s?\}\s?\{\s?(\d+)\s?\}|\\[dt]?frac\s?(\d)\s?(\d)"), r" \1\3/\2\4 "),
    (re.compile(r"\^\s?\{?\s?\\circ\s?\}?|\\(?:degree|deg)(?![A-Za-z])"), "°"),
    (re.compile(r"\\([%$#&_])"), r"\1"),
    (_RAISED, lambda match: "^" + match.group().translate(_LOWERED)),
    (re.compile(r"\\[()\[\],;:! ]|\\q?quad(?![A-Za-z])|[{}*`]{2,}|[{}`~]|\$(?!\s?[\d.])"), " "),
    (re.compile(r"[^\S\n]+"), " "),
]
_NUMBER = re.compile(
    r"""
    (?<![\w.^]) (?P<sign>[-+]?)\s?(?P<money>[$€£¥₹]?)\s?(?P<inner>-?)
    (?: (?:(?P<mixed>\d+)\s(?:and\s)?)? (?P<over>\d+)\s?/\s?(?P<under>\d+) (?![\d./])
      | (?P<ten>10)\s?\^\s?(?P<power>[-+]?\d+)
      | (?P<digits>(?:\d{1,3}(?:(?P<sep>[,_' ])\d{3})(?:(?P=sep)\d{3})*(?!\d)|\d+)(?:\.\d+)?|\.\d+)
        (?: [eE](?P<exponent>[-+]?\d+)(?!\w) | \s?[*xX]\s?10\s?\^\s?(?P<scale>[-+]?\d+) )?
    )
    """,
    re.X,
)
_NEAR_CHARS = 20
_FUNCTION = r"\\(?:sqrt|frac|binom|pi|log|ln|exp|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|overline)"
_OPERATOR_BEFORE = re.compile(rf"(?:{_FUNCTION}(?:\[[^\]]*\]?)?|[√π^_])\s?\(?$")
_OPERATOR_AFTER = re.compile(rf"\s?(?:{_FUNCTION}|[√π^])|[abceiknpqrtxyz](?![\w/])")
_WORD = r"(?:[^\W\d_]+|°\s?[CFK]?\b|°|%)"
_UNIT = re.compile(
    rf"[\s-]?(?P<unit>(?:(?:square|cubic|sq)\.?\s)?{_WORD}(?:\s?\^\s?-?\d)?"
    rf"(?:\s?(?:/|\*|\bper\b)\s?{_WORD}(?:\s?\^\s?-?\d)?){{0,3}})",
    re.I,
)
_SPELLED = {
    **dict.fromkeys(("dollar", "usd", "buck"), "$"),
    **dict.fromkeys(("euro", "eur"), "€"),
    **dict.fromkeys(("percent", "pct"), "%"),
    **dict.fromkeys(("degree", "deg"), "°"),
    **dict.fromkeys(("meter", "metre"), "m"),
    **dict.fromkeys(("kilometer", "kilometre"), "km"),
    **dict.fromkeys(("centimeter", "centimetre"), "cm"),
    **dict.fromkeys(("millimeter", "millimetre"), "mm"),
    **dict.fromkeys(("liter", "litre", "l"), "L"),
    **dict.fromkeys(("second", "sec"), "s"),
    **dict.fromkeys(("minute", "min"), "min"),
    **dict.fromkeys(("hour", "hr"), "h"),
    **{"gram": "g", "kilogram": "kg", "inches": "inch", "feet": "ft", "foot": "ft", "mph": "mile/h", "kph": "km/h"},
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it stands in a text."""

    value: Fraction
    unit: str
    """In one spelling ("meters" is "m", "dollars" is "$"); empty if there is none."""
    start: int
    end: int


def clean(text: str, *, decimal_comma: bool = False) -> str:
    """The text as `quantities` reads it: LaTeX, signs and digits in one spelling."""
    text = ascii_digits(text.translate(_SIGNS))
    if decimal_comma:
        text = text.translate(str.maketrans(",.", ".,"))
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text


def quantities(text: str) -> list[Quantity]:
    """All numbers of a cleaned text that can be read, in order."""
    found = [(match, _value(match)) for match in _NUMBER.finditer(text) if not _in_expression(match, text)]
    return [Quantity(value, *_unit(match, text)) for match, value in found if value is not None]


def is_one_number(text: str) -> bool:
    """Whether a cleaned text is one number, maybe with a unit, words about it, and a name before `=`; no expression."""
    found = quantities(text)
    if len(found) != 1:
        return False
    rest = text[: found[0].start].rpartition("=")[2] + " " + text[found[0].end :]
    return not re.search(r"[\d\\^_+*/<>|√π∞=]", rest)


def _in_expression(match: re.Match[str], text: str) -> bool:
    """Whether the number is only a part of a larger one: 2π, 3√5, x^2, 5x."""
    before = text[max(0, match.start() - _NEAR_CHARS) : match.start()]
    return bool(_OPERATOR_BEFORE.search(before) or _OPERATOR_AFTER.match(text, match.end()))


def canonical_unit(unit: str) -> str:
    """One spelling for a unit: words singular and lower case, symbols as they are, `per` is `/`, `square m` `m^2`."""
    unit = re.sub(r"\s?\bper\b\s?", "/", unit.translate(_SIGNS).strip(), flags=re.I)
    unit = _RAISED.sub(lambda match: "^" + match.group().translate(_LOWERED), unit)
    raised = re.match(r"(square|sq|cubic)\.?\s", unit, re.I)
    if raised:
        unit = unit[raised.end() :] + ("^3" if raised[1].lower() == "cubic" else "^2")
    return re.sub(r"[^\W\d_]+", lambda match: _canonical_word(match.group()), unit.replace(" ", ""))


def _canonical_word(word: str) -> str:
    lower = word.lower()
    for form in (lower, lower.removesuffix("s")):
        if form in _SPELLED and (len(word) > 2 or word == "l"):
            return _SPELLED[form]
    return (lower.removesuffix("s") if not lower.endswith("ss") else lower) if len(word) > 3 else word


def _unit(match: re.Match[str], text: str) -> tuple[str, int, int]:
    if match["money"]:
        return match["money"], match.start(), match.end()
    after = _UNIT.match(text, match.end())
    if after is None:
        return "", match.start(), match.end()
    return canonical_unit(after["unit"]), match.start(), after.end()


def _value(match: re.Match[str]) -> Fraction | None:
    sign = -1 if (match["sign"] == "-") != (match["inner"] == "-") else 1
    if match.end() - match.start() > MAX_DIGITS:
        return None
    if match["over"]:
        if not int(match["under"]):
            return None
        return sign * (int(match["mixed"] or 0) + Fraction(int(match["over"]), int(match["under"])))
    power = match["power"] or match["exponent"] or match["scale"] or "0"
    if len(power) > 5 or abs(int(power)) > MAX_DIGITS:
        return None
    if match["ten"]:
        return sign * Fraction(10) ** int(power)
    digits = re.sub(r"[,_' ]", "", match["digits"])
    return sign * Fraction(digits if digits[0] != "." else "0" + digits) * Fraction(10) ** int(power)
