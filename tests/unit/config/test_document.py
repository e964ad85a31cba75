from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from rl_reason.config.document import Document, merged, parse, parse_value, read_document, show, to_yaml
from rl_reason.errors import ConfigError


def parsed(text: str, origin: str = "r.yaml") -> Document:
    return parse(text, origin=origin, folder=Path("/here"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("-.inf", -math.inf),
        ("65_536", 65536),
        ("010", 10),
        ("'1e-4'", "1e-4"),
        ("no", "no"),
        ("off", "off"),
        ("2024-01-02", "2024-01-02"),
        ("1:30", "1:30"),
        ("true", True),
        ("~", None),
        ("", None),
        ("[0.9, 0.99]", [0.9, 0.99]),
        ("{a: 1}", {"a": 1}),
        ("e4", "e4"),
        ("1e", "1e"),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    read, _ = parse_value(text, origin="--set")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "value", ["1e-4", "no", "12", "true", "null", "", "2024-01-02", "é: x", "a\nb", 1e-5, 1e-4, [1, {"a": None}]]
)
def test_what_is_written_reads_back_equal(value: Any) -> None:
    assert parsed(to_yaml({"key": value})).values == {"key": value}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: " + "9" * 5000, r"r\.yaml:1: a number of 5000 digits"),
        ("b: 1\na: !!int abc", r'r\.yaml:2: "abc" is not of the kind that its tag says'),
        ("a: !!float x", "not of the kind"),
        ("a: !!bool maybe", "not of the kind"),
        ("a: !!binary aGk=", "the tag .*binary is not known"),
        ("a: !!set {b: 1}", "the tag .*set is not known"),
        ("a: !!python/object/apply:os.system [id]", "is not known here"),
        ('a: 1\nb: "\\ud800"', r"r\.yaml:2: .*half a character"),
        ("a: 1\nb: \x07", r"r\.yaml:2: not YAML: the character U\+0007"),
        ("a: " + "[" * 3000 + "]" * 3000, "hundreds deep"),
        ("a: " + "[" * 40 + "]" * 40, "more than 30 blocks inside each other"),
        ("a: &a [1]\nb: &b [*b]", "inside its own anchor"),
        ("[1]", "a recipe is a mapping"),
    ],
)
def test_what_no_recipe_needs_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parsed(text)


def test_aliases_that_stand_for_millions_of_values_are_refused_at_once() -> None:
    ten = "\n".join(f"{x}: &{x} [{', '.join([f'*{y}'] * 10)}]" for y, x in zip("abcdefgh", "bcdefghi", strict=True))
    with pytest.raises(ConfigError, match="more than 100,000 values"):
        parsed("a: &a [1]\n" + ten)
    assert parsed("a: &a [1, 2]\nb: *a").values == {"a": [1, 2], "b": [1, 2]}


def test_an_int_has_digits_between_its_underscores() -> None:
    assert parsed("a: 1__0\nb: 1_\nc: 1_0").values == {"a": "1__0", "b": "1_", "c": 10}


def test_every_key_and_item_has_its_line() -> None:
    document = parsed("a: 1\nb:\n  - x\n  - c: 2\n    d: 3\n")
    lines = {location: mark.line for location, mark in document.marks.items()}
    assert lines == {(): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4, ("b", 1, "d"): 5}


def test_the_place_of_an_absent_value_is_the_block_around_it() -> None:
    document = parsed("a: 1\nb:\n  c: 2\n")
    assert str(document.mark_of(("b", "gone", "deeper"))) == "r.yaml:2"


def test_duplicate_keys_are_noted_with_both_lines() -> None:
    document = parsed("a: 1\nb: 2\na: 3\n")
    assert [(str(problem.mark), problem.location) for problem in document.problems] == [("r.yaml:3", ("a",))]
    assert "first on line 1" in document.problems[0].message
    assert document.values == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1, 2", "r.yaml:1: not YAML"),
        ("a: 1\n b: 2", "r.yaml:2: not YAML"),
        ("a:\n\tb: 1", "Indent with spaces, not tabs"),
        ("- 1", "a recipe is a mapping"),
        ("a: !!python/object:os.system x", "tag"),
        ("? [a]\n: 1", "a key must be a word"),
        ("a: &x [*x]", "inside its own anchor"),
        ("a: 1\n---\nb: 2", "not YAML"),
    ],
)
def test_what_is_no_recipe_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=r"r\.yaml") as caught:
        parsed(text)
    assert says in str(caught.value)


def test_json_is_yaml_too() -> None:
    text = '{\n  "zero_optimization": {"overlap_comm": true, "reduce_bucket_size": 5e8},\n  "steps_per_print": 10\n}'
    assert parsed(text).values == {
        "zero_optimization": {"overlap_comm": True, "reduce_bucket_size": 5e8},
        "steps_per_print": 10,
    }


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read: No such file"):
        read_document(tmp_path / "gone.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 3\)"):
        read_document(binary)


def test_merging_goes_key_by_key_but_takes_lists_whole() -> None:
    base = parsed("a: {x: 1, y: 2}\nb: [1, 2, 3]\nc: 5\n", "base.yaml")
    top = parsed("b: [9]\na:\n  y: 7\n  z: 8\n", "top.yaml")
    both = merged(base, top)
    assert both.values == {"a": {"x": 1, "y": 7, "z": 8}, "b": [9], "c": 5}
    where = {location: str(mark) for location, mark in both.marks.items()}
    assert where[("a", "x")] == "base.yaml:1"
    assert where[("a", "y")] == "top.yaml:3"
    assert where[("b", 0)] == "top.yaml:1"
    assert ("b", 1) not in where
    assert base.values["a"] == {"x": 1, "y": 2}


def test_long_values_are_shortened() -> None:
    assert show("x" * 100) == '"' + "x" * 56 + "…"
