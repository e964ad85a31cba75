"""Multi-SLERP: the weighted mean of several directions on the sphere, in the plane that touches it at their Euclidean
mean (Goddard, "Multi-SLERP", 2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from rl_reason.merging.methods.linear import linear, total
from rl_reason.merging.methods.method import F32, Block, Blocks, Parameter, Settings, parameters

_TINY = 1e-8


def multislerp(models: Sequence[F32], weights: Sequence[float], *, normalize_weights: bool = True) -> F32:
    """Directions u_k = x_k / |x_k| are mapped into the tangent plane at their mean m, averaged, mapped back, and given
    the weighted mean of the lengths.
    """
    gram = np.array([[float(np.dot(a.ravel(), b.ravel())) for b in models] for a in models])
    return linear(models, factors(gram, weights, normalize_weights=normalize_weights), normalize=False)


def factors(gram: np.ndarray, weights: Sequence[float], *, normalize_weights: bool) -> list[float]:
    """The result is a sum of the models times these, which depend on their products [models, models] alone."""
    share = np.array(weights, np.float64)
    if normalize_weights:
        share = share / total(weights)
    lengths = np.sqrt(np.diag(gram))
    if not np.all(lengths > 0):
        return list(share)
    units = gram / np.outer(lengths, lengths)
    mean = share.copy()  # in terms of the u_k
    size = math.sqrt(max(0.0, float(mean @ units @ mean)))
    if size < _TINY:
        return list(share)
    mean /= size
    cosines = np.clip(units @ mean, -1, 1)
    angles = np.arccos(cosines)
    tangents = np.eye(len(share)) - np.outer(cosines, mean)  # row k: u_k - cos_k m
    heights = np.sin(angles)
    stretch = np.where(heights > _TINY, angles / np.maximum(heights, _TINY), 1.0)
    tangent = share @ (tangents * stretch[:, None])
    angle = math.sqrt(max(0.0, float(tangent @ units @ tangent)))
    direction = mean if angle < _TINY else math.cos(angle) * mean + math.sin(angle) / angle * tangent
    return list(direction / lengths * float(share @ lengths))


class MultiSlerp:
    """`multislerp`, of task vectors where there is a base."""

    name = "multislerp"
    base: Literal["optional"] = "optional"
    models = (1, None)
    per_model = parameters(weight=Parameter("share of the model"))
    overall = parameters(normalize_weights=Parameter("divide the weights by their sum", 1.0))

    def measure(self, blocks: Blocks, settings: Settings) -> list[float]:
        """The factors."""
        gram = np.zeros(())
        for block in blocks():
            vectors = [vector.ravel() for vector in _vectors(block)]
            gram = gram + np.array([[float(np.dot(a, b)) for b in vectors] for a in vectors])
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
