"""A reward model in an actor of its own: the same methods as any `RewardModel`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rl_reason.cluster.actors import Handle
from rl_reason.types import Score, Trajectory


@dataclass(frozen=True)
class RemoteRewardModel:
    """Forwards to the reward model that `handle` hosts."""

    handle: Handle

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """See `RewardModel.score`; the texts travel, tokens and metadata stay here."""
        return self.handle.call(
            "score", [replace(each, segments=(), prompt=replace(each.prompt, metadata={})) for each in trajectories]
        )

    def close(self) -> None:
        """End the actor."""
        self.handle.kill()
