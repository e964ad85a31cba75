"""`exact`: right when the response, or what a pattern finds in it, is a reference answer letter for letter."""

from __future__ import annotations

import re
from typing import ClassVar

from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._options import one_of, text
from rl_reason_verifiers._unicode import FORMS, normal_form


class Exact:
    """The response, or what a pattern finds in it, is the reference answer letter for letter.

    Several answers are accepted when `prompt.metadata["answers"]` is a list of strings: any of them, and
    `prompt.answer` too where that is not empty.

    Args:
        pattern: regular expression; the answer is the first group (or all) of its last match. Whole response if empty.
            Write one without nested repeats such as `(a+)+`: a response that makes it slow is could-not-judge.
        after: the answer is only looked for behind the last place where this string stands, such as `</think>`; a
            response without it is WRONG. Everywhere if empty.
        ignore_case: compare without regard to case.
        squeeze_spaces: strip the ends and make every run of white space one blank, on both sides.
        ignore_spaces: compare without any white space.
        normal_form: Unicode form of both sides. "NFC": the same letters in another encoding are the same; "NFKC":
            so are full-width and other compatibility forms; "NFD" and "NFKD" are their decomposed twins; "none".
    """

    example: ClassVar[dict[str, str]] = {"answer": "Paris", "response": "Paris"}

    def __init__(
        self,
        *,
        pattern: str = "",
        after: str = "",
        ignore_case: bool = False,
        squeeze_spaces: bool = True,
        ignore_spaces: bool = False,
        normal_form: str = "NFC",
    ) -> None:
        try:
            self._pattern = re.compile(text("pattern", pattern), re.DOTALL) if pattern else None
        except re.error as error:
            raise ValueError(f"pattern {pattern!r} is no regular expression: {error}") from error
        self._after = text("after", after)
        self._ignore_case = ignore_case
        self._squeeze_spaces = squeeze_spaces
        self._ignore_spaces = ignore_spaces
        self._form = one_of("normal_form", normal_form, (*FORMS, "none"))

    def verify(self, prompt: Prompt, response: str) -> Score:
        """RIGHT or WRONG; UNJUDGED when the prompt has no usable reference answer."""
        more = prompt.metadata.get("answers", [])
        if not isinstance(more, list | tuple) or not all(isinstance(answer, str) for answer in more):
            return Score(Verdict.UNJUDGED, None, reason=f"metadata answers must be a list of strings, not {more!r:.80}")
        accepted = [answer for answer in (prompt.answer, *more) if answer]
        if not accepted:
            return Score(Verdict.UNJUDGED, None, reason="the prompt has no reference answer")
        _, found, given = response.rpartition(self._after) if self._after else ("", "", response)
        if self._after and not found:
            return _wrong(f"there is no {self._after!r} in the response")
        if self._pattern is not None:
            matches = list(self._pattern.finditer(given))
            if not matches:
                return _wrong("the pattern found no answer")
            given = matches[-1].group(1 if self._pattern.groups else 0) or ""
        given = self._normal(given)
        if any(given == self._normal(answer) for answer in accepted):
            return Score(Verdict.RIGHT, 1.0, {"exact": 1.0})
        return _wrong("differs" if len(accepted) == 1 else f"differs from all {len(accepted)} accepted answers")

    def _normal(self, text: str) -> str:
        if self._form != "none":
            text = normal_form(text, self._form)
        if self._ignore_spaces or self._squeeze_spaces:
            text = ("" if self._ignore_spaces else " ").join(text.split())
        return text.casefold() if self._ignore_case else text


def _wrong(reason: str) -> Score:
    return Score(Verdict.WRONG, 0.0, {"exact": 0.0}, reason)
