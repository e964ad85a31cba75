"""Rules about stages that make data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rl_reason.config.document import Location, Problem, show
from rl_reason.config.schema.curation import GenerateTests
from rl_reason.config.schema.recipe import Recipe

NO_FILE = "no such file. Relative paths begin at the folder of the recipe that has them."


def broken_curation_rules(recipe: Recipe) -> Iterator[Problem]:
    """Every contradiction in `generate_tests` stages."""
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, GenerateTests):
            yield from _generate_tests(stage, ("stages", index), recipe)


def _generate_tests(stage: GenerateTests, here: Location, recipe: Recipe) -> Iterator[Problem]:
    if not Path(stage.problems).is_file():
        yield Problem((*here, "problems"), show(stage.problems), NO_FILE)
    for name, value, most, of in (
        ("agree", stage.agree, stage.solutions, "solutions"),
        ("pass_all", stage.pass_all, stage.solutions, "solutions"),
        ("least_cases", stage.least_cases, stage.cases, "cases"),
    ):
        if value > most:
            message = f"more than there are: {of} is {most}. Lower it to that, or raise {of}."
            yield Problem((*here, name), str(value), message, involves=((*here, of),))
    if not stage.attempts:
        return
    context, new = recipe.engine.max_context_tokens, stage.sampling.max_new_tokens
    if new >= context:
        message = f"leaves no room for the problem: engine.max_context_tokens is {context}. Lower it, or raise that."
        yield Problem((*here, "sampling", "max_new_tokens"), str(new), message, involves=(("engine",),))
    if stage.template is None:
        return
    path = Path(stage.template)
    if not path.is_file():
        yield Problem((*here, "template"), show(stage.template), NO_FILE)
    elif "{problem}" not in path.read_text(encoding="utf-8", errors="replace"):
        yield Problem((*here, "template"), show(stage.template), "has no {problem} in it: say where the problem goes.")
