"""Karcher mean: the point on the sphere with the smallest sum of squared angles to the models' directions (Karcher
1977; for merging, arXiv 2603.04972).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from rl_reason.merging.methods.linear import linear
from rl_reason.merging.methods.method import F32, Block, Blocks, Parameter, Settings, parameters
from rl_reason.merging.methods.products import products, summed

_TINY = 1e-12


def karcher(models: Sequence[F32], *, max_iter: int = 10, tol: float = 1e-5) -> F32:
    """Iterates m <- exp_m(mean_k log_m(u_k)) from the mean of the directions u_k; lengths are averaged."""
    return linear(models, factors(products(models), max_iter=max_iter, tol=tol), normalize=False)


def factors(gram: np.ndarray, *, max_iter: int, tol: float) -> list[float]:
    """The mean is a sum of the models times these, which depend on their products [models, models] alone; so an
    iteration costs nothing, however large the tensors are.
    """
    lengths = np.sqrt(np.maximum(np.diag(gram), 0))
    alive = lengths > _TINY
    if not alive.any():
        return [1 / len(gram)] * len(gram)
    inverse = np.where(alive, 1 / np.maximum(lengths, _TINY), 0.0)
    units = gram * np.outer(inverse, inverse)
    share = alive / alive.sum()
    mean = _unit(share, units)
    for _ in range(max_iter):
        cosines = np.clip(units @ mean, -1, 1)
        angles = np.arccos(cosines)
        heights = np.sin(angles)
        stretch = np.where(heights > _TINY, angles / np.maximum(heights, _TINY), 1.0) * share
        tangent = stretch - float(stretch @ cosines) * mean
        angle = math.sqrt(max(0.0, float(tangent @ units @ tangent)))
        if angle < tol:
            break
        mean = _unit(math.cos(angle) * mean + math.sin(angle) / angle * tangent, units)
    return list(mean * inverse * float(share @ lengths))


def _unit(vector: np.ndarray, units: np.ndarray) -> np.ndarray:
    size = math.sqrt(max(0.0, float(vector @ units @ vector)))
    return vector / size if size > _TINY else vector


class Karcher:
    """`karcher`."""

    name = "karcher"
    base: Literal["none"] = "none"
    models = (1, None)
    per_model = parameters()
    overall = parameters(
        max_iter=Parameter("most iterations", 10.0, 0),
        tol=Parameter("the iteration ends when the mean moves by a smaller angle", 1e-5, 0),
    )

    def measure(self, blocks: Blocks, settings: Settings) -> list[float]:
        """The factors."""
        gram = summed(block.models for block in blocks())
        return factors(gram, max_iter=int(settings.overall["max_iter"]), tol=settings.overall["tol"])

    def merge(self, block: Block, settings: Settings, measured: object) -> F32:
        """As in the equation."""
        assert isinstance(measured, list)
        return linear(block.models, measured, normalize=False)
