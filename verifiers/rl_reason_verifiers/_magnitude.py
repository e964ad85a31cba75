"""Lower bounds on the size of numbers too large to evaluate: enough to say that a tower of powers is not 1."""

from __future__ import annotations

import math
from fractions import Fraction

from rl_reason_verifiers._evaluate import Evaluator, NoValue, TooLarge
from rl_reason_verifiers._scalar import symbols
from rl_reason_verifiers._tokens import Node

_MOST = 1e300
"""Where bounds stop growing; the logarithm of a number that is never written out."""


def certainly_larger(node: Node, reference: Node) -> bool:
    """Whether a constant is surely larger in size than the reference. False means only that this bound can't tell."""
    bound = _log2(node.args[0] if node.op == "neg" else node)
    if bound is None or symbols(reference):
        return False
    try:
        value = abs(Evaluator(50, 0).value(reference))
    except (NoValue, TooLarge):
        return False
    return value == 0 or bool(bound > abs(Evaluator(50, 0).log2(value)) * (1 + 1e-6) + 1)


def _log2(node: Node) -> float | None:
    """A lower bound of the base-2 logarithm of a number that is at least 1; None if it may be smaller."""
    if node.op == "num" and isinstance(node.value, Fraction):
        return _log2_of(node.value) if node.value >= 1 else None
    if node.op == "call" and node.value in ("floor", "ceil"):
        return None
    if node.op not in ("add", "mul", "pow", "fact"):
        return None
    found = [_log2(argument) for argument in node.args]
    bounds = [bound for bound in found if bound is not None]
    if len(bounds) < len(found):
        return None
    if node.op == "add":
        return max(bounds)
    if node.op == "mul":
        return min(sum(bounds), _MOST)
    if node.op == "pow":
        return min(bounds[0] * _power_of_two(bounds[1]), _MOST)
    # n! >= (n/3)^n from n = 3 on
    return min(max(bounds[0] - math.log2(3), 0.0) * _power_of_two(bounds[0]), _MOST)


def _power_of_two(exponent: float) -> float:
    return 2.0 ** min(exponent, 990.0)


def _log2_of(value: Fraction) -> float:
    """Rounded down a little."""
    return max(math.log2(value.numerator) - math.log2(value.denominator) - 1e-9, 0.0)
