"""`rl-reason eval`: a recipe's evaluation on any checkpoint, or of its reward models, as a run of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rl_reason.config.load import load_recipe
from rl_reason.config.schema.model import Model
from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.reward_models import ClassicModel
from rl_reason.config.schema.reward_stages import EvalRewardModels, JudgedFile
from rl_reason.config.schema.stages import Eval
from rl_reason.errors import ConfigError


def evaluate(
    recipe: Annotated[Path, typer.Option(metavar="RECIPE.yaml", help="Held-out prompts, verifiers, models, engine.")],
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Hugging Face folder, or a name on the hub.")
    ] = None,
    reward_models: Annotated[
        Path | None,
        typer.Option(
            metavar="LABELLED.jsonl",
            help="Instead of MODEL: measure the recipe's rewards.models on lines of prompt, answer, response, label.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override one value; may be given many times.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder; runs/eval-<name> if left out.")] = None,
) -> None:
    """Evaluate a checkpoint on held-out prompts (avg@k, pass@k, greedy), or reward models on labelled responses.

    With confidence intervals; the results are in the run folder and its report.

    Examples: rl-reason eval runs/quickstart/model --recipe recipes/quickstart.yaml --out runs/eval-seed-0;
    rl-reason eval --reward-models labelled.jsonl --recipe recipes/reward_model.yaml
    """
    loaded = load_recipe(recipe, overrides or ())
    if (model is None) == (reward_models is None):
        raise ConfigError("give either MODEL, a checkpoint, or --reward-models LABELLED.jsonl")
    if reward_models is not None:
        alone, name = of_reward_models(loaded, recipe, reward_models), reward_models.stem
    else:
        alone, name = of_checkpoint(loaded, recipe, model or "")
    # Imported only now, so that a wrong recipe is told in a moment: this import brings torch and Ray.
    from rl_reason.pipeline import run

    run(alone, out or Path("runs") / f"eval-{name}")


def of_checkpoint(loaded: Recipe, recipe: Path, model: str) -> tuple[Recipe, str]:
    """(the recipe's last eval stage on another model, the model's name)."""
    stages = [stage for stage in loaded.stages if isinstance(stage, Eval)]
    if not stages:
        raise ConfigError(
            f"{recipe} has no stage of kind eval; add one: it says how many responses, and how they are drawn"
        )
    if model.startswith((".", "/", "~")) and not Path(model).expanduser().is_dir():
        raise ConfigError(f"MODEL {model}: no such folder; give one with config.json and *.safetensors")
    path = str(Path(model).expanduser().resolve()) if Path(model).expanduser().is_dir() else model
    return loaded.model_copy(update={"model": Model(path=path), "stages": (stages[-1],)}), name_of(path)


def name_of(model: str) -> str:
    """What a checkpoint is called: those of runs are all `model`, so they go by run and stage."""
    path = Path(model)
    if path.name == "model" and path.parent.parent.name == "stages":
        return f"{path.parents[2].name}-{path.parent.name}"
    return path.parent.name if path.name == "model" and path.parent.name else path.name


def of_reward_models(loaded: Recipe, recipe: Path, labelled: Path) -> Recipe:
    """The recipe with nothing but the measurement of its reward models."""
    if not loaded.rewards.models:
        raise ConfigError(f"{recipe} has no rewards.models to measure; name one, of kind classic or judge")
    by_stage = [each.name for each in loaded.rewards.models if isinstance(each, ClassicModel) and each.stage]
    if by_stage:
        raise ConfigError(
            f"rewards.models {', '.join(by_stage)}: a stage of another run cannot be meant here; give the folder: "
            "--set rewards.models.0.stage=null --set rewards.models.0.path=./RUN/stages/NN-reward_model/reward_model"
        )
    if not labelled.is_file():
        raise ConfigError(f"--reward-models {labelled}: no such file; give JSONL with prompt, answer, response, label")
    source = JudgedFile(kind="jsonl", path=str(labelled.resolve()))
    confidence = next((stage.confidence for stage in loaded.stages if isinstance(stage, EvalRewardModels)), 0.95)
    stage = EvalRewardModels(kind="eval_reward_models", data=(source,), confidence=confidence)
    return loaded.model_copy(update={"stages": (stage,)})
