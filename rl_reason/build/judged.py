"""Recipe key `data` of stages about reward models: labelled responses and pairs, read, or made and labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.reward_stages import GeneratedJudgements, JudgedSource
from rl_reason.data.disjoint import normalised
from rl_reason.data.gym import read_reasoning_gym
from rl_reason.data.judgements import Labelled, Pair, pairs_of, read_labelled, read_pairs
from rl_reason.data.prompts import LoadedPrompts, refuse_or_skip
from rl_reason.data.traces import chain_sum_traces
from rl_reason.errors import DataError
from rl_reason.protocols import Scorer
from rl_reason.types import Prompt, Segment, StopReason, Trajectory, Verdict

Verifiers = Callable[[], Scorer]
"""Starts the recipe's verifiers: called only where something has to be labelled."""
NO_TOKENS = Segment(np.zeros(0, np.int32), np.zeros(0, np.float32), version=0)


def labelled(recipe: Recipe, sources: Sequence[JudgedSource], verifiers: Verifiers) -> list[Labelled]:
    """Labelled responses of all sources.

    Raises:
        DataError: lines are broken and the recipe refuses such (named by file and line), or nothing is left.
    """
    found: list[Labelled] = []
    for source in sources:
        if isinstance(source, GeneratedJudgements):
            found += _generated(recipe, source, verifiers)
        else:
            good, problems = read_labelled(Path(source.path))
            refuse_or_skip(
                LoadedPrompts([each.prompt for each in good], problems), recipe.data.on_bad_line, name=source.path
            )
            found += good
    return found


def pairs(recipe: Recipe, sources: Sequence[JudgedSource], verifiers: Verifiers) -> list[Pair]:
    """Pairs of a better and a worse response of all sources; generated ones pair right with wrong.

    Raises:
        DataError: as `labelled`.
    """
    found: list[Pair] = []
    for source in sources:
        if isinstance(source, GeneratedJudgements):
            found += pairs_of(_generated(recipe, source, verifiers))
        else:
            good, problems = read_pairs(Path(source.path))
            refuse_or_skip(
                LoadedPrompts([each.prompt for each in good], problems), recipe.data.on_bad_line, name=source.path
            )
            found += good
    if not found:
        raise DataError("no problem has both a right and a wrong response: raise responses_per_problem")
    return found


def problems(recipe: Recipe, sources: Sequence[JudgedSource]) -> set[str]:
    """Normalised texts of the problems that the sources speak of; broken lines are passed over."""
    found: set[str] = set()
    for source in sources:
        if isinstance(source, GeneratedJudgements):
            found |= {normalised(prompt.text) for prompt in _generated_prompts(recipe, source)}
        else:
            found |= {normalised(each.prompt.text) for each in read_labelled(Path(source.path))[0]}
    return found


def response_of(each: Labelled, index: int) -> Trajectory:
    """A response without its tokens, to be judged."""
    return Trajectory(each.prompt, index, (NO_TOKENS,), StopReason.STOP, each.response)


def _generated(recipe: Recipe, source: GeneratedJudgements, verifiers: Verifiers) -> list[Labelled]:
    """Solutions with mistakes, labelled by the recipe's verifiers; what they cannot judge is left out."""
    prompts = _generated_prompts(recipe, source)
    traces = chain_sum_traces(
        prompts, error_fraction=source.error_fraction, seed=source.seed, per_prompt=source.responses_per_problem
    )
    distinct = dict.fromkeys((trace.prompt.id, trace.response) for trace in traces)
    by_id = {prompt.id: prompt for prompt in prompts}
    scorer = verifiers()
    try:
        unlabelled = [Labelled(by_id[identity], response, right=False) for identity, response in distinct]
        for index, each in enumerate(unlabelled):
            scorer.submit(response_of(each, index))
        scores = scorer.collect()
    finally:
        scorer.close()
    verdicts = [scores[each.prompt.id, index].verdict for index, each in enumerate(unlabelled)]
    return [
        Labelled(each.prompt, each.response, verdict is Verdict.RIGHT)
        for each, verdict in zip(unlabelled, verdicts, strict=True)
        if verdict is not Verdict.UNJUDGED
    ]


def _generated_prompts(recipe: Recipe, source: GeneratedJudgements) -> list[Prompt]:
    loaded = read_reasoning_gym(source.task, size=source.problems, seed=source.seed, options=source.options)
    return refuse_or_skip(loaded, recipe.data.on_bad_line, name=f"reasoning-gym's {source.task}")
