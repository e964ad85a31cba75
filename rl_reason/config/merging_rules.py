"""Rules about stages that make one model of several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rl_reason.config.curation_rules import NO_FILE
from rl_reason.config.document import Problem, show
from rl_reason.config.schema.evolution import DataFlowSearch, Evolve
from rl_reason.config.schema.merging import Merge
from rl_reason.config.schema.recipe import LEAVE_A_MODEL, Recipe, Stage


def broken_merging_rules(recipe: Recipe) -> Iterator[Problem]:
    """Every file and model that `merge` and `evolve` stages name and that is not there."""
    found_path: int | None = None
    for index, stage in enumerate(recipe.stages):
        if found_path is not None:
            yield from _after_a_path(stage, index, found_path, recipe)
        if isinstance(stage, Merge):
            found_path = None
        if isinstance(stage, Merge) and not Path(stage.recipe).is_file():
            yield Problem(("stages", index, "recipe"), show(stage.recipe), NO_FILE)
        elif isinstance(stage, Evolve):
            earlier = [
                f"{at:02d}-{one.name or one.kind}"
                for at, one in enumerate(recipe.stages[:index], start=1)
                if one.kind in LEAVE_A_MODEL
            ]
            for number, model in enumerate(stage.space.models):
                if not Path(model).is_dir() and Path(model).name not in earlier:
                    message = "no such folder, nor an earlier stage's (01-sft, say). Models are local: download it."
                    yield Problem(("stages", index, "space", "models", number), show(model), message)
            if isinstance(stage.space, DataFlowSearch):
                found_path = index


def _after_a_path(stage: Stage, index: int, found_path: int, recipe: Recipe) -> Iterator[Problem]:
    """Of a model found in data-flow space only transformers can be asked, and nothing trains it."""
    involved = (("stages", found_path, "space", "kind"),)
    if stage.kind in ("sft", "rl", "evolve"):
        message = f"stages.{found_path} leaves a path through layers of several models, which can only be evaluated."
        yield Problem(("stages", index, "kind"), stage.kind, message, involves=involved)
    elif stage.kind == "eval" and recipe.engine.kind != "transformers":
        message = f"stages.{found_path} leaves a path through layers, which vLLM does not run: set it to transformers."
        yield Problem(("engine", "kind"), recipe.engine.kind, message, involves=involved)
