"""Losses of reward models against numbers worked by hand."""

import math

import pytest
import torch

from rl_reason.policy.preference import bradley_terry_loss, label_loss


def test_bradley_terry_by_hand():
    chosen, rejected = torch.tensor([2.0, 0.5, 1.0]), torch.tensor([0.0, 1.5, 1.0])
    loss, sums = bradley_terry_loss(chosen, rejected, centre=0.0, pairs_total=6)
    # margins 2, -1, 0: log(1 + e^-2) = 0.1269280, log(1 + e) = 1.3132617, log 2 = 0.6931472; their sum over 6
    assert loss.item() == pytest.approx((0.1269280 + 1.3132617 + 0.6931472) / 6, rel=1e-6)
    assert sums["reward_model/accuracy"].item() == 1.5  # a tie is half right
    assert sums["reward_model/margin"].item() == pytest.approx(1.0)


def test_the_centre_pulls_the_middle_of_a_pair_to_nought():
    chosen = torch.tensor([3.0], requires_grad=True)
    rejected = torch.tensor([1.0], requires_grad=True)
    loss, _ = bradley_terry_loss(chosen, rejected, centre=0.25, pairs_total=1)
    assert loss.item() == pytest.approx(0.1269280 + 0.25 * 16, rel=1e-6)
    loss.backward()
    # d/dc: -(1 - sigmoid(2)) + 2 * 0.25 * 4 ; d/dr: +(1 - sigmoid(2)) + 2
    assert chosen.grad is not None and rejected.grad is not None
    assert chosen.grad.item() == pytest.approx(2 - 0.1192029, rel=1e-5)
    assert rejected.grad.item() == pytest.approx(2 + 0.1192029, rel=1e-5)


def test_without_it_a_common_shift_changes_nothing():
    chosen, rejected = torch.tensor([0.3, -1.0]), torch.tensor([0.1, 2.0])
    here, _ = bradley_terry_loss(chosen, rejected, centre=0.0, pairs_total=2)
    there, _ = bradley_terry_loss(chosen + 7, rejected + 7, centre=0.0, pairs_total=2)
    assert here.item() == pytest.approx(there.item(), rel=1e-6)


def test_label_loss_by_hand():
    rewards, labels = torch.tensor([1.0, -2.0, 0.0, 3.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    loss, sums = label_loss(rewards, labels, sequences_total=8)
    # log(1+e^-1) = 0.3132617, log(1+e^-2) = 0.1269280, log 2 = 0.6931472, log(1+e^3) = 3.0485874
    assert loss.item() == pytest.approx((0.3132617 + 0.1269280 + 0.6931472 + 3.0485874) / 8, rel=1e-6)
    assert sums["reward_model/accuracy"].item() == 3.0  # at 0 it says right


def test_extreme_rewards_stay_finite():
    rewards = torch.tensor([1e4, -1e4], requires_grad=True)
    loss, _ = label_loss(rewards, torch.tensor([0.0, 1.0]), sequences_total=2)
    assert loss.item() == pytest.approx(1e4)
    loss.backward()
    assert rewards.grad is not None and rewards.grad.tolist() == pytest.approx([0.5, -0.5])
    pair, _ = bradley_terry_loss(torch.tensor([-1e4]), torch.tensor([1e4]), centre=0.0, pairs_total=1)
    assert math.isfinite(pair.item()) and pair.item() == pytest.approx(2e4)
