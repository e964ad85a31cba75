"""What the composition root makes of a recipe, where a mistake would go unnoticed."""

import json
from pathlib import Path

import numpy as np
import pytest

from rl_reason.build import actors, parts
from rl_reason.build.prompts import demonstrations, prompt_sets
from rl_reason.config.load import load_recipe
from rl_reason.data.render import ChatRenderer
from rl_reason.errors import DataError
from rl_reason.learner.scratch_model import build_byte_tokenizer

ROOT = Path(__file__).resolve().parents[3]


def recipe_of(folder, **files):
    """The quickstart on small JSONL files: name -> list of (prompt, answer)."""
    for name, rows in files.items():
        lines = [json.dumps({"prompt": prompt, "answer": answer, "response": answer}) for prompt, answer in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    source = "[{{kind: jsonl, path: {}}}]".format
    return load_recipe(
        ROOT / "recipes" / "quickstart.yaml",
        [
            f"data.train={source(folder / 'train.jsonl')}",
            f"data.heldout={source(folder / 'heldout.jsonl')}",
            "stages.reason.prompts_per_iteration=2",
            f"stages.warmup.traces={source(folder / 'train.jsonl')}",
        ],
    )


@pytest.fixture
def rendered_by():
    return ChatRenderer(build_byte_tokenizer(), template="plain")


def test_held_out_problems_are_neither_trained_on_nor_imitated(tmp_path, rendered_by):
    rows = [("1+1", "2"), ("2+2", "4"), ("3+3", "6")]
    recipe = recipe_of(tmp_path, train=rows, heldout=[(" 2+2 ", "4")])
    sets = prompt_sets(recipe, rendered_by)
    assert [prompt.text for prompt in sets.train] == ["1+1", "3+3"] and sets.dropped == 1
    assert [prompt.text for prompt in sets.heldout] == [" 2+2 "]
    sequences, dropped = demonstrations(recipe, recipe.stages[0], rendered_by)
    assert len(sequences) == 2 and dropped == 1
    assert sequences[0].loss_mask.tolist() == [False, False, False, True, True]


def test_a_mix_of_demonstrations_is_files_with_counts(tmp_path, rendered_by):
    recipe = recipe_of(tmp_path, train=[(str(number), "2") for number in range(20)], heldout=[("5+5", "10")])

    def drawn(count, seed):
        traces = recipe.stages[0].traces[0].model_copy(update={"count": count})
        stage = recipe.stages[0].model_copy(update={"traces": (traces,)})
        sequences, _ = demonstrations(recipe.model_copy(update={"seed": seed}), stage, rendered_by)
        return [tuple(sequence.tokens) for sequence in sequences]

    assert len(set(drawn(7, 1))) == 7 and drawn(7, 1) == drawn(7, 1) != drawn(7, 2)
    with pytest.raises(DataError, match=r"train\.jsonl has 20 good traces, and count asks for 21: lower it"):
        drawn(21, 1)


def test_a_broken_line_is_named_and_refused(tmp_path, rendered_by):
    recipe = recipe_of(tmp_path, train=[("1+1", "2"), ("2+2", "")], heldout=[("5+5", "10")])
    with pytest.raises(DataError, match=r"train\.jsonl:2: answer"):
        prompt_sets(recipe, rendered_by)


def test_a_demonstration_too_long_for_the_engine_is_refused_or_skipped_as_the_recipe_says(tmp_path, rendered_by):
    rows = [("1+1", "2"), ("2+2", "4" * 200)]
    recipe = recipe_of(tmp_path, train=rows, heldout=[("5+5", "10")])
    with pytest.raises(DataError, match=r"train\.jsonl:2: response: has 204 tokens with its prompt, and .* is 128"):
        demonstrations(recipe, recipe.stages[0], rendered_by)
    skipping = recipe.model_copy(update={"data": recipe.data.model_copy(update={"on_bad_line": "skip"})})
    sequences, _ = demonstrations(skipping, recipe.stages[0], rendered_by)
    assert [len(sequence.tokens) for sequence in sequences] == [5]


def test_the_length_reward_starts_when_the_recipe_says(tmp_path):
    overrides = ["rewards.length.weight=0.5", "rewards.length.start_iteration=3"]
    pressure = parts.length_pressure(load_recipe(ROOT / "recipes" / "quickstart.yaml", overrides))
    lengths, correct = [10, 20, 30], [True, False, False]
    np.testing.assert_allclose(pressure(lengths, correct, 2), [0, 0, 0])
    np.testing.assert_allclose(pressure(lengths, correct, 3), [0.25, 0, -0.25])


@pytest.mark.parametrize(("baseline", "subtracted"), [("mean", 0.5), ("log_mean_exp", 0.6201145)])
def test_the_baseline_is_the_recipes_at_the_recipes_tau(baseline, subtracted):
    words = ["stages.reason.loss.tau=1", f"stages.reason.loss.baseline={baseline}"]
    recipe = load_recipe(ROOT / "recipes" / "quickstart.yaml", words)
    assemble = parts.assembler(recipe, recipe.stages[2])
    assert assemble.baseline(np.array([1.0, 0.0])) == pytest.approx(subtracted, abs=1e-7)


class StartingSpy:
    """Keeps what a learner would be made of."""

    def begin_learner(self, part, placements, *, partitioned):
        self.arguments, self.ranks = part.arguments, len(placements)


def test_the_learner_gets_the_recipes_loss_optimizer_and_temperature(tmp_path):
    words = [
        "stages.reason.loss.tau=0.25", "stages.reason.sampling.temperature=0.7", "stages.reason.epochs=3",
        "stages.reason.optimizer.learning_rate=3e-5", "stages.reason.optimizer.weight_decay=0.01",
        "stages.reason.optimizer.warmup_fraction=0.2", "learner.gradient_clip=0.5",
    ]  # fmt: skip
    recipe = load_recipe(ROOT / "recipes" / "quickstart.yaml", words)
    spy = StartingSpy()
    actors.begin_rl_learner(spy, recipe, recipe.stages[2], tmp_path, weights=tmp_path / "w")
    assert spy.arguments["objective"].tau == 0.25
    how = spy.arguments["optimization"]
    assert (how.learning_rate, how.betas, how.weight_decay, how.gradient_clip) == (3e-5, (0.9, 0.99), 0.01, 0.5)
    assert (how.gradient_steps, how.epochs, how.temperature, how.reset_optimizer) == (2, 3, 0.7, True)
    assert (how.total_steps, how.warmup_steps, spy.ranks) == (35, 7, 2)
    assert spy.arguments["execution"].zero_stage == 0 and spy.arguments["execution"].micro_batch_tokens == 8192


def test_greedy_is_temperature_0_and_evaluates_nothing_else_differently(rendered_by):
    section = (
        load_recipe(ROOT / "recipes" / "quickstart.yaml", ["stages.after.sampling.temperature=0.7"]).stages[3].sampling
    )
    sampled, greedy = parts.sampling(section, rendered_by), parts.sampling(section, rendered_by, greedy=True)
    assert (sampled.temperature, greedy.temperature) == (0.7, 0.0)
    assert sampled.max_new_tokens == greedy.max_new_tokens == 64
    assert sampled.stop_token_ids == greedy.stop_token_ids == rendered_by.stop_token_ids


def test_gpus_are_counted_only_where_the_recipe_wants_them():
    recipe = load_recipe(ROOT / "recipes" / "quickstart.yaml")
    assert actors.gpus_needed(recipe) == 0
    wanting = load_recipe(ROOT / "recipes" / "quickstart.yaml", ["cluster.device=gpu", "engine.tensor_parallel=4"])
    assert actors.gpus_needed(wanting) == 2 * 4 + 2
