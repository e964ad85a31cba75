"""Carries weights to the engines and proves that they arrived: a canary's log-probs, engine against learner."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from rl_reason.errors import SyncError
from rl_reason.policy.weight_file import FILE_TRANSPORTS, weight_bytes
from rl_reason.protocols import Engine, Learner
from rl_reason.sync.collective import on_all
from rl_reason.types import PolicyVersion


class CheckedChannel:
    """Implements `protocols.WeightChannel` for every transport; learner and engines agree on which."""

    def __init__(
        self,
        learner: Learner,
        engines: Sequence[Engine],
        *,
        canary: Sequence[Sequence[int]],
        gap_alarm_nats: float,
    ) -> None:
        """Nothing is sent yet.

        Args:
            learner: publishes.
            engines: all that load; in processes of their own where there are several.
            canary: token sequences, two tokens at least, scored by both sides after every sync. A few short ones do.
            gap_alarm_nats: largest difference of a token's log-prob that is let pass; 1e-4 suits float32, bfloat16
                needs some tenths.

        Raises:
            SyncError: no engine, or a canary in which nothing is predicted.
        """
        if not engines:
            raise SyncError("a weight channel needs at least one engine")
        if not canary or any(len(sequence) < 2 for sequence in canary):
            raise SyncError("the canary needs at least one sequence, and each at least two tokens")
        self._learner = learner
        self._engines = tuple(engines)
        self._canary = [list(sequence) for sequence in canary]
        self._gap_alarm_nats = gap_alarm_nats

    def sync(self, version: PolicyVersion) -> dict[str, float]:
        """See `WeightChannel.sync`.

        Returns:
            `policy/logprob_gap_max` and `policy/logprob_gap_mean` in nats over all engines and canary tokens,
            `sync/bytes` that each engine took, `time/sync_publish_s`, `time/sync_load_s`, `time/sync_canary_s` (what
            is left of the canary after loading; the learner scores it in a thread of its own).

        Raises:
            SyncError: a gap is past the alarm, or not a number.
        """
        begun = time.perf_counter()
        update = self._learner.publish(version)
        published = time.perf_counter()
        with ThreadPoolExecutor(1) as beside:
            # A file is whole once it is published; other transports still need the learner while engines load.
            if update.transport in FILE_TRANSPORTS:
                expecting = beside.submit(self._learner.score, self._canary)
                on_all(self._engines, lambda engine: engine.load_weights(update))
            else:
                on_all(self._engines, lambda engine: engine.load_weights(update))
                expecting = beside.submit(self._learner.score, self._canary)
            loaded = time.perf_counter()
            scored = on_all(self._engines, lambda engine: np.concatenate(engine.score(self._canary)))
            expected = np.concatenate(expecting.result())
        gaps = [self._gap(index, seen, expected, version) for index, seen in enumerate(scored)]
        return {
            "policy/logprob_gap_max": float(np.max(gaps)),
            "policy/logprob_gap_mean": float(np.mean(gaps)),
            "sync/bytes": float(weight_bytes(update.shapes, update.dtypes)),
            "time/sync_publish_s": published - begun,
            "time/sync_load_s": loaded - published,
            "time/sync_canary_s": time.perf_counter() - loaded,
        }

    def _gap(
        self, index: int, seen: NDArray[np.float32], expected: NDArray[np.float32], version: PolicyVersion
    ) -> NDArray[np.float32]:
        """Absolute differences, one a canary token."""
        if seen.shape != expected.shape:
            raise SyncError(
                f"engine {index} scored {len(seen)} canary tokens and the learner {len(expected)}: one of the two does "
                "not return T - 1 log-probs for T tokens"
            )
        gap = np.abs(seen - expected)
        # Written so that NaN, for which every comparison is false, trips the alarm.
        if not float(gap.max()) <= self._gap_alarm_nats:
            worst = int(np.argmax(np.where(np.isnan(gap), np.inf, gap)))
            raise SyncError(
                f"after the sync of policy version {version}, engine {index} gives canary token {worst} a log-prob of "
                f"{seen[worst]:.6f} and the learner's version {version} {expected[worst]:.6f}: a gap of "
                f"{gap[worst]:.3g} nats, where {self._gap_alarm_nats:g} is allowed (sync.gap_alarm_nats). The engine "
                "does not run the learner's weights: look at tied embeddings, at the dtypes of both sides, and at "
                "whether this engine loaded an older version; NaN means that the update itself broke the weights"
            )
        return gap
