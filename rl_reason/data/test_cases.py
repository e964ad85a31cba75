"""Which generated test cases count, and which problems are kept (Kimi k1.5 §2.3.5), as pure functions on outputs.

Of a problem's sampled reference solutions, run on one generated input:
    a case is valid      when at least `agree` of them print the same; that is then the expected output
    a problem is kept    when at least `least_cases` cases are valid, and at least `pass_all` solutions pass all of them
The paper's numbers, for 50 cases and 10 solutions, are 7, 40 and 9; of 1,000 problems it kept 323.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Exit(StrEnum):
    """Where a problem left the funnel, in the funnel's order."""

    SPECIAL_JUDGE = "special judge"
    """Several outputs are right: comparing outputs would be unjust."""
    FEW_SOLUTIONS = "too few solutions"
    """Fewer reference solutions than are to be sampled."""
    NO_GENERATOR = "no generator"
    """None came with the problem, and none was written that could be read as a program."""
    FEW_CASES = "too few valid cases"
    """No generator gave enough inputs on which the solutions agree."""
    DISAGREEMENT = "solutions disagree"
    """The cases are there, but too few solutions pass all of them."""
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Rules:
    """Numbers of the rules above."""

    cases: int = 50
    """Inputs that a generator is asked for."""
    solutions: int = 10
    """Reference solutions that are sampled."""
    agree: int = 7
    least_cases: int = 40
    pass_all: int = 9


@dataclass(frozen=True, slots=True)
class Case:
    """One input and what a right program prints for it."""

    input: str
    output: str


def expected_output(outputs: Sequence[str | None], *, agree: int) -> str | None:
    """What at least `agree` of the solutions printed; None when there is no such output.

    Args:
        outputs: [solutions], None where a solution failed or ran out of time; compared as `canonical`.
    """
    counted = Counter(canonical(output) for output in outputs if output is not None)
    if not counted:
        return None
    output, count = counted.most_common(1)[0]
    return output if count >= agree else None


def passing(outputs: Sequence[Sequence[str | None]], cases: Sequence[Case]) -> int:
    """How many solutions pass all cases; `outputs` is [cases][solutions]."""
    right = [
        [output is not None and canonical(output) == case.output for output in of_case]
        for of_case, case in zip(outputs, cases, strict=True)
    ]
    return sum(all(of_solution) for of_solution in zip(*right, strict=True))


def canonical(output: str) -> str:
    """As judges compare: without spaces at line ends, without empty lines at the end."""
    return "\n".join(line.rstrip() for line in output.rstrip().splitlines())


def funnel(exits: Iterable[Exit]) -> dict[str, int]:
    """How many problems were still there after each step: the counts that the paper reports."""
    left = Counter(exits)
    remaining = left.total()
    counts = {"problems": remaining}
    for step, name in _STEPS.items():
        remaining -= left[step]
        counts[name] = remaining
    return counts


_STEPS: Mapping[Exit, str] = {
    Exit.SPECIAL_JUDGE: "without special judge",
    Exit.FEW_SOLUTIONS: "with enough solutions",
    Exit.NO_GENERATOR: "with a generator",
    Exit.FEW_CASES: "with enough valid cases",
    Exit.DISAGREEMENT: "kept",
}
