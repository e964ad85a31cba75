"""When an output or a value is the expected one: rules for text, and for plain data against JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

WHITESPACE = ("lines", "tokens", "exact")


def same_output(given: str, expected: str, *, whitespace: str, tolerance: float) -> bool:
    """Text against text.

    Args:
        given: what the program wrote.
        expected: what it should have.
        whitespace: "lines": blanks at the ends of lines and empty lines at the end do not count; "tokens": any white
            space is as good as any other; "exact": every character counts.
        tolerance: above 0, numbers that differ by so much, absolutely or relatively, are the same; the texts are then
            compared token by token.
    """
    if given == expected:
        return True
    if whitespace == "exact":
        return False
    if whitespace == "lines" and _lines(given) == _lines(expected):
        return True
    if whitespace == "lines" and not tolerance:
        return False
    left, right = given.split(), expected.split()
    if len(left) != len(right):
        return False
    return all(a == b or (tolerance > 0 and _close(a, b, tolerance)) for a, b in zip(left, right, strict=True))


def same_value(given: Any, expected: Any, tolerance: float) -> bool:
    """A value that a function gave against one read from JSON.

    JSON has no tuples, so a list is expected of either; a set or other collection is never a list. True is not 1 and
    1 is not True; 1 and 1.0 are one number; NaN is NaN. Keys of an object are strings, as JSON has them.
    """
    if isinstance(expected, bool) or isinstance(given, bool) or expected is None or given is None:
        return type(given) is type(expected) and given == expected
    if isinstance(expected, int | float):
        return isinstance(given, int | float) and _same_number(given, expected, tolerance)
    if isinstance(expected, str):
        return isinstance(given, str) and given == expected
    if isinstance(expected, list | tuple):
        if not isinstance(given, list | tuple) or len(given) != len(expected):
            return False
        return all(same_value(one, other, tolerance) for one, other in zip(given, expected, strict=True))
    if isinstance(expected, Mapping):
        if not isinstance(given, dict) or given.keys() != expected.keys():
            return False
        return all(same_value(given[key], expected[key], tolerance) for key in expected)
    return type(given) is type(expected) and given == expected


def _same_number(given: float, expected: float, tolerance: float) -> bool:
    if given == expected or (given != given and expected != expected):
        return True
    try:
        return tolerance > 0 and math.isclose(given, expected, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # an int too large for a float
        return False


def _close(given: str, expected: str, tolerance: float) -> bool:
    try:
        return _same_number(float(given), float(expected), tolerance)
    except ValueError:
        return False


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]
