"""`rl-reason run`: a recipe's stages in order; the same command again resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rl_reason.config.load import load_recipe


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="The recipe.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override one value; may be given many times.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder; runs/<name> if left out.")] = None,
) -> None:
    """Run a recipe's stages in order; finished ones are skipped, a broken-off one is resumed.

    Example: rl-reason run recipes/quickstart.yaml --set seed=1 --out runs/seed-1

    Ctrl-C or SIGTERM saves a checkpoint and ends; the same command continues. Paths in a recipe begin at its folder.
    """
    loaded = load_recipe(recipe, overrides or ())
    folder = out or Path(loaded.out or Path("runs") / loaded.name)
    # Imported only now, so that a wrong recipe is told in a moment: this import brings torch and Ray.
    from rl_reason.pipeline import run as run_stages

    run_stages(loaded, folder)
