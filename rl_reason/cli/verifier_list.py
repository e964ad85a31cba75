"""`rl-reason verifier list`: every installed verifier, where it comes from, what it needs, whether it works here."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rl_reason.rewards.card import Card, installed_cards


def list_verifiers(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of objects.")] = False,
) -> None:
    """Show name, version, distribution, needs and purpose of every installed verifier."""
    cards = installed_cards()
    if as_json:
        print(json.dumps([plain(card) for card in cards], indent=2))
        return
    table = Table("name", "from", "needs", "what it is", box=None, pad_edge=False)
    for card in cards:
        purpose = f"[red]cannot be used here:[/] {escape(card.fault)}" if card.fault else escape(card.purpose)
        needs = escape("\n".join(card.needs)) or "nothing"
        table.add_row(f"[bold]{escape(card.name)}[/]", f"{card.distribution} {card.version}", needs, purpose)
    console = Console()
    console.print(table)
    console.print("\n[dim]rl-reason verifier show NAME gives its options; verifier new NAME begins one of your own.[/]")


def plain(card: Card) -> dict[str, object]:
    """A card as plain data; `usable` says whether it works here."""
    options = [
        {"name": option.name, "required": option.required, "default": None if option.required else option.default}
        for option in card.options
    ]
    known = {key: value for key, value in asdict(card).items() if key not in ("options", "text")}
    return json.loads(
        json.dumps({**known, "purpose": card.purpose, "usable": not card.fault, "options": options}, default=repr)
    )
