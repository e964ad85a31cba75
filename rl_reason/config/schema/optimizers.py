"""AdamW and its schedule, as the stages that train have it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rl_reason.config.schema.section import Section

Beta = Annotated[float, Field(ge=0, lt=1)]


class SftOptimizer(Section):
    """AdamW for imitation."""

    learning_rate: float = Field(default=1e-5, gt=0)
    """Peak step size. Default: what Kimi k1.5 re-warms its second fine-tuning epoch to (§2.5.2)."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """AdamW's decay rates, each in [0, 1). Default: torch's."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decoupled weight decay; 0 (the default) is none."""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """What the step size does after warm-up; cosine and linear end at 0. Default: fine-tuning's usual."""
    warmup_fraction: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the step size rises to its peak; 0 is none. Default: fine-tuning's usual."""


class RlOptimizer(Section):
    """AdamW for mirror descent."""

    learning_rate: float = Field(default=1e-6, gt=0)
    """Peak step size. Default: OpenKimi's for 8B to 30B; the paper states none. Small models want 1e-4."""
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    """AdamW's decay rates, each in [0, 1). Default: a short second-moment memory, as each iteration starts afresh."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decoupled weight decay; 0 (the default) is none."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """What the step size does over the stage's iterations; cosine and linear end at 0. Default: constant."""
    warmup_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the iterations in which the step size rises to its peak; 0 (the default) is none."""
    reset_each_iteration: bool = True
    """Forget AdamW's moments before each iteration: each is a different problem (Kimi k1.5 §2.3.2). Default: its."""
