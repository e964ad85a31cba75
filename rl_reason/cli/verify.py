"""`rl-reason verify`: judges the responses in a JSONL file with one verifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rl_reason.errors import ConfigError
from rl_reason.rewards.pool import VerifierPool, VerifierSpec
from rl_reason.rewards.verify_file import Counts, count_lines, verify_file


def verify(
    verifier: Annotated[str, typer.Option(help="Name of a verifier (see `verifier list`), or path/to/file.py:Class.")],
    source: Annotated[Path, typer.Option("--input", help="JSONL with `answer` and `response`, maybe `prompt`, …")],
    target: Annotated[Path, typer.Option("--output", help="JSONL: the same with score, correct, reason, seconds.")],
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds that one response may take.")] = 5.0,
    option: Annotated[list[str] | None, typer.Option(help="A constructor option of the verifier: key=value.")] = None,
) -> None:
    """Judge responses: score, correct (true, false, or null for "could not judge"), reason and seconds.

    Example: rl-reason verify --verifier boxed_math --input answers.jsonl --output judged.jsonl
    """
    total = count_lines(source)
    spec = VerifierSpec(Path(verifier.rpartition(":")[2]).name, verifier, parse_options(option or []))
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with (
        VerifierPool([spec], workers=workers, deadline_s=deadline) as pool,
        Progress(*columns, TimeRemainingColumn(), console=console) as progress,
    ):
        task = progress.add_task(spec.name, total=total, rate="")

        def show(counts: Counts) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, completed=counts.total, rate=f"{speed:,.0f}/s" if speed else "")

        counts = verify_file(pool, [1.0], source=source, target=target, on_progress=show)
    console.print(f"{counts.right} right, {counts.wrong} wrong, {counts.unjudged} could not be judged -> {target}")


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """`key=value` pairs; a value that is JSON is read as such, anything else is a string.

    Raises:
        ConfigError: a pair has no `=`.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"--option {pair!r} is not of the form key=value")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options
