"""An engine in an actor of its own: the same methods as any `Engine`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_reason.cluster.actors import Handle
from rl_reason.types import Completion, Request, Sampling, WeightUpdate


@dataclass(frozen=True)
class RemoteEngine:
    """Forwards to the engine that `handle` hosts. Calls run one after another, in the order they were made."""

    handle: Handle

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """Work starts at the call; completions come in small lists as responses finish."""
        return self.handle.stream("generate", requests, sampling)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """See `Engine.score`."""
        return self.handle.call("score", sequences)

    def load_weights(self, update: WeightUpdate) -> None:
        """See `Engine.load_weights`."""
        self.handle.call("load_weights", update)

    def close(self) -> None:
        """End the actor."""
        self.handle.kill()
