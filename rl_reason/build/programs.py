"""Programs of test-case generation, run in the sandbox: each compiled once, then all of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

from rl_reason.config.schema.curation import GenerateTests
from rl_reason.data.test_generation import Job, Program, Run
from rl_reason.errors import SandboxError
from rl_reason.sandbox import ALIASES, LANGUAGES, Execution, Limits, Sandbox, Status, prepare


@contextmanager
def program_runner(stage: GenerateTests) -> Iterator[Run]:
    """Within the context the function runs jobs, `stage.workers` of them at once.

    Raises:
        SandboxError: the host lacks what `stage.isolation` needs; within the context, when the sandbox itself fails.
    """
    limits = Limits(time_s=stage.time_s, memory_mib=stage.memory_mib)
    with Sandbox(stage.isolation) as sandbox:

        def run(jobs: Sequence[Job]) -> list[str | None]:
            numbered = sorted(enumerate(jobs), key=lambda pair: (pair[1].program.language, pair[1].program.code))
            printed: dict[int, str | None] = {}
            for program, of_program in groupby(numbered, key=lambda pair: pair[1].program):
                numbers, inputs = zip(*((number, job.stdin) for number, job in of_program), strict=True)
                outputs = _outputs(sandbox, program, inputs, limits, at_once=stage.workers)
                printed.update(zip(numbers, outputs, strict=True))
            return [printed[number] for number in range(len(jobs))]

        yield run


def _outputs(
    sandbox: Sandbox, program: Program, inputs: Sequence[str], limits: Limits, *, at_once: int
) -> list[str | None]:
    language = ALIASES.get(program.language, program.language)
    if language not in LANGUAGES:
        return [None] * len(inputs)
    prepared = prepare(sandbox, language, program.code, limits)
    if isinstance(prepared, Execution):
        return [_printed(prepared)] * len(inputs)
    with prepared:
        jobs = (prepared.job(text.encode("utf-8", "surrogateescape")) for text in inputs)
        return [_printed(done) for done in sandbox.run_many(jobs, at_once=at_once)]


def _printed(done: Execution) -> str | None:
    """Standard output of a run that went well."""
    if done.status is Status.FAULT:
        raise SandboxError(f"the sandbox failed, not the program in it: {done.detail}")
    if done.status is not Status.OK:
        return None
    try:
        return done.stdout.decode()
    except UnicodeDecodeError:
        return None
