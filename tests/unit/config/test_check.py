from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from rl_reason.config.check import check, find
from rl_reason.config.document import Location, parse

SUM: dict[str, Any] = {"kind": "reasoning_gym", "task": "chain_sum", "size": 100, "seed": 1}
GOOD: dict[str, Any] = {
    "name": "good",
    "model": {
        "scratch": {"hidden_size": 128, "layers": 2, "heads": 4, "kv_heads": 2, "intermediate_size": 256},
    },
    "data": {"train": [SUM], "heldout": [{**SUM, "seed": 2}]},
    "rewards": {"verifiers": [{"name": "boxed_math"}]},
    "stages": [
        {"kind": "sft", "steps": 5, "traces": [{"kind": "generated", "task": "chain_sum", "count": 10}]},
        {"kind": "rl", "iterations": 10},
        {"kind": "eval"},
    ],
}


def changed(*changes: tuple[Location, Any]) -> dict[str, Any]:
    """GOOD with values set; a value of `...` removes the key."""
    values = copy.deepcopy(GOOD)
    for location, value in changes:
        parent: Any = values
        for part in location[:-1]:
            parent = parent.setdefault(part, {}) if isinstance(parent, dict) else parent[part]
        if value is ...:
            del parent[location[-1]]
        else:
            parent[location[-1]] = value
    return values


def problems_of(values: dict[str, Any]) -> list[tuple[str, str]]:
    """(dotted path, message) of each problem."""
    recipe, problems = check(parse(json.dumps(values), origin="r", folder=Path("/")))
    assert (recipe is None) == bool(problems)
    return [(".".join(map(str, problem.location)), problem.message) for problem in problems]


def test_a_good_recipe_has_no_problems() -> None:
    assert problems_of(GOOD) == []
    assert problems_of(changed(*SHARED)) == []


SCHEMA_ERRORS: list[tuple[Location, Any, str, str]] = [
    (("name",), "a b", "name", "letters, digits"),
    (("name",), ..., "name", "must be given (Names the run)"),
    (("sede",), 1, "sede", "Did you mean seed?"),
    (("engine", "tau"), 1, "engine.tau", "there is stages.rl.loss.tau"),
    (("engine", "zzz"), 1, "engine.zzz", "engine has: kind, count"),
    (("learning_rate",), 1, "learning_rate", "there is stages.sft.optimizer.learning_rate and stages.rl.optimizer"),
    (("learner", "<<"), {"ranks": 2}, "learner.<<", "merge keys are not understood"),
    (("seed",), "1", "seed", "must be a whole number"),
    (("seed",), True, "seed", "must be a whole number"),
    (("seed",), 2**32, "seed", "must be at most 4294967295"),
    (("engine", "count"), 2.0, "engine.count", "must be a whole number: write 2"),
    (("engine", "prefix_caching"), 1, "engine.prefix_caching", "true or false"),
    (("engine", "gpu_memory_fraction"), 1.5, "engine.gpu_memory_fraction", "at most 1"),
    (("engine", "gpu_memory_fraction"), 0, "engine.gpu_memory_fraction", "above 0"),
    (("engine", "gpu_memory_fraction"), "half", "engine.gpu_memory_fraction", "must be a number"),
    (("engine", "dtype"), "bf16", "engine.dtype", "Did you mean bfloat16?"),
    (("engine",), 5, "engine", "must be a block of keys: kind, count"),
    (("learner", "zero_stage"), True, "learner.zero_stage", "must be a whole number"),
    (("learner", "zero_stage"), 4, "learner.zero_stage", "at most 3"),
    (("stages",), ..., "stages", "must be given"),
    (("stages",), [], "stages", "at least 1"),
    (("stages",), {"kind": "rl"}, "stages", "must be a list"),
    (("stages", 1), "rl", "stages.1", "must be a block"),
    (("stages", 1, "kind"), "lr", "stages.1.kind", "must be one of sft, rl, eval"),
    (("stages", 1, "kind"), "evall", "stages.1.kind", "Did you mean eval?"),
    (("stages", 1, "kind"), ..., "stages.1.kind", "must be given: one of sft, rl, eval"),
    (
        ("stages", 1, "responses_per_prompt"),
        1,
        "stages.1.responses_per_prompt",
        "at least 2 (Responses k of each prompt",
    ),
    (("stages", 1, "loss"), {"tau": 0}, "stages.1.loss.tau", "above 0"),
    (("stages", 1, "optimizer"), {"betas": [0.9, 1]}, "stages.1.optimizer.betas.1", "below 1"),
    (
        ("stages", 1, "optimizer"),
        {"betas": [0.9, 0.9, 0.9]},
        "stages.1.optimizer.betas",
        "must have 2 of them, no more",
    ),
    (("stages", 1, "sampler"), {"kind": "prioritized"}, "stages.1.sampler.kind", "Did you mean prioritised?"),
    (("stages", 0, "traces"), [], "stages.0.traces", "at least 1"),
    (("data", "train", 0, "size"), ..., "data.train.0.size", "must be given"),
    (("data", "train", 0, "kind"), "json", "data.train.0.kind", "Did you mean jsonl?"),
    (("rewards", "verifiers", 0, "weight"), -1, "rewards.verifiers.0.weight", "at least 0"),
]


@pytest.mark.parametrize(("location", "value", "path", "says"), SCHEMA_ERRORS)
def test_wrong_values_are_named(location: Location, value: Any, path: str, says: str) -> None:
    found = problems_of(changed((location, value)))
    assert path in dict(found), found
    assert says in dict(found)[path]


SAMPLING = ("stages", 1, "sampling")
SHARED: list[tuple[Location, Any]] = [
    (("sync", "transport"), "cuda_ipc"),
    (("cluster", "device"), "gpu"),
    (("engine", "gpu_memory_fraction"), 0.4),
]
"""A recipe in which engine and learner share a GPU."""
CONTRADICTIONS: list[tuple[list[tuple[Location, Any]], str, str]] = [
    ([((*SAMPLING, "top_p"), 0.9)], "stages.1.sampling.top_p", "log-probs of the whole distribution"),
    ([((*SAMPLING, "top_k"), 5)], "stages.1.sampling.top_k", "leave it at 0"),
    ([(("stages", 2, "sampling", "top_p"), 0.9)], "stages.2.sampling.top_p", "leave it at 1"),
    ([(("engine", "max_context_tokens"), 5000)], "engine.max_context_tokens", "max_position_embeddings = 4096"),
    ([((*SAMPLING, "max_new_tokens"), 3500)], "stages.1.sampling.max_new_tokens", "lower it to 3072"),
    ([(("sync", "transport"), "nccl")], "sync.transport", "cluster.device is cpu: take shared_memory or gloo"),
    (
        [(("sync", "transport"), "gloo"), (("cluster", "device"), "gpu")],
        "sync.transport",
        "cluster.device is gpu: take nccl or cuda_ipc",
    ),
    ([(("sync", "transport"), "gloo"), (("engine", "kind"), "transformers")], "sync.transport", "reads files"),
    ([*SHARED, (("engine", "tensor_parallel"), 2)], "sync.transport", "set engine.tensor_parallel to 1"),
    ([*SHARED, (("learner", "ranks"), 2)], "sync.transport", "set learner.ranks to that"),
    ([*SHARED, (("engine", "gpu_memory_fraction"), 0.9)], "engine.gpu_memory_fraction", "at most 0.7"),
    ([(("stages", 2, "pass_at"), [1, 8])], "stages.2.pass_at.1", "pass@8 needs 8 responses"),
    (
        [(("stages", 1, "prompts_per_iteration"), 2), (("stages", 1, "gradient_steps_per_iteration"), 3)],
        "stages.1.gradient_steps_per_iteration",
        "has 2 prompts",
    ),
    ([(("stages", 1, "prompts_per_iteration"), 101)], "stages.1.prompts_per_iteration", "at most 100 prompts"),
    ([(("stages", 2, "prompts"), 101)], "stages.2.prompts", "at most 100 prompts"),
    ([(("model", "scratch", "hidden_size"), 130)], "model.scratch.hidden_size", "multiple of heads, 4: 128 would do"),
    ([(("model", "scratch", "kv_heads"), 3)], "model.scratch.heads", "multiple of kv_heads, 3"),
    ([(("model", "path"), "Qwen/Qwen2.5-0.5B")], "model.path", "exclude each other"),
    ([(("model", "scratch"), None)], "model", "give model.path"),
    ([(("model", "scratch"), ...), (("model", "path"), "/not/there")], "model.path", "no such folder"),
    ([(("data", "train", 0), {"kind": "jsonl", "path": "/not/there.jsonl"})], "data.train.0.path", "no such file"),
    ([(("data", "heldout", 0), {"kind": "datasets", "name": "/not/there"})], "data.heldout.0.name", "no such path"),
    ([(("data", "heldout", 0), {**SUM, "size": 7})], "data.heldout.0", "the same problems as data.train.0"),
    ([(("data", "heldout"), [])], "data.heldout", "held-out prompts"),
    ([(("data", "train"), [])], "data.train", "needs prompts"),
    ([(("rewards", "verifiers"), [])], "rewards.verifiers", "needs someone to judge"),
    ([(("rewards", "verifiers", 0, "weight"), 0)], "rewards.verifiers.0.weight", "all weights are 0"),
    ([(("rewards", "verifiers"), [{"name": "a"}, {"name": "a"}])], "rewards.verifiers.1.name", "named twice"),
    ([(("rewards", "verifiers", 0, "compare"), True)], "rewards.verifiers.0.compare", "set it on a later one"),
    ([(("rewards", "verifiers", 0, "name"), "/no.py:X")], "rewards.verifiers.0.name", "no such file"),
    (
        [(("rewards", "length"), {"weight": 0.1, "start_iteration": 10})],
        "rewards.length.start_iteration",
        "would never begin",
    ),
    ([(("stages", 0, "name"), "same"), (("stages", 2, "name"), "same")], "stages.2.name", "stages.0 has this name too"),
    ([(("stages", 0, "epochs"), 2)], "stages.0.steps", "exactly one of epochs and steps"),
    ([(("stages", 0, "steps"), None)], "stages.0.steps", "exactly one of epochs and steps"),
    ([(("stages", 0, "traces", 0), {"kind": "jsonl", "path": "/no"})], "stages.0.traces.0.path", "no such file"),
    (
        [(("learner", "offload_optimizer"), True), (("learner", "zero_stage"), 0), (("learner", "dtype"), "float32")],
        "learner.offload_optimizer",
        "zero_stage to 1, 2 or 3",
    ),
    ([(("learner", "zero_stage"), 0)], "learner.zero_stage", "set zero_stage to 1"),
    ([(("learner", "deepspeed"), {"bf16": {}})], "learner.deepspeed.bf16", "set learner.dtype"),
    (
        [(("learner", "deepspeed"), {"zero_optimization": {"stage": 2}})],
        "learner.deepspeed.zero_optimization.stage",
        "set learner.zero_stage",
    ),
    ([(("sync", "canary_tokens"), 5000)], "sync.canary_tokens", "engine.max_context_tokens = 4096"),
]


@pytest.mark.parametrize(("changes", "path", "says"), CONTRADICTIONS)
def test_contradictions_are_named_once(changes: list[tuple[Location, Any]], path: str, says: str) -> None:
    found = problems_of(changed(*changes))
    assert [where for where, _ in found] == [path]
    assert says in found[0][1]


@pytest.mark.parametrize(
    "changes",
    [
        [(("learner", "offload_optimizer"), True), (("learner", "zero_stage"), 1)],
        [(("rewards", "length"), {"weight": 0.1, "start_iteration": 9})],
        [(("rewards", "length"), {"weight": 0, "start_iteration": 10})],
        [(("engine", "max_context_tokens"), 4096)],
        [(("stages", 2, "pass_at"), [1, 4])],
        [((*SAMPLING, "max_new_tokens"), 3072)],
        [(("stages", 1, "prompts_per_iteration"), 100)],
        [(("data", "heldout", 0), {**SUM, "options": {"max_terms": 9}})],
        [(("learner", "deepspeed"), {"zero_optimization": {"overlap_comm": True}, "train_batch_size": "auto"})],
        [(("stages",), [GOOD["stages"][0]]), (("data",), {}), (("rewards",), {})],
        [(("seed",), 0), (("cluster", "call_deadline_s"), 5)],
    ],
)
def test_what_is_just_allowed_is_allowed(changes: list[tuple[Location, Any]]) -> None:
    assert problems_of(changed(*changes)) == []


def test_the_models_own_context_is_read_where_it_is_a_local_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 2048}')
    here = [(("model", "scratch"), ...), (("model", "path"), str(tmp_path))]
    assert [path for path, _ in problems_of(changed(*here))] == ["engine.max_context_tokens"]
    (tmp_path / "config.json").write_text('{"text_config": {"max_position_embeddings": 4096}}')
    assert problems_of(changed(*here)) == []
    (tmp_path / "config.json").write_text("{")
    assert "not JSON" in dict(problems_of(changed(*here)))["model.path"]


def test_one_mistake_hides_no_other() -> None:
    found = problems_of(
        changed(
            (("nmae",), "x"),
            (("engine", "dtype"), 16),
            (("stages", 1, "kind"), "rll"),
            (("stages", 1, "iterations"), ...),
            (("stages", 1, "sampling"), {"top_p": 0.5}),
            (("stages", 0, "traces"), 5),
            (("stages", 2, "pass_at"), [9]),
        )
    )
    assert sorted(path for path, _ in found) == [
        "engine.dtype",
        "nmae",
        "stages.0.traces",
        "stages.1.iterations",
        "stages.1.kind",
        "stages.1.sampling.top_p",
        "stages.2.pass_at.0",
    ]


def test_a_rule_is_silent_about_values_that_are_wrong_by_themselves() -> None:
    values = changed((("model", "scratch", "heads"), 0), (("stages", 1, "iterations"), "many"))
    values["rewards"]["length"] = {"weight": 1, "start_iteration": 500}
    assert [path for path, _ in problems_of(values)] == ["model.scratch.heads", "stages.1.iterations"]


def test_problems_come_in_the_order_of_lines() -> None:
    text = "name: a\nsed: 1\nmodel: {path: x}\nstages:\n  - kind: eval\n    sampling: {top_k: 3}\n    pass_it: 1\n"
    _, problems = check(parse(text, origin="r", folder=Path("/")))
    assert [str(problem.location[-1]) for problem in problems] == ["heldout", "verifiers", "sed", "top_k", "pass_it"]


def test_pydantics_place_is_found_in_document_and_schema() -> None:
    place = find(("stages", 1, "rl", "loss", "tau"))
    assert place.location == ("stages", 1, "loss", "tau")
    assert place.key == "stages.rl.loss.tau"
    assert find(("data", "train", 0)).kinds == ("jsonl", "parquet", "datasets", "reasoning_gym")
