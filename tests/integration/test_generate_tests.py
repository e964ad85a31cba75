"""Test cases from reference solutions, with the real sandbox; and with a model that writes the generators."""

import json
from pathlib import Path

import pytest

from rl_reason.build.programs import program_runner
from rl_reason.config.load import load_recipe
from rl_reason.config.schema.curation import GenerateTests
from rl_reason.data.test_generation import Job, Program
from rl_reason.pipeline import run
from rl_reason.rewards.pool import VerifierPool, VerifierSpec
from rl_reason.types import Prompt, Verdict

RECIPE = Path(__file__).resolve().parents[2] / "recipes/generate_tests.yaml"
ADD = "print(sum(map(int, input().split())))"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def out(tmp_path):
    run(load_recipe(RECIPE, []), tmp_path / "run")
    return tmp_path / "run"


def test_the_recipe_keeps_what_its_header_says_and_the_tests_tell_right_from_wrong(out):
    stage = out / "stages/01-generate_tests"
    assert json.loads((stage / "result.json").read_text())["funnel"] == {
        "problems": 6,
        "without special judge": 5,
        "with enough solutions": 4,
        "with a generator": 4,
        "with enough valid cases": 2,
        "kept": 2,
    }
    sums, _brackets = lines(stage / "tests.jsonl")
    assert (len(sums["tests"]), sums["tests"][0]) == (20, {"input": "1\n-5\n", "output": "-5"})
    assert "solutions" not in sums and "Test cases in 01-generate_tests" in (out / "report.html").read_text()
    good = "n = int(input())\na = list(map(int, input().split()))\n"
    good += "print(max(sum(a[i:j]) for i in range(n) for j in range(i + 1, n + 1)))"
    with VerifierPool([VerifierSpec("code_tests", "code_tests")], workers=1, deadline_s=30.0) as pool:
        prompt = Prompt("p", sums["prompt"], sums["answer"], metadata={"tests": sums["tests"]})
        for key, code in (("right", good), ("wrong", good.replace("max(", "min("))):
            pool.submit(key, prompt, f"```python\n{code}\n```")
        verdicts: dict[object, Verdict] = {}
        while pool.outstanding:
            verdicts |= {key: outcome.scores[0].verdict for key, outcome in pool.take(timeout_s=60)}
    assert verdicts == {"right": Verdict.RIGHT, "wrong": Verdict.WRONG}


def test_a_stage_that_was_broken_off_goes_on_after_the_last_whole_line(out):
    stage = out / "stages/01-generate_tests"
    whole = (stage / "outcomes.jsonl").read_text()
    kept = (stage / "tests.jsonl").read_bytes()
    first, second, third = whole.splitlines()[:3]
    (stage / "outcomes.jsonl").write_text(f"{first}\n{second}\n{third[:40]}")
    (stage / "result.json").unlink()
    run(load_recipe(RECIPE, []), out)
    assert (stage / "outcomes.jsonl").read_text() == whole and (stage / "tests.jsonl").read_bytes() == kept
    assert [row["iteration"] for row in lines(out / "metrics.jsonl")] == [0, 1, 2, 3, 4, 5]


def test_programs_that_fail_print_nothing_that_counts():
    stage = GenerateTests(kind="generate_tests", problems="p", time_s=0.5)
    programs = {
        "add": Program(ADD),
        "crashes": Program("1 / 0"),
        "spins": Program("while True: pass"),
        "does not compile": Program("int main( {", "cpp"),
        "bytes that are no text": Program("import sys; sys.stdout.buffer.write(b'\\xff')"),
        "nobody's language": Program("x", "klingon"),
        "c++": Program("#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }", "c++"),
    }
    with program_runner(stage) as runner:
        printed = runner([Job(program, "2 3\n") for program in programs.values()])
        again = runner([Job(programs["add"], f"{n} 1\n") for n in range(5)])
    assert dict(zip(programs, printed, strict=True)) == {**dict.fromkeys(programs), "add": "5\n", "c++": "5"}
    assert again == ["1\n", "2\n", "3\n", "4\n", "5\n"]


def test_a_model_is_asked_for_the_generators_that_are_missing(tmp_path):
    problem = {"id": "add", "prompt": "Add two numbers.", "solutions": [ADD] * 4}
    (tmp_path / "problems.jsonl").write_text(json.dumps(problem))
    scratch = "{hidden_size: 64, layers: 1, heads: 2, kv_heads: 1, intermediate_size: 96}"
    settings = [
        f"stages.0.problems={tmp_path / 'problems.jsonl'}",
        "stages.0.attempts=2",
        "stages.0.sampling.max_new_tokens=16",
        f"model.scratch={scratch}",
        "engine={max_context_tokens: 2048, dtype: float32, kv_cache_gib: 0.1, max_concurrent: 4}",
    ]
    run(load_recipe(RECIPE, settings), tmp_path / "run")
    stage = tmp_path / "run/stages/01-generate_tests"
    # Random weights write no program; that is what has to be seen of them.
    assert lines(stage / "generators.jsonl") == [{"id": "add", "generators": []}]
    assert [row["exit"] for row in lines(stage / "outcomes.jsonl")] == ["no generator"]
