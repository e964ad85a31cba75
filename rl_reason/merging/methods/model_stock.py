"""Model Stock: how far to go from the base to the models' mean, by the angle between them (Jang et al. 2024, arXiv
2403.19522).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from rl_reason.merging.methods.linear import linear
from rl_reason.merging.methods.method import F32, Block, Blocks, Settings, parameters
from rl_reason.merging.methods.products import products, summed

_POLE = 1e-6


def model_stock(models: Sequence[F32], base: F32) -> F32:
    """t mean_k(x_k) + (1 - t) base, with t = N cos / (1 + (N - 1) cos) and cos the mean cosine of the task vectors
    (paper eq. 4 and §4).
    """
    return _between(models, base, ratio(products([model - base for model in models])))


def ratio(gram: np.ndarray) -> float:
    """t, of the task vectors' products [models, models]; 0 where they cancel out, as their mean is the base itself."""
    count = len(gram)
    norms = np.sqrt(np.diag(gram))
    pairs = [
        gram[a, b] / (norms[a] * norms[b]) if norms[a] * norms[b] > 0 else 0.0
        for a, b in itertools.combinations(range(count), 2)
    ]
    cos = float(np.clip(math.fsum(pairs) / len(pairs), -1, 1))
    below = 1 + (count - 1) * cos
    return count * cos / below if below > _POLE else 0.0


def _between(models: Sequence[F32], base: F32, t: float) -> F32:
    merged = linear(models, [1.0] * len(models))
    merged *= np.float32(t)
    merged += base * np.float32(1 - t)
    return merged


class ModelStock:
    """`model_stock`."""

    name = "model_stock"
    base: Literal["required"] = "required"
    models = (2, None)
    per_model = parameters()
    overall = parameters()

    def measure(self, blocks: Blocks, settings: Settings) -> float:
        """t."""
        return ratio(summed(block.deltas for block in blocks()))

    def merge(self, block: Block, settings: Settings, measured: object) -> F32:
        """As in the equation."""
        assert block.base is not None and isinstance(measured, float)
        return _between(block.models, block.base, measured)
