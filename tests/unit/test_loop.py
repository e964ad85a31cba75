"""The loop, with fakes: the reward rises, in well under a second."""

from dataclasses import replace

import numpy as np
from fakes import (
    FakeChannel,
    FakeEngine,
    FakeLearner,
    FakeSampler,
    FakeScorer,
    FakeTracker,
    TablePolicy,
    decode_digits,
    digit_prompts,
)

from rl_reason.loop import Parts, train
from rl_reason.policy.advantages import mean_baseline
from rl_reason.rollout.assemble import Assembler
from rl_reason.rollout.phase import RolloutPhase
from rl_reason.types import Sampling


def make_parts(*, prompts=8, stop_after=None):
    policy = TablePolicy(prompts)
    engine = FakeEngine(policy)
    tracker = FakeTracker()
    checkpoints = []
    return Parts(
        sampler=FakeSampler(digit_prompts(prompts)),
        rollout=RolloutPhase(engine, FakeScorer(), decode_digits, Sampling(), responses_per_prompt=8, seed=7),
        assemble=Assembler(mean_baseline, lambda lengths, correct, iteration: np.zeros(len(lengths))),
        learner=FakeLearner(policy, rate=8.0),
        channel=FakeChannel(engine),
        tracker=tracker,
        evaluate=lambda done: {"accuracy/eval": 1.0} if done == 2 else {},
        checkpoint=lambda done, stopping, under_way: checkpoints.append((done, stopping, under_way)),
        stop_requested=lambda: stop_after is not None and len(tracker.lines) >= stop_after,
    ), checkpoints


def test_the_reward_rises():
    parts, _ = make_parts()
    train(parts, iterations=40, prompts_per_iteration=8)
    rewards = [line["reward/mean"] for line in parts.tracker.lines]
    assert np.mean(rewards[:3]) < 0.45
    assert np.mean(rewards[-3:]) > 0.9


def test_each_iteration_trains_version_i_into_i_plus_1():
    parts, checkpoints = make_parts()
    assert train(parts, iterations=3, prompts_per_iteration=4) == 3
    assert parts.channel.versions == [0, 1, 2, 3]
    assert [line["policy_version"] for line in parts.tracker.lines] == [1, 2, 3]
    assert [
        {t.segments[0].version for g in groups for t in g.trajectories} for _, groups, _ in parts.tracker.groups
    ] == [
        {0},
        {1},
        {2},
    ]
    assert [done for done, *_ in checkpoints] == [1, 2, 3] and not any(stopping for _, stopping, _ in checkpoints)
    assert [line.get("accuracy/eval") for line in parts.tracker.lines] == [None, 1.0, None]


def test_a_lag_of_one_keeps_one_roll_out_ahead():
    parts, _ = make_parts()
    versions_at_start = []
    start = parts.rollout.engine.generate

    def spy(requests, sampling):
        versions_at_start.append(parts.rollout.engine.version)
        return start(requests, sampling)

    parts.rollout.engine.generate = spy
    train(parts, iterations=4, prompts_per_iteration=4, max_lag_versions=1)
    assert versions_at_start == [0, 0, 1, 2]
    # Each draw is rolled out under its own number: the same prompts get other responses.
    assert [iteration for iteration, _, _ in parts.tracker.groups] == [0, 1, 2, 3]


def test_every_roll_out_has_its_own_number_at_any_lag():
    asked = {}
    for lag in (0, 1, 3):
        parts, _ = make_parts()
        of_lag = asked.setdefault(lag, [])
        start = parts.rollout.engine.generate
        parts.rollout.engine.generate = lambda requests, sampling, of_lag=of_lag, start=start: (
            of_lag.extend(request.id for request in requests) or start(requests, sampling)
        )
        train(parts, iterations=3, prompts_per_iteration=2, max_lag_versions=lag)
    assert asked[0] == asked[1] == asked[3]
    assert sorted({name.split("/")[0] for name in asked[0]}) == ["0", "1", "2"]


def test_the_sampler_hears_of_every_group_and_the_learner_of_every_step():
    parts, _ = make_parts()
    steps = []
    update = parts.learner.update
    parts.learner.update = lambda batch, *, step: steps.append(step) or update(batch, step=step)
    train(parts, iterations=5, prompts_per_iteration=4, start=2)
    assert parts.sampler.seen == 12
    assert steps == [2, 3, 4]


def test_a_request_to_stop_checkpoints_and_returns():
    parts, checkpoints = make_parts(stop_after=2)
    assert train(parts, iterations=9, prompts_per_iteration=4) == 2
    assert [(done, stopping) for done, stopping, _ in checkpoints] == [(1, False), (2, True)]


def kept(parts):
    return [{k: v for k, v in line.items() if "time" not in k and "per_s" not in k} for line in parts.tracker.lines]


def test_a_restored_run_draws_the_same_responses():
    whole, _ = make_parts()
    train(whole, iterations=6, prompts_per_iteration=4)
    halves, _ = make_parts()
    train(halves, iterations=3, prompts_per_iteration=4)
    train(halves, iterations=6, prompts_per_iteration=4, start=3)
    assert kept(whole) == kept(halves)


def test_a_restored_run_trains_on_the_roll_outs_that_were_under_way():
    def eager_parts(**settings):
        """As real engines do, this one writes when it is asked, under the weights of that moment."""
        parts, checkpoints = make_parts(**settings)
        lazy = parts.rollout.engine.generate
        parts.rollout.engine.generate = lambda requests, sampling: iter(list(lazy(requests, sampling)))
        return parts, checkpoints

    whole, _ = eager_parts()
    train(whole, iterations=6, prompts_per_iteration=4, max_lag_versions=2)
    halves, checkpoints = eager_parts(stop_after=3)
    train(halves, iterations=6, prompts_per_iteration=4, max_lag_versions=2)
    under_way = [rollout.finish() for rollout in checkpoints[-1][2]]
    assert [{t.segments[0].version for t in r.groups[0].trajectories} for r in under_way] == [{1}, {2}]
    again = replace(halves, stop_requested=lambda: False)
    train(again, iterations=6, prompts_per_iteration=4, max_lag_versions=2, start=3, under_way=under_way)
    assert kept(again) == kept(whole)
