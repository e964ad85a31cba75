"""`numeric`: right when the number that a response gives is the reference's, within a tolerance, units considered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import ClassVar

from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._extract import last_boxed
from rl_reason_verifiers._options import number, one_of, some_of, text
from rl_reason_verifiers._quantity import Quantity, canonical_unit, clean, is_one_number, quantities
from rl_reason_verifiers._thinking import part

PLACES = ("box", "hashes", "answer_is", "last")
_TAIL_CHARS = 20_000
"""Boxes and statements are looked for in so much of the response's end."""
_CLAIM_CHARS = 2_000
"""So much of what a box or a statement says is read, and of the end for the last number."""
_CUE = re.compile(
    r"\b(?:answer|result|solution)\b[*_\s]{0,3}(?:(?:is|are|equals|would be|should be)\b|[:=：])[ \t]?:?"
    r"|答案[是为]?[:：]?",
    re.I,
)
_HASHES = re.compile(r"^[^\S\n]?####([^\n]*)", re.M)
_CLAUSE_END = re.compile(r"\.(?=\s|$)|\n|;|\b(?:because|since|which|where|when|if|as)\b", re.I)


class Numeric:
    """The number that the response gives is the reference's, within a tolerance.

    Numbers are compared exactly, as fractions: `1,234.50`, `1 234.5`, `1.2345e3`, `1.2345 × 10^3`, `2469/2`,
    `1234 1/2`, `\\frac{2469}{2}` and the digits of other scripts are all read. Expressions are not evaluated: `3+4`
    is two numbers; `2\\pi`, `\\sqrt{5}`, `5x`, `\\infty` and `nan` are none. For algebra use `boxed_math`.

    Args:
        relative: largest difference that is still right, as a share of the reference. 0: none.
        absolute: largest difference that is still right, in the reference's unit. 0: none. The larger bound counts.
        significant_digits: if not 0, numbers that are equal when both are rounded to so many digits are right too.
        units: "ignore": what follows the number does not matter, so 5 m is 5 cm, and 50% is 50, not 0.5; "demand": the
            response must have the unit of the reference, or of `prompt.metadata["unit"]`. Only spellings are matched
            ("meters" and "m", "$5" and "5 dollars"); 500 cm is never 5 m.
        places: where the response's number is looked for; the first place that has one counts. "box": the last
            \\boxed{…}, which must hold one number (behind its last `=`); "hashes": the first number of the last line
            `#### …`; "answer_is": of the last "answer is …" or "answer: …"; "last": the last number there is.
        decimal_comma: read 1.234,5 as 1234.5, in the response and the reference.
        close_tag: ends the chain of thought; only what follows the last one is read. Everything, if it is absent.
    """

    example: ClassVar[dict[str, str]] = {"answer": "1,200 m", "response": "The answer is 1200 m."}

    def __init__(
        self,
        *,
        relative: float = 0.0,
        absolute: float = 0.0,
        significant_digits: int = 0,
        units: str = "ignore",
        places: Sequence[str] = PLACES,
        decimal_comma: bool = False,
        close_tag: str = "</think>",
    ) -> None:
        self._relative = Fraction(repr(number("relative", relative, high=1.0)))
        self._absolute = Fraction(repr(number("absolute", absolute, high=1e300)))
        self._significant_digits = int(number("significant_digits", significant_digits, high=50, whole=True))
        self._demand_unit = one_of("units", units, ("ignore", "demand")) == "demand"
        self._places = some_of("places", places, PLACES)
        self._decimal_comma = decimal_comma
        self._close_tag = text("close_tag", close_tag, empty=False)

    def verify(self, prompt: Prompt, response: str) -> Score:
        """WRONG when there is no number; UNJUDGED when the reference is not one number, or lacks a demanded unit."""
        reference = clean(prompt.answer[:_CLAIM_CHARS], decimal_comma=self._decimal_comma)
        wanted = quantities(reference)
        if not is_one_number(reference) or len(prompt.answer) > _CLAIM_CHARS:
            return Score(Verdict.UNJUDGED, None, reason=f"the reference {prompt.answer!r:.80} is not one number")
        unit = prompt.metadata.get("unit", wanted[0].unit)
        if self._demand_unit and not (isinstance(unit, str) and unit):
            return Score(Verdict.UNJUDGED, None, reason="units=demand, but neither reference nor metadata has a unit")
        found = self._find(part(response, close_tag=self._close_tag).answer[-_TAIL_CHARS:])
        if found is None:
            return _wrong("no number found in the response")
        if not self._close(found.value, wanted[0].value):
            return _wrong(f"{_shown(found)} is not {_shown(wanted[0])}")
        if self._demand_unit and found.unit != canonical_unit(unit):
            return _wrong(f"the unit is {found.unit or 'missing'}, not {canonical_unit(unit)}")
        return Score(Verdict.RIGHT, 1.0, {"numeric": 1.0})

    def _quantities(self, text: str) -> list[Quantity]:
        return quantities(clean(text, decimal_comma=self._decimal_comma))

    def _find(self, answer: str) -> Quantity | None:
        for place in self._places:
            found = self._candidates(place, answer)
            if found:
                return found[-1 if place == "last" else 0]
        return None

    def _candidates(self, place: str, answer: str) -> list[Quantity]:
        if place == "last":
            return self._quantities(answer[-_CLAIM_CHARS:])
        if place == "box":
            box = last_boxed(answer)
            boxed = clean(box.text[:_CLAIM_CHARS].rpartition("=")[2], decimal_comma=self._decimal_comma) if box else ""
            return quantities(boxed) if is_one_number(boxed) else []
        cues = list((_HASHES if place == "hashes" else _CUE).finditer(answer))
        if not cues:
            return []
        cue = cues[-1]
        claim = cue[1] if place == "hashes" else answer[cue.end() :].lstrip(" *_:\n")
        claim = claim[:_CLAIM_CHARS]
        end = _CLAUSE_END.search(claim)
        return self._quantities((claim[: end.start()] if end else claim).rpartition("=")[2])

    def _close(self, given: Fraction, wanted: Fraction) -> bool:
        if abs(given - wanted) <= max(self._absolute, self._relative * abs(wanted)):
            return True
        digits = self._significant_digits
        return bool(digits) and _rounded(given, digits) == _rounded(wanted, digits)


def _rounded(value: Fraction, digits: int) -> Fraction:
    """The value with so many significant digits; halves away from zero, as at school."""
    if not value:
        return value
    exponent = len(str(floor(abs(value)))) - 1
    while abs(value) < Fraction(10) ** exponent:
        exponent -= 1
    step = Fraction(10) ** (exponent - digits + 1)
    size = floor(abs(value) / step + Fraction(1, 2)) * step
    return size if value > 0 else -size


def _shown(quantity: Quantity) -> str:
    value = quantity.value
    number = str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"
    return (number if len(number) <= 30 else f"{number[:29]}…") + (f" {quantity.unit}" if quantity.unit else "")


def _wrong(reason: str) -> Score:
    return Score(Verdict.WRONG, 0.0, {"numeric": 0.0}, reason)
