"""`rl-reason verifier new|test|list|show`: write a verifier, try it against the contract, see what is installed."""

from __future__ import annotations

import typer

from rl_reason.cli.main import HELP
from rl_reason.cli.verifier_list import list_verifiers
from rl_reason.cli.verifier_new import new
from rl_reason.cli.verifier_show import show
from rl_reason.cli.verifier_test import test

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings=HELP, help="Write, test and list verifiers."
)
app.command("new")(new)
app.command("test")(test)
app.command("list")(list_verifiers)
app.command("show")(show)
