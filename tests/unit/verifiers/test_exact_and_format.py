"""The string verifier and the think-tag verifier, as tables."""

from __future__ import annotations

from typing import Any

import pytest
from rl_reason_verifiers.exact import Exact
from rl_reason_verifiers.format import Format

from rl_reason.types import Prompt, Verdict


@pytest.mark.parametrize(
    ("options", "answer", "response", "expected"),
    [
        ({}, "blue", " blue\n", Verdict.RIGHT),
        ({}, "blue", "Blue", Verdict.WRONG),
        ({"ignore_case": True}, "blue", "BLUE", Verdict.RIGHT),
        ({"squeeze_spaces": False}, "blue", "blue ", Verdict.WRONG),
        ({}, "a  b", "a b", Verdict.RIGHT),
        ({"pattern": r"<a>(.*?)</a>"}, "2", "<a>1</a> no <a>2</a>", Verdict.RIGHT),
        ({"pattern": r"<a>(.*?)</a>"}, "1", "1", Verdict.WRONG),
        ({"pattern": r"\d+"}, "12", "is 12.", Verdict.RIGHT),
        ({}, "", "anything", Verdict.UNJUDGED),
    ],
)
def test_exact(options: dict[str, Any], answer: str, response: str, expected: Verdict) -> None:
    score = Exact(**options).verify(Prompt("p", "", answer), response)
    assert score.verdict is expected
    assert score.reward == {Verdict.RIGHT: 1.0, Verdict.WRONG: 0.0, Verdict.UNJUDGED: None}[expected]


@pytest.mark.parametrize(
    ("options", "response", "fault"),
    [
        ({}, "<think>2+2</think>4", ""),
        ({}, " \n<think>\n2+2\n</think>\n4", ""),
        ({}, "2+2</think>4", ""),  # the prompt has opened it
        ({"opened_by_prompt": "no"}, "2+2</think>4", "<think> occurs 0 times, not 1"),
        ({"opened_by_prompt": "yes"}, "<think>2+2</think>4", "<think> occurs 1 times, not 0"),
        ({}, "4", "</think> occurs 0 times, not once"),
        ({}, "<think>2+2", "</think> occurs 0 times, not once"),
        ({}, "<think>a</think>b</think>c", "</think> occurs 2 times, not once"),
        ({}, "<think><think>a</think>4", "<think> occurs 2 times, not 0 or 1"),
        ({}, "well <think>a</think>4", "the response does not begin with <think>"),
        ({}, "a</think>4<think>", "the response does not begin with <think>"),
        ({}, "<think> </think>4", "there is no thought in the think block"),
        ({}, "<think>a</think> \n", "there is no answer after </think>"),
        ({"require": "\\boxed{"}, "<think>\\boxed{4}</think>4", "the answer does not contain '\\\\boxed{'"),
        ({"open_tag": "<r>", "close_tag": "</r>"}, "<r>a</r>4", ""),
    ],
)
def test_format(options: dict[str, Any], response: str, fault: str) -> None:
    score = Format(**options).verify(Prompt("p", "", ""), response)
    assert score.reason == fault
    assert (score.verdict, score.reward) == ((Verdict.WRONG, 0.0) if fault else (Verdict.RIGHT, 1.0))


def test_format_refuses_a_wrong_option() -> None:
    with pytest.raises(ValueError, match="auto, yes or no"):
        Format(opened_by_prompt="maybe")
