"""Layers as they are, of one model or of several stacked (frankenmerge), times a factor if one is given."""

from __future__ import annotations

from typing import Literal

import numpy as np

from rl_reason.merging.methods.method import F32, Block, Blocks, Parameter, Settings, parameters


class Passthrough:
    """The one model's tensor."""

    name = "passthrough"
    base: Literal["none"] = "none"
    models = (1, 1)
    per_model = parameters(scale=Parameter("factor of the tensor", 1.0))
    overall = parameters()

    def measure(self, blocks: Blocks, settings: Settings) -> None:
        """Nothing."""

    def merge(self, block: Block, settings: Settings, measured: object) -> F32:
        """scale * x."""
        return block.models[0] * np.float32(settings.per_model[0]["scale"])
