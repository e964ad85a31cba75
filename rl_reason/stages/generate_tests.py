"""The `generate_tests` stage: test cases for programming problems, from their reference solutions (Kimi k1.5 §2.3.5).

In the stage's folder: `generators.jsonl` (what the model wrote), `outcomes.jsonl` (a line a problem, as they are done:
a stopped stage goes on after the last), and in the end `tests.jsonl`, the kept problems with their `tests`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rl_reason.build import actors, parts
from rl_reason.build.programs import program_runner
from rl_reason.build.prompts import renderer
from rl_reason.config.schema.curation import GenerateTests
from rl_reason.data.test_cases import Exit, Rules, funnel
from rl_reason.data.test_generation import (
    CodeProblem,
    Made,
    Program,
    generator_in,
    generator_request,
    make_cases,
    read_code_problems,
)
from rl_reason.rollout.engine_pool import EnginePool
from rl_reason.rollout.phase import response_seed
from rl_reason.stages.session import Session, closed
from rl_reason.tracking.atomic import write_text_atomic
from rl_reason.tracking.run_folder import StageFolder
from rl_reason.types import Prompt, Request


def run(session: Session, stage: GenerateTests, model: Path | None, folder: StageFolder) -> Mapping[str, Any] | None:
    """Take every problem through the funnel; returns its counts, or None when asked to stop before the end."""
    problems = read_code_problems(Path(stage.problems))
    rules = Rules(stage.cases, stage.solutions, stage.agree, stage.least_cases, stage.pass_all)
    session.console.say(f"{folder.label}: {len(problems)} problems")
    written = _generators(session, stage, model, folder.path / "generators.jsonl", problems, rules)
    outcomes = _Outcomes(folder.path / "outcomes.jsonl")
    with ExitStack() as resources:
        programs = resources.enter_context(program_runner(stage))
        done = outcomes.read()
        tracker = resources.enter_context(closed(session.tracker(folder, finished=len(done), total=len(problems))))
        for number, problem in enumerate(problems[len(done) :], start=len(done)):
            begun = time.perf_counter()
            generators = [*problem.generators, *written.get(problem.id, ())]
            made = make_cases(problem, generators, programs, rules, seed=session.recipe.seed)
            outcomes.add(made)
            done.append(made)
            tracker.log(
                {
                    "iteration": number,
                    "tests/valid_cases": float(len(made.cases)),
                    "tests/kept_fraction": sum(one.exit is Exit.KEPT for one in done) / len(done),
                    "time/iteration_s": time.perf_counter() - begun,
                }
            )
            if session.stop() and number + 1 < len(problems):
                return None
    kept = [tested(problem.row, made) for problem, made in zip(problems, done, strict=True) if made.exit is Exit.KEPT]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
    write_text_atomic(folder.path / "tests.jsonl", lines)
    counts = funnel(made.exit for made in done)
    for name, count in counts.items():
        session.console.say(f"  {count:>7,} {name}")
    return {"iterations": len(problems), "funnel": counts, "tests": str(folder.path / "tests.jsonl")}


def tested(row: Mapping[str, Any], made: Made) -> dict[str, Any]:
    """A problem's line with the tests that `code_tests` takes; solutions and generator are left out."""
    kept = {key: value for key, value in row.items() if key not in ("solutions", "generator", "special_judge")}
    tests = [{"input": case.input, "output": case.output} for case in made.cases]
    return {"id": made.id, **kept, "answer": row.get("answer", ""), "tests": tests}


def _generators(
    session: Session,
    stage: GenerateTests,
    model: Path | None,
    path: Path,
    problems: Sequence[CodeProblem],
    rules: Rules,
) -> dict[str, list[Program]]:
    """What the model writes for the problems that come without; kept in a file, as another start would write others."""
    if path.exists():
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {row["id"]: [Program(**given) for given in row["generators"]] for row in rows}
    lacking = [problem for problem in problems if not problem.generators and not problem.special_judge]
    if not lacking or not stage.attempts or model is None:
        return {}
    session.console.say(f"{stage.attempts} generators for each of {len(lacking)} problems")
    written: dict[str, list[Program]] = {problem.id: [] for problem in lacking}
    for identity, response in _responses(session, stage, model, lacking, rules):
        program = generator_in(response)
        if program is not None:
            written[identity].append(program)
    rows = [
        {"id": identity, "generators": [{"code": one.code, "language": one.language} for one in programs]}
        for identity, programs in written.items()
    ]
    write_text_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))
    return written


def _responses(
    session: Session, stage: GenerateTests, model: Path, problems: Sequence[CodeProblem], rules: Rules
) -> Iterator[tuple[str, str]]:
    """(problem's id, one response), in the order of the requests."""
    recipe = session.recipe
    rendered_by = renderer(recipe, model)
    template = None if stage.template is None else Path(stage.template).read_text(encoding="utf-8")
    requests: list[Request] = []
    for problem in problems:
        asked = rendered_by.render(Prompt(problem.id, generator_request(problem, rules, template), ""))
        for attempt in range(stage.attempts):
            key = f"{problem.id}/{attempt}"
            requests.append(Request(key, asked.tokens, response_seed(recipe.seed, key)))
    with ExitStack() as resources:
        starting = session.starting()
        engines = [resources.enter_context(closed(e)) for e in actors.begin_engines(starting, recipe, model)]
        starting.wait()
        draw = parts.sampling(stage.sampling, rendered_by)
        answered = {
            completion.request_id: completion.segment.tokens.tolist()
            for completions in EnginePool(engines).generate(requests, draw)
            for completion in completions
        }
    for request in requests:
        yield request.id.rpartition("/")[0], rendered_by.decode(answered[request.id])


class _Outcomes:
    """A line a problem, in the problems' order; a torn last line, of a killed process, is dropped."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[Made]:
        """What earlier starts finished."""
        if not self._path.exists():
            return []
        whole, newline, torn = self._path.read_text(encoding="utf-8").rpartition("\n")
        if torn:
            write_text_atomic(self._path, whole + newline)
        return [Made.from_dict(json.loads(line)) for line in whole.splitlines()]

    def add(self, made: Made) -> None:
        """Append one problem's outcome."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(made.to_dict()) + "\n")
