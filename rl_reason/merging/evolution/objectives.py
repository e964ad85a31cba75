"""From a generation's outcomes to what CMA-ES is told. It looks at the order alone; less is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rl_reason.merging.evolution.candidate import Outcome
from rl_reason.merging.evolution.pareto import ranks

Objective = Callable[[Sequence[Outcome]], list[float]]


def accuracy(outcomes: Sequence[Outcome]) -> list[float]:
    """Minus the accuracy, as in the paper; infinity for what failed."""
    return [math.inf if one.accuracy is None else -one.accuracy for one in outcomes]


def accuracy_and_tokens(outcomes: Sequence[Outcome]) -> list[float]:
    """The place in NSGA-II's order by accuracy (more) and mean tokens (less); infinity for what failed.

    The paper only suggests several objectives. Here one distribution is moved by NSGA-II's order; the trade-offs that
    were met on the way are all in the journal, and `search.Result.front` has the best of them.
    """
    good = [
        (number, (-one.accuracy, one.tokens_mean))
        for number, one in enumerate(outcomes)
        if one.accuracy is not None and one.tokens_mean is not None
    ]
    told = [math.inf] * len(outcomes)
    for (number, _), place in zip(good, ranks([point for _, point in good]), strict=True) if good else ():
        told[number] = place
    return told


OBJECTIVES: dict[str, Objective] = {"accuracy": accuracy, "accuracy_and_tokens": accuracy_and_tokens}
