"""`rl-reason doctor`: says what of the environment works, and the command that mends what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from rl_reason.cli.environment import Finding, State, examine

_MARKS: dict[State, tuple[str, str]] = {"works": ("✓", "green"), "note": ("!", "yellow"), "broken": ("✗", "bold red")}


def doctor(
    imports: Annotated[
        bool,
        typer.Option("--imports/--no-imports", help="Also import torch, vLLM and the others, each in its own process."),
    ] = True,
) -> None:
    """Examine Python, packages, memory, disk, GPUs and keys; exit 1 when something that is needed does not work."""
    out = Console(highlight=False)
    broken = 0
    for finding in examine(Path.cwd(), imports=imports):
        _show(out, finding)
        broken += finding.state == "broken"
    if broken:
        out.print(f"\n{broken} thing{'' if broken == 1 else 's'} to mend (✗). Each line above names the command.")
        raise typer.Exit(1)
    out.print("\nEverything needed works.")


def _show(out: Console, finding: Finding) -> None:
    mark, style = _MARKS[finding.state]
    out.print(Text.assemble((f"{mark} ", style), (f"{finding.name:<20}", "bold"), finding.what), soft_wrap=True)
    if finding.mend:
        out.print(Text.assemble(" " * 22, ("→ ", style), finding.mend), soft_wrap=True)
