"""Checks of constructor options: what is wrong, what is allowed, and the nearest valid choice."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """The value, when it is one of the choices.

    Raises:
        ValueError: it is not; the message names the choices and the nearest one.
    """
    allowed = list(choices)
    if isinstance(value, str) and value in allowed:
        return value
    raise ValueError(f"{name} is one of {', '.join(allowed)}; not {value!r}{nearest(str(value), allowed)}")


def some_of(name: str, values: Iterable[str], choices: Iterable[str]) -> tuple[str, ...]:
    """The values in their order, when each is one of the choices and none comes twice.

    Raises:
        ValueError: otherwise, also for a bare string or an empty list.
    """
    allowed = list(choices)
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name} is a list of some of {', '.join(allowed)}; not {values!r}")
    given = tuple(one_of(f"each of {name}", value, allowed) for value in values)
    if not given or len(set(given)) != len(given):
        raise ValueError(f"{name} names each of its choices once ({', '.join(allowed)}); not {list(given)}")
    return given


def number(name: str, value: float, *, low: float = 0.0, high: float = math.inf, whole: bool = False) -> float:
    """The value, when it is a number within [low, high].

    Raises:
        ValueError: it is not, or it must be whole and is not.
    """
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        what = "a whole number" if whole else "a number"
        bounds = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
        raise ValueError(f"{name} is {what} {bounds}, not {value!r}")
    return value


def text(name: str, value: str, *, empty: bool = True) -> str:
    """The value, when it is a string.

    Raises:
        ValueError: it is not, or it is empty where it must not be.
    """
    if not isinstance(value, str) or not (value or empty):
        raise ValueError(f"{name} is a string{'' if empty else ' that is not empty'}, not {value!r}")
    return value


def nearest(given: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` or nothing."""
    close = difflib.get_close_matches(given[:100], list(choices), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
