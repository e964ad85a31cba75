"""Data-flow space: which layer of which model is next, and how its input is scaled (arXiv 2403.13187, "Merging in the
Data Flow Space").

All layers of model A, then those of B, …, M in all, are laid out `repeats` times; slot t is on the path if I_t > 0.
The input that layer j gets from layer i is multiplied by W_ij. The first and last layer of A are forced as start and
end. I starts at zero, and at 2 sigma for A's layers in the first repetition, so that the search begins near A.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from rl_reason.errors import ConfigError
from rl_reason.merging.evolution.candidate import F64, Candidate, Variable
from rl_reason.merging.evolution.strategy import SIGMA

Scale = Callable[[int, int, int], float]
"""(layer before, layer, slot) -> what its input is multiplied by."""
_HALF = 0.5


class Scaling(Protocol):
    """How inputs are scaled. Implementations: `NoScaling`, `Matrix`, `Network`."""

    def variables(self, layers: int) -> list[Variable]:
        """What of it is searched."""
        ...

    def at(self, values: F64, layers: int, slots: int) -> Scale:
        """The scaling at a point."""
        ...


@dataclass(frozen=True)
class NoScaling:
    """W = 1: the paper's ablation."""

    def variables(self, layers: int) -> list[Variable]:
        """None."""
        return []

    def at(self, values: F64, layers: int, slots: int) -> Scale:
        """One."""
        return lambda before, layer, slot: 1.0


@dataclass(frozen=True)
class Matrix:
    """W in R^{M x M}, starting at 1, between 1 - reach and 1 + reach. (The paper states neither.)"""

    reach: float = 1.0

    def variables(self, layers: int) -> list[Variable]:
        """Row by row."""
        low, high = 1 - self.reach, 1 + self.reach
        return [Variable(f"W/{i}/{j}", 1.0, low, high) for i in range(layers) for j in range(layers)]

    def at(self, values: F64, layers: int, slots: int) -> Scale:
        """W_ij."""
        matrix = values.reshape(layers, layers)
        return lambda before, layer, slot: float(matrix[before, layer])


@dataclass(frozen=True)
class Network:
    """W_ij = pi_theta(i, j, t): one hidden layer of tanh, so that the number of variables does not grow with M^2.

    pi(i, j, t) = 1 + v . tanh(U [i/M, j/M, t/T] + b) + c; theta = (U, b, v, c), 5 hidden + 1 numbers. theta starts at
    zero, but for U and b that start as the seed draws them: with all of it at zero, v would have no effect to find.
    """

    hidden: int = 8
    reach: float = 3.0
    """Each number of theta is between minus this and this."""
    seed: int = 0

    def variables(self, layers: int) -> list[Variable]:
        """U [hidden, 3] row by row, b, v, c."""
        drawn = np.random.default_rng(self.seed).uniform(-1, 1, 4 * self.hidden)
        initial = [*drawn.tolist(), *[0.0] * (self.hidden + 1)]
        return [Variable(f"theta/{k}", value, -self.reach, self.reach) for k, value in enumerate(initial)]

    def at(self, values: F64, layers: int, slots: int) -> Scale:
        """pi_theta."""
        n = self.hidden
        inner, bias, outer, constant = (
            values[: 3 * n].reshape(n, 3),
            values[3 * n : 4 * n],
            values[4 * n : 5 * n],
            values[-1],
        )

        def scale(before: int, layer: int, slot: int) -> float:
            place = np.array([before / layers, layer / layers, slot / slots])
            return float(1 + outer @ np.tanh(inner @ place + bias) + constant)

        return scale


@dataclass(frozen=True)
class DataFlowSpace:
    """Paths through the layers of several models."""

    layers: tuple[int, ...]
    """Of each model, A first; M is their sum."""
    repeats: int = 3
    """The paper's."""
    scaling: Scaling = Matrix()
    sigma: float = SIGMA
    """Of the search; at most 1/4, so that 2 sigma is between the two values of an indicator."""
    first: str = "A"
    """What A is called."""

    def __post_init__(self) -> None:
        if not self.layers or min(self.layers) < 1 or self.layers[0] < 2 or self.repeats < 1:
            raise ConfigError(
                f"A needs two layers, the others one, and repeats is positive, not {self.layers}, {self.repeats}"
            )
        if not 0 < self.sigma <= _HALF / 2:
            raise ConfigError(f"sigma is above 0 and at most {_HALF / 2} in data-flow space, not {self.sigma}")

    @property
    def variables(self) -> Sequence[Variable]:
        """I [M x repeats], then those of the scaling."""
        total = sum(self.layers)
        indicators = [
            Variable(f"I/{t}", 2 * self.sigma if t < self.layers[0] else 0.0, -_HALF, _HALF, binary=True)
            for t in range(total * self.repeats)
        ]
        return [*indicators, *self.scaling.variables(total)]

    @property
    def sources(self) -> Mapping[str, Candidate]:
        """A alone: the others have their own first and last layers, which no path has as its ends."""
        path = [[0, layer] for layer in range(self.layers[0])]
        return {self.first: Candidate({"path": path, "scales": [1.0] * len(path)})}

    def candidate(self, values: F64) -> Candidate:
        """{"path": [[model, layer], …], "scales": [s, …]}: layers in order, and what inputs are multiplied by.

        Scales of layers that are not on the path make no other candidate.
        """
        total = sum(self.layers)
        slots = total * self.repeats
        scale = self.scaling.at(np.asarray(values[slots:], dtype=np.float64), total, slots)
        path = visited(np.asarray(values[:slots]) > 0, total, self.layers[0])
        scales = [1.0]
        for (before, _), (layer, slot) in pairwise(path):
            scales.append(scale(before, layer, slot))
        places = [(model, layer) for model, count in enumerate(self.layers) for layer in range(count)]
        return Candidate({"path": [list(places[layer]) for layer, _ in path], "scales": scales})


def visited(on: Sequence[bool] | np.ndarray, layers: int, first_model: int) -> list[tuple[int, int]]:
    """[(layer of all M, slot)] of a path.

    Args:
        on: [M x repeats], the slots that are taken.
        layers: M.
        first_model: layers of A. Its first one is put before the path and its last one after it, unless the path
            begins or ends so by itself.
    """
    path = [(slot % layers, slot) for slot in range(len(on)) if on[slot]]
    if not path or path[0][0] != 0:
        path.insert(0, (0, 0))
    if path[-1][0] != first_model - 1:
        path.append((first_model - 1, len(on) - 1))
    return path
