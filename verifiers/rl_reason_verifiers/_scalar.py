"""Decides whether two expressions have the same value: exactly, at sample points of their symbols, or by rounding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from rl_reason_verifiers._evaluate import Evaluator, NoValue, exact
from rl_reason_verifiers._tokens import Node
from rl_reason_verifiers._units import quantity

_POINTS = 4
_LOW, _HIGH = 50, 80
"""Digits of the two precisions; equality must hold at both."""
_MARGIN = 12
_FLOAT_DECIMALS = 12
"""A decimal of so many places is the output of binary floating point, whose last digits are noise."""


_FLOAT_DIGITS = 14
"""How many of its digits are none."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts as the same where people differ. `BoxedMath` documents the fields."""

    percent_either: bool = True
    degree_either: bool = True
    rounding_decimals: int = 2
    unit_optional: bool = True
    ordered_lists: bool = False
    rel_tolerance: float = 0.0
    abs_tolerance: float = 0.0


def same_scalar(left: Node, right: Node, policy: Policy) -> bool:
    """Whether two expressions, the reference's first, have the same value and no clashing units.

    Raises:
        TooLarge: evaluation passes the budget.
    """
    a, b = quantity(left), quantity(right)
    if a.scaled is not None and b.scaled is not None:
        return a.dimensions == b.dimensions and _same_number(a.scaled, b.scaled, policy)
    if (a.scaled is None) != (b.scaled is None) and not policy.unit_optional:
        return False
    if a.words != b.words and (symbols(a.plain) or symbols(b.plain)):
        return False  # "x is even": the words say something
    return _same_number(a.plain, b.plain, policy)


def _same_number(left: Node, right: Node, policy: Policy) -> bool:
    a, b = _exact_or_none(left), _exact_or_none(right)
    if a is not None and b is not None:
        return _same_rational(left, right, (a, b), policy)
    if left.op == right.op == "neg" and is_infinite(left.args[0]):
        return is_infinite(right.args[0])
    if is_infinite(left) or is_infinite(right):
        return is_infinite(left) and is_infinite(right)
    if identical(left, right) or (_written(left) and _sorted(left) == _sorted(right)):
        return True
    if policy.degree_either and _has(left, "degree") != _has(right, "degree"):
        plain = (_undegreed(left), _undegreed(right))
        if plain != (left, right) and identical(plain[0], plain[1]):
            return True
    if _rounds_to(left, right, policy) or _rounds_to(right, left, policy) or _within(left, right, policy):
        return True
    common = (_natural(left), _natural(right))
    return common != (left, right) and identical(common[0], common[1])


def symbols(node: Node) -> bool:
    """Whether it has a symbol that is no constant."""
    if node.op == "sym":
        return node.value not in ("pi", "e", "i", "I")
    return any(symbols(argument) for argument in node.args)


def is_infinite(node: Node) -> bool:
    """Whether it is the symbol of infinity."""
    return node.op == "sym" and node.value == "inf"


def _has(node: Node, op: str) -> bool:
    return node.op == op or any(_has(argument, op) for argument in node.args)


def _undegreed(node: Node) -> Node:
    """An angle in degrees as the bare number."""
    if node.op == "neg":
        return Node("neg", (_undegreed(node.args[0]),))
    return node.args[0] if node.op == "degree" else node


def _written(node: Node) -> bool:
    """Whether it has a sum that may have no value, a limit or an integral: those are compared as written."""
    return _has(node, "big") or _has(node, "unevaluated")


def _natural(node: Node) -> Node:
    """A logarithm without a base read as the natural one: both readings are common."""
    args = tuple(_natural(argument) for argument in node.args)
    if node.op == "call" and node.value == "log" and len(args) == 1:
        return Node("call", args, "ln")
    return replace(node, args=args) if args != node.args else node


def _sorted(node: Node) -> Node:
    """The same with the terms of sums and the factors of products in one order."""
    args = [_sorted(argument) for argument in node.args]
    if node.op in ("add", "mul"):
        flat = [part for argument in args for part in (argument.args if argument.op == node.op else (argument,))]
        return Node(node.op, tuple(sorted(flat, key=repr)))
    return replace(node, args=tuple(args)) if args else node


def _exact_or_none(node: Node) -> Fraction | None:
    try:
        return exact(node)
    except NoValue:
        return None


# --- constants that are nearly the same ---


def _same_rational(left: Node, right: Node, values: tuple[Fraction, Fraction], policy: Policy) -> bool:
    a, b = values
    if a == b:
        return True
    if policy.percent_either and (left.op == "percent") != (right.op == "percent"):
        return a * 100 == b if left.op == "percent" else a == b * 100
    if max(_decimals(left), _decimals(right)) >= _FLOAT_DECIMALS and abs(a - b) * 10**_FLOAT_DIGITS <= abs(a):
        return True
    return _rounds_to(left, right, policy) or _rounds_to(right, left, policy) or _within(left, right, policy)


def _within(reference: Node, answer: Node, policy: Policy) -> bool:
    """Whether two constants differ by no more than the tolerance asked for."""
    if not (policy.rel_tolerance or policy.abs_tolerance) or symbols(reference) or symbols(answer):
        return False
    try:
        wanted, given = (Evaluator(_LOW, 0).value(node) for node in (reference, answer))
    except NoValue:
        return False
    return bool(abs(wanted - given) <= max(policy.abs_tolerance, policy.rel_tolerance * abs(wanted)))


def _decimals(node: Node) -> int:
    if node.op == "neg":
        return _decimals(node.args[0])
    if node.op == "percent":
        places = _decimals(node.args[0])
        return places + 2 if places >= 0 else places
    return node.decimals


def _rounds_to(rounded: Node, precise: Node, policy: Policy) -> bool:
    """Whether `rounded` is a decimal and `precise` an endless one that rounds, or is cut, to it."""
    places = _decimals(rounded)
    if policy.rounding_decimals < 0 or places < policy.rounding_decimals or symbols(precise):
        return False
    value, target = _exact_or_none(precise), exact(rounded)
    if target is None:
        return False
    if value is not None:
        distance = abs(value) - abs(target) if not _terminates(value) and value * target > 0 else 2
    else:
        try:
            number = Evaluator(_LOW, 0).value(precise)
        except NoValue:
            return False
        if number.imag or number.real * target.numerator <= 0:
            return False
        distance = abs(number) - abs(Evaluator(_LOW, 0).value(rounded))
    return bool(distance * 2 * 10**places >= -1 and distance * 10**places < 1)


def _terminates(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


# --- identity testing ---


def _whole(node: Node, bound: frozenset[str] = frozenset()) -> Iterator[str]:
    """Symbols that can only be whole numbers: those in a sum's range, or in the exponent of a negative number."""
    if node.op == "big":
        name = str(node.args[0].value)
        for edge in node.args[1:3]:
            yield from _names(edge)
        yield from _whole(node.args[3], bound | {name})
        return
    if node.op == "pow" and node.args[0].op == "neg" and not symbols(node.args[0]):
        yield from _names(node.args[1])
    for argument in node.args:
        yield from _whole(argument, bound)


def _names(node: Node) -> Iterator[str]:
    if node.op == "sym":
        yield str(node.value)
    for argument in node.args:
        yield from _names(argument)


def identical(left: Node, right: Node) -> bool:
    """Equal at every sample point at which both have a value; False if there is none."""
    compared = 0
    points = range(_POINTS) if symbols(left) or symbols(right) else range(1)
    whole = frozenset((*_whole(left), *_whole(right)))
    for index in points:
        pairs = _values(left, right, index, whole)
        if pairs is None:
            continue
        if not _agree(*pairs):
            return False
        compared += 1
    return compared > 0


def _values(
    left: Node, right: Node, index: int, whole: frozenset[str]
) -> tuple[tuple[Any, Any], tuple[Any, Any]] | None:
    """((left, right) at the low precision, the same at the high one), or None where they are not to be compared."""
    try:
        low = Evaluator(_LOW, index, whole).value(left), Evaluator(_LOW, index, whole).value(right)
        if index % 2 and any(abs(value.imag) > abs(value) * 1e-30 for value in low):
            return None  # off the reals, branches of roots and logarithms are a matter of taste
        if abs(low[0] - low[1]) > 1e-9 * max(abs(low[0]), abs(low[1])) and max(map(abs, low)) > 1e-9:
            return low, low
        return low, (Evaluator(_HIGH, index, whole).value(left), Evaluator(_HIGH, index, whole).value(right))
    except NoValue:
        return None


def _agree(low: tuple[Any, Any], high: tuple[Any, Any]) -> bool:
    for (a, b), digits in ((low, _LOW), (high, _HIGH)):
        tolerance = 10.0 ** -(digits - _MARGIN)
        if abs(a - b) > tolerance * max(abs(a), abs(b)) and not all(_vanishes(low[k], high[k]) for k in (0, 1)):
            return False
    return True


def _vanishes(low: Any, high: Any) -> bool:
    """Zero but for rounding: what is left shrinks with the precision."""
    return abs(low) < 10.0 ** -(_LOW - _MARGIN) and abs(high) < 10.0 ** -(_HIGH - _MARGIN)


def proportional(left: Node, right: Node) -> bool:
    """Whether two sides of `= 0` differ by a constant factor."""
    ratios: list[Any] = []
    for index in range(_POINTS):
        try:
            ratios.append(Evaluator(_LOW, index).value(left) / Evaluator(_LOW, index).value(right))
        except (NoValue, ZeroDivisionError):
            return False
    return bool(ratios[0]) and all(abs(a - b) <= 1e-30 * abs(a) for a, b in pairwise(ratios))
