"""Contradictions in stages that make one model of several."""

import json
from pathlib import Path

import pytest

from rl_reason.config.check import check
from rl_reason.config.document import parse

SIZES = {"hidden_size": 64, "layers": 1, "heads": 2, "kv_heads": 1, "intermediate_size": 96}


def problems_of(*stages, **sections):
    values = {"name": "merging", "stages": stages, **sections}
    _, problems = check(parse(json.dumps(values), origin="r", folder=Path("/")))
    return {".".join(map(str, problem.location)): problem.message for problem in problems}


def source(size, seed):
    return {"kind": "reasoning_gym", "task": "chain_sum", "size": size, "seed": seed}


def search(folder, *, models=("math",), kind="parameters", train=300, heldout=10, **stage):
    for name in ("base", "math"):
        (folder / name).mkdir(exist_ok=True)
    paths = [str(folder / name) for name in models]
    return problems_of(
        {"kind": "evolve", "space": {"kind": kind, "models": paths}, **stage},
        model={"scratch": {**SIZES, "max_position_embeddings": 4096}},
        data={"train": [source(train, 1)] if train else [], "heldout": [source(heldout, 2)] if heldout else []},
        rewards={"verifiers": [{"name": "exact"}]},
    )


def test_a_merge_needs_its_recipe_and_no_model(tmp_path):
    stage = {"kind": "merge", "recipe": str(tmp_path / "average.yaml")}
    assert list(problems_of(stage)) == ["stages.0.recipe"]
    (tmp_path / "average.yaml").touch()
    assert problems_of(stage) == {}


@pytest.mark.parametrize("kind", ["parameters", "data_flow"])
def test_models_of_a_search_are_there(tmp_path, kind):
    assert search(tmp_path, kind=kind) == {}
    (said,) = search(tmp_path, models=("math", "gone"), kind=kind).items()
    assert said[0] == "stages.0.space.models.1" and said[1].startswith("no such folder")


def test_an_earlier_stages_model_is_one_of_a_search(tmp_path):
    stage = {"kind": "evolve", "validation": 1, "space": {"kind": "parameters", "models": [str(tmp_path / "01-sum")]}}
    sections = {
        "model": {"scratch": {**SIZES, "max_position_embeddings": 4096}},
        "data": {"train": [source(300, 1)], "heldout": [source(10, 2)]},
        "rewards": {"verifiers": [{"name": "exact"}]},
    }
    (tmp_path / "sum.yaml").touch()
    merge = {"kind": "merge", "name": "sum", "recipe": str(tmp_path / "sum.yaml")}
    assert problems_of(merge, stage, **sections) == {}
    assert list(problems_of(stage, merge, **sections)) == ["stages.0.space.models.0"]
    named_so = {"kind": "eval", "name": "sum", "sampling": {"max_new_tokens": 64}}
    assert list(problems_of(named_so, stage, **sections)) == ["stages.1.space.models.0"]  # it leaves no model


@pytest.mark.parametrize(
    ("given", "path", "says"),
    [
        ({"train": 0}, "data.train", "searches on training problems"),
        ({"heldout": 0}, "data.heldout", "held-out prompts"),
        ({"train": 200}, "stages.0.validation", "at most 200 problems"),
        ({"sampling": {"max_new_tokens": 9000}}, "stages.0.sampling.max_new_tokens", "engine.max_context_tokens"),
    ],
)
def test_problems_and_lengths_of_a_search(tmp_path, given, path, says):
    (said,) = search(tmp_path, **given).items()
    assert said[0] == path and says in said[1]


def test_a_search_needs_someone_to_judge(tmp_path):
    stage = {"kind": "evolve", "space": {"kind": "parameters", "models": [str(tmp_path)]}}
    assert "the evolve stage needs someone to judge" in problems_of(stage)["rewards.verifiers"]


@pytest.mark.parametrize(
    ("after", "engine", "path"),
    [
        ({"kind": "eval"}, "vllm", "engine.kind"),
        ({"kind": "eval"}, "transformers", None),
        ({"kind": "rl", "iterations": 1, "prompts_per_iteration": 1, "responses_per_prompt": 2}, "transformers",
         "stages.1.kind"),
    ],
)  # fmt: skip
def test_a_path_through_layers_can_only_be_evaluated_and_by_transformers(tmp_path, after, engine, path):
    stage = {"kind": "evolve", "validation": 1, "space": {"kind": "data_flow", "models": [str(tmp_path)]}}
    said = problems_of(
        {**stage, "sampling": {"max_new_tokens": 64}},
        after,
        model={"scratch": {**SIZES, "max_position_embeddings": 4096}},
        engine={"kind": engine},
        data={"train": [source(300, 1)], "heldout": [source(10, 2)]},
        rewards={"verifiers": [{"name": "exact"}]},
    )
    assert list(said) == ([path] if path else [])


def test_after_a_merge_the_model_is_a_plain_one_again(tmp_path):
    (tmp_path / "sum.yaml").touch()
    limits = {"sampling": {"max_new_tokens": 64}}
    stage = {"kind": "evolve", "validation": 1, "space": {"kind": "data_flow", "models": [str(tmp_path)]}, **limits}
    said = problems_of(
        stage,
        {"kind": "merge", "recipe": str(tmp_path / "sum.yaml")},
        {"kind": "eval", **limits},
        model={"scratch": {**SIZES, "max_position_embeddings": 4096}},
        data={"train": [source(300, 1)], "heldout": [source(10, 2)]},
        rewards={"verifiers": [{"name": "exact"}]},
    )
    assert said == {}
