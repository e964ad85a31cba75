"""Gives a verifier pool's responses to its worker processes, watches their deadlines, and replaces those that fail.

A verifier that is past its deadline, or takes its process down, costs its response that one score. What the response
still lacks goes to another worker, as does the rest of the batch: at once when a worker is idle while this one is
stuck, else when this one is killed. From half of its deadline on, a successor is started, to be ready by then.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rl_reason.rewards.exchange import Exchange, Task
from rl_reason.rewards.worker_main import FAILED, GROWN, READY, Batch, PackedResult, Setup
from rl_reason.rewards.worker_process import WorkerProcess

_MAX_BATCH = 256
_MAX_BATCH_BYTES = 4 * 2**20
_BATCH_S = 0.02
"""A batch is made about so long, by the running mean of the time that a response takes."""
_STUCK_S = 0.1
"""A worker that has been at one verifier for so long loses the rest of its batch to idle ones."""
_SLACK_S = 5.0
"""A worker that has a batch but is at none of its responses may be silent so much longer than the longest deadline."""
_MAX_START_LOSSES = 3
_MAX_ATTEMPTS = 3
"""A response whose workers die under it without any of their batch being judged is given up after so many."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a pool allows."""

    workers: int
    deadlines_s: tuple[float, ...]
    """Of each verifier."""
    recycle_after: int
    start_timeout_s: float


class Dispatcher:
    """Owns the workers; `run` is the body of the one thread that may touch it."""

    def __init__(self, setup: Setup, exchange: Exchange, limits: Limits) -> None:
        self.restarts = 0
        """Workers replaced because they hung, crashed or ran out of memory."""
        self._setup, self._exchange, self._limits = setup, exchange, limits
        self._workers: dict[WorkerProcess, dict[int, Task]] = {}
        self._selector = selectors.DefaultSelector()
        self._start_losses = self._batches = 0
        self._mean_s = 0.001

    def run(self) -> None:
        """Until the exchange is stopped."""
        wake = self._exchange.fileno()
        self._selector.register(wake, selectors.EVENT_READ)
        try:
            while not self._exchange.fault:
                self._start_workers()
                self._hand_out()
                for event, _ in self._selector.select(self._patience_s()):
                    if event.fd == wake:
                        self._exchange.drain()
                    elif event.data in self._workers:
                        self._receive(event.data)
                self._look_after()
        except OSError as error:  # out of processes, files or memory
            self._exchange.stop(f"{type(error).__name__}: {error}")
        finally:
            self._exchange.stop("it has been closed")
            for worker in list(self._workers):
                worker.kill()
                self._forget(worker)
            self._selector.close()
            self._exchange.close()

    def _start_workers(self) -> None:
        now = time.monotonic()
        wanted = self._limits.workers + sum(self._is_suspect(worker, now) for worker in self._workers)
        while len(self._workers) < wanted:
            worker = WorkerProcess(self._setup)
            self._workers[worker] = {}
            self._selector.register(worker.fileno(), selectors.EVENT_READ, worker)

    def _is_suspect(self, worker: WorkerProcess, now: float) -> bool:
        begun, _, verifier = worker.progress()
        return begun > 0 and now - begun > self._limits.deadlines_s[verifier] / 2

    def _hand_out(self) -> None:
        room = self._limits.workers - sum(worker.ready and not worker.idle for worker in self._workers)
        if room > 0 and not len(self._exchange):
            self._call_off_stuck()
        for worker, in_hand in self._workers.items():
            if room <= 0:
                return
            if not worker.idle:
                continue
            share = -(-len(self._exchange) // self._limits.workers)
            count = max(1, min(_MAX_BATCH, share, int(_BATCH_S / self._mean_s)))
            tasks = self._exchange.draw(count, _MAX_BATCH_BYTES)
            if not tasks:
                return
            room -= 1
            self._batches += 1
            in_hand.update((task.number, task) for task in tasks)
            worker.batch, worker.idle, worker.progressed = self._batches, False, False
            batch: Batch = (self._batches, [(task.number, task.judged(), task.payload) for task in tasks])
            worker.send(batch)

    def _call_off_stuck(self) -> None:
        """Queue again what lies behind the responses that take long."""
        now = time.monotonic()
        for worker, in_hand in self._workers.items():
            begun, number, _ = worker.progress()
            if len(in_hand) > 1 and begun and now - begun > _STUCK_S:
                worker.call_off()
                self._exchange.put_back([task for task in in_hand.values() if task.number != number])
                stuck = in_hand.get(number)
                in_hand.clear()
                if stuck is not None:
                    in_hand[number] = stuck

    def _patience_s(self) -> float | None:
        """Seconds until some worker may be overdue or suspect; None when all are idle.

        Never over the half of a deadline, as a worker may begin a response without telling.
        """
        busy = [worker for worker in self._workers if not worker.ready or not worker.idle]
        if not busy:
            return None
        now = time.monotonic()
        patience = min(*(self._overdue_at(worker) - now for worker in busy), min(self._limits.deadlines_s) / 2)
        spare = len(busy) < len(self._workers)
        if spare and any(len(in_hand) > 1 for in_hand in self._workers.values()):
            patience = min(patience, _STUCK_S)
        return max(0.001, patience)

    def _overdue_at(self, worker: WorkerProcess) -> float:
        if not worker.ready:
            return worker.begun + self._limits.start_timeout_s
        begun, _, verifier = worker.progress()
        if begun:
            return begun + self._limits.deadlines_s[verifier]
        return worker.heard + max(self._limits.deadlines_s) + _SLACK_S

    def _receive(self, worker: WorkerProcess) -> None:
        messages = worker.receive()
        if messages is None:
            self._bury(worker, "crash")
        else:
            self._take_in(worker, messages)

    def _take_in(self, worker: WorkerProcess, messages: Sequence[tuple[str, Any]]) -> None:
        for kind, content in messages:
            if kind == FAILED:
                self._exchange.stop(content)
            elif kind == GROWN:
                worker.judged = self._limits.recycle_after
            elif kind == READY:
                worker.ready = worker.idle = True
                self._start_losses = 0
                self._exchange.start()
            else:
                self._settle(worker, content)

    def _settle(self, worker: WorkerProcess, results: Sequence[PackedResult]) -> None:
        in_hand = self._workers[worker]
        finished: list[Task] = []
        seconds = 0.0
        for number, index, score, failure in results:
            task = in_hand.get(number)
            if task is None:
                continue  # called off too late: another worker has it
            task.settle(index, score, failure)
            seconds += score[4]
            if not task.missing:
                finished.append(in_hand.pop(number))
        if finished:
            self._exchange.deliver(finished)
            mean_s = max(seconds / len(finished), 1e-5)
            self._mean_s += min(1.0, 0.05 * len(finished)) * (mean_s - self._mean_s)
        worker.judged += len(finished)
        worker.progressed = True
        if not in_hand:
            worker.idle = True
            if worker.judged >= self._limits.recycle_after:
                worker.kill()
                self._forget(worker)

    def _look_after(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            if (not worker.ready or not worker.idle) and self._overdue_at(worker) <= now:
                self._bury(worker, "timeout")

    def _bury(self, worker: WorkerProcess, failure: str) -> None:
        """Kill a worker that is overdue or gone; blame the verifier it was at; queue again what is not finished."""
        self._take_in(worker, worker.kill())
        in_hand = self._workers.get(worker)
        if in_hand is None:
            return  # its last message had ended its batch, and with that its life
        begun, number, verifier = worker.progress()
        took = time.monotonic() - begun
        guilty = in_hand.get(number) if begun else None
        if guilty is not None and failure == "timeout" and took < self._limits.deadlines_s[verifier]:
            guilty = None  # the overdue one had just finished; this is the one after it
        if guilty is not None:
            guilty.fail(verifier, failure, self._reason(failure, verifier, worker), took)
        self._put_back(in_hand, spared=begun > 0 or worker.progressed)
        if not worker.ready:
            self._count_start_loss(failure, worker)
        self.restarts += 1
        self._forget(worker)

    def _reason(self, failure: str, verifier: int, worker: WorkerProcess) -> str:
        name = self._exchange.names[verifier]
        if failure == "timeout":
            return f"{name} was stopped at the deadline of {self._limits.deadlines_s[verifier]:g} s"
        return f"{name} crashed its worker, which {worker.epitaph()}"

    def _put_back(self, in_hand: Mapping[int, Task], *, spared: bool) -> None:
        again: list[Task] = []
        finished: list[Task] = []
        for task in in_hand.values():
            task.attempts += not spared
            if task.attempts >= _MAX_ATTEMPTS:
                reason = f"{_MAX_ATTEMPTS} workers died before they could judge it"
                for index in range(len(task.scores)):
                    task.fail(index, "crash", reason, 0.0)
            (again if task.missing else finished).append(task)
        self._exchange.put_back(again)
        self._exchange.deliver(finished)

    def _count_start_loss(self, failure: str, worker: WorkerProcess) -> None:
        self._start_losses += 1
        if self._start_losses >= _MAX_START_LOSSES:
            what = (
                f"took over {self._limits.start_timeout_s:g} s to start" if failure == "timeout" else worker.epitaph()
            )
            self._exchange.stop(f"{self._start_losses} workers in a row were lost while starting; the last {what}")

    def _forget(self, worker: WorkerProcess) -> None:
        self._selector.unregister(worker.fileno())
        del self._workers[worker]
        worker.release()
