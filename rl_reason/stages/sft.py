"""The `sft` stage: imitates chains of thought with the same learner (long-CoT warm-up, Kimi k1.5 §2.2)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from rl_reason.build import actors
from rl_reason.build.prompts import demonstrations, renderer
from rl_reason.config.schema.stages import Sft
from rl_reason.stages.checkpointing import Checkpointing
from rl_reason.stages.session import Session, closed
from rl_reason.tracking.checkpoints import CheckpointStore
from rl_reason.tracking.run_folder import StageFolder

STEPS_PER_ITERATION = 10
"""`checkpoints.every_iterations` counts rl iterations; so many sft steps are worth one."""


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
        store = CheckpointStore(folder.checkpoints, recipe.checkpoints.keep)
        every = recipe.checkpoints.every_iterations * STEPS_PER_ITERATION
        checkpoint = Checkpointing(store, learner, sampler=None, every=every, total=steps)
        start = checkpoint.restore().finished
        tracker = resources.enter_context(closed(session.tracker(folder, finished=start, total=steps)))
        for step in range(start, steps):
            begun = time.perf_counter()
            chosen = batch_indices(step, total=len(sequences), size=stage.batch_sequences, seed=recipe.seed)
            metrics = learner.update([sequences[index] for index in chosen], step=step)
            tracker.log({"iteration": step, **metrics, "time/iteration_s": time.perf_counter() - begun})
            stopping = session.stop()
            checkpoint(step + 1, stopping)
            if stopping and step + 1 < steps:
                return None
        with folder.model_written_whole() as target:
            learner.export(target)
    return {"iterations": steps, "demonstrations": len(sequences), "dropped_demonstrations": dropped}


def batch_indices(step: int, *, total: int, size: int, seed: int) -> list[int]:
    """Which of `total` sequences step `step` sees: each once an epoch, in an order of the epoch's own."""
    chosen: list[int] = []
    position = step * size
    while len(chosen) < size:
        epoch, offset = divmod(position + len(chosen), total)
        order = np.random.default_rng([seed, epoch]).permutation(total)
        chosen += order[offset : offset + size - len(chosen)].tolist()
    return chosen
