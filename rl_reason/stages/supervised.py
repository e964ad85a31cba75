"""The steps of a stage that learns from fixed examples: batches, checkpoints, metrics, the wish to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from rl_reason.protocols import Learner
from rl_reason.stages.checkpointing import Checkpointing
from rl_reason.stages.session import Session, closed
from rl_reason.tracking.checkpoints import CheckpointStore
from rl_reason.tracking.run_folder import StageFolder
from rl_reason.types import TrainingSequence

STEPS_PER_ITERATION = 10
"""`checkpoints.every_iterations` counts rl iterations; so many steps are worth one."""


def nothing(finished: int) -> Mapping[str, float]:
    """No measurements on the way."""
    return {}


def take_steps(
    session: Session,
    folder: StageFolder,
    learner: Learner,
    batch: Callable[[int], list[TrainingSequence]],
    *,
    steps: int,
    measure: Callable[[int], Mapping[str, float]] = nothing,
) -> bool:
    """One update a step, from the newest checkpoint on; False when the run was asked to stop before the end.

    Args:
        batch: step -> what it learns from; must depend on the step alone.
        measure: finished steps -> further metrics, when they are due.
    """
    recipe = session.recipe
    store = CheckpointStore(folder.checkpoints, recipe.checkpoints.keep)
    every = recipe.checkpoints.every_iterations * STEPS_PER_ITERATION
    checkpoint = Checkpointing(store, learner, sampler=None, every=every, total=steps)
    start = checkpoint.restore().finished
    with closed(session.tracker(folder, finished=start, total=steps)) as tracker:
        for step in range(start, steps):
            begun = time.perf_counter()
            metrics = learner.update(batch(step), step=step)
            seconds = {"time/iteration_s": time.perf_counter() - begun}
            tracker.log({"iteration": step, **metrics, **measure(step + 1), **seconds})
            stopping = session.stop()
            checkpoint(step + 1, stopping)
            if stopping and step + 1 < steps:
                return False
    return True


def batch_indices(step: int, *, total: int, size: int, seed: int) -> list[int]:
    """Which of `total` examples step `step` sees: each once an epoch, in an order of the epoch's own."""
    chosen: list[int] = []
    position = step * size
    while len(chosen) < size:
        epoch, offset = divmod(position + len(chosen), total)
        order = np.random.default_rng([seed, epoch]).permutation(total)
        chosen += order[offset : offset + size - len(chosen)].tolist()
    return chosen
