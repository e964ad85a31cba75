"""The bridge to reasoning-gym's own scorers."""

from __future__ import annotations

from typing import Any

import pytest
from rl_reason_verifiers.reasoning_gym import ReasoningGym

from rl_reason.types import Prompt, Verdict

ENTRY = {"question": "4 - 1 - 7 =", "answer": "-4", "metadata": {"difficulty": {}}}
CHAIN_SUM = {"task": "chain_sum", "options": {"min_terms": 3, "max_terms": 3}, "entry": ENTRY}
RG = ReasoningGym()


def prompt(metadata: dict[str, Any]) -> Prompt:
    return Prompt("p", "", "-4", metadata=metadata)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (r"so \boxed{-4}", Verdict.RIGHT),
        ("<answer> -4 </answer>", Verdict.RIGHT),
        (r"<answer>\boxed{-4}</answer>", Verdict.RIGHT),
        (r"\boxed{3} no, <answer>-4</answer>", Verdict.RIGHT),
        (r"<answer>3</answer> no, \boxed{-4}", Verdict.RIGHT),
        (r"<answer>-4</answer> no, \boxed{3}", Verdict.WRONG),
        ("-4", Verdict.WRONG),
        ("<answer>-4", Verdict.WRONG),
        ("", Verdict.WRONG),
    ],
)
def test_chain_sum(response: str, expected: Verdict) -> None:
    assert RG.verify(prompt(CHAIN_SUM), response).verdict is expected


def test_partial_credit_is_the_scorers_number_unless_refused() -> None:
    entry = {"question": "?", "answer": "cab", "metadata": {"letters": ["c", "a", "b"], "difficulty": {}}}
    metadata = {"task": "letter_counting", "options": {}, "entry": entry}
    score = RG.verify(prompt(metadata), r"\boxed{it is cab}")
    assert score.verdict is Verdict.WRONG
    assert score.reward == pytest.approx(3 / 9)  # reasoning-gym's default: len(oracle) / len(answer) for a substring
    assert ReasoningGym(partial_credit=False).verify(prompt(metadata), r"\boxed{it is cab}").reward == 0.0


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"task": "chain_sum"},
        {"task": "no_such_task", "entry": ENTRY},
        {"task": "chain_sum", "options": {"no_such_option": 1}, "entry": ENTRY},
        {"task": "chain_sum", "options": {"min_terms": 5, "max_terms": 3}, "entry": ENTRY},
    ],
)
def test_unusable_metadata_is_unjudged(metadata: dict[str, Any]) -> None:
    score = RG.verify(prompt(metadata), r"\boxed{-4}")
    assert (score.verdict, score.reward) == (Verdict.UNJUDGED, None) and score.reason
