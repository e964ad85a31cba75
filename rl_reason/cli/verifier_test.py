"""`rl-reason verifier test REF`: runs the contract on a verifier and says what to do about each broken promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rl_reason.cli.verify import parse_options
from rl_reason.rewards.contract import Limits, check_contract
from rl_reason.rewards.pool import VerifierSpec
from rl_reason.rewards.promises import CHECKS, Report, load_cases
from rl_reason.rewards.verify_file import count_lines

_SHOWN = 3


def test(
    ref: Annotated[str, typer.Argument(metavar="REF", help="A name, path/to/file.py:Class, or module:Class.")],
    option: Annotated[list[str] | None, typer.Option(help="A constructor option of the verifier: key=value.")] = None,
    cases: Annotated[
        Path | None, typer.Option(help="JSONL as `verify` reads it; `correct` is the verdict expected.")
    ] = None,
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds that one call of verify may take.")] = 5.0,
) -> None:
    """Run the contract: hostile strings, determinism, time, memory, global state. Exit code 1 if a promise breaks."""
    rows = []
    if cases is not None:
        count_lines(cases)  # names every broken line
        rows = [json.loads(line) for line in cases.read_text(encoding="utf-8").split("\n") if line.strip()]
    labelled = load_cases(rows, str(cases))
    spec = VerifierSpec("it", ref, parse_options(option or []))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("contract", total=None)
        report = check_contract(
            spec,
            labelled,
            limits=Limits(deadline_s=deadline),
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _print(report, ref)
    if not report.passed:
        raise typer.Exit(1)


def _print(report: Report, ref: str) -> None:
    console = Console(soft_wrap=True, highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    for check, (promise, _) in CHECKS.items():
        state = (
            "[red]FAIL[/]" if report.of(check) else "[yellow]  - [/]" if check in report.untried else "[green]pass[/]"
        )
        table.add_row(state, f"[bold]{check}[/]", promise)
    console.print(table)
    for check, (_, advice) in CHECKS.items():
        failures = report.of(check)
        for failure in failures[:_SHOWN]:
            console.print(
                f"\n[red]{check}[/]: {escape(failure.seen)}"
                + (f"\n  on {escape(failure.case)}" if failure.case else "")
            )
        if failures:
            more = f"  … and {len(failures) - _SHOWN} more\n" if len(failures) > _SHOWN else ""
            console.print(f"{more}  [bold]do:[/] {escape(advice)}")
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(report.verdicts.items()))
    summary = f"{report.inputs} inputs ({verdicts or 'none judged'})"
    broken = sum(bool(report.of(check)) for check in CHECKS)
    console.print(
        f"\n{escape(ref)}: {summary}; "
        + (f"[red]{broken} promise{'' if broken == 1 else 's'} broken[/]" if broken else "[green]keeps the contract[/]")
    )
    if report.passed and set(report.verdicts) == {"unjudged"}:
        console.print("It judged nothing: give it lines with what it needs by --cases, or a class attribute `example`.")
