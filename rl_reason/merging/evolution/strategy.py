"""CMA-ES by the library `cmaes`, asked and told a generation at a time; with margin where variables are binary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from rl_reason.merging.evolution.candidate import F64, Variable

SIGMA = 1 / 6
"""The paper's, and Optuna's default for variables from 0 to 1."""


class Strategy(Protocol):
    """Where to look next."""

    def ask(self) -> list[F64]:
        """The points [n] of a generation."""
        ...

    def tell(self, values: Sequence[float]) -> None:
        """What they are worth, in order; less is better."""
        ...


def population_size(variables: int) -> int:
    """4 + floor(3 ln n), the default of CMA-ES (Hansen 2016, table 1) and the paper's for parameter space."""
    return 4 + math.floor(3 * math.log(variables))


def cma_es(variables: Sequence[Variable], *, sigma: float, population: int, seed: int) -> Strategy:
    """Plain CMA-ES if all variables are continuous; else CMA-ES with margin (Hamano et al. 2022), which keeps the
    probability of either value of a binary variable above 1 / (n population), so that none is lost for good.
    """
    return _Margin(variables, sigma, population, seed) if any(one.binary for one in variables) else _Continuous(
        variables, sigma, population, seed
    )  # fmt: skip


def _mean_and_bounds(variables: Sequence[Variable]) -> tuple[F64, F64]:
    return np.array([one.initial for one in variables]), np.array([(one.low, one.high) for one in variables])


class _Continuous:
    def __init__(self, variables: Sequence[Variable], sigma: float, population: int, seed: int) -> None:
        from cmaes import CMA

        mean, bounds = _mean_and_bounds(variables)
        self._cma = CMA(mean=mean, sigma=sigma, bounds=bounds, seed=seed, population_size=population)
        self._asked: list[F64] = []

    def ask(self) -> list[F64]:
        self._asked = [self._cma.ask() for _ in range(self._cma.population_size)]
        return self._asked

    def tell(self, values: Sequence[float]) -> None:
        self._cma.tell(list(zip(self._asked, values, strict=True)))


class _Margin:
    def __init__(self, variables: Sequence[Variable], sigma: float, population: int, seed: int) -> None:
        from cmaes import CMAwM

        mean, bounds = _mean_and_bounds(variables)
        steps = np.array([one.high - one.low if one.binary else 0.0 for one in variables])
        self._cma = CMAwM(mean=mean, sigma=sigma, bounds=bounds, steps=steps, seed=seed, population_size=population)
        self._raw: list[F64] = []

    def ask(self) -> list[F64]:
        pairs = [self._cma.ask() for _ in range(self._cma.population_size)]
        self._raw = [raw for _, raw in pairs]
        return [encoded for encoded, _ in pairs]

    def tell(self, values: Sequence[float]) -> None:
        self._cma.tell(list(zip(self._raw, values, strict=True)))
