"""`rl-reason config check|show|explain|schema`: recipes without torch, a GPU, or a wait."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rl_reason.config.explain import explain_key
from rl_reason.config.knobs import knobs
from rl_reason.config.load import dump_recipe, load_recipe
from rl_reason.config.schema.recipe import Recipe, stage_names

app = typer.Typer(help="Check, show and explain recipes.", no_args_is_help=True, add_completion=False)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="The recipe.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override one value; may be given many times.")
]


@app.command()
def check(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Say everything that is wrong with a recipe, or that nothing is."""
    loaded = load_recipe(recipe, overrides or ())
    names = ", ".join(stage_names(loaded))
    plural = "" if len(loaded.stages) == 1 else "s"
    print(f"{recipe}: all is well. {loaded.name} has {len(loaded.stages)} stage{plural}: {names}.")


@app.command()
def show(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Print the whole recipe, defaults and absolute paths included."""
    print(dump_recipe(load_recipe(recipe, overrides or ())), end="")


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="Such as stages.rl.loss.tau; left out: the top level.")] = "",
) -> None:
    """Say what a key means, its type, bounds and default."""
    print(explain_key(key))


@app.command()
def schema() -> None:
    """Print the JSON schema of recipes, for editors."""
    described = Recipe.model_json_schema()
    described["title"] = f"rl-reason recipe ({sum(not knob.is_section for knob in knobs().values())} settings)"
    described["properties"]["extends"] = {
        "description": "Path of a recipe that this one is laid over: mappings key by key, lists as a whole. One level.",
        "type": "string",
    }
    print(json.dumps(described, indent=2))
