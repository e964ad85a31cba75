"""Names that a new verifier may have; what is written is installed and run in tests/integration/test_scaffold.py."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rl_reason.config.load import load_recipe
from rl_reason.errors import PluginError
from rl_reason.rewards.scaffold import check_name, new_verifier


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("My-Check", "small letters, digits and _, and begins with a letter; how about 'my_check'?"),
        ("MyCheck", "how about 'my_check'?"),
        ("2nd", "how about 'nd'?"),
        ("", "how about 'my'?"),
        ("my check", "how about 'my_check'?"),
        ("../escape", "how about 'escape'?"),
        ("a__b", "_ stands between words only; how about 'a_b'?"),
        ("class", "it is a word of the Python language; how about 'class_check'?"),
        ("match", "it is a word of the Python language"),
        ("verifiers", "that name belongs to another package; how about 'verifiers_check'?"),
        ("tests", "that is a folder of the package"),
        ("exact", "rl-reason has a verifier of that name; how about 'exact_check'?"),
        ("json", "Python itself has a module of that name; how about 'json_check'?"),
        ("numpy", "numpy/__init__.py; how about 'numpy_check'?"),
        ("rl_reason", "a module of that name is installed"),
    ],
)
def test_a_name_that_will_not_do_is_refused_with_one_that_will(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError) as raised:
        new_verifier(name, tmp_path)
    assert says in str(raised.value) and str(raised.value).startswith(f"a verifier cannot be called {name!r}: ")
    check_name(str(raised.value).rpartition("how about '")[2].removesuffix("'?"))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "my_check").mkdir()
    with pytest.raises(
        PluginError, match=r"my_check is there already; choose another name, or another folder by --out"
    ):
        new_verifier("my_check", tmp_path)
    assert list((tmp_path / "my_check").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match="cannot write"):
        new_verifier("my_check", tmp_path / "file")


def test_everything_is_written_and_reads_as_what_it_is(tmp_path: Path) -> None:
    folder = new_verifier("ends_well", tmp_path / "new" / "place")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        ".gitignore",
        "README.md",
        "cases.jsonl",
        "pyproject.toml",
        "recipe.yaml",
        "src/ends_well/__init__.py",
        "src/ends_well/py.typed",
        "src/ends_well/verifier.py",
        "tests/test_verifier.py",
    }
    for path in folder.rglob("*.py"):
        ast.parse(path.read_text())
    assert "$" not in "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert 'ends_well = "ends_well.verifier:EndsWell"' in (folder / "pyproject.toml").read_text()
    assert load_recipe(folder / "recipe.yaml").rewards.verifiers[0].name == "ends_well"
