"""The multiple-choice verifier: what is a choice, what is none, and what hedges."""

from __future__ import annotations

from typing import Any

import pytest
from rl_reason_verifiers.choice import Choice

from rl_reason.types import Prompt, Verdict

CITIES = {"choices": ["Paris", "Rome", "London", "Madrid"]}
RIGHT_IS_ROME = [
    "B",
    "b",
    "(B)",
    "B.",
    "**B**",
    "**(B)**",
    "Option B",
    "B) Rome",
    "(B) Rome",
    "Rome",
    "**Rome**.",
    r"\boxed{\text{B}}",
    r"$\boxed{B}$",
    r"\boxed{Rome}",
    r"\boxed{\text{(B) Rome}}",
    r"maybe \boxed{A}, no, on second thoughts \boxed{B}",
    "the answer is B because A is wrong",
    "The answer is (B) Rome.",
    "The answer is Rome.",
    "The answer is B, and A is wrong.",
    "The answer is B, not A.",
    "Answer: B",
    "**Answer**\n\nB",
    "Final answer: b",
    "The correct option is **B**.",
    "Best answer: B, since A and C are too old.",
    "The answer is A. No wait, the answer is B.",
    "The answer is not A. The answer is B.",
    "Is the answer A? No. B is the right answer.",
    "A is too far north, so B is correct.",
    "I choose (b)",
    "#### B",
    "答案是B。",
    "答案：B",
    "<think>It could be A. The answer is A.</think>B",
    "A) Paris is in France, so it is not that. B) Rome is what they ask.\n\nB",
    "B\n\nRome has been the capital since 1871.",
]
WRONG = [
    "",
    "A",
    "Paris",
    "none",
    "The answer is C.",
    "The answer is not B.",
    "I don't think the answer is B.",
    "It's B, or so they say",
    "Paris is nice. Rome too.",
]
HEDGES = [
    "A or B",
    "A, B, C, D",
    "The answer is A or B.",
    "The answer is B or maybe C",
    "Answer: A\nAnswer: B",
    "Answer: B) Paris",
    "The answer is Rome or Paris",
    r"\boxed{A, B}",
    r"\boxed{A} \boxed{B}",
    r"\boxed{A} or \boxed{B}",
    "A\nB",
    "A) Paris\nB) Rome\nC) London\nD) Madrid",
]


def judged(answer: str, response: str, metadata: dict[str, Any], **options: Any) -> Any:
    return Choice(**options).verify(Prompt("p", "", answer, metadata=metadata), response)


@pytest.mark.parametrize("response", RIGHT_IS_ROME)
def test_right_by_letter_or_text(response: str) -> None:
    for answer in ("B", "(b)", "Rome"):
        score = judged(answer, response, CITIES)
        assert (score.verdict, score.reward, score.reason) == (Verdict.RIGHT, 1.0, "")
    assert judged("C", response, CITIES).verdict is Verdict.WRONG


@pytest.mark.parametrize("response", WRONG)
def test_wrong(response: str) -> None:
    score = judged("B", response, CITIES)
    assert (score.verdict, score.reward) == (Verdict.WRONG, 0.0) and score.reason


@pytest.mark.parametrize("response", HEDGES)
def test_hedging_is_wrong_whatever_is_right(response: str) -> None:
    for answer in "ABCD":
        score = judged(answer, response, CITIES)
        assert score.verdict is Verdict.WRONG and score.reason.startswith("several options are named"), score


@pytest.mark.parametrize(
    ("answer", "response", "choices", "expected"),
    [
        ("A", "The answer is a capital city", CITIES["choices"], Verdict.WRONG),  # the article
        ("A", "The answer is A capital city", CITIES["choices"], Verdict.WRONG),
        ("A", "answer: a", CITIES["choices"], Verdict.RIGHT),
        ("C", "The answer is 3.5", ["3", "3.4", "3.5", "35"], Verdict.RIGHT),
        ("A", "The answer is 3.5", ["3", "3.4", "3.6", "35"], Verdict.WRONG),
        ("A", "The answer is 3.", ["3", "3.4", "3.6", "35"], Verdict.RIGHT),
        ("A", "so the answer is 3 + 4 = 7", ["3", "7"], Verdict.WRONG),
        ("B", "x^2 - 1", {"A": "x^2", "B": "x^2 - 1"}, Verdict.RIGHT),
        ("A", "A", {"label": ["A", "B"], "text": ["yes", "no"]}, Verdict.RIGHT),
        ("yes", "Yes!", {"label": ["A", "B"], "text": ["yes", "no"]}, Verdict.RIGHT),
        ("是", "答案是：是。", ["是", "否"], Verdict.RIGHT),
        ("A", "A", ["B", "A"], Verdict.RIGHT),  # texts that are letters: letters mean the options
        ("B", "B", None, Verdict.RIGHT),
        ("B", "B) because it rains", None, Verdict.RIGHT),
        ("B", "A) red B) blue C) green", None, Verdict.WRONG),
    ],
)
def test_choices_in_every_form(answer: str, response: str, choices: Any, expected: Verdict) -> None:
    assert judged(answer, response, {"choices": choices}).verdict is expected


@pytest.mark.parametrize(
    ("answer", "metadata", "reason"),
    [
        ("", CITIES, "no reference answer"),
        ("E", CITIES, "none of the options A, B, C, D"),
        ("Berlin", CITIES, "neither a letter nor an option's text"),
        ("A, B", CITIES, "set several=true"),
        ("same", {"choices": ["same", "same"]}, "more than one option"),
        ("A", {"choices": 5}, "must be a list"),
        ("A", {"choices": ["one"]}, "2 to 26 texts"),
        ("A", {"choices": {"1": "x", "2": "y"}}, "different ones of A to Z"),
        ("A", {"choices": [1, 2]}, "2 to 26 texts"),
    ],
)
def test_unusable_references_are_unjudged(answer: str, metadata: dict[str, Any], reason: str) -> None:
    score = judged(answer, "A", metadata)
    assert (score.verdict, score.reward) == (Verdict.UNJUDGED, None) and reason in score.reason


@pytest.mark.parametrize(
    ("answer", "response", "expected"),
    [
        ("A, C", "A and C", Verdict.RIGHT),
        ("AC", "(C), (A)", Verdict.RIGHT),
        ("AC", "The answer is AC", Verdict.RIGHT),
        ("AC", r"\boxed{\text{A and C}}", Verdict.RIGHT),
        ("AC", "A) Paris\nC) London", Verdict.RIGHT),
        ("Paris\nLondon", "Answer: C, A", Verdict.RIGHT),
        ("A", "A", Verdict.RIGHT),
        ("AC", "A", Verdict.WRONG),
        ("AC", "A, B, C", Verdict.WRONG),
        ("AC", "", Verdict.WRONG),
    ],
)
def test_several_right_options(answer: str, response: str, expected: Verdict) -> None:
    assert judged(answer, response, CITIES, several=True).verdict is expected
