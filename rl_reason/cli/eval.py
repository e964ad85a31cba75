"""`rl-reason eval`: a recipe's evaluation on any checkpoint, as a run of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rl_reason.config.load import load_recipe
from rl_reason.config.schema.model import Model
from rl_reason.config.schema.stages import Eval
from rl_reason.errors import ConfigError


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Hugging Face folder, or a name on the hub.")],
    recipe: Annotated[Path, typer.Option(metavar="RECIPE.yaml", help="Held-out prompts, verifiers, engine.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override one value; may be given many times.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder; runs/eval-<model> if left out.")] = None,
) -> None:
    """Evaluate a checkpoint on a recipe's held-out prompts: avg@k, pass@k, greedy, with confidence intervals.

    Example: rl-reason eval runs/quickstart/model --recipe recipes/quickstart.yaml --out runs/eval-seed-0
    """
    loaded = load_recipe(recipe, overrides or ())
    stages = [stage for stage in loaded.stages if isinstance(stage, Eval)]
    if not stages:
        raise ConfigError(
            f"{recipe} has no stage of kind eval; add one: it says how many responses, and how they are drawn"
        )
    if model.startswith((".", "/", "~")) and not Path(model).expanduser().is_dir():
        raise ConfigError(f"MODEL {model}: no such folder; give one with config.json and *.safetensors")
    path = str(Path(model).expanduser().resolve()) if Path(model).expanduser().is_dir() else model
    alone = loaded.model_copy(update={"model": Model(path=path), "stages": (stages[-1],)})
    # Imported only now, so that a wrong recipe is told in a moment: this import brings torch and Ray.
    from rl_reason.pipeline import run

    run(alone, out or Path("runs") / f"eval-{Path(path).name}")
