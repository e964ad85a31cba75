"""Reward models in a whole run with the real parts: trained, killed and resumed, used in rl, measured side by side."""

import json
import os
import signal

import pytest
import yaml
from transformers import AutoModelForSequenceClassification
from whole_runs import finish, rows, start, wait_for, without_times

from rl_reason.learner.scratch_model import build_scratch_model

MADE = "{kind: generated, task: chain_sum, problems: 60, responses_per_problem: 4, error_fraction: 0.3}"
RECIPE = f"""
name: tiny
seed: 3
model: {{path: ./policy}}
data:
  train: [{{kind: reasoning_gym, task: chain_sum, size: 16, seed: 1, options: {{max_terms: 2}}}}]
  max_prompt_tokens: 96
engine: {{max_concurrent: 32, max_context_tokens: 256, dtype: float32, kv_cache_gib: 0.05}}
learner: {{dtype: float32, zero_stage: 0, micro_batch_tokens: 2048}}
sync: {{gap_alarm_nats: 1e-4}}
rewards:
  verifiers: [{{name: boxed_math}}]
  models:
    - {{kind: classic, stage: reward_model, weight: 0.5}}
    - kind: judge
      path: ./policy
      weight: 0
      votes: 2
      temperature: 1.0
      max_context_tokens: 2560
      max_new_tokens: 8
  workers: 1
cluster: {{actor_deadline_s: 120, call_deadline_s: 120}}
checkpoints: {{every_iterations: 1, keep: 2}}
stages:
  - kind: reward_model
    loss: {{kind: bradley_terry}}
    data: [{MADE}]
    heldout_fraction: 0.2
    evaluate_every_steps: 10
    steps: 25
    batch_examples: 8
    optimizer: {{learning_rate: 1e-3}}
  - kind: rl
    iterations: 1
    prompts_per_iteration: 4
    responses_per_prompt: 2
    sampling: {{max_new_tokens: 16}}
  - kind: eval_reward_models
    data: [{MADE.replace("60", "10").replace("error", "seed: 1, error")}]
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    sizes = {"hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate_size": 128}
    build_scratch_model(
        folder / "policy", architecture="qwen2", max_position_embeddings=2560, tied_embeddings=True, seed=0, **sizes
    )
    path = folder / "tiny.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """The run, killed outright in the middle of training the reward model, and run again."""
    out = tmp_path_factory.mktemp("whole") / "run"
    process = start(recipe, out)
    wait_for(out, "01-reward_model", 12, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    output = finish(start(recipe, out))
    assert "continuing after 10 of 25" in output
    return out, output


def result(out, stage):
    return json.loads((out / "stages" / stage / "result.json").read_text())


def test_the_reward_model_lies_beside_the_policy_and_loads_as_it_is(whole):
    folder = whole[0] / "stages" / "01-reward_model"
    model = AutoModelForSequenceClassification.from_pretrained(folder / "reward_model")
    assert model.config.num_labels == 1 and (folder / "reward_model" / "reward_template.txt").is_file()
    assert not (folder / "model").exists()
    found = result(whole[0], "01-reward_model")
    assert found["iterations"] == 25 and found["heldout_examples"] > 0 and 0 <= found["heldout_accuracy"] <= 1


def test_training_reports_itself_and_resumes_where_it_was(whole):
    training = [row for row in rows(whole[0]) if row["stage"] == "01-reward_model"]
    assert [row["iteration"] for row in training] == list(range(25))
    assert [row["iteration"] for row in training if "reward_model/heldout_accuracy" in row] == [9, 19, 24]
    assert all(0 <= row["reward_model/accuracy"] <= 1 for row in training)


def test_killed_and_resumed_it_is_the_uninterrupted_one_bit_for_bit(whole, recipe, tmp_path):
    # The same training: the stage that follows decides which problems are left out of it.
    straight = yaml.safe_load(recipe.read_text())
    straight["stages"], straight["rewards"]["models"] = straight["stages"][::2], straight["rewards"]["models"][:1]
    path = recipe.with_name("straight.yaml")
    path.write_text(yaml.safe_dump(straight))
    finish(start(path, tmp_path / "run"))
    name = "01-reward_model"
    assert [row for row in without_times(tmp_path / "run") if row["stage"] == name] == [
        row for row in without_times(whole[0]) if row["stage"] == name
    ]
    weights = [out / "stages" / name / "reward_model" / "model.safetensors" for out in (whole[0], tmp_path / "run")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_rl_adds_the_models_to_the_verifiers_and_counts_what_the_judge_could_not_say(whole):
    (row,) = [row for row in rows(whole[0]) if row["stage"] == "02-rl"]
    assert row["reward_model/judge/unjudged"] == 8.0  # random weights give no verdict, ever
    assert row["reward_model/classic/unjudged"] == 0.0 and 0 < row["reward_model/classic/mean"] < 1
    assert row["reward/unjudged_count"] == 0.0  # the judge is only watched
    assert row["reward/mean"] == pytest.approx(row["accuracy/train"] + 0.5 * row["reward_model/classic/mean"])
    assert (whole[0] / "model").resolve() == (whole[0] / "stages" / "02-rl" / "model").resolve()


def test_both_are_measured_side_by_side_and_shown(whole):
    out, output = whole
    found = result(out, "03-eval_reward_models")
    classic, judge = found["reward_models"]
    assert (classic["name"], judge["name"]) == ("classic", "judge")
    assert classic["judged"] == classic["responses"] == found["responses"] and classic["calibration"]["bins"]
    assert judge["judged"] == 0 and judge["accuracy"]["value"] is None and judge["calibration"] is None
    assert sum(judge["unjudged"].values()) == found["responses"] and "truncated" in judge["unjudged"]
    lines = (out / "stages/03-eval_reward_models/judgements.jsonl").read_text().splitlines()
    assert len(lines) == found["responses"]
    said = json.loads(lines[0])["models"]
    assert said["judge"]["verdict"] == "unjudged" and 0 < said["classic"]["score"] < 1
    assert "Reward models against labels" in output
    assert "Reward models in 03-eval_reward_models" in (out / "report.html").read_text()


def test_rl_reason_eval_measures_the_model_on_a_labelled_file(whole, recipe, tmp_path):
    out, _ = whole
    lines = (out / "stages/03-eval_reward_models/judgements.jsonl").read_text().splitlines()[:6]
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text("\n".join(lines))
    alone = yaml.safe_load(recipe.read_text())
    path = str(out / "stages" / "01-reward_model" / "reward_model")
    alone["rewards"]["models"] = [{"kind": "classic", "path": path}]
    trained = recipe.with_name("trained.yaml")
    trained.write_text(yaml.safe_dump(alone))
    finish(start(trained, tmp_path / "run", "eval", "--reward-models", str(labelled), "--recipe"))
    found = result(tmp_path / "run", "01-eval_reward_models")
    assert found["responses"] == 6
    again = [json.loads(line) for line in (tmp_path / "run/stages/01-eval_reward_models/judgements.jsonl").open()]
    assert [row["models"]["classic"]["score"] for row in again] == [
        json.loads(line)["models"]["classic"]["score"] for line in lines
    ]
