"""The `merge` stage in a run: models of earlier stages by name, the result is the next stage's model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM
from whole_runs import finish, start

from rl_reason.config.load import load_recipe
from rl_reason.errors import ConfigError
from rl_reason.pipeline import run

RECIPE = """
name: merge
model:
  scratch: {hidden_size: 32, layers: 2, heads: 2, kv_heads: 1, intermediate_size: 48}
data:
  train: [{kind: reasoning_gym, task: chain_sum, size: 20, seed: 1}]
stages:
  - kind: sft
    traces: [{kind: generated, task: chain_sum, count: 16}]
    steps: 1
    batch_sequences: 4
  - kind: merge
    recipe: average.yaml
"""
SUM = """
merge_method: linear
models:
  - {model: previous, parameters: {weight: 1}}
  - {model: 01-sft, parameters: {weight: 3}}
parameters: {normalize: false}
"""


def test_a_merge_recipe_that_is_wrong_stops_the_run_before_its_first_stage(tmp_path: Path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "average.yaml").write_text(SUM.replace("01-sft", "01-stf"))
    with pytest.raises(
        ConfigError, match="01-stf is no folder and none of the run's models previous, 01-sft; did you mean"
    ):
        run(load_recipe(tmp_path / "recipe.yaml"), tmp_path / "out")
    assert not (tmp_path / "out" / "scratch-model").exists() and not list((tmp_path / "out").glob("stages/*/*/*"))


def test_a_stage_that_leaves_no_model_is_none_of_the_runs_models(tmp_path: Path):
    judged = "rewards: {verifiers: [{name: boxed_math}]}\n"
    heldout = RECIPE.replace(
        "stages:", "  heldout: [{kind: reasoning_gym, task: chain_sum, size: 4, seed: 2}]\nstages:"
    )
    (tmp_path / "recipe.yaml").write_text(
        judged + heldout.replace("  - kind: merge", "  - kind: eval\n  - kind: merge")
    )
    (tmp_path / "average.yaml").write_text(SUM.replace("previous", "02-eval"))
    with pytest.raises(ConfigError, match="02-eval is no folder and none of the run's models previous, 01-sft"):
        run(load_recipe(tmp_path / "recipe.yaml"), tmp_path / "out")


def test_models_of_a_run_are_merged_and_passed_on(tmp_path: Path):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    recipe.write_text(RECIPE + "    name: sum\n")
    (tmp_path / "average.yaml").write_text(SUM)
    finish(start(recipe, out))
    told = json.loads((out / "stages" / "02-sum" / "result.json").read_text())
    assert told["kind"] == "merge" and told["methods"] == ["linear"] and told["tensors"] > 10
    before = AutoModelForCausalLM.from_pretrained(out / "stages" / "01-sft" / "model", dtype=torch.float32)
    after = AutoModelForCausalLM.from_pretrained(out / "model", dtype=torch.float32)
    for one, four in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.allclose(4 * one, four, atol=1e-5)
    assert "02-sum" in (out / "report.html").read_text()
    (tmp_path / "average.yaml").write_text("a finished merge's recipe is not read again")
    assert "nothing to do" in finish(start(recipe, out))
