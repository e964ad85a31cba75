"""`rl-reason verifier show NAME`: a verifier's docstring, its options with defaults, its needs, a line to try it on."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from rl_reason.cli.verifier_list import plain
from rl_reason.rewards.card import PLAIN_EXAMPLE, Card, card_of


def show(
    ref: Annotated[str, typer.Argument(metavar="NAME", help="A name from `verifier list`, or path/to/file.py:Class.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs: an object.")] = False,
) -> None:
    """Show what a verifier judges, its options with their defaults, its needs, and an example line.

    Exit code 1 when it cannot be used here.
    """
    card = card_of(ref)
    if as_json:
        print(json.dumps({**plain(card), "text": card.text}, indent=2))
    else:
        _print(card)
    if card.fault:
        raise typer.Exit(1)


def _print(card: Card) -> None:
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{escape(card.name)}[/]  {escape(f'{card.distribution} {card.version}'.strip() or card.ref)}")
    console.print(f"\n{escape(card.text or card.purpose)}")
    console.print("\n[bold]Options[/] (recipe: `options:`; command: `--option key=value`)")
    console.print("\n".join(f"  {escape(option.shown)}" for option in card.options) or "  none")
    console.print("\n[bold]Needs[/]")
    console.print("\n".join(f"  {escape(need)}" for need in card.needs) or "  nothing")
    if card.fault:
        console.print(f"  [red]cannot be used here:[/] {escape(card.fault)}")
    console.print("\n[bold]A line for[/] rl-reason verify" + ("" if card.example else " (any answer and response do)"))
    console.print(f"  {escape(json.dumps(dict(card.example or PLAIN_EXAMPLE), default=repr))}")
