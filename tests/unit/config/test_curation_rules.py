"""Contradictions in stages that make test cases."""

import json
from pathlib import Path

import pytest

from rl_reason.config.check import check
from rl_reason.config.document import parse


def problems_of(folder, *, model=None, engine=None, **stage):
    (folder / "problems.jsonl").write_text("{}")
    values = {
        "name": "tests",
        "stages": [{"kind": "generate_tests", "problems": str(folder / "problems.jsonl"), **stage}],
    }
    values |= {} if model is None else {"model": model}
    values |= {} if engine is None else {"engine": engine}
    _, problems = check(parse(json.dumps(values), origin="r", folder=Path("/")))
    return {".".join(map(str, problem.location)): problem.message for problem in problems}


def test_without_attempts_no_model_is_needed(tmp_path):
    assert problems_of(tmp_path, attempts=0) == {}
    assert "model" in problems_of(tmp_path)


@pytest.mark.parametrize(
    ("given", "path", "says"),
    [
        ({"agree": 11}, "stages.0.agree", "solutions is 10"),
        ({"solutions": 8, "agree": 5}, "stages.0.pass_all", "solutions is 8"),
        ({"cases": 30}, "stages.0.least_cases", "cases is 30"),
        ({"problems": "/nowhere.jsonl"}, "stages.0.problems", "no such file"),
    ],
)
def test_numbers_that_nothing_can_reach(tmp_path, given, path, says):
    assert says in problems_of(tmp_path, attempts=0, **given)[path]


@pytest.mark.parametrize(
    ("given", "path", "says"),
    [
        ({"sampling": {"max_new_tokens": 4096}}, "stages.0.sampling.max_new_tokens", "no room for the problem"),
        ({"sampling": {"top_p": 0.9}}, "stages.0.sampling.top_p", "leave it at 1"),
        ({"template": "/nowhere.txt"}, "stages.0.template", "no such file"),
        ({"template": "EMPTY"}, "stages.0.template", "no {problem} in it"),
    ],
)
def test_what_the_model_is_asked(tmp_path, given, path, says):
    (tmp_path / "empty.txt").write_text("Write a generator.")
    given = {key: str(tmp_path / "empty.txt") if value == "EMPTY" else value for key, value in given.items()}
    model = {"scratch": {"hidden_size": 64, "layers": 1, "heads": 2, "kv_heads": 1, "intermediate_size": 96}}
    assert says in problems_of(tmp_path, model=model, **given)[path]
