"""Puts many hostile strings through a verifier in the real pool, and measures: verdicts, failures, time, memory."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from rl_reason.errors import VerifierError
from rl_reason.rewards.hostile import hostile_string
from rl_reason.rewards.pool import Outcome, VerifierPool, VerifierSpec
from rl_reason.rewards.process_state import resident_bytes
from rl_reason.rewards.promises import short
from rl_reason.types import Prompt, Verdict

_IN_FLIGHT = 1024
_PATIENCE_S = 60.0
_REFERENCE_SHARE = 0.2
"""Share of the inputs whose reference is hostile too."""


@dataclass(slots=True)
class FuzzResult:
    """What became of the strings."""

    verdicts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """Time-outs, crashes and exceptions, each with the number and the text of its input."""
    dishonest: list[str] = field(default_factory=list)
    """Failures that did not come out as UNJUDGED without a reward. There must be none."""
    seconds: list[float] = field(default_factory=list)
    early_bytes: int = 0
    """Resident memory of the pool's workers after a tenth of the strings."""
    late_bytes: int = 0
    """And after all of them."""
    restarts: int = 0


def fuzz_input(seed: int, number: int, prompts: list[Prompt]) -> tuple[Prompt, str]:
    """The input of that number: the same for the same seed, whatever came before it."""
    rng = random.Random(f"{seed}/{number}")
    prompt = rng.choice(prompts)
    if rng.random() < _REFERENCE_SHARE:
        prompt = replace(prompt, answer=hostile_string(rng))
    return prompt, hostile_string(rng)


def fuzz(
    spec: VerifierSpec,
    prompts: list[Prompt],
    *,
    count: int,
    seed: int = 0,
    workers: int = 2,
    deadline_s: float = 5.0,
    on_progress: Callable[[int], None] = lambda done: None,
) -> FuzzResult:
    """Judge `count` strings, put to the prompts by chance. Workers are not recycled, so that a leak would show.

    Raises:
        VerifierError: the pool broke or fell silent.
    """
    result = FuzzResult()
    sent = done = 0
    with VerifierPool(
        [spec], workers=workers, deadline_s=deadline_s, recycle_after=10**9, recycle_growth_mib=2**20
    ) as pool:
        while done < count:
            while sent < count and pool.outstanding < _IN_FLIGHT:
                pool.submit(sent, *fuzz_input(seed, sent, prompts))
                sent += 1
            taken = pool.take(timeout_s=deadline_s + _PATIENCE_S)
            if not taken:
                raise VerifierError(f"no verdict for {deadline_s + _PATIENCE_S:g} s after {done} strings")
            for number, outcome in taken:
                assert isinstance(number, int)  # as submitted above
                _count(result, outcome, lambda number=number: fuzz_input(seed, number, prompts), number)
            done += len(taken)
            if not result.early_bytes and done >= count / 10:
                result.early_bytes = children_bytes()
            on_progress(done)
        result.late_bytes, result.restarts = children_bytes(), pool.restarts
    return result


def children_bytes() -> int:
    """Resident memory of this process's children."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                total += resident_bytes(entry.name) if parent == os.getpid() else 0
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
    return total


def _count(result: FuzzResult, outcome: Outcome, remake: Callable[[], tuple[Prompt, str]], number: int) -> None:
    score = outcome.scores[0]
    result.verdicts[score.verdict.value] += 1
    result.seconds.append(score.seconds)
    if outcome.failure:
        prompt, response = remake()
        what = f"{number}: {score.reason}; response {short(response)}, reference {short(prompt.answer)}"
        result.failures.append(what)
        if score.verdict is not Verdict.UNJUDGED or score.reward is not None:
            result.dishonest.append(what)
