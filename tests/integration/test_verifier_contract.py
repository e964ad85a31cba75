"""The contract, run for real on deliberately bad plug-ins: each fails exactly the check that is made for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl_reason.errors import PluginError
from rl_reason.rewards.contract import Limits, check_contract
from rl_reason.rewards.pool import VerifierSpec
from rl_reason.rewards.promises import CHECKS, Case, Report, load_cases, short
from rl_reason.types import Prompt, Verdict

HEAD = '''
import ctypes, os, random, signal, sys, threading, time
from functools import lru_cache
from types import MappingProxyType
from rl_reason.types import Prompt, Score, Verdict

COUNT = 0
SEEN = []
TABLE = {"inner": {"list": [1, 2]}}

class Good:
    """Right when the response ends with the answer."""

    def __init__(self, *, strict: bool = False):
        self.strict, self.last = strict, ""

    def judge(self, right):
        return Score(Verdict.RIGHT, 1.0, {"it": 1.0}) if right else Score(Verdict.WRONG, 0.0, {"it": 0.0}, "differs")

    def verify(self, prompt, response):
        self.touch(response)
        if not prompt.answer:
            return Score(Verdict.UNJUDGED, None, reason="no reference")
        return self.judge(response.endswith(prompt.answer))

    def touch(self, response):
        pass

class Cached(Good):
    """A bounded cache is no global state."""
    example = {"answer": "4", "response": "2 + 2 = 4"}
    needs = ("metadata:tests", "package:numpy>=1", "program:sh")

    def judge(self, right):
        return scored(right)

@lru_cache(maxsize=8)
def scored(right):
    return Score(Verdict.RIGHT, 1.0) if right else Score(Verdict.WRONG, 0.0)

'''
BAD = {
    "loads": [
        "class Bad(Good):\n    def __init__(self, *, parser=Good()): self.last = ''",
        "class Bad(Good):\n    def __init__(self, parser=0, /): self.last = ''",
        "class Bad(Good):\n    needs = ('package:rl-reason-no-such-package>=2',)",
        "class Bad(Good):\n    def __init__(self): raise KeyError('model')",
        "raise RuntimeError('no good')",
        "os._exit(3)",
    ],
    "cases": ["class Bad(Good):\n    example = {'answer': '4', 'response': '5'}"],
    "score": [
        "class Bad(Good):\n    def judge(self, right): return float(right)",
        "class Bad(Good):\n    def judge(self, right): return Score(Verdict.WRONG, float('nan'))",
    ],
    "total": [
        "class Bad(Good):\n    def touch(self, response): response.encode('utf-8')",  # lone surrogates
        "class Bad(Good):\n    def touch(self, response): assert '\\x00' not in response",
        "class Bad(Good):\n    def touch(self, response):\n        if not response: sys.exit(3)",
        "class Bad(Good):\n    def touch(self, response):\n        if not response: os._exit(3)",
        "class Bad(Good):\n    def touch(self, response):\n        if not response: ctypes.string_at(0)",
    ],
    "time": [
        "class Bad(Good):\n    def touch(self, response):\n        while not response: pass",
        "class Bad(Good):\n    def touch(self, response):\n        if not response: time.sleep(600)",
    ],
    "memory": [
        "class Bad(Good):\n    def touch(self, response): self.kept = (response, getattr(self, 'kept', None))",
        "class Bad(Good):\n    def touch(self, response):\n        if not response: bytearray(2**41)",
    ],
    "repeatable": ["class Bad(Good):\n    def judge(self, right): return Score(Verdict.WRONG, time.perf_counter())"],
    "order": [
        "class Bad(Good):\n"
        "    def touch(self, response): self.seen = {*getattr(self, 'seen', ()), response}\n"
        "    def judge(self, right): return Score(Verdict.WRONG, float(len(self.seen)))",
    ],
    "process": ["class Bad(Good):\n    def judge(self, right): return Score(Verdict.WRONG, float(hash('it') % 997))"],
    "picklable": [
        "class Bad(Good):\n    def judge(self, right): return Score(Verdict.WRONG, 0.0, MappingProxyType({'it': 0.0}))",
    ],
    "global state": [
        "class Bad(Good):\n    def touch(self, response):\n        global COUNT\n        COUNT += 1",
        "class Bad(Good):\n    def touch(self, response): SEEN.append(1)",
        "class Bad(Good):\n    def touch(self, response): TABLE['inner']['list'][0] += 1",
        "class Bad(Good):\n    calls = 0\n    def touch(self, response): Bad.calls += 1",
        "class Bad(Good):\n    def touch(self, response): os.chdir('/' if os.getcwd() != '/' else '/usr')",
        "class Bad(Good):\n    def touch(self, response): signal.signal(signal.SIGALRM, lambda *_: None)",
        "class Bad(Good):\n    def touch(self, response): sys.setrecursionlimit(sys.getrecursionlimit() + 1)",
        "class Bad(Good):\n    def touch(self, response): sys.set_int_max_str_digits(sys.get_int_max_str_digits() + 1)",
        "class Bad(Good):\n"
        "    def touch(self, response):\n"
        "        if response == '5': threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "class Bad(Good):\n    def touch(self, response): os.open('/dev/null', os.O_RDONLY)",
        "class Bad(Good):\n    def touch(self, response): random.random()",
        "class Bad(Good):\n    def touch(self, response): sys.stdout = open(os.devnull, 'w')",
    ],
    "silent": [
        "class Bad(Good):\n    def touch(self, response): print('judging')",
        "class Bad(Good):\n    def touch(self, response): os.write(1, b'judging')",
        "class Bad(Good):\n    def touch(self, response): sys.stderr.write('judging')",
        "class Bad(Good):\n    def touch(self, response): os.system('echo judging')",
        "class Bad(Good): pass\nprint('loaded')",
    ],
    "working directory": ["import neighbour_of_a_bad_plugin\nclass Bad(Good): pass"],
}
CASES = [
    Case(f"case {number}", Prompt(f"p{number}", "", answer), response, expected)
    for number, (answer, response, expected) in enumerate(
        [
            ("4", "2 + 2 = 4", Verdict.RIGHT),
            ("4", "5", Verdict.WRONG),
            ("4", "no, 4", None),
            ("4", "", None),
            ("4", "\ud800\x00 4", None),
            ("", "4", Verdict.UNJUDGED),
            *(("4", f"{word} 4", None) for word in "abcdefgh"),
        ]
    )
]


def run(path: Path, source: str, name: str, cases: list[Case] = CASES, **limits) -> Report:
    path.write_text(HEAD + source)
    chosen = {"deadline_s": 1.0, "memory_limit_mib": 1024, "growth_calls": 0, "hostile": "none", **limits}
    return check_contract(VerifierSpec("it", f"{path}:{name}"), cases, limits=Limits(**chosen))


@pytest.mark.parametrize(
    ("check", "source"),
    [(check, source) for check, sources in BAD.items() for source in sources],
    ids=[f"{check}-{number}" for check, sources in BAD.items() for number in range(len(sources))],
)
def test_a_bad_plugin_fails_exactly_its_check(
    check: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "neighbour_of_a_bad_plugin.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    cases = [Case(case.name, case.prompt, case.response) for case in CASES]  # any verdict will do
    report = run(tmp_path / "bad.py", source, "Bad", cases, growth_calls=600 if check == "memory" else 0)
    assert {failure.check for failure in report.failures} == {check}, report.failures
    assert all(failure.seen for failure in report.failures) and not report.passed


def test_every_check_has_a_plugin_that_fails_it() -> None:
    assert set(BAD) == set(CHECKS)


@pytest.mark.parametrize("name", ["Good", "Cached"])
def test_a_good_plugin_passes_with_all_hostile_strings(name: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = tmp_path / "good.py"
    path.write_text(HEAD)
    report = check_contract(
        VerifierSpec("it", f"{path}:{name}", {"strict": True}),
        CASES,
        limits=Limits(deadline_s=10.0),
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert report.passed, report.failures
    assert report.inputs > 250 and sum(report.verdicts.values()) == report.inputs and report.untried == ()
    assert seen[-1][0] == seen[-1][1] and seen == sorted(seen)


def test_responses_that_dodge_judgement_are_listed(tmp_path: Path) -> None:
    source = (
        "class Bad(Good):\n    def judge(self, right): return super().judge(right) if right else "
        "Score(Verdict.UNJUDGED, None, reason='not understood')"
    )
    prompt, other = Prompt("p", "", "4"), Prompt("q", "", "5")
    cases = [Case("a", prompt, "4"), Case("b", prompt, "what?"), Case("c", other, "what?")]
    report = run(tmp_path / "bad.py", source, "Bad", cases)
    assert report.passed and report.dodges == ["b: 'what?'"]


def test_a_wrong_verdict_is_shown_with_its_case(tmp_path: Path) -> None:
    case = Case("mine:7", Prompt("p", "", "4"), "4 it is", Verdict.RIGHT)
    report = run(tmp_path / "good.py", "", "Good", [case])
    (failure,) = report.failures
    assert (failure.check, failure.seen, failure.case) == (
        "cases",
        "wrong instead of right: differs",
        "mine:7: '4 it is'",
    )


def test_a_plugin_that_always_hangs_is_given_up_soon(tmp_path: Path) -> None:
    report = run(
        tmp_path / "bad.py", "class Bad(Good):\n    def touch(self, r): time.sleep(600)", "Bad", deadline_s=0.2
    )
    assert 4 <= len(report.of("time")) < len(CASES) and len(report.failures) == len(report.of("time"))
    assert "order" in report.untried and report.verdicts == {}


def test_what_points_at_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="did you mean 'boxed_math'"):
        check_contract(VerifierSpec("it", "boxed_maths"))
    with pytest.raises(PluginError, match="there is no file"):
        check_contract(VerifierSpec("it", "./absent.py:Check"))
    report = run(tmp_path / "good.py", "", "Goood")
    assert [failure.check for failure in report.failures] == ["loads"] and "did you mean 'Good'" in report.failures[
        0
    ].seen
    assert set(report.untried) == set(CHECKS) - {"loads"}


def test_cases_come_from_the_lines_of_verify() -> None:
    assert load_cases([{"response": "4"}, {"response": "4", "answer": None}], "file")[1].prompt.answer == ""
    rows = [
        {"answer": "4", "response": "4", "tests": [1], "correct": True},
        {"answer": "4", "response": "", "prompt": "?"},
    ]
    first, second = load_cases(rows, "file")
    assert (first.name, first.expected, first.prompt.metadata) == ("file:1", Verdict.RIGHT, {"tests": [1]})
    assert (second.expected, second.prompt.text, second.prompt.metadata) == (None, "?", {})
    with pytest.raises(PluginError, match="file:1: `correct` is true, false or null, not 'yes'"):
        load_cases([{"answer": "", "response": "", "correct": "yes"}], "file")


def test_strings_are_shown_short_and_escaped() -> None:
    assert short("4\x00\ud800") == "'4\\x00\\ud800'"
    assert short("a" * 1000) == f"'{'a' * 30}' … '{'a' * 10}' (1,000 characters)"
