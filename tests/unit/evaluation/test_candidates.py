"""Candidates through the evaluation's own roll-out: outcomes, failures, batches, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from rl_reason.errors import DeadActorError, RolloutError
from rl_reason.evaluation.candidates import Worker, WorkerPool, batch_of
from rl_reason.merging.evolution.candidate import Candidate
from rl_reason.types import Group, Prompt, Score, Segment, StopReason, Trajectory, Verdict

PROMPTS = [Prompt(f"p{k}", f"{k}?", str(k), (1,)) for k in range(4)]


@dataclass
class Engine:
    """Right on as many problems as the candidate says; of as many tokens."""

    lives: int = 9
    """So many more engines can take its place."""
    running: Candidate | None = None
    threads: set[int] = field(default_factory=set)
    frail: bool = False
    """Dies of its first candidate, whatever it is."""

    def take(self, candidate: Candidate) -> None:
        if "kills" in candidate.content or self.frail:
            raise DeadActorError("engine 0 died")
        self.running = candidate
        self.threads.add(threading.get_ident())

    def start(self, prompts: Sequence[Prompt], *, iteration: int) -> Engine:
        self.asked = prompts
        return self

    def finish(self) -> Engine:
        return self

    @property
    def groups(self) -> list[Group]:
        assert self.running is not None
        if "fails" in self.running.content:
            raise RolloutError("logits are not finite")
        return [self._group(number, prompt) for number, prompt in enumerate(self.asked)]

    def _group(self, number: int, prompt: Prompt) -> Group:
        assert self.running is not None
        right = self.running.content["right"]
        verdict = Verdict.UNJUDGED if right is None else Verdict.RIGHT if number < right else Verdict.WRONG
        segment = Segment(np.zeros(5, np.int32), np.zeros(5, np.float32), 0)
        answered = Trajectory(prompt, 0, (segment,), StopReason.STOP, "x")
        return Group(prompt, (answered,), (Score(verdict, float(verdict is Verdict.RIGHT)),))


def worker(engine: Engine) -> Worker:
    def renewed() -> Worker:
        if not engine.lives:
            raise DeadActorError("no engine starts any more")
        return worker(Engine(engine.lives - 1))

    return Worker(engine.take, engine, renewed)


def pool(*engines: Engine) -> WorkerPool:
    workers = [worker(engine) for engine in engines]
    return WorkerPool(workers, {"search": PROMPTS, "test": PROMPTS[:1]}, batch=2, seed=0)


def test_outcomes_are_accuracy_and_tokens_and_failures_have_reasons() -> None:
    candidates = [Candidate({"right": 3}), Candidate({"right": 0}), Candidate({"right": None}), Candidate({"fails": 1})]
    found = {one.key: outcome for one, outcome in pool(Engine(), Engine())(candidates, "search")}
    outcomes = [found[one.key] for one in candidates]
    assert [one.accuracy for one in outcomes] == [0.75, 0.0, None, None]
    assert [one.tokens_mean for one in outcomes] == [5.0, 5.0, 5.0, None]
    assert [one.failure for one in outcomes] == [
        None, None, "none of its responses could be judged", "logits are not finite",
    ]  # fmt: skip


def test_an_engine_that_dies_is_replaced_and_a_candidate_that_kills_two_has_failed() -> None:
    candidates = [Candidate({"right": 1}), Candidate({"kills": 1}), Candidate({"right": 4})]
    found = {one.key: outcome for one, outcome in pool(Engine(frail=True))(candidates, "search")}
    assert [found[one.key].accuracy for one in candidates] == [0.25, None, 1.0]
    assert found[candidates[1].key].failure == "two engines died of it: engine 0 died"


def test_a_fault_that_is_no_candidates_is_raised_after_what_was_finished() -> None:
    done = []
    with pytest.raises(DeadActorError, match="no engine starts any more"):
        for candidate, _ in pool(Engine(lives=1))([Candidate({"right": 1}), Candidate({"kills": 1})], "search"):
            done.append(candidate)
    assert done == [Candidate({"right": 1})]


def test_a_batch_follows_from_seed_and_generation() -> None:
    of = pool(Engine())
    assert of.prompts("search") == PROMPTS and of.prompts("test") == PROMPTS[:1]
    assert of.prompts("search/3") == of.prompts("search/3") and len(of.prompts("search/3")) == 2
    assert len({tuple(batch_of(range(9), 3, 0, number)) for number in range(20)}) > 10
