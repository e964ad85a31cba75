"""From scored groups to training sequences, by hand: which token counts, which response is left out, what it earns."""

import math

import numpy as np

from rl_reason.policy.advantages import mean_baseline
from rl_reason.rollout.assemble import Assembler, training_sequence
from rl_reason.types import Group, Prompt, Score, Segment, StopReason, Trajectory, Verdict

PROMPT = Prompt("p", "1+1", "2", tokens=(10, 11, 12))
SCORES = {
    "right": Score(Verdict.RIGHT, 1.0),
    "wrong": Score(Verdict.WRONG, 0.0),
    "unjudged": Score(Verdict.UNJUDGED, None, reason="timed out"),
}


def trajectory(index, length, prompt=PROMPT):
    tokens = np.arange(20, 20 + length, dtype=np.int32)
    logprobs = -np.arange(1, length + 1, dtype=np.float32) / 8
    return Trajectory(prompt, index, (Segment(tokens, logprobs, version=4),), StopReason.STOP, "text")


def group(*responses, prompt=PROMPT):
    """(verdict, length) of each response."""
    trajectories = tuple(trajectory(index, length, prompt) for index, (_, length) in enumerate(responses))
    return Group(prompt, trajectories, tuple(SCORES[verdict] for verdict, _ in responses))


def nothing(lengths, correct, iteration):
    return np.zeros(len(lengths))


def test_the_loss_counts_every_response_token_the_end_included_and_no_prompt_token():
    sequence = training_sequence(trajectory(0, 2), 0.5)
    assert sequence.tokens.tolist() == [10, 11, 12, 20, 21]
    assert sequence.loss_mask.tolist() == [False, False, False, True, True]
    assert sequence.behaviour_logprobs.tolist() == [0.0, 0.0, 0.0, -0.125, -0.25]
    assert sequence.advantage == 0.5


def test_a_response_of_several_segments_is_one_sequence():
    parts = (
        Segment(np.array([20, 21], np.int32), np.array([-1.0, -2.0], np.float32), version=1),
        Segment(np.array([22], np.int32), np.array([-4.0], np.float32), version=2),
    )
    sequence = training_sequence(Trajectory(PROMPT, 0, parts, StopReason.STOP, ""), 1.0)
    assert sequence.tokens.tolist() == [10, 11, 12, 20, 21, 22]
    assert sequence.behaviour_logprobs.tolist() == [0.0, 0.0, 0.0, -1.0, -2.0, -4.0]


def test_the_unjudged_are_in_no_baseline_and_in_no_batch():
    batch = Assembler(mean_baseline, nothing)([group(("right", 1), ("unjudged", 2), ("wrong", 3))], 0)
    # The mean of 1 and 0, not of 1, 0 and 0.
    assert [sequence.advantage for sequence in batch.sequences] == [0.5, -0.5]
    assert [len(sequence.tokens) for sequence in batch.sequences] == [4, 6]
    assert batch.advantages[0][0] == 0.5 and math.isnan(batch.advantages[0][1]) and batch.advantages[0][2] == -0.5
    assert batch.metrics["rollout/left_out_count"] == 1.0
    assert batch.metrics["advantage/abs_mean"] == 0.5


def test_a_group_with_one_judged_response_is_left_out_whole():
    batch = Assembler(mean_baseline, nothing)(
        [group(("right", 1), ("unjudged", 1)), group(("right", 1), ("wrong", 1))], 0
    )
    assert len(batch.sequences) == 2 and batch.metrics["rollout/left_out_count"] == 2.0


def test_groups_of_one_opinion_stay_since_the_squared_ratio_holds_them():
    batch = Assembler(mean_baseline, nothing)([group(("right", 1), ("right", 2)), group(("right", 1), ("wrong", 1))], 0)
    assert [sequence.advantage for sequence in batch.sequences] == [0.0, 0.0, 0.5, -0.5]
    assert batch.metrics["advantage/zero_group_fraction"] == 0.5


def test_no_judged_response_at_all_gives_an_empty_batch():
    batch = Assembler(mean_baseline, nothing)([group(("unjudged", 1), ("unjudged", 1))], 0)
    assert batch.sequences == [] and batch.metrics["advantage/abs_mean"] == 0.0


def test_the_length_reward_sees_the_judged_alone_and_comes_before_the_baseline():
    seen = []

    def pressure(lengths, correct, iteration):
        seen.append((list(lengths), list(correct), iteration))
        return np.array([0.25, -0.75])

    batch = Assembler(mean_baseline, pressure)([group(("right", 5), ("unjudged", 7), ("wrong", 9))], 3)
    assert seen == [([5, 9], [True, False], 3)]
    # Rewards 1.25 and -0.75, mean 0.25.
    assert [sequence.advantage for sequence in batch.sequences] == [1.0, -1.0]
