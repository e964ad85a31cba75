"""`exact`: right when the response, or what a pattern finds in it, is the reference answer letter for letter."""

from __future__ import annotations

import re

from rl_reason.types import Prompt, Score, Verdict


class Exact:
    """The response, or what a pattern finds in it, is the reference answer letter for letter.

    Args:
        pattern: regular expression; the answer is the first group (or all) of its last match. Whole response if empty.
        ignore_case: compare without regard to case.
        squeeze_spaces: strip the ends and make every run of white space one blank, on both sides.
    """

    def __init__(self, *, pattern: str = "", ignore_case: bool = False, squeeze_spaces: bool = True) -> None:
        self._pattern = re.compile(pattern, re.DOTALL) if pattern else None
        self._ignore_case = ignore_case
        self._squeeze_spaces = squeeze_spaces

    def verify(self, prompt: Prompt, response: str) -> Score:
        """RIGHT or WRONG; UNJUDGED when the prompt has no reference answer."""
        if not prompt.answer:
            return Score(Verdict.UNJUDGED, None, reason="the prompt has no reference answer")
        given = response
        if self._pattern is not None:
            matches = list(self._pattern.finditer(response))
            if not matches:
                return Score(Verdict.WRONG, 0.0, {"exact": 0.0}, "the pattern found no answer")
            given = matches[-1].group(1 if self._pattern.groups else 0) or ""
        right = self._normal(given) == self._normal(prompt.answer)
        value = float(right)
        return Score(Verdict.RIGHT if right else Verdict.WRONG, value, {"exact": value}, "" if right else "differs")

    def _normal(self, text: str) -> str:
        text = " ".join(text.split()) if self._squeeze_spaces else text
        return text.casefold() if self._ignore_case else text
