"""The instruction verifier: every IFEval id with responses that follow it and that do not, at the boundary counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rl_reason_verifiers.instruction import Instruction

from rl_reason.types import Prompt, Score, Verdict

STRICT = Instruction()
LOOSE = Instruction(mode="loose")
BY_SHARE = Instruction(reward="instruction")
Cases = list[tuple[dict[str, Any], list[str], list[str]]]

FOLLOWED_AND_NOT: dict[str, Cases] = {
    "keywords:existence": [
        ({"keywords": ["Mom", "mother"]}, ["mom is my MOTHER", "moms and mothers"], ["mom", "mother", "father"]),
        ({"keywords": ["a.b"]}, ["say a.b"], ["say axb"]),
    ],
    "keywords:frequency": [
        (
            {"keyword": "war", "frequency": 2, "relation": "at least"},
            ["War and war", "toward war", "war war war"],
            ["war", "peace"],
        ),
        ({"keyword": "war", "frequency": 2, "relation": "less than"}, ["war", "peace"], ["war war"]),
    ],
    "keywords:forbidden_words": [
        ({"forbidden_words": ["rock", "can"]}, ["rocket", "canal", "rocks"], ["Rock", "we can.", "it-can-be"]),
        ({"forbidden_words": ["c++"]}, ["c"], ["use C++"]),
    ],
    "keywords:letter_frequency": [
        ({"letter": "n", "let_frequency": 3, "let_relation": "at least"}, ["Nine N", "n n n n"], ["nine", "none."]),
        ({"letter": "#", "let_frequency": 2, "let_relation": "less than"}, ["# one", "none"], ["# #"]),
        ({"letter": "N", "let_frequency": 1, "let_relation": "less than"}, ["abc"], ["n"]),
    ],
    "language:response_language": [
        ({"language": "hi"}, ["उत्तर दूसरी संख्या है, क्योंकि वह बड़ी है।"], ["The answer is the second one.", "42", "?!"]),
        ({"language": "de"}, ["Die Antwort ist die zweite Zahl."], ["The answer is the second number.", "उत्तर"]),
        ({"language": "en"}, ["The answer is the second number."], ["La respuesta es el segundo número.", "123"]),
    ],
    "length_constraints:number_sentences": [
        ({"num_sentences": 3, "relation": "at least"}, ["A b. C d. E f.", "Hi. Ho! He? Ha."], ["Dr. Who is here. Hi."]),
        ({"num_sentences": 3, "relation": "less than"}, ["A b. C d."], ["A b. C d. E f."]),
    ],
    "length_constraints:number_paragraphs": [
        ({"num_paragraphs": 2}, ["one\n***\ntwo", "***\none\n***\ntwo\n***"], ["one", "a***b***c", "a\n***\n***\nb"]),
        ({"num_paragraphs": 1}, ["one\n\nstill one"], ["one *** two"]),
    ],
    "length_constraints:number_words": [
        ({"num_words": 4, "relation": "at least"}, ["one two three four", "我们两个"], ["one two three", "- - - -"]),
        ({"num_words": 4, "relation": "less than"}, ["one well-known thing"], ["one two three four"]),
    ],
    "length_constraints:nth_paragraph_first_word": [
        (
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "weekend"},
            ["one\n\nWeekend came", 'one\n \n"Weekend," he said'],
            ["Weekend\n\none", "one\n\nWeekends", "one\n\ntwo\n\nweekend", "weekend"],
        ),
        ({"num_paragraphs": 1, "nth_paragraph": 2, "first_word": "x"}, [], ["x"]),
    ],
    "detectable_content:number_placeholders": [
        ({"num_placeholders": 2}, ["[name] [address]", "[a] [b] [c]"], ["[name]", "[]", "[[]]", "[a\nb] [c]"]),
    ],
    "detectable_content:postscript": [
        (
            {"postscript_marker": "P.S."},
            ["Bye.\n\nP.S. call me", "Bye. p. s. me"],
            ["Bye", "P.S.", "P.P.S. call", "PS call"],
        ),
        ({"postscript_marker": "P.P.S"}, ["Bye.\nP.P.S. call me", "P. P. S call"], ["P.S. call me", "Bye\nP.P.S."]),
        ({"postscript_marker": "NB:"}, ["Bye. NB: call"], ["Bye. N.B. call"]),
    ],
    "detectable_format:number_bullet_lists": [
        (
            {"num_bullets": 2},
            ["* a\n* b", "- a\n  - b\ntext", "+ a\n* b"],
            ["* a", "* a\n* b\n* c", "*a* and\n*b*", "---\n***"],
        ),
        ({"num_bullets": 1}, ["* **a** is b"], ["- a\n- b", "-a"]),
    ],
    "detectable_format:constrained_response": [
        (
            {},
            ["My answer is yes.", "Well. My answer is maybe."],
            ["yes", "my answer is yes.", "My answer is no. My answer is yes."],
        ),
    ],
    "detectable_format:number_highlighted_sections": [
        (
            {"num_highlights": 2},
            ["*one* and **two**", "*a* *b* *c*", "* x *a* and *b*"],
            ["*one*", "* a\n* b", "** **", "*a\nb* *c*"],
        ),
    ],
    "detectable_format:multiple_sections": [
        (
            {"section_spliter": "SECTION", "num_sections": 2},
            ["SECTION 1\na\nSECTION 2\nb", "SECTION1 a SECTION2 b SECTION3"],
            [
                "SECTION 1",
                "SECTION 1 SECTION 1",
                "Section 1 Section 2",
                "SUBSECTION 1 SUBSECTION 2",
                "SECTION A SECTION B",
            ],
        ),
        ({"section_spliter": "Day", "num_sections": 1}, ["**Day 1**"], ["day 1"]),
    ],
    "detectable_format:json_format": [
        (
            {},
            ['{"a": [1, 2]}', '```json\n{"a": null}\n```', "```\n[]\n```", '```JSON\n{"n": ' + "9" * 9000 + "}\n```"],
            ["", "{'a': 1}", 'Here: {"a": 1}', '{"a": NaN}', "```json\n{}", "[" * 100_000],
        ),
    ],
    "detectable_format:title": [
        ({}, ["<<poem of joy>>\nroses", "text <<t>>"], ["<<>>", "<< >>", "<title>", "<<a\nb>>"]),
    ],
    "combination:two_responses": [
        (
            {},
            ["one\n******\ntwo", "******one******two******"],
            ["one", "one***two", "one******one", "a******b******c", "a************b"],
        ),
    ],
    "combination:repeat_prompt": [
        (
            {"prompt_to_repeat": "Write a poem.\nMake it short."},
            ["Write a poem. Make it short.\n\nRoses", "  write a poem.\nmake it SHORT. Roses"],
            ["Roses", "Sure! Write a poem.\nMake it short.", "Write a poem"],
        ),
    ],
    "startend:end_checker": [
        ({"end_phrase": "Peace!"}, ["Bye. Peace!", '"peace!" ', "“So, Peace!”"], ["Peace! Bye.", "Peace", ""]),
    ],
    "startend:quotation": [
        ({}, ['"all of it"', ' "a" and "b" ', "“so”"], ['"', '"a', 'a"', "'a'", '"a" b']),
    ],
    "change_case:capital_word_frequency": [
        (
            {"capital_frequency": 2, "capital_relation": "at least"},
            ["I AM here", "NASA-ESA and US"],
            ["I am", "NASA's x", "Nasa Us"],
        ),
        ({"capital_frequency": 2, "capital_relation": "less than"}, ["I am", "none"], ["I AM"]),
    ],
    "change_case:english_capital": [
        (
            {},
            ["THE ANSWER IS THE SECOND NUMBER, 42!", "YES, IT IS."],
            [
                "The answer is the second number",
                "DIE ANTWORT IST DIE ZWEITE ZAHL, WEIL SIE GRÖSSER IST.",
                "42!",
                "ZQXZ",
            ],
        ),
    ],
    "change_case:english_lowercase": [
        (
            {},
            ["the answer is the second number, 42!"],
            ["The answer", "die antwort ist die zweite zahl", "42", "答案是第二个"],
        ),
    ],
    "punctuation:no_comma": [
        ({}, ["no comma here; none."], ["one, two", "一，二", "一、二", "واحد، اثنان"]),
    ],
}
IFEVAL = Path(__file__).parents[4] / "shared" / "data" / "ifeval_input_data.jsonl"


def judged(verifier: Instruction, ids: object, kwargs: object, response: str) -> Score:
    return verifier.verify(Prompt("p", "", "", metadata={"instruction_id_list": ids, "kwargs": kwargs}), response)


CASES = [
    pytest.param(name, kwargs, response, expected, id=f"{name}-{expected}-{response[:20]!r}")
    for name, cases in FOLLOWED_AND_NOT.items()
    for kwargs, followed, not_followed in cases
    for expected, responses in ((True, followed), (False, not_followed))
    for response in responses
]


@pytest.mark.parametrize(("name", "kwargs", "response", "expected"), CASES)
def test_every_instruction(name: str, kwargs: dict[str, Any], response: str, expected: bool) -> None:
    score = judged(STRICT, [name], [kwargs], response)
    assert score.verdict is (Verdict.RIGHT if expected else Verdict.WRONG), score
    assert score.reward == score.parts["strict_prompt"] == score.parts["strict_instruction"] == float(expected)
    assert score.reason == "" if expected else score.reason.startswith(f"{name}: ")


def test_there_are_25_instructions_each_with_both_outcomes() -> None:
    assert len(FOLLOWED_AND_NOT) == 25
    for name, cases in FOLLOWED_AND_NOT.items():
        assert sum(len(followed) for _, followed, _ in cases) >= 1, name
        assert sum(len(not_followed) for *_, not_followed in cases) >= 2, name


def test_an_empty_response_follows_nothing() -> None:
    for response in ("", " \n", "<think>still thinking", "<think>x</think>"):
        score = judged(STRICT, ["punctuation:no_comma"], [{}], response)
        assert (score.verdict, score.reason) == (Verdict.WRONG, "punctuation:no_comma: the answer is empty")


def test_only_the_answer_counts() -> None:
    response = '<think>Well, with a comma.</think>\n\n"no comma"'
    assert judged(STRICT, ["punctuation:no_comma", "startend:quotation"], [{}, {}], response).verdict is Verdict.RIGHT
    other = Instruction(close_tag="</r>")
    assert judged(other, ["punctuation:no_comma"], [{}], "a, b</r>c").verdict is Verdict.RIGHT


def test_accuracies_of_prompt_and_instruction() -> None:
    ids = ["punctuation:no_comma", "detectable_format:title", "startend:quotation", "startend:quotation"]
    score = judged(BY_SHARE, ids, [{}] * 4, "<<title>>, text")
    assert (score.verdict, score.reward) == (Verdict.WRONG, 0.25)
    assert score.parts == {"instruction": 0.25, "strict_prompt": 0.0, "strict_instruction": 0.25}
    assert score.reason.count("startend:quotation: ") == 2
    assert judged(STRICT, ids, [{}] * 4, "<<title>>, text").reward == 0.0


@pytest.mark.parametrize(
    ("name", "kwargs", "response", "strict", "loose"),
    [
        ("startend:quotation", {}, 'Sure:\n"all of it"', False, True),  # without the first line
        ("startend:quotation", {}, '"all of it"\nBye', False, True),  # without the last
        ("startend:quotation", {}, 'Sure:\n"all of it"\nBye', False, True),  # without both
        ("startend:quotation", {}, '**"all of it"**', False, True),  # without asterisks
        ("startend:quotation", {}, 'Sure:\n*"all of it"*\nBye', False, True),
        ("startend:quotation", {}, 'Sure\nthing:\n"all of it"', False, False),
        ("punctuation:no_comma", {}, "Sure, here\ngood", False, True),
        ("punctuation:no_comma", {}, "a, b", False, False),  # nothing is left of it
        ("detectable_format:json_format", {}, 'Here:\n{"a": 1}', False, True),
        ("startend:end_checker", {"end_phrase": "Bye."}, "Well. *Bye.*", False, True),
        ("length_constraints:number_words", {"num_words": 2, "relation": "less than"}, "a b\nc", False, True),
        ("startend:quotation", {}, '"fine"', True, True),
    ],
)
def test_loose_mode(name: str, kwargs: Mapping[str, Any], response: str, strict: bool, loose: bool) -> None:
    assert judged(STRICT, [name], [kwargs], response).verdict is (Verdict.RIGHT if strict else Verdict.WRONG)
    score = judged(LOOSE, [name], [kwargs], response)
    assert score.verdict is (Verdict.RIGHT if loose else Verdict.WRONG)
    assert score.parts == {
        **{"instruction": float(loose), "strict_prompt": float(strict), "strict_instruction": float(strict)},
        **{"loose_prompt": float(loose), "loose_instruction": float(loose)},
    }


@pytest.mark.parametrize(
    ("ids", "kwargs", "reason"),
    [
        (None, None, "instruction_id_list"),
        ([], [], "instruction_id_list"),
        ("punctuation:no_comma", [{}], "instruction_id_list"),
        (["punctuation:no_comma"], None, "kwargs, a list of 1 objects"),
        (["punctuation:no_comma"], [], "kwargs, a list of 1 objects"),
        (
            ["punctuation:no_coma"],
            [{}],
            "unknown instruction 'punctuation:no_coma'; did you mean 'punctuation:no_comma'?",
        ),
        ([7], [{}], "unknown instruction 7"),
        (["punctuation:no_comma"], [[]], "its kwargs must be an object"),
        (["punctuation:no_comma"], [{"n": 1}], "takes no 'n'"),
        (
            ["length_constraints:number_words"],
            [{"num_word": 5, "relation": "at least"}],
            "takes no 'num_word'; did you mean 'num_words'?",
        ),
        (["length_constraints:number_words"], [{"num_words": 5}], "lacks the argument 'relation'"),
        (
            ["length_constraints:number_words"],
            [{"num_words": 5, "relation": "at most"}],
            "relation must be 'at least' or 'less than', not 'at most'",
        ),
        (["length_constraints:number_words"], [{"num_words": "5", "relation": "at least"}], "a whole number"),
        (["length_constraints:number_words"], [{"num_words": True, "relation": "at least"}], "a whole number"),
        (["keywords:existence"], [{"keywords": []}], "a list of strings"),
        (["keywords:existence"], [{"keywords": "mom"}], "a list of strings"),
        (
            ["keywords:letter_frequency"],
            [{"letter": "ab", "let_frequency": 1, "let_relation": "at least"}],
            "one character",
        ),
        (["language:response_language"], [{"language": "xx"}], "language must be one of af am"),
        (["startend:end_checker"], [{"end_phrase": " "}], "a string that is not empty"),
        (["punctuation:no_comma", "no:such"], [{}, {}], "unknown instruction 'no:such'"),
    ],
)
def test_what_cannot_be_judged_fails_closed(ids: Any, kwargs: Any, reason: str) -> None:
    score = judged(LOOSE, ids, kwargs, "a response that would pass")
    assert (score.verdict, score.reward, dict(score.parts)) == (Verdict.UNJUDGED, None, {}) and reason in score.reason


def test_null_arguments_are_as_good_as_absent() -> None:
    kwargs = [{"num_words": None, "relation": None, "keywords": None}]
    assert judged(STRICT, ["punctuation:no_comma"], kwargs, "fine").verdict is Verdict.RIGHT


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match="mode is one of strict, loose; not 'lose'; did you mean 'loose'"):
        Instruction(mode="lose")
    with pytest.raises(ValueError, match="reward is one of prompt, instruction"):
        Instruction(reward="share")


@pytest.mark.skipif(not IFEVAL.exists(), reason="the IFEval prompts are not on this machine")
def test_every_prompt_of_ifeval_is_understood() -> None:
    rows = [json.loads(line) for line in IFEVAL.read_text().splitlines()]
    seen: set[str] = set()
    for row in rows:
        metadata = {name: value for name, value in row.items() if name != "prompt"}
        score = LOOSE.verify(
            Prompt(str(row["key"]), row["prompt"], "", metadata=metadata), "An answer, and another one."
        )
        assert score.verdict is not Verdict.UNJUDGED, (row["key"], score.reason)
        seen |= set(row["instruction_id_list"])
    assert len(rows) == 541 and seen == set(FOLLOWED_AND_NOT)
