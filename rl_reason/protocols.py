"""Every seam of the framework on one page: implement one of these and pass the object in.

Implementations live elsewhere (`rollout/`, `learner/`, `sync/`, `rewards/`, `data/`, `tracking/`); the Ray versions
of them, with the same methods, in `cluster/`. Deterministic fakes of all of them are in `tests/fakes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rl_reason.types import (
    Completion,
    Group,
    PolicyVersion,
    Prompt,
    Request,
    Sampling,
    Score,
    TrainingSequence,
    Trajectory,
    WeightUpdate,
)


class Engine(Protocol):
    """Writes responses. Implementations: `VllmEngine`, `TransformersEngine`, `EnginePool`, `cluster.RemoteEngine`."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """Start all requests at once and yield the finished ones in small lists, as they finish.

        Work starts at the call, not at the first `next`, where the engine is remote. Every request comes back once.
        """
        ...

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Log-prob of every token but the first given those before it, temperature 1: one [T - 1] a sequence."""
        ...

    def load_weights(self, update: WeightUpdate) -> None:
        """Take new weights; responses started later carry `update.version`."""
        ...

    def close(self) -> None:
        """Give back memory and processes."""
        ...


class Learner(Protocol):
    """Owns the policy that is trained. Implementations: `DeepSpeedLearner`, `cluster.RemoteLearner`."""

    def update(self, batch: Sequence[TrainingSequence], *, step: int) -> dict[str, float]:
        """Take all gradient steps that one batch is worth; returns metrics by name. `step` drives the schedule."""
        ...

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """As `Engine.score`, by the learner's own forward pass."""
        ...

    def publish(self, version: PolicyVersion) -> WeightUpdate:
        """Make the current weights ready for engines to take."""
        ...

    def save(self, folder: Path) -> None:
        """Write all training state into an existing folder; enough to continue bit for bit."""
        ...

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        ...

    def export(self, folder: Path) -> None:
        """Write a Hugging Face model folder (weights, config, tokenizer)."""
        ...


class WeightChannel(Protocol):
    """Carries weights from the learner to the engines and proves that they arrived."""

    def sync(self, version: PolicyVersion) -> dict[str, float]:
        """Publish, load, compare the canary's log-probs; returns `policy/logprob_gap_*` metrics.

        Raises:
            SyncError: the gap is past the alarm threshold; the message names the versions.
        """
        ...


@runtime_checkable
class Verifier(Protocol):
    """Judges one response. Must be deterministic, total on any string, and free of threads, signals and globals.

    Two class attributes are optional and shown by `rl-reason verifier list` and `show`:
    `needs: tuple[str, ...]`, each "metadata:FIELD" of the prompts, "package:NAME>=VERSION" or "program:COMMAND";
    `example: Mapping[str, Any]`, a line with `response`, `answer` and what else it needs, that is judged RIGHT.
    """

    def verify(self, prompt: Prompt, response: str) -> Score:
        """`Score.verdict` UNJUDGED with a reason when it cannot tell; never an exception for a bad response."""
        ...


class RewardModel(Protocol):
    """Scores responses in batches with a model."""

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order."""
        ...


class Scorer(Protocol):
    """Scores responses as they finish: the verifier pool with the recipe's weights."""

    def submit(self, trajectory: Trajectory) -> None:
        """Hand over one finished response; returns at once."""
        ...

    def collect(self) -> dict[tuple[str, int], Score]:
        """Wait, with a deadline, for all that was submitted: (prompt id, index) -> score. Empties the scorer."""
        ...

    def metrics(self) -> dict[str, float]:
        """What happened since the last call: counts, time-outs, p50 and p99 seconds."""
        ...

    def close(self) -> None:
        """Stop the workers."""
        ...


class Sampler(Protocol):
    """Chooses the prompts of an iteration; a pure state machine."""

    def draw(self, count: int) -> list[Prompt]:
        """`count` different prompts (fewer only when the set is smaller)."""
        ...

    def observe(self, groups: Sequence[Group]) -> None:
        """Learn from an iteration's outcome (success rates)."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        ...


class Tracker(Protocol):
    """Receives one flat dict of metrics an iteration, and the iteration's trajectories."""

    def log(self, metrics: Mapping[str, Any]) -> None:
        """`metrics["iteration"]` and `metrics["stage"]` are always there."""
        ...

    def log_groups(self, iteration: int, groups: Sequence[Group], advantages: Sequence[Sequence[float]]) -> None:
        """Keep the responses, scores and advantages of an iteration; advantages are NaN for unjudged ones."""
        ...

    def close(self) -> None:
        """Flush."""
        ...
