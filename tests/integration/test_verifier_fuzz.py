"""A small run of the fuzzer: every installed verifier on hostile strings, and that it sees what goes wrong."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from rl_reason.rewards.card import PLAIN_EXAMPLE, installed_cards
from rl_reason.rewards.fuzz import children_bytes, fuzz, fuzz_input
from rl_reason.rewards.hostile import corpus, hostile_pairs, hostile_string
from rl_reason.rewards.pool import VerifierSpec
from rl_reason.rewards.promises import prompt_of
from rl_reason.types import Prompt

PLUGIN = """
import os
from rl_reason.types import Score, Verdict

class Nasty:
    def __init__(self):
        self.kept = []

    def verify(self, prompt, response):
        self.kept.append(bytearray(b"x" * 20_000))
        if "</think>" in response:
            raise KeyError("think")
        if "####" in response:
            os._exit(1)
        while "import os" in response:
            pass
        return Score(Verdict.WRONG, 0.0)
"""
PROMPTS = [Prompt("p", "2 + 2?", "4", source="here")]
CARDS = {card.name: card for card in installed_cards() if not card.fault}


@pytest.mark.parametrize("name", CARDS)
def test_no_string_crashes_or_hangs_a_verifier(name: str) -> None:
    prompt = prompt_of(CARDS[name].example or PLAIN_EXAMPLE, "example")
    result = fuzz(VerifierSpec(name, name), [prompt], count=1500, seed=1, deadline_s=10.0)
    assert result.failures == [] and result.restarts == 0
    assert result.verdicts.total() == len(result.seconds) == 1500


def test_what_goes_wrong_is_seen_and_is_no_zero(tmp_path: Path) -> None:
    (tmp_path / "nasty.py").write_text(PLUGIN)
    spec = VerifierSpec("nasty", f"{tmp_path}/nasty.py:Nasty")
    result = fuzz(spec, PROMPTS, count=60, seed=4, workers=1, deadline_s=0.3)
    inputs = [fuzz_input(4, number, PROMPTS)[1] for number in range(60)]
    kinds = Counter(
        "raise" if "</think>" in text else "exit" if "####" in text else "hang" if "import os" in text else "fine"
        for text in inputs
    )
    assert min(kinds.values()) > 0 and len(kinds) == 4
    assert result.verdicts == {"wrong": kinds["fine"], "unjudged": 60 - kinds["fine"]}
    assert len(result.failures) == 60 - kinds["fine"] and result.dishonest == []
    assert sum("was stopped at the deadline" in failure for failure in result.failures) == kinds["hang"]
    assert sum("crashed its worker" in failure for failure in result.failures) == kinds["exit"]
    assert sum("verifier raised KeyError" in failure for failure in result.failures) == kinds["raise"]


def test_a_leak_shows_in_the_memory(tmp_path: Path) -> None:
    (tmp_path / "leaky.py").write_text(
        PLUGIN.split('        if "</think>"')[0] + "        return Score(Verdict.WRONG, 0.0)\n"
    )
    result = fuzz(VerifierSpec("leaky", f"{tmp_path}/leaky.py:Nasty"), PROMPTS, count=3000, workers=1)
    assert result.late_bytes - result.early_bytes > 25 * 2**20
    assert children_bytes() < result.late_bytes


def test_inputs_are_the_same_for_the_same_seed_and_of_every_kind() -> None:
    inputs = [fuzz_input(5, number, PROMPTS) for number in range(2000)]
    assert inputs == [fuzz_input(5, number, PROMPTS) for number in range(2000)]
    assert inputs[7] != fuzz_input(6, 7, PROMPTS) and len({response for _, response in inputs}) > 1700
    assert 300 < sum(prompt.answer != "4" for prompt, _ in inputs) < 500
    texts = [response for _, response in inputs]
    for mark in ("\\boxed{", "<think>", "\x00", "\ud800", "\u0664", "```", "{" * 50):
        assert any(mark in text for text in texts), mark
    assert any(text == "" for text in texts) and any(len(text) > 20_000 for text in texts)
    assert hostile_string(random.Random(1)) == hostile_string(random.Random(1))


def test_the_corpus_has_every_sort_of_string() -> None:
    named = corpus()
    assert named["empty"] == "" and max(map(len, named.values())) >= 2**20 and len(named) > 50
    assert max(map(len, corpus(long=False).values())) < 2**18
    pairs = list(hostile_pairs(PROMPTS[0], long=False))
    assert len({name for name, _, _ in pairs}) == len(pairs) == 5 * len(corpus(long=False))
    assert sum(prompt.answer == "4" for _, prompt, _ in pairs) == 3 * len(corpus(long=False))
