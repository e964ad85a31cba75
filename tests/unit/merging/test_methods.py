"""One literal example for each method's equation, by hand; and what all of them have in common."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rl_reason.merging.methods import METHODS
from rl_reason.merging.methods.breadcrumbs import breadcrumbs
from rl_reason.merging.methods.dare import drop
from rl_reason.merging.methods.della import chances, magprune
from rl_reason.merging.methods.karcher import karcher
from rl_reason.merging.methods.linear import linear
from rl_reason.merging.methods.method import Block, Settings
from rl_reason.merging.methods.model_stock import model_stock
from rl_reason.merging.methods.multislerp import multislerp
from rl_reason.merging.methods.sce import sce
from rl_reason.merging.methods.slerp import slerp
from rl_reason.merging.methods.task_vectors import Place, combine
from rl_reason.merging.methods.ties import ties, trim


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def close(found: np.ndarray, *wanted: float) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, row(*wanted), rtol=1e-6, atol=1e-7)


def test_linear_is_the_weighted_mean_or_sum():
    close(linear([row(1, 2), row(3, 6)], [1, 3]), 2.5, 5)
    close(linear([row(1, 2), row(3, 6)], [1, 3], normalize=False), 10, 20)
    close(linear([row(1, 2), row(3, 6)], [1, -1]), -2, -4)  # weights that cancel out are taken as they are


def test_slerp_turns_by_the_share_of_the_angle():
    half = math.sqrt(0.5)
    close(slerp(row(1, 0), row(0, 1), 0.5), half, half)
    close(slerp(row(2, 0), row(0, 1), 1 / 3), 2 * math.sin(math.pi / 3), math.sin(math.pi / 6))
    close(slerp(row(1, 0), row(3, 0), 0.25), 1.5, 0)  # in one direction: linear
    close(slerp(row(0, 0), row(3, 0), 0.25), 0.75, 0)  # zero has no direction


def test_task_arithmetic_adds_up_weighted_differences():
    deltas = [row(1, -2), row(3, 4)]
    close(combine(deltas, [0.5, 0.25], elect=False, normalize=False), 1.25, 0)
    close(combine(deltas, [0.5, 0.25], elect=False, normalize=True), 5 / 3, 0)


def test_trim_keeps_the_largest_and_of_equals_the_first():
    close(trim(row(1, -4, 3, 0.5), 0.5), 0, -4, 3, 0)
    close(trim(row(2, -2, 2, 1), 0.5), 2, -2, 0, 0)
    close(trim(row(1, 2), 0.4), 0, 0)
    close(trim(row(1, 2), 1.0), 1, 2)


def test_ties_elects_signs_and_averages_what_agrees():
    base = row(0, 0, 0, 10)
    first, second = row(4, 1, -3, 10), row(2, -5, -1, 12)
    # all kept: signs +, -, -, +; means over those that agree: (4 + 2) / 2, -5, (-3 - 1) / 2, 2 (a zero does not count)
    close(ties([first, second], base, [1, 1], [1, 1]), 3, -5, -2, 12)
    # half kept: (4, 0, -3, 0) and (2, -5, 0, 0)
    close(ties([first, second], base, [1, 1], [0.5, 0.5], scale=2), 6, -10, -6, 10)
    close(ties([first, second], base, [3, 1], [1, 1]), 3.5, -5, -2.5, 12)


def test_the_disjoint_sum_without_normalization_weights_every_part():
    close(combine([row(4, 1), row(2, -5)], [0.5, 0.25], elect=True, normalize=False), 2.5, -1.25)


def test_dare_divides_what_is_kept_by_the_density():
    close(drop(row(1, 2, 3, 4), np.array([True, False, True, False]), 0.5), 2, 0, 6, 0)


def test_della_keeps_larger_elements_more_often():
    np.testing.assert_allclose(chances(3, 0.5, 0.2), [0.4, 0.5, 0.6], rtol=1e-6)
    close(chances(1, 0.5, 0.2), 0.5)
    # magnitudes 3, 1, 2 have ranks 2, 0, 1; draws by rank: only those of ranks 1 and 2 are below 0.5 and 0.6
    draws = np.array([40_000, 20_000, 30_000], np.uint16)
    close(magprune(row(3, -1, 2), draws, 0.5, 0.2), 3 / 0.6, 0, 2 / 0.5)
    close(magprune(row(3, -1, 2), draws, 0.5, 0.2, rescale=False), 3, 0, 2)


def test_breadcrumbs_drops_both_ends():
    close(breadcrumbs(row(5, -1, 4, 3, -2), density=0.4, gamma=0.2), 0, 0, 4, 3, 0)


def test_model_stock_goes_as_far_as_the_angle_says():
    # task vectors (1, 1) and (1, 0): cos = 1/sqrt(2), t = 2 cos / (1 + cos)
    t = math.sqrt(2) / (1 + math.sqrt(0.5))
    close(model_stock([row(2, 2), row(2, 1)], row(1, 1)), 1 + t, 1 + t / 2)


def test_model_stock_of_opposite_task_vectors_is_the_base():
    close(model_stock([row(2, 3), row(0, -1)], row(1, 1)), 1, 1)


def test_sce_weighs_by_squares_and_leaves_out_what_disagrees():
    # squares 4 + 1 = 5 and 4 + 16 = 20: weights 0.2, 0.8; second element: 0.2 - 3.2 < 0, so -4 alone
    close(sce([row(2, 1), row(2, -4)], row(0, 0)), 2, -4)
    # 3 - 2 - 2 < 0, though 9 * 3 > 4 * 2 + 4 * 2: the plain sum elects
    close(sce([row(3), row(-2), row(-2)], row(0)), -2)
    # the half with the largest variance is the second element: squares 1 and 16
    close(sce([row(2, 1), row(2, 4)], row(0, 0), select_topk=0.5), 0, (1 * 1 + 16 * 4) / 17)


def test_multislerp_is_the_mean_of_directions_with_the_mean_of_lengths():
    half, fifth = math.sqrt(0.5), math.sqrt(0.2)
    close(multislerp([row(1, 0), row(0, 4)], [2, 1]), 2 * 2 * fifth, 2 * fifth)  # lengths 1 and 4: 2 on average
    close(multislerp([row(1, 0), row(0, 1)], [1, 1]), half, half)
    close(multislerp([row(2, 0), row(0, 2)], [2, 2]), 2 * half, 2 * half)


def test_karcher_of_three_axes_is_their_middle_and_of_lengths_the_mean():
    third = 2 / math.sqrt(3)
    close(karcher([row(1, 0, 0), row(0, 2, 0), row(0, 0, 3)]), third, third, third)


def inputs(seed: int, shape: tuple[int, ...], models: int) -> tuple[list[np.ndarray], np.ndarray]:
    random = np.random.default_rng(seed)
    base = random.standard_normal(shape, np.float32)
    return [base + np.float32(0.1) * random.standard_normal(shape, np.float32) for _ in range(models)], base


def settings_of(name: str, models: int) -> Settings:
    method = METHODS[name]
    given = {"weight": 0.6, "density": 0.5, "gamma": 0.05, "t": 0.3, "epsilon": 0.2}

    def filled(parameters: dict) -> dict[str, float]:
        return {key: given.get(key, one.default) for key, one in parameters.items()}

    return Settings((filled(dict(method.per_model)),) * models, filled(dict(method.overall)), seed=5)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_tensor_comes_out_the_same_however_it_is_cut(name: str, cut: int):
    """But for random masks, which are drawn by block: blocks are a function of the tensor's shape alone."""
    method = METHODS[name]
    count = method.models[1] or 3
    models, base = inputs(1, (40, 6), count)
    settings = settings_of(name, count)
    if {"epsilon"} & set(method.per_model) or name.startswith("dare"):
        settings = Settings(tuple({**one, "density": 1.0} for one in settings.per_model), settings.overall, 5)

    def merged(rows: int) -> np.ndarray:
        def blocks(only: int | None = None):
            for start in range(0, 40, rows):
                part = [model[start : start + rows] for k, model in enumerate(models) if only in (None, k)]
                with_base = base[start : start + rows] if method.base != "none" else None
                yield Block(tuple(part), with_base, start, (40, 6))

        measured = method.measure(blocks, settings)
        return np.concatenate([method.merge(block, settings, measured) for block in blocks()])

    np.testing.assert_allclose(merged(cut), merged(40), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["dare_linear", "dare_ties", "della", "della_linear"])
def test_random_masks_are_those_of_the_seed_and_keep_the_mean(name: str):
    method = METHODS[name]
    models, base = inputs(2, (300, 100), 1)
    one = settings_of(name, 1)
    block = Block(tuple(models), base, 0, (300, 100))

    def merged(seed: int) -> np.ndarray:
        overall = {**one.overall, "normalize": 0.0}
        return method.merge(block, Settings(({**one.per_model[0], "weight": 1.0},), overall, seed), [None])

    first = merged(1) - base
    assert np.array_equal(merged(1), merged(1)) and not np.array_equal(merged(1), merged(2))
    delta = models[0] - base
    assert np.mean(first != 0) == pytest.approx(0.5, abs=0.01)
    assert np.vdot(first, delta) / np.vdot(delta, delta) == pytest.approx(1, abs=0.02)


def test_random_masks_stay_what_they_are():
    """Whoever merges again with the same seed gets the same model: this changes only with a major version."""
    drawn = Place(5, 1, 40, rescale=True).random_16_bits(6)
    assert drawn.tolist() == [14590, 20448, 39520, 46173, 47872, 65293]


def test_no_method_writes_to_its_sources():
    for name, method in METHODS.items():
        count = method.models[1] or 3
        models, base = inputs(3, (4, 5), count)
        for array in (*models, base):
            array.flags.writeable = False
        block = Block(tuple(models), base if method.base != "none" else None, 0, (4, 5))
        settings = settings_of(name, count)
        measured = method.measure(lambda only=None, block=block: [_only(block, only)], settings)
        assert np.isfinite(method.merge(block, settings, measured)).all(), name


def _only(block: Block, only: int | None) -> Block:
    models = block.models if only is None else (block.models[only],)
    return Block(models, block.base, block.start, block.shape)
