"""The sandbox's figures: start-up, HumanEval and MBPP through the pool, mutants, neighbours, what is left behind.

python benchmarks/sandbox.py [--only start|programs|mutants|neighbours|leftovers] [--executions 10000] [--level full]
Needs ../shared/data (HumanEval.jsonl.gz, mbpp.jsonl) for programs and mutants; skips them without. Exit code 1 when a
floor is missed.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rl_reason.rewards.pool import VerifierPool, VerifierSpec
from rl_reason.sandbox import Job, Limits, Sandbox, Status, drive
from rl_reason.types import Prompt, Verdict

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
Row = tuple[str, str, str, dict[str, Any]]
"""Name, prompt's text, code, metadata."""

_FIRST_UID = 2_000_000_000
_PASS = Job({"kind": "python", "source": "pass"})
_HONEST = Job({"kind": "python", "source": "total = 0\nfor i in range(2_000_000): total += i * i\nprint(total)"})
_ATTACKS = {
    "spinning (honest)": "while True: pass",
    "fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "threads": "import threading\nfor _ in range(99):\n"
    "    try: threading.Thread(target=lambda: sum(iter(int, 1))).start()\n"
    "    except RuntimeError: pass\nwhile True: pass",
    "memory, slowly": "x = []\nwhile True: x.append(b'x' * 100_000)",
    "disk": "import os\nwhile True:\n    try:\n        with open('f', 'wb') as f:\n"
    "            while True: f.write(b'x' * 65536)\n    except OSError: os.unlink('f')",
    "system calls": "import os\nwhile True: os.stat('/')",
}


def main() -> None:
    """Print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["start", "programs", "mutants", "neighbours", "leftovers"])
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--level", default="full")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    figures = {
        "start": lambda: start_up(arguments.level),
        "programs": lambda: programs(arguments.level, arguments.workers),
        "mutants": lambda: mutants(arguments.level, arguments.workers),
        "neighbours": lambda: neighbours(arguments.level),
        "leftovers": lambda: leftovers(arguments.level, arguments.executions),
    }
    missed = 0
    for name in [arguments.only] if arguments.only else list(figures):
        for figure in figures[name]():
            print(json.dumps({"figure": name} | figure), flush=True)
            missed += figure.get("met") is False
    raise SystemExit(int(missed > 0))


def start_up(level: str) -> Iterator[dict[str, Any]]:
    """Milliseconds from the request to the end of a program that does nothing."""
    with Sandbox(level) as sandbox:
        times = sorted(sandbox.run(_PASS).seconds * 1000 for _ in range(400))
        before = time.perf_counter()
        count = sum(one.status is Status.OK for one in sandbox.run_many([_PASS] * 1000, at_once=3))
        rate = count / (time.perf_counter() - before)
    median = statistics.median(times)
    yield {"median_ms": median, "p95_ms": times[379], "per_second_3_at_once": rate, "met": median < 6}


def programs(level: str, workers: int) -> Iterator[dict[str, Any]]:
    """Reference solutions through the verifier pool."""
    for name, rows, floor in (("humaneval", humaneval(), 164), ("mbpp", mbpp(), 972)):
        if not rows:
            yield {"set": name, "skipped": f"{DATA} is not there"}
            continue
        verdicts, seconds = _judged(rows, level, workers)
        right = sum(verdict is Verdict.RIGHT for verdict, _ in verdicts.values())
        others = {key: reason for key, (verdict, reason) in verdicts.items() if verdict is not Verdict.RIGHT}
        rate = len(rows) / seconds
        yield {"set": name, "right": right, "of": len(rows), "per_second": rate, "met": right >= floor and rate >= 250}
        yield from ({"set": name, "not_right": key, "reason": reason} for key, reason in list(others.items())[:9])


def mutants(level: str, workers: int) -> Iterator[dict[str, Any]]:
    """The same solutions with every function returning None at once: they should fail."""
    for name, rows in (("humaneval", humaneval()), ("mbpp", mbpp())):
        if rows:
            mutated = [(key, text, _returning_none(code), metadata) for key, text, code, metadata in rows]
            verdicts, _ = _judged(mutated, level, workers)
            wrong = sum(verdict is Verdict.WRONG for verdict, _ in verdicts.values())
            passed = [key for key, (verdict, _) in verdicts.items() if verdict is Verdict.RIGHT]
            share = wrong / len(rows)
            yield {"set": name, "wrong": wrong, "of": len(rows), "right": passed, "met": share >= 0.99}


def neighbours(level: str) -> Iterator[dict[str, Any]]:
    """An honest program's time beside an attack, against its time beside one honest program that spins."""
    limits = Limits(time_s=60, wall_s=60, memory_mib=512)
    base = 0.0
    with Sandbox(level) as ours, Sandbox(level) as theirs:
        for name, source in _ATTACKS.items():
            attack = theirs.start(Job({"kind": "python", "source": source}, limits=limits))
            times = []
            for _ in range(9):
                while attack.done is not None:
                    attack = theirs.start(Job({"kind": "python", "source": source}, limits=limits))
                honest = ours.start(_HONEST)
                while honest.done is None:
                    drive([honest, attack])
                times.append(honest.done.seconds)
            theirs.stop([attack])
            median = statistics.median(times)
            base = base or median
            yield {"beside": name, "median_s": median, "slower": median / base, "met": median / base <= 1.2}


def leftovers(level: str, executions: int) -> Iterator[dict[str, Any]]:
    """What so many executions, every tenth of them hostile, leave behind."""
    daemons = "import os, time\nif os.fork():\n    os._exit(0)\nfor _ in range(3): os.fork()\nos.setpgid(0, 0)\n"
    hostile = Job({"kind": "python", "source": f"{daemons}open('/tmp/f', 'w').write('x')\ntime.sleep(9)"})
    jobs = (hostile if number % 10 == 0 else _PASS for number in range(executions))
    before = _census()
    with Sandbox(level) as sandbox:
        begun = time.perf_counter()
        ended = sum(one.status is Status.OK for one in sandbox.run_many(jobs, at_once=3))
        rate = executions / (time.perf_counter() - begun)
        descriptors = len(os.listdir("/proc/self/fd"))
    after = _census()
    same = before == after
    yield {"executions": executions, "ok": ended, "per_second": rate, "descriptors": descriptors, "before": before,
           "after": after, "met": same}  # fmt: skip


def humaneval() -> list[Row]:
    """Name, prompt, whole solution, tests; empty where the data is not there."""
    path = DATA / "HumanEval.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()] if path.exists() else []
    return [
        (row["task_id"], row["prompt"], row["prompt"] + row["canonical_solution"],
         {"tests": {"test": row["test"], "entry_point": row["entry_point"]}})
        for row in rows
    ]  # fmt: skip


def mbpp() -> list[Row]:
    """As `humaneval`."""
    path = DATA / "mbpp.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(str(row["task_id"]), row["text"], row["code"], row) for row in rows]


def _judged(rows: list[Row], level: str, workers: int) -> tuple[dict[str, tuple[Verdict, str]], float]:
    spec = VerifierSpec("code_tests", "rl_reason_verifiers.code_tests:CodeTests", {"level": level})
    verdicts: dict[str, tuple[Verdict, str]] = {}
    with VerifierPool([spec], workers=workers) as pool:
        pool.submit("warm", Prompt("warm", "", "", metadata={"tests": ["assert f() == 1"]}), "def f(): return 1")
        pool.take(timeout_s=60)
        begun = time.perf_counter()
        for key, text, code, metadata in rows:
            pool.submit(key, Prompt(key, text, "", metadata=metadata), f"```python\n{code}\n```")
        while pool.outstanding:
            for key, outcome in pool.take(timeout_s=60):
                verdicts[str(key)] = (outcome.scores[0].verdict, outcome.scores[0].reason)
        return verdicts, time.perf_counter() - begun


def _returning_none(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body.insert(0, ast.Return(ast.Constant(None)))
    return ast.unparse(ast.fix_missing_locations(tree))


def _census() -> dict[str, int]:
    """Processes of sandbox users, zombies of this one, mounts, cgroups, working folders."""
    time.sleep(0.5)  # the kernel takes namespaces apart after the last process has gone
    own = _FIRST_UID + os.getpid()  # the uid of this process's fork-servers, where it is root
    users = _lines("ps", "-eo", "uid=")
    children = _lines("ps", "-o", "stat=", "--ppid", str(os.getpid()))
    return {
        "sandbox_processes": sum(int(uid) == own for uid in users),
        "zombies": sum(state.strip().startswith("Z") for state in children),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "cgroups": sum(int(line.split()[2]) for line in Path("/proc/cgroups").read_text().splitlines()[1:]),
        "tmp": sum(path.name.startswith("rl-reason-sandbox") for path in Path("/tmp").iterdir() if _owned(path, own)),
    }


def _owned(path: Path, uid: int) -> bool:
    return path.stat(follow_symlinks=False).st_uid == uid


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


if __name__ == "__main__":
    main()
