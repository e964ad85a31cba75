"""Recipe section `rewards`: who judges responses, within which limits, and the length reward."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from rl_reason.config.schema.reward_models import RewardModelChoice
from rl_reason.config.schema.section import FolderName, Section, Text


class VerifierChoice(Section):
    """One verifier and its share of the reward."""

    name: Text
    """An installed verifier (`rl-reason verifier list`), or `file.py:Object`, relative to the recipe. No default."""
    weight: float = Field(default=1.0, ge=0)
    """Factor of its score in the reward; 0 records the score without rewarding it. Default: 1, the paper's reward."""
    options: dict[str, Any] = Field(default={})
    """Keyword arguments of the verifier. Empty (the default): its own defaults."""
    deadline_s: float | None = Field(default=None, gt=0)
    """Seconds it may take for one response. Null (the default): `rewards.deadline_s`."""
    compare: bool = False
    """Compare its verdicts with the first verifier's: the share of disagreements is a metric, and each one lands in the
    run folder's disagreements.jsonl. Default: false, as a format check, say, judges something else."""


class LengthReward(Section):
    """Shorter correct responses earn more than longer ones of the same group (Kimi k1.5 §2.3.3)."""

    weight: float = Field(default=0.0, ge=0)
    """Factor of the length reward, which lies in [-0.5, 0.5]; 0 (the default) turns it off. The paper states none."""
    start_iteration: int = Field(default=0, ge=0)
    """First rl iteration that has it: the paper trains without at first. Default: 0, from the beginning."""


class Rewards(Section):
    """Responses that could not be judged are left out of the baseline, always."""

    verifiers: tuple[VerifierChoice, ...] = ()
    """Who judges; scores are added by weight. Empty (the default): fine where no stage generates."""
    models: tuple[RewardModelChoice, ...] = ()
    """Reward models that judge as well; their scores are added by weight. Empty (the default): none."""
    primary: FolderName | None = None
    """Name of the reward model that decides what is right. Null (the default): the first verifier does; without
    verifiers the first model."""
    workers: int = Field(default=4, ge=1)
    """Verifier processes on the driver's machine. Default: keeps up with one engine."""
    deadline_s: float = Field(default=10.0, gt=0)
    """Seconds that a verifier without a deadline of its own may take for one response; then its worker is killed and
    it could not judge. Default: for sympy."""
    memory_mib: int = Field(default=2048, ge=0)
    """Address space of one worker, in MiB; 0 sets no limit. Default: sympy with room."""
    length: LengthReward = LengthReward()
    """The length reward; off by default."""
