"""Parts a response into its chain of thought and its answer, at the last close tag."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parts:
    """What a response thinks and what it answers."""

    thought: str
    """All before the last close tag, tags removed; empty when there is no close tag."""
    answer: str
    """All after the last close tag; the whole response when there is none."""
    closed: bool
    """Whether there was a close tag."""


def part(response: str, open_tag: str = "<think>", close_tag: str = "</think>") -> Parts:
    """The two parts. The generation prompt may have written the open tag, so only the close tag decides.

    A thought that is opened and never closed leaves no answer: the response was cut while it was thinking.
    """
    before, closed, after = response.rpartition(close_tag)
    if closed:
        return Parts(before.replace(open_tag, "").replace(close_tag, ""), after, True)
    if response.lstrip().startswith(open_tag):
        return Parts(response.replace(open_tag, ""), "", False)
    return Parts("", response, False)
