import json

import numpy as np
import pytest

from rl_reason.data.sampling import PrioritisedSampler, UniformSampler
from rl_reason.errors import CheckpointError, DataError
from rl_reason.types import Group, Prompt, Score, Verdict

PROMPTS = [Prompt(f"p{i}", f"q{i}", "1") for i in range(10)]
RIGHT, WRONG, UNJUDGED = Score(Verdict.RIGHT, 1.0), Score(Verdict.WRONG, 0.0), Score(Verdict.UNJUDGED, None)


def ids(prompts):
    return [prompt.id for prompt in prompts]


def test_uniform_deals_every_prompt_once_an_epoch_in_a_new_order():
    sampler = UniformSampler(PROMPTS, seed=0)
    first = ids(sampler.draw(5)) + ids(sampler.draw(5))
    second = ids(sampler.draw(5)) + ids(sampler.draw(5))
    assert sorted(first) == sorted(second) == sorted(ids(PROMPTS))
    assert first != second


def test_uniform_never_repeats_within_a_draw_and_passes_over_a_short_rest():
    sampler = UniformSampler(PROMPTS, seed=0)
    draws = [ids(sampler.draw(4)) for _ in range(50)]
    assert all(len(set(draw)) == 4 for draw in draws)
    assert sampler.state_dict()["epoch"] == 24, "two draws an epoch"
    counts = [sum(name in draw for draw in draws) for name in ids(PROMPTS)]
    assert min(counts) >= 12 and max(counts) <= 25, "20 expected"


def test_uniform_gives_the_whole_set_when_it_is_smaller_than_the_draw():
    assert sorted(ids(UniformSampler(PROMPTS, seed=0).draw(64))) == sorted(ids(PROMPTS))


@pytest.mark.parametrize("kind", [UniformSampler, PrioritisedSampler])
def test_a_restored_sampler_continues_as_the_uninterrupted_one(kind):
    sampler = kind(PROMPTS, seed=3)
    for _ in range(3):
        sampler.observe([Group(prompt, (), (RIGHT, WRONG)) for prompt in sampler.draw(4)])
    restored = kind(PROMPTS, seed=3)
    restored.load_state_dict(json.loads(json.dumps(sampler.state_dict())))
    expected = [ids(sampler.draw(4)) for _ in range(5)]
    assert [ids(restored.draw(4)) for _ in range(5)] == expected
    assert len({tuple(draw) for draw in expected}) > 1


@pytest.mark.parametrize("kind", [UniformSampler, PrioritisedSampler])
def test_state_of_another_prompt_set_is_refused(kind):
    state = kind(PROMPTS, seed=0).state_dict()
    with pytest.raises(CheckpointError, match="another prompt set"):
        kind(PROMPTS[1:], seed=0).load_state_dict(state)


@pytest.mark.parametrize("kind", [UniformSampler, PrioritisedSampler])
def test_empty_and_ambiguous_sets_are_refused(kind):
    with pytest.raises(DataError, match="no prompts"):
        kind([], seed=0)
    with pytest.raises(DataError, match=r"1 prompt ids are used more than once \(p0\)"):
        kind([*PROMPTS, PROMPTS[0]], seed=0)


def test_prioritised_weights_are_one_minus_the_success_rate():
    sampler = PrioritisedSampler(PROMPTS[:4], seed=0, floor=0.05)
    sampler.observe(
        [
            Group(PROMPTS[0], (), (RIGHT, RIGHT, RIGHT, WRONG)),
            Group(PROMPTS[1], (), (RIGHT, RIGHT, UNJUDGED, UNJUDGED)),
            Group(PROMPTS[2], (), (UNJUDGED,)),
        ]
    )
    np.testing.assert_allclose(sampler.weights(), [0.25, 0.05, 1.0, 1.0])
    sampler.observe([Group(PROMPTS[0], (), (WRONG, WRONG, WRONG, WRONG))])
    np.testing.assert_allclose(sampler.weights()[0], 1 - 3 / 8)


def test_prioritised_draws_in_proportion_to_the_weights():
    sampler = PrioritisedSampler(PROMPTS[:3], seed=0)
    sampler.observe([Group(PROMPTS[0], (), (RIGHT, RIGHT, RIGHT, WRONG)), Group(PROMPTS[1], (), (RIGHT, WRONG))])
    first = [sampler.draw(1)[0].id for _ in range(4000)]
    # Weights 0.25, 0.5, 1: chances 1/7, 2/7, 4/7; 4 standard deviations are 0.031 at most.
    np.testing.assert_allclose([first.count(f"p{i}") / 4000 for i in range(3)], [1 / 7, 2 / 7, 4 / 7], atol=0.031)
    assert all(len({prompt.id for prompt in sampler.draw(2)}) == 2 for _ in range(100))


def test_prioritised_floor_must_be_a_weight():
    with pytest.raises(DataError, match=r"\(0, 1\]"):
        PrioritisedSampler(PROMPTS, seed=0, floor=0.0)
