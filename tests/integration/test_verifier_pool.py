"""The verifier pool with real processes: hangs, crashes, memory, recycling, start failures, a killed parent."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rl_reason.cli.verify import verify
from rl_reason.errors import DataError, PluginError, VerifierError
from rl_reason.rewards.pool import Outcome, VerifierPool, VerifierSpec
from rl_reason.rewards.verify_file import verify_file
from rl_reason.types import Prompt, Verdict

PLUGIN = '''
import os, sys, time
from rl_reason.types import Prompt, Score, Verdict

def right(reason=""):
    return Score(Verdict.RIGHT, 1.0, reason=reason)

class Nasty:
    """Does as the response says."""

    def __init__(self, *, note="/dev/null"):
        self.note = note

    def verify(self, prompt, response):
        if response == "hang":
            while True:
                pass
        if response == "hang in C":
            return right(str(10 ** 10 ** 9 % 7))
        if response == "note and sleep":
            with open(self.note, "a") as file:
                print(os.getpid(), file=file, flush=True)
            time.sleep(600)
        if response == "exit":
            os._exit(0)
        if response == "sys.exit":
            sys.exit(3)
        if response == "bomb":
            held = bytearray(2**40)
        if response == "raise":
            raise KeyError("nothing there")
        if response == "no score":
            return 1.0
        if response == "no reward":
            return Score(Verdict.RIGHT, None)
        if response == "modules":
            return right(",".join(name for name in ("torch", "ray", "vllm") if name in sys.modules))
        if response == "pid":
            return right(str(os.getpid()))
        return Score(Verdict.RIGHT, 1.0) if response == prompt.answer else Score(Verdict.WRONG, 0.0)

class Slow:
    def verify(self, prompt, response):
        time.sleep(float(response))
        return right()

class Tally:
    def __init__(self, *, limit=2**22):
        self.limit, self.kept = limit, []

    def verify(self, prompt, response):
        self.kept.append(b"x" * self.limit)
        return right(str(len(self.kept)))

class Field:
    """Compares with a field of the metadata."""

    def __init__(self, *, key):
        self.key = key

    def verify(self, prompt, response):
        right = response == prompt.metadata[self.key]
        return Score(Verdict.RIGHT if right else Verdict.WRONG, float(right))

class Noted:
    def __init__(self, *, note, seconds):
        self.note, self.seconds = note, seconds

    def verify(self, prompt, response):
        with open(self.note, "a") as file:
            print("called", file=file)
        time.sleep(self.seconds)
        return right()

class NoVerify:
    pass

class SlowStart:
    def __init__(self):
        time.sleep(600)

class DiesAtStart:
    def __init__(self):
        print("dying words", file=sys.stderr, flush=True)
        os._exit(7)
'''
PROMPT = Prompt("p", "2 + 2?", "4", metadata={"tests": [1]}, source="here")


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "nasty.py"
    path.write_text(PLUGIN)
    return str(path)


def judge(pool: VerifierPool, responses: list[str]) -> list[Outcome]:
    for index, response in enumerate(responses):
        pool.submit(index, PROMPT, response)
    outcomes: dict[object, Outcome] = {}
    while pool.outstanding:
        taken = pool.take(timeout_s=30.0)
        assert taken, "the pool is silent"
        outcomes.update(taken)
    return [outcomes[index] for index in range(len(responses))]


def test_every_way_to_misbehave_costs_that_response_only(plugin: str) -> None:
    bad = ["hang", "exit", "bomb", "raise", "no score", "no reward", "sys.exit", "hang in C"]
    responses = ["4", "5"] * 20
    for position, response in enumerate(bad):
        responses.insert(1 + 4 * position, response)
    specs = [VerifierSpec("nasty", f"{plugin}:Nasty"), VerifierSpec("second", f"{plugin}:Nasty")]
    with VerifierPool(specs, workers=2, deadline_s=0.5, memory_limit_mib=768) as pool:
        outcomes = dict(zip(responses, judge(pool, responses), strict=True))
        restarts = pool.restarts
        good = [outcome for response, outcome in zip(responses, judge(pool, ["4", "5"]), strict=False)]
    assert [outcome.scores[0].verdict for outcome in good] == [Verdict.RIGHT, Verdict.WRONG]
    assert outcomes["4"].scores[1].reward == 1.0 and outcomes["5"].scores[0].reward == 0.0
    reasons = {response: outcomes[response].scores[0].reason for response in bad}
    assert {response: outcomes[response].failure for response in bad} == {
        response: "timeout" if response.startswith("hang") else "crash" for response in bad
    }
    assert all(score.verdict is Verdict.UNJUDGED for response in bad for score in outcomes[response].scores)
    assert reasons["hang"] == reasons["hang in C"] == "nasty was stopped at the deadline of 0.5 s"
    assert reasons["exit"] == "nasty crashed its worker, which exited with code 0"
    assert reasons["bomb"] == "ran out of the worker's memory limit"
    assert reasons["raise"] == "verifier raised KeyError: 'nothing there'"
    assert "AttributeError" in reasons["no score"] and "reward None" in reasons["no reward"]
    assert reasons["sys.exit"] == "verifier raised SystemExit: 3"
    assert restarts == 8  # hang, hang in C, exit, bomb, in either verifier


def test_a_verifier_that_fails_takes_no_other_verifiers_score_along(plugin: str) -> None:
    specs = [
        VerifierSpec("before", f"{plugin}:Tally", {"limit": 0}),
        VerifierSpec("nasty", f"{plugin}:Nasty", deadline_s=0.3),
        VerifierSpec("after", f"{plugin}:Tally", {"limit": 0}),
    ]
    responses = ["hang", "exit", "bomb", "raise", "4"]
    with VerifierPool(specs, workers=1, deadline_s=30.0, memory_limit_mib=768) as pool:
        outcomes = judge(pool, responses)
    verdicts = [tuple(score.verdict.value for score in outcome.scores) for outcome in outcomes]
    assert verdicts == [("right", "unjudged", "right")] * 4 + [("right", "right", "right")]
    failures = [outcome.failures for outcome in outcomes]
    assert failures == [("", "timeout", "")] + [("", "crash", "")] * 3 + [()]
    assert outcomes[0].scores[1].reason == "nasty was stopped at the deadline of 0.3 s"
    assert 0.3 <= outcomes[0].scores[1].seconds < 2.0


def test_each_verifier_has_a_deadline_of_its_own(plugin: str) -> None:
    specs = [VerifierSpec("patient", f"{plugin}:Slow"), VerifierSpec("hasty", f"{plugin}:Slow", deadline_s=0.2)]
    with VerifierPool(specs, workers=2, deadline_s=20.0) as pool:
        outcomes = judge(pool, ["0.6", "0"])
        assert pool.longest_s == 20.2
    assert [outcome.failures for outcome in outcomes] == [("", "timeout"), ()]
    assert [score.verdict for score in outcomes[0].scores] == [Verdict.RIGHT, Verdict.UNJUDGED]


def test_an_expensive_score_is_not_computed_again_when_a_later_verifier_hangs(plugin: str, tmp_path: Path) -> None:
    note = tmp_path / "calls"
    specs = [
        VerifierSpec("expensive", f"{plugin}:Noted", {"note": str(note), "seconds": 0.2}),
        VerifierSpec("nasty", f"{plugin}:Nasty", deadline_s=0.3),
    ]
    with VerifierPool(specs, workers=1) as pool:
        assert [score.verdict for score in judge(pool, ["hang"])[0].scores] == [Verdict.RIGHT, Verdict.UNJUDGED]
    assert note.read_text() == "called\n"


def test_neighbours_of_a_hanging_response_are_judged_by_an_idle_worker_at_once(plugin: str) -> None:
    with VerifierPool([VerifierSpec("nasty", f"{plugin}:Nasty")], workers=2, deadline_s=60.0) as pool:
        judge(pool, ["4"] * 2000)  # batches are long from now on
        for index, response in enumerate(["hang", *["4"] * 200]):
            pool.submit(index, PROMPT, response)
        begin = time.monotonic()
        finished: set[object] = set()
        while len(finished) < 200:
            taken = pool.take(timeout_s=30.0)
            assert taken and all(outcome.scores[0].verdict is Verdict.RIGHT for _, outcome in taken)
            finished.update(key for key, _ in taken)
        assert finished == set(range(1, 201)) and time.monotonic() - begin < 20.0
        assert pool.outstanding == 1 and pool.restarts == 0


def test_a_verifier_that_leaks_is_recycled_before_it_grows_far(plugin: str) -> None:
    with VerifierPool([VerifierSpec("it", f"{plugin}:Tally")], workers=1, recycle_growth_mib=32) as pool:
        for _ in range(40):  # 4 MiB each: 160 MiB in all, and never over about 40 at once
            judge(pool, ["4"])
        largest = max(int(outcome.scores[0].reason) for outcome in judge(pool, ["4"] * 2))
        assert pool.restarts == 0
    assert 1 <= largest <= 12


def test_a_full_queue_makes_submit_wait_and_loses_nothing(plugin: str) -> None:
    with VerifierPool([VerifierSpec("nasty", f"{plugin}:Nasty")], workers=1, queue_bytes=10_000) as pool:
        outcomes = judge(pool, ["x" * 2_000] * 200)
    assert [outcome.scores[0].verdict for outcome in outcomes] == [Verdict.WRONG] * 200


def test_closing_wakes_whoever_waits_at_a_full_queue(plugin: str) -> None:
    pool = VerifierPool([VerifierSpec("nasty", f"{plugin}:Nasty")], workers=1, deadline_s=60.0, queue_bytes=10)
    refused: list[str] = []

    def fill() -> None:
        try:
            for index in range(100):
                pool.submit(index, PROMPT, "hang")
        except VerifierError as error:
            refused.append(str(error))

    thread = threading.Thread(target=fill)
    thread.start()
    wait_for(lambda: pool.outstanding >= 2)
    pool.close()
    thread.join(timeout=20.0)
    assert len(refused) == 1 and "it has been closed" in refused[0]


def test_deadline_runs_from_the_start_of_the_work_not_from_submission(plugin: str) -> None:
    with VerifierPool([VerifierSpec("slow", f"{plugin}:Slow")], workers=1, deadline_s=0.4) as pool:
        outcomes = judge(pool, ["0.1"] * 8 + ["5"] + ["0.1"] * 2)
    assert [outcome.failure for outcome in outcomes] == [""] * 8 + ["timeout"] + [""] * 2
    assert 0.4 <= outcomes[8].scores[0].seconds < 2.0


def test_result_streams_before_the_rest_is_done(plugin: str) -> None:
    with VerifierPool([VerifierSpec("slow", f"{plugin}:Slow")], workers=2, deadline_s=5.0) as pool:
        pool.submit("slow", PROMPT, "2")
        pool.submit("quick", PROMPT, "0")
        begin = time.monotonic()
        assert [key for key, _ in pool.take(timeout_s=10.0)] == ["quick"]
        assert time.monotonic() - begin < 1.5 and pool.outstanding == 1
        assert pool.take(timeout_s=0.05) == []


def test_worker_count_does_not_change_results(plugin: str) -> None:
    responses = ["4", "5", "raise", "4", "no score"] * 100
    verdicts = []
    for workers in (1, 3):
        with VerifierPool([VerifierSpec("nasty", f"{plugin}:Nasty")], workers=workers) as pool:
            scores = [outcome.scores[0] for outcome in judge(pool, responses)]
            verdicts.append([(score.verdict, score.reward, score.reason) for score in scores])
    assert verdicts[0] == verdicts[1]


def test_workers_are_recycled_and_import_no_torch(plugin: str) -> None:
    with VerifierPool([VerifierSpec("nasty", f"{plugin}:Nasty")], workers=1, recycle_after=5) as pool:
        pids: list[str] = []
        for _ in range(4):
            pids += {outcome.scores[0].reason for outcome in judge(pool, ["pid"] * 5)}
        assert len(pids) == len(set(pids)) == 4 and str(os.getpid()) not in pids
        assert pool.restarts == 0
        assert judge(pool, ["modules"])[0].scores[0].reason == ""


def test_thousands_a_second(plugin: str) -> None:
    with VerifierPool([VerifierSpec("nasty", f"{plugin}:Nasty")], workers=2) as pool:
        begin = time.perf_counter()
        judge(pool, ["4"] * 20_000)
        assert 20_000 / (time.perf_counter() - begin) > 5_000


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        ("NoVerify", {}, "has no method verify"),
        ("Nasty", {"colour": "red"}, r"does not take the options \{'colour': 'red'\}"),
        ("SlowStart", {}, "3 workers in a row were lost while starting; the last took over 0.3 s"),
        ("DiesAtStart", {}, "(?s)lost while starting; the last exited with code 7: dying words"),
        ("Absent", {}, "has no 'Absent'"),
    ],
)
def test_a_pool_that_cannot_start_says_why(plugin: str, target: str, options: dict[str, str], says: str) -> None:
    limit_s = 0.3 if target == "SlowStart" else 60.0
    with pytest.raises(VerifierError, match=says):
        VerifierPool([VerifierSpec("it", f"{plugin}:{target}", options)], workers=1, start_timeout_s=limit_s)


def test_misuse_is_refused(plugin: str) -> None:
    spec = VerifierSpec("it", f"{plugin}:Nasty")
    with pytest.raises(PluginError, match="a name of its own"):
        VerifierPool([spec, spec])
    with pytest.raises(PluginError, match="there is no file"):
        VerifierPool([VerifierSpec("it", "./absent.py:Nasty")])
    pool = VerifierPool([spec], workers=1)
    with pytest.raises(PluginError, match=r"'p' \(here\): metadata cannot be pickled"):
        pool.submit(0, Prompt("p", "", "", metadata={"f": lambda: 0}, source="here"), "4")
    pool.close()
    pool.close()
    with pytest.raises(VerifierError, match="closed"):
        pool.submit(0, PROMPT, "4")


def test_workers_die_with_a_killed_parent(plugin: str, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    program = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from rl_reason.rewards.pool import VerifierPool, VerifierSpec\n"
        "from rl_reason.types import Prompt\n"
        f"pool = VerifierPool([VerifierSpec('n', {plugin + ':Nasty'!r}, {{'note': {str(note)!r}}})], deadline_s=600)\n"
        "for index in range(2): pool.submit(index, Prompt('p', '', ''), 'note and sleep')\n"
        "pool.take()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_for(lambda: note.exists() and len(note.read_text().split()) == 2)
        pids = [int(pid) for pid in note.read_text().split()]
        assert all(alive(pid) for pid in pids)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids))


def wait_for(condition, limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_verify_command_keeps_order_and_fields(plugin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"answer": "4", "response": response, "id": n} for n, response in enumerate(["4", "5", "raise"] * 200)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    verify([f"{plugin}:Nasty"], source, target, workers=2, deadline=5.0, option=[])
    judged = [json.loads(line) for line in target.read_text().splitlines()]
    assert [{key: row[key] for key in ("answer", "response", "id")} for row in judged] == rows
    assert [(row["score"], row["correct"]) for row in judged[:3]] == [(1.0, True), (0.0, False), (None, None)]
    assert judged[2]["reason"] == "Nasty: verifier raised KeyError: 'nothing there'" and judged[0]["seconds"] >= 0
    assert "200 right, 200 wrong, 200 could not be judged" in " ".join(capsys.readouterr().err.split())


def test_verify_command_leaves_no_half_file(plugin: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    target.write_text("precious")
    source.write_text('{"answer": "4", "response": "4"}\n{"answer": 4, "response": ""}\n')
    with pytest.raises(DataError, match=r"in\.jsonl:2: 'answer' must be a string"):
        verify([f"{plugin}:Nasty"], source, target)
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "nasty.py", "out.jsonl"]


def test_verify_command_compares_verifiers(plugin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target, disputed = (tmp_path / name for name in ("in.jsonl", "out.jsonl", "disputed.jsonl"))
    rows = [{"answer": "4", "response": response, "answer2": "5"} for response in ["4", "5", "raise", "6"]]
    source.write_text("\n" + "".join(json.dumps(row) + "\n" for row in rows))
    verifiers = [f"{plugin}:Nasty", f"field={plugin}:Field"]
    verify(verifiers, source, target, option=["field.key=answer2"], disagreements=disputed)
    judged = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["correct"] for row in judged] == [True, False, None, False]
    assert [row["verifiers"]["Nasty"]["correct"] for row in judged] == [True, False, None, False]
    assert [row["verifiers"]["field"]["correct"] for row in judged] == [False, True, False, False]
    assert judged[2]["verifiers"]["Nasty"]["reason"] == "verifier raised KeyError: 'nothing there'"
    lines = [json.loads(line) for line in disputed.read_text().splitlines()]
    assert lines == [{"line": 2, **judged[0]}, {"line": 3, **judged[1]}]
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "1 right, 2 wrong, 1 could not be judged" in said and "2 of them judged otherwise by a later verifier" in said
    )


def test_lines_are_written_in_order_though_an_early_one_hangs(plugin: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"answer": "4", "response": r}) + "\n" for r in ["hang", *["4"] * 20_000]))
    seen: list[int] = []
    with VerifierPool([VerifierSpec("nasty", f"{plugin}:Nasty")], workers=2, deadline_s=3.0) as pool:
        counts = verify_file(pool, source=source, target=target, on_progress=lambda counts: seen.append(counts.total))
    assert (counts.right, counts.unjudged) == (20_000, 1)
    assert [json.loads(line)["correct"] for line in target.read_text().splitlines()] == [None] + [True] * 20_000
    assert seen[-2] == 20_000  # nothing waited for the one that hangs


def test_the_readme_can_be_followed_literally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (Path(__file__).parents[2] / "verifiers" / "README.md").read_text()
    blocks = dict(reversed(re.findall(r"```(\w+)\n(.*?)```", readme, re.S)))
    (tmp_path / "my_check.py").write_text(blocks["python"])
    (tmp_path / "cases.jsonl").write_text(blocks["json"])
    monkeypatch.chdir(tmp_path)
    command = re.search(
        r"^rl-reason verify --verifier (\S+) --input (\S+) --output (\S+) --option (\S+)$", readme, re.M
    )
    assert command is not None and len(blocks["python"].strip().splitlines()) <= 20
    verifier, source, target, option = command.groups()
    verify([verifier], Path(source), Path(target), option=[option])
    assert [json.loads(line)["correct"] for line in Path(target).read_text().splitlines()] == [True, False]
