"""The command `rl-reason`: finds a verb's module, imports that one only, and prints faults without tracebacks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

try:
    import typer
except ModuleNotFoundError as _error:
    sys.exit(f"rl-reason: the package {_error.name} is not installed in {sys.executable}. Run `make setup`.")

from rl_reason.errors import RlReasonError


class Verb(NamedTuple):
    """Where a verb lives."""

    module: str
    attribute: str
    """A `typer.Typer`, or a function that typer can make a command of."""
    help: str


HELP = {"help_option_names": ["--help", "-h"]}

VERBS = {
    "run": Verb("rl_reason.cli.run", "run", "Run a recipe's stages; the same command again resumes."),
    "config": Verb("rl_reason.cli.config", "app", "Check, show and explain recipes."),
    "verify": Verb("rl_reason.cli.verify", "verify", "Judge the responses of a JSONL file."),
    "verifier": Verb("rl_reason.cli.verifier", "app", "Write, test and list verifiers."),
    "eval": Verb("rl_reason.cli.eval", "evaluate", "Evaluate a checkpoint on held-out prompts, or reward models."),
    "merge": Verb("rl_reason.cli.merge", "merge_command", "Merge models by a recipe, mergekit's or ours."),
    "report": Verb("rl_reason.cli.report", "report", "Write report.html for a run folder."),
    "doctor": Verb("rl_reason.cli.doctor", "doctor", "Say what of the environment works, and what mends the rest."),
}


def main(words: Sequence[str] | None = None) -> None:
    """Entry point; always ends in SystemExit, with a fault's own exit code.

    Args:
        words: the command line after the program's name; None takes the process's.
    """
    try:
        commands()(args=None if words is None else list(words), prog_name="rl-reason")
    except RlReasonError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("rl_reason"):
            raise
        print(
            f"the package {error.name} is not installed in {sys.executable}: `make setup` installs all of them, "
            "`rl-reason doctor` says what else is missing",
            file=sys.stderr,
        )
        sys.exit(1)


def commands() -> typer.Typer:
    """One command a verb, none of which is imported before it is called."""
    app = typer.Typer(
        help="RL post-training for long chain-of-thought reasoning.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings=HELP,
        epilog="Begin with: rl-reason run recipes/quickstart.yaml. Every verb has --help.",
    )
    app.callback()(_options)
    pass_all = {"allow_extra_args": True, "ignore_unknown_options": True}
    for name, verb in VERBS.items():
        app.command(name, help=verb.help, context_settings=pass_all, add_help_option=False)(_forward(name, verb))
    return app


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=lambda on: _version(on)),
    ] = False,
) -> None:
    """RL post-training for long chain-of-thought reasoning."""


def _version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata  # takes longer than all else here

        typer.echo(f"rl-reason {importlib.metadata.version('rl-reason')}")
        raise typer.Exit


def _forward(name: str, verb: Verb) -> Callable[[typer.Context], None]:
    """A command that hands its words, `--help` included, to the verb's own app."""

    def forward(context: typer.Context) -> None:
        target = getattr(importlib.import_module(verb.module), verb.attribute)
        if not isinstance(target, typer.Typer):
            function, target = target, typer.Typer(add_completion=False, context_settings=HELP)
            target.command(help=function.__doc__)(function)
        target(args=context.args, prog_name=f"rl-reason {name}")

    return forward


if __name__ == "__main__":
    main()
