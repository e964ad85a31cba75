"""The math verifier: what is the same, what is not, and what must not hang."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rl_reason_verifiers.boxed_math import BoxedMath

from rl_reason.types import Prompt, Verdict

MATH = BoxedMath()
SAME = [
    ("42", "42"),
    ("0.5", r"\frac{1}{2}"),
    ("0.5", r"\tfrac12"),
    ("1/2", r"\dfrac{2}{4}"),
    ("3/2", r"1\frac{1}{2}"),
    ("3/2", "1 1/2"),
    ("-7/2", r"-3\frac{1}{2}"),
    ("1000000", "1e6"),
    ("1234567", "1,234,567"),
    ("12345", r"12{,}345"),
    ("12345", r"12,\!345"),
    ("28%", "28"),
    ("28%", "0.28"),
    (r"28\%", "28 percent"),
    ("45", r"45^\circ"),
    (r"\frac{\pi}{4}", r"45^{\circ}"),
    ("10", "10 weeks"),
    ("10", r"10\text{ cm}^2"),
    ("42.5", r"\$42.50"),
    (r"x^2+2x+1", "(x+1)^2"),
    (r"\sqrt{8}", r"2\sqrt2"),
    (r"\frac{1}{\sqrt{3}}", r"\frac{\sqrt{3}}{3}"),
    (r"\tan^2 y + 1", r"\sec^2(y)"),
    (r"\log_2 8", "3"),
    (r"5!", "120"),
    (r"\binom{5}{2}", "10"),
    (r"\sum_{k=1}^{10} k", "55"),
    ("i(2-i)", "1+2i"),
    ("1101_2", "13"),
    ("13", "x = 13"),
    ("13", "7 + 6 = 13"),
    ("2x+3", "f(x) = 2x + 3"),
    ("2x+4y-3=0", r"y = -\frac{1}{2}x + \frac{3}{4}"),
    (r"x \le 5", r"5 \ge x"),
    ("x < 3", r"(-\infty, 3)"),
    ("(0, 12.5)", "0 < x < 12.5"),
    (r"[1/2, \infty)", r"x \in [0.5, \infty)"),
    (r"[0,1) \cup (2,3]", r"(2,3]\cup[0,1)"),
    (r"1 \pm \sqrt{19}", r"1-\sqrt{19}, 1+\sqrt{19}"),
    (r"\{1, 2, 3\}", "3, 2, 1"),
    ("(1, 4.5)", r"\left(1, \frac{9}{2}\right)"),
    (r"\begin{pmatrix}1/2&0\\0&1\end{pmatrix}", r"\begin{bmatrix} 0.5 & 0 \\ 0 & 1 \end{bmatrix}"),
    (r"\text{yes}", "Yes"),
    (r"\text{(no real root)}", r"\text{(no real root)}"),
    ("8:34 p.m.", "20:34"),
    ("0.8660254", r"\frac{\sqrt{3}}{2}"),
    (r"\frac13", "0.333"),
]
DIFFERENT = [
    ("42", "43"),
    ("5", "5.001"),
    ("0.5", r"\frac{1}{3}"),
    ("2", "2 2/3"),
    ("3.14", "3.15"),
    ("0.33", "0.34"),
    ("(0,9)", "[0,9)"),
    ("(1, 2)", "(2, 1)"),
    ("4, 12, 2", "10, 4, 2"),
    ("1, 1, 2", "1, 2, 2"),
    (r"\sqrt{67},-\sqrt{85}", r"\sqrt{67}"),
    ("7", "1, 7"),
    (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),
    (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
    ("1/3", "0.3"),
    ("2x+z=1", "1"),
    ("x = 2", "x = 3"),
    ("|x|", "x"),
    ("x+2n+1", "x+1"),
    ("E", "2E"),
    ("odd", "even"),
    ("-1", "1"),
    ("0", r"10^{-100}"),
    (r"1-\frac{1}{e}", r"1+\frac{1}{e}"),
    ("1, 2, 3", r"1, 2, \ldots, 3"),
    ("5", "5 = 6"),
]


def verdict(reference: str, boxed: str) -> Verdict:
    return MATH.verify(Prompt("p", "", reference), f"so \\boxed{{{boxed}}}.").verdict


@pytest.mark.parametrize(("reference", "answer"), SAME)
def test_same(reference: str, answer: str) -> None:
    assert verdict(reference, answer) is Verdict.RIGHT
    assert verdict(f"$\\boxed{{{reference}}}$", answer) is Verdict.RIGHT


@pytest.mark.parametrize(("reference", "answer"), DIFFERENT)
def test_different(reference: str, answer: str) -> None:
    assert verdict(reference, answer) is Verdict.WRONG


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (r"first \boxed{1}, no: \boxed{4}", Verdict.RIGHT),
        (r"\boxed{4}, no: \boxed{1}", Verdict.WRONG),
        (r"\boxed{\boxed{4}}", Verdict.RIGHT),
        (r"\boxed{\frac{8}{\sqrt{4}}} and more", Verdict.RIGHT),
        (r"\boxed 4", Verdict.RIGHT),
        (r"\fbox{4} then truncated \boxed{\frac{1}{", Verdict.RIGHT),
        ("Final answer: 4", Verdict.RIGHT),
        ("The final answer is $4$. I hope it is correct.", Verdict.RIGHT),
        ("2 + 2 = 4\n#### 4", Verdict.RIGHT),
        ("it is 4", Verdict.RIGHT),  # the last expression
        ("it is 4, of 7", Verdict.WRONG),
        ("4", Verdict.RIGHT),
        ("$4$", Verdict.RIGHT),
        ("**4**", Verdict.RIGHT),
        ("<answer>4</answer>", Verdict.RIGHT),
        ("<think>it is 5</think> The answer is 4.", Verdict.RIGHT),
        (r"<think>\boxed{4}</think> So \boxed{5}.", Verdict.WRONG),
        (r"<think>\boxed{4}</think>", Verdict.RIGHT),
        (r"We get \boxed{3}. Adding 1, the final answer is 4.", Verdict.RIGHT),
        (r"\boxed{x = \boxed{4}}", Verdict.RIGHT),
        (r"\boxed{15/4} or \boxed{3.75}", Verdict.WRONG),
        (r"\boxed{8/2} or \boxed{4}", Verdict.RIGHT),
        (r"\boxed{4} and \boxed{5}", Verdict.WRONG),
        ("The answer is 4 because 2 + 2 is not 5.", Verdict.RIGHT),
        ("Answer: 3 was a guess.\nAnswer: 4", Verdict.RIGHT),
        ("**Answer:** 4", Verdict.RIGHT),
        ("**Final Answer**\n\n$$4$$", Verdict.RIGHT),
        ("So 4 is the answer, as 5 is too many.", Verdict.RIGHT),
        ("Final answer: the largest $n$ is 4.", Verdict.RIGHT),
        ("答案是4。", Verdict.RIGHT),
        ("答案\uff1a$4$", Verdict.RIGHT),
        ("Ответ: 4.", Verdict.RIGHT),
        ("He pays $6 - $2 = $4 for 9 apples.", Verdict.RIGHT),
        ("He pays $6 - $2 = $4.", Verdict.RIGHT),
        ("They need 3 + 1 = <<3+1=4>>4 weeks.\nA: 4", Verdict.RIGHT),
        ("First 4, then 4 * 2 = 8", Verdict.WRONG),
        ("There are 4 cats and 3 dogs, so 7 animals.", Verdict.WRONG),
        ("The answer is unclear.", Verdict.WRONG),
        ("", Verdict.WRONG),
        ("\\boxed{}", Verdict.WRONG),
        ("\x00\ud800 \\boxed{\ud800}", Verdict.WRONG),
    ],
)
def test_extraction(response: str, expected: Verdict) -> None:
    assert MATH.verify(Prompt("p", "", "4"), response).verdict is expected


def test_fallbacks_are_a_choice() -> None:
    assert BoxedMath(fallbacks=()).verify(Prompt("p", "", "4"), "#### 4").verdict is Verdict.WRONG
    assert BoxedMath(fallbacks=["last_number"]).verify(Prompt("p", "", "4"), "it is 4.").verdict is Verdict.RIGHT
    assert BoxedMath(fallbacks=["last_math"]).verify(Prompt("p", "", "4"), "it is $2+2$").verdict is Verdict.RIGHT
    with pytest.raises(ValueError, match="final_answer, hashes"):
        BoxedMath(fallbacks=["guess"])


def table(name: str) -> list[tuple[str, str, Verdict]]:
    """(reference, answer or response, verdict) of each line of a file beside this one."""
    lines = re.findall(r"^(?!# )(.*?)  (==|!=)  (.*)$", Path(__file__).with_name(name).read_text(), re.M)
    return [(left, right, Verdict.RIGHT if sign == "==" else Verdict.WRONG) for left, sign, right in lines]


PAIRS = table("math_pairs.txt")


def test_the_table_of_pairs_is_read() -> None:
    assert len(PAIRS) > 500
    assert ("3/2", "1 1/2", Verdict.RIGHT) in PAIRS
    assert ("11/2", "1 1/2", Verdict.WRONG) in PAIRS


@pytest.mark.parametrize(("reference", "answer", "expected"), PAIRS)
def test_pair(reference: str, answer: str, expected: Verdict) -> None:
    assert verdict(reference, answer) is expected
    assert verdict(answer, reference) is expected, "the other way round"
    assert (
        MATH.verify(Prompt("p", "", f"$\\boxed{{{reference}}}$"), f"The answer is $\\boxed{{{answer}}}$.").verdict
        is expected
    )


@pytest.mark.parametrize(("reference", "response", "expected"), table("math_responses.txt"))
def test_response_without_a_box(reference: str, response: str, expected: Verdict) -> None:
    text = re.sub(r"\\n(?![a-z])", "\n", response)
    assert MATH.verify(Prompt("p", "", reference), text).verdict is expected


@pytest.mark.parametrize("answer", sorted({side for reference, answer, _ in PAIRS for side in (reference, answer)}))
def test_every_answer_is_itself(answer: str) -> None:
    assert verdict(answer, answer) is Verdict.RIGHT
    assert verdict(answer, f"\\left. {answer}\\right.") is not Verdict.UNJUDGED


@pytest.mark.parametrize(
    ("option", "reference", "answer"),
    [
        ({"percent_either": False}, "28%", "28"),
        ({"degree_either": False}, "45", r"45^\circ"),
        ({"rounding_decimals": -1}, r"\frac13", "0.333"),
        ({"rounding_decimals": 4}, r"\frac13", "0.333"),
        ({"unit_optional": False}, "5", "5 cm"),
        ({"ordered_lists": True}, "1, 2, 3", "3, 2, 1"),
        ({"option_text": False}, "B", r"\text{(B) } 5"),
    ],
)
def test_an_option_makes_it_stricter(option: dict[str, Any], reference: str, answer: str) -> None:
    prompt, response = Prompt("p", "", reference), f"\\boxed{{{answer}}}"
    assert MATH.verify(prompt, response).verdict is Verdict.RIGHT
    assert BoxedMath(**option).verify(prompt, response).verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("option", "reference", "answer", "expected"),
    [
        ({"rel_tolerance": 0.01}, "100", "100.9", Verdict.RIGHT),
        ({"rel_tolerance": 0.01}, "100", "101.1", Verdict.WRONG),
        ({"rel_tolerance": 0.01}, r"\pi", r"\frac{22}{7}", Verdict.RIGHT),
        ({"abs_tolerance": 0.5}, "100", "100.5", Verdict.RIGHT),
        ({"abs_tolerance": 0.5}, "100", "100.51", Verdict.WRONG),
        ({"abs_tolerance": 0.5}, "(1, 2)", "(1.1, 2.5)", Verdict.RIGHT),
        ({"abs_tolerance": 0.5}, "x", "x + 0.1", Verdict.WRONG),
        ({}, "100", "100.0001", Verdict.WRONG),
    ],
)
def test_tolerance(option: dict[str, Any], reference: str, answer: str, expected: Verdict) -> None:
    assert BoxedMath(**option).verify(Prompt("p", "", reference), f"\\boxed{{{answer}}}").verdict is expected


def test_a_tolerance_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        BoxedMath(rel_tolerance=-0.1)


@pytest.mark.parametrize("reference", ["", "   ", "$$", "1" * 3000, r"9^{9^{9^{9}}}"])
def test_an_unusable_reference_is_unjudged(reference: str) -> None:
    score = MATH.verify(Prompt("p", "", reference), r"\boxed{1}")
    assert (score.verdict, score.reward) == (Verdict.UNJUDGED, None) and score.reason


@pytest.mark.parametrize(
    "answer",
    [
        r"\prod_{k=1}^{10^7} k",
        r"\sum_{k=1}^{1000}\sum_{j=1}^{1000}\sum_{i=1}^{1000} 1",
        r"\lfloor (2+\sqrt{3})^{1000000} \rfloor",
        "(" * 5_000 + "1" + ")" * 5_000,
        "(" * 900 + "2" + ")" * 900,
        r"\sqrt" * 300 + "2",
        "-" * 1_500 + "2",
        "2^" * 400 + "2",
        "1+" * 800 + "1",
        r"\frac" * 200 + "12",
        "{" * 400 + "}" * 400,
        "2" + "!" * 500,
        "1e9999",
        "|" * 300,
        "a b" * 400,
        "A. " * 600,
        "(A) " * 450,
    ],
)
def test_monsters_are_never_right_and_quick(answer: str) -> None:
    begin = time.perf_counter()
    assert verdict("1", answer) is not Verdict.RIGHT
    assert time.perf_counter() - begin < 1.0


@pytest.mark.parametrize(
    "answer",
    [
        *("9^{9^{9^{9}}}", "10^{10^{10}}", "100000000!", "((10!)!)!", "1.1^{6472416997}", "7" * 10_000, "7" * 1_500),
        *("-9^{9^{9^{9}}}", "2+5^{10^{100}}", r"3 \cdot 10^{9^{99}}"),
    ],
)
def test_numbers_too_large_to_write_out_are_certainly_not_one(answer: str) -> None:
    begin = time.perf_counter()
    assert verdict("1", answer) is Verdict.WRONG
    assert time.perf_counter() - begin < 1.0


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("1", "(" * 900 + "1" + ")" * 900),
        ("0", "1-1" + "+1-1" * 300),
        ("0", r"10^{10^{30}} - 10^{10^{30}}"),
        ("1", r"\frac{10^{10^{30}}}{10^{10^{30}}}"),
        ("1", "0" * 3_000 + "1"),
    ],
)
def test_what_may_be_right_but_is_past_the_bounds_is_unjudged(reference: str, answer: str) -> None:
    score = MATH.verify(Prompt("p", "", reference), f"\\boxed{{{answer}}}")
    assert (score.verdict, score.reward) == (Verdict.UNJUDGED, None) and score.reason


def test_long_hostile_responses_are_searched_quickly() -> None:
    for unit in (r"\boxed{", "$", r"\[", "final answer is ", "#### ", "answer: ", " ", "\\boxed{1} and "):
        begin = time.perf_counter()
        BoxedMath(fallbacks=("final_answer", "hashes", "answer_colon", "whole", "last_expression", "last_math")).verify(
            Prompt("p", "", "1"), unit * (400_000 // len(unit))
        )
        assert time.perf_counter() - begin < 2.0, unit


def test_cheap_comparisons_import_no_mathematics_package() -> None:
    program = (
        "import sys; from rl_reason.types import Prompt; from rl_reason_verifiers.boxed_math import BoxedMath; "
        "v = BoxedMath(); print([v.verify(Prompt('p', '', r), '\\\\boxed{' + a + '}').verdict.value for r, a in "
        "[('4', '4'), ('1/2', '0.5'), ('3', '4'), ('(1,2)', '(1,3)'), ('7', '5!')]], "
        "[name for name in ('sympy', 'mpmath', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {program}"], capture_output=True, text=True
    )
    assert done.stdout.strip() == "['right', 'right', 'wrong', 'wrong', 'wrong'] []", done.stderr


CASES = Path(__file__).parents[4] / "shared" / "data" / "grader_cases.jsonl"


@pytest.mark.skipif(not CASES.exists(), reason="the collected grader cases are not on this machine")
def test_agreement_with_collected_cases() -> None:
    rows = [json.loads(line) for line in CASES.read_text().splitlines()]
    core = [row for row in rows if "convention" not in row]
    verdicts = [MATH.verify(Prompt("p", "", row["answer"]), row["response"]).verdict for row in core]
    agreed = [(v is Verdict.RIGHT) == row["expected"] for v, row in zip(verdicts, core, strict=True)]
    falsely_right = [
        row["id"] for v, row in zip(verdicts, core, strict=True) if v is Verdict.RIGHT and not row["expected"]
    ]
    assert sum(agreed) / len(core) >= 0.97
    assert falsely_right == []
