"""The `eval_reward_models` stage: all of a recipe's reward models against labelled responses, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rl_reason.build import judged, parts
from rl_reason.build.reward_models import begin_models
from rl_reason.config.schema.reward_stages import EvalRewardModels
from rl_reason.data.judgements import Labelled
from rl_reason.errors import DataError
from rl_reason.evaluation.reward_models import measure
from rl_reason.rewards.joint_scorer import BATCH, WeightedModel
from rl_reason.stages.session import Session
from rl_reason.tracking.atomic import write_text_atomic
from rl_reason.tracking.run_folder import StageFolder
from rl_reason.types import Score

JUDGEMENTS = "judgements.jsonl"
"""In the stage's folder: every response with its label and what each model said."""


def run(session: Session, stage: EvalRewardModels, model: Path, folder: StageFolder) -> Mapping[str, Any] | None:
    """Measure; the policy `model` plays no part. None when the run was asked to stop before the end."""
    recipe = session.recipe
    examples = judged.labelled(recipe, stage.data, lambda: parts.scorer(recipe))
    if not examples:
        raise DataError("there is no labelled response to measure reward models on; check the stage's data")
    choices = recipe.rewards.models
    session.console.say(
        f"{folder.label}: {len(examples)} labelled responses, {', '.join(choice.name for choice in choices)}"
    )
    with ExitStack() as resources:
        starting = session.starting()
        models = begin_models(starting, recipe, session.trained_reward_model, resources)
        starting.wait()
        scores: dict[str, list[Score]] = {}
        for each in models:
            found = _scores(session, each, examples)
            if found is None:
                return None
            scores[each.name] = found
    write_text_atomic(folder.path / JUDGEMENTS, _lines(examples, scores))
    labels = [example.right for example in examples]
    agreements = [
        measure(
            choice.name,
            choice.kind,
            labels,
            scores[choice.name],
            confidence=stage.confidence,
            calibrated=choice.kind == "classic",
        )
        for choice in choices
    ]
    return {
        "responses": len(examples),
        "right_fraction": sum(labels) / len(labels),
        "confidence": stage.confidence,
        "reward_models": [agreement.to_dict() for agreement in agreements],
    }


def _scores(session: Session, model: WeightedModel, examples: Sequence[Labelled]) -> list[Score] | None:
    """One score an example, in batches, so that the wish to stop is heard."""
    scores: list[Score] = []
    for first in range(0, len(examples), BATCH):
        if session.stop():
            return None
        batch = examples[first : first + BATCH]
        scores += model.model.score([judged.response_of(each, first + i) for i, each in enumerate(batch)])
        session.console.say(f"  {model.name}: {len(scores)} of {len(examples)}")
    return scores


def _lines(examples: Sequence[Labelled], scores: Mapping[str, Sequence[Score]]) -> str:
    rows = [
        {
            "id": example.prompt.id,
            "source": example.prompt.source,
            "prompt": example.prompt.text,
            "answer": example.prompt.answer,
            "response": example.response,
            "label": example.right,
            "models": {
                name: {
                    "verdict": of_model[index].verdict.value,
                    "score": of_model[index].reward,
                    "reason": of_model[index].reason,
                }
                for name, of_model in scores.items()
            },
        }
        for index, example in enumerate(examples)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)
