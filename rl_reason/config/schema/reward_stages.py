"""Stages about reward models: training a classic one, and measuring all of a recipe's on labelled responses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rl_reason.config.schema.optimizers import SftOptimizer
from rl_reason.config.schema.section import FolderName, Section, Text


class JudgedFile(Section):
    """A file with one JSON object a line: prompt, answer (may be left out), response, label; or chosen and rejected."""

    kind: Literal["jsonl"]
    """Marks this kind of source."""
    path: Text
    """The file; relative to the folder of the recipe that names it. No default."""


class GeneratedJudgements(Section):
    """Solutions that a program writes, with mistakes on purpose, labelled by the recipe's verifiers."""

    kind: Literal["generated"]
    """Marks this kind of source."""
    task: Literal["chain_sum"]
    """Which task's solutions; chain_sum, reasoning-gym's, is the only one there is."""
    problems: int = Field(ge=1)
    """How many problems. No default."""
    responses_per_problem: int = Field(default=4, ge=1)
    """Solutions of each problem; pairs are made of right and wrong ones. Default: 4, so that most have both."""
    seed: int = Field(default=0, ge=0)
    """Seed of problems and mistakes; training and evaluation need different ones. Default: 0."""
    error_fraction: float = Field(default=0.2, gt=0, le=1)
    """Share of the steps that are off by one or two. Default: 0.2, about half of the solutions of three steps."""
    options: dict[str, Any] = Field(default={})
    """The task's own parameters, as of the `reasoning_gym` source. Empty (the default): the task's defaults."""


JudgedSource = Annotated[JudgedFile | GeneratedJudgements, Field(discriminator="kind")]


class BradleyTerry(Section):
    """Learn from pairs which of two responses is better."""

    kind: Literal["bradley_terry"]
    """Marks this kind of loss."""
    centre: float = Field(default=0.01, ge=0)
    """Pull of a pair's middle to 0, where the probability is one half; 0 leaves it to chance. Default: Eisenstein's."""


class CrossEntropy(Section):
    """Learn from labels whether a response is right."""

    kind: Literal["cross_entropy"]
    """Marks this kind of loss."""


class RewardModel(Section):
    """Train a classic reward model, a scalar head on the current model's layers (Kimi k1.5 §2.3.5).

    The result lies in the stage's folder `reward_model`; the stages that follow go on with the policy as it was.
    """

    kind: Literal["reward_model"]
    """Marks this kind of stage."""
    name: FolderName | None = None
    """Name of the stage, after its position in its folder's name. Null (the default): the kind."""
    loss: Annotated[BradleyTerry | CrossEntropy, Field(discriminator="kind")] = CrossEntropy(kind="cross_entropy")
    """What is minimised: pairs or labels. Default: labels, whose probabilities mean something by themselves."""
    data: tuple[JudgedSource, ...] = Field(min_length=1)
    """Judged responses. No default."""
    heldout_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of the problems that is never trained on and measured instead; 0 is none. Default: a tenth."""
    evaluate_every_steps: int = Field(default=100, ge=1)
    """Steps between measurements on the held-out part; after the last step there is one always. Default: 100."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over all examples; set this or `steps`. Null (the default): `steps` decides."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; set this or `epochs`. Null (the default): `epochs` decides."""
    batch_examples: int = Field(default=64, ge=1)
    """Pairs, or labelled responses, an optimizer step, all ranks together. Default: a usual size."""
    optimizer: SftOptimizer = SftOptimizer()
    """AdamW and its schedule."""
    template: Text | None = None
    """File with what the model reads: text with {{question}}, {{reference}}, {{response}}, the response last. Null (the
    default): the one that is shipped, `rl_reason/data/templates/classic.txt`. It is kept beside the model."""


class EvalRewardModels(Section):
    """Measure the reward models of `rewards.models` on labelled responses: accuracy, errors, calibration."""

    kind: Literal["eval_reward_models"]
    """Marks this kind of stage."""
    name: FolderName | None = None
    """Name of the stage, after its position in its folder's name. Null (the default): the kind."""
    data: tuple[JudgedSource, ...] = Field(min_length=1)
    """Labelled responses. No default."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Level of the confidence intervals. Default: the usual."""
