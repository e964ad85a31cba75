"""The bridge to reasoning-gym's own scorers."""

from __future__ import annotations

from typing import Any

import pytest
import reasoning_gym
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


def test_partial_credit_is_given_only_when_asked_for() -> None:
    entry = {"question": "?", "answer": "cab", "metadata": {"letters": ["c", "a", "b"], "difficulty": {}}}
    metadata = {"task": "letter_counting", "options": {}, "entry": entry}
    asked = ReasoningGym(partial_credit=True).verify(prompt(metadata), r"\boxed{it is cab}")
    assert asked.verdict is Verdict.WRONG
    assert asked.reward == pytest.approx(3 / 9)  # reasoning-gym's default: len(oracle) / len(answer) for a substring
    assert RG.verify(prompt(metadata), r"\boxed{it is cab}").reward == 0.0


@pytest.mark.parametrize(
    ("task", "wrong"),
    [
        # All of these have full marks from reasoning-gym 0.1.25's own scorers, for some entry.
        ("gsm_symbolic", ["{} 1754", "{}, 1754", "the answer is {} or 1754"]),
        ("fraction_simplification", ["{} $\\dfrac{{332}}{{971}}$", "{}, $\\dfrac{{332}}{{971}}$"]),
        ("time_intervals", ["{}, 01:45:29.840"]),
        ("word_sorting", ["{}, apple, pear"]),
        ("letter_jumble", ["{} and other words"]),
        ("complex_arithmetic", ["nan", "{} nan"]),
        ("game_of_life_halting", ["nan", "[[", "maybe", "True False"]),
        ("coin_flip", ["1e999", "nan"]),
        ("game_of_life", ["{{}}", "[[{{}}]]"]),
        ("prime_factorization", ["{} * x", "nan"]),
        ("chain_sum", ["{} 5", "5 {}", "{}, 5"]),
    ],
)
def test_scorers_that_can_be_played_are_not(task: str, wrong: list[str]) -> None:
    for entry in list(reasoning_gym.create_dataset(task, size=4, seed=5)):
        reference = entry["answer"]
        asked = Prompt("p", "", reference, metadata={"task": task, "options": {}, "entry": entry})
        assert RG.verify(asked, f"<answer>{reference}</answer>").verdict is Verdict.RIGHT
        for pattern in wrong:
            score = RG.verify(asked, f"<answer>{pattern.format(reference)}</answer>")
            assert (score.verdict, score.reward) == (Verdict.WRONG, 0.0), (pattern, reference, score)


@pytest.mark.parametrize(
    ("task", "entry", "answer"),
    [
        ("gsm_symbolic", {"answer": "279", "metadata": {}}, "$279"),
        ("chain_sum", {"answer": "1200", "metadata": {}}, " 1200\n"),
        ("fraction_simplification", None, "\\frac"),
    ],
)
def test_another_spelling_that_the_scorer_takes_is_right(task: str, entry: dict[str, Any] | None, answer: str) -> None:
    if entry is None:  # without the dollar signs of the reference
        entry = reasoning_gym.create_dataset(task, size=1, seed=5)[0]
        answer = entry["answer"].strip("$")
        assert answer != entry["answer"]
    asked = Prompt("p", "", entry["answer"], metadata={"task": task, "entry": entry})
    assert RG.verify(asked, f"<answer>{answer}</answer>").verdict is Verdict.RIGHT


def test_another_solution_than_the_reference_is_right() -> None:
    entry = {"question": "", "answer": "1 + 2 + 3", "metadata": {"numbers": [1, 2, 3], "target": 6, "difficulty": {}}}
    asked = Prompt("p", "", "1 + 2 + 3", metadata={"task": "countdown", "options": {}, "entry": entry})
    assert RG.verify(asked, r"\boxed{3*2*1}").verdict is Verdict.RIGHT
    assert RG.verify(asked, r"\boxed{3*2-1}").verdict is Verdict.WRONG


def test_a_scorer_that_fails_on_the_reference_too_could_not_judge() -> None:
    entry = {"question": "?", "answer": "3", "metadata": {}}  # game_of_life needs more than that
    score = RG.verify(prompt({"task": "game_of_life", "options": {}, "entry": entry}), r"\boxed{[[1]]}")
    assert (score.verdict, score.reward) == (Verdict.UNJUDGED, None) and "fails" in score.reason


def test_an_endless_answer_is_wrong_unread() -> None:
    score = RG.verify(prompt(CHAIN_SUM), "<answer>" + "-4 " * 10_000 + "</answer>")
    assert score.verdict is Verdict.WRONG and "characters" in score.reason


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
