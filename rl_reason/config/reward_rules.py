"""Rules about reward models: where each comes from, who is the judge of what, which stage trains which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rl_reason.config.document import Location, Problem, show
from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.reward_models import ClassicModel, JudgeModel
from rl_reason.config.schema.reward_stages import EvalRewardModels, GeneratedJudgements, JudgedSource, RewardModel
from rl_reason.config.schema.stages import Eval, Rl

MODELS: Location = ("rewards", "models")
NO_FILE = "no such file. Relative paths begin at the folder of the recipe that has them."


def broken_reward_rules(recipe: Recipe) -> Iterator[Problem]:
    """Every contradiction about reward models."""
    yield from _names(recipe)
    for index, model in enumerate(recipe.rewards.models):
        here = (*MODELS, index)
        if isinstance(model, ClassicModel):
            yield from _classic(model, here, recipe)
        else:
            yield from _judge(model, here)
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, RewardModel):
            yield from _training(stage, ("stages", index), recipe)
        elif isinstance(stage, EvalRewardModels):
            yield from _measuring(stage, ("stages", index), recipe)


def _names(recipe: Recipe) -> Iterator[Problem]:
    taken = {verifier.name for verifier in recipe.rewards.verifiers}
    for index, model in enumerate(recipe.rewards.models):
        if model.name in taken:
            message = "named twice: scores are kept by name. Give this one another `name`."
            yield Problem((*MODELS, index, "name"), show(model.name), message, involves=(("rewards", "verifiers"),))
        taken.add(model.name)
    primary = recipe.rewards.primary
    names = [model.name for model in recipe.rewards.models]
    if primary is not None and primary not in names:
        known = f"they are {', '.join(names)}" if names else "there are none"
        message = f"no reward model has this name ({known}). Among verifiers the first decides: put it first."
        yield Problem(("rewards", "primary"), show(primary), message, involves=(MODELS,))


def _classic(model: ClassicModel, here: Location, recipe: Recipe) -> Iterator[Problem]:
    if (model.path is None) == (model.stage is None):
        given = "" if model.path is None else show({"path": model.path, "stage": model.stage})
        message = "give exactly one of path (a folder) and stage (a reward_model stage of this recipe)."
        yield Problem((*here, "path"), given, message, involves=((*here, "stage"),))
    elif model.path is not None and not Path(model.path).is_dir():
        message = "no such folder (begin a relative one with ./); a reward_model stage leaves one named reward_model."
        yield Problem((*here, "path"), show(model.path), message)
    elif model.stage is not None:
        yield from _stage_of(model.stage, (*here, "stage"), recipe)


def _stage_of(name: str, here: Location, recipe: Recipe) -> Iterator[Problem]:
    """The stage must be there once, train a reward model, and come before all that use it."""
    trained = [i for i, stage in enumerate(recipe.stages) if isinstance(stage, RewardModel)]
    found = [i for i in trained if name == (recipe.stages[i].name or recipe.stages[i].kind)]
    stages: tuple[Location, ...] = (("stages",),)
    if len(found) != 1:
        what = "several stages of kind reward_model have this name" if found else "no stage of kind reward_model has it"
        names = ", ".join(recipe.stages[i].name or recipe.stages[i].kind for i in trained) or "none"
        yield Problem(here, show(name), f"{what} (there are: {names}).", involves=stages)
        return
    users = [i for i, stage in enumerate(recipe.stages) if isinstance(stage, Rl | Eval | EvalRewardModels)]
    early = [i for i in users if i < found[0]]
    if early:
        message = (
            f"stages.{early[0]} ({recipe.stages[early[0]].kind}) runs before stages.{found[0]}, which trains this "
            "model: move that one up, or run the two in recipes of their own."
        )
        yield Problem(here, show(name), message, involves=stages)


def _judge(model: JudgeModel, here: Location) -> Iterator[Problem]:
    if (model.path is None) == (model.endpoint is None):
        given = "" if model.path is None else show(model.path)
        message = "give exactly one of path (a model of your own) and endpoint (a server)."
        yield Problem((*here, "path"), given, message, involves=((*here, "endpoint"),))
    if model.path is not None and model.path.startswith((".", "/", "~")) and not Path(model.path).is_dir():
        message = "no such folder. Names on the hub do not begin with . / or ~"
        yield Problem((*here, "path"), show(model.path), message)
    if model.endpoint is not None and not model.endpoint.base_url.startswith(("http://", "https://")):
        message = "must begin with http:// or https://, and end before /chat/completions."
        yield Problem((*here, "endpoint", "base_url"), show(model.endpoint.base_url), message)
    if model.votes > 1 and model.temperature == 0:
        message = "greedy votes are all the same: set temperature above 0, or votes to 1."
        yield Problem((*here, "votes"), str(model.votes), message, involves=((*here, "temperature"),))
    if model.path is not None and model.max_new_tokens >= model.max_context_tokens:
        message = f"leaves no room for the question in max_context_tokens = {model.max_context_tokens}: lower it."
        where = (*here, "max_new_tokens")
        yield Problem(where, str(model.max_new_tokens), message, involves=((*here, "max_context_tokens"),))
    if model.template is not None and not Path(model.template).is_file():
        yield Problem((*here, "template"), show(model.template), NO_FILE)


def _training(stage: RewardModel, here: Location, recipe: Recipe) -> Iterator[Problem]:
    if (stage.epochs is None) == (stage.steps is None):
        given = "" if stage.epochs is None else show({"epochs": stage.epochs, "steps": stage.steps})
        yield Problem((*here, "steps"), given, "give exactly one of epochs and steps.", involves=((*here, "epochs"),))
    if stage.template is not None and not Path(stage.template).is_file():
        yield Problem((*here, "template"), show(stage.template), NO_FILE)
    yield from _sources(stage.data, (*here, "data"), recipe)


def _measuring(stage: EvalRewardModels, here: Location, recipe: Recipe) -> Iterator[Problem]:
    if not recipe.rewards.models:
        message = f"stages.{here[1]} measures reward models: name at least one, of kind classic or judge."
        yield Problem(MODELS, "[]", message)
    yield from _sources(stage.data, (*here, "data"), recipe)


def _sources(sources: tuple[JudgedSource, ...], here: Location, recipe: Recipe) -> Iterator[Problem]:
    for index, source in enumerate(sources):
        if isinstance(source, GeneratedJudgements):
            if not recipe.rewards.verifiers:
                message = "generated solutions are labelled by verifiers: `- name: boxed_math`, say."
                yield Problem(("rewards", "verifiers"), "[]", message, involves=((*here, index),))
        elif not Path(source.path).is_file():
            yield Problem((*here, index, "path"), show(source.path), NO_FILE)
