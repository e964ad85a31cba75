"""Parses the larger forms: function calls, sums and products over a range, sets and set-builders, matrices."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from rl_reason_verifiers._tokens import Node, Unreadable, chain
from rl_reason_verifiers._words import FUNCTIONS, environment

if TYPE_CHECKING:
    from rl_reason_verifiers._latex import Parser

_INVERSES = frozenset(["sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"])
_ALIASES = {"Abs": "abs", "factorial": "fact", "cbrt": "root"}


def call(parser: Parser, name: str) -> Node:
    """A function whose name was read, with its base, power and arguments."""
    cursor = parser.cursor
    if name == "sqrt":
        return _root(parser)
    base = parser.script() if cursor.accept("_") else None
    power = parser.script() if cursor.accept("^") else None
    if name in _INVERSES and power is not None and power == Node("neg", (Node("num", value=Fraction(1)),)):
        name, power = f"arc{name}", None
    if cursor.accept("("):
        inside = parser.items()
        cursor.expect(")")
    else:
        inside = parser.power()
        while parser.starts_factor() and not cursor.sees("(") and cursor.value().lstrip("\\") not in FUNCTIONS:
            inside = chain("mul", inside, parser.power())
    arguments = inside.args if inside.op == "list" else (inside,)
    if name == "factorial":
        return Node("fact", arguments[:1])
    if name == "cbrt":
        return Node("root", (Node("num", value=Fraction(3)), arguments[0]))
    name = _ALIASES.get(name, name)
    node = Node("call", (*arguments, base) if base is not None else arguments, name)
    return Node("pow", (node, power)) if power is not None else node


def _root(parser: Parser) -> Node:
    cursor, index = parser.cursor, Node("num", value=Fraction(2))
    if cursor.accept("["):
        index = parser.sum()
        cursor.expect("]")
    if cursor.sees("{") and cursor.value(1) == "}":  # \sqrt{}{3}
        cursor.skip(2)
    return Node("root", (index, parser.argument()))


def big(parser: Parser, name: str) -> Node:
    """A sum or product over a range."""
    cursor = parser.cursor
    cursor.expect("_")
    start = parser.script()
    cursor.expect("^")
    end = parser.script()
    if start.op != "rel" or start.value != "=" or start.args[0].op != "sym" or len(start.args) != 2:
        raise Unreadable(f"\\{name} needs a range like _{{k=1}}^{{n}}")
    return Node("big", (*start.args, end, parser.product()), name)


def unevaluated(parser: Parser, name: str) -> Node:
    """A limit or an integral, with what stands under, over and behind it."""
    cursor = parser.cursor
    edges: list[Node] = []
    while cursor.accept("_", "^"):
        edges.append(parser.script())
    return Node("unevaluated", (*edges, parser.product()), name)


def braces(parser: Parser) -> Node:
    r"""A set whose \{ was read: empty, of elements, or of all x \mid a condition."""
    cursor = parser.cursor
    if cursor.accept("\\}"):
        return Node("set")
    node = parser.items()
    if cursor.accept("\\mid"):
        condition = parser.items()
        cursor.expect("\\}")
        return Node("builder", (node, condition))
    cursor.expect("\\}")
    return Node("set", node.args if node.op == "list" else (node,))


def matrix(parser: Parser) -> Node:
    r"""A matrix whose \begin was read."""
    cursor = parser.cursor
    kind = environment(cursor)
    if kind == "array" and cursor.accept("{"):
        while not cursor.accept("}"):
            if cursor.kind() == "end":
                raise Unreadable("ends in an array's head")
            cursor.skip()
    rows: list[Node] = []
    while not cursor.sees("\\end"):
        cells = [parser.relation()]
        while cursor.accept("&"):
            cells.append(parser.relation())
        rows.append(Node("row", tuple(cells)))
        if not cursor.accept("\\\\") and not cursor.sees("\\end"):
            raise Unreadable(f"{cursor.value()!r} in a matrix")
    cursor.skip()
    if environment(cursor) != kind:
        raise Unreadable("a matrix is not closed")
    if kind != "cases":
        return Node("matrix", tuple(rows), kind)
    system = all(len(row.args) == 1 for row in rows)
    return Node("list", tuple(row.args[0] for row in rows), "and") if system else Node("cases", tuple(rows))
