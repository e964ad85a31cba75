"""`code_tests`: right when the program in the response passes its tests, run in a sandbox that it cannot cheat.

The prompt's metadata gives the tests, in one of these forms:

    {"tests": [{"input": "2 3\\n", "output": "5\\n"}, …]}   a run of the program each
    {"tests": {"inputs": […], "outputs": […]}}             the same, as APPS has it; with "fn_name": calls
    {"tests": [{"function": "add", "args": [2, 3], "expected": 5}, …]}     a call each; also "kwargs"
    {"tests": ["assert add(2, 3) == 5", …]}              as MBPP; or {"asserts": […], "setup": "…"}
    {"tests": {"test": "def check(candidate): …", "entry_point": "add"}}   as HumanEval; also "prompt": code
    rows of HumanEval (test, entry_point) and MBPP (test_list, test_setup_code) as they are

What is expected never enters the candidate's process: outputs and values are compared out here, and test code that is
more than plain asserts runs in a sandboxed process of its own (rl_reason/sandbox/__init__.py says what that rests on).
A program that fails, runs too long or too large, or breaks the sandbox's rules is WRONG; malformed tests, a missing
compiler, a fault of the sandbox, or a budget that ends before the tests do, is UNJUDGED.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from rl_reason.errors import PluginError, SandboxError
from rl_reason.sandbox import (
    ALIASES,
    COMPILE_LIMITS,
    LANGUAGES,
    Answer,
    Execution,
    Limits,
    NotPlainData,
    Program,
    Sandbox,
    Status,
    call_all,
    judge,
    prepare,
)
from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._asserts import FAULTS, NotSimple, Plan, called, plan
from rl_reason_verifiers._code_cases import CallCase, Malformed, OutputCase, TestCode, read_cases
from rl_reason_verifiers._code_text import defines, find_code, parses
from rl_reason_verifiers._compare import WHITESPACE, same_output, same_value


@dataclass(frozen=True, slots=True)
class _Result:
    """What came of some tests: how many passed, of how many, and why the next did not."""

    passed: int
    total: int
    reason: str = ""
    unjudged: bool = False


class CodeTests:
    """The program in the response passes its tests in a sandbox.

    Args:
        language: of the program: python, cpp, c, javascript, bash or java. Empty: what the code block's tag says, else
            python.
        level: of isolation: "full"; "no_namespaces" or "rlimits" accept less, by name. It refuses to start below it.
        time_s: processor seconds for one run, or for all calls of one response; 1.5 times that on the wall clock.
        total_s: wall-clock seconds for one response, compiling included; keep it below the pool's deadline.
        memory_mib: of one run.
        max_output_bytes: of one run, on each stream.
        max_tests: only the first so many tests; 0 for all.
        partial_credit: the reward of a WRONG program is the share of tests that it passed before it failed one (of all,
            where each has a run of its own); False: 0.
        whitespace: "lines", "tokens" or "exact": how outputs are compared (_compare.py).
        tolerance: numbers that differ by so much, absolutely or relatively, are the same; 0 for none.
        python: interpreter for Python programs; the one that runs this if empty.
    """

    example: ClassVar[dict[str, Any]] = {
        "answer": "",
        "response": "```python\ndef add(a, b):\n    return a + b\n```",
        "tests": ["assert add(2, 3) == 5", "assert add(-1, 1) == 0"],
    }
    needs: ClassVar[tuple[str, ...]] = ("metadata:tests",)

    def __init__(
        self,
        *,
        language: str = "",
        level: str = "full",
        time_s: float = 2.0,
        total_s: float = 4.0,
        memory_mib: int = 512,
        max_output_bytes: int = 1 << 20,
        max_tests: int = 0,
        partial_credit: bool = False,
        whitespace: str = "lines",
        tolerance: float = 0.0,
        python: str = "",
    ) -> None:
        language = ALIASES.get(language, language)
        if language and language not in LANGUAGES:
            raise ValueError(f"language is one of {', '.join(LANGUAGES)}, or empty; not {language!r}")
        if whitespace not in WHITESPACE:
            raise ValueError(f"whitespace is one of {', '.join(WHITESPACE)}, not {whitespace!r}")
        if min(time_s, total_s, memory_mib, max_output_bytes) <= 0 or max_tests < 0 or tolerance < 0:
            raise ValueError("limits must be above 0; max_tests and tolerance at least 0")
        self._language, self._total_s, self._max_tests = language, total_s, max_tests
        self._partial_credit, self._whitespace, self._tolerance = partial_credit, whitespace, tolerance
        self._limits = Limits(time_s=time_s, memory_mib=memory_mib, output_bytes=max_output_bytes)
        self._deadline = 0.0
        try:
            self._sandbox = Sandbox(level, python=python, servers=2)  # tests that are programs run beside the candidate
        except SandboxError as error:
            raise PluginError(f"code_tests: {error}") from error

    def verify(self, prompt: Prompt, response: str) -> Score:
        """RIGHT when all tests pass."""
        self._deadline = time.monotonic() + self._total_s
        try:
            cases = read_cases(prompt.metadata, prompt.text)
        except Malformed as error:
            return Score(Verdict.UNJUDGED, None, reason=str(error))
        if isinstance(cases, TestCode):
            code = _completed(response, cases)
            result = self._test_code(code, cases) if code else _Result(0, 1, "no Python program in the response")
        else:
            language, source = find_code(response, self._language)
            result = _Result(0, 1, "no program in the response")
            if source.strip() and isinstance(cases[0], OutputCase):
                result = self._outputs(language, source, [case for case in cases if isinstance(case, OutputCase)])
            elif source.strip():
                result = self._calls(source, [case for case in cases if isinstance(case, CallCase)])
        if result.unjudged:
            return Score(Verdict.UNJUDGED, None, reason=result.reason)
        right = result.passed == result.total
        share = result.passed / result.total if self._partial_credit else 0.0
        value = 1.0 if right else share
        return Score(Verdict.RIGHT if right else Verdict.WRONG, value, {"code_tests": value}, result.reason)

    def close(self) -> None:
        """End the sandbox; it also ends with this process."""
        self._sandbox.close()

    def _remaining(self, limits: Limits) -> Limits:
        left_s = max(0.05, self._deadline - time.monotonic())
        return replace(limits, hard_s=min(limits.end_s, left_s))

    def _outputs(self, language: str, source: str, cases: Sequence[OutputCase]) -> _Result:
        cases = cases[: self._max_tests or None]
        compile_limits = self._remaining(COMPILE_LIMITS)
        program = prepare(self._sandbox, language, source, self._limits, compile_limits=compile_limits)
        if isinstance(program, Execution):
            reason = f"{program.status.value}: {program.detail} {_tail(program.stderr)}".rstrip()
            return _Result(0, len(cases), reason, unjudged=program.status is Status.FAULT or program.cut_short)
        passed, first = 0, ""
        with program:
            for number, case in enumerate(cases, start=1):
                reason, unjudged = self._output(program, case)
                if unjudged:
                    return _Result(passed, len(cases), f"test {number} of {len(cases)}: {reason}", unjudged=True)
                passed += not reason
                first = first or (reason and f"test {number} of {len(cases)}: {reason}")
                if reason and not self._partial_credit:
                    break
        return _Result(passed, len(cases), first)

    def _output(self, program: Program, case: OutputCase) -> tuple[str, bool]:
        """(why the test is not passed, whether that cannot be judged)."""
        limits = self._remaining(program.limits)
        given = case.stdin.encode("utf-8", "surrogateescape")
        done = self._sandbox.run(replace(program, limits=limits).job(given))
        if done.status is not Status.OK:
            return self._blame(done, limits)
        if same_output(
            done.stdout.decode("utf-8", "surrogateescape"),
            case.expected,
            whitespace=self._whitespace,
            tolerance=self._tolerance,
        ):
            return "", False
        return f"wrong output {_tail(done.stdout)!r}", False

    def _calls(self, source: str, cases: Sequence[CallCase]) -> _Result:
        cases = cases[: self._max_tests or None]
        limits = self._remaining(self._limits)
        try:
            answers, done = call_all(self._sandbox, [source], [case.call for case in cases], limits)
        except NotPlainData as error:
            return _Result(0, len(cases), f"a test's argument cannot be sent: {error}", unjudged=True)
        passed, first = 0, ""
        for number, (case, answer) in enumerate(zip(cases, answers, strict=False), start=1):
            reason = self._answered(case, answer)
            passed += not reason
            first = first or (reason and f"test {number} of {len(cases)}: {reason}")
        return self._whole(passed, first, len(answers), len(cases), done, limits)

    def _answered(self, case: CallCase, answer: Answer) -> str:
        if answer.reason:
            return answer.reason
        wanted = [case.expected]
        if case.wrapped and isinstance(case.expected, list) and len(case.expected) == 1:
            wanted.append(case.expected[0])
        if any(same_value(answer.value, value, self._tolerance) for value in wanted):
            return ""
        return f"wrong value {_short(answer.value)}"

    def _whole(self, passed: int, first: str, answered: int, total: int, done: Execution, limits: Limits) -> _Result:
        """The result of tests that share a process, which may have ended before it had answered all."""
        if first or answered == total:
            return _Result(passed, total, first)
        reason, unjudged = self._blame(done, limits)
        return _Result(passed, total, f"test {answered + 1} of {total}: {reason}", unjudged)

    def _test_code(self, sources: Sequence[str], cases: TestCode) -> _Result:
        simple = _simple(cases)
        if simple is not None:
            return self._asserts(sources, simple)
        limits = self._remaining(self._limits)
        tests = cases.tests[: self._max_tests or None] if not cases.check else cases.tests
        told = judge(
            self._sandbox,
            sources,
            tests=[*([cases.setup] if cases.setup else []), *tests],
            prelude=[cases.prompt] if cases.prompt and parses(cases.prompt) else [],
            check=cases.check,
            entry_point=cases.entry_point,
            candidate_names=[cases.entry_point] if cases.entry_point else sorted(called(_statements(cases))),
            limits=limits,
        )
        total = 1 if cases.check else len(tests)
        if told.outcome == "passed":
            return _Result(total, total)
        passed = 0 if cases.check else max(0, told.test - 1 - bool(cases.setup))
        if told.outcome in ("failed", "raised"):
            return _Result(passed, total, f"test {passed + 1} of {total}: {told.reason}")
        if told.outcome == "gone":
            reason, unjudged = self._blame(told.candidate, limits)
            return _Result(passed, total, f"test {passed + 1} of {total}: {reason}", unjudged)
        if told.tests.cut_short and min(told.tests.idle_s, told.candidate.idle_s) > limits.patience_s:
            reason = f"no answer within {limits.patience_s:g} s"  # while the tests waited and the machine was free
            return _Result(passed, total, f"test {passed + 1} of {total}: {reason}")
        reason = told.reason or f"{told.tests.status.value}: {told.tests.detail}"
        return _Result(passed, total, f"the tests could not be run: {reason}", unjudged=True)

    def _asserts(self, sources: Sequence[str], simple: Plan) -> _Result:
        limits = self._remaining(self._limits)
        numbers = range(len(simple.asserts))[: self._max_tests or None]
        answers, done = call_all(self._sandbox, sources, simple.calls, limits)
        passed, first, reached = 0, "", 0
        for number in numbers:
            if any(place >= len(answers) for place in simple.asserts[number][1]):
                break
            reached += 1
            reason = _asserted(simple, number, answers)
            passed += not reason
            first = first or (reason and f"test {number + 1} of {len(numbers)}: {reason}")
        return self._whole(passed, first, reached, len(numbers), done, limits)

    def _blame(self, done: Execution, limits: Limits) -> tuple[str, bool]:
        """What to say of an execution that did not do, and whether that leaves the program unjudged."""
        if done.status is Status.OK:
            return "the program ended before it had answered", False
        reason = f"{done.status.value}: {done.detail} {_tail(done.stderr)}".rstrip()
        if done.cut_short:
            return f"the {self._total_s:g} s for all tests ran out before its own {limits.time_s:g} s", True
        return reason, done.status in (Status.FAULT, Status.STOPPED)


def _statements(cases: TestCode) -> list[ast.stmt]:
    return [node for text in cases.tests for node in ast.parse(text).body]


def _simple(cases: TestCode) -> Plan | None:
    """The plan for tests that are nothing but plain asserts."""
    if cases.setup.strip():
        return None
    body = _statements(cases)
    if not cases.check:
        return plan(body, None)
    others = [node for node in body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    functions = [node for node in others if isinstance(node, ast.FunctionDef)]
    if len(functions) != 1 or not all(_inert(node) for node in others):
        return None
    parameters = functions[0].args
    if len(parameters.args) != 1 or parameters.vararg or parameters.kwarg or functions[0].decorator_list:
        return None
    found = plan(functions[0].body, {parameters.args[0].arg})
    if found is None:
        return None
    return replace(found, calls=tuple(replace(call, function=cases.entry_point) for call in found.calls))


def _inert(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return all(name.name == "math" and name.asname is None for name in node.names)
    return isinstance(node, ast.Assign | ast.FunctionDef)


def _completed(response: str, cases: TestCode) -> list[str]:
    """The candidate's sources: what the prompt began, where that is code, and what the response makes of it."""
    _, source = find_code(response, "python")
    begun = cases.prompt if cases.prompt and not cases.prompt.isspace() else ""
    whole = source and (not cases.entry_point or defines(source, cases.entry_point) or not begun)
    if whole:
        return [begun, source] if begun and parses(begun) else [source]
    for body in (source, response):
        if begun and body.strip() and defines(begun + body, cases.entry_point):
            return [begun + body]
    return [source] if source else []


def _asserted(simple: Plan, number: int, answers: Sequence[Answer]) -> str:
    for place in simple.asserts[number][1]:
        if answers[place].reason:
            return answers[place].reason
    try:
        if simple.holds(number, answers):
            return ""
    except (NotSimple, *FAULTS) as error:
        return f"the test raised {type(error).__name__}: {error}"
    values = ", ".join(_short(answers[place].value) for place in simple.asserts[number][1])
    return f"assertion failed; returned {values}" if values else "assertion failed"


def _short(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        return "a huge number"
    return text if len(text) <= 80 else text[:77] + "…"


def _tail(stream: bytes) -> str:
    return " ".join(stream[-200:].decode("utf-8", "replace").split())
