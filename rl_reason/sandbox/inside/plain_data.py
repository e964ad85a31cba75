"""Plain data as JSON: what may pass between a program and its grader, with exact types, and nothing else.

None, bool, int, float (inf and nan too), complex, str (lone surrogates too), bytes, bytearray, list, tuple, set,
frozenset, dict (any hashable plain key), range, deque, Decimal, Fraction, and Python's own types such as `int` itself.
Counter, defaultdict and OrderedDict pass as dict, a named tuple as tuple. Instances of any other class, subclasses of
these included, are refused: they could answer a comparison as they please.
"""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_DEPTH = 60
_MAX_DIGITS = 4_000
_LONGEST_RANGE = 1_000_000
_SUSPICIOUS = 500
_SHORTEST, _LONGEST = -(10**18), 10**18

_dumps, _loads, _isfinite = json.dumps, json.loads, math.isfinite


class NotPlainData(ValueError):
    """A value that may not pass; the message says what it is."""


def encode(value: Any, keep: Callable[[Any], int] | None = None) -> str:
    """One line of ASCII. What is not plain data is replaced by the number that `keep` gives it, as a handle.

    Raises:
        NotPlainData: it holds anything that is not plain data, and there is no `keep`.
    """
    return _dumps(_Writer(keep).simple(value, 0), ensure_ascii=True, allow_nan=False)


def decode(line: str | bytes, fetch: Callable[[int], Any] | None = None) -> Any:
    """What `encode` was given, from an untrusted writer; `fetch` turns the number of a handle into what it stands for.

    Raises:
        NotPlainData: `encode` does not write such lines.
    """
    try:
        return _Reader(fetch).value(_loads(line), 0)
    except (ValueError, TypeError, LookupError, RecursionError, ArithmeticError) as error:
        raise NotPlainData(f"not a line of plain data: {type(error).__name__}") from error


class _Writer:
    def __init__(self, keep: Callable[[Any], int] | None) -> None:
        self._keep = keep

    def simple(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if _SHORTEST < value < _LONGEST else {"i": hex(value)}
        if kind is float:
            return value if _isfinite(value) else {"f": repr(value)}
        if depth > MAX_DEPTH:
            raise NotPlainData(f"nested more than {MAX_DEPTH} deep")
        if kind is list:
            return [self.simple(item, depth + 1) for item in value]
        if kind is dict or kind in (Counter, defaultdict, OrderedDict):
            return {"d": [[self.simple(key, depth + 1), self.simple(item, depth + 1)] for key, item in value.items()]}
        if kind in _SEQUENCES or (issubclass(kind, tuple) and "_fields" in kind.__dict__):
            return {_SEQUENCES.get(kind, "t"): [self.simple(item, depth + 1) for item in value]}
        if kind in _SCALARS:
            tag, write = _SCALARS[kind]
            return {tag: write(value)}
        if kind is type and _TYPES.get(value.__name__) is value:
            return {"y": value.__name__}
        if self._keep is not None:
            return {"h": self._keep(value)}
        raise NotPlainData(f"a {kind.__module__}.{kind.__qualname__}"[:120] + " is not plain data")


_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset, dict, range, object)
}
_SEQUENCES: dict[type, str] = {tuple: "t", set: "s", frozenset: "z", deque: "q"}
_SCALARS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    bytes: ("b", bytes.hex),
    bytearray: ("a", bytearray.hex),
    complex: ("c", lambda value: [repr(value.real), repr(value.imag)]),
    range: ("r", lambda value: [hex(value.start), hex(value.stop), hex(value.step)]),
    Decimal: ("m", str),
    Fraction: ("n", lambda value: [hex(value.numerator), hex(value.denominator)]),
}


class _Reader:
    def __init__(self, fetch: Callable[[int], Any] | None) -> None:
        self._fetch = fetch

    def value(self, read: Any, depth: int) -> Any:
        kind = type(read)
        if kind is list:
            return self._items(read, depth)
        if kind is not dict:
            return read
        if len(read) != 1 or depth > 2 * MAX_DEPTH:
            raise ValueError("an object has one tag")
        ((tag, content),) = read.items()
        if tag in _COLLECTIONS:
            return _COLLECTIONS[tag](self._items(content, depth))
        if tag in _SCALAR_READERS:
            return _SCALAR_READERS[tag](content)
        if tag == "d":
            keys = _apart(self._items([key for key, _ in content], depth))
            return dict(zip(keys, self._items([item for _, item in content], depth), strict=True))
        if tag == "h" and self._fetch is not None and type(content) is int:
            return self._fetch(content)
        raise ValueError(f"unknown tag {tag[:20]!r}")

    def _items(self, content: Any, depth: int) -> list[Any]:
        if type(content) is not list:
            raise ValueError("a list is expected")
        return [self.value(item, depth + 1) for item in content]


def _apart(keys: list[Any]) -> list[Any]:
    """Keys of a set or dict, refused when they are made to collide."""
    if len(keys) > _SUSPICIOUS and len({hash(key) for key in keys}) < len(keys) // 2:
        raise ValueError("keys that collide")
    return keys


def _whole(text: Any) -> int:
    if type(text) is not str:
        raise ValueError("an int is written in hexadecimal")
    return int(text, 16)


def _range(content: Any) -> range:
    numbers = range(*map(_whole, content))
    if numbers[_LONGEST_RANGE:]:
        raise ValueError("a range too long to be listed")
    return numbers


def _decimal(content: Any) -> Decimal:
    if type(content) is not str or len(content) > _MAX_DIGITS:
        raise ValueError("a decimal is a short string")
    number = Decimal(content)
    if number.is_finite() and abs(number.adjusted()) > _MAX_DIGITS:
        raise ValueError("a decimal out of bounds")
    return number


def _complex(content: Any) -> complex:
    real, imaginary = content
    return complex(float(real), float(imaginary))


def _fraction(content: Any) -> Fraction:
    numerator, denominator = content
    if len(numerator) + len(denominator) > _MAX_DIGITS:
        raise ValueError("a fraction out of bounds")
    return Fraction(_whole(numerator), _whole(denominator))


_COLLECTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "t": tuple,
    "s": lambda items: set(_apart(items)),
    "z": lambda items: frozenset(_apart(items)),
    "q": deque,
}
_SCALAR_READERS: dict[str, Callable[[Any], Any]] = {
    "i": _whole,
    "f": lambda content: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content],
    "b": bytes.fromhex,
    "a": bytearray.fromhex,
    "c": _complex,
    "r": _range,
    "m": _decimal,
    "n": _fraction,
    "y": _TYPES.__getitem__,
}
