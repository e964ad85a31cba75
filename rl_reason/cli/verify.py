"""`rl-reason verify`: judges the responses in a JSONL file with one verifier, or compares several."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rl_reason.errors import ConfigError
from rl_reason.rewards.pool import VerifierPool, VerifierSpec
from rl_reason.rewards.verify_file import Counts, count_lines, verify_file


def verify(
    verifier: Annotated[
        list[str],
        typer.Option(
            help="Name (see `verifier list`) or path/to/file.py:Class; several to compare, the first decides."
        ),
    ],
    source: Annotated[Path, typer.Option("--input", help="JSONL with `response`, `answer`, maybe `prompt`, …")],
    target: Annotated[Path, typer.Option("--output", help="JSONL: the same with score, correct, reason, seconds.")],
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds that a verifier may take for a response.")] = 5.0,
    option: Annotated[
        list[str] | None,
        typer.Option(help="A constructor option: key=value; with several verifiers NAME.key=value."),
    ] = None,
    disagreements: Annotated[
        Path | None, typer.Option(help="JSONL: the lines on which a later verifier contradicts the first.")
    ] = None,
) -> None:
    """Judge responses: score, correct (true, false, or null for "could not judge"), reason and seconds.

    Example: rl-reason verify --verifier boxed_math --input answers.jsonl --output judged.jsonl

        Several: rl-reason verify --verifier boxed_math --verifier mine=check.py:Check --option mine.strict=true …
    """
    specs = verifier_specs(verifier, option or [])
    if disagreements and len(specs) == 1:
        raise ConfigError("--disagreements needs two verifiers or more: give --verifier again")
    total = count_lines(source)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with (
        VerifierPool(specs, workers=workers, deadline_s=deadline) as pool,
        Progress(*columns, TimeRemainingColumn(), console=console) as progress,
    ):
        task = progress.add_task(", ".join(pool.names), total=total, rate="")

        def show(counts: Counts) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, completed=counts.total, rate=f"{speed:,.0f}/s" if speed else "")

        counts = verify_file(pool, source=source, target=target, disagreements=disagreements, on_progress=show)
    console.print(f"{counts.right} right, {counts.wrong} wrong, {counts.unjudged} could not be judged -> {target}")
    if len(specs) > 1:
        where = f" -> {disagreements}" if disagreements else ""
        console.print(f"{counts.disagreements} of them judged otherwise by a later verifier{where}")


def verifier_specs(given: Sequence[str], pairs: Sequence[str]) -> list[VerifierSpec]:
    """`REF` or `NAME=REF` each, with their options: `key=value` of the only one, or `NAME.key=value`.

    Raises:
        ConfigError: two have the same name, or an option belongs to none.
    """
    refs: dict[str, str] = {}
    for text in given:
        alias, equals, ref = text.partition("=")
        if not (equals and alias.isidentifier()):
            alias, ref = Path(text.rpartition(":")[2]).name, text
        if alias in refs:
            raise ConfigError(f"two verifiers are called {alias!r}: name one, as in --verifier other={ref}")
        refs[alias] = ref
    options: dict[str, list[str]] = {name: [] for name in refs}
    for pair in pairs:
        name, dot, _ = pair.partition("=")[0].rpartition(".")
        if not dot and len(refs) > 1:
            raise ConfigError(f"--option {pair!r}: whose? Write NAME.{pair}, NAME being one of {', '.join(refs)}")
        if dot and name not in refs:
            raise ConfigError(f"--option {pair!r}: no verifier is called {name!r}; there are {', '.join(refs)}")
        options[name if dot else next(iter(refs))].append(pair[len(name) + 1 :] if dot else pair)
    return [VerifierSpec(name, ref, parse_options(options[name])) for name, ref in refs.items()]


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
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
