"""The `reward_model` stage: trains a classic reward model on pairs or labels (Kimi k1.5 §2.3.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rl_reason.build import actors, judged, parts
from rl_reason.build.prompts import renderer
from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.reward_stages import BradleyTerry, RewardModel
from rl_reason.data.judgements import Labelled, Pair, held_out
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
    train, heldout = examples(recipe, stage, reads)
    steps = stage.steps or (stage.epochs or 1) * math.ceil(len(train) / stage.batch_examples)
    what = "pairs" if isinstance(stage.loss, BradleyTerry) else "labelled responses"
    session.console.say(f"{folder.label}: {len(train)} {what}, {len(heldout)} more held out, {steps} steps")
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

        measure = HeldOut(learner, heldout, every=stage.evaluate_every_steps, total=steps)
        if not take_steps(session, folder, learner, batch, steps=steps, measure=measure):
            return None
        with folder_written_whole(folder.path / REWARD_MODEL) as target:
            learner.export(target)
            (target / TEMPLATE_FILE).write_text(reads.template.text + "\n", encoding="utf-8")
        last = measure(steps)
    return {
        "iterations": steps,
        "examples": len(train),
        "heldout_examples": len(heldout),
        "heldout_accuracy": last.get("reward_model/heldout_accuracy"),
    }


def examples(recipe: Recipe, stage: RewardModel, reads: RewardInput) -> tuple[list[Example], list[Example]]:
    """(to train on, held out).

    Raises:
        DataError: a file is wrong, all problems are held out, or an example is longer than the engine's context.
    """
    verifiers = lambda: parts.scorer(recipe)  # noqa: E731
    how = {"fraction": stage.heldout_fraction, "seed": recipe.seed}
    if isinstance(stage.loss, BradleyTerry):
        kept, out = held_out(judged.pairs(recipe, stage.data, verifiers), **how)
        train, heldout = [_pair(each, reads) for each in kept], [_pair(each, reads) for each in out]
    else:
        labels, labels_out = held_out(judged.labelled(recipe, stage.data, verifiers), **how)
        kept, out = labels, labels_out
        train, heldout = [_labelled(each, reads) for each in labels], [_labelled(each, reads) for each in labels_out]
    if not train:
        raise DataError("every problem is held out: lower heldout_fraction, or give more problems")
    limit = recipe.engine.max_context_tokens
    long = [
        each.prompt.source or each.prompt.id
        for each, example in zip([*kept, *out], [*train, *heldout], strict=True)
        if max(len(sequence.tokens) for sequence in example) - 1 > limit
    ]
    if long:
        raise DataError(
            f"{len(long)} examples are longer than engine.max_context_tokens ({limit}), the first at {long[0]}; "
            "raise it, or leave them out"
        )
    return train, heldout


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
