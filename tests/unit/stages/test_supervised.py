"""Every example once an epoch, in an order that follows from seed and step alone."""

from rl_reason.stages.supervised import batch_indices


def test_each_epoch_sees_everything_once_in_another_order():
    drawn = [index for step in range(5) for index in batch_indices(step, total=10, size=4, seed=7)]
    first, second = drawn[:10], drawn[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_a_batch_depends_on_seed_and_step_alone():
    assert batch_indices(3, total=10, size=4, seed=7) == batch_indices(3, total=10, size=4, seed=7)
    assert batch_indices(3, total=10, size=4, seed=7) != batch_indices(3, total=10, size=4, seed=8)


def test_a_batch_larger_than_the_set_goes_round():
    drawn = batch_indices(0, total=3, size=7, seed=0)
    assert sorted(drawn[:6]) == [0, 0, 1, 1, 2, 2] and len(drawn) == 7
