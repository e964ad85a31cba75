"""The evolve stage with real engines: both spaces, stopped by a fault and run again."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoModelForCausalLM
from whole_runs import finish, start

from rl_reason.config.load import load_recipe
from rl_reason.learner.scratch_model import build_scratch_model
from rl_reason.merging.evolution.journal import Journal
from rl_reason.pipeline import run

TASK = {"kind": "reasoning_gym", "task": "chain_sum", "options": {"min_terms": 2, "max_terms": 3, "max_digits": 2}}
SPACES = {
    "parameters": {"kind": "parameters", "method": "dare_ties", "trials": 12},
    "data_flow": {"kind": "data_flow", "generations": 2, "population": 6, "repeats": 2, "scaling": "network"},
}


def recipe(folder: Path, *spaces: str, **more: Any) -> Path:
    models = [folder / name for name in "abc"]
    for seed, path in enumerate(models):
        build_scratch_model(
            path, architecture="qwen2", hidden_size=64, layers=2, heads=2, kv_heads=1, intermediate_size=96,
            max_position_embeddings=256, tied_embeddings=True, seed=seed,
        )  # fmt: skip
    others = [str(path) for path in models[1:]]
    written: dict[str, Any] = {
        "name": "evolve",
        "model": {"path": str(models[0])},
        "data": {
            "train": [{**TASK, "size": 12, "seed": 1}],
            "heldout": [{**TASK, "size": 4, "seed": 2}],
            "max_prompt_tokens": 150,
        },
        "engine": {"kind": "transformers", "count": 2, "max_context_tokens": 180, "dtype": "float32"},
        "rewards": {"verifiers": [{"name": "boxed_math"}], "workers": 1},
        "stages": [
            {
                "kind": "evolve", "name": space, "validation": 4, "sampling": {"max_new_tokens": 8},
                "space": {**SPACES[space], "models": others}, **more,
            }
            for space in spaces
        ],
    }  # fmt: skip
    if "data_flow" in spaces:
        written["stages"].append({"kind": "eval", "responses_per_prompt": 1, "sampling": {"max_new_tokens": 8}})
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(written), encoding="utf-8")
    return path


class Cut(Exception):
    pass


@pytest.mark.parametrize("space", list(SPACES))
def test_a_cut_off_stage_goes_on_with_what_it_knows_and_leaves_a_model(
    tmp_path: Path, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, out = load_recipe(recipe(tmp_path, space)), tmp_path / "out"
    add, added = Journal.add, []

    def cut_off(self: Journal, *what: object, **where: object) -> None:
        if len(added) == 5:
            raise Cut
        add(self, *what, **where)  # pyright: ignore[reportArgumentType]
        added.append(what)

    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(Journal, "add", cut_off)
        run(loaded, out)
    stage = out / "stages" / f"01-{space}"
    before = (stage / "journal.jsonl").read_bytes()
    assert len(before.splitlines()) == 1 + 5 and not (stage / "result.json").exists()

    run(loaded, out)
    journal = (stage / "journal.jsonl").read_bytes()
    assert journal.startswith(before)
    lines = [json.loads(line) for line in journal.splitlines()[1:]]
    assert len({(line["key"], line["problems"]) for line in lines}) == len(lines)
    assert [line["problems"] for line in lines].count("test") == 1
    result = json.loads((stage / "result.json").read_text())["evolution"]
    assert result["evaluations"] == len(lines) and result["failed"] == 0
    model = AutoModelForCausalLM.from_pretrained(stage / "model", trust_remote_code=space == "data_flow")
    assert type(model).__name__ == {"parameters": "Qwen2ForCausalLM", "data_flow": "DataFlowForCausalLM"}[space]
    report = (out / "report.html").read_text()
    assert f"Merge found in 01-{space}" in report and ("dare_ties" if space == "parameters" else "scales") in report


def test_parameters_then_paths_for_two_objectives_on_batches_and_the_path_is_evaluated(tmp_path: Path) -> None:
    path = recipe(tmp_path, "parameters", "data_flow", objective="accuracy_and_tokens", batch=6)
    out = tmp_path / "out"
    run(load_recipe(path), out)
    first, second, last = (json.loads((out / "stages" / name / "result.json").read_text())
                           for name in ("01-parameters", "02-data_flow", "03-eval"))  # fmt: skip
    assert first["evolution"]["test_problems"] == second["evolution"]["test_problems"] == 4
    path_of = json.loads(second["evolution"]["winner"])
    assert path_of["models"][0] == str(out / "stages" / "01-parameters" / "model")  # model A
    assert last["greedy"]["accuracy"]["value"] == second["evolution"]["test"]["accuracy"]
    assert last["greedy"]["tokens_mean"] == second["evolution"]["test"]["tokens_mean"]
    lines = (out / "stages" / "01-parameters" / "journal.jsonl").read_text().splitlines()
    problems = {json.loads(line)["problems"] for line in lines[1:]}
    assert {"search/0", "search/1", "validation", "test"} <= problems


def test_a_killed_search_keeps_every_evaluation(tmp_path: Path) -> None:
    path, out = recipe(tmp_path, "parameters"), tmp_path / "out"
    journal = out / "stages" / "01-parameters" / "journal.jsonl"
    process = start(path, out)
    while not journal.exists() or len(journal.read_bytes().splitlines()) < 4:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = journal.read_bytes()
    finish(start(path, out))
    whole = before[: before.rfind(b"\n") + 1]
    assert journal.read_bytes().startswith(whole)
    lines = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert len({(line["key"], line["problems"]) for line in lines}) == len(lines)
