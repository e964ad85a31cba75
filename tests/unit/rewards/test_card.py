"""Cards of verifiers: purpose, options, needs, examples; and what is said where one cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rl_reason.cli.verifier_list import list_verifiers, plain
from rl_reason.cli.verifier_show import show
from rl_reason.errors import PluginError
from rl_reason.rewards.card import Card, Option, card_of, installed_cards, missing, option_hint, options_of

SOURCE = '''
print("a plug-in that prints when it is loaded")

class Full:
    """Judges fully.

    More of it.
    """
    needs = ("metadata:tests", "package:numpy>=1", "program:sh")
    example = {"answer": "4", "response": "4", "tests": [1]}

    def __init__(self, depth, *, marker: str = "Answer:", tags=("a", "b")):
        pass

class Heir(Full):
    """An heir."""

class Bare: pass

class Unmet:
    """Needs what is not there."""
    needs = ("package:rl-reason-no-such-package>=2", "package:numpy<1", "program:rl-reason-no-such-program")

class Kinds:
    needs = ("wheel",)

class NotTuple:
    needs = "program:sh"

class BadExample:
    example = {"answer": 4}

def factory(*, depth=1, **rest): ...
'''


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "checks.py").write_text(SOURCE)
    return tmp_path / "checks.py"


def test_a_full_card(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = card_of(f"{path}:Full")
    assert (card.purpose, card.fault, card.distribution) == ("Judges fully.", "", "")
    assert [option.shown for option in card.options] == ["depth (required)", "marker='Answer:'", "tags=('a', 'b')"]
    assert card.needs == ("metadata:tests", "package:numpy>=1", "program:sh")
    assert card.example == {"answer": "4", "response": "4", "tests": [1]}
    assert card_of(f"{path}:Heir").needs == card.needs
    assert capsys.readouterr().out == ""  # what a plug-in prints must not spoil --json


def test_a_bare_card_and_a_factory(path: Path) -> None:
    card = card_of(f"{path}:Bare")
    assert (card.purpose, card.options, card.needs, card.example) == ("(no docstring)", (), (), None)
    assert card_of(f"{path}:factory").options == (Option("depth", 1),)


def test_unmet_needs_say_what_would_meet_them(path: Path) -> None:
    fault = card_of(f"{path}:Unmet").fault
    assert "needs the package rl-reason-no-such-package: pip install 'rl-reason-no-such-package>=2'" in fault
    assert "needs numpy<1, and " in fault and "needs the program rl-reason-no-such-program" in fault
    assert missing(("metadata:tests", "program:sh", "package:numpy")) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Kinds", "need 'wheel' is not of the form metadata:FIELD, package:NAME>=VERSION or program:COMMAND"),
        ("NotTuple", "`needs` of NotTuple is a tuple of strings, not 'program:sh'"),
        ("BadExample", "`example` of BadExample is a mapping with a `response` and maybe"),
        ("Ful", "did you mean 'Full'"),
    ],
)
def test_a_wrong_card_is_a_fault_not_an_exception(path: Path, name: str, says: str) -> None:
    assert says in card_of(f"{path}:{name}").fault
    with pytest.raises(PluginError, match="not of the form"):
        missing(("package",))


def test_a_plugin_that_breaks_when_loaded_does_not_break_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, source in enumerate(("raise RuntimeError('no luck')", "import sys; sys.exit(3)", "1 / 0", "x = (")):
        (tmp_path / f"rl_reason_broken_{number}.py").write_text(source)
        info = tmp_path / f"broken_{number}-1.{number}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: broken-{number}\nVersion: 1.{number}\n")
        entry = f"[rl_reason.verifiers]\nbroken_{number} = rl_reason_broken_{number}:Check\n"
        (info / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(tmp_path))
    faults = {card.name: card.fault for card in installed_cards()}
    assert faults["exact"] == faults["boxed_math"] == ""
    for number, what in enumerate(("RuntimeError: no luck", "SystemExit: 3", "ZeroDivisionError", "SyntaxError")):
        assert what in faults[f"broken_{number}"]
    list_verifiers(as_json=True)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["broken_1"]["usable"] is False and rows["broken_1"]["version"] == "1.1"
    assert rows["exact"]["usable"] is True and rows["exact"]["distribution"] == "rl-reason"
    assert {"name": "ignore_case", "required": False, "default": False} in rows["exact"]["options"]
    list_verifiers()
    out = " ".join(capsys.readouterr().out.split())
    assert "broken-2 1.2" in out and "cannot be used here:" in out and "exact" in out


def test_show_prints_docstring_options_needs_and_an_example(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(f"{path}:Full")
    out = capsys.readouterr().out
    assert "More of it." in out and "  marker='Answer:'" in out and "  package:numpy>=1" in out
    assert '{"answer": "4", "response": "4", "tests": [1]}' in out
    show(f"{path}:Bare")
    out = capsys.readouterr().out
    assert "any answer and response do" in out and "\\\\boxed{4}" in out
    show("exact", as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["name"] == "exact" and shown["usable"] and "pattern" in shown["text"]


def test_defaults_that_are_no_plain_data_still_make_json() -> None:
    card = Card("it", "ref", options=(Option("a", {1}), Option("b", None, required=True)))
    assert plain(card)["options"] == [
        {"name": "a", "required": False, "default": "{1}"},
        {"name": "b", "required": True, "default": None},
    ]


def test_a_wrong_option_is_answered_with_the_nearest() -> None:
    class Takes:
        def __init__(self, *, ignore_case: bool = False, pattern: str = "") -> None: ...

    class Nothing: ...

    assert option_hint(Takes, {"ignore_cas": 1, "pattern": ""}) == (
        "; 'ignore_cas' is none of its options; did you mean 'ignore_case'? (there are: ignore_case, pattern)"
    )
    assert option_hint(Takes, {"pattern": ""}) == "" and option_hint(Nothing, {}) == ""
    assert option_hint(Nothing, {"depth": 1}) == "; it takes no options"
    assert options_of(Nothing) == ()
