"""`rl-reason config check|show|explain|schema`: recipes without torch, a GPU, or a wait."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rl_reason.cli.main import HELP
from rl_reason.config.explain import explain_key
from rl_reason.config.knobs import knobs
from rl_reason.config.load import dump_recipe, load_recipe
from rl_reason.config.schema.recipe import Recipe, stage_names

app = typer.Typer(
    help="Check, show and explain recipes.", no_args_is_help=True, add_completion=False, context_settings=HELP
)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="The recipe.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override one value; may be given many times.")
]


@app.command()
def check(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Say everything that is wrong with a recipe, or that nothing is. Exit code 2 when something is.

    Example: rl-reason config check recipes/quickstart.yaml --set stages.reason.loss.tau=0.2
    """
    loaded = load_recipe(recipe, overrides or ())
    names = ", ".join(stage_names(loaded))
    plural = "" if len(loaded.stages) == 1 else "s"
    print(f"{recipe}: all is well. {loaded.name} has {len(loaded.stages)} stage{plural}: {names}.")


@app.command()
def show(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Print the whole recipe, defaults and absolute paths included.

    Example: rl-reason config show recipes/quickstart.yaml | less
    """
    print(dump_recipe(load_recipe(recipe, overrides or ())), end="")


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="Such as stages.rl.loss.tau; left out: the top level.")] = "",
) -> None:
    """Say what a key means, its type, bounds and default; of a block, which keys it has.

    Examples: rl-reason config explain tau; rl-reason config explain stages.rl
    """
    print(explain_key(key))


@app.command()
def schema() -> None:
    """Print the JSON schema of recipes, for editors.

    Example: rl-reason config schema > recipe.schema.json
    """
    described = Recipe.model_json_schema()
    described["title"] = f"rl-reason recipe ({sum(not knob.is_section for knob in knobs().values())} settings)"
    described["properties"]["extends"] = {
        "description": "Path of a recipe that this one is laid over: mappings key by key, lists as a whole. One level.",
        "type": "string",
    }
    print(json.dumps(described, indent=2))
