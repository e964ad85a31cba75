"""Ray actors: parts are built where they run, faults come back as ours, no wait is without a deadline."""

import os
import signal
import time
from pathlib import Path

import pytest

from rl_reason.cluster.actors import Part, Placement
from rl_reason.cluster.placement import Starting
from rl_reason.cluster.session import ray_session, require_gpus
from rl_reason.errors import ConfigError, DeadActorError, RolloutError


class Hosted:
    """Stands in for an engine or a rank."""

    def __init__(self, **arguments):
        self.arguments = arguments

    def seen(self):
        return {**self.arguments, "threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()}

    def generate(self, requests, sampling):
        for request in requests:
            if request == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if request == "hang":
                time.sleep(60)
            if request == "fault":
                raise RolloutError("request r1 was refused")
            yield [request]

    def score(self, sequences):
        self.arguments["scored"] = 1
        return self.arguments["ranks"].rank

    def scored(self):
        return self.arguments.get("scored", 0)

    def publish(self, version):
        if self.arguments["ranks"].rank == version:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)


FACTORY = "test_cluster_part:Hosted"


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("path")
    (folder / "test_cluster_part.py").write_text(Path(__file__).read_text().split("FACTORY =")[0])
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{folder}:{before}"
    with ray_session() as logs:
        yield logs
    os.environ["PYTHONPATH"] = before


@pytest.fixture
def starting(logs):
    return Starting(start_deadline_s=60, call_deadline_s=3, logs=logs)


PLACEMENT = Placement(environment={"OMP_NUM_THREADS": "2"})


def engine(starting):
    (engine,) = starting.begin_engines([Part(FACTORY, {"seed": 5})], [PLACEMENT])
    starting.wait()
    return engine


def test_a_part_is_built_in_its_own_process_with_its_environment(starting):
    seen = engine(starting).handle.call("seen")
    assert seen["seed"] == 5 and seen["threads"] == "2" and seen["pid"] != os.getpid()


def test_items_stream_in_order(starting):
    assert list(engine(starting).generate(["a", "b", "c"], None)) == [["a"], ["b"], ["c"]]


def test_a_fault_keeps_its_type_and_message(starting):
    with pytest.raises(RolloutError, match="request r1 was refused"):
        list(engine(starting).generate(["fault"], None))


def test_a_dead_engine_is_named_at_once(starting):
    begun = time.monotonic()
    with pytest.raises(DeadActorError, match="engine 0 died during `generate`"):
        list(engine(starting).generate(["a", "die"], None))
    assert time.monotonic() - begun < 10


def test_a_hanging_engine_is_named_at_its_deadline(starting):
    part = engine(starting)
    begun = time.monotonic()
    with pytest.raises(DeadActorError, match="engine 0 did not finish `generate` within 3 s"):
        list(part.generate(["a", "hang"], None))
    assert 2.5 < time.monotonic() - begun < 6


def test_where_every_rank_has_the_model_rank_0_scores_alone(starting):
    for partitioned in (False, True):
        learner = starting.begin_learner(Part(FACTORY), [PLACEMENT] * 2, partitioned=partitioned)
        starting.wait()
        assert learner.score([[1, 2]]) == 0
        assert [rank.call("scored") for rank in learner.ranks] == [1, int(partitioned)]
        learner.close()


def test_a_dead_rank_is_named_while_the_others_wait_for_it(starting):
    learner = starting.begin_learner(Part(FACTORY), [PLACEMENT] * 2)
    starting.wait()
    with pytest.raises(DeadActorError, match="learner rank 1 died during `publish`"):
        learner.publish(1)
    learner.close()


def test_a_part_that_cannot_be_built_says_why(starting):
    starting.begin_engines([Part("rl_reason.nowhere:Part")], [PLACEMENT])
    with pytest.raises(ModuleNotFoundError, match=r"rl_reason\.nowhere"):
        starting.wait()


def test_too_few_gpus_are_refused_instead_of_waited_for(logs):
    with pytest.raises(ConfigError, match="need 4096 GPUs"):
        require_gpus(4096)
