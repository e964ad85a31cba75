"""100,000 hostile strings through a verifier: no crash, no hang, no time-out turned into a zero, memory flat.

    python benchmarks/verifier_fuzz.py                        every installed verifier that works here
    python benchmarks/verifier_fuzz.py boxed_math --count 1000 --seed 7
    python benchmarks/verifier_fuzz.py ./my_check.py:MyCheck --cases cases.jsonl

The strings are put to the prompt of the verifier's own example, or to those of the lines in --cases.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from rl_reason.rewards.card import PLAIN_EXAMPLE, card_of, installed_cards
from rl_reason.rewards.fuzz import FuzzResult, fuzz
from rl_reason.rewards.pool import VerifierSpec
from rl_reason.rewards.promises import prompt_of

SHOWN = 5


def main() -> None:
    """Fuzz the verifiers named, print a line for each, and exit with 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verifiers", nargs="*", help="names or references; default: all that work here")
    parser.add_argument("--count", type=int, default=100_000, help="strings for each verifier")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--deadline", type=float, default=5.0, help="seconds for one string")
    parser.add_argument("--cases", type=Path, help="JSONL whose prompts the strings are put to")
    given = parser.parse_args()
    names = given.verifiers or [card.name for card in installed_cards() if not card.fault]
    bad = False
    for name in names:
        rows = [json.loads(line) for line in given.cases.read_text().splitlines()] if given.cases else []
        rows = rows or [card_of(name).example or PLAIN_EXAMPLE]
        prompts = [prompt_of(row, f"line {number}") for number, row in enumerate(rows, 1)]
        begun = time.perf_counter()
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(name, total=given.count)
            result = fuzz(
                VerifierSpec("it", name),
                prompts,
                count=given.count,
                seed=given.seed,
                workers=given.workers,
                deadline_s=given.deadline,
                on_progress=lambda done, progress=progress, task=task: progress.update(task, completed=done),
            )
        show(name, result, time.perf_counter() - begun)
        bad |= bool(result.failures)
    sys.exit(bad)


def show(name: str, result: FuzzResult, took_s: float) -> None:
    """One line of figures, and the first failures."""
    p50, p99, top = (float(np.percentile(result.seconds, q)) * 1e3 for q in (50, 99, 100))
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(result.verdicts.items()))
    early, late = result.early_bytes / 2**20, result.late_bytes / 2**20
    print(
        f"{name}: {verdicts}; {len(result.failures)} failures, {result.restarts} restarts, "
        f"{len(result.dishonest)} failures that were rewarded; p50 {p50:.3f} ms, p99 {p99:.2f} ms, max {top:.0f} ms; "
        f"workers {early:.0f} MiB at 10%, {late:.0f} MiB at the end; {took_s:.0f} s",
        flush=True,
    )
    for failure in [*result.dishonest, *result.failures][:SHOWN]:
        print(f"  {failure}")


if __name__ == "__main__":
    main()
