"""From points to recipes and paths, in literal numbers; NSGA-II's order."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from rl_reason.errors import ConfigError
from rl_reason.merging.evolution.candidate import Outcome
from rl_reason.merging.evolution.data_flow_space import DataFlowSpace, Matrix, Network, NoScaling, visited
from rl_reason.merging.evolution.objectives import accuracy, accuracy_and_tokens
from rl_reason.merging.evolution.parameter_space import ParameterSpace
from rl_reason.merging.evolution.pareto import crowding, fronts, ranks, undominated

THREE = (Path("a"), Path("b"), Path("c"))


def test_three_models_are_six_variables_that_start_at_one_half() -> None:
    space = ParameterSpace(THREE, layers=32, base=Path("base"))
    assert [one.name for one in space.variables] == [
        "weight/0/0", "weight/1/0", "weight/2/0", "density/0/0", "density/1/0", "density/2/0",
    ]  # fmt: skip
    assert {(one.initial, one.low, one.high) for one in space.variables} == {(0.5, 0.0, 1.0)}
    recipe = space.candidate(np.array([0.7, 0.6, 0.5, 0.9, 0.8, 0.4])).content
    assert recipe == {
        "merge_method": "dare_ties",
        "models": [
            {"model": "a", "parameters": {"weight": 0.7, "density": 0.9}},
            {"model": "b", "parameters": {"weight": 0.6, "density": 0.8}},
            {"model": "c", "parameters": {"weight": 0.5, "density": 0.4}},
        ],
        "base_model": "base",
        "parameters": {"normalize": False},
    }


def test_groups_give_neighbouring_layers_one_value() -> None:
    space = ParameterSpace((Path("b"),), layers=4, method="slerp", base=Path("a"), groups=2)
    assert space.candidate(np.array([0.25, 0.75])).content == {
        "merge_method": "slerp",
        "models": [{"model": "b"}],
        "base_model": "a",
        "parameters": {"t": {"layers": [0.25, 0.25, 0.75, 0.75]}},
    }
    with pytest.raises(ConfigError, match="1, 2, 4; not 3"):
        ParameterSpace((Path("b"),), layers=4, method="slerp", groups=3)
    with pytest.raises(ConfigError, match="'sce' is not searched"):
        ParameterSpace((Path("b"),), layers=4, method="sce")


def test_first_and_last_layer_of_the_first_model_are_forced() -> None:
    assert visited([False] * 8, 4, 2) == [(0, 0), (1, 7)]
    assert visited([True, False, True, False, False, True, False, False], 4, 2) == [(0, 0), (2, 2), (1, 5)]
    assert visited([False, False, True, False, False, False, False, True], 4, 2) == [(0, 0), (2, 2), (3, 7), (1, 7)]


def test_indicators_start_at_zero_and_at_two_sigma_for_the_first_models_first_pass() -> None:
    space = DataFlowSpace((2, 1), repeats=2, scaling=NoScaling(), sigma=0.1)
    assert [one.initial for one in space.variables] == [0.2, 0.2, 0, 0, 0, 0]
    assert all(one.binary and (one.low + one.high) / 2 == 0 for one in space.variables)
    with pytest.raises(ConfigError, match=r"at most 0\.25"):
        DataFlowSpace((2, 1), sigma=0.3)


def test_a_matrix_scales_by_the_layer_before_and_unused_scales_make_no_other_candidate() -> None:
    space = DataFlowSpace((2, 1), repeats=1, scaling=Matrix())
    indicators, w = [0.5, -0.5, 0.5], np.arange(9) / 10  # path: A0, B0 (layer 2), A1 (layer 1)
    made = space.candidate(np.array([*indicators, *w]))
    assert made.content == {"path": [[0, 0], [1, 0], [0, 1]], "scales": [1.0, 0.2, 0.7]}  # W_02, W_21
    other = w.copy()
    other[[0, 1, 3, 4, 5, 6, 8]] = 9.0
    assert space.candidate(np.array([*indicators, *other])).key == made.key
    assert len(space.variables) == 3 + 9


def test_the_published_sizes() -> None:
    assert len(DataFlowSpace((32, 32)).variables) == 192 + 64 * 64
    assert len(DataFlowSpace((32, 32), scaling=Network(8)).variables) == 192 + 41


def test_the_network_by_hand() -> None:
    """U = [[1, 2, 4]], b = 0.5, v = 2, c = 0.25 at i = 1, j = 2 of 4 layers, t = 3 of 8 slots."""
    scale = Network(1).at(np.array([1, 2, 4, 0.5, 2, 0.25]), 4, 8)
    assert scale(1, 2, 3) == pytest.approx(1 + 2 * math.tanh(0.25 + 1 + 1.5 + 0.5) + 0.25)
    start = np.array([one.initial for one in Network(8).variables(4)])
    assert Network(8).at(start, 4, 8)(1, 2, 3) == 1.0


def test_fronts_crowding_and_order_by_hand() -> None:
    points = np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 1.0], [3.0, 4.0], [5.0, 5.0]])
    assert fronts(points) == [[0, 1, 2], [3], [4]]
    np.testing.assert_array_equal(crowding(points[:3]), [np.inf, 2.0, np.inf])
    assert ranks(points.tolist()) == [0.0, 2.0, 1.0, 3.0, 4.0]
    assert undominated([(1.0, 5.0), (2.0, 3.0), (4.0, 1.0), (3.0, 4.0), (2.0, 3.0)]) == [0, 1, 2]


def test_failures_rank_below_an_accuracy_of_zero() -> None:
    outcomes = [Outcome(0.0, 9.0), Outcome(None, failure="x"), Outcome(0.5, 9.0)]
    assert accuracy(outcomes) == [0.0, math.inf, -0.5]
    assert accuracy_and_tokens(outcomes) == [1.0, math.inf, 0.0]
