"""The roll-out phase: seeds, metrics by hand, and an engine that loses responses."""

import math

import numpy as np
import pytest
from fakes import FakeEngine, FakeScorer, TablePolicy, decode_digits, digit_prompts

from rl_reason.errors import RolloutError
from rl_reason.rollout.phase import RolloutPhase, response_seed, rollout_metrics
from rl_reason.types import Group, Prompt, Sampling, Score, Segment, StopReason, Trajectory, Verdict

RIGHT, WRONG = Score(Verdict.RIGHT, 1.5), Score(Verdict.WRONG, 0.5)
UNJUDGED = Score(Verdict.UNJUDGED, None)


def group(*responses):
    """(length, stop reason, score) of each response."""
    prompt = Prompt("p", "q", "a", tokens=(0,))
    trajectories = tuple(
        Trajectory(prompt, k, (Segment(np.zeros(n, np.int32), np.zeros(n, np.float32), 0),), stop, "")
        for k, (n, stop, _) in enumerate(responses)
    )
    return Group(prompt, trajectories, tuple(score for _, _, score in responses))


def test_metrics_by_hand():
    groups = [
        group((2, StopReason.STOP, RIGHT), (10, StopReason.LENGTH, UNJUDGED)),
        group((4, StopReason.STOP, WRONG), (4, StopReason.REPEATED, WRONG)),
    ]
    metrics = rollout_metrics(groups, seconds=4.0)
    assert metrics == {
        "reward/mean": pytest.approx(2.5 / 3),  # of the three that were judged
        "accuracy/train": pytest.approx(1 / 3),
        "response/tokens_mean": 5.0,
        "response/tokens_p99": pytest.approx(9.82),  # 4 + 0.97 * 6
        "response/tokens_total": 20.0,
        "rollout/truncated_fraction": 0.25,
        "rollout/repeated_fraction": 0.25,
        "throughput/rollout_tokens_per_s": 5.0,
    }


def test_nothing_judged_is_no_number_and_no_zero():
    metrics = rollout_metrics([group((1, StopReason.STOP, UNJUDGED))], seconds=1.0)
    assert math.isnan(metrics["reward/mean"]) and math.isnan(metrics["accuracy/train"])


def test_every_response_has_a_seed_of_its_own_and_the_same_in_every_run():
    keys = [f"{iteration}/{prompt}/{index}" for iteration in range(3) for prompt in "ab" for index in range(4)]
    seeds = [response_seed(seed, key) for seed in (0, 1) for key in keys]
    assert len(set(seeds)) == 48 and all(0 <= seed < 2**63 for seed in seeds)
    assert response_seed(7, "3/p/0") == 1494532429631663615


def test_the_seed_depends_on_the_iteration():
    engine = FakeEngine(TablePolicy(4))
    asked = []
    generate = engine.generate
    engine.generate = lambda requests, sampling: asked.append(requests) or generate(requests, sampling)
    phase = RolloutPhase(engine, FakeScorer(), decode_digits, Sampling(), responses_per_prompt=2, seed=7)
    for iteration in (0, 1):
        phase.start(digit_prompts(1), iteration=iteration)
    first, second = ({request.seed for request in requests} for requests in asked)
    assert len(first) == len(second) == 2 and not first & second


def test_an_engine_that_loses_a_response_is_a_fault():
    engine = FakeEngine(TablePolicy(4))
    generate = engine.generate
    engine.generate = lambda requests, sampling: generate(requests[1:], sampling)
    phase = RolloutPhase(engine, FakeScorer(), decode_digits, Sampling(), responses_per_prompt=2, seed=7)
    with pytest.raises(RolloutError, match="answered 7 of 8"):
        phase.start(digit_prompts(4), iteration=0).finish()
    assert not phase.scorer.collect()  # the next roll-out meets no scores of this one
