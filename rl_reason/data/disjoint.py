"""Keeps held-out problems out of the training set."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from rl_reason.errors import DataError
from rl_reason.types import Prompt

SHOWN_PAIRS = 10


def normalised(text: str) -> str:
    """The text with Unicode forms, case and white space evened out."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def overlaps(train: Sequence[Prompt], heldout: Sequence[Prompt]) -> list[tuple[Prompt, Prompt]]:
    """Pairs (training prompt, held-out prompt) with the same id or the same normalised text, in training order."""
    by_id = {prompt.id: prompt for prompt in heldout}
    by_text = {normalised(prompt.text): prompt for prompt in heldout}
    pairs: list[tuple[Prompt, Prompt]] = []
    for prompt in train:
        other = by_id.get(prompt.id) or by_text.get(normalised(prompt.text))
        if other is not None:
            pairs.append((prompt, other))
    return pairs


def check_disjoint(train: Sequence[Prompt], heldout: Sequence[Prompt]) -> None:
    """Make sure that no held-out problem is trained on.

    Raises:
        DataError: some are; names the first ten pairs and counts all.
    """
    pairs = overlaps(train, heldout)
    if not pairs:
        return
    lines = [f"{len(pairs)} training prompts are also in the held-out set:"]
    lines += [
        f"  {ours.source or ours.id} = {theirs.source or theirs.id}: {' '.join(ours.text.split())[:80]!r}"
        for ours, theirs in pairs[:SHOWN_PAIRS]
    ]
    if len(pairs) > SHOWN_PAIRS:
        lines.append(f"  … and {len(pairs) - SHOWN_PAIRS} more")
    raise DataError("\n".join(lines) + "\nremove them from the training data, or evaluate on another set")


def drop_overlap(train: Sequence[Prompt], heldout: Sequence[Prompt]) -> tuple[list[Prompt], int]:
    """(the training prompts that are not held out, how many were dropped); the held-out set stays whole.

    Raises:
        DataError: nothing is left to train on.
    """
    dropped = {id(ours) for ours, _ in overlaps(train, heldout)}
    kept = [prompt for prompt in train if id(prompt) not in dropped]
    if not kept:
        raise DataError(
            f"all {len(train)} training prompts are also held out; give the two sets different files or seeds"
        )
    return kept, len(dropped)
