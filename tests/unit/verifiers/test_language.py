"""The language verifier on 44 languages, pure and mixed, short and long; and how words and scripts are counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rl_reason_verifiers._language_id import NAMES, LanguageId, language_code
from rl_reason_verifiers._prose import prose
from rl_reason_verifiers._scripts import count_letters
from rl_reason_verifiers.language import Language

from rl_reason.types import Prompt, Score, Verdict

LINES = (Path(__file__).parent / "language_samples.jsonl").read_text(encoding="utf-8").splitlines()
SAMPLES = {row["language"]: row for row in map(json.loads, LINES)}
MODEL = LanguageId()
AUTO = Language()


def judged(response: str, language: str | None = None, text: str = "", **options: Any) -> Score:
    metadata = {"language": language} if language else {}
    verifier = Language(**options) if options else AUTO
    return verifier.verify(Prompt("p", text, "", metadata=metadata), response)


def test_the_samples_are_of_many_languages_and_all_supported() -> None:
    assert len(SAMPLES) == 44 and set(SAMPLES) <= set(NAMES)


def test_every_text_is_right_in_its_language_and_wrong_in_the_others() -> None:
    right = mistaken = total = 0
    for expected in SAMPLES:
        for language, row in SAMPLES.items():
            for text in (row["short"], row["long"]):
                verdict = judged(text, expected).verdict
                if language == expected:
                    assert verdict is Verdict.RIGHT, (expected, text)
                    right += 1
                else:
                    mistaken += verdict is Verdict.RIGHT
                    total += 1
    assert right == 88 and total == 3784
    assert mistaken == 0


def test_sentences_are_identified() -> None:
    pieces = [
        (row["language"], piece)
        for row in SAMPLES.values()
        for piece in row["long"].replace("。", ". ").replace("।", ". ").replace("۔", ". ").split(". ")
        if len(piece) > 8
    ]
    hits = sum(MODEL.identify(piece)[0] == language for language, piece in pieces)
    assert len(pieces) > 100 and hits / len(pieces) >= 0.97


@pytest.mark.parametrize("language", SAMPLES)
@pytest.mark.parametrize("other", ["en", "zh", "es", "ru"])
def test_a_sentence_in_another_language_is_code_switching(language: str, other: str) -> None:
    if language != other:
        mixed = f"{SAMPLES[language]['long']} {SAMPLES[other]['short']}"
        score = judged(mixed, language)
        assert score.verdict is Verdict.WRONG, (mixed, score)
        assert 0.05 < score.parts["answer_switched"] <= 1.0


@pytest.mark.parametrize("language", SAMPLES)
def test_code_formulas_addresses_and_a_name_are_no_switching(language: str) -> None:
    answer = SAMPLES[language]["long"]
    extra = " (Python, `print(total)`) $x^2 + \\alpha$ \\boxed{4 \\text{ apples}} https://example.org/the/page x, π"
    code = "\n```python\nfor every in range(10):\n    print('this is English, but it is code')\n```\n"
    assert judged(answer + extra + code, language).verdict is Verdict.RIGHT


def test_stray_characters_are_wrong_even_if_few() -> None:
    thai = SAMPLES["th"]["long"]
    assert judged(thai + " 苹果", "th").verdict is Verdict.WRONG
    assert "scripts foreign to Thai" in judged(thai + " 苹果", "th").reason
    assert judged(thai + " 苹果", "th", max_stray=0.05).verdict is Verdict.RIGHT
    assert judged(thai + " apples", "th").verdict is Verdict.RIGHT
    assert judged(thai + " apples", "th", max_switched=0.0).verdict is Verdict.WRONG


def test_shares_by_hand() -> None:
    # 8 Thai letters and marks, 2 Latin, 2 Cyrillic; the single x is a symbol
    score = judged("กขคงจฉชซ ab яю x", language="th", min_letters=10, max_switched=1.0, max_stray=1.0)
    assert score.verdict is Verdict.RIGHT
    assert score.parts == {
        "language": 1.0,
        "answer_switched": pytest.approx(4 / 12),
        "answer_stray": pytest.approx(2 / 12),
    }


@pytest.mark.parametrize(
    ("options", "text", "metadata", "expected"),
    [
        ({"language": "th"}, SAMPLES["en"]["short"], {}, "th"),
        ({"language": "Thai"}, SAMPLES["en"]["short"], {"language": "de"}, "th"),
        ({}, SAMPLES["en"]["short"], {"language": "th"}, "th"),
        ({}, SAMPLES["th"]["short"], {}, "th"),
        ({"language": "prompt"}, SAMPLES["th"]["short"], {"language": "de"}, "th"),
        ({"language": "metadata"}, "", {"language": "th-TH"}, "th"),
    ],
)
def test_where_the_expected_language_comes_from(
    options: dict[str, Any], text: str, metadata: dict[str, Any], expected: str
) -> None:
    for language in ("th", "en", "de"):
        prompt = Prompt("p", text, "", metadata=metadata)
        verdict = Language(**options).verify(prompt, SAMPLES[language]["long"]).verdict
        assert verdict is (Verdict.RIGHT if language == expected else Verdict.WRONG)


@pytest.mark.parametrize(
    ("options", "text", "metadata", "reason"),
    [
        ({}, "2+2?", {}, "the prompt is too short to tell its language"),
        ({"language": "metadata"}, "How much is it?", {}, "the metadata has no language"),
        ({}, "", {"language": "klingon"}, "'klingon' is no language that can be told apart"),
        ({}, "", {"language": "germn"}, "did you mean 'german'?"),
        ({}, "", {"language": 7}, "metadata language must be a string, not 7"),
    ],
)
def test_no_expected_language_is_unjudged(
    options: dict[str, Any], text: str, metadata: dict[str, Any], reason: str
) -> None:
    score = Language(**options).verify(Prompt("p", text, "", metadata=metadata), SAMPLES["en"]["long"])
    assert (score.verdict, score.reward) == (Verdict.UNJUDGED, None) and reason in score.reason


@pytest.mark.parametrize(
    ("response", "language", "expected"),
    [
        ("คำตอบ", "th", Verdict.RIGHT),  # its script alone
        ("정답", "ko", Verdict.RIGHT),
        ("答案", "zh", Verdict.RIGHT),
        ("答え", "ja", Verdict.UNJUDGED),
        ("答案", "en", Verdict.WRONG),
        ("ответ", "th", Verdict.WRONG),
        ("ответ", "ru", Verdict.UNJUDGED),  # or Bulgarian
        ("iPhone", "th", Verdict.UNJUDGED),  # a name
        ("four", "en", Verdict.UNJUDGED),
        (r"\boxed{4}", "en", Verdict.UNJUDGED),
    ],
)
def test_short_answers(response: str, language: str, expected: Verdict) -> None:
    assert judged(response, language).verdict is expected
    if expected is Verdict.UNJUDGED:
        assert "too few to tell the language" in judged(response, language).reason
        assert judged(response, language, short="right").verdict is Verdict.RIGHT
        assert judged(response, language, short="wrong").verdict is Verdict.WRONG
    else:
        assert judged(response, language, short="wrong").verdict is expected


@pytest.mark.parametrize("response", ["", " \n", "<think>cut while thinking", "<think>thought</think>"])
def test_no_answer_is_wrong(response: str) -> None:
    score = judged(response, "th", short="right")
    assert (score.verdict, score.reason) == (Verdict.WRONG, "there is no answer")


def test_long_gibberish_is_wrong_not_unjudged() -> None:
    assert judged("zq" * 200, "en").verdict is Verdict.WRONG


def test_reasoning() -> None:
    thai, english = SAMPLES["th"]["long"], SAMPLES["en"]["long"]
    response = f"<think>{english}</think>{thai}"
    assert judged(response, "th").verdict is Verdict.RIGHT
    assert judged(response, "th", reasoning="en").verdict is Verdict.RIGHT
    same = judged(response, "th", reasoning="same")
    assert (same.verdict, same.reason) == (Verdict.WRONG, "the reasoning: it is in English, not in Thai")
    assert same.parts == {
        "language": 0.0,
        "answer_switched": 0.0,
        "answer_stray": 0.0,
        "reasoning_switched": 1.0,
        "reasoning_stray": 0.0,
    }
    assert judged(f"{thai}</think>{thai}", "th", reasoning="same").verdict is Verdict.RIGHT
    assert judged(thai, "th", reasoning="en").reason == "there is no reasoning whose language to judge"
    assert judged(f"<r>{english}</r>{thai}", "th", open_tag="<r>", close_tag="</r>").verdict is Verdict.RIGHT


def test_quotes_of_the_prompt_are_not_the_responses_own_words() -> None:
    english = SAMPLES["en"]["short"]
    question = f'แปลประโยคนี้เป็นภาษาไทย: "{english}"'
    answer = f"{SAMPLES['th']['long']}"
    for quote in (f'"{english}"', f"“{english}”", f"\n> {english}\n"):
        assert judged(answer + quote, "th", question).verdict is Verdict.RIGHT
        assert judged(answer + quote, "th", "other").verdict is Verdict.WRONG
    assert prose(f"a\n{question}\nb", question).split() == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("see `x y` now", "see now"),
        ("a $x$ b $$y\nz$$ c \\(q\\) d \\[r\\] e", "a b c d e"),
        ("a\n```py\ncode\n```\nb", "a b"),
        ("a ```code never closed", "a ```code never closed"),
        (r"a \begin{align} x &= y \end{align} b", "a b"),
        ("a https://x.org/y?z b www.x.org c me@x.org d", "a b c d"),
        ("H2O is 3.14 or x2", "is or"),
        ("<b>bold</b> a < b", "bold a < b"),
        (r"so \boxed{4 \times 3} \alpha end", "so end"),
        ("it costs $5", "it costs $"),
    ],
)
def test_prose(text: str, left: str) -> None:
    assert prose(text).split() == left.split()


def test_letters_are_counted_by_script() -> None:
    assert count_letters("ab é, 12 яж 漢字かなカナ 한 ก็ न ü_") == {
        **{"Latin": 4, "Cyrillic": 2, "Han": 2, "Kana": 4, "Hangul": 1, "Thai": 2, "Devanagari": 1}
    }
    assert count_letters("\ud800 \U0001f600 - 7") == {}


@pytest.mark.parametrize(
    ("given", "code"),
    [("th", "th"), ("TH", "th"), ("pt-BR", "pt"), ("zh_Hant", "zh"), ("Thai", "th"), ("nb", "no"), (" german ", "de")],
)
def test_language_codes(given: str, code: str) -> None:
    assert language_code(given) == code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "tai"}, "'tai' is no language that can be told apart; did you mean 'thai'"),
        ({"reasoning": "sam"}, "'sam' is no language that can be told apart"),
        ({"short": "unjuged"}, "short is one of unjudged, right, wrong; not 'unjuged'; did you mean 'unjudged'"),
        ({"max_switched": 10}, "max_switched is a number from 0 to 1, not 10"),
        ({"min_letters": 0}, "min_letters is a whole number of at least 1"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Language(**options)


def test_another_process_with_other_threads_and_hash_seed_says_the_same() -> None:
    program = (
        "import json, sys; from rl_reason_verifiers._language_id import LanguageId; m = LanguageId(); "
        "print(json.dumps([m.identify(t) for t in json.load(sys.stdin)]))"
    )
    texts = [text for row in SAMPLES.values() for text in (row["short"], row["short"][:12])]
    for seed, threads in (("1", "1"), ("2", "4")):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {program}"],
            input=json.dumps(texts),
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
        )
        assert json.loads(done.stdout) == [list(MODEL.identify(text)) for text in texts], done.stderr
