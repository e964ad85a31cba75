"""Verifier pool: judges responses in worker processes with a hard deadline and a memory limit for each.

Plug-ins travel as reference strings and are loaded in the workers. A response whose verifier hangs, crashes or runs
out of memory is UNJUDGED with the reason, never a silent 0; its worker is replaced and the rest of its batch is judged
by another. The clock of the deadline starts when work on the response starts, not when it is queued.
"""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rl_reason.errors import PluginError, VerifierError
from rl_reason.plugins import VERIFIERS, resolve
from rl_reason.rewards.worker_main import FAILED, READY, PackedResult, Setup, pack, unpack_score
from rl_reason.rewards.worker_process import WorkerProcess
from rl_reason.types import Prompt, Score, Verdict

_MAX_BATCH = 256
_BATCH_S = 0.02
"""A batch is made about so long, by the running mean of the time that a response takes."""
_SLACK_S = 5.0
"""A worker that has a batch but is at none of its responses may be silent so much longer than the deadline."""
_MAX_START_LOSSES = 3
_MAX_ATTEMPTS = 3
"""A response whose workers die under it without any of their batch being judged is given up after so many."""


@dataclass(frozen=True, slots=True)
class VerifierSpec:
    """A verifier to run, as a recipe names it."""

    name: str
    """Under which its scores and metrics appear; unique in a pool."""
    ref: str
    """`boxed_math`, `path/to/file.py:Object` or `module:Object`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of its constructor; plain data."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one response."""

    scores: tuple[Score, ...]
    """One for each verifier of the pool, in its order."""
    failure: str = ""
    """"", "timeout" or "crash"; if not empty, all scores are UNJUDGED."""
    failed: int = 0
    """Index of the verifier that failed."""


@dataclass(slots=True)
class _Task:
    number: int
    key: Hashable
    payload: bytes
    attempts: int = 0


class VerifierPool:
    """Worker processes that judge responses; a context manager. Safe to use from several threads.

    Args:
        verifiers: all of them judge every response, in order.
        workers: processes.
        deadline_s: wall-clock limit for one response, all verifiers together.
        memory_limit_mib: address space of one worker, in MiB; 0 for no limit.
        recycle_after: a worker is replaced after so many responses, which bounds leaks.
        start_timeout_s: limit for loading the verifiers in a worker.
        base: folder that relative paths in references start from; the working directory when None.

    Raises:
        PluginError: a reference points at nothing.
        VerifierError: no worker could be started; the message says why.
    """

    def __init__(
        self,
        verifiers: Sequence[VerifierSpec],
        *,
        workers: int = 2,
        deadline_s: float = 5.0,
        memory_limit_mib: int = 2048,
        recycle_after: int = 20_000,
        start_timeout_s: float = 60.0,
        base: Path | None = None,
    ) -> None:
        names = [spec.name for spec in verifiers]
        if not names or len(set(names)) != len(names):
            raise PluginError(f"a verifier pool needs one or more verifiers with different names, not {names}")
        if workers < 1 or deadline_s <= 0 or recycle_after < 1:
            raise ValueError("workers and recycle_after must be at least 1 and deadline_s above 0")
        self.names = tuple(names)
        self.restarts = 0
        """Workers replaced because they hung, crashed or ran out of memory."""
        self.deadline_s = deadline_s
        loads = tuple((spec.name, resolve(VERIFIERS, spec.ref, base=base), dict(spec.options)) for spec in verifiers)
        self._setup = Setup(verifiers=loads, memory_limit_bytes=memory_limit_mib * 2**20)
        self._size, self._recycle_after, self._start_timeout_s = workers, recycle_after, start_timeout_s

        self._changed = threading.Condition()  # guards everything down to the blank line
        self._queue: deque[_Task] = deque()
        self._finished: list[tuple[Hashable, Outcome]] = []
        self._outstanding = self._number = self._start_losses = 0
        self._started = self._closing = self._woken = False
        self._fault = ""

        self._workers: dict[WorkerProcess, dict[int, _Task]] = {}  # these three belong to the dispatcher thread
        self._selector = selectors.DefaultSelector()
        self._mean_s = 0.001
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="verifier-pool", daemon=True)
        self._thread.start()
        self._await_start()

    def submit(self, key: Hashable, prompt: Prompt, response: str) -> None:
        """Hand over one response; returns at once. `key` comes back with its outcome.

        Raises:
            VerifierError: the pool is broken or closed.
            PluginError: the prompt's metadata cannot be pickled.
        """
        try:
            payload = pack(prompt, response)
        except (TypeError, AttributeError, ValueError) as error:
            raise PluginError(f"prompt {prompt.id!r} ({prompt.source}): metadata cannot be pickled: {error}") from error
        with self._changed:
            self._check()
            self._number += 1
            self._outstanding += 1
            self._queue.append(_Task(self._number, key, payload))
            self._wake()

    def take(self, *, timeout_s: float | None = None) -> list[tuple[Hashable, Outcome]]:
        """Outcomes since the last call, in no particular order; waits for at least one.

        Returns an empty list when nothing is outstanding or the time is over.

        Raises:
            VerifierError: the pool keeps losing its workers; the message says why.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._finished or self._fault or not self._outstanding, timeout_s)
            if not self._finished:
                self._check()
            taken, self._finished = self._finished, []
            self._outstanding -= len(taken)
            return taken

    @property
    def outstanding(self) -> int:
        """Responses submitted and not yet taken."""
        return self._outstanding

    def close(self) -> None:
        """Kill the workers and forget what is outstanding. Twice is harmless."""
        with self._changed:
            self._closing = True
            self._fault = self._fault or "it has been closed"
            self._wake()
            self._changed.notify_all()
        self._thread.join(timeout=30.0)

    def __enter__(self) -> VerifierPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # --- called with self._changed held ---

    def _check(self) -> None:
        if self._fault:
            raise VerifierError(f"the verifier pool ({', '.join(self.names)}) cannot work: {self._fault}")

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            os.write(self._wake_write, b"!")

    # --- the caller's thread ---

    def _await_start(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._started or self._fault)
            fault = self._fault
        if fault:
            self.close()
            with self._changed:
                self._check()

    # --- the dispatcher thread: everything below ---

    def _run(self) -> None:
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        try:
            while not self._closing and not self._fault:
                self._fill()
                for event, _ in self._selector.select(self._patience_s()):
                    if event.fd == self._wake_read:
                        os.read(self._wake_read, 64)
                    elif event.data in self._workers:
                        self._receive(event.data)
                self._end_overdue()
        except OSError as error:  # out of processes, files or memory
            self._break(f"{type(error).__name__}: {error}")
        finally:
            for worker in list(self._workers):
                worker.kill()
                self._forget(worker)
            self._selector.close()
            with self._changed:
                self._fault = self._fault or "it has been closed"
                self._woken = True  # nobody writes to the pipe any more
                os.close(self._wake_read)
                os.close(self._wake_write)
                self._changed.notify_all()

    def _fill(self) -> None:
        """Start workers that are missing and give work to the idle ones."""
        while len(self._workers) < self._size:
            worker = WorkerProcess(self._setup)
            self._workers[worker] = {}
            self._selector.register(worker.fileno(), selectors.EVENT_READ, worker)
        with self._changed:
            self._woken = False
            for worker, in_hand in self._workers.items():
                if worker.ready and not in_hand and self._queue:
                    share = -(-len(self._queue) // self._size)
                    count = max(1, min(_MAX_BATCH, share, int(_BATCH_S / self._mean_s)))
                    in_hand.update((task.number, task) for task in (self._queue.popleft() for _ in range(count)))
        for worker, in_hand in self._workers.items():
            if in_hand and worker.idle:
                worker.idle = False
                worker.send([(task.number, task.payload) for task in in_hand.values()])

    def _patience_s(self) -> float | None:
        """Seconds until some worker may be overdue; None when all are idle.

        Never over a deadline, as a worker may begin a response without telling.
        """
        now = time.monotonic()
        limits = [self._overdue_at(worker) - now for worker in self._workers if not worker.ready or not worker.idle]
        return max(0.001, min(*limits, self.deadline_s)) if limits else None

    def _overdue_at(self, worker: WorkerProcess) -> float:
        if not worker.ready:
            return worker.begun + self._start_timeout_s
        begun = worker.progress()[0]
        return begun + self.deadline_s if begun else worker.heard + self.deadline_s + _SLACK_S

    def _receive(self, worker: WorkerProcess) -> None:
        messages = worker.receive()
        if messages is None:
            self._bury(worker, "crash")
        else:
            self._take_in(worker, messages)

    def _take_in(self, worker: WorkerProcess, messages: Sequence[tuple[str, Any]]) -> None:
        for kind, content in messages:
            if kind == FAILED:
                self._break(content)
            elif kind == READY:
                worker.ready = worker.idle = True
                with self._changed:
                    self._started, self._start_losses = True, 0
                    self._changed.notify_all()
            else:
                self._settle(worker, content)

    def _settle(self, worker: WorkerProcess, results: Sequence[PackedResult]) -> None:
        in_hand = self._workers[worker]
        finished: list[tuple[Hashable, Outcome]] = []
        for number, scores, failure, failed in results:
            task = in_hand.pop(number)
            outcome = Outcome(tuple(unpack_score(score) for score in scores), failure, failed)
            finished.append((task.key, outcome))
            seconds = sum(score.seconds for score in outcome.scores)
            self._mean_s += 0.05 * (max(seconds, 1e-5) - self._mean_s)
        self._deliver(finished)
        worker.judged += len(results)
        worker.progressed = True
        if not in_hand:
            worker.idle, worker.progressed = True, False
            if worker.judged >= self._recycle_after:
                worker.kill()
                self._forget(worker)

    def _deliver(self, finished: list[tuple[Hashable, Outcome]]) -> None:
        with self._changed:
            self._finished.extend(finished)
            self._changed.notify_all()

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            if (not worker.ready or not worker.idle) and self._overdue_at(worker) <= now:
                self._bury(worker, "timeout")

    def _bury(self, worker: WorkerProcess, failure: str) -> None:
        """Kill a worker that is overdue or gone; blame the response it was at; hand the others to the next worker."""
        self._take_in(worker, worker.kill())
        in_hand = self._workers.get(worker)
        if in_hand is None:
            return  # its last message had ended its batch, and with that its life
        begun, number, verifier = worker.progress()
        guilty = in_hand.pop(number, None) if begun else None
        if failure == "timeout" and time.monotonic() < begun + self.deadline_s and guilty is not None:
            in_hand[number], guilty = guilty, None  # the overdue one had just finished; this is the one after it
        if guilty is not None:
            took = time.monotonic() - begun
            reason = self._reason(failure, verifier, worker)
            self._deliver([(guilty.key, self._unjudged(reason, took, failure, verifier))])
        self._requeue(in_hand, spared=guilty is not None or worker.progressed)
        if not worker.ready:
            self._count_start_loss(failure, worker)
        self.restarts += 1
        self._forget(worker)

    def _reason(self, failure: str, verifier: int, worker: WorkerProcess) -> str:
        if failure == "timeout":
            return f"{self.names[verifier]} was stopped at the deadline of {self.deadline_s:g} s"
        return f"{self.names[verifier]} crashed its worker, which {worker.epitaph()}"

    def _unjudged(self, reason: str, seconds: float, failure: str, verifier: int) -> Outcome:
        scores = [Score(Verdict.UNJUDGED, None, reason=reason) for _ in self.names]
        scores[verifier] = Score(Verdict.UNJUDGED, None, reason=reason, seconds=seconds)
        return Outcome(tuple(scores), failure, verifier)

    def _requeue(self, in_hand: Mapping[int, _Task], *, spared: bool) -> None:
        again: list[_Task] = []
        for task in in_hand.values():
            task.attempts += not spared
            if task.attempts < _MAX_ATTEMPTS:
                again.append(task)
            else:
                reason = f"{_MAX_ATTEMPTS} workers died before they could judge it"
                self._deliver([(task.key, self._unjudged(reason, 0.0, "crash", 0))])
        with self._changed:
            self._queue.extendleft(reversed(again))

    def _count_start_loss(self, failure: str, worker: WorkerProcess) -> None:
        self._start_losses += 1
        if self._start_losses >= _MAX_START_LOSSES:
            what = f"took over {self._start_timeout_s:g} s to start" if failure == "timeout" else worker.epitaph()
            self._break(f"{self._start_losses} workers in a row were lost while starting; the last {what}")

    def _forget(self, worker: WorkerProcess) -> None:
        self._selector.unregister(worker.fileno())
        del self._workers[worker]
        worker.release()

    def _break(self, cause: str) -> None:
        with self._changed:
            self._fault = self._fault or cause
            self._changed.notify_all()
