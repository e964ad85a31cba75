"""`boxed_math`: the last \\boxed{…} of a response against the reference answer, as mathematics.

Cheap comparisons come first (same text, same plain number); only what is left is parsed and evaluated. Everything is
bounded in size before it is evaluated, so no answer can hang the verifier: towers of powers, 10,000 digits and deep
nesting are WRONG (when the reference is a sound one) within milliseconds. It never calls a computer algebra system's
simplifier: expressions are compared by their values at fixed sample points, to 80 digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._equivalence import Policy, equivalent, measurable
from rl_reason_verifiers._evaluate import TooLarge
from rl_reason_verifiers._extract import DEFAULT_FALLBACKS, FALLBACKS, find_answer, last_boxed
from rl_reason_verifiers._latex import parse
from rl_reason_verifiers._text import bare_words, clock, decimal_comma, normal, plain_number
from rl_reason_verifiers._tokens import Node, Unreadable

MAX_ANSWER_CHARS = 2_000


class BoxedMath:
    """The last boxed answer means, as mathematics, what the reference answer means.

    Args:
        fallbacks: where to look when a response has no box, in this order: "final_answer" (final answer is X),
            "hashes" (#### X), "answer_colon" (answer: X, the answer is X), "whole" (all of a short response without
            words), "last_math" ($X$), "last_number".
        percent_either: 10% equals both 0.1 and 10; False: only 0.1.
        degree_either: 45° equals 45; False: only π/4.
        rounding_decimals: a decimal with at least so many places equals an exact value that rounds to it; -1: never.
    """

    example: ClassVar[dict[str, str]] = {"answer": "\\frac{1}{2}", "response": "So it is \\boxed{0.5}."}

    def __init__(
        self,
        *,
        fallbacks: Sequence[str] = DEFAULT_FALLBACKS,
        percent_either: bool = True,
        degree_either: bool = True,
        rounding_decimals: int = 2,
    ) -> None:
        unknown = [name for name in fallbacks if name not in FALLBACKS]
        if isinstance(fallbacks, str) or unknown:
            raise ValueError(f"fallbacks is a list of some of {', '.join(FALLBACKS)}; not {fallbacks!r}")
        self._fallbacks = tuple(fallbacks)
        self._policy = Policy(percent_either, degree_either, rounding_decimals)

    def verify(self, prompt: Prompt, response: str) -> Score:
        """WRONG when there is no answer; UNJUDGED when the reference is missing, too long or past the budget."""
        reference = _reference(prompt.answer)
        if not reference:
            return Score(Verdict.UNJUDGED, None, reason="the prompt has no reference answer")
        if len(reference) > MAX_ANSWER_CHARS:
            return Score(Verdict.UNJUDGED, None, reason=f"the reference has over {MAX_ANSWER_CHARS} characters")
        found = find_answer(response, self._fallbacks)
        if not found:
            return _wrong("no answer found in the response")
        if len(found) > MAX_ANSWER_CHARS:
            return _wrong(f"the answer has over {MAX_ANSWER_CHARS} characters")
        return self._compare(reference, normal(found))

    def _compare(self, reference: str, answer: str) -> Score:
        if reference.replace(" ", "") == answer.replace(" ", ""):
            return _right()
        if _same_at_a_glance(reference, answer):
            return _right()
        wanted = _parsed(reference)
        if wanted is None:
            return _wrong(f"{answer[:80]!r} is not, letter for letter, {reference[:80]!r}")
        if not measurable(wanted):
            return Score(Verdict.UNJUDGED, None, reason="the reference is past the evaluation budget")
        given = _parsed(answer) or _parsed(answer.rpartition("=")[2] if "=" not in reference else "")
        if given is None:
            return _wrong(f"{answer[:80]!r} cannot be read as mathematics")
        try:
            same = equivalent(wanted, given, self._policy)
        except TooLarge as error:
            return _wrong(f"{answer[:80]!r} is past the evaluation budget: {error}")
        return _right() if same else _wrong(f"{answer[:80]!r} is not {reference[:80]!r}")


def _same_at_a_glance(reference: str, answer: str) -> bool:
    """Equal as plain numbers, as words or as times of day."""
    wanted, given = plain_number(reference), plain_number(answer)
    if given is None and wanted is not None and "." in reference:
        given = decimal_comma(answer)
    if wanted is None and given is not None and reference.startswith("0,"):
        wanted = decimal_comma(reference)
    if wanted is not None and wanted == given:
        return True
    words = bare_words(reference)
    if words and words == bare_words(answer):
        return True
    times = clock(reference), clock(answer)
    if times[0] is None or times[1] is None:
        return False
    return times[0][0] == times[1][0] and (times[0][1] or times[1][1])


def _right() -> Score:
    return Score(Verdict.RIGHT, 1.0, {"boxed_math": 1.0})


def _wrong(reason: str) -> Score:
    return Score(Verdict.WRONG, 0.0, {"boxed_math": 0.0}, reason)


@lru_cache(maxsize=4096)
def _reference(text: str) -> str:
    """The reference in one spelling; it may be a whole solution that ends in a box or in #### X."""
    if len(text) > MAX_ANSWER_CHARS and last_boxed(text) is None:
        return text
    found = find_answer(text, ("hashes",)) or text
    return normal(found) if len(found) <= MAX_ANSWER_CHARS else found


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Node | None:
    try:
        return parse(text)
    except Unreadable:
        return None
