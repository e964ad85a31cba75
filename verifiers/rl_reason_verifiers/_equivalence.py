"""Decides whether two parsed answers mean the same: expressions, equations, intervals, lists, sets and matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rl_reason_verifiers._evaluate import Evaluator, NoValue, TooLarge, exact
from rl_reason_verifiers._matrices import rows, simplified
from rl_reason_verifiers._realset import same_set
from rl_reason_verifiers._scalar import Policy, proportional, same_scalar, symbols
from rl_reason_verifiers._tokens import Node

_MAX_TRIES = 300
"""Comparisons of elements of two unordered lists."""
_MAX_PLAIN_TRIES = 2_500
"""The same when the elements are plain numbers."""
_COMPOUND = frozenset(
    [
        *("rel", "list", "tuple", "set", "interval", "union", "matrix", "row", "intersection", "difference", "builder"),
        *("mod", "ratio", "cases"),
    ]
)
_STRUCTURES = ("cases", "row", "tuple", "interval", "union", "intersection", "difference", "text")


def equivalent(reference: Node, answer: Node, policy: Policy) -> bool:
    """Whether the answer means what the reference means.

    Raises:
        TooLarge: evaluating the answer (or the reference: evaluate that one first) passes the budget.
    """
    return _same(_canonical(reference), _canonical(answer), policy)


def measurable(node: Node) -> bool:
    """False for an expression whose evaluation passes the budget, as a reference must not."""
    try:
        if node.op in _COMPOUND:
            return all(measurable(argument) for argument in node.args)
        if exact(node) is None:
            Evaluator(50, 0).value(node)
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
        return Node("list", tuple(flat), _joined(items, node))
    if node.op == "set":
        items = [_canonical(item) for item in node.args]
        flat = [part for item in items for part in (item.args if item.op == "list" else (item,))]
        return Node("set", tuple(flat))
    if _has(node, "pm"):
        return Node("list", (_canonical(_signed(node, True)), _canonical(_signed(node, False))))
    if node.op == "rel":
        return _relation(node)
    if node.op == "builder":
        return _canonical(node.args[1])
    if node.op == "union":
        parts = [_canonical(part) for part in node.args]
        if all(part.op == "set" for part in parts):
            return Node("set", tuple(dict.fromkeys(item for part in parts for item in part.args)))
        return Node("union", tuple(parts))
    if node.op in ("matrix", "mul", "add") and (simple := simplified(node)) is not None:
        return simple
    if node.op == "tuple" and len(node.args) == 1:
        return _canonical(node.args[0])
    return node


def _joined(items: Sequence[Node], node: Node) -> str | None:
    """How the items of a list of conditions on a real number are joined; None for a list of values."""
    conditions = all(item.op in ("interval", "union") or (item.op == "rel" and item.value == "!=") for item in items)
    bounds = (
        items
        and all(item.op in ("interval", "union", "tuple", "rel") for item in items)
        and any(argument.op == "rel" and set(str(argument.value)) & set("<>") for argument in node.args)
    )
    if not (conditions or bounds):
        return None
    return str(node.value or "and")


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
    elif len(args) == 2 and args[0].op == "sym" and not symbols(args[1]):
        low, high, below, above = Node("neg", (infinity,)), args[1], "<", relations[0]
    elif len(args) == 2 and args[1].op == "sym" and not symbols(args[0]):
        low, high, below, above = args[0], infinity, relations[0], "<"
    else:
        return None
    ends = ("(" if below == "<" else "[") + (")" if above == "<" else "]")
    return Node("tuple", (low, high)) if ends == "()" else Node("interval", (low, high), ends)


def _name(node: Node) -> str | None:
    """The leading name of the left side of a definition, such as x, f(x), AB or A:B; None for other expressions."""
    if node.op in ("sym", "text"):
        return str(node.value)
    if node.op in ("mul", "div", "ratio") and all(_name(argument) for argument in node.args):
        return _name(node.args[0])
    if node.op == "call" and node.value in ("overline", "bar", "hat", "widehat"):
        return _name(node.args[0])
    if node.op == "tuple" and all(argument.op == "sym" for argument in node.args):
        return "()"
    return None


def _function(node: Node) -> tuple[str, str] | None:
    """(name, argument) of the left side f(x); None for all else."""
    if node.op == "mul" and len(node.args) == 2 and all(part.op == "sym" for part in node.args):
        return str(node.args[0].value), str(node.args[1].value)
    return None


def _defined(node: Node) -> Node:
    """The right side of a definition; anything else as it is."""
    if node.op == "rel" and node.value == "=" and _name(node.args[0]):
        return _canonical(node.args[1])
    return node


def _result(node: Node) -> Node:
    """What a calculation such as 2 + 3 = 5 ends in; anything else as it is."""
    if node.op != "rel" or node.value != "=":
        return node
    if not symbols(node.args[0]) or (_has(node.args[0], "unevaluated") and not symbols(node.args[1])):
        return _canonical(node.args[1])
    return node


# --- comparison ---


def _same(reference: Node, answer: Node, policy: Policy) -> bool:
    if reference == answer:
        return True
    if reference.op == "rel" and answer.op == "rel":
        return _same_relation(reference, answer, policy)
    if same_set(reference, answer):
        return True
    left, right = _result(_defined(reference)), _result(_defined(answer))
    if left.op == "rel" or right.op == "rel":
        return False
    return _same_value(left, right, policy)


def _same_value(left: Node, right: Node, policy: Policy) -> bool:
    if {left.op, right.op} & {"matrix"}:
        return _same_matrix(left, right, policy)
    if "mod" in (left.op, right.op):
        return _same_residue(left, right, policy)
    loose = {"list", "set"}
    if left.op in loose and right.op in loose:
        return _same_items(left, right, policy)
    if {left.op, right.op} == {"list", "tuple"}:
        return _same_ordered(left.args, right.args, policy)
    if left.op in loose or right.op in loose:
        many, one = (left, right) if left.op in loose else (right, left)
        alike = len(many.args) == 1 or many.op == "list"  # 15/4, or 3.75: one answer in two forms
        return bool(many.args) and alike and all(_same(item, one, policy) for item in map(_canonical, many.args))
    if left.op == right.op == "ratio" and len(left.args) == len(right.args) > 2:
        return all(same_scalar(*_crossed(left, right, place), policy) for place in range(1, len(left.args)))
    if left.op in _STRUCTURES or right.op in _STRUCTURES:
        if left.op != right.op or left.value != right.value:
            return False
        if left.op in ("union", "intersection"):
            return _same_unordered(left.args, right.args, policy)
        return _same_ordered(left.args, right.args, policy)
    return same_scalar(left, right, policy)


def _crossed(left: Node, right: Node, place: int) -> tuple[Node, Node]:
    """Products that are equal when the first and this member of two ratios are proportional."""
    return Node("mul", (left.args[0], right.args[place])), Node("mul", (right.args[0], left.args[place]))


def _same_residue(left: Node, right: Node, policy: Policy) -> bool:
    """3 mod 5 is 8 mod 5; a residue without its modulus is compared as a number."""
    if left.op != right.op:
        pairs = [[_residue(node, reduced) for node in (left, right)] for reduced in (False, True)]
        return any(_same(pair[0], pair[1], policy) for pair in pairs)
    if not _same(left.args[1], right.args[1], policy):
        return False
    a, b, modulus = exact(left.args[0]), exact(right.args[0]), exact(left.args[1])
    if a is None or b is None or not modulus:
        return _same(left.args[0], right.args[0], policy)
    return (a - b) % modulus == 0


def _residue(node: Node, reduced: bool) -> Node:
    """The number of a residue, as written or brought below its modulus."""
    if node.op != "mod":
        return node
    value, modulus = exact(node.args[0]), exact(node.args[1])
    return node.args[0] if not reduced or value is None or not modulus else Node("num", value=value % modulus)


def _same_items(left: Node, right: Node, policy: Policy) -> bool:
    if policy.ordered_lists and left.op == right.op == "list":
        return _same_ordered(left.args, right.args, policy)
    return _same_unordered(left.args, right.args, policy)


def _same_ordered(left: Sequence[Node], right: Sequence[Node], policy: Policy) -> bool:
    if len(left) != len(right) or not left:
        return False
    return all(_same(_canonical(a), _canonical(b), policy) for a, b in zip(left, right, strict=True))


def _same_unordered(left: Sequence[Node], right: Sequence[Node], policy: Policy) -> bool:
    """Equal as multisets, each element taken once."""
    if len(left) != len(right):
        return False
    plain = all(item.op in ("num", "neg", "sym") for item in (*left, *right))
    tries = _MAX_PLAIN_TRIES if plain else _MAX_TRIES
    rest = [_canonical(item) for item in right]
    for item in map(_canonical, left):
        for place, other in enumerate(rest):
            tries -= 1
            if tries < 0:
                raise TooLarge("a list of too many elements")
            if _same(item, other, policy):
                del rest[place]
                break
        else:
            return False
    return True


def _same_matrix(left: Node, right: Node, policy: Policy) -> bool:
    if "set" in (left.op, right.op):
        return False
    a, b = rows(left), rows(right)
    if [len(row) for row in a] != [len(row) for row in b]:
        return False
    return all(_same_ordered(x, y, policy) for x, y in zip(a, b, strict=True))


def _same_relation(left: Node, right: Node, policy: Policy) -> bool:
    if left.value != right.value or len(left.args) != len(right.args):
        return False
    if left.value != "=":
        return _same_ordered(left.args, right.args, policy)
    names = _name(left.args[0]), _name(right.args[0])
    functions = _function(left.args[0]), _function(right.args[0])
    right_side = right.args[1]
    if functions[0] and functions[1] and functions[0][0] == functions[1][0]:
        right_side = _renamed(right_side, functions[1][1], functions[0][1])
    graph = "y" in names and any(functions) and symbols(left.args[1])  # y = 2x + 3 is the graph of f(x) = 2x + 3
    if left.args[0] == right.args[0] or (names[0] and (names[0] == names[1] or graph)):
        return _same(_canonical(left.args[1]), _canonical(right_side), policy)
    return proportional(_difference(left), _difference(right))


def _renamed(node: Node, old: str, new: str) -> Node:
    if node.op == "sym":
        return replace(node, value=new) if node.value == old else node
    return replace(node, args=tuple(_renamed(argument, old, new) for argument in node.args)) if node.args else node


def _difference(equation: Node) -> Node:
    return Node("add", (equation.args[0], Node("neg", (equation.args[1],))))
