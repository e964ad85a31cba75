"""The rules of test-case generation, with numbers worked by hand."""

import pytest

from rl_reason.data.test_cases import Case, Exit, Rules, canonical, expected_output, funnel, passing


def test_the_papers_numbers_are_the_defaults():
    assert Rules() == Rules(cases=50, solutions=10, agree=7, least_cases=40, pass_all=9)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (["4"] * 7 + ["5"] * 3, "4"),
        (["4"] * 6 + ["5"] * 4, None),
        (["4\n"] * 4 + ["4  \n\n"] * 3 + [None] * 3, "4"),
        ([None] * 10, None),
        (["1\n2"] * 7 + ["1 2"] * 3, "1\n2"),
        ([""] * 8 + ["x"] * 2, ""),
        ([], None),
    ],
)
def test_a_case_is_valid_when_seven_of_ten_agree(outputs, expected):
    assert expected_output(outputs, agree=7) == expected


def test_solutions_pass_only_with_every_case():
    cases = [Case("1", "a"), Case("2", "b")]
    outputs = [["a", "a ", "a", None], ["b", "x", None, "b"]]
    assert passing(outputs, cases) == 1
    assert passing([["a", "a"], ["b\n", "b"]], cases) == 2
    assert passing([], []) == 0


def test_outputs_differ_by_more_than_white_space_at_ends():
    assert canonical("1  \n2\n\n") == "1\n2"
    assert canonical(" 1") != canonical("1")
    assert canonical("1\n\n2") != canonical("1\n2")


def test_the_funnel_counts_what_is_left_after_each_step():
    exits = [Exit.SPECIAL_JUDGE] * 386 + [Exit.FEW_CASES] * 151 + [Exit.DISAGREEMENT] * 140 + [Exit.KEPT] * 323
    assert funnel(exits) == {
        "problems": 1000,
        "without special judge": 614,
        "with enough solutions": 614,
        "with a generator": 614,
        "with enough valid cases": 463,
        "kept": 323,
    }
    assert funnel([])["kept"] == 0
