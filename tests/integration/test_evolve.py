"""The evolve stage with real engines: both spaces, stopped by a fault and run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForCausalLM

from rl_reason.config.load import load_recipe
from rl_reason.learner.scratch_model import build_scratch_model
from rl_reason.merging.evolution.journal import Journal
from rl_reason.pipeline import run

TASK = {"kind": "reasoning_gym", "task": "chain_sum", "options": {"min_terms": 2, "max_terms": 3, "max_digits": 2}}
SPACES = {
    "parameters": {"kind": "parameters", "method": "dare_ties", "trials": 12},
    "data_flow": {"kind": "data_flow", "generations": 2, "population": 6, "repeats": 2, "scaling": "network"},
}


def recipe(folder: Path, space: str) -> Path:
    models = [folder / name for name in "abc"]
    for seed, path in enumerate(models):
        build_scratch_model(
            path, architecture="qwen2", hidden_size=64, layers=2, heads=2, kv_heads=1, intermediate_size=96,
            max_position_embeddings=256, tied_embeddings=True, seed=seed,
        )  # fmt: skip
    others = [str(path) for path in models[1:]]
    written = {
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
                "kind": "evolve", "validation": 4, "sampling": {"max_new_tokens": 8},
                "space": {**SPACES[space], "models": others},
            }
        ],
    }  # fmt: skip
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
    stage = out / "stages" / "01-evolve"
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
    assert "Merge found in 01-evolve" in report and ("dare_ties" if space == "parameters" else "scales") in report
