"""`rl-reason verifier new NAME`: writes a package with a verifier that installs, passes its tests and trains a toy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from rl_reason.rewards.scaffold import new_verifier


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as my_check: of the package and of the verifier.")],
    out: Annotated[Path, typer.Option(help="Folder in which the package's folder is made.")] = Path("."),
) -> None:
    """Write a verifier's package: verifier, tests, labelled cases, a toy recipe and a README."""
    folder = new_verifier(name, out)
    console = Console(soft_wrap=True, highlight=False)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        console.print(f"  {escape(str(path))}")
    console.print(
        f"""
[bold]Next[/]
  cd {escape(str(folder))}
  pip install -e .                                      [dim]offline: add --no-build-isolation[/]
  python -m pytest
  rl-reason verifier test {name} --cases cases.jsonl
  rl-reason run recipe.yaml                             [dim]a minute: a toy model, trained with it[/]"""
    )
