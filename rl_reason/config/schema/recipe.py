"""The whole recipe: all that a run is told."""

from __future__ import annotations

from pydantic import Field

from rl_reason.config.schema.data import Data
from rl_reason.config.schema.hardware import Cluster, Engine, Learner, Sync
from rl_reason.config.schema.model import Model
from rl_reason.config.schema.records import Checkpoints, Tracking
from rl_reason.config.schema.rewards import Rewards
from rl_reason.config.schema.section import FolderName, Section, Text
from rl_reason.config.schema.stages import Stage

LEAVE_A_MODEL = frozenset({"sft", "rl", "merge", "evolve"})
"""Kinds of stages whose model the stages after them begin with."""


class Recipe(Section):
    """All that a run is told. Read one with `config.load.load_recipe`, which also checks values against each other."""

    name: FolderName
    """Names the run. No default."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of everything random: same seed, same machine, same run. Default: 0."""
    out: Text | None = None
    """Run folder, relative to where the command is given. Null (the default): `runs/<name>`."""
    model: Model = Model()
    """Where the first stage's model comes from; may be left out where no stage needs one."""
    data: Data = Data()
    """Prompts to train on and held-out prompts."""
    engine: Engine = Engine()
    """What writes responses."""
    learner: Learner = Learner()
    """What trains."""
    sync: Sync = Sync()
    """How weights go from the learner to the engines."""
    rewards: Rewards = Rewards()
    """Who judges responses."""
    cluster: Cluster = Cluster()
    """Ray, and how long anything is waited for."""
    tracking: Tracking = Tracking()
    """What is recorded beside `metrics.jsonl`."""
    checkpoints: Checkpoints = Checkpoints()
    """What a killed run continues from."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """What is done, in order; each stage takes the model folder that the one before it left. No default."""


def stage_names(recipe: Recipe) -> list[str]:
    """Folder name of each stage: position from 1, then its name or else its kind, such as `02-rl`."""
    return [f"{position:02d}-{stage.name or stage.kind}" for position, stage in enumerate(recipe.stages, start=1)]
