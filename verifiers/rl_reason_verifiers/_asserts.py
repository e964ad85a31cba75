"""Plain assert statements, taken apart outside the sandbox: which calls to make, and what must be true of their values.

`assert f(1, [2]) == 3` becomes the call f(1, [2]) and the comparison with 3, which is made here, on plain data. Only
literals, operators and a few pure functions are understood; for anything else `plan` says None and the tests are run
as they are, in a sandboxed process of their own.
"""

from __future__ import annotations

import ast
import builtins
import math
import operator
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rl_reason.sandbox import Answer, Call, NotPlainData

_LARGEST = 1 << 4096
_LONGEST = 1_000_000
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs, "all": all, "any": any, "bool": bool, "complex": complex, "dict": dict, "float": float,
    "frozenset": frozenset, "int": int, "len": len, "list": list, "max": max, "min": min, "range": range,
    "round": round, "set": set, "sorted": sorted, "str": str, "sum": sum, "tuple": tuple,
    "math.isclose": math.isclose, "math.sqrt": math.sqrt, "math.floor": math.floor, "math.ceil": math.ceil,
    "math.fabs": math.fabs,
}  # fmt: skip
_CONSTANTS = {"math.pi": math.pi, "math.e": math.e, "math.inf": math.inf, "math.nan": math.nan}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right, ast.NotIn: lambda left, right: left not in right,
}  # fmt: skip
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_, ast.Invert: operator.invert,
}  # fmt: skip
FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
"""What evaluating a test on hostile plain data may raise: the test fails."""


class NotSimple(Exception):
    """An expression that is not understood here."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Calls to make, and the asserts to evaluate with their answers."""

    calls: tuple[Call, ...]
    asserts: tuple[tuple[ast.expr, tuple[int, ...]], ...]
    """The expression, and which calls it needs, by place."""
    places: Mapping[int, int]
    """id() of a call's node -> its place in `calls`."""

    def holds(self, number: int, answers: Sequence[Answer]) -> bool:
        """Whether the assert with that number, from 0, is true.

        Raises:
            any of FAULTS, NotSimple: the answers are nothing that it could be asked of.
        """
        expression, _ = self.asserts[number]
        return bool(_Evaluation(self.places, answers).value(expression))


def plan(body: Sequence[ast.stmt], candidates: Container[str] | None) -> Plan | None:
    """Statements, if all of them are asserts, docstrings or `pass` and all can be understood.

    Args:
        body: the statements.
        candidates: names that mean the candidate's functions; None: see `called`.
    """
    candidates = called(body) if candidates is None else candidates
    calls: list[Call] = []
    places: dict[int, int] = {}
    asserts: list[tuple[ast.expr, tuple[int, ...]]] = []
    for statement in body:
        if isinstance(statement, ast.Pass) or (
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        ):
            continue
        if not isinstance(statement, ast.Assert):
            return None
        try:
            needed = tuple(_collect(statement.test, candidates, calls, places))
        except (NotSimple, NotPlainData, *FAULTS):
            return None
        asserts.append((statement.test, needed))
    return Plan(tuple(calls), tuple(asserts), places) if asserts else None


def called(body: Sequence[ast.stmt]) -> set[str]:
    """Names that asserts call and Python does not know; or, where all are Python's, the one called first in each."""
    asserts = [statement.test for statement in body if isinstance(statement, ast.Assert)]
    names = [
        [node.func.id for node in ast.walk(test) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        for test in asserts
    ]
    unknown = {name for found in names for name in found if name not in vars(builtins)}
    first = {found[0] for found in names if found}
    return unknown or (first if len(first) == 1 else set())


def _collect(node: ast.AST, candidates: Container[str], calls: list[Call], places: dict[int, int]) -> Iterator[int]:
    """Find the candidate's calls in an expression, and make sure that the rest is understood. Yields their places."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in candidates:
        if any(isinstance(argument, ast.Starred) for argument in node.args) or any(not k.arg for k in node.keywords):
            raise NotSimple
        arguments = tuple(_FOLD.value(argument) for argument in node.args)
        named = {str(keyword.arg): _FOLD.value(keyword.value) for keyword in node.keywords}
        places[id(node)] = len(calls)
        calls.append(Call(node.func.id, arguments, named))
        yield places[id(node)]
        return
    for child in _parts(node):
        yield from _collect(child, candidates, calls, places)


def _parts(node: ast.AST) -> list[ast.AST]:
    """The expressions in an expression that is understood. Raises NotSimple for any other."""
    if isinstance(node, ast.Call):
        if _dotted(node.func) not in _FUNCTIONS or any(keyword.arg is None for keyword in node.keywords):
            raise NotSimple
        return [*node.args, *(keyword.value for keyword in node.keywords)]
    if isinstance(node, ast.Attribute):
        if _dotted(node) not in _CONSTANTS:
            raise NotSimple
        return []
    if type(node) not in _KINDS or (isinstance(node, ast.BinOp) and type(node.op) not in _OPERATORS):
        raise NotSimple
    skipped = ast.expr_context | ast.operator | ast.unaryop | ast.cmpop | ast.boolop
    return [child for child in ast.iter_child_nodes(node) if not isinstance(child, skipped)]


class _Evaluation:
    """Values of expressions, given the candidate's answers."""

    def __init__(self, places: Mapping[int, int], answers: Sequence[Answer]) -> None:
        self._places, self._answers = places, answers

    def value(self, node: ast.AST) -> Any:
        """Raises NotSimple, or any of FAULTS."""
        place = self._places.get(id(node))
        if place is not None:
            return self._answers[place].value
        kind = type(node)
        if kind not in _KINDS:
            raise NotSimple
        return _KINDS[kind](self, node)

    def call(self, node: ast.Call) -> Any:
        function = _FUNCTIONS.get(_dotted(node.func))
        if function is None or any(not keyword.arg for keyword in node.keywords):
            raise NotSimple
        named = {str(keyword.arg): self.value(keyword.value) for keyword in node.keywords}
        arguments = [self.value(argument) for argument in node.args]
        if any(isinstance(argument, range) and argument[_LONGEST:] for argument in arguments):
            raise NotSimple
        return function(*arguments, **named)

    def compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for operation, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node)
            if not _COMPARISONS[type(operation)](left, right):
                return False
            left = right
        return True

    def binary(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if type(node.op) not in _OPERATORS:
            raise NotSimple
        if isinstance(node.op, ast.Mod | ast.Mult | ast.Pow):
            _bounded(left, right, power=isinstance(node.op, ast.Pow))
        return _OPERATORS[type(node.op)](left, right)

    def either(self, node: ast.BoolOp) -> Any:
        value: Any = None
        for part in node.values:
            value = self.value(part)
            if bool(value) == isinstance(node.op, ast.Or):
                break
        return value

    def subscript(self, node: ast.Subscript) -> Any:
        return self.value(node.value)[self.value(node.slice)]

    def dictionary(self, node: ast.Dict) -> Any:
        if None in node.keys:
            raise NotSimple
        return {self.value(key): self.value(item) for key, item in zip(node.keys, node.values, strict=True) if key}

    def attribute(self, node: ast.Attribute) -> Any:
        name = _dotted(node)
        if name not in _CONSTANTS:
            raise NotSimple
        return _CONSTANTS[name]


_KINDS: Mapping[type[ast.AST], Callable[[_Evaluation, Any], Any]] = {
    ast.Constant: lambda self, node: node.value,
    ast.Tuple: lambda self, node: tuple(self.value(item) for item in node.elts),
    ast.List: lambda self, node: [self.value(item) for item in node.elts],
    ast.Set: lambda self, node: {self.value(item) for item in node.elts},
    ast.Dict: _Evaluation.dictionary,
    ast.UnaryOp: lambda self, node: _UNARY[type(node.op)](self.value(node.operand)),
    ast.BinOp: _Evaluation.binary,
    ast.BoolOp: _Evaluation.either,
    ast.Compare: _Evaluation.compare,
    ast.Call: _Evaluation.call,
    ast.Subscript: _Evaluation.subscript,
    ast.Attribute: _Evaluation.attribute,
}


_FOLD = _Evaluation({}, ())


def _bounded(left: Any, right: Any, *, power: bool) -> None:
    """Raises ValueError for what could take long or fill memory."""
    if power and not (isinstance(right, int | float) and abs(right) <= 64):
        raise ValueError("a power too large to be tested")
    for value, other in ((left, right), (right, left)):
        if isinstance(value, int) and abs(value) >= _LARGEST:
            raise ValueError("a number too large to be tested")
        if isinstance(value, str | bytes | list | tuple) and isinstance(other, int) and len(value) * other > _LONGEST:
            raise ValueError("a sequence too long to be tested")


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""
