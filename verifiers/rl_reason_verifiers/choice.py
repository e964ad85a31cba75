"""`choice`: right when the response commits itself to the reference's option, by letter or by the option's text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any, ClassVar

from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._commitment import Options, committed, plain
from rl_reason_verifiers._options import text
from rl_reason_verifiers._thinking import part

_ONE = r"[(\[]?[A-Za-z][)\].:]?"
_LETTERS_ONLY = re.compile(rf"[A-Z]+|{_ONE}(?:\s*(?:,|;|/|&|\band\b|\s)\s*{_ONE})*")
_DEFAULT_COUNT = 10


class Choice:
    """The response commits itself to the reference's option of a multiple-choice question, by letter or by text.

    `prompt.metadata["choices"]` gives the options: a list of texts (A, B, … in order), an object letter -> text, or
    {"label": […], "text": […]}. Without it the options are A to J and only letters count. The reference answer is a
    letter ("B", "(B)"), or, with choices, one of their texts.

    What counts as the response's commitment, the first of these that there is, looked for behind the thought:

    1. the last `\\boxed{…}`;
    2. the last "the answer is …", "Answer: …", "correct option is …", "I choose …", "#### …" that is not negated;
    3. the whole answer, its last line or its first, when that is only an option: "B", "(B)", "**B.**", "B) Paris".

    Whoever hedges is WRONG: "A or B", "Answer: A. Answer: B.", a list of the options with no choice among them.

    A warning: with four options a guess is right a quarter of the time, and the reasoning before it is then rewarded
    as well. Kimi k1.5 (arXiv 2501.12599) leaves multiple-choice and true/false questions out of RL for that reason.
    Better to use this verifier for evaluation, or turn the questions into open ones.

    Args:
        several: True: more than one option may be right. The reference names them all ("A, C" or "AC", or texts
            one per line) and the response must name the same set.
        close_tag: ends the chain of thought; only what follows the last one is read. Everything, if it is absent.
    """

    example: ClassVar[dict[str, Any]] = {
        "answer": "B",
        "response": "The answer is Paris.",
        "choices": ["Rome", "Paris", "Oslo"],
    }

    def __init__(self, *, several: bool = False, close_tag: str = "</think>") -> None:
        self._several = several
        self._close_tag = text("close_tag", close_tag, empty=False)

    def verify(self, prompt: Prompt, response: str) -> Score:
        """WRONG when nothing, or more than one option, is chosen; UNJUDGED when choices or reference are unusable."""
        try:
            options = _options(prompt.metadata.get("choices"))
            wanted = _reference(prompt.answer, options, self._several)
        except ValueError as error:
            return Score(Verdict.UNJUDGED, None, reason=str(error))
        found = committed(part(response, close_tag=self._close_tag).answer, options, several=self._several)
        if not found:
            return _wrong("no option is chosen")
        if len(found) > 1 and not self._several:
            return _wrong(f"several options are named: {', '.join(sorted(found))}")
        if found == wanted:
            return Score(Verdict.RIGHT, 1.0, {"choice": 1.0})
        return _wrong(f"chose {', '.join(sorted(found))}, not {', '.join(sorted(wanted))}")


def _options(given: object) -> Options:
    """Options by letter.

    Raises:
        ValueError: they are given in no form that is known.
    """
    if given is None:
        return Options(dict.fromkeys(ascii_uppercase[:_DEFAULT_COUNT], ""))
    if isinstance(given, Mapping) and isinstance(given.get("label"), list) and isinstance(given.get("text"), list):
        labels, texts = given["label"], given["text"]
    elif isinstance(given, Mapping):
        labels, texts = list(given), list(given.values())
    elif isinstance(given, list | tuple):
        labels, texts = list(ascii_uppercase[: len(given)]), list(given)
    else:
        raise ValueError(f"metadata choices must be a list of texts or an object letter -> text, not {given!r:.80}")
    letters = [label.strip().upper() for label in labels if isinstance(label, str)]
    if not 2 <= len(texts) <= 26 or len(letters) != len(texts) or not all(isinstance(one, str) for one in texts):
        raise ValueError(f"metadata choices must be 2 to 26 texts with a letter each, not {given!r:.80}")
    if len(set(letters)) != len(letters) or not set(letters) <= set(ascii_uppercase):
        raise ValueError(f"the letters of metadata choices must be different ones of A to Z, not {labels!r:.80}")
    return Options(dict(zip(letters, texts, strict=True)))


def _reference(answer: str, options: Options, several: bool) -> frozenset[str]:
    """Letters of the right options.

    Raises:
        ValueError: the reference names none, or more than one where one is asked for.
    """
    if not answer.strip():
        raise ValueError("the prompt has no reference answer")
    texts = answer.strip().splitlines() if several else [answer]
    by_text = [options.with_text(plain(one)) for one in texts]
    if all(len(letters) == 1 for letters in by_text):
        return frozenset(letters[0] for letters in by_text)
    if any(len(letters) > 1 for letters in by_text):
        raise ValueError(f"the reference {answer!r:.80} is the text of more than one option")
    if len(answer) > 200 or not _LETTERS_ONLY.fullmatch(answer.strip()):
        raise ValueError(f"the reference {answer!r:.80} is neither a letter nor an option's text")
    letters = frozenset(re.sub(r"\band\b|[^A-Za-z]", "", answer, flags=re.I).upper())
    if len(letters) > 1 and not several:
        raise ValueError(f"the reference {answer!r:.80} names several options; set several=true if that is meant")
    if not letters or not letters <= set(options.letters):
        raise ValueError(f"the reference {answer!r:.80} is none of the options {', '.join(options.letters)}")
    return letters


def _wrong(reason: str) -> Score:
    return Score(Verdict.WRONG, 0.0, {"choice": 0.0}, reason)
