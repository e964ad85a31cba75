"""Sets of reals as sorted, disjoint intervals: unions, conditions and complements are compared as sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rl_reason_verifiers._evaluate import Evaluator, NoValue, exact
from rl_reason_verifiers._scalar import is_infinite, symbols
from rl_reason_verifiers._tokens import Node

_MAX_PIECES = 64
_DIGITS = 50
_INFINITY = float("inf")
_EPSILON = 1e-30


@dataclass(frozen=True, slots=True)
class Piece:
    """One interval; a point has equal ends that are both in it."""

    low: Any
    high: Any
    has_low: bool
    has_high: bool


_LINE = (Piece(-_INFINITY, _INFINITY, False, False),)
Pieces = tuple[Piece, ...]


def same_set(left: Node, right: Node) -> bool | None:
    """Whether two nodes are the same set of reals; None if one of them is no set with constant ends.

    At least one of them must look like a set: (1, 2) alone may be a point of the plane.

    Raises:
        TooLarge: evaluating an end passes the budget.
    """
    if not (_looks_like_set(left) or _looks_like_set(right)):
        return None
    a, b = _pieces(left), _pieces(right)
    if a is None or b is None:
        return None
    return len(a) == len(b) and all(_same_piece(x, y) for x, y in zip(a, b, strict=True))


def _looks_like_set(node: Node) -> bool:
    if node.op in ("interval", "union", "difference", "intersection", "builder"):
        return True
    if node.op == "tuple":
        return any(is_infinite(end) or (end.op == "neg" and is_infinite(end.args[0])) for end in node.args)
    return (node.op == "rel" and node.value != "=") or _is_line(node) or (node.op == "list" and node.value is not None)


def _is_line(node: Node) -> bool:
    return node.op == "sym" and node.value == "reals"


def _pieces(node: Node) -> Pieces | None:
    try:
        found = _read(node)
    except NoValue:
        return None
    return None if found is None or len(found) > _MAX_PIECES else _merged(found)


def _read(node: Node) -> Pieces | None:
    if _is_line(node):
        return _LINE
    if node.op == "set":
        return tuple(Piece(value, value, True, True) for value in map(_end, node.args))
    if node.op in ("interval", "tuple") and len(node.args) == 2:
        ends = str(node.value) if node.op == "interval" else "()"
        low, high = _end(node.args[0]), _end(node.args[1])
        return None if low >= high and ends != "[]" else (Piece(low, high, ends[0] == "[", ends[1] == "]"),)
    if node.op == "rel" and any(argument.op == "call" and argument.value == "abs" for argument in node.args):
        return _within_distance(node)
    if node.op == "rel" and node.value == "!=" and node.args[0].op == "sym":
        value = _end(node.args[1])
        return _without(_LINE, (Piece(value, value, True, True),))
    if node.op in ("union", "intersection", "difference", "list"):
        return _combined(node, [_pieces(part) for part in node.args])
    return None


def _within_distance(node: Node) -> Pieces | None:
    """|x| < 2, 1 <= |x| and 1 <= |x| <= 2."""
    place = next(place for place, argument in enumerate(node.args) if argument.op == "call" and argument.value == "abs")
    relations = str(node.value).split()
    if node.args[place].args[0].op != "sym" or not set(relations) <= {"<", "<="} or len(node.args) > place + 2:
        return None
    low = _end(node.args[place - 1]) if place == 1 else -_INFINITY
    high = _end(node.args[place + 1]) if place + 1 < len(node.args) else _INFINITY
    has_low, has_high = place == 1 and relations[0] == "<=", high < _INFINITY and relations[-1] == "<="
    if high < 0 or low > high:
        return ()
    outer = (Piece(-high, high, has_high, has_high),)
    return _without(outer, (Piece(-low, low, not has_low, not has_low),)) if low >= 0 else outer


def _combined(node: Node, parts: list[Pieces | None]) -> Pieces | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or sum(map(len, known)) > _MAX_PIECES:
        return None
    together = tuple(piece for part in known for piece in part)
    if node.op == "difference":
        return _without(known[0], known[1])
    if node.op == "union" or node.value == "or":
        return together
    common = known[0]
    for part in known[1:]:
        common = _without(common, _without(_LINE, part))
    # "x < 2 and x > 5" in a list of solutions means that both are solutions
    return common if common or node.op == "intersection" else together


def _end(node: Node) -> Any:
    if is_infinite(node):
        return _INFINITY
    if node.op == "neg" and is_infinite(node.args[0]):
        return -_INFINITY
    if symbols(node):
        raise NoValue("an end that is not a number")
    value = exact(node)
    number = Evaluator(_DIGITS, 0).value(node if value is None else Node("num", value=value))
    if abs(number.imag) > _EPSILON:
        raise NoValue("an end that is not real")
    return number.real


def _equal(a: Any, b: Any) -> bool:
    if _INFINITY in (abs(a), abs(b)):
        return bool(a == b)
    return bool(abs(a - b) <= _EPSILON * max(1, abs(a)))


def _merged(pieces: Pieces) -> Pieces:
    """Sorted, with what overlaps or touches joined and what is empty left out."""
    result: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (piece.low, not piece.has_low)):
        if _equal(piece.low, piece.high) and not (piece.has_low and piece.has_high):
            continue
        last = result[-1] if result else None
        touches = last is not None and _equal(piece.low, last.high) and (piece.has_low or last.has_high)
        if last is None or not (touches or (piece.low < last.high and not _equal(piece.low, last.high))):
            result.append(piece)
        elif _equal(piece.high, last.high):
            result[-1] = Piece(last.low, last.high, last.has_low, last.has_high or piece.has_high)
        elif piece.high > last.high:
            result[-1] = Piece(last.low, piece.high, last.has_low, piece.has_high)
    return tuple(result)


def _without(pieces: Pieces, removed: Pieces) -> Pieces:
    for hole in _merged(removed):
        rest: list[Piece] = []
        for piece in pieces:
            if hole.high < piece.low or hole.low > piece.high:
                rest.append(piece)
                continue
            if hole.low > piece.low or (_equal(hole.low, piece.low) and piece.has_low and not hole.has_low):
                rest.append(Piece(piece.low, hole.low, piece.has_low, not hole.has_low))
            if hole.high < piece.high or (_equal(hole.high, piece.high) and piece.has_high and not hole.has_high):
                rest.append(Piece(hole.high, piece.high, not hole.has_high, piece.has_high))
        pieces = _merged(tuple(rest))
    return pieces


def _same_piece(a: Piece, b: Piece) -> bool:
    return (a.has_low, a.has_high) == (b.has_low, b.has_high) and _equal(a.low, b.low) and _equal(a.high, b.high)
