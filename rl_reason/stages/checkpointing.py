"""When a stage saves, what it saves, and how it finds its way back."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rl_reason.protocols import Learner, Sampler
from rl_reason.rollout.phase import Finished, RolledOut, Rollout
from rl_reason.tracking.checkpoints import CheckpointStore

ROLLOUTS = "rollouts.pkl"


@dataclass(frozen=True)
class Restored:
    """Where a stage goes on."""

    finished: int
    """Iterations, or steps."""
    under_way: Sequence[RolledOut] = ()
    """Roll-outs of the iterations after those, where they had been started ahead."""


@dataclass(frozen=True)
class Checkpointing:
    """Learner, sampler and roll-outs under way, after a count of finished iterations."""

    store: CheckpointStore
    learner: Learner
    sampler: Sampler | None
    """None where the batches follow from the step alone."""
    every: int
    total: int
    """Iterations, or steps."""

    def restore(self) -> Restored:
        """Load the newest whole checkpoint; nothing is restored when there is none."""
        checkpoint = self.store.newest()
        if checkpoint is None:
            return Restored(0)
        self.learner.load(checkpoint.path)
        if self.sampler is not None:
            self.sampler.load_state_dict(checkpoint.state["sampler"])
        kept = checkpoint.path / ROLLOUTS
        # The store has compared the file with its checksum.
        return Restored(checkpoint.step, pickle.loads(kept.read_bytes()) if kept.exists() else ())

    def __call__(self, finished: int, stopping: bool, under_way: Sequence[Rollout | Finished] = ()) -> None:
        """Save when it is time: every so many iterations, after the last, and before the run stops.

        Roll-outs that are under way are waited for and saved, so that a resumed run trains on the same ones.
        """
        if not (stopping or finished % self.every == 0 or finished == self.total):
            return
        rolled_out = [rollout.finish() for rollout in under_way]

        def write(folder: Path) -> None:
            self.learner.save(folder)
            if rolled_out:
                (folder / ROLLOUTS).write_bytes(pickle.dumps(rolled_out))

        self.store.save(finished, write, {} if self.sampler is None else {"sampler": self.sampler.state_dict()})
