"""When a response counts as repeating itself: its tail is one short pattern, many times over (Kimi k1.5 §2.6.2)."""

from __future__ import annotations

from collections.abc import Sequence

MAX_PATTERN_TOKENS = 64
"""Longest pattern looked for; the paper gives no numbers."""
MIN_REPEATS = 8
"""How often in a row a pattern must come. Counting out loud or a long sum stays far below."""


def ends_in_repetition(
    tokens: Sequence[int], *, max_pattern_tokens: int = MAX_PATTERN_TOKENS, min_repeats: int = MIN_REPEATS
) -> bool:
    """Whether the last tokens are one pattern of 1 … `max_pattern_tokens` tokens, `min_repeats` times."""
    for size in range(1, max_pattern_tokens + 1):
        span = size * min_repeats
        if span > len(tokens):
            return False
        tail = tokens[-span:]
        if tail[size:] == tail[:-size]:
            return True
    return False
