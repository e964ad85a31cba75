"""Recipe sections `tracking` and `checkpoints`: what a run writes down."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rl_reason.config.schema.section import Section, Text


class Wandb(Section):
    """Weights & Biases."""

    project: Text
    """Project that the run is filed under. No default."""
    mode: Literal["online", "offline", "disabled"] = "offline"
    """offline needs no key and writes a folder to upload later. Default: the one that always works."""
    entity: Text | None = None
    """User or team. Null (the default): the account's own."""


class Tracking(Section):
    """`metrics.jsonl` is always written."""

    wandb: Wandb | None = None
    """Send metrics to Weights & Biases as well. Null (the default): no."""
    trajectories_every: int = Field(default=10, ge=0)
    """Iterations between kept files of responses; 0 keeps none. Default: enough for the report's browser."""
    trajectories_per_iteration: int = Field(default=64, ge=1)
    """Responses in each such file, whole groups first. Default: a file of about a megabyte at long lengths."""


class Checkpoints(Section):
    """What a killed run continues from."""

    every_iterations: int = Field(default=10, ge=1)
    """Iterations of an rl stage between checkpoints; its last one is always written. Default: 10, a small loss."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints that stay on disk; 2 (the default) survives damage to the newest."""
