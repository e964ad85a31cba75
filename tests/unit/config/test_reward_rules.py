"""Contradictions about reward models, each with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rl_reason.config.check import check
from rl_reason.config.document import parse

SUM: dict[str, Any] = {"kind": "reasoning_gym", "task": "chain_sum", "size": 100, "seed": 1}
CLASSIC = {"kind": "classic", "stage": "reward_model"}
ENDPOINT = {"base_url": "https://host/v1", "model": "m"}
JUDGE = {"kind": "judge", "endpoint": ENDPOINT}
MADE = {"kind": "generated", "task": "chain_sum", "problems": 10}
TRAIN = {"kind": "reward_model", "steps": 5, "data": [MADE]}
MEASURE = {"kind": "eval_reward_models", "data": [{**MADE, "seed": 1}]}
RL = {"kind": "rl", "iterations": 10}


def found(models: list[dict[str, Any]], stages: list[dict[str, Any]], **rewards: Any) -> list[tuple[str, str]]:
    """(dotted path, message) of each problem of a recipe that is good but for these."""
    scratch = {"hidden_size": 128, "layers": 2, "heads": 4, "kv_heads": 2, "intermediate_size": 256}
    values = {
        "name": "good",
        "model": {"scratch": scratch},
        "data": {"train": [SUM], "heldout": [{**SUM, "seed": 2}]},
        "rewards": {"verifiers": [{"name": "boxed_math"}], "models": models, **rewards},
        "stages": stages,
    }
    recipe, problems = check(parse(json.dumps(values), origin="r", folder=Path("/")))
    assert (recipe is None) == bool(problems)
    return [(".".join(map(str, problem.location)), problem.message) for problem in problems]


def test_good_ones_have_no_problems(tmp_path: Path) -> None:
    assert found([CLASSIC, JUDGE], [TRAIN, MEASURE, RL]) == []
    assert found([JUDGE], [RL], verifiers=[]) == []  # models judge alone
    assert found([JUDGE], [RL], primary="judge") == []
    assert found([{**JUDGE, "weight": 0.5}], [RL], verifiers=[{"name": "format", "weight": 0}]) == []
    assert found([{"kind": "classic", "path": str(tmp_path)}], [RL]) == []


@pytest.mark.parametrize(
    ("models", "stages", "where", "words"),
    [
        ([], [MEASURE], "rewards.models", "name at least one"),
        ([{"kind": "classic"}], [RL], "rewards.models.0.path", "exactly one of path (a folder) and stage"),
        ([{**CLASSIC, "path": "/x"}], [TRAIN, RL], "rewards.models.0.path", "exactly one"),
        ([{"kind": "classic", "path": "/gone"}], [RL], "rewards.models.0.path", "no such folder"),
        ([CLASSIC], [RL], "rewards.models.0.stage", "no stage of kind reward_model has it (there are: none)"),
        ([CLASSIC], [{**TRAIN, "name": "rm"}, RL], "rewards.models.0.stage", "(there are: rm)"),
        ([CLASSIC], [RL, TRAIN], "rewards.models.0.stage", "stages.0 (rl) runs before stages.1"),
        ([CLASSIC], [TRAIN, TRAIN, RL], "rewards.models.0.stage", "several stages"),
        ([CLASSIC, {**JUDGE, "name": "classic"}], [TRAIN], "rewards.models.1.name", "named twice"),
        ([{**JUDGE, "name": "boxed_math"}], [RL], "rewards.models.0.name", "named twice"),
        ([{"kind": "judge"}], [RL], "rewards.models.0.path", "exactly one of path (a model of your own) and endpoint"),
        ([{**JUDGE, "path": "m"}], [RL], "rewards.models.0.path", "exactly one"),
        ([{"kind": "judge", "path": "./gone"}], [RL], "rewards.models.0.path", "no such folder"),
        (
            [{"kind": "judge", "endpoint": {**ENDPOINT, "base_url": "host/v1"}}],
            [RL],
            "rewards.models.0.endpoint.base_url",
            "begin with http:// or https://",
        ),
        ([{**JUDGE, "votes": 3}], [RL], "rewards.models.0.votes", "set temperature above 0"),
        (
            [{"kind": "judge", "path": "m", "max_context_tokens": 2048}],
            [RL],
            "rewards.models.0.max_new_tokens",
            "leaves no room",
        ),
        ([{**JUDGE, "template": "/gone.txt"}], [RL], "rewards.models.0.template", "no such file"),
        ([JUDGE], [{**TRAIN, "epochs": 1}], "stages.0.steps", "exactly one of epochs and steps"),
        ([JUDGE], [{**TRAIN, "template": "/gone.txt"}], "stages.0.template", "no such file"),
        (
            [JUDGE],
            [{**TRAIN, "data": [{"kind": "jsonl", "path": "/gone.jsonl"}]}],
            "stages.0.data.0.path",
            "no such file",
        ),
        ([{"kind": "judg", "endpoint": ENDPOINT}], [RL], "rewards.models.0.kind", "Did you mean judge?"),
    ],
)
def test_contradictions(models: list[dict[str, Any]], stages: list[dict[str, Any]], where: str, words: str) -> None:
    assert [(at, words in message) for at, message in found(models, stages)] == [(where, True)]


def test_a_primary_model_must_be_there() -> None:
    (problem,) = found([JUDGE], [RL], primary="jude")
    assert problem[0] == "rewards.primary" and "(they are judge)" in problem[1]


def test_generated_data_needs_verifiers_for_its_labels() -> None:
    (problem,) = found([JUDGE], [TRAIN], verifiers=[])
    assert problem[0] == "rewards.verifiers" and "labelled by verifiers" in problem[1]


def test_all_weights_nought_counts_the_models_too() -> None:
    (problem,) = found([{**JUDGE, "weight": 0}], [RL], verifiers=[{"name": "format", "weight": 0}])
    assert problem[0] == "rewards.verifiers.0.weight"
