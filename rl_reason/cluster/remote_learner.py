"""A learner of one or several ranks, each in an actor of its own: the same methods as any `Learner`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from rl_reason.cluster.actors import Handle, gather
from rl_reason.types import PolicyVersion, TrainingSequence, WeightUpdate


@dataclass(frozen=True)
class RemoteLearner:
    """Calls every rank at once (its methods are collective) and answers with rank 0's result."""

    ranks: Sequence[Handle]
    partitioned: bool = True
    """Whether a forward pass needs all ranks."""

    def update(self, batch: Sequence[TrainingSequence], *, step: int) -> dict[str, float]:
        """See `Learner.update`; each rank is given the whole batch and takes its own share."""
        return self._all("update", ray.put(list(batch)), step=step)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """See `Learner.score`; by rank 0 alone where it has the whole model, as the others would compute the same."""
        return self._all("score", sequences) if self.partitioned else self.ranks[0].call("score", sequences)

    def publish(self, version: PolicyVersion) -> WeightUpdate:
        """See `Learner.publish`."""
        return self._all("publish", version)

    def save(self, folder: Path) -> None:
        """See `Learner.save`; all ranks write into one folder that they share."""
        self._all("save", folder)

    def load(self, folder: Path) -> None:
        """See `Learner.load`."""
        self._all("load", folder)

    def export(self, folder: Path) -> None:
        """See `Learner.export`."""
        self._all("export", folder)

    def close(self) -> None:
        """End the actors."""
        for rank in self.ranks:
            rank.kill()

    def _all(self, method: str, *arguments: Any, **named: Any) -> Any:
        begun = [(rank, rank.start(method, *arguments, **named)) for rank in self.ranks]
        return gather(begun, method, deadline_s=self.ranks[0].deadline_s)[0]
