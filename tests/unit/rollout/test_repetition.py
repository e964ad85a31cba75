"""What counts as repeating, by hand."""

import pytest

from rl_reason.rollout.repetition import ends_in_repetition


@pytest.mark.parametrize(
    ("tokens", "repeats"),
    [
        ([7] * 3, True),
        ([7] * 2, False),
        ([9, 1, 2, 1, 2, 1, 2], True),
        ([1, 2, 1, 2, 1, 2, 9], False),
        ([1, 2, 3, 1, 2, 3, 1, 2], False),
        ([1, 2, 3, 4] * 3, False),
        ([], False),
    ],
)
def test_patterns_of_up_to_three_tokens_three_times(tokens, repeats):
    assert ends_in_repetition(tokens, max_pattern_tokens=3, min_repeats=3) is repeats


def test_the_default_lets_eight_repeats_of_64_tokens_end_a_response():
    pattern = list(range(64))
    assert ends_in_repetition([99, *pattern * 8])
    assert not ends_in_repetition(pattern * 7)
    assert not ends_in_repetition([*pattern, 64] * 8)
