"""What the callers' threads and the dispatcher's thread of a verifier pool share: a queue in, finished outcomes out."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from rl_reason.errors import VerifierError
from rl_reason.rewards.worker_main import PackedScore, unpack_score
from rl_reason.types import Score, Verdict


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one response."""

    scores: tuple[Score, ...]
    """One for each verifier of the pool, in its order."""
    failures: tuple[str, ...] = ()
    """How each verifier failed: "", "timeout" or "crash", whose score is then UNJUDGED. Empty when none did."""

    @property
    def failure(self) -> str:
        """The first verifier's failure that there is; "" when all have answered."""
        return next(filter(None, self.failures), "")


class Task:
    """One response on its way through the pool: what is known of it so far."""

    __slots__ = ("attempts", "failures", "key", "missing", "number", "payload", "scores")

    def __init__(self, number: int, key: Hashable, payload: bytes, verifiers: int) -> None:
        self.number = number
        self.key = key
        self.payload = payload
        self.attempts = 0
        """Workers that died with it in hand, none of their batch judged."""
        self.missing = verifiers
        self.scores: list[PackedScore | None] = [None] * verifiers
        self.failures: list[str] | None = None

    def judged(self) -> tuple[int, ...]:
        """Verifiers whose scores are there already, by index."""
        if self.missing == len(self.scores):
            return ()
        return tuple(index for index, score in enumerate(self.scores) if score is not None)

    def settle(self, index: int, score: PackedScore, failure: str) -> None:
        """Take in one verifier's score. The first one counts."""
        if self.scores[index] is not None:
            return
        self.scores[index] = score
        self.missing -= 1
        if failure:
            self.failures = self.failures or [""] * len(self.scores)
            self.failures[index] = failure

    def fail(self, index: int, failure: str, reason: str, seconds: float) -> None:
        """A verifier could not judge, and here is why."""
        self.settle(index, (Verdict.UNJUDGED.value, None, {}, reason, seconds), failure)

    def outcome(self) -> Outcome:
        """When nothing is missing."""
        scores = tuple([unpack_score(score) for score in self.scores if score is not None])
        return Outcome(scores, tuple(self.failures) if self.failures else ())


class Exchange:
    """A bounded queue of tasks in, a list of finished ones out. All methods may be called from any thread.

    Args:
        names: of the verifiers.
        queue_bytes: `put` waits while the queue holds more.
    """

    def __init__(self, names: Sequence[str], *, queue_bytes: int) -> None:
        self.names = tuple(names)
        self.started = False
        """The first worker is ready."""
        self.fault = ""
        """Why no more will come out; empty while all is well."""
        self.outstanding = 0
        """Tasks put and not yet taken."""
        self._limit = queue_bytes
        self._changed = threading.Condition()
        self._queue: deque[Task] = deque()
        self._queued_bytes = self._number = 0
        self._finished: list[Task] = []
        self._hungry = True
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # --- the callers' threads ---

    def put(self, key: Hashable, payload: bytes) -> None:
        """Queue a response.

        Raises:
            VerifierError: the pool is broken or closed.
        """
        with self._changed:
            while self._queued_bytes > self._limit and not self.fault:
                self._changed.wait()
            self._check()
            self._number += 1
            self.outstanding += 1
            self._queued_bytes += len(payload)
            self._queue.append(Task(self._number, key, payload, len(self.names)))
            if self._hungry:
                self._wake()

    def take(self, timeout_s: float | None) -> list[tuple[Hashable, Outcome]]:
        """Wait for at least one outcome; none when nothing is outstanding or the time is over.

        Raises:
            VerifierError: the pool is broken or closed, and all outcomes have been taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._finished or self.fault or not self.outstanding, timeout_s)
            if not self._finished:
                self._check()
            taken, self._finished = self._finished, []
            self.outstanding -= len(taken)
        return [(task.key, task.outcome()) for task in taken]

    def await_start(self) -> None:
        """Until a worker is ready.

        Raises:
            VerifierError: none could be started.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.started or self.fault)
            self._check()

    def stop(self, cause: str) -> None:
        """No more work; the first cause counts."""
        with self._changed:
            self.fault = self.fault or cause
            self._changed.notify_all()
            self._wake()

    def _check(self) -> None:
        if self.fault:
            raise VerifierError(f"the verifier pool ({', '.join(self.names)}) cannot work: {self.fault}")

    def _wake(self) -> None:
        self._hungry = False
        if self._wake_write >= 0:
            os.write(self._wake_write, b"!")

    # --- the dispatcher's thread ---

    def fileno(self) -> int:
        """Readable when there is work for a dispatcher that found none, or the exchange has stopped."""
        return self._wake_read

    def drain(self) -> None:
        """Call when `fileno` has become readable."""
        os.read(self._wake_read, 64)

    def __len__(self) -> int:
        """Tasks queued."""
        return len(self._queue)

    def draw(self, count: int, limit_bytes: int) -> list[Task]:
        """The next tasks: up to so many, and after the first no more than so many bytes."""
        drawn: list[Task] = []
        with self._changed:
            was_full = self._queued_bytes > self._limit
            while self._queue and len(drawn) < count and (limit_bytes > 0 or not drawn):
                task = self._queue.popleft()
                drawn.append(task)
                limit_bytes -= len(task.payload)
                self._queued_bytes -= len(task.payload)
            self._hungry = not self._queue
            if was_full:
                self._changed.notify_all()
        return drawn

    def put_back(self, tasks: Sequence[Task]) -> None:
        """To the front of the queue, in their order."""
        with self._changed:
            self._queue.extendleft(reversed(tasks))
            self._queued_bytes += sum(len(task.payload) for task in tasks)

    def deliver(self, tasks: Sequence[Task]) -> None:
        """Tasks of which nothing is missing."""
        with self._changed:
            self._finished.extend(tasks)
            self._changed.notify_all()

    def start(self) -> None:
        """A worker is ready."""
        with self._changed:
            self.started = True
            self._changed.notify_all()

    def close(self) -> None:
        """Give the pipe back; `stop` has been called."""
        with self._changed:
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_read = self._wake_write = -1
