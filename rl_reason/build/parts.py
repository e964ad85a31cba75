"""Recipe sections `rewards`, `sync`, `tracking` and those of an `rl` stage: the loop's parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.stages import Rl
from rl_reason.config.schema.stages import Sampling as SamplingSection
from rl_reason.data.render import ChatRenderer
from rl_reason.data.sampling import PrioritisedSampler, UniformSampler
from rl_reason.policy.advantages import log_mean_exp_baseline, mean_baseline
from rl_reason.protocols import Engine, Learner, Sampler, Scorer, Tracker
from rl_reason.rewards.length import length_rewards, length_weight
from rl_reason.rewards.pool import VerifierPool, VerifierSpec
from rl_reason.rewards.scorer import PoolScorer
from rl_reason.rollout.assemble import Assembler, Baseline, LengthPressure
from rl_reason.rollout.engine_pool import EnginePool
from rl_reason.rollout.phase import RolloutPhase
from rl_reason.sync.channel import CheckedChannel
from rl_reason.tracking.run_folder import RunFolder, StageFolder
from rl_reason.types import Prompt, Sampling

SAMPLERS = {"uniform": UniformSampler, "prioritised": PrioritisedSampler}


def scorer(recipe: Recipe) -> PoolScorer:
    """The verifier pool with the recipe's weights; starts its processes."""
    section = recipe.rewards
    pool = VerifierPool(
        [
            VerifierSpec(choice.name, choice.name, dict(choice.options), choice.deadline_s)
            for choice in section.verifiers
        ],
        workers=section.workers,
        deadline_s=section.deadline_s,
        memory_limit_mib=section.memory_mib,
    )
    weights = [choice.weight for choice in section.verifiers]
    return PoolScorer(pool, weights, [choice.name for choice in section.verifiers if choice.compare])


def sampler(stage: Rl, prompts: Sequence[Prompt], seed: int) -> Sampler:
    """What chooses an iteration's prompts."""
    return SAMPLERS[stage.sampler.kind](prompts, seed)


def sampling(section: SamplingSection, renderer: ChatRenderer, *, greedy: bool = False) -> Sampling:
    """How responses are drawn."""
    return Sampling(
        temperature=0.0 if greedy else section.temperature,
        max_new_tokens=section.max_new_tokens,
        stop_token_ids=renderer.stop_token_ids,
        repetition_stop=section.repetition_stop,
    )


def rollout_phase(
    engines: Sequence[Engine], scores: Scorer, renderer: ChatRenderer, draw: Sampling, *, responses: int, seed: int
) -> RolloutPhase:
    """A roll-out phase over all engines."""
    return RolloutPhase(EnginePool(engines), scores, renderer.decode_batch, draw, responses, seed)


def assembler(recipe: Recipe, stage: Rl) -> Assembler:
    """Rewards, length pressure and baseline of an rl stage."""
    baselines: dict[str, Baseline] = {
        "mean": mean_baseline,
        "log_mean_exp": partial(log_mean_exp_baseline, tau=stage.loss.tau),
    }
    return Assembler(baselines[stage.loss.baseline], length_pressure(recipe))


def length_pressure(recipe: Recipe) -> LengthPressure:
    """Kimi k1.5's length reward with its two-phase start, as a function of the group and the iteration."""
    section = recipe.rewards.length

    def pressure(lengths: Sequence[int], correct: Sequence[bool], iteration: int) -> NDArray[np.float64]:
        weight = length_weight(iteration, weight=section.weight, start_iteration=section.start_iteration)
        return weight * length_rewards(lengths, correct)

    return pressure


def channel(recipe: Recipe, learner: Learner, engines: Sequence[Engine], canary: Sequence[int]) -> CheckedChannel:
    """Weights from learner to engines, the canary's log-probs compared after each sync."""
    return CheckedChannel(
        learner,
        engines,
        canary=[list(canary)[: recipe.sync.canary_tokens]],
        gap_alarm_nats=recipe.sync.gap_alarm_nats,
    )


def wandb_trackers(recipe: Recipe, folder: RunFolder, stage: StageFolder) -> list[Tracker]:
    """One Weights & Biases tracker when the recipe asks for it."""
    section = recipe.tracking.wandb
    if section is None or section.mode == "disabled":
        return []
    # Imported here: wandb is an extra and takes a second to load.
    from rl_reason.tracking.wandb_tracker import WandbTracker

    return [
        WandbTracker(
            folder.path,
            stage=stage.label,
            project=section.project,
            mode=section.mode,
            entity=section.entity,
            config=recipe.model_dump(mode="json"),
        )
    ]
