"""The `eval` stage: avg@k and pass@k on the held-out prompts, sampled and greedy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rl_reason.build import actors, parts
from rl_reason.build.prompts import prompt_sets, renderer
from rl_reason.config.schema.stages import Eval
from rl_reason.evaluation.evaluate import EvalResult, evaluate
from rl_reason.stages.session import Session, closed
from rl_reason.tracking.run_folder import StageFolder
from rl_reason.types import Group


def run(session: Session, stage: Eval, model: Path, folder: StageFolder) -> Mapping[str, Any] | None:
    """Evaluate `model`; returns the result, which has both evaluations with their per-problem tables."""
    recipe = session.recipe
    rendered_by = renderer(recipe, model)
    prompts = prompt_sets(recipe, rendered_by).heldout[: stage.prompts]
    session.console.say(f"{folder.label}: {len(prompts)} held-out prompts, {stage.responses_per_prompt} responses each")
    with ExitStack() as resources:
        starting = session.starting()
        engines = [resources.enter_context(closed(e)) for e in actors.begin_engines(starting, recipe, model)]
        scores = session.scorer(starting, resources)
        starting.wait()
        tracker = resources.enter_context(closed(session.tracker(folder, finished=0, total=1 + stage.greedy)))
        result: dict[str, Any] = {"model": str(model)}
        for iteration, (name, greedy) in enumerate([("sampled", False), ("greedy", True)][: 1 + stage.greedy]):
            begun = time.perf_counter()
            responses = 1 if greedy else stage.responses_per_prompt
            draw = parts.sampling(stage.sampling, rendered_by, greedy=greedy)
            phase = parts.rollout_phase(engines, scores, rendered_by, draw, responses=responses, seed=recipe.seed)

            def keep(groups: Sequence[Group], number: int = iteration) -> None:
                tracker.log_groups(number, groups, [[float("nan")] * len(group.scores) for group in groups])

            evaluated = evaluate(
                phase,
                prompts,
                responses_per_prompt=responses,
                pass_at=() if greedy else stage.pass_at,
                confidence=stage.confidence,
                keep=keep,
            )
            seconds = time.perf_counter() - begun
            figures = greedy_metrics(evaluated) if greedy else evaluated.metrics()
            tracker.log({"iteration": iteration, **figures, "time/iteration_s": seconds})
            result[name] = evaluated.to_dict()
    accuracy = result["sampled"]["accuracy"]
    result["evaluation"] = {
        "accuracy": accuracy["value"],
        "low": accuracy["low"],
        "high": accuracy["high"],
        "problems": len(prompts),
        "samples": stage.responses_per_prompt,
        "tokens_mean": result["sampled"]["tokens_mean"],
    }
    return result


def greedy_metrics(evaluated: EvalResult) -> dict[str, float]:
    """Its figures under names of their own: `accuracy/eval` is that of sampled responses."""
    return {
        name.replace("accuracy/eval", "accuracy/eval_greedy").replace("eval/", "eval/greedy_"): value
        for name, value in evaluated.metrics().items()
    }
