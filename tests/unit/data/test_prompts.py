import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rl_reason.data.hub import read_dataset
from rl_reason.data.jsonl import read_jsonl
from rl_reason.data.parquet import read_parquet
from rl_reason.data.prompts import LoadedPrompts, Problem, over_long, refuse_or_skip
from rl_reason.errors import DataError
from rl_reason.types import Prompt


def write(path, *lines):
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def test_good_lines_become_prompts_with_their_other_fields_as_metadata(tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        {"prompt": "1+1?", "answer": 2, "id": "a", "tests": ["x"]},
        "\n",
        {"prompt": "2+2?", "answer": "4", "id": 7},
    )
    loaded = read_jsonl(path)
    assert loaded.problems == []
    assert loaded.prompts == [
        Prompt("a", "1+1?", "2", metadata={"tests": ["x"]}, source=f"{path}:1"),
        Prompt("7", "2+2?", "4", source=f"{path}:3"),
    ]


def test_every_kind_of_problem_is_named_by_line_and_field(tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        {"prompt": "q1", "answer": "1", "id": "a"},
        {"prompt": "q2", "answer": "1", "id": "a"},
        {"prompt": "q3"},
        '{"prompt": "q4", \n',
        "[1, 2]\n",
        {"prompt": ["q6"], "answer": "1"},
        {"prompt": "q7", "answer": {"x": 1}},
        {"answer": "1"},
        {"prompt": "q9", "answer": True},
        {"prompt": "q10", "answer": "1", "id": 1.5},
        {"prompt": "q11", "answer": ""},
    )
    loaded = read_jsonl(path)
    assert [prompt.text for prompt in loaded.prompts] == ["q1"]
    assert [(problem.source, problem.field, problem.kind) for problem in loaded.problems] == [
        (f"{path}:2", "id", "duplicate id"),
        (f"{path}:3", "answer", "missing answer"),
        (f"{path}:4", "line", "broken line"),
        (f"{path}:5", "line", "broken line"),
        (f"{path}:6", "prompt", "wrong type"),
        (f"{path}:7", "answer", "wrong type"),
        (f"{path}:8", "prompt", "missing prompt"),
        (f"{path}:9", "answer", "wrong type"),
        (f"{path}:10", "id", "wrong type"),
        (f"{path}:11", "answer", "missing answer"),
    ]
    assert str(loaded.problems[0]) == f"{path}:2: id: 'a' was already used at {path}:1"
    assert "must be an object" in loaded.problems[3].rule


def test_bytes_that_are_not_utf8_are_one_broken_line(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"prompt": "\xff\xfe", "answer": "1"}\n{"prompt": "q", "answer": "1"}\n')
    loaded = read_jsonl(path)
    assert [problem.kind for problem in loaded.problems] == ["broken line"]
    assert [prompt.text for prompt in loaded.prompts] == ["q"]


def test_missing_ids_come_from_the_content_and_repeat_with_it(tmp_path):
    path = write(tmp_path / "a.jsonl", {"prompt": "q", "answer": "1"}, {"prompt": "q", "answer": "2"})
    other = write(tmp_path / "b.jsonl", {"other": 0, "answer": 1, "prompt": "q"}, {"prompt": "q", "answer": "1"})
    first, second = read_jsonl(path).prompts
    assert first.id == "4a80498e843e674b" and second.id != first.id
    loaded = read_jsonl(other)
    assert [prompt.id for prompt in loaded.prompts] == [first.id]
    assert [problem.kind for problem in loaded.problems] == ["duplicate id"]


def test_fields_can_be_renamed_and_nested(tmp_path):
    path = write(
        tmp_path / "p.jsonl", {"question": "q", "reward": {"truth": 3, "style": "rule"}, "key": "k", "id": "no"}
    )
    (prompt,) = read_jsonl(path, prompt_field="question", answer_field="reward.truth", id_field="key").prompts
    assert (prompt.id, prompt.text, prompt.answer, prompt.metadata) == ("k", "q", "3", {"id": "no"})


def test_limit_counts_good_prompts(tmp_path):
    path = write(tmp_path / "p.jsonl", "broken\n", *({"prompt": f"q{i}", "answer": "1"} for i in range(5)))
    loaded = read_jsonl(path, limit=2)
    assert [prompt.text for prompt in loaded.prompts] == ["q0", "q1"]
    assert len(loaded.problems) == 1


def test_parquet_rows_follow_the_same_rules(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"prompt": ["q1", "q2", None], "answer": ["1", None, "3"], "level": [1, 2, 3]})
    path = tmp_path / "p.parquet"
    pyarrow.parquet.write_table(table, path)
    loaded = read_parquet(path)
    assert [(prompt.text, prompt.answer, prompt.metadata) for prompt in loaded.prompts] == [("q1", "1", {"level": 1})]
    assert [(problem.source, problem.kind) for problem in loaded.problems] == [
        (f"{path}:2", "missing answer"),
        (f"{path}:3", "missing prompt"),
    ]
    (tmp_path / "not.parquet").write_text("hello")
    with pytest.raises(DataError, match=r"not\.parquet: not a parquet file"):
        read_parquet(tmp_path / "not.parquet")


def test_datasets_from_a_saved_folder(tmp_path):
    import datasets

    rows = datasets.Dataset.from_dict({"prompt": ["q1", "q2"], "answer": ["1", ""]})
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"test": rows}).save_to_disk(tmp_path / "many")
    loaded = read_dataset(str(tmp_path / "one"))
    assert [prompt.text for prompt in loaded.prompts] == ["q1"]
    assert loaded.problems[0].source == f"{tmp_path / 'one'}[train]#1"
    assert len(read_dataset(str(tmp_path / "many"), split="test").prompts) == 1
    with pytest.raises(DataError, match=r"has no split 'train'; it has test"):
        read_dataset(str(tmp_path / "many"))
    with pytest.raises(DataError, match=r"has no split 'test'; it has train"):
        read_dataset(str(tmp_path / "one"), split="test")
    assert read_dataset(str(tmp_path / "one"), split="train[1:]").prompts == []
    assert len(read_dataset(str(tmp_path / "many"), split="test[:50%]").prompts) == 1
    with pytest.raises(DataError, match="cannot load data set"):
        read_dataset(str(tmp_path / "absent"))


@pytest.mark.parametrize("reader", [read_jsonl, read_parquet])
def test_a_missing_file_is_named(reader, tmp_path):
    with pytest.raises(DataError, match=r"gone: no such file"):
        reader(tmp_path / "gone")


def test_refuse_lists_twenty_and_counts_all():
    problems = [Problem(f"f:{i}", "answer", "is missing", "missing answer") for i in range(23)]
    problems.append(Problem("f:99", "id", "is used twice", "duplicate id"))
    with pytest.raises(DataError) as caught:
        refuse_or_skip(LoadedPrompts([Prompt("a", "q", "1")], problems), "refuse", name="f")
    lines = str(caught.value).splitlines()
    assert lines[0] == "f: 24 problems: 23 missing answer, 1 duplicate id"
    assert lines[1] == "  f:0: answer: is missing" and lines[20] == "  f:19: answer: is missing"
    assert lines[21] == "  … and 4 more"
    assert "data.on_bad_line: skip" in lines[22]


def test_skip_keeps_the_good_ones_and_logs_counts_and_places(caplog):
    loaded = LoadedPrompts([Prompt("a", "q", "1")], [Problem("f:1", "line", "is broken", "broken line")])
    with caplog.at_level("WARNING"):
        assert refuse_or_skip(loaded, "skip", name="f") == loaded.prompts
    assert "f: 1 kept, left out: 1 problem: 1 broken line\n  f:1: line: is broken" in caplog.text
    with pytest.raises(DataError, match="f: no usable record is left; 1 problem"):
        refuse_or_skip(LoadedPrompts([], loaded.problems), "skip", name="f")
    with pytest.raises(DataError, match="'refuse' or 'skip'"):
        refuse_or_skip(loaded, "ignore", name="f")


def test_an_empty_file_is_named(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.touch()
    with pytest.raises(DataError, match=r"empty\.jsonl: no usable record is left"):
        refuse_or_skip(read_jsonl(path), "refuse", name=str(path))


HOSTILE_LINES = [
    (b'{"prompt": "q", "answer": 1' + b"0" * 5000 + b"}", "line: cannot be read (Exceeds the limit"),
    (b'{"prompt": "q", "answer": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "line: cannot be read (maximum recursion"),
    (b'{"prompt": "q", "answer": NaN}', "answer: is empty (NaN)"),
    (b'{"prompt": "q", "answer": 1e999}', "answer: is empty (Infinity)"),
    (b'{"prompt": "q", "answer": " \\n"}', 'answer: is empty (" \\n")'),
    (b'{"prompt": "q", "answer": null}', "answer: is empty (null)"),
    (b'{"prompt": "q"}', "answer: is missing; the record has ['prompt']"),
    (b'{"prompt": "\\t", "answer": "1"}', 'prompt: is empty ("\\t")'),
    (b'{"prompt": "\\ud800", "answer": "1"}', "prompt: has half a character"),
    (b'{"prompt": "q", "answer": "\\udc00"}', "answer: has half a character"),
    (b'{"prompt": "q", "answer": "1", "id": "\\udc00"}', "id: has half a character"),
    (b"\0" * 64, "line: is not JSON (Expecting value, character 1 of the line)"),
    ('{"prompt": "q", "answer": "1"}'.encode("utf-16"), "line: is not UTF-8 (byte 0 of the line)"),
]


@pytest.mark.parametrize(("line", "says"), HOSTILE_LINES, ids=range(len(HOSTILE_LINES)))
def test_a_hostile_line_is_one_problem_and_the_next_is_read(tmp_path, line, says):
    path = tmp_path / "f"
    path.write_bytes(b'{"prompt": "a", "answer": "1"}\n' + line + b'\n{"prompt": "b", "answer": "2"}\n')
    loaded = read_jsonl(path)
    assert [prompt.text for prompt in loaded.prompts] == ["a", "b"]
    assert [str(problem).startswith(f"{path}:2: {says}") for problem in loaded.problems] == [True], loaded.problems


def test_a_byte_order_mark_and_line_ends_of_windows_do_not_matter(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a", "answer": "1"}\r\n\r\n{"prompt": "b", "answer": "2"}')
    assert [prompt.text for prompt in read_jsonl(path).prompts] == ["a", "b"] and read_jsonl(path).problems == []


def test_a_parquet_file_damaged_inside_is_named(tmp_path):
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"prompt": ["q"] * 9, "answer": ["1"] * 9}), path)
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"f\.parquet: damaged after row 0"):
        read_parquet(path)


def test_an_empty_cell_of_a_table_is_a_missing_answer(tmp_path):
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"prompt": ["q", "r"], "answer": [1.5, float("nan")]}), path)
    loaded = read_parquet(path)
    assert [prompt.answer for prompt in loaded.prompts] == ["1.5"]
    assert [problem.kind for problem in loaded.problems] == ["missing answer"]


def test_over_long_prompts_are_split_off_by_token_count():
    short, exact, long = (Prompt(str(n), "q", "1", tokens=(0,) * n, source=f"f:{n}") for n in (2, 3, 4))
    loaded = over_long([short, exact, long], limit_tokens=3)
    assert loaded.prompts == [short, exact]
    assert [str(problem) for problem in loaded.problems] == [
        "f:4: prompt: has 4 tokens after rendering, the limit is 3"
    ]
