"""Makes test cases for programming problems that have none, from their reference solutions (Kimi k1.5 §2.3.5).

A generator program prints inputs, sampled reference solutions are run on them, and what they agree on becomes the
expected output (`test_cases` has the rules). All programs run where `run` runs them: in the sandbox.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from rl_reason.data.test_cases import Case, Exit, Rules, expected_output, passing
from rl_reason.errors import DataError

_FENCED = re.compile(r"```[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:\n```|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Program:
    """Source text and its language, as `code_tests` names languages."""

    code: str
    language: str = "python"


@dataclass(frozen=True, slots=True)
class Job:
    """One program to run on one input."""

    program: Program
    stdin: str


Run = Callable[[Sequence[Job]], list[str | None]]
"""Runs all jobs; what each printed, in order, or None where it failed, ran out of time or printed too much."""


@dataclass(frozen=True, slots=True)
class CodeProblem:
    """One programming problem."""

    id: str
    text: str
    solutions: tuple[Program, ...]
    generators: tuple[Program, ...] = ()
    special_judge: bool = False
    row: dict[str, Any] = field(default_factory=dict[str, Any])
    """The line that it came from."""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a problem."""

    id: str
    exit: Exit
    cases: tuple[Case, ...] = ()
    """The valid ones of the best generator."""
    inputs: int = 0
    """Different inputs that it gave."""
    passing: int = 0
    """Sampled solutions that pass all cases."""
    solutions: int = 0
    """Solutions sampled."""
    generator: Program | None = None
    """The one that gave the cases."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable, read back by `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Made:
        """What `to_dict` gave."""
        generator = data["generator"]
        return cls(
            **{
                **data,
                "exit": Exit(data["exit"]),
                "cases": tuple(Case(**case) for case in data["cases"]),
                "generator": None if generator is None else Program(**generator),
            }
        )


def make_cases(problem: CodeProblem, generators: Sequence[Program], run: Run, rules: Rules, *, seed: int) -> Made:
    """Take one problem through the funnel.

    Args:
        generators: tried in order until one gives enough valid cases; the best one counts.
        seed: of the choice of solutions, together with the problem's id.
    """
    if problem.special_judge:
        return Made(problem.id, Exit.SPECIAL_JUDGE)
    if len(problem.solutions) < rules.solutions:
        return Made(problem.id, Exit.FEW_SOLUTIONS, solutions=len(problem.solutions))
    if not generators:
        return Made(problem.id, Exit.NO_GENERATOR)
    solutions = random.Random(f"{seed}/{problem.id}").sample(problem.solutions, rules.solutions)
    best = Made(problem.id, Exit.FEW_CASES, solutions=len(solutions))
    for generator in generators:
        made = _cases_of(problem.id, generator, solutions, run, rules)
        if best.generator is None or len(made.cases) > len(best.cases):
            best = made
        if made.exit is not Exit.FEW_CASES:
            return made
    return best


def _cases_of(identity: str, generator: Program, solutions: Sequence[Program], run: Run, rules: Rules) -> Made:
    printed = run([Job(generator, f"{number}\n") for number in range(1, rules.cases + 1)])
    inputs = list(dict.fromkeys(text for text in printed if text))
    outputs = run([Job(solution, text) for text in inputs for solution in solutions])
    width = len(solutions)
    by_input = [outputs[index * width : (index + 1) * width] for index in range(len(inputs))]
    cases: list[Case] = []
    of_cases: list[Sequence[str | None]] = []
    for text, of_input in zip(inputs, by_input, strict=True):
        expected = expected_output(of_input, agree=rules.agree)
        if expected is not None:
            cases.append(Case(text, expected))
            of_cases.append(of_input)
    count = passing(of_cases, cases)
    exit_ = Exit.KEPT if count >= rules.pass_all else Exit.DISAGREEMENT
    if len(cases) < rules.least_cases:
        exit_ = Exit.FEW_CASES
    return Made(identity, exit_, tuple(cases), len(inputs), count, width, generator)


def generator_request(problem: CodeProblem, rules: Rules, template: str | None = None) -> str:
    """What a model is asked to write a generator for a problem.

    Args:
        template: with `{problem}` and `{cases}` in it; None takes the one that comes with the package.
    """
    text = template if template is not None else files("rl_reason.data").joinpath("generator_prompt.txt").read_text()
    return text.replace("{cases}", str(rules.cases)).replace("{problem}", problem.text)


def generator_in(response: str) -> Program | None:
    """The program in a model's response: its last fenced block; None when there is none."""
    blocks = _FENCED.findall(response)
    if not blocks or not blocks[-1][1].strip():
        return None
    return Program(blocks[-1][1], blocks[-1][0].lower() or "python")


def read_code_problems(path: Path) -> list[CodeProblem]:
    """Problems from JSONL: `prompt`, `solutions` (texts, or objects with `code` and `language`), and if there are any
    `id`, `generator` (one or a list of them), `special_judge`.

    Raises:
        DataError: it cannot be read, or lines are wrong; the message names them all.
    """
    problems: list[CodeProblem] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            problem = _problem(json.loads(line), number)
        except ValueError as error:
            faults.append(f"{path}:{number}: {error}")
            continue
        if problem.id in seen:
            faults.append(f"{path}:{number}: id {problem.id!r} is that of line {seen[problem.id]} too")
        seen.setdefault(problem.id, number)
        problems.append(problem)
    if faults or not problems:
        raise DataError("\n".join(faults[:20]) or f"{path} has no problems in it")
    return problems


def _problem(row: Any, number: int) -> CodeProblem:
    if not isinstance(row, dict):
        raise ValueError(f"a JSON object is expected, not {type(row).__name__}")
    text = row.get("prompt")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("'prompt' must be the problem's text")
    judged = row.get("special_judge", False)
    if not isinstance(judged, bool):
        raise ValueError(f"'special_judge' must be true or false, not {judged!r}")
    generators = row.get("generator", [])
    return CodeProblem(
        id=str(row.get("id", f"line-{number}")),
        text=text,
        solutions=_programs(row.get("solutions"), "solutions"),
        generators=_programs(generators if isinstance(generators, list) else [generators], "generator"),
        special_judge=judged,
        row=row,
    )


def _programs(given: Any, name: str) -> tuple[Program, ...]:
    if not isinstance(given, list):
        raise ValueError(f"{name!r} must be a list of programs")
    programs: list[Program] = []
    for entry in given:
        told = {"code": entry} if isinstance(entry, str) else entry
        if not isinstance(told, dict) or not isinstance(told.get("code"), str):
            raise ValueError(f"{name!r} holds {str(entry)[:60]!r}; a program is a text, or an object with 'code'")
        programs.append(Program(told["code"], str(told.get("language", "python"))))
    return tuple(programs)
