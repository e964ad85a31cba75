"""Labelled responses and pairs: broken lines by name, pairs by problem, held-out problems whole."""

import json

import pytest

from rl_reason.data.judgements import Labelled, held_out, pairs_of, read_labelled, read_pairs
from rl_reason.errors import DataError
from rl_reason.types import Prompt


def write(tmp_path, *lines):
    path = tmp_path / "judged.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


GOOD = {"prompt": "1+1", "answer": 2, "response": "2", "label": True}


def test_labels_are_true_or_false_or_one_or_nought(tmp_path):
    lines = [{**GOOD, "label": label} for label in (True, False, 1, 0)]
    good, problems = read_labelled(write(tmp_path, *lines, {**GOOD, "response": ""}))
    assert problems == [] and [each.right for each in good] == [True, False, True, False, True]
    assert good[0].prompt.answer == "2" and good[0].prompt.source.endswith("judged.jsonl:1")


def test_the_answer_may_be_missing(tmp_path):
    path = write(
        tmp_path, {"prompt": "1+1", "response": "2", "label": 1}, {"prompt": "p", "chosen": "a", "rejected": "b"}
    )
    assert read_labelled(path)[0][0].prompt.answer == ""
    assert read_pairs(path)[0][0].prompt.answer == ""


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line: is not JSON"),
        ("[1]", "line: is a JSON list"),
        ({**GOOD, "prompt": ""}, "prompt: is empty"),
        ({**GOOD, "prompt": 3}, "prompt: is a int"),
        ({**GOOD, "answer": [2]}, "answer: is a list"),
        ({**GOOD, "response": None}, "response: is missing"),
        ({**GOOD, "label": "yes"}, "label: is 'yes'"),
        ({**GOOD, "label": 0.5}, "label: is 0.5"),
        ({**GOOD, "label": None}, "label: is missing"),
    ],
)
def test_a_broken_labelled_line_is_named(tmp_path, line, problem):
    good, problems = read_labelled(write(tmp_path, GOOD, line))
    assert len(good) == 1 and f"judged.jsonl:2: {problem}" in str(problems[0])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"prompt": "p", "chosen": "a"}, "rejected: is missing"),
        ({"prompt": "p", "chosen": "a", "rejected": "a"}, "rejected: is the same as chosen"),
        ({"prompt": "p", "chosen": {}, "rejected": "a"}, "chosen: is a dict"),
        (GOOD, "chosen: is missing"),
    ],
)
def test_a_broken_pair_is_named(tmp_path, line, problem):
    good, problems = read_pairs(write(tmp_path, line))
    assert good == [] and f"judged.jsonl:1: {problem}" in str(problems[0])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jsonl: no such file"):
        read_labelled(tmp_path / "gone.jsonl")


def labelled(name, text, right):
    return Labelled(Prompt(name, f"problem {name}", "1"), text, right)


def test_pairs_are_made_within_a_problem():
    found = pairs_of(
        [
            labelled("a", "w1", False),
            labelled("b", "r", True),
            labelled("a", "r1", True),
            labelled("a", "r2", True),
            labelled("a", "w2", False),
            labelled("a", "r3", True),
        ]
    )
    assert [(pair.prompt.id, pair.chosen, pair.rejected) for pair in found] == [("a", "r1", "w1"), ("a", "r2", "w2")]


def test_whole_problems_are_held_out_by_seed_alone():
    items = [labelled(str(n // 4), str(n), True) for n in range(2000)]
    kept, out = held_out(items, fraction=0.2, seed=3)
    assert len(kept) + len(out) == 2000 and 300 < len(out) < 500
    assert not {each.prompt.text for each in kept} & {each.prompt.text for each in out}
    assert held_out(items[::-1], fraction=0.2, seed=3)[1] == out[::-1]
    assert held_out(items, fraction=0.2, seed=4)[1] != out
    assert held_out(items, fraction=0.0, seed=3) == (items, [])
