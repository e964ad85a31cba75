"""Rules about stages that make one model of several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rl_reason.config.curation_rules import NO_FILE
from rl_reason.config.document import Problem, show
from rl_reason.config.schema.evolution import Evolve
from rl_reason.config.schema.merging import Merge
from rl_reason.config.schema.recipe import Recipe


def broken_merging_rules(recipe: Recipe) -> Iterator[Problem]:
    """Every file and model that `merge` and `evolve` stages name and that is not there."""
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, Merge) and not Path(stage.recipe).is_file():
            yield Problem(("stages", index, "recipe"), show(stage.recipe), NO_FILE)
        elif isinstance(stage, Evolve):
            for number, model in enumerate(stage.space.models):
                if not Path(model).is_dir():
                    message = "no such folder. Models are local: download it; relative paths begin at the recipe."
                    yield Problem(("stages", index, "space", "models", number), show(model), message)
