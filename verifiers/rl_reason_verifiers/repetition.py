"""`repetition`: wrong when a response runs in a loop or says the same things over and over."""

from __future__ import annotations

import re
from itertools import islice
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._loops import Loop, grams, longest_loop
from rl_reason_verifiers._options import number

_WORD = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")
"""A word; in scripts that write without blanks, and in Hangul, a character."""
_SHOWN_CHARS = 60


class Repetition:
    """The response does not run in a loop and does not say the same things over and over.

    Two measures, both shares from 0 to 1, are in the score's parts; each over its limit is WRONG:

    - `loop_share`: the part of the text taken by its longest loop, one pattern of any length back to back, letter for
      letter or word for word (then upper case, blanks and punctuation do not matter).
    - `ngram_share`: 1 - different n-grams / n-grams, over words. A text written twice has just under
      0.5, three times 0.67.

    An empty response repeats nothing: RIGHT. The engine stops degenerate responses by the same idea while they are
    written (`Sampling.repetition_stop`); this verifier also sees loops in the middle and near-loops.

    Args:
        max_loop_share: largest `loop_share` that is still right, 0 to 1.
        min_repeats: a pattern must come so often in a row to be a loop, at least 2. The engine's own number is 8.
        min_loop_chars: loops shorter than so many characters do not count: rulers, tables and 1/3 = 0.3333 have some.
        ngram: words in an n-gram.
        max_ngram_share: largest `ngram_share` that is still right, 0 to 1. Long proofs reuse many short phrases: look
            at the part's distribution on good responses before you lower this.
    """

    example: ClassVar[dict[str, str]] = {"response": "First this, then that, and so the answer is 4."}

    def __init__(
        self,
        *,
        max_loop_share: float = 0.2,
        min_repeats: int = 6,
        min_loop_chars: int = 100,
        ngram: int = 6,
        max_ngram_share: float = 0.6,
    ) -> None:
        self._max_loop_share = number("max_loop_share", max_loop_share, high=1.0)
        self._min_repeats = int(number("min_repeats", min_repeats, low=2, whole=True))
        self._min_loop_chars = number("min_loop_chars", min_loop_chars, whole=True)
        self._ngram = int(number("ngram", ngram, low=1, high=100, whole=True))
        self._max_ngram_share = number("max_ngram_share", max_ngram_share, high=1.0)

    def verify(self, prompt: Prompt, response: str) -> Score:
        """RIGHT or WRONG; every string can be judged. Time is n log n in the response's length."""
        words = _codes(response)
        loop_chars, pattern, repeats = self._longest(response, words)
        loop_share = loop_chars / len(response) if loop_chars >= self._min_loop_chars else 0.0
        ngram_share = _repeated_share(grams(words, self._ngram))
        faults: list[str] = []
        if loop_share > self._max_loop_share:
            faults.append(f"{pattern!r} comes {repeats:.0f} times in a row, {loop_share:.0%} of the text")
        if ngram_share > self._max_ngram_share:
            faults.append(f"{ngram_share:.0%} of the {self._ngram}-word phrases are repeats")
        value = 0.0 if faults else 1.0
        parts = {"repetition": value, "loop_share": loop_share, "ngram_share": ngram_share}
        return Score(Verdict.WRONG if faults else Verdict.RIGHT, value, parts, "; ".join(faults))

    def _longest(self, response: str, words: NDArray[np.uint32]) -> tuple[int, str, float]:
        """Characters, pattern and repeats of the longest loop, of characters or of words."""
        loops: list[tuple[int, str, float]] = [(0, "", 0.0)]
        characters = np.frombuffer(response.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        loop = longest_loop(characters, min_repeats=self._min_repeats)
        if loop is not None:
            loops.append((loop.length, response[loop.start :][: min(loop.period, _SHOWN_CHARS)], loop.repeats))
        loop = longest_loop(words, min_repeats=self._min_repeats)
        if loop is not None:
            loops.append((*_extent(response, loop), loop.repeats))
        return max(loops, key=lambda found: found[0])


def _codes(text: str) -> NDArray[np.uint32]:
    """A number for each word of the text, the same for the same word whatever its case."""
    numbers: dict[str, int] = {}
    words = [word.casefold() for word in _WORD.findall(text)]
    return np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.uint32)


def _extent(text: str, loop: Loop) -> tuple[int, str]:
    """Characters that a loop of words takes, and its pattern."""
    words = list(islice(_WORD.finditer(text), loop.start, loop.start + loop.length))
    begin = words[0].start()
    return words[-1].end() - begin, text[begin : words[loop.period - 1].end()][:_SHOWN_CHARS]


def _repeated_share(hashes: NDArray[np.uint64]) -> float:
    return 1.0 - len(np.unique(hashes)) / len(hashes) if len(hashes) else 0.0
