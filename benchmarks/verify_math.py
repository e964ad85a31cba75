"""How right and how fast `boxed_math` is, on the data of `../shared/data`: prints agreement, floors, speed and a fuzz.

`.venv/bin/python benchmarks/verify_math.py [--fuzz 50000]`
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rl_reason_verifiers.boxed_math import BoxedMath

from rl_reason.rewards.pool import VerifierPool, VerifierSpec
from rl_reason.rewards.verify_file import verify_file
from rl_reason.types import Prompt, Score, Verdict

DATA = Path(__file__).parents[2] / "shared" / "data"
MATH = BoxedMath()
Pair = tuple[str, str]


def judge(answer: str, response: str) -> Score:
    """The default verifier's score of one pair."""
    return MATH.verify(Prompt("p", "", answer), response)


def timed(pairs: Iterable[Pair]) -> tuple[list[Verdict], list[float]]:
    """Verdicts, and seconds of each."""
    verdicts: list[Verdict] = []
    seconds: list[float] = []
    for pair in pairs:
        begin = time.perf_counter()
        verdicts.append(judge(*pair).verdict)
        seconds.append(time.perf_counter() - begin)
    return verdicts, seconds


def rows(name: str) -> list[dict[str, Any]]:
    """The lines of a data file."""
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def collected_cases() -> None:
    """Agreement with the graders' test suites, apart for the contested conventions."""
    cases = rows("grader_cases.jsonl")
    for name, part in (
        ("uncontested", [case for case in cases if "convention" not in case]),
        ("contested", [case for case in cases if "convention" in case]),
    ):
        verdicts, seconds = timed((case["answer"], case["response"]) for case in part)
        agreed = sum((v is Verdict.RIGHT) == case["expected"] for v, case in zip(verdicts, part, strict=True))
        wrong = [v for v, case in zip(verdicts, part, strict=True) if not case["expected"]]
        print(
            f"{name} cases: {agreed / len(part):.1%} of {len(part)} agree; {wrong.count(Verdict.RIGHT)} of "
            f"{len(wrong)} wrong answers judged right; median {statistics.median(seconds) * 1e3:.2f} ms, "
            f"max {max(seconds):.2f} s"
        )
    verdicts, seconds = timed((case["answer"], case["response"]) for case in rows("grader_pathological.jsonl"))
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict.value}" for verdict in Verdict)
    print(f"pathological: {counts}; max {max(seconds):.2f} s")


def solutions() -> None:
    """Every reference solution against its own answer, the next problem's and one more than its own."""
    gsm8k = [(row["answer"].rpartition("####")[2].strip(), row["answer"]) for row in rows("gsm8k_test.jsonl")]
    math500 = [(row["answer"], row["solution"]) for row in rows("math500.jsonl")]
    for name, pairs in (("GSM8K", gsm8k), ("MATH-500", math500)):
        own, seconds = timed(pairs)
        others = [
            (a, r) for (a, _), (b, r) in zip(pairs[1:], pairs, strict=False) if judge(a, b).verdict is Verdict.WRONG
        ]
        following, _ = timed(others)
        more, _ = timed((answer, f"\\boxed{{{answer}+1}}") for answer, _ in pairs)
        print(
            f"{name}: {own.count(Verdict.RIGHT)} of {len(own)} right against their own answer; "
            f"{following.count(Verdict.RIGHT)} of {len(others)} against the next problem's, where it differs; "
            f"{more.count(Verdict.RIGHT)} of {len(more)} golds plus one right; median "
            f"{statistics.median(seconds) * 1e3:.2f} ms, max {max(seconds):.2f} s"
        )


def speed(copies: int) -> None:
    """Verifications a second of the pool with two workers on MATH-500's answers and solutions."""
    pairs = [(row["answer"], row["solution"]) for row in rows("math500.jsonl")]
    pairs += [(answer, f"The answer is $\\boxed{{{answer}}}$.") for answer, _ in pairs]
    lines = [json.dumps({"answer": answer, "response": response}) for answer, response in pairs]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
        spec = VerifierSpec("boxed_math", "boxed_math", {})
        begin = time.perf_counter()
        with VerifierPool([spec], workers=2, deadline_s=5.0) as pool:
            source.write_text("\n".join(lines) + "\n")
            verify_file(pool, source=source, target=target)
            warm = time.perf_counter()
            source.write_text(("\n".join(lines) + "\n") * copies)
            verify_file(pool, source=source, target=target)
            end = time.perf_counter()
    total = len(lines) * copies
    used = time.process_time()
    timed(pairs)
    used = time.process_time() - used
    print(
        f"pool of 2: {total / (end - warm):,.0f}/s steady, "
        f"{(total + len(lines)) / (end - begin):,.0f}/s with the start; "
        f"the verifier alone: {len(pairs) / used:,.0f}/s of one core's CPU time"
    )


def hostile(count: int, seed: int = 7) -> Iterable[Pair]:
    """Random Unicode, mutated answers and solutions, and fragments of them glued together."""
    draw = random.Random(seed)
    real = [row[key] for row in rows("math500.jsonl") for key in ("answer", "solution")]
    real += [str(case[key]) for case in rows("grader_cases.jsonl") for key in ("answer", "response")]
    pieces = [
        *"{}()[]|^_!%$&\\,;:=<>+-*/.",
        "\\frac",
        "\\sqrt",
        "\\boxed{",
        "\\begin{pmatrix}",
        "\\text{",
        "9" * 50,
        "^{9",
    ]
    for _ in range(count):
        kind = draw.randrange(4)
        if kind == 0:
            text = "".join(chr(draw.choice((draw.randrange(0x80), draw.randrange(0xD800), 0x1F600))) for _ in range(60))
        elif kind == 1:
            text = _mutated(draw, draw.choice(real), pieces)
        elif kind == 2:
            text = "".join(_fragment(draw, real) for _ in range(draw.randrange(2, 6)))
        else:
            text = "".join(draw.choice(pieces) for _ in range(draw.randrange(1, 40)))
        answer = draw.choice(real)
        yield answer, f"\\boxed{{{text}}}" if draw.random() < 0.6 else text


def _mutated(draw: random.Random, text: str, pieces: Sequence[str]) -> str:
    for _ in range(draw.randrange(1, 5)):
        at = draw.randrange(len(text) + 1)
        text = text[:at] + draw.choice(pieces) + text[at + draw.randrange(3) :]
    return text


def _fragment(draw: random.Random, real: Sequence[str]) -> str:
    text = draw.choice(real)
    at = draw.randrange(len(text) + 1)
    return text[at : at + draw.randrange(1, 40)]


def fuzz(count: int) -> None:
    """No exception, no hang and no growth on hostile strings."""
    pairs = list(hostile(count))
    timed(pairs[: count // 10])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    verdicts, seconds = timed(pairs)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict.value}" for verdict in Verdict)
    print(
        f"fuzz of {count:,}: {counts}; median {statistics.median(seconds) * 1e3:.2f} ms, max {max(seconds):.2f} s; "
        f"memory grew by {grown:.0f} MB"
    )
    slowest = max(range(len(pairs)), key=seconds.__getitem__)
    print("  the slowest:", json.dumps(pairs[slowest])[-300:])


def main() -> int:
    """Print the figures; 0 also where there is no data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fuzz", type=int, default=50_000, help="how many hostile strings")
    parser.add_argument("--copies", type=int, default=10, help="how often the 1,000 pairs are repeated for the speed")
    options = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: there is no {DATA}")
        return 0
    collected_cases()
    solutions()
    speed(options.copies)
    fuzz(options.fuzz)
    return 0


if __name__ == "__main__":
    sys.exit(main())
