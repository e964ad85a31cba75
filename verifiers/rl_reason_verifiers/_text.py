"""Brings the text of an answer into one spelling before it is parsed, and reads plain numbers, words and times."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from fractions import Fraction

_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}\N{FIGURE DASH}\N{NON-BREAKING HYPHEN}", "-"),
        **dict.fromkeys("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}~", " "),
        **dict.fromkeys("\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NO-BREAK SPACE}\N{WORD JOINER}", ""),
        **dict.fromkeys("\N{IDEOGRAPHIC COMMA}\N{ARABIC COMMA}", ","),
        **{"\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{PRIME}": "'", "\N{IDEOGRAPHIC FULL STOP}": "."},
    }
)
_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau"
_CAPITALS = ("Gamma", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega")
_SIGNS = {
    **{chr(0x3B1 + place): f"\\{name} " for place, name in enumerate(f"{_GREEK} upsilon phi chi psi omega".split())},
    **{sign: f"\\{name} " for sign, name in zip("ΓΘΛΞΠΣΦΨΩ", _CAPITALS, strict=True)},
    **{"\N{MULTIPLICATION SIGN}": r"\times ", "\N{MIDDLE DOT}": r"\cdot ", "\N{DOT OPERATOR}": r"\cdot "},
    **{"\N{UNION}": r"\cup ", "\N{DOUBLE-STRUCK CAPITAL R}": r"\mathbb{R}", "\N{EMPTY SET}": r"\emptyset "},
    **{"÷": "/", "∞": r"\infty ", "∛": r"\sqrt[3]", "√": r"\sqrt ", "°": r"^\circ ", "±": r"\pm ", "…": r"\ldots "},
    **{"≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∩": r"\cap ", "∈": r"\in ", "≈": r"\approx ", "≡": r"\equiv "},
    **{"½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}"},
    **{
        "<=": r"\le ",
        ">=": r"\ge ",
        "!=": r"\ne ",
        "⟨": r"\langle ",
        "⟩": r"\rangle ",
        "Δ": r"\Delta ",
        "∠": r"\angle ",
    },
}
_SCRIPTS = [
    (re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+"), "^", str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")),
    (re.compile("[₀₁₂₃₄₅₆₇₈₉]+"), "_", str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")),
]
_END = r"(?![A-Za-z])"
_ROMAN = "mathrm|mathbf|mathit|mathsf|textbf|textit|textrm|text|rm|bf|boldsymbol|mathbb|mathcal"
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_BASES = [
    *("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen"),
]
_AMOUNT = r"(-?\s*(?:\d[\d,.]*(?:\\frac\{\d+\}\{\d+\})?|\.\d+))"


def _repeating(match: re.Match[str]) -> str:
    """0.1 and the digits 6 that repeat, as a fraction."""
    whole, first, repeated = match[1] or "0", match[2] or "", match[3]
    if len(whole) + len(first) + len(repeated) > 60:
        return match.group()
    below = (10 ** len(repeated) - 1) * 10 ** len(first)
    above = int(whole + first + repeated) - int(whole + first)
    return f"\\frac{{{above}}}{{{below}}}"


def _from_base(match: re.Match[str]) -> str:
    """Digits beyond 9 are letters, which only a base above ten makes a number."""
    try:
        return str(int(match[1], int(match[2]))) if len(match[1]) <= 60 else match.group()
    except ValueError:
        return match.group()


_REWRITES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(rf"\\(?:boxed|fbox){_END}"), ""),
    (re.compile(r"(?<=\d)\{:\}(?=\d)"), ":"),
    (re.compile(r"(?:\{\})?[\^_]\{?(\d+)\}?C_\{?(\d+)\}?"), r"\\binom{\1}{\2}"),
    (re.compile(r"\\text\s*\{\s*([A-Z](?:\s*(?:,|and|or|,\s*and)\s*[A-Z])+)\s*\}"), r"\1"),
    (re.compile(r"\\left\s*\|"), r"\\lvert "),
    (re.compile(r"\\right\s*\|"), r"\\rvert "),
    (re.compile(rf"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|mathstrut|middle){_END}\.?"), ""),
    (re.compile(r"(\d)(?:,\s*\\!\s*|\{,\}\s*|\\,\s*|\\!\s*)(?=\d{3}(?!\d))"), r"\1"),
    (re.compile(rf"\\?\$\s*{_AMOUNT}(?![^$]*(?<!\\)\$)"), r" \1\\text{ dollars}"),
    (re.compile(rf"€\s*{_AMOUNT}"), r" \1\\text{ euros}"),
    (re.compile(rf"£\s*{_AMOUNT}"), r" \1\\text{ sterling}"),
    (re.compile(r"€"), r"\\text{ euros}"),
    (re.compile(r"\\\$|\\\(|\\\)|\\\[|\\\]|(?<!\\)[$£]"), " "),
    (re.compile(r"(?<!\\)\\[,;:!> ]|\\(?:quad|qquad|hfill|[hv]space\{[^}]*\}|[hv]?phantom\{[^}]*\})" + _END), " "),
    (re.compile(r"\\(?:text)?color\s*\{[^{}]*\}"), ""),
    (re.compile(rf"\\[dtc]frac{_END}"), r"\\frac"),
    (re.compile(r"\{([^{}]*)\\over(?![A-Za-z])([^{}]*)\}"), r"\\frac{\1}{\2}"),
    (re.compile(r"\{([^{}]*)\\choose(?![A-Za-z])([^{}]*)\}"), r"\\binom{\1}{\2}"),
    (re.compile(rf"\\(?:leqslant|leqq|leq){_END}"), r"\\le "),
    (re.compile(rf"\\(?:geqslant|geqq|geq){_END}"), r"\\ge "),
    (re.compile(rf"\\neq{_END}|\\not\s*="), r"\\ne "),
    (re.compile(rf"\\lt{_END}"), "<"),
    (re.compile(rf"\\gt{_END}"), ">"),
    (re.compile(rf"\\lbrace{_END}"), r"\\{"),
    (re.compile(rf"\\rbrace{_END}"), r"\\}"),
    (re.compile(rf"\\lbrack{_END}"), "["),
    (re.compile(rf"\\rbrack{_END}"), "]"),
    (re.compile(rf"\\degrees?{_END}"), r"^\\circ "),
    (re.compile(rf"\^\s*\{{\s*\\circ\s*\}}|\^\s*\\circ{_END}"), r" \\circ "),
    (re.compile(r"\\circ\s*(?:\\(?:text|mathrm)\s*\{\s*)?([CF])\b\}?"), r"\\text{ degrees \1}"),
    (re.compile(rf"\\(?:mathbb|mathbf|Bbb)\s*\{{R\}}|\\Re{_END}(?!\s*[({{])"), r"\\reals "),
    (
        re.compile(
            r"\\(?:operatorname\*?|mathrm|text)\s*\{\s*(arc?(?:sin|cos|tan|cot|sec|csc)h?|sinh|cosh|tanh|cis|sin|cos|tan|cot|sec|csc|ln|log|exp|"
            r"gcd|lcm|max|min|sgn|det|Re|Im)\s*\}"
        ),
        r"\\\1 ",
    ),
    (re.compile(r"(?<=[\d}])\s*\\(?:mathrm|textrm|text|rm)\s*\{\s*([msghLlJNWVK])\s*\}"), r"\\text{ \1 }"),
    (re.compile(rf"\\(?:{_ROMAN})\s*\{{([A-Za-z]|\s*[-+]?[\d., ]*\d\s*)\}}"), r"{\1}"),
    (re.compile(rf"\\(?:mathbf|boldsymbol|mathbb|mathcal|overrightarrow|vec|bm|pmb|mathring){_END}"), ""),
    (
        re.compile(r",?\s*(?:\\text\s*\{\s*(?:,\s*)?or\s*\}|(?<![A-Za-z\\])or(?![a-z])|\\(?:vee|lor)" + _END + ")"),
        r" \\lor ",
    ),
    (
        re.compile(
            r",?\s*(?:\\text\s*\{\s*(?:,\s*)?and\s*\}|(?<![A-Za-z\\])and(?![a-z])|\\(?:wedge|land)" + _END + ")"
        ),
        r" \\land ",
    ),
    (re.compile(r"^\s*\\text\s*\{[^{}]{0,40}\b(?:answer|solution)s?\s*(?:is|are|:|=)\s*:?\s*\}"), ""),
    (re.compile(r"(\d*)\.(\d*)\s*\\(?:overline|bar|overbar|dot)\s*\{?(\d+)\}?"), _repeating),
    (re.compile(r"(?<![\d.])(\d+)\.(\d*)\((\d+)\)"), _repeating),
    (re.compile(r"(?<!\.)\.{3,4}(?!\.)|\\[lc]dots" + _END), r"\\dots "),
    (re.compile(r"(\.\d+)\s*\\dots\s*"), r"\1"),
    (re.compile(r"^\s*([A-Za-z])\s*\\(?:approx|simeq|doteq)" + _END), r"\1 = "),
    (re.compile(r"^\s*\\(?:approx|simeq|doteq)" + _END), ""),
    (re.compile(rf"\\(?:approx|simeq|doteq){_END}.*", re.S), ""),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"%\s*\b(?:percent)\b|\\text\s*\{\s*percent\s*\}|\b(?:percentage|percent|pct)\b(?!\s*points)"), "%"),
    (re.compile(r"(\d)\s*[xX]\s*10\s*\^"), r"\1\\times 10^"),
    (re.compile(r"(?<=[\d%])\s+x\s+(?=\d)"), r" \\times "),
    (
        re.compile(rf"(\d)\s*(?:\\text\s*\{{\s*)?({'|'.join(_SCALES)})\b\s*\}}?"),
        lambda match: f"{match[1]} \\times 10^{{{_SCALES[str(match[2])]}}} ",
    ),
    (
        re.compile(rf"_\s*\{{?\s*(?:\\text\s*\{{\s*)?({'|'.join(_BASES)})\b\s*\}}?\s*\}}?"),
        lambda match: f"_{{{_BASES.index(str(match[1])) + 2}}}",
    ),
    (re.compile(r"(?<![A-Za-z\d\\])([\dA-F]+)_\{?(1[1-6])\}?(?!\d)"), _from_base),
    (re.compile(r"(\d)[ ]+([msghLlJNWVK])((?:\^\{?[23]\}?)?)\s*\.?$"), r"\1\\text{ \2}\3"),
    (
        re.compile(r"\\\{\s*([^{}|:\\]{1,30}(?:\\in\s*\\?[A-Za-z]+\s*)?)(?::|\||\\mid\b|\\vert\b|\\colon\b)"),
        r"\\{\1\\mid ",
    ),
]
_DOUBLED = re.compile(
    r"(?<!\\)\\\\(?:begin|end|[dt]?frac|sqrt|text|left|right|pi|infty|boxed|cdot|times|le|ge|leq|geq|cup|in|pm)\b"
)
"""Commands with the backslash escaped once too often, as in a JSON string inside another."""
_DOLLARS = re.compile(r"(\$\$?)((?:\\.|[^$\\])*)\1", re.S)
_MARKDOWN = re.compile(r"(\*\*|__|`)(.*)\1", re.S)
_TIGHT = re.compile(r"(?<=\w)\s+(?=\w)")
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname|emph)\s*\{([^{}]*)\}")
_COMMAS = re.compile(r"(?:\s*,\s*){2,}")
_PLAIN = re.compile(r"([-+]?)\s*([1-9]\d{0,2}(?:,\d{3})+(?!\d)|\d+)?(?:\.(\d*))?(?:[eE]([-+]?\d{1,4}))?")
_PLAIN_FRACTION = re.compile(r"([-+]?)\s*(?:\\frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}|(\d+)\s*/\s*(\d+))")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)\s*(?:\\(?:text|mathrm|mbox)\s*\{)?\s*(?:([ap])\.?\s*m\.?)?\s*\}?", re.I)
_MARKED = re.compile(r"[-\d]")
_LONG_WORD = re.compile(r"[^\W\d_]{3,}")
_WORDS = re.compile(r"[^\W\d_][^\W\d_]+[\w\s.,'\-]*|[^\W_](?:[\s.,'\-]*[^\W\d_]{2,}[\w\s.,'\-]*)")


def normal(text: str) -> str:
    """The text in one spelling. Every rewrite is linear or works on text already cut to a bounded length."""
    text = text.strip()
    marked = _MARKDOWN.fullmatch(text) or _DOLLARS.fullmatch(text)
    text = (marked[2] if marked else text).translate(_CHARACTERS)
    for pattern, sign, digits in _SCRIPTS:
        text = pattern.sub(lambda match, sign=sign, digits=digits: f"{sign}{{{match.group().translate(digits)}}}", text)
    for sign, spelled in _SIGNS.items():
        text = text.replace(sign, spelled)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    text = text.replace("**", "^")
    if _DOUBLED.search(text):
        text = text.replace(r"\\", "\\")
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = _COMMAS.sub(" , ", " ".join(text.split()))
    text = text.strip(" ,;").removesuffix(".").rstrip(" ,;:\\")
    return _intervals(text) if text[:1] == "]" or text[-1:] == "[" else text


def _intervals(text: str) -> str:
    """Open ends written as outward brackets, ]2,5[, in parentheses."""
    pieces = [piece.strip() for piece in text.split("\\cup")]
    pieces = [f"({piece[1:]}" if piece[:1] == "]" else piece for piece in pieces]
    return " \\cup ".join(f"{piece[:-1]})" if piece[-1:] == "[" else piece for piece in pieces)


def letters(text: str) -> str:
    """The text without spaces, but for those between two letters or digits: 1 1/2 is not 11/2."""
    return _TIGHT.sub("\0", text).replace(" ", "").replace("\0", " ")


def bare_words(text: str) -> str | None:
    """Letters of an answer that is words, without case; None if there is mathematics in it.

    A date is words: its digits count. So does a lone letter between words, as in "x is even".
    """
    if len(text) < 2:
        return None
    words = unwrapped(text)
    if not _WORDS.fullmatch(words) or (_MARKED.search(words) and not _LONG_WORD.search(words)):
        return None
    return re.sub(r"[\W_]+", "", words.casefold())


def unwrapped(text: str) -> str:
    """The text without \\text{} and its like around its words."""
    return _WRAPPED.sub(r" \1 ", text).strip(" .{}")


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
