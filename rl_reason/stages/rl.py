"""The `rl` stage: builds the loop's parts and runs it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_reason import loop
from rl_reason.build import actors, parts
from rl_reason.build.prompts import prompt_sets, renderer
from rl_reason.config.schema.stages import Rl
from rl_reason.evaluation.evaluate import evaluate
from rl_reason.rollout.phase import RolloutPhase
from rl_reason.stages.checkpointing import Checkpointing
from rl_reason.stages.session import Session, closed
from rl_reason.tracking.checkpoints import CheckpointStore
from rl_reason.tracking.run_folder import StageFolder
from rl_reason.types import Prompt


def run(session: Session, stage: Rl, model: Path, folder: StageFolder) -> Mapping[str, Any] | None:
    """Train `model` into `folder.model`; returns the result, or None when the run was asked to stop before the end."""
    recipe = session.recipe
    rendered_by = renderer(recipe, model)
    prompts = prompt_sets(recipe, rendered_by)
    session.console.say(f"{folder.label}: {prompts.summary}")
    draw = parts.sampling(stage.sampling, rendered_by)
    with ExitStack() as resources:
        weights = actors.weights_file(recipe, folder.path)
        resources.callback(weights.unlink, missing_ok=True)
        starting = session.starting()
        engines = [resources.enter_context(closed(e)) for e in actors.begin_engines(starting, recipe, model)]
        learner = resources.enter_context(
            closed(actors.begin_rl_learner(starting, recipe, stage, model, weights=weights))
        )
        scores = session.scorer(starting, resources)
        starting.wait()
        sampler = parts.sampler(stage, prompts.train, recipe.seed)
        store = CheckpointStore(folder.checkpoints, recipe.checkpoints.keep)
        every = recipe.checkpoints.every_iterations
        checkpoint = Checkpointing(store, learner, sampler, every=every, total=stage.iterations)
        restored = checkpoint.restore()
        start = restored.finished
        tracker = resources.enter_context(closed(session.tracker(folder, finished=start, total=stage.iterations)))

        def phase(responses: int, seed: int) -> RolloutPhase:
            return parts.rollout_phase(engines, scores, rendered_by, draw, responses=responses, seed=seed)

        finished = loop.train(
            loop.Parts(
                sampler=sampler,
                rollout=phase(stage.responses_per_prompt, recipe.seed),
                assemble=parts.assembler(recipe, stage),
                learner=learner,
                channel=parts.channel(recipe, learner, engines, prompts.train[0].tokens),
                tracker=tracker,
                evaluate=PeriodicEvaluation(
                    phase(stage.evaluate.responses_per_prompt, recipe.seed + 1),
                    prompts.heldout[: stage.evaluate.prompts],
                    every=stage.evaluate.every_iterations,
                    total=stage.iterations,
                )
                if stage.evaluate
                else never,
                checkpoint=checkpoint,
                stop_requested=session.stop,
            ),
            iterations=stage.iterations,
            prompts_per_iteration=stage.prompts_per_iteration,
            max_lag_versions=stage.max_lag_versions,
            start=start,
            under_way=restored.under_way,
        )
        if finished < stage.iterations:
            return None
        with folder.model_written_whole() as target:
            learner.export(target)
    return {"iterations": finished, "training_prompts": len(prompts.train), "dropped_prompts": prompts.dropped}


@dataclass(frozen=True)
class PeriodicEvaluation:
    """Held-out accuracy every so many iterations, and after the last; the same random numbers each time."""

    phase: RolloutPhase
    prompts: Sequence[Prompt]
    every: int
    total: int

    def __call__(self, finished: int) -> Mapping[str, float]:
        """Metrics when due, else nothing."""
        if finished % self.every and finished != self.total:
            return {}
        begun = time.perf_counter()
        result = evaluate(self.phase, self.prompts, responses_per_prompt=self.phase.responses_per_prompt)
        return result.metrics() | {"time/evaluate_s": time.perf_counter() - begun}


def never(finished: int) -> Mapping[str, float]:
    """No evaluation while training."""
    return {}
