"""A whole recipe with the real parts; killed, stopped, damaged, on a full disk: the same metrics in the end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from whole_runs import finish, rows, start, wait_for, without_times

from rl_reason.tracking.checkpoints import CheckpointStore

RECIPE = """
name: tiny
seed: 3
model:
  scratch: {hidden_size: 64, layers: 2, heads: 2, kv_heads: 1, intermediate_size: 128, max_position_embeddings: 128,
            tied_embeddings: true}
data:
  train: [{kind: reasoning_gym, task: chain_sum, size: 64, seed: 1, options: {min_terms: 2, max_terms: 2}}]
  heldout: [{kind: reasoning_gym, task: chain_sum, size: 8, seed: 2, options: {min_terms: 2, max_terms: 2}}]
  max_prompt_tokens: 96
engine: {max_concurrent: 32, max_context_tokens: 128, dtype: float32, kv_cache_gib: 0.1}
learner: {dtype: float32, zero_stage: 0, micro_batch_tokens: 2048}
sync: {gap_alarm_nats: 1e-4}
rewards: {verifiers: [{name: EVEN}], workers: 1, length: {weight: 0.1, start_iteration: 2}}
cluster: {actor_deadline_s: 120, call_deadline_s: 120}
checkpoints: {every_iterations: 2, keep: 2}
tracking: {trajectories_every: 2, trajectories_per_iteration: 8}
stages:
  - kind: sft
    traces: [{kind: generated, task: chain_sum, count: 64, seed: 4, error_fraction: 0.2, options: {max_terms: 2}}]
    steps: 25
    batch_sequences: 8
    optimizer: {learning_rate: 1e-3}
  - kind: rl
    iterations: 7
    prompts_per_iteration: 8
    responses_per_prompt: 4
    gradient_steps_per_iteration: 2
    optimizer: {learning_rate: 1e-4}
    sampling: {max_new_tokens: 16}
    sampler: {kind: prioritised}
    evaluate: {every_iterations: 3, prompts: 4}
  - kind: eval
    responses_per_prompt: 2
    pass_at: [1, 2]
    sampling: {max_new_tokens: 16}
"""
EVEN = '''"""A verifier that finds a barely trained model right now and then: is the first code even?"""

from rl_reason.types import Score, Verdict


class Even:
    def verify(self, prompt, response):
        if response.startswith("?"):
            return Score(Verdict.UNJUDGED, None, reason="a question is no answer")
        value = float(bool(response) and ord(response[0]) % 2 == 0)
        return Score(Verdict.RIGHT if value else Verdict.WRONG, value, {"even": value})
'''


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "even.py").write_text(EVEN)
    path = folder / "tiny.yaml"
    path.write_text(RECIPE.replace("EVEN", "./even.py:Even"))
    return path


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """The uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    output = finish(start(recipe, out))
    return out, output


def test_a_run_leaves_what_other_programs_rely_on(whole):
    out, output = whole
    stages = [(row["stage"], row["iteration"]) for row in rows(out)]
    assert stages == [("01-sft", i) for i in range(25)] + [("02-rl", i) for i in range(7)] + [
        ("03-eval", 0),
        ("03-eval", 1),
    ]
    for name in ("resolved.yaml", "provenance.json", "report.html", "model/config.json", "model/model.safetensors"):
        assert (out / name).stat().st_size > 0, name
    assert [path.name for path in sorted((out / "stages/02-rl/checkpoints").iterdir())] == [
        "step-000006",
        "step-000007",
    ]
    assert len(list((out / "trajectories").glob("02-rl-*.parquet"))) == 4
    result = json.loads((out / "stages/03-eval/result.json").read_text())
    assert set(result["sampled"]["pass_at"]) == {"1", "2"} and result["greedy"]["responses_per_prompt"] == 1
    assert "report.html" in output and "avg@2" in output


def test_every_sync_agrees_to_rounding(whole):
    gaps = [row["policy/logprob_gap_max"] for row in rows(whole[0]) if row["stage"] == "02-rl"]
    assert len(gaps) == 7 and max(gaps) < 1e-4
    assert max(row["policy/rollout_gap_max"] for row in rows(whole[0]) if row["stage"] == "02-rl") < 1e-4


def test_the_policy_version_and_the_length_reward_follow_the_recipe(whole):
    learned = [row for row in rows(whole[0]) if row["stage"] == "02-rl"]
    assert [row["policy_version"] for row in learned] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["iteration"] for row in learned if "accuracy/eval" in row] == [2, 5, 6]


def test_the_model_loads_as_any_hugging_face_model(whole):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(whole[0] / "model")
    tokenizer = AutoTokenizer.from_pretrained(whole[0] / "model")
    tokens = tokenizer("1 + 2 =", return_tensors="pt").input_ids
    assert model(tokens).logits.isfinite().all()
    assert model.config.tie_word_embeddings and tokenizer.decode(tokens[0]) == "1 + 2 ="


def test_a_second_call_does_nothing_again(whole, recipe):
    out, _ = whole
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    begun = time.monotonic()
    assert "nothing to do" in finish(start(recipe, out))
    assert time.monotonic() - begun < 20
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_another_recipe_in_the_same_folder_is_refused(whole, recipe):
    changed = recipe.with_name("changed.yaml")
    changed.write_text(recipe.read_text().replace("iterations: 7", "iterations: 8"))
    process = start(changed, whole[0])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "-  iterations: 7" in output and "+  iterations: 8" in output and "--out" in output


def test_killed_outright_it_continues_bit_for_bit(whole, recipe, tmp_path):
    out = tmp_path / "run"
    process = start(recipe, out)
    wait_for(out, "02-rl", 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    output = finish(start(recipe, out))
    assert "continuing after 2 of 7" in output
    assert without_times(out) == without_times(whole[0])
    assert (out / "model/model.safetensors").read_bytes() == (whole[0] / "model/model.safetensors").read_bytes()


def test_asked_to_stop_it_saves_and_a_damaged_checkpoint_is_passed_over(whole, recipe, tmp_path):
    out = tmp_path / "run"
    process = start(recipe, out)
    wait_for(out, "02-rl", 4, process)
    os.kill(process.pid, signal.SIGTERM)
    assert "run the same command again to continue" in finish(process)
    newest, before = sorted(Path(out / "stages/02-rl/checkpoints").iterdir(), reverse=True)
    assert int(newest.name.removeprefix("step-")) >= 5
    weights = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    output = finish(start(recipe, out))
    assert newest.name in output and f"continuing after {int(before.name.removeprefix('step-'))} of 7" in output
    assert without_times(out) == without_times(whole[0])


def test_with_roll_outs_under_way_a_killed_run_continues_bit_for_bit(recipe, tmp_path):
    before, _, after = recipe.read_text().partition("  - kind: sft\n")
    stage, _ = after[after.index("  - kind: rl\n") :].split("  - kind: eval\n")
    lagging = recipe.with_name("lagging.yaml")
    lagging.write_text(before + stage.replace("iterations: 7", "iterations: 5\n    max_lag_versions: 2"))
    finish(start(lagging, tmp_path / "whole"))
    out = tmp_path / "killed"
    process = start(lagging, out)
    wait_for(out, "01-rl", 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    (checkpoint,) = (out / "stages/01-rl/checkpoints").glob("step-000002")
    assert (checkpoint / "rollouts.pkl").stat().st_size > 0
    assert "continuing after 2 of 5" in finish(start(lagging, out))
    assert len(rows(out)) == 5 and without_times(out) == without_times(tmp_path / "whole")


IN_A_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
"""Where a user without rights may mount, for this process and its children alone."""
ON_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size=4400k none disk
"$1" -m rl_reason.cli.main run "$2" --out disk/run > first.log 2>&1 && exit 7
cp -r disk/run/stages/02-rl/checkpoints kept
mount -o remount,size=64m disk
"$1" -m rl_reason.cli.main run "$2" --out disk/run > second.log 2>&1
cp -r disk/run resumed
"""
"""The disk holds the warm-up and one or two checkpoints of the rl stage."""


def test_on_a_full_disk_it_stops_with_a_message_and_goes_on_when_there_is_space(whole, recipe, tmp_path):
    probe = [*IN_A_NAMESPACE, "mount", "-t", "tmpfs", "none", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs in a namespace of our own is not permitted here")
    (tmp_path / "disk").mkdir()
    command = [*IN_A_NAMESPACE, "bash", "-c", ON_A_SMALL_DISK, "bash", sys.executable, str(recipe)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    first = (tmp_path / "first.log").read_text()
    assert done.returncode == 0, done.stderr + first[-4000:]
    assert "run the same command again" in first.splitlines()[-1] and "Traceback" not in first
    found = CheckpointStore(tmp_path / "kept", keep=2).newest()
    assert found is not None and found.damaged == () and found.step in (2, 4, 6)
    assert f"continuing after {found.step} of 7" in (tmp_path / "second.log").read_text()
    assert without_times(tmp_path / "resumed") == without_times(whole[0])
