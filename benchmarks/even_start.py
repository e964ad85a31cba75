"""The reward of `vs_trl.py`: 1 where a response begins with a character of even code. Also a verifier plug-in for us.

A random model gets it right now and then, so groups have advantages; and it says nothing of the length, so that the
two sides' response lengths stay alike ("the answer stands somewhere in the response" would reward length).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rl_reason.types import Prompt, Score


def starts_even(response: str) -> float:
    """The reward; 0 for an empty response."""
    return float(ord(response[0]) % 2 == 0) if response else 0.0


class EvenStart:
    """The same as a verifier: `benchmarks/even_start.py:EvenStart`."""

    def verify(self, prompt: Prompt, response: str) -> Score:
        """RIGHT for an even start."""
        from rl_reason.types import Score, Verdict  # here, because TRL's environment has no rl_reason

        value = starts_even(response)
        return Score(Verdict.RIGHT if value else Verdict.WRONG, value, {"even_start": value})
