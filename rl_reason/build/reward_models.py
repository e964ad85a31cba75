"""Recipe section `rewards`: verifiers and reward models as one scorer, the models as actors or behind endpoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rl_reason.build import actors, parts
from rl_reason.cluster.actors import Part, Placement
from rl_reason.cluster.placement import Starting
from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.reward_models import ClassicModel, Endpoint, JudgeModel
from rl_reason.data.render import ChatRenderer
from rl_reason.data.template import JUDGE, read_template
from rl_reason.errors import ConfigError
from rl_reason.protocols import RewardModel, Scorer
from rl_reason.rewards.joint_scorer import BATCH, JointScorer, WeightedModel
from rl_reason.rewards.judge import Judge
from rl_reason.rewards.judge_endpoint import EndpointJudge
from rl_reason.rewards.judge_engine import EngineJudge
from rl_reason.rollout.engine_pool import EnginePool
from rl_reason.types import Sampling

CLASSIC = "rl_reason.rewards.classic:ClassicRewardModel"
_SLACK_S = 60.0

Trained = Callable[[str], Path]
"""Name of a reward_model stage -> the folder of what it trained."""


def begin_scorer(starting: Starting, recipe: Recipe, trained: Trained, resources: ExitStack) -> Scorer:
    """All that judges responses; reward models in actors are usable after `starting.wait()`.

    Raises:
        ConfigError: an endpoint's key is not in the environment.
        DataError: a template is wrong.
    """
    section = recipe.rewards
    models = begin_models(starting, recipe, trained, resources)
    verifiers = parts.scorer(recipe) if section.verifiers else None
    if verifiers is not None and not models:
        return verifiers
    slowest = max((_patience_s(choice, recipe) for choice in section.models), default=0.0)
    return JointScorer(verifiers, models, primary=section.primary, patience_s=slowest)


def begin_models(starting: Starting, recipe: Recipe, trained: Trained, resources: ExitStack) -> list[WeightedModel]:
    """The recipe's reward models, in its order; the resources close what they run on."""
    models: list[WeightedModel] = []
    for choice in recipe.rewards.models:
        if isinstance(choice, ClassicModel):
            model = _begin_classic(starting, recipe, choice, trained, resources)
        else:
            model = _begin_judge(starting, recipe, choice, resources)
        models.append(WeightedModel(choice.name, model, choice.weight))
    return models


def _begin_classic(
    starting: Starting, recipe: Recipe, choice: ClassicModel, trained: Trained, resources: ExitStack
) -> RewardModel:
    arguments = {
        "name": choice.name,
        "model_path": Path(choice.path) if choice.path else trained(choice.stage or ""),
        "threshold": choice.threshold,
        "batch_tokens": choice.batch_tokens,
        "dtype": recipe.engine.dtype,
    }
    environment = actors.threads(recipe.engine.count) | actors.FEW_KERNELS
    placement = Placement(gpus=1 if actors.on_gpu(recipe) else 0, environment=environment)
    remote = starting.begin_reward_model(choice.name, Part(CLASSIC, arguments), placement)
    resources.callback(remote.close)
    return remote


def _begin_judge(starting: Starting, recipe: Recipe, choice: JudgeModel, resources: ExitStack) -> RewardModel:
    template = read_template(Path(choice.template or JUDGE))
    if choice.endpoint is not None:
        return Judge(choice.name, _endpoint(choice, choice.endpoint), template, choice.votes)
    # Imported here: loading transformers takes seconds that a recipe's check should not wait for.
    from transformers import AutoTokenizer

    renderer = ChatRenderer(AutoTokenizer.from_pretrained(choice.path))
    sampling = Sampling(choice.temperature, choice.max_new_tokens, renderer.stop_token_ids)
    engines = actors.begin_engines(starting, _judges_recipe(recipe, choice), Path(choice.path or ""))
    for engine in engines:
        resources.callback(engine.close)
    served = EngineJudge(EnginePool(engines), renderer, sampling, choice.max_context_tokens)
    return Judge(choice.name, served, template, choice.votes, tuple(renderer.tokenizer.all_special_tokens))


def _judges_recipe(recipe: Recipe, choice: JudgeModel) -> Recipe:
    """The recipe for the judge's engines: their number and context, and nobody who sends them weights."""
    engine = recipe.engine.model_copy(update={"count": choice.engines, "max_context_tokens": choice.max_context_tokens})
    sync = recipe.sync.model_copy(update={"transport": "shared_memory"})
    return recipe.model_copy(update={"engine": engine, "sync": sync})


def _endpoint(choice: JudgeModel, endpoint: Endpoint) -> EndpointJudge:
    return EndpointJudge(
        base_url=endpoint.base_url,
        model=endpoint.model,
        max_new_tokens=choice.max_new_tokens,
        temperature=choice.temperature,
        api_key=_key(choice.name, endpoint.api_key_env),
        concurrency=endpoint.concurrency,
        deadline_s=endpoint.deadline_s,
        attempts=endpoint.attempts,
    )


def _key(name: str, variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key or not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"reward model {name}: the environment variable {variable} (api_key_env) is empty or no key; set it before "
            "the run, or leave api_key_env out for a server that wants none"
        )
    return key


def _patience_s(choice: ClassicModel | JudgeModel, recipe: Recipe) -> float:
    """A batch that takes longer is given up: every wait within it has a deadline of its own, shorter in sum."""
    if isinstance(choice, JudgeModel) and choice.endpoint is not None:
        rounds = 1 + BATCH * choice.votes // choice.endpoint.concurrency
        return rounds * choice.endpoint.attempts * (choice.endpoint.deadline_s + _SLACK_S) + _SLACK_S
    return recipe.cluster.call_deadline_s + _SLACK_S
