"""Words that the parser knows: functions, constants, relations, units of measurement, matrix environments."""

from __future__ import annotations

import re

from rl_reason_verifiers._tokens import Cursor, Unreadable

FUNCTIONS = frozenset(
    [
        *("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos", "atan"),
        *("sinh", "cosh", "tanh", "ln", "log", "lg", "exp", "sqrt", "abs", "floor", "ceil", "max", "min"),
        *("gcd", "lcm", "det", "Re", "Im", "sgn", "arccot", "arcsec", "arccsc", "Abs", "factorial", "cbrt"),
        *("arcsinh", "arccosh", "arctanh", "arsinh", "arcosh", "artanh", "asinh", "acosh", "atanh", "cis"),
    ]
)
CONSTANTS = {"pi": "pi", "infty": "inf", "infinity": "inf", "Infinity": "inf", "inf": "inf", "oo": "inf"}
RELATIONS = {
    "=": "=",
    "<": "<",
    ">": ">",
    "\\le": "<=",
    "\\ge": ">=",
    "\\ne": "!=",
    "\\in": "in",
    "\\equiv": "=",
    "\\to": "to",
}
SETS = {"\\cup": "union", "\\cap": "intersection", "\\setminus": "difference"}
_CLOSERS = ("rfloor", "rceil", "rangle", "rvert", "mid", "pmod", "bmod", "mod", "to", "lor", "land")
BREAKS = frozenset(
    [
        *(f"\\{name}" for name in _CLOSERS),
        "\\}",
        "\\|",
        "\\pm",
        "\\mp",
        "\\cdot",
        "\\times",
        "\\div",
        "\\end",
        "\\ast",
        *RELATIONS,
        *SETS,
    ]
)
"""Commands that no factor of a product begins with."""
UNREAD = frozenset(["end", "overset", "underset"])
UNEVALUATED = frozenset(["lim", *(f"{kind}int" for kind in ("", "i", "o"))])
"""Operators that are only compared as they are written."""
_UNITS = frozenset(
    [
        *("cm", "mm", "km", "dm", "nm", "ft", "in", "mi", "yd", "kg", "mg", "lb", "lbs", "oz", "ml", "cc", "mol", "sq"),
        *("hr", "hrs", "min", "mins", "sec", "secs", "ms", "am", "pm", "mph", "kmh", "kph", "hz", "khz", "kw", "kwh"),
        *("deg", "rad", "usd", "eur", "psi", "ft", "lb", "gal", "qt", "hz", "khz", "kj", "day", "days"),
    ]
)


def starts_unit(cursor: Cursor) -> bool:
    """Whether a unit of measurement, or another word that qualifies a number, stands here."""
    word = cursor.value()
    if cursor.kind() == "text":
        return True
    if cursor.kind() != "word":
        return False
    return word.lower() in _UNITS or (len(word) >= 4 and word not in FUNCTIONS and word not in CONSTANTS)


def environment(cursor: Cursor) -> str:
    """The name in braces after \\begin or \\end, if it is a matrix's."""
    cursor.expect("{")
    name = cursor.value()
    cursor.skip()
    cursor.expect("}")
    if not re.fullmatch(r"[pbvBV]?matrix|array|smallmatrix|cases", name):
        raise Unreadable(f"environment {name!r} is not read")
    return name
