"""When a stage saves, what it saves, and how it finds its way back."""

from __future__ import annotations

from dataclasses import dataclass

from rl_reason.protocols import Learner, Sampler
from rl_reason.tracking.checkpoints import CheckpointStore


@dataclass(frozen=True)
class Checkpointing:
    """Learner and sampler after a count of finished iterations."""

    store: CheckpointStore
    learner: Learner
    sampler: Sampler | None
    """None where the batches follow from the step alone."""
    every: int
    total: int
    """Iterations, or steps."""

    def restore(self) -> int:
        """Load the newest whole checkpoint; returns how many iterations it has finished, 0 when there is none."""
        checkpoint = self.store.newest()
        if checkpoint is None:
            return 0
        self.learner.load(checkpoint.path)
        if self.sampler is not None:
            self.sampler.load_state_dict(checkpoint.state["sampler"])
        return checkpoint.step

    def __call__(self, finished: int, stopping: bool) -> None:
        """Save when it is time: every so many iterations, after the last, and before the run stops."""
        if stopping or finished % self.every == 0 or finished == self.total:
            state = {} if self.sampler is None else {"sampler": self.sampler.state_dict()}
            self.store.save(finished, self.learner.save, state)
