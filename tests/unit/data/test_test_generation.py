"""Problems through the funnel, with programs that are Python functions here; the sandbox has tests of its own."""

import json

import pytest

from rl_reason.data.test_cases import Exit, Rules
from rl_reason.data.test_generation import (
    CodeProblem,
    Made,
    Program,
    generator_in,
    generator_request,
    make_cases,
    read_code_problems,
)
from rl_reason.errors import DataError

RULES = Rules(cases=10, solutions=4, agree=3, least_cases=6, pass_all=3)
PROGRAMS = {
    "count": lambda text: f"{int(text)} {int(text) + 1}\n",
    "always the same": lambda text: "1 1\n",
    "crash": lambda text: None,
    "add": lambda text: str(sum(map(int, text.split()))) + "\n",
    "add, spaced": lambda text: str(sum(map(int, text.split()))) + "  \n\n",
    "subtract": lambda text: "-1\n",
    "add, fails on seven": lambda text: None if text.startswith("7") else str(sum(map(int, text.split()))),
    "add, fails on three": lambda text: None if text.startswith("3") else str(sum(map(int, text.split()))),
}


def run(jobs):
    return [PROGRAMS[job.program.code](job.stdin) for job in jobs]


def problem(*solutions, **given):
    return CodeProblem("p", "Add two numbers.", tuple(Program(code) for code in solutions), **given)


def made(of, *generators):
    return make_cases(of, [Program(code) for code in generators], run, RULES, seed=1)


def test_a_good_problem_is_kept_with_the_agreed_outputs():
    result = made(problem("add", "add, spaced", "add", "subtract"), "count")
    assert (result.exit, result.inputs, result.passing, result.solutions) == (Exit.KEPT, 10, 3, 4)
    assert [(case.input, case.output) for case in result.cases[:2]] == [("1 2\n", "3"), ("2 3\n", "5")]
    assert len(result.cases) == 10 and result.generator == Program("count")


@pytest.mark.parametrize(
    ("of", "generators", "exit_"),
    [
        (problem("add", "add", "add", "add", special_judge=True), ["count"], Exit.SPECIAL_JUDGE),
        (problem("add", "add", "add"), ["count"], Exit.FEW_SOLUTIONS),
        (problem("add", "add", "add", "add"), [], Exit.NO_GENERATOR),
        (problem("add", "add", "add", "add"), ["crash"], Exit.FEW_CASES),
        (problem("add", "add", "add", "add"), ["always the same"], Exit.FEW_CASES),
        (problem("add", "add", "subtract", "subtract"), ["count"], Exit.FEW_CASES),
        (problem("add", "add", "add, fails on seven", "add, fails on three"), ["count"], Exit.DISAGREEMENT),
    ],
)
def test_each_exit(of, generators, exit_):
    assert made(of, *generators).exit is exit_


def test_an_outcome_survives_json():
    for result in (made(problem("add", "add", "add", "add"), "count"), made(problem("add"))):
        assert Made.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_generators_are_tried_until_one_is_good_enough():
    result = made(problem("add", "add", "add", "add"), "crash", "always the same", "count", "crash")
    assert (result.exit, result.generator) == (Exit.KEPT, Program("count"))


def test_solutions_are_sampled_by_the_seed_alone():
    many = problem(*(["add"] * 6 + ["subtract"] * 6))
    results = {seed: make_cases(many, [Program("count")], run, RULES, seed=seed).passing for seed in range(20)}
    assert results == {s: make_cases(many, [Program("count")], run, RULES, seed=s).passing for s in range(20)}
    assert len(set(results.values())) > 1


def test_the_last_block_of_a_response_is_the_generator():
    response = "First\n```python\nprint(1)\n```\nbetter:\n```Python title=x\nprint(2)\n```\nDone."
    assert generator_in(response) == Program("print(2)", "python")
    assert generator_in("```\nprint(3)\n") == Program("print(3)\n", "python")
    assert generator_in("no program") is None and generator_in("```python\n\n```") is None


def test_the_request_holds_the_problem_as_it_is():
    text = generator_request(problem("add"), RULES)
    assert "Add two numbers." in text and "from 1 to 10" in text and "{" not in text
    assert generator_request(CodeProblem("p", "{cases}", ()), RULES, "<{problem}>") == "<{cases}>"


def test_problems_are_read_and_wrong_lines_named(tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [
        {"id": "a", "prompt": "Add.", "solutions": ["print(1)", {"code": "int main(){}", "language": "cpp"}]},
        {"prompt": "Sub.", "solutions": [], "generator": "print(2)", "special_judge": True},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    first, second = read_code_problems(path)
    assert first.solutions == (Program("print(1)"), Program("int main(){}", "cpp")) and first.row == rows[0]
    assert (second.id, second.generators, second.special_judge) == ("line-2", (Program("print(2)"),), True)
    wrong = [
        "{",
        "[]",
        '{"prompt": ""}',
        '{"prompt": "p", "solutions": "s"}',
        '{"prompt": "p", "solutions": [3]}',
        '{"prompt": "p", "solutions": [], "special_judge": 1}',
        json.dumps(rows[0]),
        json.dumps(rows[0]),
    ]
    path.write_text("\n".join(wrong))
    with pytest.raises(DataError) as error:
        read_code_problems(path)
    told = str(error.value).splitlines()
    assert [line.split(":")[1] for line in told] == ["1", "2", "3", "4", "5", "6", "8"]
    assert "that of line 7" in told[-1]
    (tmp_path / "empty").write_text("")
    with pytest.raises(DataError, match="no problems"):
        read_code_problems(tmp_path / "empty")
