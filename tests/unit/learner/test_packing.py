"""Packing by hand, and what must hold for any lengths."""

from __future__ import annotations

import numpy as np
import torch

from rl_reason.learner.packing import bins, minibatches, pack, plan, shared_positions, shares, units
from rl_reason.types import TrainingSequence


def sequence(tokens: list[int], mask: list[int], logprobs: list[float], advantage: float) -> TrainingSequence:
    return TrainingSequence(
        np.array(tokens, np.int32), np.array(mask, np.bool_), np.array(logprobs, np.float32), advantage
    )


def test_pack_by_hand() -> None:
    batch = pack(
        [sequence([5, 6, 7], [0, 0, 1], [0, 0, -0.5], 1.0), sequence([8, 9, 1, 2], [0, 1, 0, 1], [0, -1, 0, -2], -2.0)],
        torch.device("cpu"),
    )
    assert batch.tokens.tolist() == [[5, 6, 8, 9, 1]]
    assert batch.positions.tolist() == [[0, 1, 0, 1, 2]]
    assert batch.segments.cu_seqlens.tolist() == [0, 2, 5]
    assert batch.segments.lengths == (2, 3) and batch.segments.longest == 3
    # 6 predicts 7; 8 predicts 9; 1 predicts 2
    assert batch.predicting.tolist() == [1, 2, 4]
    assert batch.targets.tolist() == [7, 9, 2]
    assert batch.behaviour_logprobs.tolist() == [-0.5, -1.0, -2.0]
    assert batch.sequence_index.tolist() == [0, 1, 1]
    assert batch.advantages.tolist() == [1.0, -2.0]
    assert batch.sequences == 2


def test_first_fit_decreasing_by_hand() -> None:
    # 7 | 6 | 5 | 4 goes with 6, 3 with 7, 2 with 5; 20 is too long for any and alone
    assert bins([4, 7, 2, 20, 6, 3, 5], 10) == [[3], [1, 5], [4, 0], [6, 2]]


def test_shares_are_balanced() -> None:
    assert shares([9, 1, 5, 4, 1], 2) == [[0, 1], [2, 3, 4]]


def test_plan_covers_everything_once_within_the_budget_with_as_many_micro_batches_on_every_rank() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 101).tolist()
    for ranks in (1, 2, 3):
        planned = plan(lengths, ranks=ranks, micro_batch_tokens=64)
        assert sorted(i for rank in planned for chosen in rank for i in chosen) == list(range(101))
        assert max(sum(lengths[i] for i in chosen) for rank in planned for chosen in rank) <= 64
        assert len({len(rank) for rank in planned}) == 1
        tokens = [sum(lengths[i] for chosen in rank for i in chosen) for rank in planned]
        assert max(tokens) - min(tokens) < 50


def test_a_rank_without_work_has_empty_micro_batches() -> None:
    assert plan([10, 10, 10], ranks=2, micro_batch_tokens=10) == [[[0], [2]], [[1], []]]


def test_minibatches_depend_on_seed_step_and_epoch_only() -> None:
    first = minibatches(10, parts=3, seed=1, step=2, epoch=0)
    assert sorted(i for part in first for i in part) == list(range(10))
    assert sorted(len(part) for part in first) == [3, 3, 4]
    assert first == minibatches(10, parts=3, seed=1, step=2, epoch=0)
    assert first != minibatches(10, parts=3, seed=1, step=3, epoch=0)
    assert first != minibatches(10, parts=3, seed=1, step=2, epoch=1)
    assert len(minibatches(2, parts=5, seed=0, step=0, epoch=0)) == 2


def shared_prompt_sequences():
    prompt = [7, 8, 9]
    responses = [[1, 2], [3], [4, 5, 6]]
    sequences = []
    for number, response in enumerate(responses):
        tokens = np.array(prompt + response, np.int32)
        mask = np.arange(len(tokens)) >= 3
        sequences.append(
            TrainingSequence(tokens, mask, np.where(mask, -0.5 - number, 0).astype(np.float32), number + 1.0)
        )
    return sequences


def test_a_shared_prompt_is_laid_out_once():
    batch = pack(shared_prompt_sequences(), torch.device("cpu"), share_prompts=True)
    assert batch.tokens.tolist() == [[7, 8, 9, 1, 4, 5]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 3, 4]]
    assert batch.segments.lengths == (3, 1, 2) and batch.segments.continues == (None, 0, 0)
    assert batch.predicting.tolist() == [2, 3, 2, 2, 4, 5]
    assert batch.targets.tolist() == [1, 2, 3, 4, 5, 6]
    assert batch.sequence_index.tolist() == [0, 0, 1, 2, 2, 2]
    assert batch.advantages.tolist() == [1.0, 2.0, 3.0]


def test_sharing_keeps_the_order_of_sequences_whose_prompts_alternate():
    first, second, third = shared_prompt_sequences()
    other = TrainingSequence(np.array([5, 1], np.int32), np.array([False, True]), np.zeros(2, np.float32), 9.0)
    batch = pack([first, other, second, third], torch.device("cpu"), share_prompts=True)
    assert batch.tokens.tolist() == [[7, 8, 9, 1, 4, 5, 5]]
    assert batch.targets.tolist() == [1, 2, 1, 3, 4, 5, 6]
    assert batch.predicting.tolist() == [2, 3, 6, 2, 2, 4, 5]
    assert batch.advantages.tolist() == [1.0, 9.0, 2.0, 3.0]


def test_units_hold_responses_of_one_prompt_up_to_the_capacity():
    sequences = shared_prompt_sequences()
    assert units(sequences, capacity=100, share_prompts=True) == [[0, 1, 2]]
    assert units(sequences, capacity=4, share_prompts=True) == [[0, 1], [2]]
    assert units(sequences, capacity=100, share_prompts=False) == [[0], [1], [2]]
    assert shared_positions(sequences) == 6
