"""Evaluates a parsed answer: exactly over the rationals where that is possible, else to many digits, within a budget.

Nothing is simplified symbolically: two expressions are compared by their values at fixed sample points (identity
testing), which always ends, unlike a computer algebra system's `simplify`.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

from rl_reason_verifiers._tokens import Node

MAX_BITS = 40_000
"""Of a numerator or denominator in exact arithmetic."""
_MAX_FACTORIAL = 4_000
_MAX_EXPONENT = 10**12
_MAX_STEPS = 20_000
_MAX_TERMS = 2_000

_SAME = {
    "arsinh": "arcsinh",
    "arcosh": "arccosh",
    "artanh": "arctanh",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "lg": "log10",
}
_BACKEND = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "arcsin": "asin",
    "arccos": "acos", "arctan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "exp": "exp", "ln": "log",
    "abs": "fabs", "floor": "floor", "ceil": "ceil", "Re": "re", "Im": "im", "sgn": "sign", "log10": "log10",
    "binom": "binomial", "bar": "conj", "overline": "conj", "arccot": "acot", "arcsec": "asec", "arccsc": "acsc",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "cis": "expj",
}  # fmt: skip


def _backend(context: Any, name: str) -> Any:
    return operator.attrgetter(_BACKEND[name])(context)


class TooLarge(ValueError):
    """Evaluation would pass its budget."""


class NoValue(ValueError):
    """The expression has no value: words, a division by zero, a function that is not known."""


def exact(node: Node) -> Fraction | None:
    """The value if it is rational by construction (integers, + - * /, integer powers, factorials); None if not.

    Raises:
        TooLarge: the number would have over `MAX_BITS` bits.
        NoValue: it divides by zero.
    """
    if node.op == "num":
        return node.value if isinstance(node.value, Fraction) else None
    if node.op not in _EXACT:
        return None
    values = [exact(argument) for argument in node.args]
    if any(value is None for value in values):
        return None
    result = _EXACT[node.op](*values)
    if result is not None and max(result.numerator.bit_length(), result.denominator.bit_length()) > MAX_BITS:
        raise TooLarge("a number of too many digits")
    return result


def _exact_product(values: Sequence[Fraction]) -> Fraction:
    result = Fraction(1)
    for value in values:
        result *= value
        if result.numerator.bit_length() + result.denominator.bit_length() > 4 * MAX_BITS:
            raise TooLarge("a number of too many digits")
    return result


def _exact_div(above: Fraction, below: Fraction) -> Fraction:
    if not below:
        raise NoValue("division by zero")
    return above / below


def _exact_pow(base: Fraction, exponent: Fraction) -> Fraction | None:
    trivial = base in (-1, 0, 1)
    size = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(exponent)
    if exponent.denominator != 1 or (size > MAX_BITS and not trivial):
        return None  # left to `Evaluator`, which has floating point with a large exponent
    if not base and exponent < 0:
        raise NoValue("division by zero")
    return base ** int(exponent)


def _exact_factorial(value: Fraction) -> Fraction | None:
    if value.denominator != 1 or not 0 <= value <= _MAX_FACTORIAL:
        return None
    result = 1
    for factor in range(2, int(value) + 1):
        result *= factor
    return Fraction(result)


_EXACT: dict[str, Any] = {
    "neg": lambda value: -value,
    "add": lambda *values: sum(values, Fraction(0)),
    "mul": lambda *values: _exact_product(values),
    "unit": lambda value: value,
    "percent": lambda value: value / 100,
    "div": _exact_div,
    "pow": _exact_pow,
    "fact": _exact_factorial,
}


@cache
def _context(digits: int) -> Any:
    """A floating-point context of its own, so that no other code's precision is touched. Imported on first use."""
    import mpmath

    context = mpmath.MPContext()
    context.dps = digits
    return context


def sample(symbol: str, index: int) -> Fraction:
    """The value of a symbol at a sample point: fixed, rational, different for every symbol.

    Points 0 and 2 are positive, 1 is negative, the others have mixed signs.
    """
    digest = hashlib.sha256(f"{symbol}/{index}".encode()).digest()
    size = Fraction(1, 3) + Fraction(int.from_bytes(digest[:4], "big"), 2**32) * 2
    negative = index == 1 or (index > 2 and digest[5] % 2)
    return -size if negative else size


class Evaluator:
    """Values of one expression at one sample point.

    Args:
        digits: precision.
        index: number of the sample point, from 0.
        whole: symbols that are sampled at positive integers.
    """

    def __init__(self, digits: int, index: int, whole: frozenset[str] = frozenset()) -> None:
        self._mp = _context(digits)
        self._index = index
        self._whole = whole
        self._steps = 0

    def value(self, node: Node, bound: Mapping[str, int] | None = None) -> Any:
        """A complex number of the context.

        Raises:
            TooLarge, NoValue: as above.
        """
        try:
            return self._mp.mpc(self._value(node, bound or {}))
        except (ZeroDivisionError, OverflowError) as error:
            raise NoValue(str(error)) from error

    def log2(self, value: Any) -> Any:
        """The base-2 logarithm of a positive number."""
        return self._mp.log(value) / self._mp.log(2)

    def _value(self, node: Node, bound: Mapping[str, int]) -> Any:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise TooLarge("too many steps")
        if node.op == "num" and isinstance(node.value, Fraction):
            return self._mp.mpf(node.value.numerator) / node.value.denominator
        if node.op == "sym":
            return self._symbol(str(node.value), bound)
        if node.op == "big":
            return self._big(node, bound)
        method = _OPERATIONS.get(node.op)
        if method is None:
            raise NoValue(f"{node.op} has no value")
        values = [self._value(argument, bound) for argument in node.args]
        return method(self, values, node)

    def _symbol(self, name: str, bound: Mapping[str, int]) -> Any:
        if name in bound:
            return self._mp.mpf(bound[name])
        if name in self._whole:
            return self._mp.mpf(2 + self._index + int(sample(name, 0) * 4))
        constants = {"pi": self._mp.pi, "e": self._mp.e, "i": self._mp.mpc(0, 1), "I": self._mp.mpc(0, 1)}
        if name in constants:
            return +constants[name]
        if name == "inf":
            raise NoValue("infinity")
        fraction = sample(name, self._index)
        return self._mp.mpf(fraction.numerator) / fraction.denominator

    def _big(self, node: Node, bound: Mapping[str, int]) -> Any:
        name, first, last, body = node.args
        start, end = self._value(first, bound), self._value(last, bound)
        if not (self._mp.isint(start) and self._mp.isint(end)):
            raise NoValue("the bounds of a sum are not numbers")
        if not -_MAX_TERMS < end - start < _MAX_TERMS:
            raise TooLarge("a sum of too many terms")
        total = self._mp.mpf(0 if node.value == "sum" else 1)
        for k in range(int(start), int(end) + 1):
            term = self._value(body, {**bound, str(name.value): k})
            total = total + term if node.value == "sum" else total * term
        return total

    def _pow(self, values: list[Any], node: Node) -> Any:
        base, exponent = values
        if abs(exponent) > _MAX_EXPONENT or (base and abs(self._mp.log(abs(base)) * exponent) > _MAX_EXPONENT * 100):
            raise TooLarge("a power of too large an exponent")
        odd_root = node.args[1]
        if odd_root.op == "div" and base.imag == 0 and base.real < 0:
            ratio = exact(odd_root)
            if ratio is not None and ratio.denominator % 2:  # the real root, as the reader means it
                root = abs(base) ** (exponent)
                return -root if ratio.numerator % 2 else root
        return self._mp.power(base, exponent)

    def _root(self, values: list[Any], node: Node) -> Any:
        index, inside = values
        if index == 0 or abs(index) > 1000:
            raise NoValue("a root of that index")
        if self._mp.isint(index) and int(index.real) % 2 and inside.imag == 0 and inside.real < 0:
            return -self._mp.power(-inside, 1 / index)
        return self._mp.sqrt(inside) if index == 2 else self._mp.power(inside, 1 / index)

    def _factorial(self, values: list[Any], node: Node) -> Any:
        if abs(values[0]) > 10**8:
            raise TooLarge("a factorial of too large a number")
        return self._mp.factorial(values[0])

    def _integer(self, value: Any) -> int:
        if not self._mp.isint(value) or abs(value) > 10**15:
            raise NoValue("not a whole number")
        return int(value.real)

    def _call(self, values: list[Any], node: Node) -> Any:
        name = _SAME.get(str(node.value), str(node.value))
        if name == "log":
            return self._mp.log(values[0]) / self._mp.log(values[1] if len(values) == 2 else 10)
        if name in ("max", "min"):
            if any(value.imag for value in values):
                raise NoValue("complex numbers have no order")
            return max(values, key=lambda v: v.real) if name == "max" else min(values, key=lambda v: v.real)
        if name in ("gcd", "lcm"):
            return self._mp.mpf(_divisors(name, [self._integer(value) for value in values]))
        if name not in _BACKEND or len(values) != (2 if name == "binom" else 1):
            raise NoValue(f"function {name} is not known")
        if max(abs(value) for value in values) > 10**9:
            raise TooLarge(f"{name} of too large a number")
        return _backend(self._mp, name)(*values)


def _ratio(values: Sequence[Any]) -> Any:
    if len(values) != 2:
        raise NoValue("a ratio of more than two numbers")
    return values[0] / values[1]


def _divisors(name: str, numbers: Sequence[int]) -> int:
    return math.gcd(*numbers) if name == "gcd" else math.lcm(*numbers)


_OPERATIONS: dict[str, Any] = {
    "neg": lambda self, values, node: -values[0],
    "add": lambda self, values, node: self._mp.fsum(values),
    "mul": lambda self, values, node: self._mp.fprod(values),
    "div": lambda self, values, node: values[0] / values[1],
    "ratio": lambda self, values, node: _ratio(values),
    "unit": lambda self, values, node: values[0],
    "percent": lambda self, values, node: values[0] / 100,
    "degree": lambda self, values, node: values[0] * self._mp.pi / 180,
    "pow": Evaluator._pow,
    "root": Evaluator._root,
    "fact": Evaluator._factorial,
    "call": Evaluator._call,
}
