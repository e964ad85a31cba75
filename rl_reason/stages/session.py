"""What the stages of one start of a run share: recipe, run folder, display, Ray, and the wish to stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

from rl_reason.build import actors
from rl_reason.build.parts import wandb_trackers
from rl_reason.build.reward_models import begin_scorer
from rl_reason.cluster.placement import Starting
from rl_reason.cluster.session import ray_session
from rl_reason.config.schema.recipe import Recipe
from rl_reason.errors import ConfigError
from rl_reason.protocols import Scorer
from rl_reason.tracking.console import Console
from rl_reason.tracking.disagreements import DisagreementTracker
from rl_reason.tracking.fan_out import FanOutTracker
from rl_reason.tracking.jsonl import JsonlTracker
from rl_reason.tracking.run_folder import RunFolder, StageFolder

REWARD_MODEL = "reward_model"
"""In the folder of a reward_model stage: what it trained, which is no policy and therefore not `model`."""


class Closable(Protocol):
    """Anything that holds processes or files."""

    def close(self) -> None:
        """Give them back."""
        ...


C = TypeVar("C", bound=Closable)


class StopFlag:
    """Set by SIGTERM and Ctrl-C; the stage under way saves a checkpoint and returns. A second signal ends at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether the run should end."""
        return self.requested

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Within the context the two signals set the flag."""
        self._before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        self.install()
        try:
            yield
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def install(self) -> None:
        """Take the signals, again after something else took them: `ray.init` puts a handler of its own in place."""
        for number in self._before:
            signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, self._before[number])


@dataclass
class Session:
    """One start of one run."""

    recipe: Recipe
    folder: RunFolder
    console: Console
    stop: StopFlag
    resources: ExitStack
    """Closed when the run ends; holds Ray."""
    _ray_logs: str | None = field(default=None, init=False)

    def starting(self) -> Starting:
        """Actors to be; the first call brings Ray up, for all stages."""
        cluster = self.recipe.cluster
        if self._ray_logs is None:
            self._ray_logs = self.resources.enter_context(
                ray_session(cluster.address, gpus_needed=actors.gpus_needed(self.recipe))
            )
            self.stop.install()
        return Starting(
            start_deadline_s=cluster.actor_deadline_s, call_deadline_s=cluster.call_deadline_s, logs=self._ray_logs
        )

    def trained_reward_model(self, name: str) -> Path:
        """Folder of what the reward_model stage of this name (or kind) has trained in this run.

        Raises:
            ConfigError: this run has no such stage, or it has not been run.
        """
        folders = [stage.path / REWARD_MODEL for stage in self.folder.stages() if stage.name == name]
        if len(folders) != 1 or not folders[0].is_dir():
            raise ConfigError(
                f"{self.folder.path} has no finished reward_model stage {name!r}, which rewards.models asks for; give "
                "the model's path instead"
            )
        return folders[0]

    def scorer(self, starting: Starting, resources: ExitStack) -> Scorer:
        """Verifiers and reward models of the recipe; those in actors are usable after `starting.wait()`."""
        scorer = begin_scorer(starting, self.recipe, self.trained_reward_model, resources)
        return resources.enter_context(closed(scorer))

    def tracker(self, stage: StageFolder, *, finished: int, total: int) -> FanOutTracker:
        """Where a stage's metrics go; lines of iterations that will run again are dropped first."""
        section = self.recipe.tracking
        jsonl = JsonlTracker(
            self.folder.metrics,
            self.folder.trajectories,
            stage=stage.label,
            every=section.trajectories_every,
            responses=section.trajectories_per_iteration,
        )
        compared = [verifier.name for verifier in self.recipe.rewards.verifiers if verifier.compare]
        disagreements = DisagreementTracker(self.folder.disagreements, stage=stage.label, compared=compared)
        jsonl.rewind(finished)
        disagreements.rewind(finished)
        self.console.start_stage(stage.label, total, start=finished)
        return FanOutTracker([jsonl, disagreements, self.console, *wandb_trackers(self.recipe, self.folder, stage)])


@contextmanager
def closed(part: C) -> Iterator[C]:
    """The part, closed when the block ends."""
    try:
        yield part
    finally:
        part.close()
