"""Recipe section `stages`: what is done to the model, in order."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rl_reason.config.schema.curation import GenerateTests
from rl_reason.config.schema.evolution import Evolve
from rl_reason.config.schema.merging import Merge
from rl_reason.config.schema.optimizers import RlOptimizer, SftOptimizer
from rl_reason.config.schema.reward_stages import EvalRewardModels, RewardModel
from rl_reason.config.schema.sampling import Sampling
from rl_reason.config.schema.section import FolderName, Section, Text


class MirrorDescent(Section):
    """Kimi k1.5's online mirror descent (§2.3.2): squared surrogate on the sequence log-ratio."""

    kind: Literal["mirror_descent"] = "mirror_descent"
    """Which loss; the only choice there is."""
    tau: float = Field(default=0.1, gt=0)
    """Strength of the pull to the previous iterate, in reward per nat. Default: OpenKimi's for 30B."""
    baseline: Literal["mean", "log_mean_exp"] = "mean"
    """Estimate of tau log Z: mean reward, or tau log mean exp(reward / tau). Default: the paper's."""


class Uniform(Section):
    """Every prompt once before any comes again, in random order."""

    kind: Literal["uniform"]
    """Marks this kind of sampler."""


class Prioritised(Section):
    """In proportion to one minus the prompt's success rate (Kimi k1.5 §2.3.4)."""

    kind: Literal["prioritised"]
    """Marks this kind of sampler."""


Sampler = Annotated[Uniform | Prioritised, Field(discriminator="kind")]


class Evaluate(Section):
    """Evaluation on held-out prompts while an rl stage runs."""

    every_iterations: int = Field(default=10, ge=1)
    """Iterations between evaluations; the last iteration is always evaluated. Default: 10."""
    prompts: int | None = Field(default=None, ge=1)
    """How many held-out prompts, from the first. Null (the default): all of them."""
    responses_per_prompt: int = Field(default=1, ge=1)
    """Responses sampled for each. Default: 1, the cheapest."""


class GeneratedTraces(Section):
    """Long-chain-of-thought solutions that a program writes, with mistakes on purpose."""

    kind: Literal["generated"]
    """Marks this kind of traces."""
    task: Literal["chain_sum"]
    """Which task's solutions; chain_sum, reasoning-gym's, is the only one there is."""
    count: int = Field(ge=1)
    """How many traces. No default."""
    seed: int = Field(default=0, ge=0)
    """Seed of problems and mistakes; take another than the held-out source's. Default: 0."""
    error_fraction: float = Field(default=0.0, ge=0, le=1)
    """Share of the steps that are off by one or two, so that answers differ and rl can choose. Default: 0."""
    options: dict[str, Any] = Field(default={})
    """The task's own parameters, as of the `reasoning_gym` source. Empty (the default): the task's defaults."""


class JsonlTraces(Section):
    """Solutions from a file with one JSON object a line."""

    kind: Literal["jsonl"]
    """Marks this kind of traces."""
    path: Text
    """The file; relative to the folder of the recipe that names it. No default."""
    prompt_field: Text = "prompt"
    """Field that holds the problem's text. Default: the commonest name."""
    response_field: Text = "response"
    """Field that holds the whole response, reasoning included. Default: the commonest name."""
    count: int | None = Field(default=None, ge=1)
    """How many of its traces, drawn by the recipe's seed: a mix of data is files with counts (Typhoon2-R1, table 6).
    Null (the default): all of them."""


Traces = Annotated[GeneratedTraces | JsonlTraces, Field(discriminator="kind")]


class Sft(Section):
    """Supervised fine-tuning on chains of thought: the warm-up before rl (Kimi k1.5 §2.2)."""

    kind: Literal["sft"]
    """Marks this kind of stage."""
    name: FolderName | None = None
    """Name of the stage, after its position in its folder\'s name. Null (the default): the kind, as in `02-sft`."""
    traces: tuple[Traces, ...] = Field(min_length=1)
    """Where the solutions come from. No default."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over all traces; set this or `steps`. Null (the default): `steps` decides."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; set this or `epochs`. Null (the default): `epochs` decides."""
    batch_sequences: int = Field(default=64, ge=1)
    """Traces an optimizer step, all ranks together. Default: a usual size."""
    optimizer: SftOptimizer = SftOptimizer()
    """AdamW and its schedule."""


class Rl(Section):
    """Reinforcement learning by online mirror descent: the loop (`rl_reason/loop.py`)."""

    kind: Literal["rl"]
    """Marks this kind of stage."""
    name: FolderName | None = None
    """Name of the stage, after its position in its folder\'s name. Null (the default): the kind, as in `02-rl`."""
    iterations: int = Field(ge=1)
    """How often responses are rolled out and learned from. No default."""
    prompts_per_iteration: int = Field(default=64, ge=1)
    """Different prompts an iteration. Default: small; the paper states none, OpenKimi takes 512."""
    responses_per_prompt: int = Field(default=8, ge=2)
    """Responses k of each prompt, the group that gives the baseline; at least 2. Default: a usual size."""
    gradient_steps_per_iteration: int = Field(default=1, ge=1)
    """Optimizer steps in one pass over an iteration's responses, split into as many parts. Default: 1, on-policy."""
    epochs: int = Field(default=1, ge=1)
    """Passes over an iteration's responses. Default: 1."""
    loss: MirrorDescent = MirrorDescent()
    """What is minimised."""
    optimizer: RlOptimizer = RlOptimizer()
    """AdamW and its schedule."""
    sampling: Sampling = Sampling()
    """How responses are drawn, in training and in this stage's evaluations."""
    max_lag_versions: int = Field(default=0, ge=0)
    """Iterations of responses under way while the learner trains, so their policy is at most this old. 0 (the default):
    rollout and training take turns."""
    sampler: Sampler = Uniform(kind="uniform")
    """How prompts are chosen."""
    evaluate: Evaluate | None = None
    """Evaluate on held-out prompts now and then. Null (the default): only eval stages do."""


class Eval(Section):
    """Evaluation of the model as it stands, on all held-out prompts: avg@k, pass@k."""

    kind: Literal["eval"]
    """Marks this kind of stage."""
    name: FolderName | None = None
    """Name of the stage, after its position in its folder\'s name. Null (the default): the kind, as in `02-eval`."""
    responses_per_prompt: int = Field(default=4, ge=1)
    """Sampled responses k of each prompt; avg@k is their mean accuracy. Default: 4."""
    greedy: bool = True
    """Whether one greedy response a prompt is evaluated as well. Default: yes."""
    pass_at: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """The k for which pass@k is given; none above `responses_per_prompt`. Empty (the default): none."""
    prompts: int | None = Field(default=None, ge=1)
    """How many held-out prompts, from the first. Null (the default): all of them."""
    sampling: Sampling = Sampling()
    """How the sampled responses are drawn."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Level of the confidence intervals. Default: the usual."""


Stage = Annotated[
    Sft | Rl | Eval | RewardModel | EvalRewardModels | GenerateTests | Merge | Evolve, Field(discriminator="kind")
]
