"""Spherical linear interpolation of two models (Shoemake 1985), each tensor as one vector."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from rl_reason.merging.methods.method import F32, Block, Blocks, Parameter, Settings, parameters
from rl_reason.merging.methods.products import products, summed

COLINEAR = 0.9995
"""From this cosine on (either sign) the interpolation is linear, as mergekit has it."""


def slerp(first: F32, second: F32, t: float) -> F32:
    """sin((1-t) a) / sin(a) first + sin(t a) / sin(a) second, a being their angle; linear where they are aligned."""
    return _mixed(first, second, *shares(cosine(products([first, second])), t))


def shares(cos: float, t: float) -> tuple[float, float]:
    """The two factors of the equation."""
    if abs(cos) > COLINEAR:
        return 1 - t, t
    angle = math.acos(cos)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def cosine(gram: np.ndarray) -> float:
    """Of the angle between two vectors, from their products [2, 2]; 1 where one is zero, which has no direction."""
    norms = math.sqrt(gram[0, 0] * gram[1, 1])
    return max(-1.0, min(1.0, float(gram[0, 1]) / norms)) if norms > 0 else 1.0


def _mixed(first: F32, second: F32, a: float, b: float) -> F32:
    merged = first * np.float32(a)
    merged += second * np.float32(b)
    return merged


class Slerp:
    """`slerp` from the base model (t = 0) to the other one (t = 1)."""

    name = "slerp"
    base: Literal["required"] = "required"
    models = (1, 1)
    per_model = parameters()
    overall = parameters(t=Parameter("how far from the base model to the other one", None, 0, 1))

    def measure(self, blocks: Blocks, settings: Settings) -> float:
        """The cosine of the whole tensors."""
        return cosine(summed([block.base, block.models[0]] for block in blocks() if block.base is not None))

    def merge(self, block: Block, settings: Settings, measured: object) -> F32:
        """As in the equation."""
        assert block.base is not None and isinstance(measured, float)
        return _mixed(block.base, block.models[0], *shares(measured, settings.overall["t"]))
