"""The code verifier: forms of tests, what counts as the program, verdicts, and programs that want to cheat."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from isolation import need_full_isolation
from rl_reason_verifiers._code_text import find_code
from rl_reason_verifiers._compare import same_output, same_value
from rl_reason_verifiers.code_tests import CodeTests

from rl_reason.errors import PluginError
from rl_reason.sandbox import missing_tool
from rl_reason.types import Prompt, Score, Verdict

DATA = Path(__file__).parents[4] / "shared" / "data"
RIGHT, WRONG, UNJUDGED = Verdict.RIGHT, Verdict.WRONG, Verdict.UNJUDGED
LOOP = "def check(candidate):\n    for i in range(5):\n        assert candidate(i) == i + 1\n"
ADD = "def add(a, b):\n    return a + b\n"


@pytest.fixture(scope="module")
def verifier() -> Iterator[CodeTests]:
    need_full_isolation()
    one = CodeTests(time_s=0.5, total_s=8.0)
    yield one
    one.close()


def judged(verifier: CodeTests, code: str, tests: Any, *, tag: str = "python", text: str = "", **more: Any) -> Score:
    return verifier.verify(Prompt("p", text, "", metadata={"tests": tests, **more}), f"So:\n```{tag}\n{code}\n```\n")


FORMS = {
    "asserts": ["assert add(2, 3) == 5", "assert add('a', 'b') == 'ab'"],
    "asserts and setup": {"asserts": ["assert add(x, 3) == 5"], "setup": "x = 2"},
    "HumanEval": {"test": "def check(candidate):\n    assert candidate(2, 3) == 5\n", "entry_point": "add"},
    "HumanEval, with a loop": {"test": LOOP.replace("(i)", "(i, 1)"), "entry_point": "add"},
    "a script": {"test": "for i in range(3):\n    assert add(i, i) == 2 * i\n"},
    "calls": [
        {"function": "add", "args": [2, 3], "expected": 5},
        {"function": "add", "kwargs": {"a": 1, "b": 2}, "expected": 3},
    ],
    "APPS calls": {"inputs": [[2, 3], [1, 1]], "outputs": [5, [2]], "fn_name": "add"},
    "JSON in a string": json.dumps(["assert add(2, 3) == 5"]),
    "code in a string": "assert add(2, 3) == 5",
}


@pytest.mark.parametrize("tests", FORMS.values(), ids=FORMS.keys())
def test_every_form_of_function_tests(verifier: CodeTests, tests: Any) -> None:
    assert judged(verifier, ADD, tests) == Score(RIGHT, 1.0, {"code_tests": 1.0})
    for wrong in (
        "def add(a, b):\n    return None",
        "def add(a, b):\n    return a - b",
        "def sub(a, b): pass",
        "add = 3",
    ):
        score = judged(verifier, wrong, tests)
        assert (score.verdict, score.reward) == (WRONG, 0.0) and score.reason, wrong


def test_rows_of_humaneval_and_mbpp_as_they_are(verifier: CodeTests) -> None:
    for row in (
        {"test": "def check(f):\n    assert f(1, 2) == 3\n", "entry_point": "add"},
        {"test_list": ["assert add(1, 2) == 3"], "test_setup_code": ""},
    ):
        assert verifier.verify(Prompt("p", "", "", metadata=row), ADD).verdict is RIGHT


@pytest.mark.parametrize(
    "tests",
    [[{"input": "2 3\n", "output": "5\n"}, {"input": "1 1", "output": "2"}], {"inputs": ["2 3\n"], "outputs": ["5\n"]}],
)
def test_programs_with_input_and_output(verifier: CodeTests, tests: Any) -> None:
    good = "print(sum(map(int, input().split())))"
    assert judged(verifier, good, tests).verdict is RIGHT
    for bad in (
        "print(6)",
        "",
        "input()",
        f"{good}\nraise SystemExit(1)",
        f"{good}\n1/0",
        "print(open('/proc/1/environ'))",
    ):
        assert judged(verifier, bad, tests).verdict is WRONG, bad


OTHERS = {
    "cpp": "#include <iostream>\nint main() { long a, b; std::cin >> a >> b; std::cout << a + b; }",
    "c": '#include <stdio.h>\nint main(void) { int a, b; scanf("%d %d", &a, &b); printf("%d", a + b); }',
    "bash": "read a b; echo $((a + b))",
    "javascript": "const [a, b] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number); console.log(a + b)",
}


@pytest.mark.parametrize("language", OTHERS)
def test_other_languages(verifier: CodeTests, language: str) -> None:
    if missing_tool(language):
        pytest.skip(f"there is no {missing_tool(language)}")
    tests = [{"input": "2 3\n", "output": "5"}, {"input": "1 1\n", "output": "2"}]
    slow = CodeTests(total_s=60, language=language)
    assert judged(slow, OTHERS[language], tests, tag=language).verdict is RIGHT
    broken = judged(slow, OTHERS[language].replace("+", "*").replace("#include", "#include", 1), tests, tag=language)
    assert broken.verdict is WRONG
    if language in ("c", "cpp"):
        assert judged(slow, "int main( {", tests, tag=language).reason.startswith("compile error")
        escape = '#include "/etc/shadow"\nint main(void) {}'
        assert judged(slow, escape, tests, tag=language).verdict is WRONG
    slow.close()


def test_a_missing_compiler_is_unjudged(verifier: CodeTests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl_reason.sandbox.languages.shutil.which", lambda *_, **__: None)
    score = judged(verifier, OTHERS["cpp"], [{"input": "", "output": ""}], tag="cpp")
    assert score.verdict is UNJUDGED and "g++" in score.reason


MALFORMED = [
    None,
    [],
    {},
    7,
    "def",
    [7],
    ["assert ("],
    [{"input": 1, "output": 2}],
    [{"function": "f"}],
    [{"args": [], "expected": 1}],
    {"inputs": ["a"], "outputs": []},
    {"inputs": ["a"], "outputs": ["b"], "fn_name": "f"},
    {"test": 3},
    {"entry_point": "f"},
    {"test": "import no_such_module\ndef check(c): pass", "entry_point": "add"},
    ["assert add(object(), 1) == 2"],
    ["while True: pass"],
]


@pytest.mark.parametrize("tests", MALFORMED, ids=repr)
def test_tests_that_cannot_be_used_are_unjudged(verifier: CodeTests, tests: Any) -> None:
    score = judged(verifier, ADD, tests)
    assert (score.verdict, score.reward) == (UNJUDGED, None) and score.reason


ADD_TESTS = {
    "simple": ["assert add(4000, 919) == 4919", "assert add(1, 1) == 2"],
    "harness": {
        "test": "def check(candidate):\n    for i in range(2):\n        assert candidate(i, 3) == i + 3\n",
        "entry_point": "add",
    },
    "calls": [{"function": "add", "args": [4000, 919], "expected": 4919}],
}
EQUAL = (
    "class E:\n    def __eq__(s, o): return True\n    def __ne__(s, o): return False\n    def __hash__(s): return 0\n"
)
CHEATS = {
    "equal to everything": f"{EQUAL}def add(a, b): return E()",
    "an int that is": "class I(int):\n    def __eq__(s, o): return True\ndef add(a, b): return I(0)",
    "in a list": f"{EQUAL}def add(a, b): return [E()]",
    "hard exit on import": "import os\nos._exit(0)",
    "hard exit in the call": "import os\ndef add(a, b): os._exit(0)",
    "exit on import": "import sys\nsys.exit(0)",
    "exit in the call": "import sys\ndef add(a, b): sys.exit(0)",
    "forged answers": "import os\nFORGED = b'{\"t\": [\"value\", null]}\\n'\nfor fd in range(3, 30):\n"
    "    try: os.write(fd, FORGED * 9)\n"
    "    except OSError: pass\ndef add(a, b): return 0",
    "forged verdict": "import os\nFORGED = b'{\"outcome\": \"passed\", \"test\": 1, \"reason\": \"\"}\\n'\n"
    "for fd in range(1, 30):\n    try: os.write(fd, FORGED)\n    except OSError: pass\nos._exit(0)",
    "frames": "import sys\ndef add(a, b):\n    f = sys._getframe()\n    while f:\n"
    "        for v in list(f.f_locals.values()) + list(f.f_globals.values()):\n"
    "            if v == 4919 and type(v) is int: return v\n"
    "            if isinstance(v, list): v.append('passed')\n        f = f.f_back\n    return 0",
    "gc": "import gc\ndef add(a, b):\n    for o in gc.get_objects():\n        if isinstance(o, dict):\n"
    "            for k in ('expected', 'outcome', 'passed'):\n                if k in o: return o[k]\n    return 0",
    "patched json": "import json, builtins\njson.dumps = lambda *a, **k: '{\"t\": [\"value\", 5]} '\n"
    "builtins.AssertionError = type('A', (BaseException,), {})\nbuiltins.abs = builtins.isinstance = lambda *a: True\n"
    "def add(a, b): return None",
    "at exit": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef add(a, b): return None",
    "a thread": "import threading, os, time\nthreading.Thread(target=lambda: (time.sleep(0.01), os._exit(0))).start()\n"
    "def add(a, b):\n    time.sleep(0.2)",
    "a generator": "def add(a, b): yield a + b",
    "raises": "def add(a, b): raise AssertionError",
    "an error that is equal": f"{EQUAL}class X(Exception, E): pass\ndef add(a, b): raise X",
    "kills its parent": "import os\nfor s in (9, 15):\n    for p in (os.getppid(), 1, 0, -1):\n"
    "        try: os.kill(p, s)\n"
    "        except OSError: pass\ndef add(a, b): return 0",
    "infinite loop": "def add(a, b):\n    while True: pass",
    "sleep": "import time\ndef add(a, b): time.sleep(99)",
    "flood": "def add(a, b):\n    while True: print('x' * 1000)",
    "huge value": "def add(a, b): return [0] * 10_000_000",
    "huge number": "def add(a, b): return 10 ** 100_000",
    "nested value": "def add(a, b):\n    x = []\n    for _ in range(10_000): x = [x]\n    return x",
    "cyclic value": "def add(a, b):\n    x = []; x.append(x)\n    return x",
    "proxy": "class P:\n    def __getattr__(s, n): return s\n    def __call__(s, *a): return s\n"
    "    def __bool__(s): return True\n"
    "def add(a, b): return P()",
    "nothing": "pass",
    "not Python": "add = = 3",
}  # fmt: skip


@pytest.mark.parametrize("tests", ADD_TESTS.values(), ids=ADD_TESTS.keys())
@pytest.mark.parametrize("code", CHEATS.values(), ids=CHEATS.keys())
def test_cheats_are_wrong(verifier: CodeTests, code: str, tests: Any) -> None:
    score = judged(verifier, code, tests)
    assert (score.verdict, score.reward) == (WRONG, 0.0) and score.reason, score


def test_objects_of_the_candidates_own_work_and_are_equal_to_themselves_only(verifier: CodeTests) -> None:
    node = "class Node:\n    def __init__(self, value): self.value = value\n    def __eq__(self, other): return True\n"
    code = f"{node}def total(node): return node.value + node.next.value\ndef same(node): return node\n"
    tests = {
        "asserts": ["assert total(a) == 3", "a.value = 5", "assert total(a) == 7"],
        "setup": "a = Node(1)\na.next = Node(2)",
    }
    assert judged(verifier, code, tests).verdict is RIGHT
    assert judged(verifier, code, ["assert same(Node(1)) == 3"]).verdict is WRONG
    assert judged(verifier, code, ["assert same(Node(1)) == Node(1)"]).verdict is WRONG


def test_methods_of_a_class(verifier: CodeTests) -> None:
    code = "class Solution:\n    def add(self, a, b): return a + b"
    assert judged(verifier, code, ["assert Solution().add(2, 3) == 5"]).verdict is RIGHT
    assert judged(verifier, code, [{"function": "Solution.add", "args": [2, 3], "expected": 5}]).verdict is RIGHT
    assert judged(verifier, code, ["assert Solution().add(2, 3) == 6"]).verdict is WRONG


def test_expected_exceptions(verifier: CodeTests) -> None:
    test = "def check(f):\n    try: f(-1)\n    except ValueError: pass\n    else: assert False\n"
    form = {"test": test, "entry_point": "root"}
    assert judged(verifier, "def root(x):\n    raise ValueError('negative')", form).verdict is RIGHT
    assert judged(verifier, "def root(x):\n    raise KeyError('negative')", form).verdict is WRONG
    assert judged(verifier, "def root(x):\n    return 0", form).verdict is WRONG


def test_a_helper_of_the_prompt_is_the_prompts_not_the_candidates(verifier: CodeTests) -> None:
    prompt = "def double(x):\n    return 2 * x\n\ndef half(x: int) -> int:\n    '''The half.'''\n"
    form = {
        "test": "def check(f):\n    for i in range(4):\n        assert double(f(2 * i)) == 2 * i\n",
        "entry_point": "half",
    }
    assert judged(verifier, prompt + "    return x // 2", form, text=prompt).verdict is RIGHT
    cheat = "class Any:\n    pass\ndef double(x):\n    return 2 * x if isinstance(x, int) and x < 0 else 0\n"
    assert judged(verifier, f"{cheat}def half(x):\n    return 0", form, text=prompt).verdict is WRONG
    body = verifier.verify(Prompt("p", prompt, "", metadata={"tests": form}), "    return x // 2\n")
    assert body.verdict is RIGHT  # a bare continuation


def test_partial_credit_and_max_tests(verifier: CodeTests) -> None:
    tests = [{"function": "f", "args": [n], "expected": n} for n in range(4)]
    code = "def f(x): return min(x, 2)"
    assert judged(verifier, code, tests).reward == 0.0
    one = CodeTests(partial_credit=True)
    score = judged(one, code, tests)
    assert (score.verdict, score.reward) == (WRONG, 0.75) and "test 4 of 4" in score.reason
    runs = [{"input": str(n), "output": str(n)} for n in range(4)]
    assert judged(one, "print(max(1, int(input())))", runs).reward == 0.75
    one.close()
    one = CodeTests(max_tests=3)
    assert judged(one, code, tests).verdict is RIGHT
    one.close()


def test_a_budget_that_ends_before_the_tests_is_unjudged_and_says_where(verifier: CodeTests) -> None:
    one = CodeTests(time_s=2.0, total_s=0.5)
    tests = [{"input": "", "output": ""}] * 9
    score = judged(one, "import time; time.sleep(0.2)", tests)
    assert score.verdict is UNJUDGED and "of 9" in score.reason and "0.5 s for all tests ran out" in score.reason
    one.close()


def test_options_are_checked() -> None:
    for options in ({"language": "cobol"}, {"whitespace": "none"}, {"time_s": 0}, {"max_tests": -1}, {"level": "best"}):
        with pytest.raises(ValueError, match=r"cobol|none|above 0|max_tests|best"):
            CodeTests(**options)
    with pytest.raises(PluginError, match="no/python"):
        CodeTests(level="rlimits", python="/no/python")


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("```python\na\n```\nthen\n```py\nb\n```", ("python", "b\n")),
        ("```\nx = 1\n```", ("python", "x = 1\n")),
        ("```c++\nint x;\n```", ("cpp", "int x;\n")),
        ("```python\nfinal\n```\n```text\noutput\n```", ("python", "final\n")),
        ("<think>```python\na\n```</think>\n```python\nb\n```", ("python", "b\n")),
        ("```python\nunclosed", ("python", "unclosed")),
        ("x = 1", ("python", "x = 1")),
        ("The answer is 5.", ("python", "")),
        ("", ("python", "")),
        ("~~~js\n1\n~~~", ("javascript", "1\n")),
    ],
)
def test_the_program_in_a_response(response: str, expected: tuple[str, str]) -> None:
    assert find_code(response, "") == expected


def test_a_wanted_language_chooses_its_block() -> None:
    assert find_code("```cpp\nint x;\n```\n```text\n5\n```", "cpp") == ("cpp", "int x;\n")


@pytest.mark.parametrize(
    ("given", "expected", "whitespace", "tolerance", "same"),
    [
        ("5\n", "5", "lines", 0, True),
        ("5 \n\n", "5", "lines", 0, True),
        (" 5", "5", "lines", 0, False),
        ("1 2", "1  2", "lines", 0, False),
        ("1 2", "1\n2", "tokens", 0, True),
        ("5\n", "5", "exact", 0, False),
        ("0.3333", "0.33334", "lines", 1e-3, True),
        ("0.3", "0.4", "lines", 1e-3, False),
        ("1 2", "1", "tokens", 1, False),
        ("nan", "nan", "tokens", 1e-9, True),
        ("a", "b", "tokens", 1e9, False),
        ("a\x0bb", "a b", "lines", 0, False),
    ],
)
def test_outputs(given: str, expected: str, whitespace: str, tolerance: float, same: bool) -> None:
    assert same_output(given, expected, whitespace=whitespace, tolerance=tolerance) is same


@pytest.mark.parametrize(
    ("given", "expected", "same"),
    [
        (1, 1, True),
        (1.0, 1, True),
        (True, 1, False),
        (1, True, False),
        (None, None, True),
        (0, None, False),
        ((1, 2), [1, 2], True),
        ([1, (2,)], [1, [2]], True),
        ({1, 2}, [1, 2], False),
        ("1", 1, False),
        ({"a": 1}, {"a": 1}, True),
        ({1: 1}, {"1": 1}, False),
        (float("nan"), float("nan"), True),
        ([True], [1], False),
        (10**400, 1.5, False),
        (b"a", "a", False),
    ],
)
def test_values_against_json(given: Any, expected: Any, same: bool) -> None:
    assert same_value(given, expected, 0.0) is same


def test_tolerance_is_for_numbers_only() -> None:
    assert same_value([0.1 + 0.2], [0.3], 1e-9) and not same_value([0.1 + 0.2], [0.3], 0.0)
    assert not same_value(True, 1, 1e-9) and not same_value(10**400, 1.0, 1e-9)


@pytest.mark.skipif(not (DATA / "HumanEval.jsonl.gz").exists(), reason="HumanEval is not on this machine")
def test_some_reference_solutions_of_humaneval() -> None:
    one = CodeTests(total_s=20, time_s=9)
    rows = [json.loads(line) for line in gzip.decompress((DATA / "HumanEval.jsonl.gz").read_bytes()).splitlines()]
    for row in rows[::8] + [row for row in rows if row["task_id"] in ("HumanEval/32", "HumanEval/38", "HumanEval/53")]:
        tests = {"test": row["test"], "entry_point": row["entry_point"]}
        prompt = Prompt(row["task_id"], row["prompt"], "", metadata={"tests": tests})
        assert one.verify(prompt, f"```python\n{row['prompt']}{row['canonical_solution']}\n```").verdict is RIGHT, row
        assert one.verify(prompt, f"def {row['entry_point']}(*a, **k):\n    return None").verdict is WRONG, row
    one.close()
