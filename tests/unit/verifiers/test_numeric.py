"""The number verifier: spellings, tolerances, units, and which number of a response counts."""

from __future__ import annotations

from typing import Any

import pytest
from rl_reason_verifiers.numeric import Numeric

from rl_reason.types import Prompt, Verdict

R, W, U = Verdict.RIGHT, Verdict.WRONG, Verdict.UNJUDGED


def verdict(answer: str, response: str, metadata: dict[str, Any] | None = None, **options: Any) -> Verdict:
    return Numeric(**options).verify(Prompt("p", "", answer, metadata=metadata or {}), response).verdict


@pytest.mark.parametrize(
    "response",
    [
        "1234.5",
        "1,234.50",
        "1 234.5",
        "1_234.5",
        "1'234.5",
        r"1{,}234.5",
        r"1\,234.5",
        "1.2345e3",
        "1.2345E+3",
        "1.2345 × 10^3",
        r"1.2345 \times 10^{3}",
        "1.2345·10³",
        "12345 * 10^-1",
        "2469/2",
        r"\frac{2469}{2}",
        "1234 1/2",
        r"1234\frac{1}{2}",
        "١٢٣٤٫٥",
        "１２３４．５",
        "+1234.5",
        "$1,234.50",
        r"\$1{,}234.50",
        "1234.5 kg",
        "x = 1234.5.",
        "**1234.5**",
    ],
)
def test_spellings_of_a_number(response: str) -> None:
    assert verdict("1234.5", response) is R
    assert verdict(response, "1234.5") is R
    assert verdict("1234.6", response) is W


@pytest.mark.parametrize(
    ("answer", "response", "expected"),
    [
        ("-5", "\N{MINUS SIGN}5", R),
        ("-5", "-$5", R),
        ("-5", "5", W),
        ("5", "10-5", R),  # not minus five
        ("0", "-0", R),
        ("0.75", ".75", R),
        ("0.000001", "10⁻⁶", R),
        ("1000000", "10^6", R),
        ("1000000", "10**6", R),
        ("2", "**2**", R),
        ("50", "50%", R),
        ("0.5", "50%", W),
        ("15", "1,5", W),
        ("1", "1e999999999", W),
        ("1", "9" * 100_000, W),
        ("1", "nan", W),
        ("2", "two", W),
        ("3", "", W),
        ("1", "1/0", W),
        ("", "3", U),
        ("inf", "inf", U),
        ("3 or 4", "3", U),
        (r"2\pi", "2", U),
        (r"\sqrt{51}", "51", U),
        ("5x", "5", U),
        ("x^2", "2", U),
        ("2^5", "2", U),
        ("3 < x", "3", U),
        ("x = 5", "5", R),
        ("5 apples in the box", "5", R),
        ("51", r"\boxed{\sqrt{51}}", W),
        ("3", r"\boxed{\sqrt[3]{7}}", W),
        ("2", r"\boxed{2\pi}", W),
        ("2", r"The answer is 2\sqrt{3}.", W),
        ("2", "the answer is 2x", W),
        ("5", "It costs 5 a day.", R),
        ("1" * 30_000, "1", U),
    ],
)
def test_signs_limits_and_references(answer: str, response: str, expected: Verdict) -> None:
    assert verdict(answer, response) is expected


@pytest.mark.parametrize(
    ("options", "answer", "response", "expected"),
    [
        ({"relative": 0.01}, "100", "101", R),
        ({"relative": 0.01}, "100", "101.01", W),
        ({"relative": 0.07}, "-100", "-107", R),
        ({"absolute": 0.1}, "0", "0.1", R),
        ({"absolute": 0.1}, "0", "0.10001", W),
        ({"relative": 0.01, "absolute": 5}, "100", "105", R),
        ({}, "0.1", "0.10000000000000000001", W),
        ({"significant_digits": 3}, "3.14159", "3.14", R),
        ({"significant_digits": 3}, "3.14159", "3.142", R),
        ({"significant_digits": 3}, "3.14159", "3.1", W),
        ({"significant_digits": 3}, "0.0012345", "1.23e-3", R),
        ({"significant_digits": 2}, "-95.5", "-96", R),
        ({"significant_digits": 2}, "99.6", "100", R),
        ({"significant_digits": 1}, "0", "0.0", R),
        ({"significant_digits": 1}, "0", "0.1", W),
    ],
)
def test_tolerances(options: dict[str, Any], answer: str, response: str, expected: Verdict) -> None:
    assert verdict(answer, response, **options) is expected


@pytest.mark.parametrize(
    ("answer", "response", "expected"),
    [
        ("5 m", "5 meters", R),
        ("5 m", "5m", R),
        ("5 m", "$5$ m", R),
        ("$5", "The answer is $5, not $6.", R),
        ("5 m", "5 cm", W),
        ("5 m", "500 cm", W),  # nothing is converted
        ("5 m", "5", W),
        ("$5", "5 dollars", R),
        ("5 dollars", r"\$5", R),
        ("60 km/h", "60 kilometers per hour", R),
        ("60 km/h", "60 kph", R),
        ("9 m^2", "9 square meters", R),
        ("9 m^2", "9 m²", R),
        ("9 m^2", r"9\text{ m}^2", R),
        ("9 m^2", "9 m", W),
        ("20 °C", "20°C", R),
        ("45°", r"45^\circ", R),
        ("5 MW", "5 mW", W),
        ("5%", "5 percent", R),
        ("3 apples", "The answer is 3 apples.", R),
        ("1 apple", "1 apples", R),
        ("5", "5 m", U),
    ],
)
def test_demanded_units(answer: str, response: str, expected: Verdict) -> None:
    assert verdict(answer, response, units="demand") is expected


def test_a_unit_from_the_metadata() -> None:
    assert verdict("5", "5 kilograms", {"unit": "kg"}, units="demand") is R
    assert verdict("5", "5 grams", {"unit": "kg"}, units="demand") is W
    assert verdict("5", "5 kg", {"unit": 7}, units="demand") is U
    assert verdict("5 kg", "5 grams") is R


@pytest.mark.parametrize(
    ("options", "response", "expected"),
    [
        ({}, r"\boxed{7} and then 8", R),
        ({}, r"\boxed{x = 7}", R),
        ({}, r"\boxed{3 + 4 = 7}", R),
        ({}, r"\boxed{3+4}", W),
        ({}, r"\boxed{6, 7}. The answer is 7.", R),  # a box of two numbers is passed over
        ({}, "#### 7\nThat is 9 more.", R),
        ({}, "#### 6\n#### 7", R),
        ({}, "The answer is 7, not 8.", R),
        ({}, "The answer is 7 since 10 - x = 3", R),
        ({}, "The answer is 3 + 4 = 7.", R),
        ({}, "The answer is 6. No, the answer is 7. It took 2 steps.", R),
        ({}, "**Answer:** 7", R),
        ({}, "The final answer is\n7", R),
        ({}, "1, 2, 7", R),
        ({}, "7, 8", W),
        ({}, "<think>the answer is 8</think>7", R),
        ({}, "<think>7", W),  # still thinking
        ({"places": ["box"]}, "7", W),
        ({"places": ["last"]}, r"\boxed{8} 7", R),
        ({"places": ["last", "box"]}, r"7 \boxed{8}", W),
        ({"close_tag": "</r>"}, "8</r>7", R),
    ],
)
def test_which_number_counts(options: dict[str, Any], response: str, expected: Verdict) -> None:
    assert verdict("7", response, **options) is expected


def test_decimal_comma() -> None:
    assert verdict("1234,5", "1.234,5", decimal_comma=True) is R
    assert verdict("1,5", "Die Antwort ist 1,5.", decimal_comma=True) is R
    assert verdict("1,5", "1.500", decimal_comma=True) is W
    assert verdict("1.5", "1,5", decimal_comma=True) is U  # the reference is read the same way: 1 and 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": "demanded"}, "units is one of ignore, demand; not 'demanded'; did you mean 'demand'"),
        (
            {"places": ["boxed"]},
            "each of places is one of box, hashes, answer_is, last; not 'boxed'; did you mean 'box'",
        ),
        ({"places": "box"}, "places is a list of some of"),
        ({"places": []}, "places names each of its choices once"),
        ({"relative": -0.1}, "relative is a number from 0 to 1, not -0.1"),
        ({"relative": "0.1"}, "relative is a number"),
        ({"significant_digits": 2.5}, "significant_digits is a whole number from 0 to 50, not 2.5"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Numeric(**options)
