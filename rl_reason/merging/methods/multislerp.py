"""Multi-SLERP: the weighted mean of several directions on the sphere (Goddard, "Multi-SLERP", 2024; mergekit).

Described as an average in the plane that touches the sphere at the directions' weighted mean. Vectors projected into
that plane add up to 0 there, by the choice of the point, so the point itself is the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from rl_reason.merging.methods.linear import linear, total
from rl_reason.merging.methods.method import F32, Block, Blocks, Parameter, Settings, parameters
from rl_reason.merging.methods.products import products, summed

_TINY = 1e-12


def multislerp(models: Sequence[F32], weights: Sequence[float], *, normalize_weights: bool = True) -> F32:
    """The direction of sum_k w_k x_k / |x_k|, with the length sum_k w_k |x_k|."""
    return linear(models, factors(products(models), weights, normalize_weights=normalize_weights), normalize=False)


def factors(gram: np.ndarray, weights: Sequence[float], *, normalize_weights: bool) -> list[float]:
    """The result is a sum of the models times these, which depend on their products [models, models] alone."""
    share = np.array(weights, np.float64)
    if normalize_weights:
        share = share / total(weights)
    lengths = np.sqrt(np.maximum(np.diag(gram), 0))
    inverse = np.where(lengths > _TINY, 1 / np.maximum(lengths, _TINY), 0.0)
    mean = share * inverse
    size = math.sqrt(max(0.0, float(mean @ gram @ mean)))
    return list(share) if size < _TINY else list(mean / size * float(share @ lengths))


class MultiSlerp:
    """`multislerp`, of task vectors where there is a base."""

    name = "multislerp"
    base: Literal["optional"] = "optional"
    models = (1, None)
    per_model = parameters(weight=Parameter("share of the model"))
    overall = parameters(normalize_weights=Parameter("divide the weights by their sum", 1.0))

    def measure(self, blocks: Blocks, settings: Settings) -> list[float]:
        """The factors."""
        gram = summed(_vectors(block) for block in blocks())
        weights = [given["weight"] for given in settings.per_model]
        return factors(gram, weights, normalize_weights=bool(settings.overall["normalize_weights"]))

    def merge(self, block: Block, settings: Settings, measured: object) -> F32:
        """As in the equation."""
        assert isinstance(measured, list)
        merged = linear(_vectors(block), measured, normalize=False)
        if block.base is not None:
            merged += block.base
        return merged


def _vectors(block: Block) -> Sequence[F32]:
    return block.models if block.base is None else block.deltas
