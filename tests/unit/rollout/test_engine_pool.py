"""Several engines as one: who gets what, streams as they come, faults that surface."""

import threading

import numpy as np
import pytest

from rl_reason.errors import RolloutError
from rl_reason.rollout.engine_pool import EnginePool, share_out
from rl_reason.types import Completion, Request, Sampling, Segment, StopReason, WeightUpdate


class Echo:
    """Answers each request with its own prompt, one by one; waits for `gate` before the second answer."""

    def __init__(self, gate=None, fails=False):
        self.gate, self.fails, self.got, self.loaded, self.closed = gate, fails, [], [], False

    def generate(self, requests, sampling):
        self.got = [request.id for request in requests]
        return self._answers(requests)

    def _answers(self, requests):
        for index, request in enumerate(requests):
            if index == 1 and self.gate is not None:
                assert self.gate.wait(5)
            if index == 1 and self.fails:
                raise RolloutError(f"request {request.id!r} was refused")
            segment = Segment(np.array(request.tokens, np.int32), np.zeros(1, np.float32), 0)
            yield [Completion(request.id, segment, StopReason.STOP)]

    def score(self, sequences):
        return [np.full(len(sequence) - 1, id(self), np.float32) for sequence in sequences]

    def load_weights(self, update):
        self.loaded.append(update.version)

    def close(self):
        self.closed = True


def requests(*prompts):
    return [Request(f"r{i}", (prompt,), i) for i, prompt in enumerate(prompts)]


def test_groups_stay_together_and_loads_are_even():
    shards = share_out(requests(5, 5, 5, 6, 7, 7, 8), 2)
    assert [[request.id for request in shard] for shard in shards] == [["r0", "r1", "r2", "r6"], ["r3", "r4", "r5"]]


def test_more_engines_than_groups_leaves_some_idle():
    assert [len(shard) for shard in share_out(requests(5, 5), 3)] == [2, 0, 0]
    idle = Echo()
    pool = EnginePool([Echo(), idle])
    assert [c.request_id for completed in pool.generate(requests(5, 5), Sampling()) for c in completed] == ["r0", "r1"]
    assert idle.got == []


def test_completions_come_as_they_finish_not_in_the_engines_order():
    gate = threading.Event()
    slow, fast = Echo(gate), Echo()
    stream = EnginePool([slow, fast]).generate(requests(1, 2, 1, 2, 1, 2), Sampling())
    assert (slow.got, fast.got) == (["r0", "r2", "r4"], ["r1", "r3", "r5"]), "both start at the call"
    first = {next(stream)[0].request_id for _ in range(4)}
    assert first == {"r0", "r1", "r3", "r5"}
    gate.set()
    assert sorted(completed[0].request_id for completed in stream) == ["r2", "r4"]


def test_one_engines_fault_ends_the_merged_stream():
    stream = EnginePool([Echo(), Echo(fails=True)]).generate(requests(1, 2, 1, 2), Sampling())
    with pytest.raises(RolloutError, match="'r3' was refused"):
        list(stream)


def test_weights_go_to_all_scores_come_from_the_first_and_all_are_closed():
    engines = [Echo(), Echo(), Echo()]
    pool = EnginePool(engines)
    pool.load_weights(WeightUpdate(7, "disk", "w"))
    assert [engine.loaded for engine in engines] == [[7], [7], [7]]
    assert pool.score([[1, 2]])[0][0] == np.float32(id(engines[0]))
    pool.close()
    assert all(engine.closed for engine in engines)


def test_an_empty_pool_is_refused():
    with pytest.raises(RolloutError, match="at least one"):
        EnginePool([])
