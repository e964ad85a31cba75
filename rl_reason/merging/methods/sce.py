"""SCE: select by variance, calculate weights from squares, erase what disagrees in sign (FuseChat, Wan et al. 2024,
arXiv 2408.07990).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from rl_reason.merging.methods.method import F32, Block, Blocks, Parameter, Settings, parameters
from rl_reason.merging.methods.selection import keep
from rl_reason.merging.methods.task_vectors import combine
from rl_reason.merging.methods.ties import Cut, cut


def sce(models: Sequence[F32], base: F32, select_topk: float = 1.0) -> F32:
    """base + sum_k weight_k delta_k over what is selected and agrees with the elected sign (paper §3.2)."""
    method, settings = Sce(), Settings(({},) * len(models), {"select_topk": select_topk})
    block = Block(tuple(models), base, 0, base.shape)
    return method.merge(block, settings, method.measure(lambda only=None: [block], settings))


class Sce:
    """`sce`; weights are those of a whole tensor."""

    name = "sce"
    base: Literal["required"] = "required"
    models = (1, None)
    per_model = parameters()
    overall = parameters(
        select_topk=Parameter("share of elements, of the largest variance over the models, that is merged", 1.0, 0, 1)
    )

    def measure(self, blocks: Blocks, settings: Settings) -> tuple[Cut | None, list[float]]:
        """The cut by variance, and each model's weight: its share of the sum of squares of what is selected."""

        def variances() -> Iterable[F32]:
            return (np.var(np.stack(block.deltas), axis=0) for block in blocks())

        size = next((int(np.prod(block.shape)) for block in blocks(0)), 0)
        kept = int(settings.overall["select_topk"] * size)
        selected = cut(variances, size, kept) if 0 < kept < size and len(settings.per_model) > 1 else None
        squares = np.zeros(len(settings.per_model))
        for block in blocks():
            squares += [float(np.dot(delta.ravel(), delta.ravel())) for delta in _selected(block, selected)]
        whole = squares.sum()
        return selected, list(squares / whole) if whole > 0 else [1 / len(squares)] * len(squares)

    def merge(self, block: Block, settings: Settings, measured: object) -> F32:
        """As in the paper."""
        assert isinstance(measured, tuple) and block.base is not None
        selected, weights = measured
        merged = combine(_selected(block, selected), weights, elect=True, normalize=True, plainly=True)
        merged += block.base
        return merged


def _selected(block: Block, selected: Cut | None) -> list[F32]:
    deltas = block.deltas
    if selected is not None:
        inside = keep(np.var(np.stack(deltas), axis=0), selected.threshold, selected.equals_before[block.start])
        for delta in deltas:
            delta *= inside
    return deltas
