"""`format`: right when the response is one well-formed think block and then an answer that is not empty."""

from __future__ import annotations

from rl_reason.types import Prompt, Score, Verdict


class Format:
    """The response is one well-formed think block and then an answer; what they say does not matter.

    Args:
        open_tag: begins the chain of thought.
        close_tag: ends it.
        opened_by_prompt: "auto" takes both ways; "yes" when the chat template writes the open tag at the end of the
            prompt, so the response must not have it; "no" when the response must begin with it.
        require: a string that the answer after the close tag must contain, such as `\\boxed{`; none if empty.
    """

    def __init__(
        self,
        *,
        open_tag: str = "<think>",
        close_tag: str = "</think>",
        opened_by_prompt: str = "auto",
        require: str = "",
    ) -> None:
        if opened_by_prompt not in ("auto", "yes", "no"):
            raise ValueError(f"opened_by_prompt is auto, yes or no, not {opened_by_prompt!r}")
        if not open_tag or not close_tag:
            raise ValueError("open_tag and close_tag must not be empty")
        self._open, self._close = open_tag, close_tag
        self._opened_by_prompt = opened_by_prompt
        self._require = require

    def verify(self, prompt: Prompt, response: str) -> Score:
        """RIGHT or WRONG, with what is wrong as the reason; every string can be judged."""
        fault = self._fault(response)
        value = 0.0 if fault else 1.0
        return Score(Verdict.WRONG if fault else Verdict.RIGHT, value, {"format": value}, fault)

    def _fault(self, response: str) -> str:
        opened, closed = response.count(self._open), response.count(self._close)
        if closed != 1:
            return f"{self._close} occurs {closed} times, not once"
        allowed = {"auto": (0, 1), "yes": (0,), "no": (1,)}[self._opened_by_prompt]
        if opened not in allowed:
            return f"{self._open} occurs {opened} times, not {' or '.join(map(str, allowed))}"
        if opened and not response.lstrip().startswith(self._open):
            return f"the response does not begin with {self._open}"
        thought, _, answer = response.partition(self._close)
        if not thought.replace(self._open, "").strip():
            return "there is no thought in the think block"
        if not answer.strip():
            return f"there is no answer after {self._close}"
        if self._require not in answer:
            return f"the answer does not contain {self._require!r}"
        return ""
