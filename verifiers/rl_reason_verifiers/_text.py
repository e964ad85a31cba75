"""Brings the text of an answer into one spelling before it is parsed, and reads plain numbers, words and times."""

from __future__ import annotations

import re
from fractions import Fraction

_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}", "-"),
        **dict.fromkeys("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}~", " "),
        **{chr(ord(sign) + 0xFEE0): sign for sign in "=,;:()%+"},  # full width, as in Chinese text
        "\N{ZERO WIDTH SPACE}": "",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    }
)
_SIGNS = {
    "\N{MULTIPLICATION SIGN}": r"\times ",
    "\N{MIDDLE DOT}": r"\cdot ",
    "\N{DOT OPERATOR}": r"\cdot ",
    "\N{UNION}": r"\cup ",
    "\N{DOUBLE-STRUCK CAPITAL R}": "R",
    **{"÷": "/", "π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt ", "°": r"^\circ ", "±": r"\pm "},
    **{"≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∩": r"\cap ", "∈": r"\in "},
    **{"²": "^2", "³": "^3", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}"},
    **{"<=": r"\le ", ">=": r"\ge ", "!=": r"\ne ", "**": "^"},
}
_REWRITES = [
    (re.compile(r"(?<!\\)\\\\(?=[a-zA-Z])(?!.*\\begin)", re.S), "\\\\"),
    (re.compile(r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|mathstrut)(?![A-Za-z])\.?"), ""),
    (re.compile(r"(\d)(?:,\s*\\!\s*|\{,\}\s*|\\,\s*|\\!\s*)(?=\d{3}(?!\d))"), r"\1"),
    (re.compile(r"\\\$|\\\(|\\\)|\\\[|\\\]|(?<!\\)[$£€]"), " "),
    (re.compile(r"(?<!\\)\\[,;:!> ]|\\(?:quad|qquad|hfill|hspace\{[^}]*\}|phantom\{[^}]*\})(?![A-Za-z])"), " "),
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\(?:leqslant|leqq|leq)(?![A-Za-z])"), r"\\le "),
    (re.compile(r"\\(?:geqslant|geqq|geq)(?![A-Za-z])"), r"\\ge "),
    (re.compile(r"\\neq(?![A-Za-z])"), r"\\ne "),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\(?:lbrace|lbrack)(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\(?:rbrace|rbrack)(?![A-Za-z])"), r"\\}"),
    (re.compile(r"\\(?:degree|degrees)(?![A-Za-z])"), r"^\\circ "),
    (re.compile(r"\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![A-Za-z])"), " \\\\circ "),
    (
        re.compile(r"\\(?:mathrm|mathbf|mathit|mathsf|textbf|textit|rm|bf|boldsymbol|mathbb|mathcal)\s*\{([A-Za-z])\}"),
        r"\1",
    ),
    (re.compile(r"\\(?:mathbf|boldsymbol|mathbb|mathcal|overrightarrow|vec|bm)(?![A-Za-z])"), ""),
    (re.compile(r"\\text\s*\{\s*(?:,\s*)?(?:and|or)\s*\}|,?\s*\b(?:and|or)\b"), " , "),
    (re.compile(r"\\(?:approx|simeq|doteq|dots[a-z]*\s*\.?\s*$).*", re.S), ""),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"%\s*\b(?:percent)\b|\b(?:percentage|percent|pct)\b(?!\s*points)"), "%"),
]
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname|emph)\s*\{([^{}]*)\}")
_COMMAS = re.compile(r"(?:\s*,\s*){2,}")
_PLAIN = re.compile(r"([-+]?)\s*([1-9]\d{0,2}(?:,\d{3})+(?!\d)|\d+)?(?:\.(\d*))?(?:[eE]([-+]?\d{1,4}))?")
_PLAIN_FRACTION = re.compile(r"([-+]?)\s*(?:\\frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}|(\d+)\s*/\s*(\d+))")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)\s*(?:\\(?:text|mathrm|mbox)\s*\{)?\s*(?:([ap])\.?\s*m\.?)?\s*\}?", re.I)
_WORDS = re.compile(r"[A-Za-z][A-Za-z\s.,'\-]+")


def normal(text: str) -> str:
    """The text in one spelling. Every rewrite is linear or works on text already cut to a bounded length."""
    text = text.strip().translate(_CHARACTERS)
    for sign, spelled in _SIGNS.items():
        text = text.replace(sign, spelled)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = _COMMAS.sub(" , ", " ".join(text.split()))
    return text.strip(" ,;").removesuffix(".").rstrip(" ,;:\\")


def bare_words(text: str) -> str | None:
    """Letters and digits of an answer that is words, in lower case; None if there is mathematics in it."""
    unwrapped = _WRAPPED.sub(r" \1 ", text).strip()
    if not _WORDS.fullmatch(unwrapped):
        return None
    return re.sub(r"[^a-z0-9]+", "", unwrapped.casefold())


def clock(text: str) -> tuple[int, bool] | None:
    """(minutes after midnight, whether a.m. or p.m. was said) of a time of day; None for all else."""
    match = _CLOCK.fullmatch(text)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        return None
    if match[3] is None:
        return int(match[1]) * 60 + int(match[2]), False
    hour = int(match[1]) % 12 + 12 * (match[3].lower() == "p")
    return hour * 60 + int(match[2]), True


def decimal_comma(text: str) -> Fraction | None:
    """The value of 2,74 read as a decimal; None for all else."""
    return plain_number(text.replace(",", ".")) if _DECIMAL_COMMA.fullmatch(text) else None


def plain_number(text: str) -> Fraction | None:
    """The value of a plain decimal (thousands separators and an exponent allowed) or fraction; None for all else."""
    match = _PLAIN.fullmatch(text)
    if match and (match[2] or match[3]):
        digits = (match[2] or "0").replace(",", "")
        exponent = int(match[4] or 0)
        if len(digits) + len(match[3] or "") > 4_000 or abs(exponent) > 4_000:
            return None
        value = Fraction(int(digits + (match[3] or ""))) * Fraction(10) ** (exponent - len(match[3] or ""))
        return -value if match[1] == "-" else value
    match = _PLAIN_FRACTION.fullmatch(text)
    if match is None:
        return None
    above, below = (match[2], match[3]) if match[2] else (match[4], match[5])
    if len(above) + len(below) > 4_000 or int(below) == 0:
        return None
    value = Fraction(int(above), int(below))
    return -value if match[1] == "-" else value
