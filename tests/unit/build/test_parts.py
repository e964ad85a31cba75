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


def test_a_broken_line_is_named_and_refused(tmp_path, rendered_by):
    recipe = recipe_of(tmp_path, train=[("1+1", "2"), ("2+2", "")], heldout=[("5+5", "10")])
    with pytest.raises(DataError, match=r"train\.jsonl:2: answer"):
        prompt_sets(recipe, rendered_by)


def test_the_length_reward_starts_when_the_recipe_says(tmp_path):
    overrides = ["rewards.length.weight=0.5", "rewards.length.start_iteration=3"]
    pressure = parts.length_pressure(load_recipe(ROOT / "recipes" / "quickstart.yaml", overrides))
    lengths, correct = [10, 20, 30], [True, False, False]
    np.testing.assert_allclose(pressure(lengths, correct, 2), [0, 0, 0])
    np.testing.assert_allclose(pressure(lengths, correct, 3), [0.25, 0, -0.25])


def test_gpus_are_counted_only_where_the_recipe_wants_them():
    recipe = load_recipe(ROOT / "recipes" / "quickstart.yaml")
    assert actors.gpus_needed(recipe) == 0
    wanting = load_recipe(ROOT / "recipes" / "quickstart.yaml", ["cluster.device=gpu", "engine.tensor_parallel=4"])
    assert actors.gpus_needed(wanting) == 2 * 4 + 2
