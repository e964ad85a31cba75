"""`rl-reason verifier test REF`: runs the contract on a verifier and says what to do about each broken promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rl_reason.cli.verifier_report import print_report
from rl_reason.cli.verify import parse_options
from rl_reason.rewards.contract import Limits, check_contract
from rl_reason.rewards.pool import VerifierSpec
from rl_reason.rewards.promises import load_cases
from rl_reason.rewards.verify_file import count_lines


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
    print_report(report, ref)
    if not report.passed:
        raise typer.Exit(1)
