"""Matrices and vectors: the rows of whatever is written as one, products with a number, sums and determinants."""

from __future__ import annotations

from collections.abc import Sequence

from rl_reason_verifiers._tokens import Node

_MAX_DETERMINANT = 5
_ROWS = ("tuple", "list", "interval")


def rows(node: Node) -> list[tuple[Node, ...]]:
    """The rows of a matrix; a row vector, a tuple or a list is read as a column, and a single value as one cell."""
    if node.op == "matrix":
        found = [row.args for row in node.args]
        return [(cell,) for cell in found[0]] if len(found) == 1 else found
    if node.op in _ROWS:
        if len(node.args) > 1 and all(item.op in _ROWS for item in node.args):
            return [item.args for item in node.args]  # [[1, 2], [3, 4]]
        return [(item,) for item in node.args]
    return [(node,)]


def simplified(node: Node) -> Node | None:
    """A determinant's expression, or the matrix that a number times a matrix is; None for all else."""
    if node.op == "matrix":
        return _determinant([row.args for row in node.args]) if node.value == "vmatrix" else None
    if node.op == "mul" and sum(factor.op == "matrix" for factor in node.args) == 1:
        inner = next(factor for factor in node.args if factor.op == "matrix")
        scale = tuple(factor for factor in node.args if factor is not inner)
        scaled = [Node("row", tuple(Node("mul", (*scale, cell)) for cell in row.args)) for row in inner.args]
        return Node("matrix", tuple(scaled), inner.value)
    if node.op == "add" and all(term.op == "matrix" for term in node.args):
        return _sum([[row.args for row in term.args] for term in node.args], node.args[0].value)
    return None


def _sum(terms: list[list[tuple[Node, ...]]], kind: object) -> Node | None:
    if len({tuple(len(row) for row in term) for term in terms}) != 1:
        return None
    added = [
        Node("row", tuple(Node("add", cells) for cells in zip(*same_row, strict=True)))
        for same_row in zip(*terms, strict=True)
    ]
    return Node("matrix", tuple(added), str(kind))


def _determinant(square: Sequence[tuple[Node, ...]]) -> Node | None:
    if len(square) > _MAX_DETERMINANT or any(len(row) != len(square) for row in square):
        return None
    if len(square) == 1:
        return square[0][0]
    terms: list[Node] = []
    for column, cell in enumerate(square[0]):
        minor = _determinant([row[:column] + row[column + 1 :] for row in square[1:]])
        if minor is None:
            return None
        term = Node("mul", (cell, minor))
        terms.append(Node("neg", (term,)) if column % 2 else term)
    return Node("add", tuple(terms))
