"""The `reward_model` stage: trains a classic reward model on pairs or labels (Kimi k1.5 §2.3.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rl_reason.build import actors, judged, parts
from rl_reason.build.prompts import renderer
from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.reward_stages import BradleyTerry, EvalRewardModels, RewardModel
from rl_reason.data.disjoint import normalised
from rl_reason.data.judgements import Judged, Labelled, Pair, held_out
from rl_reason.data.reward_input import TEMPLATE_FILE, RewardInput
from rl_reason.data.template import CLASSIC, read_template
from rl_reason.errors import DataError
from rl_reason.protocols import Learner
from rl_reason.stages.session import REWARD_MODEL, Session, closed
from rl_reason.stages.supervised import batch_indices, take_steps
from rl_reason.tracking.atomic import folder_written_whole
from rl_reason.tracking.run_folder import StageFolder
from rl_reason.types import TrainingSequence

Example = Sequence[TrainingSequence]
"""One labelled response, or the better and the worse one of a pair."""


def run(session: Session, stage: RewardModel, model: Path, folder: StageFolder) -> Mapping[str, Any] | None:
    """Train on the layers of `model`; returns the result, or None when the run was asked to stop before the end."""
    recipe = session.recipe
    reads = RewardInput(renderer(recipe, model).tokenizer, read_template(Path(stage.template or CLASSIC)))
    found = examples(recipe, stage, reads)
    train = found.train
    steps = stage.steps or (stage.epochs or 1) * math.ceil(len(train) / stage.batch_examples)
    what = "pairs" if isinstance(stage.loss, BradleyTerry) else "labelled responses"
    left_out = f", {found.dropped} left out for the evaluation" if found.dropped else ""
    session.console.say(
        f"{folder.label}: {len(train)} {what}, {len(found.heldout)} more held out{left_out}, {steps} steps"
    )
    with ExitStack() as resources:
        weights = actors.weights_file(recipe, folder.path)
        resources.callback(weights.unlink, missing_ok=True)
        starting = session.starting()
        learner = resources.enter_context(
            closed(actors.begin_reward_learner(starting, recipe, stage, model, weights=weights, steps=steps))
        )
        starting.wait()

        def batch(step: int) -> list[TrainingSequence]:
            chosen = batch_indices(step, total=len(train), size=stage.batch_examples, seed=recipe.seed)
            return in_batch([train[index] for index in chosen])

        measure = HeldOut(learner, found.heldout, every=stage.evaluate_every_steps, total=steps)
        if not take_steps(session, folder, learner, batch, steps=steps, measure=measure):
            return None
        with folder_written_whole(folder.path / REWARD_MODEL) as target:
            learner.export(target)
            (target / TEMPLATE_FILE).write_text(reads.template.text + "\n", encoding="utf-8")
        last = measure(steps)
    return {
        "iterations": steps,
        "examples": len(train),
        "heldout_examples": len(found.heldout),
        "dropped_examples": found.dropped,
        "heldout_accuracy": last.get("reward_model/heldout_accuracy"),
    }


@dataclass(frozen=True)
class Examples:
    """What the stage learns from, and what it is measured on."""

    train: list[Example]
    heldout: list[Example]
    dropped: int
    """Left out because an eval_reward_models stage of the recipe measures on their problems."""


def examples(recipe: Recipe, stage: RewardModel, reads: RewardInput) -> Examples:
    """Read, encoded and divided by problem.

    Raises:
        DataError: a file is wrong, nothing is left to train on, or an example is longer than the engine's context.
    """
    if isinstance(stage.loss, BradleyTerry):
        return _divided(recipe, stage, judged.pairs(recipe, stage.data, partial(parts.scorer, recipe)), reads, _pair)
    labelled = judged.labelled(recipe, stage.data, partial(parts.scorer, recipe))
    return _divided(recipe, stage, labelled, reads, _labelled)


def _divided(
    recipe: Recipe,
    stage: RewardModel,
    found: Sequence[Judged],
    reads: RewardInput,
    encode: Callable[[Judged, RewardInput], Example],
) -> Examples:
    measured = [other.data for other in recipe.stages if isinstance(other, EvalRewardModels)]
    reserved = set().union(*(judged.problems(recipe, sources) for sources in measured))
    free = [each for each in found if normalised(each.prompt.text) not in reserved]
    train, heldout = held_out(free, fraction=stage.heldout_fraction, seed=recipe.seed)
    if not train:
        raise DataError(
            f"nothing is left to train on: of {len(found)} examples {len(found) - len(free)} belong to an "
            f"eval_reward_models stage and {len(heldout)} are held out; give more problems, or lower heldout_fraction"
        )
    encoded = [[encode(each, reads) for each in part] for part in (train, heldout)]
    limit = recipe.engine.max_context_tokens
    long = [
        each.prompt.source or each.prompt.id
        for each, example in zip([*train, *heldout], [*encoded[0], *encoded[1]], strict=True)
        if max(len(sequence.tokens) for sequence in example) - 1 > limit
    ]
    if long:
        raise DataError(
            f"{len(long)} examples are longer than engine.max_context_tokens ({limit}), the first at {long[0]}; "
            "raise it, or leave them out"
        )
    return Examples(encoded[0], encoded[1], len(found) - len(free))


def in_batch(chosen: Sequence[Example]) -> list[TrainingSequence]:
    """One list for the learner; pairs are numbered by their place in the batch, where one may stand twice."""
    return [
        sequence if len(example) == 1 else replace(sequence, pair=number)
        for number, example in enumerate(chosen)
        for sequence in example
    ]


@dataclass(frozen=True)
class HeldOut:
    """Held-out accuracy every so many steps and after the last, by the learner's own forward pass."""

    learner: Learner
    examples: Sequence[Example]
    every: int
    total: int

    def __call__(self, finished: int) -> Mapping[str, float]:
        """Metrics when due, else nothing."""
        if not self.examples or (finished % self.every and finished != self.total):
            return {}
        scored = iter(self.learner.score([sequence.tokens.tolist() for each in self.examples for sequence in each]))
        rewards = [[float(next(scored)[-1]) for _ in example] for example in self.examples]
        return {"reward_model/heldout_accuracy": heldout_accuracy(rewards, self.examples)}


def heldout_accuracy(rewards: Sequence[Sequence[float]], examples: Sequence[Example]) -> float:
    """Share of pairs in the right order (ties count one half), or of responses on the right side of 0."""
    right = [
        0.5 * (np.sign(of_example[0] - of_example[1]) + 1)
        if len(of_example) == 2
        else float((of_example[0] >= 0) == (example[0].advantage > 0.5))
        for of_example, example in zip(rewards, examples, strict=True)
    ]
    return float(np.mean(right))


def _pair(each: Pair, reads: RewardInput) -> Example:
    question, reference = each.prompt.text, each.prompt.answer
    return (
        reads.training_sequence(question, reference, each.chosen, label=1.0),
        reads.training_sequence(question, reference, each.rejected, label=0.0),
    )


def _labelled(each: Labelled, reads: RewardInput) -> Example:
    return (reads.training_sequence(each.prompt.text, each.prompt.answer, each.response, label=float(each.right)),)
