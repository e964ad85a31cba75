"""Function-style and assert-style tests in the sandbox: plain data out, verdicts out of the candidate's reach."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rl_reason.sandbox.inside.plain_data import NotPlainData, decode, encode
from rl_reason.sandbox.records import DEFAULT, Execution, Job, Limits, Status
from rl_reason.sandbox.sandbox import Sandbox, drive

VALUE, MISSING, RAISED, UNREADABLE = "value", "missing", "raised", "unreadable"


@dataclass(frozen=True, slots=True)
class Call:
    """One call that is wanted: a function's name (`Solution.method`: of a new Solution) and its arguments."""

    function: str
    arguments: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gave: `kind` says how to take it."""

    kind: str
    value: Any = None
    """The value, for VALUE."""
    reason: str = ""
    """For people, for all others."""


@dataclass(frozen=True, slots=True)
class HarnessVerdict:
    """What the tests said, by their own process."""

    outcome: str
    """Of `inside/harness.py`: passed, failed, raised, gone, malformed; or "" when the tests themselves were stopped."""
    reason: str
    test: int
    """Number of the test it ended at, from 1; 0 before any."""
    candidate: Execution
    tests: Execution


def call_all(
    sandbox: Sandbox, sources: Sequence[str], calls: Sequence[Call], limits: Limits = DEFAULT
) -> tuple[list[Answer], Execution]:
    """Load sources (in one module, in order) and make the calls in one fresh process.

    Returns:
        An answer for each call that was answered, in order; fewer when the process ended before, and then the execution
        says how. Arguments are copies: what a function does to them is not seen.

    Raises:
        NotPlainData: an argument cannot be sent.
    """
    lines = [encode(("call", call.function, call.arguments, dict(call.named))) for call in calls]
    payload = {"kind": "calls", "sources": list(sources), "calls": lines}
    done = sandbox.run(Job(payload, b"", limits, reports=True))
    answers = [_answer(line) for line in done.report.split(b"\n")[:-1]]
    if answers and answers[0].kind is RAISED:  # the sources could not be loaded
        return [], replace(done, status=_of_load(done.status), detail=answers[0].reason)
    return answers[1 : len(lines) + 1], done


def judge(
    sandbox: Sandbox,
    sources: Sequence[str],
    *,
    tests: Sequence[str],
    prelude: Sequence[str] = (),
    check: str = "",
    entry_point: str = "",
    candidate_names: Sequence[str] = (),
    limits: Limits = DEFAULT,
) -> HarnessVerdict:
    """Run test code against a candidate, each in a process of its own that shares nothing but a pipe of plain data.

    Args:
        sandbox: where.
        sources: the candidate's program, in one module, in order.
        tests: source texts, run one after the other in one module.
        prelude: trusted source texts, run before the tests in their module.
        check: name of a function of the tests that is called with the candidate's `entry_point`; none if empty.
        entry_point: see `check`.
        candidate_names: names that mean the candidate's, even if the prelude or Python define them too.
        limits: of each of the two processes.
    """
    wants = {
        "kind": "harness", "prelude": list(prelude), "tests": list(tests), "check": check,
        "entry_point": entry_point, "candidate_names": list(candidate_names),
    }  # fmt: skip
    with contextlib.ExitStack() as ends:
        there, back = os.pipe(), os.pipe()
        for fd in (*there, *back):
            ends.callback(os.close, fd)
        limits = replace(limits, wall_s=math.inf, hard_s=limits.end_s)  # each is idle while the other works
        serve = Job({"kind": "serve", "sources": list(sources)}, b"", limits, channels=(there[0], back[1]))
        harness = Job(
            wants,
            b"",
            replace(limits, output_bytes=1 << 16, hard_s=0.95 * limits.end_s),
            channels=(there[1], back[0]),
            reports=True,
        )
        candidate = sandbox.start(serve)
        judged = sandbox.start(harness)
    while judged.done is None:
        drive([judged, candidate])
    told: dict[str, Any] = json.loads(judged.done.report) if judged.done.report.endswith(b"\n") else {}
    if told.get("outcome") == "gone":
        while candidate.done is None and candidate.remaining_s() > 0:
            drive([candidate])
    if judged.done.cut_short:
        candidate.stop(Status.TIME)  # so that it reports what it used meanwhile
    sandbox.stop([candidate])
    assert candidate.done is not None
    return HarnessVerdict(
        told.get("outcome", ""), told.get("reason", ""), told.get("test", 0), candidate.done, judged.done
    )


def _answer(line: bytes) -> Answer:
    try:
        kind, *content = decode(line)
    except (NotPlainData, TypeError, ValueError):
        return Answer(UNREADABLE, reason="the program sent what is no plain data")
    texts = all(type(part) is str for part in content)
    if kind == "value" and len(content) == 1:
        return Answer(VALUE, content[0])
    if kind == "missing" and len(content) == 1 and texts:
        return Answer(MISSING, reason=f"the program does not define {content[0][:80]}")
    if kind == "error" and len(content) == 2 and texts:
        return Answer(RAISED, reason=f"{content[0][:80]}: {content[1][:300]}")
    return Answer(UNREADABLE, reason="the program sent what is no answer")


def _of_load(status: Status) -> Status:
    return Status.ERROR if status in (Status.OK, Status.STOPPED) else status
