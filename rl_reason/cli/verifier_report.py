"""How `rl-reason verifier test` shows what the contract found: a table of promises, failures with what to do."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rl_reason.rewards.promises import CHECKS, Report

_SHOWN = 3


def print_report(report: Report, ref: str) -> None:
    """A line for each promise, the first failures of each with what to do, and a summary."""
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
    if report.dodges:
        console.print(
            f"Consider: {len(report.dodges)} responses could not be judged, though others to the same prompt could; "
            f"a model may learn to write such. The first: {escape(report.dodges[0])}"
        )
    if report.passed and set(report.verdicts) == {"unjudged"}:
        console.print("It judged nothing: give it lines with what it needs by --cases, or a class attribute `example`.")
