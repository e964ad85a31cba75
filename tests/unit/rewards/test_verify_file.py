"""Broken lines are named; options are read as JSON where they are JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl_reason.cli.verify import parse_options
from rl_reason.errors import ConfigError, DataError
from rl_reason.rewards.verify_file import count_lines


def test_all_broken_lines_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(
        b'{"answer": "1", "response": "1"}\n\n{"answer": "1"}\n[1]\n{"answer": 1, "response": ""}\n{oops\n\xff\n'
    )
    with pytest.raises(DataError) as error:
        count_lines(path)
    text = str(error.value)
    assert [f"{path}:{line}: " in text for line in range(1, 8)] == [False, False, True, True, True, True, True]
    assert "there is no 'response'" in text and "'answer' must be a string, not 1" in text


def test_lines_are_counted_without_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"answer": "1", "response": "1"}\n\n{"answer": "2", "response": "1"}')
    assert count_lines(path) == 2
    with pytest.raises(DataError, match="cannot read"):
        count_lines(tmp_path / "absent.jsonl")


def test_options() -> None:
    pairs = ["ignore_case=true", 'fallbacks=["hashes"]', "pattern=a=b", "n=3"]
    assert parse_options(pairs) == {"ignore_case": True, "fallbacks": ["hashes"], "pattern": "a=b", "n": 3}
    with pytest.raises(ConfigError, match="key=value"):
        parse_options(["loose"])
