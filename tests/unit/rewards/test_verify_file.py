"""Broken lines are named; options are read as JSON where they are JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl_reason.cli.verify import parse_options, verifier_specs
from rl_reason.errors import ConfigError, DataError
from rl_reason.rewards.pool import VerifierSpec
from rl_reason.rewards.verify_file import count_lines


def test_all_broken_lines_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(
        b'{"answer": "1", "response": "1"}\n\n{"answer": "1"}\n[1]\n{"answer": 1, "response": ""}\n{oops\n\xff\n'
        b'{"response": null}\n{"response": "", "prompt": []}\n' + b"[" * 200_000 + b"\n"
    )
    with pytest.raises(DataError) as error:
        count_lines(path)
    text = str(error.value)
    assert [f"{path}:{line}: " in text for line in range(1, 11)] == [False, False] + [True] * 8
    assert "there is no 'response'" in text and "'answer' must be a string, not 1" in text


def test_lines_are_counted_without_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"answer": "1", "response": "1"}\n\n{"response": "1"}\n{"answer": null, "response": "1"}')
    assert count_lines(path) == 3  # not every verifier needs an answer
    with pytest.raises(DataError, match="cannot read"):
        count_lines(tmp_path / "absent.jsonl")


def test_options() -> None:
    pairs = ["ignore_case=true", 'fallbacks=["hashes"]', "pattern=a=b", "n=3"]
    assert parse_options(pairs) == {"ignore_case": True, "fallbacks": ["hashes"], "pattern": "a=b", "n": 3}
    with pytest.raises(ConfigError, match="key=value"):
        parse_options(["loose"])


def test_verifiers_and_whose_option_is_whose() -> None:
    assert verifier_specs(["exact"], ["pattern=a.b=c"]) == [VerifierSpec("exact", "exact", {"pattern": "a.b=c"})]
    given = ["exact", "./a=1/check.py:Check", "loose=exact"]
    assert verifier_specs(given, ["loose.ignore_case=true", "exact.pattern=x.y", "loose.n=2"]) == [
        VerifierSpec("exact", "exact", {"pattern": "x.y"}),
        VerifierSpec("Check", "./a=1/check.py:Check", {}),
        VerifierSpec("loose", "exact", {"ignore_case": True, "n": 2}),
    ]


@pytest.mark.parametrize(
    ("verifiers", "options", "says"),
    [
        (["exact", "exact"], [], "two verifiers are called 'exact': name one, as in --verifier other=exact"),
        (["exact", "format"], ["n=1"], "whose\\? Write NAME.n=1, NAME being one of exact, format"),
        (["exact", "format"], ["formatt.n=1"], "no verifier is called 'formatt'; there are exact, format"),
        (["exact"], ["exact.n"], "not of the form key=value"),
    ],
)
def test_unclear_verifiers_and_options_are_refused(verifiers: list[str], options: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        verifier_specs(verifiers, options)
