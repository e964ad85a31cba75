"""What a learner hands to whatever carries its weights away: shapes first, then whole tensors one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from rl_reason.types import PolicyVersion, WeightUpdate


class Described(NamedTuple):
    """One parameter, before its partitions are put together."""

    name: str
    """As the Hugging Face checkpoint has it."""
    shape: tuple[int, ...]
    """Of the whole tensor."""
    dtype: torch.dtype


@dataclass(frozen=True)
class LearnerWeights:
    """The current weights of a learner, one of these on each of its ranks."""

    described: Callable[[], Sequence[Described]]
    """Moves nothing; the same parameters in the same order as `gathered`."""
    gathered: Callable[[torch.device], Iterator[tuple[str, torch.Tensor]]]
    """(name, whole tensor). Tensors that had to be put together lie on the device asked for, the others where the
    model has them. Collective: every rank runs it to its end."""
    rank: int = 0
    """Of this process among the learner's."""
    host: str = "127.0.0.1"
    """At which engines reach rank 0."""


class WeightPublisher(Protocol):
    """How a learner makes its weights ready; one on each rank. `FilePublisher`, and `rollout.vllm_sender`'s."""

    def publish(self, weights: LearnerWeights, version: PolicyVersion) -> WeightUpdate:
        """Make them ready, or begin to; collective. Rank 0's return value is the one to use."""
        ...

    def settle(self) -> None:
        """Return once nothing that `publish` began reads the weights any more: the learner is about to compute."""
        ...
