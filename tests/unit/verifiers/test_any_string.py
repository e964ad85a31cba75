"""The built-in verifiers on strings nobody would write: no crash, no hang, the same verdict twice, picklable scores."""

from __future__ import annotations

import pickle
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from rl_reason_verifiers.choice import Choice
from rl_reason_verifiers.exact import Exact
from rl_reason_verifiers.format import Format
from rl_reason_verifiers.instruction import Instruction
from rl_reason_verifiers.language import Language
from rl_reason_verifiers.numeric import Numeric
from rl_reason_verifiers.repetition import Repetition

from rl_reason.protocols import Verifier
from rl_reason.types import Prompt, Verdict

INSTRUCTIONS: dict[str, dict[str, Any]] = {
    "keywords:forbidden_words": {"forbidden_words": ["rock"]},
    "length_constraints:number_sentences": {"num_sentences": 3, "relation": "at least"},
    "length_constraints:number_words": {"num_words": 3, "relation": "at least"},
    "length_constraints:nth_paragraph_first_word": {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "a"},
    "detectable_content:postscript": {"postscript_marker": "P.S."},
    "detectable_format:number_bullet_lists": {"num_bullets": 2},
    "detectable_format:number_highlighted_sections": {"num_highlights": 2},
    "detectable_format:json_format": {},
    "detectable_format:title": {},
    "combination:two_responses": {},
    "change_case:english_lowercase": {},
    "language:response_language": {"language": "en"},
}
VERIFIERS: dict[str, tuple[Verifier, Prompt]] = {
    "choice": (Choice(), Prompt("p", "", "B", metadata={"choices": ["one", "two", "three"]})),
    "exact": (Exact(pattern=r"\d+", normal_form="NFKC"), Prompt("p", "", "42")),
    "format": (Format(answer_tag="answer", require_box=True), Prompt("p", "", "")),
    "instruction": (
        Instruction(),
        Prompt("p", "", "", metadata={"instruction_id_list": [*INSTRUCTIONS], "kwargs": [*INSTRUCTIONS.values()]}),
    ),
    "language": (Language(reasoning="same"), Prompt("p", "A question in plain English, with some words.", "")),
    "numeric": (Numeric(significant_digits=3, units="demand"), Prompt("p", "", "42 kg")),
    "repetition": (Repetition(), Prompt("p", "", "")),
}
UNITS = (
    *("a", " ", "\n", "\t", "\0", "\x1b[31m", "\ud800", "\udfff", "\U0010ffff", "\u202e", "\ufeff", "\u0315\u0300"),
    *(
        "the ",
        "word. ",
        "A. ",
        "1",
        "1 ",
        "1,",
        "1/",
        "-",
        "10^",
        "1e9",
        ".",
        "...",
        "\\",
        "{",
        "}",
        "\\boxed{",
        "\\frac{1}",
    ),
    *("$", "$$", "`", "```", "~~~", "\\(", "\\[", "\\begin{", "<", ">", "<<", "<a", "</think>", "<think>", "<answer>"),
    *(
        "[",
        "]",
        "(",
        ")",
        "*",
        "**",
        "***",
        "* ",
        "- ",
        "#",
        "####",
        "#### 1\n",
        "|",
        "_",
        '"',
        "“",
        "«",
        "「",
        "'",
        "@",
        "a@",
    ),
    *(
        "answer is ",
        "final answer is ",
        "answer: A ",
        "A or ",
        "B is correct. ",
        "P.S. ",
        "p. ",
        "。",
        "你好",
        "สวัสดี",
        "नमस्ते",
    ),
    *(
        "привет ",
        "שלום ",
        "مرحبا ",
        "こんにちは",
        "안녕 ",
        "é",
        "😀",
        "ﷺ",
        "ﬁ",
        "İ",
        "ß",
        "٣",
        "²",
        "½",
        "∞",
        "NaN",
        "https://x.y/",
    ),
    *("no ", "not ", "and ", "or ", ", ", "; ", "x=", "m/", "km per hour ", "</answer>", "\r\n", "\u2028", "e.g. "),
)


def hostile(rng: random.Random) -> str:
    """A short string of units, of any characters at all, or of one unit many times."""
    kind = rng.randrange(3)
    if kind == 0:
        return "".join(rng.choice(UNITS) for _ in range(rng.randrange(40)))
    if kind == 1:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(60)))
    return rng.choice(UNITS) * rng.randrange(200) + rng.choice(UNITS)


@pytest.mark.parametrize("name", VERIFIERS)
def test_any_string_gets_a_proper_score_and_the_same_one_twice(name: str) -> None:
    verifier, prompt = VERIFIERS[name]
    rng = random.Random(name)
    for _ in range(400):
        response = hostile(rng)
        score = verifier.verify(prompt, response)
        assert (score.verdict is Verdict.UNJUDGED) == (score.reward is None), repr(response)
        assert score.verdict is Verdict.RIGHT or score.reason, repr(response)
        assert pickle.loads(pickle.dumps(score)) == score == verifier.verify(prompt, response), repr(response)


@pytest.mark.parametrize("name", VERIFIERS)
def test_hostile_references_and_metadata_never_raise(name: str) -> None:
    verifier, _ = VERIFIERS[name]
    rng = random.Random(name)
    keys = ("choices", "answers", "unit", "language", "instruction_id_list", "kwargs")
    values: list[Callable[[], Any]] = [
        lambda: hostile(rng),
        lambda: [hostile(rng), hostile(rng)],
        lambda: {hostile(rng): hostile(rng)},
        lambda: [{}, {"num_words": hostile(rng)}],
        lambda: rng.choice([None, 0, -1, 1.5, True, [], {}, [[]], [None], {"label": [], "text": []}]),
    ]
    for _ in range(300):
        metadata = {key: rng.choice(values)() for key in keys if rng.random() < 0.5}
        score = verifier.verify(Prompt("p", hostile(rng), hostile(rng), metadata=metadata), hostile(rng))
        assert (score.verdict is Verdict.UNJUDGED) == (score.reward is None)


@pytest.mark.parametrize("name", VERIFIERS)
def test_long_strings_of_one_unit_are_judged_quickly(name: str) -> None:
    verifier, prompt = VERIFIERS[name]
    for unit in UNITS:
        response = unit * (50_000 // len(unit))
        begin = time.process_time()
        verifier.verify(prompt, response)
        assert time.process_time() - begin < 1.0, repr(unit)


@pytest.mark.parametrize("name", VERIFIERS)
def test_a_million_characters_are_judged(name: str) -> None:
    verifier, prompt = VERIFIERS[name]
    begin = time.process_time()
    for unit in ("a plain sentence of words, again and again. ", "\\boxed{", "\u0315\u0300"):
        verifier.verify(prompt, unit * (1_000_000 // len(unit)))
    assert time.process_time() - begin < 10.0
