"""Evaluates the candidates of an evolutionary search, as many at a time as there are workers."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rl_reason.errors import DeadActorError, RolloutError
from rl_reason.evaluation.evaluate import Rollout, evaluate
from rl_reason.merging.evolution.candidate import Candidate, Outcome
from rl_reason.types import Prompt

Item = TypeVar("Item")


@dataclass(frozen=True)
class Worker:
    """One engine with a scorer of its own."""

    take: Callable[[Candidate], None]
    """Makes the engine run this candidate."""
    rollout: Rollout
    """Greedy, one response a prompt, by that engine."""
    renewed: Callable[[], Worker]
    """Another one in its place, when its engine has died."""

    def outcome(self, candidate: Candidate, prompts: Sequence[Prompt]) -> Outcome:
        """Evaluate; what the candidate is to blame for is its outcome, all else is raised.

        Raises:
            DeadActorError: the engine is gone; of the candidate nothing is known.
        """
        begun = time.perf_counter()
        try:
            self.take(candidate)
            found = evaluate(self.rollout, prompts, responses_per_prompt=1)
        except RolloutError as error:
            return Outcome(None, failure=str(error), seconds=time.perf_counter() - begun)
        seconds = time.perf_counter() - begun
        if math.isnan(found.accuracy.value):
            return Outcome(None, found.tokens_mean, "none of its responses could be judged", seconds)
        return Outcome(found.accuracy.value, found.tokens_mean, None, seconds)


class WorkerPool:
    """Implements `candidate.Evaluate`."""

    def __init__(
        self, workers: Sequence[Worker], problems: Mapping[str, Sequence[Prompt]], batch: int | None, seed: int
    ):
        """
        Args:
            problems: `search`, `validation`, `test`.
            batch: problems of a `search/<generation>`, drawn by seed and generation alone. None: all of `search`.
        """
        self._workers: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in workers:
            self._workers.put(worker)
        self._threads = len(workers)
        self._problems, self._batch, self._seed = problems, batch, seed

    def __call__(self, candidates: Sequence[Candidate], problems: str) -> Iterator[tuple[Candidate, Outcome]]:
        """See `Evaluate`. When one evaluation raises, those under way are still finished and yielded before."""
        prompts = self.prompts(problems)
        with ThreadPoolExecutor(self._threads) as pool:
            tasks = {pool.submit(self._one, candidate, prompts): candidate for candidate in candidates}
            fault: BaseException | None = None
            for task in as_completed(tasks):
                if task.cancelled():
                    continue
                if (raised := task.exception()) is None:
                    yield tasks[task], task.result()
                elif fault is None:
                    fault = raised
                    pool.shutdown(wait=False, cancel_futures=True)
            if fault is not None:
                raise fault

    def prompts(self, problems: str) -> Sequence[Prompt]:
        """The problems of that name."""
        name, _, generation = problems.partition("/")
        found = self._problems[name]
        return batch_of(found, self._batch or len(found), self._seed, int(generation)) if generation else found

    def _one(self, candidate: Candidate, prompts: Sequence[Prompt]) -> Outcome:
        """An engine that dies is replaced; a candidate that kills two has failed."""
        worker = self._workers.get()
        begun = time.perf_counter()
        try:
            try:
                return worker.outcome(candidate, prompts)
            except DeadActorError:
                worker = worker.renewed()
            try:
                return worker.outcome(candidate, prompts)
            except DeadActorError as error:
                worker = worker.renewed()
                return Outcome(None, failure=f"two engines died of it: {error}", seconds=time.perf_counter() - begun)
        finally:
            self._workers.put(worker)


def batch_of(items: Sequence[Item], size: int, seed: int, number: int) -> list[Item]:
    """`size` different ones, drawn by seed and number alone, in their order."""
    drawn = np.random.default_rng([seed, number]).permutation(len(items))[:size]
    return [items[k] for k in sorted(drawn)]
