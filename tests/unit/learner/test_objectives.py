"""Objectives on a packed batch by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rl_reason.learner.objectives import LikelihoodObjective, MirrorDescentObjective, Totals
from rl_reason.learner.packing import MicroBatch, pack
from rl_reason.types import TrainingSequence


def batch() -> MicroBatch:
    return pack(
        [
            TrainingSequence(np.arange(3, dtype=np.int32), np.array([False, True, True]), np.float32([0, -1, -1]), 1.0),
            TrainingSequence(np.arange(2, dtype=np.int32), np.array([False, True]), np.float32([0, -2]), -0.5),
        ],
        torch.device("cpu"),
    )


def test_mirror_descent_squares_the_ratio_of_whole_sequences() -> None:
    logprobs = torch.tensor([-0.5, -0.75, -3.0])
    loss, metrics = MirrorDescentObjective(tau=0.4)(logprobs, batch(), Totals(sequences=4, tokens=99))
    # sequence 1: -1 * -1.25 + 0.2 * (-1.25 + 2)^2 = 1.3625; sequence 2: 0.5 * -3 + 0.2 * (-3 + 2)^2 = -1.3; / 4
    assert loss.item() == pytest.approx(0.015625)
    assert metrics["policy/sequence_log_ratio"].item() == pytest.approx((0.75 - 1.0) / 4)


def test_likelihood_looks_at_neither_advantage_nor_reference() -> None:
    loss, metrics = LikelihoodObjective()(torch.tensor([-0.5, -0.75, -3.0]), batch(), Totals(sequences=4, tokens=10))
    assert loss.item() == pytest.approx(0.425)
    assert metrics == {}
