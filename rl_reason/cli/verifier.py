"""`rl-reason verifier`: shows which verifiers are installed, and from where."""

from __future__ import annotations

import inspect

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rl_reason.errors import PluginError
from rl_reason.plugins import VERIFIERS, available, load

app = typer.Typer(no_args_is_help=True, help="Verifiers: what is installed.")


@app.callback()
def verifier() -> None:
    """Verifiers: what is installed."""


@app.command("list")
def list_verifiers() -> None:
    """Name, version, distribution and purpose of every installed verifier."""
    table = Table("name", "version", "from", "what it is")
    for plugin in available(VERIFIERS):
        table.add_row(plugin.name, plugin.version, plugin.distribution, escape(_purpose(plugin.value)))
    Console().print(table)


def _purpose(ref: str) -> str:
    try:
        text = inspect.getdoc(load(VERIFIERS, ref)) or "(no docstring)"
    except PluginError as error:
        return f"cannot be used: {error}"
    return text.splitlines()[0]
