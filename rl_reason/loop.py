"""THE loop: online mirror descent on a language model's long chains of thought (Kimi k1.5 §2.3, §2.6.1).

One page, one loop. Every noun is an object passed in (`protocols.py`); a variant of the algorithm is another object,
never a branch. `max_lag_versions` is the only knob: 0 rolls out and trains in turns; n lets n iterations of
responses be under way while the learner trains, so their policy is at most n versions old.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rl_reason.protocols import Learner, Sampler, Tracker, WeightChannel
from rl_reason.rollout.assemble import Assembled
from rl_reason.rollout.phase import Finished, RolledOut, Rollout, RolloutPhase
from rl_reason.types import Group


@dataclass(frozen=True)
class Parts:
    """Everything the loop talks to."""

    sampler: Sampler
    rollout: RolloutPhase
    assemble: Callable[[Sequence[Group], int], Assembled]
    """Scored groups -> rewards, baselines, training sequences (`rollout/assemble.py`)."""
    learner: Learner
    channel: WeightChannel
    tracker: Tracker
    evaluate: Callable[[int], Mapping[str, float]]
    """Held-out metrics when they are due at this iteration, else an empty mapping."""
    checkpoint: Callable[[int, bool, Sequence[Rollout | Finished]], None]
    """Save when due after this many finished iterations, the roll-outs under way with the rest; the flag says that the
    loop is about to stop."""
    stop_requested: Callable[[], bool]
    """True once someone asked the run to end (SIGTERM)."""


def train(
    parts: Parts,
    *,
    iterations: int,
    prompts_per_iteration: int,
    max_lag_versions: int = 0,
    start: int = 0,
    under_way: Sequence[RolledOut] = (),
) -> int:
    """Run iterations `start` … `iterations - 1`; returns how many are finished.

    Policy version v is the model after v updates, so iteration i trains version i into i + 1. `under_way` are the
    roll-outs of the iterations from `start` on that the checkpoint kept.
    """
    in_flight: deque[Rollout | Finished] = deque(Finished(rolled_out) for rolled_out in under_way)
    drawn = start + len(in_flight)
    parts.channel.sync(start)
    for iteration in range(start, iterations):
        clock = Clock()
        while drawn < iterations and len(in_flight) <= max_lag_versions:
            in_flight.append(parts.rollout.start(parts.sampler.draw(prompts_per_iteration), iteration=drawn))
            drawn += 1
        rolled_out = in_flight.popleft().finish()
        batch = parts.assemble(rolled_out.groups, iteration)
        clock.skip()
        learned = parts.learner.update(batch.sequences, step=iteration)
        clock.lap("learn")
        synced = parts.channel.sync(iteration + 1)
        clock.lap("sync")
        parts.sampler.observe(rolled_out.groups)
        parts.tracker.log_groups(iteration, rolled_out.groups, batch.advantages)
        evaluated = parts.evaluate(iteration + 1)
        metrics: dict[str, Any] = {"iteration": iteration, "stage": "rl", "policy_version": iteration + 1}
        parts.tracker.log(
            metrics | rolled_out.metrics | batch.metrics | learned | synced | dict(evaluated) | clock.times
        )
        stopping = parts.stop_requested()
        parts.checkpoint(iteration + 1, stopping, in_flight)
        if stopping:
            return iteration + 1
    return iterations


class Clock:
    """Wall-clock seconds of the loop's own phases, under the tracker's names (the roll-out times itself)."""

    def __init__(self) -> None:
        self._begin = self._last = time.perf_counter()
        self.times: dict[str, float] = {}

    def skip(self) -> None:
        """The next phase begins now."""
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """End the phase that began at the previous call."""
        now = time.perf_counter()
        self.times[f"time/{phase}_s"] = now - self._last
        self.times["time/iteration_s"] = now - self._begin
        self._last = now
