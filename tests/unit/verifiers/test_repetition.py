"""The repetition verifier: loops of every length, repeated phrases, and what is not repetition."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import pytest
from rl_reason_verifiers._loops import grams, longest_loop
from rl_reason_verifiers.repetition import Repetition

from rl_reason.types import Prompt, Verdict

PLAIN = (
    "We add the two numbers and get twelve. Then we divide by three, which gives four. Since every child gets the "
    "same number of apples, four is the answer, and no apple is left over at the end of the day."
)


def score(response: str, **options: Any) -> Any:
    return Repetition(**options).verify(Prompt("p", "", ""), response)


@pytest.mark.parametrize(
    "response",
    [
        "",
        "4",
        PLAIN,
        PLAIN + "\n" + "-" * 80 + "\n" + PLAIN.upper()[:60],
        "1/3 = 0." + "3" * 40,
        PLAIN + " " + PLAIN,
        " ".join(f"Step {n}: add {n * n}." for n in range(300)),
        "首先我们把两个数相加，然后把和除以三。因为余数是零，所以每个篮子里的苹果数量一定相同。",
    ],
)
def test_right(response: str) -> None:
    assert (score(response).verdict, score(response).reward) == (Verdict.RIGHT, 1.0)


@pytest.mark.parametrize(
    ("response", "pattern", "repeats"),
    [
        ("a" * 200, "'a'", 200),
        ("Wait. " * 40, "'Wait. '", 40),
        ("的" * 150, "'的'", 150),
        (PLAIN * 7, f"{PLAIN[:60]!r}", 7),
        (PLAIN + " so so so so,\n" + "I must check. " * 60, "'I must check. '", 60),
        ("Let me think\n again, let ME think again! " * 9, "'Let me think\\n again, let ME think again! '", 9),
        ("\ud800" * 120, r"'\ud800'", 120),
    ],
)
def test_loops_are_wrong_and_named(response: str, pattern: str, repeats: int) -> None:
    judged = score(response)
    assert judged.verdict is Verdict.WRONG and judged.reward == 0.0
    assert f"comes {repeats} times in a row" in judged.reason and 0.2 < judged.parts["loop_share"] <= 1.0
    if "think" not in response:
        assert judged.reason.startswith(pattern)


def test_a_loop_of_words_ignores_case_and_punctuation() -> None:
    rng = random.Random(0)
    response = "".join(f"{rng.choice(['Let me', 'let ME'])} check again{rng.choice('.!?,;')} " for _ in range(30))
    assert "comes 30 times in a row" in score(response, max_ngram_share=1.0).reason


def test_shares_by_hand() -> None:
    judged = score("x " * 5 + "a b c d e f g h i j", ngram=2, min_loop_chars=5, min_repeats=2, max_loop_share=1.0)
    # 15 words, 14 bigrams: xx four times, then xa, ab, … ij: 1 + 10 different ones
    assert judged.parts["ngram_share"] == pytest.approx(3 / 14)
    # "x x x x x " is 10 of 29 characters
    assert judged.parts["loop_share"] == pytest.approx(10 / 29)
    assert score("one two three").parts == {"repetition": 1.0, "loop_share": 0.0, "ngram_share": 0.0}


def test_thresholds() -> None:
    response = PLAIN + " Yes. " * 30
    share = score(response).parts["loop_share"]
    assert score(response, max_loop_share=share).verdict is Verdict.RIGHT
    assert score(response, max_loop_share=share - 0.01).verdict is Verdict.WRONG
    assert score(response, max_loop_share=0.0, min_repeats=32).verdict is Verdict.RIGHT
    assert score(response, max_loop_share=0.0, min_loop_chars=190).verdict is Verdict.RIGHT
    assert score(" ".join([PLAIN] * 3)).verdict is Verdict.WRONG  # two thirds of its phrases are repeats
    assert "phrases are repeats" in score(" ".join([PLAIN] * 3)).reason
    assert score(" ".join([PLAIN] * 3), max_ngram_share=0.7).verdict is Verdict.RIGHT


@pytest.mark.parametrize("period", [1, 2, 7, 16, 17, 40, 300])
def test_longest_loop_finds_every_period_in_noise(period: int) -> None:
    rng = np.random.default_rng(period)
    noise = rng.integers(0, 1000, size=500)
    pattern = rng.integers(0, 1000, size=period)
    pattern[period // 2 : 3 * period // 4] = pattern[: 3 * period // 4 - period // 2]  # a refrain within the pattern
    items = np.concatenate([noise, np.tile(pattern, 5), noise[::-1]])
    loop = longest_loop(items, min_repeats=4)
    assert loop is not None and loop.period == period
    assert abs(loop.start - 500) <= 1 and 5 * period <= loop.length <= 5 * period + 2
    assert longest_loop(items, min_repeats=6) is None or period == 1


def test_grams_are_different_for_different_runs_and_in_order() -> None:
    items = np.array([1, 2, 3, 1, 2, 3, 3, 2, 1, 0])
    hashes = grams(items, 3)
    assert len(hashes) == 8 and hashes[0] == hashes[3] and len(set(hashes.tolist())) == 7
    assert len(grams(items, 11)) == 0 and len(grams(np.array([]), 1)) == 0


def test_half_a_million_characters_take_well_under_a_second() -> None:
    rng = random.Random(0)
    for text in ("ab " * 170_000, "".join(rng.choice("abcdefgh ") for _ in range(500_000)), "x" * 500_000):
        begin = time.process_time()
        score(text)
        assert time.process_time() - begin < 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_repeats": 1}, "min_repeats is a whole number of at least 2, not 1"),
        ({"max_loop_share": 20}, "max_loop_share is a number from 0 to 1, not 20"),
        ({"ngram": 0}, "ngram is a whole number from 1 to 100, not 0"),
        ({"max_ngram_share": True}, "max_ngram_share is a number from 0 to 1, not True"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Repetition(**options)
