"""CMA-ES at the published size: W of 64 layers beside three repetitions of their indicators."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from rl_reason.merging.evolution.data_flow_space import DataFlowSpace, Matrix
from rl_reason.merging.evolution.strategy import FULL, cma_es

VARIABLES = DataFlowSpace((32, 32), 3, Matrix()).variables


def distances(generations: int, seed: int) -> list[float]:
    """The best of each generation, to a point where a quarter of the indicators are on and W is 1.2."""
    binary = np.array([one.binary for one in VARIABLES])
    target = np.where(binary, np.where(np.arange(len(VARIABLES)) % 4 == 0, 0.5, -0.5), 1.2)
    strategy = cma_es(VARIABLES, sigma=1 / 6, population=128, seed=seed)
    best: list[float] = []
    for _ in range(generations):
        points = strategy.ask()
        values = [float(np.abs(np.where(binary, np.sign(one) / 2, one) - target).sum()) for one in points]
        strategy.tell(values)
        best.append(min(values))
    return best


def test_the_published_size_searches_in_little_memory() -> None:
    assert len(VARIABLES) == 4288 > FULL
    tracemalloc.start()
    found = distances(40, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    assert found[-1] < 0.8 * found[0]
    assert found == distances(40, seed=0) != distances(40, seed=1)


def test_every_point_is_within_bounds_and_binary_variables_take_their_two_values() -> None:
    low, high = (np.array([getattr(one, end) for one in VARIABLES]) for end in ("low", "high"))
    points = np.array(cma_es(VARIABLES, sigma=1 / 6, population=16, seed=0).ask())
    assert points.shape == (16, 4288) and (points >= low).all() and (points <= high).all()
    assert set(np.unique(points[:, :192])) == {-0.5, 0.5}
    assert len(np.unique(points[:, 192:])) > 60_000


@pytest.mark.parametrize("count", [FULL, FULL + 1])
def test_continuous_variables_alone(count: int) -> None:
    variables = VARIABLES[192 : 192 + count]
    strategy = cma_es(variables, sigma=1 / 6, population=4, seed=0)
    for _ in range(2):
        points = strategy.ask()
        assert np.shape(points) == (4, count)
        strategy.tell([float(one.sum()) for one in points])
