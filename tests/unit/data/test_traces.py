import json
import random
import re

import pytest

from rl_reason.data.gym import read_reasoning_gym
from rl_reason.data.traces import chain_sum_traces, read_traces, running_total_trace
from rl_reason.errors import DataError
from rl_reason.types import Prompt

OPTIONS = {"min_terms": 3, "max_terms": 6, "min_digits": 1, "max_digits": 1}
STEP = re.compile(r"(-?\d+)([+-])(\d+)=(-?\d+)\.")


def test_a_clean_trace_by_hand():
    trace = running_total_trace("3 - 4 - 12 + 7", error_fraction=0, rng=random.Random(0))
    assert trace == "<think>3-4=-1. -1-12=-13. -13+7=-6.</think>\\boxed{-6}"
    negative = running_total_trace("-3 + 4", error_fraction=0, rng=random.Random(0))
    assert negative == "<think>-3+4=1.</think>\\boxed{1}"


def test_errors_are_off_by_one_or_two_and_the_rest_goes_on_from_them():
    trace = running_total_trace("5 + 5 + 5", error_fraction=1, rng=random.Random(0))
    (a, _, b, c), (d, _, e, f) = STEP.findall(trace)
    assert 0 < abs(int(a) + int(b) - int(c)) <= 2 and d == c
    assert 0 < abs(int(d) + int(e) - int(f)) <= 2 and trace.endswith(f"\\boxed{{{f}}}")


def test_the_error_fraction_is_that_of_the_steps():
    prompts = read_reasoning_gym("chain_sum", size=400, seed=1, options=OPTIONS).prompts
    traces = chain_sum_traces(prompts, error_fraction=0.2, seed=5)
    steps = [step for trace in traces for step in STEP.findall(trace.response)]
    wrong = sum(int(a) + (int(b) if sign == "+" else -int(b)) != int(c) for a, sign, b, c in steps)
    assert abs(wrong / len(steps) - 0.2) < 0.04, f"{len(steps)} steps: 4 standard deviations are 0.043"
    clean = chain_sum_traces(prompts, error_fraction=0, seed=5)
    assert all(trace.response.endswith(f"\\boxed{{{trace.prompt.answer}}}") for trace in clean)


def test_traces_depend_on_seed_prompt_and_pass_alone():
    prompts = read_reasoning_gym("chain_sum", size=30, seed=1, options=OPTIONS).prompts
    twice = chain_sum_traces(prompts, error_fraction=0.5, seed=5, per_prompt=2)
    assert [trace.prompt for trace in twice] == [*prompts, *prompts]
    assert twice[7:8] == chain_sum_traces(prompts[7:8], error_fraction=0.5, seed=5)
    assert [trace.response for trace in twice[:30]] != [trace.response for trace in twice[30:]]
    assert twice != chain_sum_traces(prompts, error_fraction=0.5, seed=6, per_prompt=2)


def test_other_prompts_and_bad_fractions_are_refused():
    with pytest.raises(DataError, match=r"f:3: generated traces exist for reasoning-gym's chain_sum only"):
        chain_sum_traces([Prompt("a", "q", "1", source="f:3")], error_fraction=0.1, seed=0)
    with pytest.raises(DataError, match="give 0 … 1"):
        chain_sum_traces([], error_fraction=1.5, seed=0)
    with pytest.raises(DataError, match="cannot write a trace for '3 \\* 4'"):
        running_total_trace("3 * 4", error_fraction=0, rng=random.Random(0))


def test_own_traces_come_from_jsonl_and_may_repeat_a_prompt(tmp_path):
    path = tmp_path / "t.jsonl"
    lines = [{"prompt": "q", "response": "<think>a</think>b"}, {"prompt": "q", "response": "c"}, {"prompt": "q"}, 3]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    traces, problems = read_traces(path)
    assert [(trace.prompt.text, trace.response) for trace in traces] == [("q", "<think>a</think>b"), ("q", "c")]
    assert [(problem.source, problem.kind) for problem in problems] == [
        (f"{path}:3", "missing response"),
        (f"{path}:4", "broken line"),
    ]
