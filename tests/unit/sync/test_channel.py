"""The checked channel: what it measures, and that nothing wrong passes."""

import threading

import numpy as np
import pytest

from rl_reason.errors import SyncError
from rl_reason.sync.channel import CheckedChannel
from rl_reason.types import WeightUpdate

CANARY = [[1, 2, 3], [4, 5]]


class Learner:
    def __init__(self, logprobs=(-1.0, -2.0, -3.0)):
        self.logprobs = logprobs

    def publish(self, version):
        return WeightUpdate(version, "disk", "w", ("a", "b"), ((2, 3), (4,)), ("F32", "BF16"))

    def score(self, sequences):
        assert sequences == CANARY
        return [np.array(self.logprobs[:2], np.float32), np.array(self.logprobs[2:], np.float32)]


class Engine(Learner):
    def __init__(self, logprobs, barrier=None):
        super().__init__(logprobs)
        self.barrier, self.version = barrier, None

    def load_weights(self, update):
        if self.barrier is not None:
            self.barrier.wait(5)
        self.version = update.version


def channel(*engines, alarm=1e-4, learner=None):
    return CheckedChannel(learner or Learner(), engines, canary=CANARY, gap_alarm_nats=alarm)


def test_metrics_are_over_all_engines_and_tokens():
    engines = [Engine((-1.0, -2.0, -3.0)), Engine((-1.0, -2.25, -3.5))]
    metrics = channel(*engines, alarm=0.5).sync(3)
    assert [engine.version for engine in engines] == [3, 3]
    assert metrics["policy/logprob_gap_max"] == 0.5
    assert metrics["policy/logprob_gap_mean"] == pytest.approx(0.75 / 6)
    assert metrics["sync/bytes"] == 6 * 4 + 4 * 2
    assert set(metrics) == {
        "policy/logprob_gap_max",
        "policy/logprob_gap_mean",
        "sync/bytes",
        "time/sync_publish_s",
        "time/sync_load_s",
        "time/sync_canary_s",
    }


def test_a_gap_past_the_alarm_names_engine_version_token_gap_and_threshold():
    good, stale = Engine((-1.0, -2.0, -3.0)), Engine((-1.0, -2.0, -3.09))
    with pytest.raises(SyncError) as caught:
        channel(good, stale, alarm=0.01).sync(12)
    for part in ("version 12", "engine 1", "token 2", "-3.09", "-3.00", "0.09", "0.01", "gap_alarm_nats", "tied"):
        assert part in str(caught.value)


@pytest.mark.parametrize("broken", [(float("nan"), -2.0, -3.0), (-1.0, -2.0, float("-inf"))])
def test_what_is_not_a_number_trips_the_alarm_on_either_side(broken):
    with pytest.raises(SyncError, match="NaN"):
        channel(Engine(broken), alarm=1e9).sync(1)
    with pytest.raises(SyncError, match="NaN"):
        channel(Engine((-1.0, -2.0, -3.0)), alarm=1e9, learner=Learner(broken)).sync(1)


def test_several_engines_load_at_the_same_time():
    barrier = threading.Barrier(3)
    engines = [Engine((-1.0, -2.0, -3.0), barrier) for _ in range(3)]
    channel(*engines).sync(1)
    assert [engine.version for engine in engines] == [1, 1, 1]


def test_a_wrong_number_of_logprobs_is_said():
    with pytest.raises(SyncError, match="scored 4 canary tokens and the learner 3"):
        channel(Engine((-1.0, -2.0, -3.0, -4.0))).sync(1)


@pytest.mark.parametrize("canary", [[], [[1, 2], [3]]])
def test_a_canary_in_which_nothing_is_predicted_is_refused(canary):
    with pytest.raises(SyncError, match="canary"):
        CheckedChannel(Learner(), [Engine((0,))], canary=canary, gap_alarm_nats=1.0)
    with pytest.raises(SyncError, match="engine"):
        CheckedChannel(Learner(), [], canary=CANARY, gap_alarm_nats=1.0)


class Order(Engine):
    """Engine and learner in one, which write down what happens in which order."""

    def __init__(self, transport):
        super().__init__((-1.0, -2.0, -3.0))
        self.transport, self.order, self.scored = transport, [], threading.Event()

    def publish(self, version):
        return WeightUpdate(version, self.transport, "w", ("a",), ((2,),), ("F32",))

    def load_weights(self, update):
        if update.transport == "shared_memory":
            assert self.scored.wait(5), "the learner does not score while engines load"
        self.order.append("load")

    def learner_score(self, sequences):
        self.order.append("score")
        self.scored.set()
        return Learner.score(self, sequences)


@pytest.mark.parametrize(("transport", "order"), [("shared_memory", ["score", "load"]), ("nccl", ["load", "score"])])
def test_the_learner_scores_while_engines_load_a_file_and_after_a_broadcast(transport, order):
    both = Order(transport)
    learner = type("", (), {"publish": both.publish, "score": both.learner_score})()
    channel(both, learner=learner).sync(1)
    assert both.order == order
