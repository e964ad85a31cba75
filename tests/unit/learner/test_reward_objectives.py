"""Reward models on packed batches: the value at each sequence's end, pairs that stay together, packed as unpacked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForSequenceClassification

from rl_reason.errors import LearnerError
from rl_reason.learner.objectives import LabelObjective, PairObjective, Totals
from rl_reason.learner.packing import empty_sequence, pack, unit_positions, units
from rl_reason.learner.reward_model import PackedRewardModel
from rl_reason.policy.packed_attention import PACKED_ATTENTION, register_packed_attention
from rl_reason.types import TrainingSequence

CPU = torch.device("cpu")


def sequence(tokens: list[int], prompt: int, advantage: float, pair: int = -1) -> TrainingSequence:
    mask = np.arange(len(tokens)) >= prompt
    return TrainingSequence(np.array(tokens, np.int32), mask, np.zeros(len(tokens), np.float32), advantage, pair)


def pairs() -> list[TrainingSequence]:
    """Two pairs with two prompts, the partners far apart in the list."""
    return [
        sequence([1, 2, 3, 4, 9], 2, 1.0, pair=7),
        sequence([5, 6, 7, 9], 1, 0.0, pair=8),
        sequence([1, 2, 8, 9], 2, 0.0, pair=7),
        sequence([5, 3, 2, 2, 9], 1, 1.0, pair=8),
    ]


def test_pairs_are_matched_by_number_and_read_at_their_ends() -> None:
    batch = pack(pairs(), CPU)
    counts = [3, 3, 2, 4]
    rewards = torch.full((12,), 99.0)
    for end, value in zip(np.cumsum(counts) - 1, (2.0, 1.5, 0.0, 0.5), strict=True):
        rewards[int(end)] = value
    loss, metrics = PairObjective(centre=0.0)(rewards, batch, Totals(sequences=8, tokens=1))
    # pair 7: 2 against 0, pair 8: 0.5 against 1.5; of four pairs in all
    assert loss.item() == pytest.approx((0.1269280 + 1.3132617) / 4, rel=1e-6)
    assert metrics["reward_model/accuracy"].item() == 0.25
    assert metrics["reward_model/margin"].item() == pytest.approx(0.25)


def test_labels_are_the_advantages() -> None:
    batch = pack([sequence([1, 2, 9], 1, 1.0), sequence([3, 4, 9], 1, 0.0)], CPU)
    loss, metrics = LabelObjective()(torch.tensor([0.0, 1.0, 0.0, -2.0]), batch, Totals(sequences=4, tokens=1))
    assert loss.item() == pytest.approx((0.3132617 + 0.1269280) / 4, rel=1e-6)
    assert metrics["reward_model/accuracy"].item() == 0.5


@pytest.mark.parametrize("objective", [PairObjective(centre=0.1), LabelObjective()])
def test_a_micro_batch_without_work_has_no_loss_but_a_gradient(objective: PairObjective | LabelObjective) -> None:
    rewards = torch.zeros(0, requires_grad=True)
    loss, _ = objective(rewards, pack([empty_sequence()], CPU), Totals(sequences=2, tokens=1))
    loss.backward()
    assert loss.item() == 0.0 and rewards.grad is not None


def test_a_sequence_without_its_partner_is_a_fault() -> None:
    with pytest.raises(LearnerError, match="without its partner"):
        PairObjective(centre=0.0)(torch.zeros(3), pack(pairs()[:1], CPU), Totals(sequences=2, tokens=1))


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("capacity", [1, 5, 9, 1000])
def test_pairs_are_never_parted(share: bool, capacity: int) -> None:
    sequences = [*pairs(), sequence([1, 2, 6, 9], 2, 1.0), sequence([5, 1, 9], 1, 0.0)]
    made = units(sequences, capacity=capacity, share_prompts=share)
    assert sorted(index for unit in made for index in unit) == list(range(6))
    for number in (7, 8):
        partners = {index for index, each in enumerate(sequences) if each.pair == number}
        assert any(partners <= set(unit) for unit in made)


def test_positions_of_a_unit() -> None:
    pair = [pairs()[0], pairs()[2]]
    assert unit_positions(pair, share_prompts=False) == 4 + 3
    assert unit_positions(pair, share_prompts=True) == 2 + 2 + 1


def make_model() -> PackedRewardModel:
    register_packed_attention()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        num_labels=1,
        pad_token_id=39,
        initializer_range=0.2,
        attn_implementation=PACKED_ATTENTION,
    )
    return PackedRewardModel(Qwen2ForSequenceClassification(config).double())


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("objective", [PairObjective(centre=0.1), LabelObjective()])
def test_packed_is_unpacked(share: bool, objective: PairObjective | LabelObjective) -> None:
    packed = make_model()
    rewards, entropies = packed(pack(pairs(), CPU, share_prompts=share), 1.0)
    loss, _ = objective(rewards, pack(pairs(), CPU, share_prompts=share), Totals(sequences=4, tokens=1))
    loss.backward()
    assert len(entropies) == 0

    plain = make_model()
    plain.model.set_attn_implementation("eager")
    ends = torch.stack(
        [plain.model(input_ids=torch.tensor([each.tokens[:-1].tolist()])).logits[0, 0] for each in pairs()]
    ).float()
    if isinstance(objective, PairObjective):
        better, worse = ends[[0, 3]], ends[[2, 1]]
        by_hand = (-torch.log(torch.sigmoid(better - worse)) + 0.1 * (better + worse) ** 2).mean()
    else:
        by_hand = torch.nn.functional.binary_cross_entropy_with_logits(ends, torch.tensor([1.0, 0.0, 0.0, 1.0]))
    by_hand.backward()
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-6)
    for ours, theirs in zip(packed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)
