"""`format`: right when the response is a well-formed think block and then an answer that is not empty."""

from __future__ import annotations

import re
from typing import ClassVar

from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._extract import last_boxed
from rl_reason_verifiers._options import one_of, text


class Format:
    """The response is a well-formed think block and then an answer; what they say does not matter.

    With the default options a response is `<think>thought</think>answer`, or, where the chat template ends the prompt
    with `<think>`, `thought</think>answer`. A nested, second, unclosed or empty block is WRONG, and so is text before
    the block or nothing after it. The part `thinks` is 1 when there is a thought that was closed, whatever else is
    wrong: its mean is the "think accuracy" of Typhoon2-R1 (arXiv 2502.09056).

    Args:
        open_tag: begins the chain of thought.
        close_tag: ends it.
        opened_by_prompt: "auto" takes both ways; "yes" when the chat template writes the open tag at the end of the
            prompt, so the response must not have it; "no" when the response must begin with it.
        several_blocks: True takes several think blocks, one after another, with text between them; the answer is
            what comes after the last one.
        answer_tag: a name such as "answer": what follows the thought must then be `<answer>…</answer>`, once, with
            only white space around it. No tags if empty.
        require: a string that the answer must contain; none if empty.
        require_box: True: the answer must contain a `\\boxed{…}` that is closed and not empty.
    """

    example: ClassVar[dict[str, str]] = {"response": "<think>2 and 2 is 4.</think>\nThe answer is 4."}

    def __init__(
        self,
        *,
        open_tag: str = "<think>",
        close_tag: str = "</think>",
        opened_by_prompt: str = "auto",
        several_blocks: bool = False,
        answer_tag: str = "",
        require: str = "",
        require_box: bool = False,
    ) -> None:
        self._open = text("open_tag", open_tag, empty=False)
        self._close = text("close_tag", close_tag, empty=False)
        if open_tag == close_tag:
            raise ValueError(f"open_tag and close_tag must differ; both are {open_tag!r}")
        if text("answer_tag", answer_tag).strip("<>/ ") != answer_tag:
            raise ValueError(f"answer_tag is a bare name such as 'answer', without the brackets, not {answer_tag!r}")
        self._tags = re.compile(f"{re.escape(self._open)}|{re.escape(self._close)}")
        self._opened_by_prompt = one_of("opened_by_prompt", opened_by_prompt, ("auto", "yes", "no"))
        self._several_blocks = several_blocks
        self._answer_tags = (f"<{answer_tag}>", f"</{answer_tag}>") if answer_tag else None
        self._require = text("require", require)
        self._require_box = require_box

    def verify(self, prompt: Prompt, response: str) -> Score:
        """RIGHT or WRONG, with what is wrong as the reason; every string can be judged."""
        before, _, answer = response.rpartition(self._close)
        thinks = bool(self._tags.sub("", before).strip())
        fault = self._fault_of_blocks(response) or self._fault_of_answer(answer)
        value = 0.0 if fault else 1.0
        parts = {"format": value, "thinks": float(thinks)}
        return Score(Verdict.WRONG if fault else Verdict.RIGHT, value, parts, fault)

    def _fault_of_blocks(self, response: str) -> str:
        tags = list(self._tags.finditer(response))
        if self._close not in response:
            return self._no_close(response)
        begins_open = tags[0].group() == self._open
        if begins_open and self._opened_by_prompt == "yes":
            return f"{self._open} is written again: the prompt has opened the think block"
        if not begins_open and self._opened_by_prompt == "no":
            return f"there is {self._close} without {self._open}"
        if begins_open and response[: tags[0].start()].strip():
            return f"the response does not begin with {self._open}"
        inside, blocks, since = not begins_open, 0, 0
        for tag in tags:
            if tag.group() == self._open:
                if inside:
                    return f"a nested {self._open}: the think block is already open"
                if blocks and not self._several_blocks:
                    return f"a second {self._open} after the think block was closed"
                inside = True
            else:
                if not inside:
                    return f"a second {self._close}: the think block was already closed"
                if not response[since : tag.start()].strip():
                    return "there is no thought in the think block"
                inside, blocks = False, blocks + 1
            since = tag.end()
        return f"the last {self._open} is never closed" if inside else ""

    def _no_close(self, response: str) -> str:
        if self._close.casefold() in response.casefold():
            return f"the tag is {self._close}, letter for letter: upper and lower case matter"
        if self._open in response:
            return f"{self._open} is never closed: there is no {self._close}"
        return f"there is no {self._close}"

    def _fault_of_answer(self, answer: str) -> str:
        if not answer.strip():
            return f"there is no answer after {self._close}"
        if self._answer_tags is not None:
            begin, end = self._answer_tags
            if answer.count(begin) != 1 or answer.count(end) != 1:
                return (
                    f"the answer has {begin} {answer.count(begin)} times and {end} {answer.count(end)} times, not once"
                )
            before, _, rest = answer.partition(begin)
            inner, _, after = rest.partition(end)
            if end in before:
                return f"{end} stands before {begin}"
            if before.strip() or after.strip():
                return f"there is text outside {begin}…{end}"
            if not inner.strip():
                return f"there is nothing between {begin} and {end}"
            answer = inner
        if self._require not in answer:
            return f"the answer does not contain {self._require!r}"
        if self._require_box:
            box = last_boxed(answer)
            if box is None or not box.text.strip():
                return "the answer has no \\boxed{…} that is closed and not empty"
        return ""
