"""What a reward_model stage learns from: divided by problem, none of the evaluation's, pairs numbered by batch."""

import json
from pathlib import Path

import numpy as np
import pytest

from rl_reason.config.load import load_recipe
from rl_reason.data.reward_input import RewardInput
from rl_reason.data.template import Template
from rl_reason.errors import DataError
from rl_reason.learner.scratch_model import build_byte_tokenizer
from rl_reason.stages.reward_model import HeldOut, examples, heldout_accuracy, in_batch
from rl_reason.types import TrainingSequence

ROOT = Path(__file__).resolve().parents[3]
READS = RewardInput(build_byte_tokenizer(), Template("{{question}}={{response}}"))


def recipe_with(folder, kind, rows, measured=(), **settings):
    """The recipe of the reward model on JSONL files."""
    for name, lines in (("train", rows), ("measured", measured)):
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    source = "[{{kind: jsonl, path: {}}}]".format
    words = [
        f"stages.reward_model.data={source(folder / 'train.jsonl')}",
        f"stages.eval_reward_models.data={source(folder / 'measured.jsonl')}",
        f"stages.reward_model.loss={{kind: {kind}}}",
        *(f"{key}={value}" for key, value in settings.items()),
    ]
    return load_recipe(ROOT / "recipes" / "reward_model.yaml", words)


def labelled(number, label=True):
    return {"prompt": f"{number}+0", "answer": number, "response": str(number), "label": label}


def pair(number):
    return {"prompt": f"{number}+0", "chosen": str(number), "rejected": "-1"}


def test_problems_of_the_evaluation_are_not_trained_on(tmp_path):
    rows = [labelled(n, n % 2) for n in range(200)]
    recipe = recipe_with(tmp_path, "cross_entropy", rows, [labelled(n) for n in range(150, 160)])
    found = examples(recipe, recipe.stages[0], READS)
    assert found.dropped == 10 and len(found.train) + len(found.heldout) == 190 and 0 < len(found.heldout) < 40
    labels = [each[0].advantage for each in found.train]
    assert set(labels) == {0.0, 1.0} and all(len(each) == 1 and each[0].pair == -1 for each in found.train)


def test_pairs_share_their_prompt_and_the_better_one_comes_first(tmp_path):
    recipe = recipe_with(tmp_path, "bradley_terry", [pair(n) for n in range(40)])
    found = examples(recipe, recipe.stages[0], READS)
    better, worse = found.train[0]
    assert (better.advantage, worse.advantage) == (1.0, 0.0)
    first = int(np.argmax(better.loss_mask))
    assert better.tokens[:first].tolist() == worse.tokens[:first].tolist()


def test_nothing_left_and_too_long_examples_are_named(tmp_path):
    recipe = recipe_with(tmp_path, "cross_entropy", [labelled(1)], [labelled(1)])
    with pytest.raises(DataError, match="nothing is left to train on: of 1 examples 1 belong to an eval"):
        examples(recipe, recipe.stages[0], READS)
    long = {**labelled(2), "response": "x" * 300}
    recipe = recipe_with(tmp_path, "cross_entropy", [labelled(1), long], **{"stages.reward_model.heldout_fraction": 0})
    with pytest.raises(
        DataError, match=r"1 examples are longer than engine\.max_context_tokens \(256\).*train\.jsonl:2"
    ):
        examples(recipe, recipe.stages[0], READS)


def sequence(label):
    return TrainingSequence(np.arange(3, dtype=np.int32), np.ones(3, bool), np.zeros(3, np.float32), label)


def test_a_pair_that_stands_twice_in_a_batch_is_two_pairs():
    one, single = (sequence(1.0), sequence(0.0)), (sequence(1.0),)
    assert [each.pair for each in in_batch([one, one])] == [0, 0, 1, 1]
    assert [each.pair for each in in_batch([single, single])] == [-1, -1]


def test_held_out_accuracy_by_hand():
    pairs = [(sequence(1.0), sequence(0.0))] * 4
    assert heldout_accuracy([[2, 1], [1, 2], [1, 1], [-1, -3]], pairs) == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    singles = [(sequence(1.0),), (sequence(0.0),), (sequence(0.0),)]
    assert heldout_accuracy([[0.0], [-0.1], [3.0]], singles) == pytest.approx(2 / 3)


def test_held_out_is_measured_when_due_and_at_the_end():
    class Learner:
        def score(self, sequences):
            return [np.array([9.0, float(i % 2 == 0)], np.float32) for i, _ in enumerate(sequences)]

    measure = HeldOut(Learner(), [(sequence(1.0), sequence(0.0))] * 3, every=4, total=6)
    due = {step: measure(step) for step in range(1, 7)}
    assert [step for step, metrics in due.items() if metrics] == [4, 6]
    assert due[6] == {"reward_model/heldout_accuracy": 1.0}
    assert HeldOut(Learner(), [], every=4, total=6)(6) == {}
