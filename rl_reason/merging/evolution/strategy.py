"""CMA-ES by the library `cmaes`, asked and told a generation at a time; with margin where variables are binary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from rl_reason.merging.evolution.candidate import F64, Variable

SIGMA = 1 / 6
"""The paper's, and Optuna's default for variables from 0 to 1."""


FULL = 1024
"""Most variables that share one covariance matrix. The library's update of it holds population x variables^2 numbers:
with the published 128 candidates 1 GB here, and 19 GB for the published W of 64 layers."""


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

    Of more than `FULL` variables the continuous ones have a diagonal covariance of their own (sep-CMA-ES, Ros and
    Hansen 2008), and a step size of their own; both parts are told the same.
    """
    if len(variables) <= FULL:
        margin = any(one.binary for one in variables)
        return _Margin(variables, sigma, population, seed) if margin else _Continuous(
            "CMA", variables, sigma, population, seed
        )  # fmt: skip
    binary = [number for number, one in enumerate(variables) if one.binary]
    others = [number for number, one in enumerate(variables) if not one.binary]
    parts: list[tuple[list[int], Strategy]] = []
    if binary:
        parts.append((binary, cma_es([variables[k] for k in binary], sigma=sigma, population=population, seed=seed)))
    if others:
        separable = _Continuous("SepCMA", [variables[k] for k in others], sigma, population, seed + 1)
        parts.append((others, separable))
    return _Parts(parts)


def _mean_and_bounds(variables: Sequence[Variable]) -> tuple[F64, F64]:
    return np.array([one.initial for one in variables]), np.array([(one.low, one.high) for one in variables])


class _Continuous:
    def __init__(self, kind: str, variables: Sequence[Variable], sigma: float, population: int, seed: int) -> None:
        import cmaes

        mean, bounds = _mean_and_bounds(variables)
        self._cma = getattr(cmaes, kind)(mean=mean, sigma=sigma, bounds=bounds, seed=seed, population_size=population)
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


class _Parts:
    """Strategies of some of the variables each, which are told the same values."""

    def __init__(self, parts: Sequence[tuple[Sequence[int], Strategy]]) -> None:
        self._parts = parts

    def ask(self) -> list[F64]:
        size = sum(len(places) for places, _ in self._parts)
        points: list[F64] = []
        for asked in zip(*(strategy.ask() for _, strategy in self._parts), strict=True):
            points.append(np.empty(size))
            for (places, _), values in zip(self._parts, asked, strict=True):
                points[-1][list(places)] = values
        return points

    def tell(self, values: Sequence[float]) -> None:
        for _, strategy in self._parts:
            strategy.tell(values)
