"""Decides whether two parsed answers mean the same: expressions, equations, intervals, lists, sets and matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from rl_reason_verifiers._evaluate import Evaluator, NoValue, TooLarge, exact
from rl_reason_verifiers._tokens import Node

_POINTS = 4
_LOW, _HIGH = 50, 80
"""Digits of the two precisions; equality must hold at both."""
_MARGIN = 12
_MAX_ITEMS = 64


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts as the same where people differ."""

    percent_either: bool = True
    """10% equals both 0.1 and 10."""
    degree_either: bool = True
    """45 degrees equals 45."""
    rounding_decimals: int = 2
    """A decimal of at least so many places equals an exact value that rounds to it; -1: never."""


def equivalent(reference: Node, answer: Node, policy: Policy) -> bool:
    """Whether the answer means what the reference means.

    Raises:
        TooLarge: evaluating the answer (or the reference: evaluate that one first) passes the budget.
    """
    return _same(_canonical(reference), _canonical(answer), policy)


def measurable(node: Node) -> bool:
    """False for an expression whose evaluation passes the budget, as a reference must not."""
    try:
        if node.op in (
            "rel",
            "list",
            "tuple",
            "set",
            "interval",
            "union",
            "matrix",
            "row",
            "intersection",
            "difference",
        ):
            return all(measurable(argument) for argument in node.args)
        if exact(node) is None:
            Evaluator(_LOW, 0).value(node)
    except TooLarge:
        return False
    except NoValue:
        return True
    return True


# --- structure ---


def _canonical(node: Node) -> Node:
    """Plus-minus becomes a list; `x in S` becomes S; inequalities of one symbol become intervals."""
    if node.op == "list":
        items = [_canonical(item) for item in node.args]
        flat = [part for item in items for part in (item.args if item.op == "list" else (item,))]
        return Node("list", tuple(flat))
    if node.op == "set":
        items = [_canonical(item) for item in node.args]
        flat = [part for item in items for part in (item.args if item.op == "list" else (item,))]
        return Node("set", tuple(flat))
    if _has(node, "pm"):
        return Node("list", (_canonical(_signed(node, True)), _canonical(_signed(node, False))))
    if node.op == "rel":
        return _relation(node)
    if node.op == "union":
        return Node("union", tuple(_canonical(part) for part in node.args))
    if node.op == "tuple" and len(node.args) == 1:
        return _canonical(node.args[0])
    if node.op == "unit":
        return _canonical(node.args[0])
    return node


def _has(node: Node, op: str) -> bool:
    return node.op == op or any(_has(argument, op) for argument in node.args)


def _signed(node: Node, upper: bool) -> Node:
    if node.op == "pm":
        inner = _signed(node.args[0], upper)
        return inner if upper == (node.value == "pm") else Node("neg", (inner,))
    return replace(node, args=tuple(_signed(argument, upper) for argument in node.args)) if node.args else node


def _relation(node: Node) -> Node:
    relations = str(node.value).split()
    if relations == ["in"]:
        return _canonical(node.args[1])
    if set(relations) == {"="}:
        return Node("rel", (node.args[0], node.args[-1]), "=")
    if set(relations) <= {"<", "<="} or set(relations) <= {">", ">="}:
        args = node.args
        if relations[0][0] == ">":
            args, relations = args[::-1], [relation.replace(">", "<") for relation in relations[::-1]]
        return _interval(args, relations) or Node("rel", args, " ".join(relations))
    return node


def _interval(args: Sequence[Node], relations: Sequence[str]) -> Node | None:
    infinity = Node("sym", value="inf")
    if len(args) == 3 and args[1].op == "sym":
        low, high, below, above = args[0], args[2], relations[0], relations[1]
    elif len(args) == 2 and args[0].op == "sym" and not _symbols(args[1]):
        low, high, below, above = Node("neg", (infinity,)), args[1], "<", relations[0]
    elif len(args) == 2 and args[1].op == "sym" and not _symbols(args[0]):
        low, high, below, above = args[0], infinity, relations[0], "<"
    else:
        return None
    ends = ("(" if below == "<" else "[") + (")" if above == "<" else "]")
    return Node("tuple", (low, high)) if ends == "()" else Node("interval", (low, high), ends)


def _symbols(node: Node) -> bool:
    if node.op == "sym":
        return node.value not in ("pi", "e", "i")
    return any(_symbols(argument) for argument in node.args)


def _name(node: Node) -> str | None:
    """The leading name of the left side of a definition, such as x, f(x), AB or A:B; None for other expressions."""
    if node.op in ("sym", "text"):
        return str(node.value)
    if node.op in ("mul", "div") and all(_name(argument) for argument in node.args):
        return _name(node.args[0])
    if node.op == "tuple" and all(argument.op == "sym" for argument in node.args):
        return "()"
    return None


def _defined(node: Node) -> Node:
    """The right side of a definition; anything else as it is."""
    if node.op == "rel" and node.value == "=" and _name(node.args[0]):
        return _canonical(node.args[1])
    return node


def _result(node: Node) -> Node:
    """What a calculation such as 2 + 3 = 5 ends in; anything else as it is."""
    if node.op == "rel" and node.value == "=" and not _symbols(node.args[0]):
        return _canonical(node.args[1])
    return node


def _same(reference: Node, answer: Node, policy: Policy) -> bool:
    if reference == answer:
        return True
    if reference.op == "rel" and answer.op == "rel":
        return _same_relation(reference, answer, policy)
    left, right = _defined(reference), _result(_defined(answer))
    if left.op == "rel" or right.op == "rel":
        return False
    return _same_value(left, right, policy)


def _same_value(left: Node, right: Node, policy: Policy) -> bool:
    if {left.op, right.op} & {"matrix"}:
        return _same_matrix(left, right, policy)
    loose = {"list", "set"}
    if left.op in loose and right.op in loose:
        return _same_unordered(left.args, right.args, policy)
    if {left.op, right.op} == {"list", "tuple"}:
        return _same_ordered(left.args, right.args, policy)
    if left.op in loose or right.op in loose:
        many, one = (left, right) if left.op in loose else (right, left)
        return len(many.args) == 1 and _same(many.args[0], one, policy)
    if left.op in _STRUCTURES or right.op in _STRUCTURES:
        if left.op != right.op or left.value != right.value:
            return False
        if left.op in ("union", "intersection"):
            return _same_unordered(left.args, right.args, policy)
        return _same_ordered(left.args, right.args, policy)
    return _same_scalar(left, right, policy)


_STRUCTURES = ("tuple", "interval", "union", "intersection", "difference", "text")


def _same_ordered(left: Sequence[Node], right: Sequence[Node], policy: Policy) -> bool:
    if len(left) != len(right) or not left:
        return False
    return all(_same(_canonical(a), _canonical(b), policy) for a, b in zip(left, right, strict=True))


def _same_unordered(left: Sequence[Node], right: Sequence[Node], policy: Policy) -> bool:
    """Equal as multisets, each element taken once."""
    if len(left) != len(right):
        return False
    if len(left) > _MAX_ITEMS:
        raise TooLarge(f"a list of over {_MAX_ITEMS} elements")
    rest = [_canonical(item) for item in right]
    for item in map(_canonical, left):
        match = next((other for other in rest if _same(item, other, policy)), None)
        if match is None:
            return False
        rest.remove(match)
    return True


def _same_matrix(left: Node, right: Node, policy: Policy) -> bool:
    rows = [_rows(left), _rows(right)]
    if [len(row) for row in rows[0]] != [len(row) for row in rows[1]]:
        return False
    return all(_same_ordered(a, b, policy) for a, b in zip(*rows, strict=True))


def _rows(node: Node) -> list[tuple[Node, ...]]:
    """Rows of a matrix; a tuple or a closed pair is one column, or a row's transpose."""
    if node.op == "matrix":
        rows = [row.args for row in node.args]
        if len(rows) == 1:  # a row vector is compared as a column
            return [(cell,) for cell in rows[0]]
        return rows
    if node.op in ("tuple", "list", "interval"):
        return [(item,) for item in node.args]
    sum_of = _matrix_sum(node)
    return sum_of if sum_of is not None else [(node,)]


def _matrix_sum(node: Node) -> list[tuple[Node, ...]] | None:
    if node.op != "add":
        return None
    terms = [_rows(argument) for argument in node.args]
    if len({tuple(len(row) for row in rows) for rows in terms}) != 1:
        return None
    return [tuple(Node("add", cells) for cells in zip(*same_row, strict=True)) for same_row in zip(*terms, strict=True)]


def _same_relation(left: Node, right: Node, policy: Policy) -> bool:
    if left.value != right.value or len(left.args) != len(right.args):
        return False
    if left.value != "=":
        return _same_ordered(left.args, right.args, policy)
    names = _name(left.args[0]), _name(right.args[0])
    if names[0] and names[0] == names[1]:
        return _same(_canonical(left.args[1]), _canonical(right.args[1]), policy)
    return _proportional(_difference(left), _difference(right))


def _difference(equation: Node) -> Node:
    return Node("add", (equation.args[0], Node("neg", (equation.args[1],))))


# --- scalars ---


def _same_scalar(left: Node, right: Node, policy: Policy) -> bool:
    a, b = _exact_or_none(left), _exact_or_none(right)
    if a is not None and b is not None:
        return _same_rational(left, right, (a, b), policy)
    if a is None and b is None and left.op == right.op == "neg" and _is_infinite(left.args[0]):
        return _is_infinite(right.args[0])
    if _is_infinite(left) or _is_infinite(right):
        return _is_infinite(left) and _is_infinite(right)
    if _identical(left, right) or (_has(left, "big") and _sorted(left) == _sorted(right)):
        return True
    if policy.degree_either and (left.op == "degree") != (right.op == "degree"):
        plain = [node.args[0] if node.op == "degree" else node for node in (left, right)]
        return _identical(plain[0], plain[1])
    return _rounds_to(left, right, policy) or _rounds_to(right, left, policy)


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


def _is_infinite(node: Node) -> bool:
    return node.op == "sym" and node.value == "inf"


def _same_rational(left: Node, right: Node, values: tuple[Fraction, Fraction], policy: Policy) -> bool:
    a, b = values
    if a == b:
        return True
    if policy.percent_either and (left.op == "percent") != (right.op == "percent"):
        return a * 100 == b if left.op == "percent" else a == b * 100
    return _rounds_to(left, right, policy) or _rounds_to(right, left, policy)


def _decimals(node: Node) -> int:
    return _decimals(node.args[0]) if node.op == "neg" else node.decimals


def _rounds_to(rounded: Node, precise: Node, policy: Policy) -> bool:
    """Whether `rounded` is a decimal and `precise` an endless one that rounds to it."""
    places = _decimals(rounded)
    if policy.rounding_decimals < 0 or places < policy.rounding_decimals or _symbols(precise):
        return False
    value, target = _exact_or_none(precise), exact(rounded)
    if target is None:
        return False
    half = Fraction(1, 2 * 10**places)
    if value is not None:
        return not _terminates(value) and abs(value - target) <= half
    try:
        number = Evaluator(_LOW, 0).value(precise)
    except NoValue:
        return False
    distance = abs(number - Evaluator(_LOW, 0).value(rounded))
    return bool(distance * half.denominator <= 1)


def _terminates(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _identical(left: Node, right: Node) -> bool:
    """Equal at every sample point at which both have a value; False if there is none."""
    compared = 0
    points = range(_POINTS) if _symbols(left) or _symbols(right) else range(1)
    for index in points:
        pairs = _values(left, right, index)
        if pairs is None:
            continue
        if not _agree(*pairs):
            return False
        compared += 1
    return compared > 0


def _values(left: Node, right: Node, index: int) -> tuple[tuple[Any, Any], tuple[Any, Any]] | None:
    """((left, right) at the low precision, the same at the high one), or None where they are not to be compared."""
    try:
        low = Evaluator(_LOW, index).value(left), Evaluator(_LOW, index).value(right)
        if index % 2 and any(abs(value.imag) > abs(value) * 1e-30 for value in low):
            return None  # off the reals, branches of roots and logarithms are a matter of taste
        if abs(low[0] - low[1]) > 1e-9 * max(abs(low[0]), abs(low[1])) and max(map(abs, low)) > 1e-9:
            return low, low
        return low, (Evaluator(_HIGH, index).value(left), Evaluator(_HIGH, index).value(right))
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


def _proportional(left: Node, right: Node) -> bool:
    """Whether two sides of `= 0` differ by a constant factor."""
    ratios: list[Any] = []
    for index in range(_POINTS):
        try:
            ratios.append(Evaluator(_LOW, index).value(left) / Evaluator(_LOW, index).value(right))
        except (NoValue, ZeroDivisionError):
            return False
    return bool(ratios[0]) and all(abs(a - b) <= 1e-30 * abs(a) for a, b in pairwise(ratios))
