"""`rl-reason verifier …` and `rl-reason verify` as typed: what is printed, exit codes, and the nearest right name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rl_reason.cli.main import main

SOURCE = '''
from rl_reason.types import Score, Verdict

class Good:
    """Right when the response is the answer."""
    def __init__(self, *, ignore_case=False):
        self.ignore_case = ignore_case
    def verify(self, prompt, response):
        if not prompt.answer:
            return Score(Verdict.UNJUDGED, None, reason="no reference")
        same = response.casefold() == prompt.answer.casefold() if self.ignore_case else response == prompt.answer
        return Score(Verdict.RIGHT, 1.0) if same else Score(Verdict.WRONG, 0.0)

class Loud(Good):
    def verify(self, prompt, response):
        print("judging")
        return super().verify(prompt, response)

class Blind(Good):
    def verify(self, prompt, response):
        return Score(Verdict.UNJUDGED, None, reason="no tests given")
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "checks.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    code = ended.value.code
    return code if isinstance(code, int) else 0


def test_a_kept_contract_is_0_and_a_broken_one_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        '{"answer": "a", "response": "A", "correct": true}',
        "",
        '{"answer": "a", "response": "b", "correct": false}',
    ]
    (here / "cases.jsonl").write_text("\n".join(lines) + "\n")
    words = ["verifier", "test", "./checks.py:Good", "--cases", "cases.jsonl"]
    assert call(*words, "--option", "ignore_case=true") == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out and "keeps the contract" in out and out.count("pass ") == 13
    assert call(*words) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "FAIL cases" in out and "cases: wrong instead of right on cases.jsonl:1: 'A'" in out
    assert "do: mend the verifier, or the case's `correct`" in out and "1 promise broken" in out


def test_a_failure_is_shown_three_times_and_then_counted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verifier", "test", "./checks.py:Loud") == 1
    out = capsys.readouterr().out
    assert out.count("silent: wrote 8 bytes to stdout or stderr while it judged") == 3 and " more" in out
    assert "do: remove print and logging" in out


def test_a_verifier_that_judges_nothing_is_told_what_to_do(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verifier", "test", "./checks.py:Blind") == 0
    assert "It judged nothing: give it lines with what it needs by --cases" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["verifier", "test", "boxed_maths"], "did you mean 'boxed_math'?"),
        (["verifier", "test", "./checks.py:Godo"], "did you mean 'Good'?"),
        (["verifier", "test", "./checks.py"], "write ./checks.py:ClassName"),
        (["verifier", "test", "./checks.py:Good", "--option", "ignore_case"], "is not of the form key=value"),
        (["verifier", "test", "./checks.py:Good", "--option", "ignore_cas=1"], "did you mean 'ignore_case'?"),
        (["verifier", "test", "./checks.py:Good", "--cases", "absent.jsonl"], "cannot read absent.jsonl"),
        (["verifier", "test", "./checks.py:Good", "--cases", "checks.py"], "checks.py:2: not JSON"),
        (["verifier", "show", "exacts"], "did you mean 'exact'?"),
        (["verifier", "new", "My-Check"], "how about 'my_check'?"),
        (["verify", "--verifier", "exacts", "--input", "in.jsonl", "--output", "out.jsonl"], "did you mean 'exact'?"),
        (
            ["verify", "--verifier", "exact", "--input", "in.jsonl", "--output", "out", "--option", "patterns=x"],
            "did you mean 'pattern'?",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_nearest_right(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    (here / "in.jsonl").write_text('{"answer": "4", "response": "4"}\n')
    assert call(*words) > 0
    captured = capsys.readouterr()
    assert says in " ".join((captured.out + captured.err).split())
    assert "Traceback" not in captured.err and sorted(path.name for path in here.iterdir()) == ["checks.py", "in.jsonl"]


def test_new_says_what_comes_next(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verifier", "new", "own_check", "--out", "made") == 0
    out = capsys.readouterr().out
    assert "made/own_check/src/own_check/verifier.py" in out and "cd made/own_check" in out
    assert call("verifier", "new", "own_check", "--out", "made") == 2
    assert "made/own_check is there already" in capsys.readouterr().err


def test_list_and_show_for_programs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verifier", "list", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {
        "name",
        "ref",
        "version",
        "distribution",
        "purpose",
        "needs",
        "usable",
        "fault",
        "options",
        "example",
    } == set(rows["boxed_math"])
    assert rows["prime_intellect"]["needs"] == ["package:verifiers>=0.4,<0.5"]
    assert call("verifier", "show", "./checks.py:Goood") == 1
    assert "there are" in capsys.readouterr().out
    assert call("verifier", "show", "./checks.py:Good", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["options"] == [{"name": "ignore_case", "required": False, "default": False}]
