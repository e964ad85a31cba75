"""What the verifier pool costs a response, and what hanging responses cost their neighbours.

.venv/bin/python benchmarks/verifier_pool.py            # all of them
.venv/bin/python benchmarks/verifier_pool.py empty math # only these
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rl_reason.rewards.pool import VerifierPool, VerifierSpec
from rl_reason.rewards.verify_file import verify_file
from rl_reason.types import Prompt, Verdict

MATH500 = Path(__file__).parents[1] / ".." / "shared" / "data" / "math500.jsonl"
HERE = Path(__file__).resolve()
WORKERS = 2
BATCH = 512
"""Responses submitted before outcomes are taken again, as an engine's do."""


class Empty:
    """Does nothing: what is left is the pool's own time."""

    def verify(self, prompt: Prompt, response: str):
        """Right."""
        from rl_reason.types import Score

        return Score(Verdict.RIGHT, 1.0)


class Hangs:
    """Does nothing, but for one response that never ends."""

    def verify(self, prompt: Prompt, response: str):
        """Right."""
        from rl_reason.types import Score

        while response == "hang":
            pass
        return Score(Verdict.RIGHT, 1.0)


class Leaks:
    """Keeps 100 kB of every response."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def verify(self, prompt: Prompt, response: str):
        """Right."""
        from rl_reason.types import Score

        self.kept.append(os.urandom(100) * 1000)
        return Score(Verdict.RIGHT, 1.0)


def judge(pool: VerifierPool, pairs: Sequence[tuple[Prompt, str]]) -> list[Verdict]:
    """Verdicts, in order."""
    verdicts: list[Verdict] = [Verdict.UNJUDGED] * len(pairs)
    for index, (prompt, response) in enumerate(pairs):
        pool.submit(index, prompt, response)
        if index % BATCH == BATCH - 1:
            take(pool, verdicts, until=8 * BATCH)
    take(pool, verdicts, until=0)
    return verdicts


def take(pool: VerifierPool, verdicts: list[Verdict], *, until: int) -> None:
    """Until no more than so many are outstanding."""
    while pool.outstanding > until:
        for index, outcome in pool.take(timeout_s=60.0):
            assert isinstance(index, int)
            verdicts[index] = outcome.scores[0].verdict


def timed(pool: VerifierPool, pairs: Sequence[tuple[Prompt, str]]) -> tuple[float, float, list[Verdict]]:
    """Wall seconds, CPU seconds of this process, verdicts."""
    begun, cpu = time.perf_counter(), time.process_time()
    verdicts = judge(pool, pairs)
    return time.perf_counter() - begun, time.process_time() - cpu, verdicts


def spec(name: str) -> VerifierSpec:
    """A verifier of this file."""
    return VerifierSpec(name.lower(), f"{HERE}:{name}")


def math500(times: int) -> list[tuple[Prompt, str]]:
    """The data set's answers and reference solutions."""
    rows = [json.loads(line) for line in MATH500.read_text(encoding="utf-8").splitlines()]
    return [(Prompt("", row["problem"], row["answer"]), row["solution"]) for row in rows] * times


def empty() -> None:
    """Responses of 400 characters, a verifier that does nothing."""
    pairs = [(Prompt(f"p{n}", "What is 2 + 2? " * 5, "4"), f"{n:>400}") for n in range(60_000)]
    with VerifierPool([spec("Empty")], workers=WORKERS) as pool:
        judge(pool, pairs[:5_000])
        seconds, cpu, _ = timed(pool, pairs)
    print(f"empty: {len(pairs) / seconds:,.0f}/s; {1e6 * cpu / len(pairs):.1f} us of this process a response")


def file() -> None:
    """The same through a JSONL file."""
    with tempfile.TemporaryDirectory() as folder, VerifierPool([spec("Empty")], workers=WORKERS) as pool:
        source = Path(folder, "in.jsonl")
        rows = [{"prompt": "What is 2 + 2? " * 5, "answer": "4", "response": f"{n:>400}"} for n in range(60_000)]
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        begun, cpu = time.perf_counter(), time.process_time()
        verify_file(pool, source=source, target=Path(folder, "out.jsonl"))
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    print(f"file: {len(rows) / seconds:,.0f}/s; {1e6 * cpu / len(rows):.1f} us of this process a response")


def math() -> None:
    """boxed_math on MATH-500's answers and solutions."""
    pairs = math500(20)
    with VerifierPool([VerifierSpec("boxed_math", "boxed_math")], workers=WORKERS) as pool:
        seconds, _, verdicts = timed(pool, pairs)
    right = verdicts.count(Verdict.RIGHT) / len(verdicts)
    print(f"math: {len(pairs) / seconds:,.0f}/s, {right:.1%} right")


def hangs() -> None:
    """1% of the responses never end; the deadline is 1 s."""
    count = 1_000
    pairs = [(Prompt("p", "?", "4"), "hang" if n % 100 == 50 else "4") for n in range(count)]
    with VerifierPool([spec("Hangs")], workers=WORKERS, deadline_s=1.0) as pool:
        judge(pool, [(Prompt("p", "?", "4"), "4")] * 1000)
        seconds, _, verdicts = timed(pool, pairs)
    guilty = count // 100
    unjudged = sum(verdict is Verdict.UNJUDGED for verdict in verdicts)
    print(
        f"hangs: {count / seconds:,.0f}/s; the deadlines of {guilty} hangs on {WORKERS} workers alone would allow "
        f"{count / (guilty / WORKERS):,.0f}/s; {unjudged - guilty} neighbours unjudged"
    )


def memory() -> None:
    """Resident memory of this process and its workers over 100,000 responses, twice, with and without a leak."""
    for name in ("Empty", "Leaks"):
        with VerifierPool([spec(name)], workers=WORKERS) as pool:
            pairs = [(Prompt("p", "?", "4"), "x" * 400)] * 10_000
            sizes: list[str] = []
            for _ in range(10):
                judge(pool, pairs)
                children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
                pids = [pid for path in children for pid in path.read_text().split()]
                sizes.append(f"{resident_mib(os.getpid()):.0f}+{max(map(resident_mib, map(int, pids))):.0f}")
        print(f"memory, {name}: MiB of this process + the largest worker, every 10,000 responses: {' '.join(sizes)}")


def resident_mib(pid: int) -> float:
    """Of one process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


if __name__ == "__main__":
    PARTS = {"empty": empty, "file": file, "math": math, "hangs": hangs, "memory": memory}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    chosen = parser.parse_args().parts or list(PARTS)
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    for part in chosen:
        PARTS[part]()
