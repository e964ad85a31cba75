"""The string verifier and the think-tag verifier, as tables."""

from __future__ import annotations

import time
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
        ({"ignore_case": True}, "STRASSE", "Straße", Verdict.RIGHT),
        ({"squeeze_spaces": False}, "blue", "blue ", Verdict.WRONG),
        ({}, "a  b", "a b", Verdict.RIGHT),
        ({}, "ab", "a b", Verdict.WRONG),
        ({"ignore_spaces": True}, "ab", " a\tb", Verdict.RIGHT),
        ({}, "caf\u00e9", "cafe\u0301", Verdict.RIGHT),
        ({"normal_form": "none"}, "caf\u00e9", "cafe\u0301", Verdict.WRONG),
        ({}, "A1", "\uff21\uff11", Verdict.WRONG),
        ({"normal_form": "NFKC"}, "A1", "\uff21\uff11", Verdict.RIGHT),
        ({"pattern": r"<a>(.*?)</a>"}, "2", "<a>1</a> no <a>2</a>", Verdict.RIGHT),
        ({"pattern": r"<a>(.*?)</a>"}, "1", "1", Verdict.WRONG),
        ({"pattern": r"\d+"}, "12", "is 12.", Verdict.RIGHT),
        ({"pattern": r"x|(y)"}, "x", "x", Verdict.WRONG),  # the first group takes part in no match
        ({"after": "</think>"}, "4", "<think>5</think> 4", Verdict.RIGHT),
        ({"after": "</think>"}, "4", "4", Verdict.WRONG),
        ({}, "", "anything", Verdict.UNJUDGED),
    ],
)
def test_exact(options: dict[str, Any], answer: str, response: str, expected: Verdict) -> None:
    score = Exact(**options).verify(Prompt("p", "", answer), response)
    assert score.verdict is expected
    assert score.reward == {Verdict.RIGHT: 1.0, Verdict.WRONG: 0.0, Verdict.UNJUDGED: None}[expected]


@pytest.mark.parametrize(
    ("answer", "answers", "response", "expected"),
    [
        ("", ["NYC", "New York"], "New York", Verdict.RIGHT),
        ("Big Apple", ["NYC"], "Big Apple", Verdict.RIGHT),
        ("", ["NYC", "New York"], "Boston", Verdict.WRONG),
        ("", [], "Boston", Verdict.UNJUDGED),
        ("", [""], "", Verdict.UNJUDGED),
        ("", "NYC", "N", Verdict.UNJUDGED),
        ("", [1], "1", Verdict.UNJUDGED),
    ],
)
def test_exact_takes_any_of_several_answers(answer: str, answers: Any, response: str, expected: Verdict) -> None:
    score = Exact().verify(Prompt("p", "", answer, metadata={"answers": answers}), response)
    assert score.verdict is expected and bool(score.reason) == (expected is not Verdict.RIGHT)


def test_exact_stays_quick_on_a_hundred_thousand_combining_marks() -> None:
    begin = time.perf_counter()
    assert Exact().verify(Prompt("p", "", "a"), "a" + "\u0315\u0300" * 50_000).verdict is Verdict.WRONG
    assert time.perf_counter() - begin < 1.0  # unicodedata.normalize alone takes five


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "("}, r"pattern '\(' is no regular expression"),
        (
            {"normal_form": "nonee"},
            "normal_form is one of NFC, NFD, NFKC, NFKD, none; not 'nonee'; did you mean 'none'",
        ),
        ({"after": 1}, "after is a string, not 1"),
    ],
)
def test_exact_refuses_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Exact(**options)


@pytest.mark.parametrize(
    ("options", "response", "fault"),
    [
        ({}, "<think>2+2</think>4", ""),
        ({}, " \n<think>\n2+2\n</think>\n4", ""),
        ({}, "2+2</think>4", ""),  # the prompt has opened it
        ({"opened_by_prompt": "no"}, "2+2</think>4", "there is </think> without <think>"),
        ({"opened_by_prompt": "no"}, "<think>2+2</think>4", ""),
        ({"opened_by_prompt": "yes"}, "2+2</think>4", ""),
        (
            {"opened_by_prompt": "yes"},
            "<think>2+2</think>4",
            "<think> is written again: the prompt has opened the think block",
        ),
        ({}, "", "there is no </think>"),
        ({}, "4", "there is no </think>"),
        ({}, "<think>2+2", "<think> is never closed: there is no </think>"),
        ({}, "<Think>2+2</Think>4", "the tag is </think>, letter for letter: upper and lower case matter"),
        ({}, "<think>a</think>b</think>c", "a second </think>: the think block was already closed"),
        ({}, "a</think>b</think>c", "a second </think>: the think block was already closed"),
        ({}, "<think><think>a</think>4", "a nested <think>: the think block is already open"),
        ({}, "<think>a<think>b</think></think>4", "a nested <think>: the think block is already open"),
        ({}, "<think>a</think>b<think>c</think>4", "a second <think> after the think block was closed"),
        ({}, "a</think>4<think>", "a second <think> after the think block was closed"),
        ({}, "well <think>a</think>4", "the response does not begin with <think>"),
        ({}, "<think> </think>4", "there is no thought in the think block"),
        ({}, "</think>4", "there is no thought in the think block"),
        ({}, "<think>a</think> \n", "there is no answer after </think>"),
        ({"several_blocks": True}, "<think>a</think>b<think>c</think>4", ""),
        ({"several_blocks": True}, "a</think>b<think>c</think>4", ""),
        ({"several_blocks": True}, "<think>a</think>b<think></think>4", "there is no thought in the think block"),
        ({"several_blocks": True}, "<think>a</think>b<think>c", "the last <think> is never closed"),
        ({"several_blocks": True}, "<think>a</think>b<think>c</think>", "there is no answer after </think>"),
        ({"require": "\\boxed{"}, "<think>\\boxed{4}</think>4", "the answer does not contain '\\\\boxed{'"),
        ({"require_box": True}, "<think>a</think>so \\boxed{\\frac{1}{2}}", ""),
        (
            {"require_box": True},
            "<think>\\boxed{4}</think>4",
            "the answer has no \\boxed{…} that is closed and not empty",
        ),
        (
            {"require_box": True},
            "<think>a</think>\\boxed{4",
            "the answer has no \\boxed{…} that is closed and not empty",
        ),
        (
            {"require_box": True},
            "<think>a</think>\\boxed{ }",
            "the answer has no \\boxed{…} that is closed and not empty",
        ),
        ({"open_tag": "<r>", "close_tag": "</r>"}, "<r>a</r>4", ""),
        ({"open_tag": "<r>", "close_tag": "</r>"}, "<think>a</think>4", "there is no </r>"),
        ({"answer_tag": "answer"}, "<think>a</think>\n<answer>4</answer>\n", ""),
        (
            {"answer_tag": "answer"},
            "<think>a</think>4",
            "the answer has <answer> 0 times and </answer> 0 times, not once",
        ),
        (
            {"answer_tag": "answer"},
            "<think>a</think><answer>4</answer><answer>5</answer>",
            "the answer has <answer> 2 times and </answer> 2 times, not once",
        ),
        ({"answer_tag": "answer"}, "<think>a</think>so <answer>4</answer>", "there is text outside <answer>…</answer>"),
        ({"answer_tag": "answer"}, "<think>a</think><answer>4</answer>.", "there is text outside <answer>…</answer>"),
        ({"answer_tag": "answer"}, "<think>a</think></answer>4<answer>", "</answer> stands before <answer>"),
        (
            {"answer_tag": "answer"},
            "<think>a</think><answer> </answer>",
            "there is nothing between <answer> and </answer>",
        ),
        ({"answer_tag": "answer"}, "<think><answer>4</answer></think>", "there is no answer after </think>"),
    ],
)
def test_format(options: dict[str, Any], response: str, fault: str) -> None:
    score = Format(**options).verify(Prompt("p", "", ""), response)
    assert score.reason == fault
    assert (score.verdict, score.reward) == ((Verdict.WRONG, 0.0) if fault else (Verdict.RIGHT, 1.0))


@pytest.mark.parametrize(
    ("response", "thinks"), [("a</think>", 1.0), ("well <think>a</think>4", 1.0), ("<think></think>4", 0.0), ("a", 0.0)]
)
def test_thinks_says_whether_there_is_a_thought_whatever_else_is_wrong(response: str, thinks: float) -> None:
    assert Format().verify(Prompt("p", "", ""), response).parts == {"format": 0.0, "thinks": thinks}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opened_by_prompt": "yess"}, "opened_by_prompt is one of auto, yes, no; not 'yess'; did you mean 'yes'?"),
        ({"open_tag": ""}, "open_tag is a string that is not empty"),
        ({"open_tag": "|", "close_tag": "|"}, "must differ"),
        ({"answer_tag": "<answer>"}, "a bare name such as 'answer'"),
    ],
)
def test_format_refuses_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        Format(**options)
