"""Weighted average of models (model soups, Wortsman et al. 2022, arXiv 2203.05482; k1.5's long2short merge)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from rl_reason.merging.methods.method import F32, Block, Blocks, Parameter, Settings, parameters


def linear(models: Sequence[F32], weights: Sequence[float], *, normalize: bool = True) -> F32:
    """sum_k w_k x_k, divided by sum_k w_k when `normalize`. All models have one shape."""
    scale = 1 / total(weights) if normalize else 1.0
    merged = models[0] * np.float32(weights[0] * scale)
    part = np.empty_like(merged)
    for model, weight in zip(models[1:], weights[1:], strict=True):
        np.multiply(model, np.float32(weight * scale), out=part)
        merged += part
    return merged


def total(weights: Sequence[float]) -> float:
    """Of weights that are to be normalised; 1 where they cancel out, which leaves the sum as it is."""
    added = sum(weights)
    return added if abs(added) > 1e-8 else 1.0


class Linear:
    """`linear`."""

    name = "linear"
    base: Literal["none"] = "none"
    models = (1, None)
    per_model = parameters(weight=Parameter("share of the model"))
    overall = parameters(normalize=Parameter("divide by the sum of the weights", 1.0))

    def measure(self, blocks: Blocks, settings: Settings) -> None:
        """Nothing."""

    def merge(self, block: Block, settings: Settings, measured: object) -> F32:
        """As in the equation."""
        weights = [one["weight"] for one in settings.per_model]
        return linear(block.models, weights, normalize=bool(settings.overall["normalize"]))
