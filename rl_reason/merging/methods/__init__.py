"""The methods of merging, one file each, by mergekit's names."""

from __future__ import annotations

from collections.abc import Mapping

from rl_reason.merging.methods.breadcrumbs import BREADCRUMBS, BREADCRUMBS_TIES
from rl_reason.merging.methods.dare import DARE_LINEAR, DARE_TIES
from rl_reason.merging.methods.della import DELLA, DELLA_LINEAR
from rl_reason.merging.methods.karcher import Karcher
from rl_reason.merging.methods.linear import Linear
from rl_reason.merging.methods.method import Method
from rl_reason.merging.methods.model_stock import ModelStock
from rl_reason.merging.methods.multislerp import MultiSlerp
from rl_reason.merging.methods.passthrough import Passthrough
from rl_reason.merging.methods.sce import Sce
from rl_reason.merging.methods.slerp import Slerp
from rl_reason.merging.methods.ties import TASK_ARITHMETIC, TIES

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Linear(), Slerp(), MultiSlerp(), TASK_ARITHMETIC, TIES, DARE_LINEAR, DARE_TIES, DELLA, DELLA_LINEAR,
        BREADCRUMBS, BREADCRUMBS_TIES, ModelStock(), Sce(), Passthrough(), Karcher(),
    )
}  # fmt: skip
