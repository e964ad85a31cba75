r"""`boxed_math`: the last \boxed{…} of a response against the reference answer, as mathematics.

Cheap comparisons come first (same text, same plain number); only what is left is parsed and evaluated. Everything is
bounded in size before it is evaluated, so no answer can hang the verifier: what is past the bounds is WRONG when it is
certainly not the reference (a tower of powers against 1) and UNJUDGED otherwise.

No computer algebra system is called: expressions are compared by their values at fixed sample points, to 80 digits,
which always ends. Tried: sympy's `simplify` on the differences of 1,503 pairs that sampling had called different, from
the tests' table of pairs, MATH-500's answers against each other and the collected graders' cases. It called none of
them equal but 10 that differ in their units or words, which it was not told, and took 0.3 s a pair.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._equivalence import equivalent, measurable
from rl_reason_verifiers._evaluate import TooLarge
from rl_reason_verifiers._extract import DEFAULT_FALLBACKS, FALLBACKS, find_answer, last_boxed, unclosed_box
from rl_reason_verifiers._latex import parse
from rl_reason_verifiers._magnitude import certainly_larger
from rl_reason_verifiers._phrases import choice, meaning
from rl_reason_verifiers._scalar import Policy
from rl_reason_verifiers._text import bare_words, clock, decimal_comma, letters, normal, plain_number, unwrapped
from rl_reason_verifiers._tokens import Node, TooLong, Unreadable

MAX_ANSWER_CHARS = 2_000
_DIGITS = re.compile(r"[-+]?0*([1-9]\d*)")


class BoxedMath:
    """The last boxed answer means, as mathematics, what the reference answer means.

    Args:
        fallbacks: where to look when a response has no box, in this order: "answer_tag" (<answer>X</answer>),
            "final_answer" (final answer is X; also overrules a box that stands before it), "hashes" (#### X),
            "answer_colon" (answer: X, the answer is X, X is the answer), "whole" (all of a short response without
            words), "last_expression" (the last number or $X$), "last_math" ($X$ alone), "last_number".
        percent_either: 10% equals both 0.1 and 10; False: only 0.1.
        degree_either: 45° equals 45; False: only π/4.
        rounding_decimals: a decimal with at least so many places equals an endless one that rounds, or is cut, to it;
            -1: never.
        unit_optional: a unit or currency that only one side has is passed over; False: both or neither must have one.
            Two that differ are converted (100 cm is 1 m, 5 cm is not 5 m). Words that are no unit never count.
        ordered_lists: 1, 2 differs from 2, 1; False: the order of a list counts only against (1, 2).
        option_text: `(B) 5` equals both B and 5; False: only `(B) 5`.
        rel_tolerance: constants that differ by at most this share of the reference are equal; 0: exactly equal.
        abs_tolerance: the same as a plain difference.
    """

    example: ClassVar[dict[str, str]] = {"answer": "\\frac{1}{2}", "response": "So it is \\boxed{0.5}."}

    def __init__(
        self,
        *,
        fallbacks: Sequence[str] = DEFAULT_FALLBACKS,
        percent_either: bool = True,
        degree_either: bool = True,
        rounding_decimals: int = 2,
        unit_optional: bool = True,
        ordered_lists: bool = False,
        option_text: bool = True,
        rel_tolerance: float = 0.0,
        abs_tolerance: float = 0.0,
    ) -> None:
        unknown = [name for name in fallbacks if name not in FALLBACKS]
        if isinstance(fallbacks, str) or unknown:
            raise ValueError(f"fallbacks is a list of some of {', '.join(FALLBACKS)}; not {fallbacks!r}")
        if not (rel_tolerance >= 0 and abs_tolerance >= 0):
            raise ValueError(f"tolerances are 0 or more; not {rel_tolerance} and {abs_tolerance}")
        self._fallbacks = tuple(fallbacks)
        self._option_text = option_text
        self._policy = Policy(
            percent_either,
            degree_either,
            rounding_decimals,
            unit_optional,
            ordered_lists,
            rel_tolerance,
            abs_tolerance,
        )

    def verify(self, prompt: Prompt, response: str) -> Score:
        """WRONG when there is no answer or it is no mathematics; UNJUDGED when the reference is missing or unusable,
        or when the answer is past the bounds and may be the reference all the same."""
        reference = _reference(prompt.answer)
        if not reference:
            return _unjudged("the prompt has no reference answer")
        if len(reference) > MAX_ANSWER_CHARS:
            return _unjudged(f"the reference has over {MAX_ANSWER_CHARS} characters")
        found = find_answer(response, self._fallbacks)
        if not found:
            return _wrong("no answer found in the response")
        if len(found) > MAX_ANSWER_CHARS:
            reason = f"the answer has over {MAX_ANSWER_CHARS} characters"
            return _wrong(reason) if _other_digits(reference, found) else _unjudged(reason)
        return self._compare(reference, _spelled(found), self._option_text)

    def _compare(self, reference: str, answer: str, with_options: bool = False) -> Score:
        if letters(reference) == letters(answer) or _same_at_a_glance(reference, answer):
            return _right()
        if with_options:
            chosen = self._chosen(reference, answer)
            if chosen is not None:
                return chosen
        wanted, _ = _parsed(reference)
        if wanted is None:
            return _wrong(f"{answer[:80]!r} is not, letter for letter, {reference[:80]!r}")
        if not measurable(wanted):
            return _unjudged("the reference is past the evaluation budget")
        given, too_long = _read(answer)
        if given is None and "=" in answer and "=" not in reference:
            given, too_long = _read(answer.rpartition("=")[2])
        if given is None:
            unsure = too_long and not _other_digits(reference, answer)
            return _unjudged(too_long) if unsure else _wrong(f"{answer[:80]!r} cannot be read as mathematics")
        try:
            same = equivalent(wanted, given, self._policy)
        except TooLarge as error:
            reason = f"{answer[:80]!r} is past the evaluation budget: {error}"
            return _wrong(reason) if certainly_larger(given, wanted) else _unjudged(reason)
        return _right() if same else _wrong(f"{answer[:80]!r} is not {reference[:80]!r}")

    def _chosen(self, reference: str, answer: str) -> Score | None:
        """The verdict on a multiple-choice answer; None if the letters alone do not settle it."""
        wanted, given = choice(reference), choice(answer)
        if wanted and given:
            if wanted[0] != given[0]:
                return _wrong(f"option {given[0]} is not option {wanted[0]}")
            return _right() if not (wanted[1] and given[1]) else self._compare(wanted[1], given[1])
        for option, other in ((wanted, answer), (given, reference)):
            if option and option[1]:
                score = self._compare(*((option[1], other) if option is wanted else (other, option[1])))
                if score.verdict is Verdict.RIGHT:
                    return score
        return None


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


def _other_digits(reference: str, answer: str) -> bool:
    """Whether both are whole numbers, digit for digit different: certain at any length."""
    given, wanted = _DIGITS.fullmatch(answer), plain_number(reference)
    return bool(given and wanted is not None and len(given[1]) > len(str(abs(wanted.numerator))))


def _right() -> Score:
    return Score(Verdict.RIGHT, 1.0, {"boxed_math": 1.0})


def _wrong(reason: str) -> Score:
    return Score(Verdict.WRONG, 0.0, {"boxed_math": 0.0}, reason)


def _unjudged(reason: str) -> Score:
    return Score(Verdict.UNJUDGED, None, reason=reason)


@lru_cache(maxsize=256)
def _reference(text: str) -> str:
    """The reference in one spelling; it may be a whole solution that ends in a box or in #### X."""
    if len(text) > MAX_ANSWER_CHARS and last_boxed(text) is None:
        return text
    found = find_answer(text, ("hashes",)) or unclosed_box(text) or text
    return _spelled(found) if len(found) <= MAX_ANSWER_CHARS else found


def _spelled(text: str) -> str:
    """One spelling, with what words mean in mathematics."""
    text = normal(text)
    return (meaning(unwrapped(text)) or text) if bare_words(text) else text


def _read(text: str) -> tuple[Node | None, str]:
    """(the tree, why it is past the parser's bounds); the tree is None if it cannot be read."""
    try:
        return parse(text), ""
    except TooLong as error:
        return None, str(error)
    except Unreadable:
        return None, ""


_parsed = lru_cache(maxsize=256)(_read)
"""For references, which come again and again."""
