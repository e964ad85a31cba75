"""The `sft` stage: imitates chains of thought with the same learner (long-CoT warm-up, Kimi k1.5 §2.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rl_reason.build import actors
from rl_reason.build.prompts import demonstrations, renderer
from rl_reason.config.schema.stages import Sft
from rl_reason.stages.session import Session, closed
from rl_reason.stages.supervised import batch_indices, take_steps
from rl_reason.tracking.run_folder import StageFolder
from rl_reason.types import TrainingSequence


def run(session: Session, stage: Sft, model: Path, folder: StageFolder) -> Mapping[str, Any] | None:
    """Train `model` into `folder.model`; returns the result, or None when the run was asked to stop before the end."""
    recipe = session.recipe
    sequences, dropped = demonstrations(recipe, stage, renderer(recipe, model))
    steps = stage.steps or (stage.epochs or 1) * math.ceil(len(sequences) / stage.batch_sequences)
    left_out = f" ({dropped} more left out: their problems are held out)" if dropped else ""
    session.console.say(f"{folder.label}: {len(sequences)} demonstrations{left_out}, {steps} steps")
    with ExitStack() as resources:
        weights = actors.weights_file(recipe, folder.path)
        resources.callback(weights.unlink, missing_ok=True)
        starting = session.starting()
        learner = resources.enter_context(
            closed(actors.begin_sft_learner(starting, recipe, stage, model, weights=weights, steps=steps))
        )
        starting.wait()

        def batch(step: int) -> list[TrainingSequence]:
            chosen = batch_indices(step, total=len(sequences), size=stage.batch_sequences, seed=recipe.seed)
            return [sequences[index] for index in chosen]

        if not take_steps(session, folder, learner, batch, steps=steps):
            return None
        with folder.model_written_whole() as target:
            learner.export(target)
    return {"iterations": steps, "demonstrations": len(sequences), "dropped_demonstrations": dropped}
