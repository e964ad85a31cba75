"""When an rl stage saves and when it evaluates, and what it finds again."""

import pytest
from fakes import FakeEngine, FakeLearner, FakeSampler, FakeScorer, TablePolicy, decode_digits, digit_prompts

from rl_reason.rollout.phase import RolloutPhase
from rl_reason.stages.checkpointing import Checkpointing
from rl_reason.stages.rl import PeriodicEvaluation
from rl_reason.tracking.checkpoints import CheckpointStore
from rl_reason.types import Sampling


def checkpointing(folder, sampler):
    store = CheckpointStore(folder, keep=9)
    return Checkpointing(store, FakeLearner(TablePolicy(2)), sampler, every=3, total=7)


def test_it_saves_every_so_often_after_the_last_and_when_asked_to_stop(tmp_path):
    save = checkpointing(tmp_path, FakeSampler(digit_prompts(2)))
    for finished in range(1, 8):
        save(finished, stopping=finished == 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-00000{n}" for n in (3, 5, 6, 7)]


def test_it_finds_learner_and_sampler_again(tmp_path):
    sampler = FakeSampler(digit_prompts(2))
    save = checkpointing(tmp_path, sampler)
    assert save.restore().finished == 0
    sampler.position = 4
    save.learner.policy.logits[1, 2] = 5.0
    save(3, stopping=False)
    fresh = checkpointing(tmp_path, FakeSampler(digit_prompts(2)))
    assert fresh.restore().finished == 3
    assert fresh.sampler.position == 4 and fresh.learner.policy.logits[1, 2] == 5.0


@pytest.mark.parametrize(("total", "due"), [(7, [3, 6, 7]), (6, [3, 6])])
def test_it_evaluates_every_so_often_and_after_the_last(total, due):
    engine = FakeEngine(TablePolicy(2))
    phase = RolloutPhase(engine, FakeScorer(), decode_digits, Sampling(), responses_per_prompt=2, seed=1)
    evaluation = PeriodicEvaluation(phase, digit_prompts(2), every=3, total=total)
    found = {finished: evaluation(finished) for finished in range(1, total + 1)}
    assert [finished for finished, metrics in found.items() if "accuracy/eval" in metrics] == due
    # The same random numbers each time: the same policy gets the same figure.
    assert len({found[finished]["accuracy/eval"] for finished in due}) == 1
