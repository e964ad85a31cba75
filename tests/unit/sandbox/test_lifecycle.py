"""The fork-server's life: it ends with its owner, is started again when killed, runs as root and as anybody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import rl_reason.sandbox.levels as levels
from rl_reason.errors import SandboxError
from rl_reason.sandbox import Call, Job, Level, Sandbox, Status, call_all, drive, missing
from rl_reason.sandbox.inside.landlock import SCOPES_SIGNALS, abi

ROOT = Path(__file__).parents[3]
SYSTEM_PYTHON = "/usr/bin/python3"
OWNER = """
import sys, time
from rl_reason.sandbox import Job, Sandbox, drive
sandbox = Sandbox()
source = "import os\\nos.fork(); print('up', flush=True)\\nwhile True: pass"
running = sandbox.start(Job({"kind": "python", "source": source}))
while b"up" not in running._texts["stdout"]:
    drive([running])
print(sandbox.server_pids[0], flush=True)
time.sleep(60)
"""
CORE = """
import os, sys
from rl_reason.sandbox import Call, Job, Limits, Sandbox, call_all, judge, prepare
limits = Limits(time_s=0.5, wall_s=5, memory_mib=256)
with Sandbox({level!r}) as s:
    def status(source):
        return s.run(Job({{"kind": "python", "source": source}}, limits=limits)).status.value
    print(status("print(1)"), status("while True: pass"), status("bytearray(1 << 40)"), sep=", ")
    print(status("import socket; socket.socket()"), status("open('/etc/shadow')"), sep=", ")
    print(status("import os\\nwhile True:\\n    try: os.fork()\\n    except OSError: pass"))
    print(call_all(s, ["def f(x): return x + 1"], [Call("f", (2,))])[0][0].value)
    print(judge(s, ["def f(x): return x + 1"], tests=["for i in range(9): assert f(i) == i + 1"]).outcome)
    print(os.geteuid() == {uid})
"""


def eventually(true: Callable[[], bool], patience_s: float = 10.0) -> bool:
    end = time.monotonic() + patience_s
    while not true() and time.monotonic() < end:
        time.sleep(0.01)  # of another process's end there is no event to wait for
    return true()


def descendants(pid: int) -> set[int]:
    found = {pid}
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found |= descendants(int(child))
    return found


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_owner_that_dies_takes_everything_along(sandbox: Sandbox, how: signal.Signals) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert owner.stdout is not None
    server = int(owner.stdout.readline())
    family = descendants(server)
    assert len(family) >= 4  # fork-server, process 1, the program and its child
    owner.send_signal(how)
    owner.wait()
    owner.stdout.close()
    assert eventually(lambda: not any(alive(pid) for pid in family)), [pid for pid in family if alive(pid)]


def test_a_fork_server_that_is_killed_is_started_again(sandbox: Sandbox) -> None:
    with Sandbox() as own:
        first = own.server_pids[0]
        running = own.start(Job({"kind": "python", "source": "while True: pass"}))
        os.kill(first, signal.SIGKILL)
        while running.done is None:
            drive([running])
        assert running.done.status is Status.FAULT  # not the program's doing: never a verdict
        assert own.run(Job({"kind": "python", "source": "print(3)"})).stdout == b"3\n"
        assert own.server_pids[0] != first


def test_many_jobs_come_back_in_order(sandbox: Sandbox) -> None:
    jobs = (
        Job({"kind": "python", "source": f"import time; time.sleep({0.2 * (n == 0)}); print({n})"}) for n in range(9)
    )
    assert [int(one.stdout) for one in sandbox.run_many(jobs, at_once=3)] == list(range(9))


def test_stopping_in_the_middle_ends_what_is_under_way(sandbox: Sandbox) -> None:
    many = sandbox.run_many(
        [Job({"kind": "python", "source": "print(1)"}), *[Job({"kind": "python", "source": "while True: pass"})] * 3]
    )
    assert next(many).stdout == b"1\n"
    many.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert not [family for pid in sandbox.server_pids if len(family := descendants(pid)) > 2]  # it and its process 1


def test_programs_keep_to_their_own_streams(sandbox: Sandbox) -> None:
    source = "import sys\nprint(sys.stdin.buffer.read()[::-1]); print('é', file=sys.stderr)\nsys.exit(3)"
    done = sandbox.run(Job({"kind": "python", "source": source}, b"\x00\xff\n"))
    assert (done.stdout, done.stderr, done.exit_code) == (b"b'\\n\\xff\\x00'\n", "é\n".encode(), 3)


@pytest.mark.parametrize("source", ["def f(:", "1/0", "def f(): g()\nf()"])
def test_tracebacks_show_the_program_and_nothing_of_ours(sandbox: Sandbox, source: str) -> None:
    answers, called = call_all(sandbox, [source], [Call("f", ())])
    run = sandbox.run(Job({"kind": "python", "source": source}))
    assert answers == [] and b"inside" not in called.stderr + run.stderr
    assert run.stderr == called.stderr and b'File "main.py", line ' in run.stderr


def test_a_tool_that_is_not_there_is_a_fault_not_a_verdict(sandbox: Sandbox) -> None:
    done = sandbox.run(Job({"kind": "exec", "argv": ["no-such-tool"]}))
    assert done.status is Status.FAULT and "no-such-tool" in done.detail


@pytest.mark.parametrize(("path", "bad"), [("max_user_namespaces", "0"), ("unprivileged_userns_clone", "0")])
def test_a_host_without_user_namespaces_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, bad: str
) -> None:
    (tmp_path / path).write_text(bad + "\n")
    switches = tuple((str(tmp_path / Path(at).name), value, what) for at, value, what in levels._SWITCHES)
    monkeypatch.setattr(levels, "_SWITCHES", switches)
    with pytest.raises(SandboxError, match=rf"user namespaces \(sysctl .*{path} is {bad}\)"):
        Sandbox()
    assert missing(Level.RLIMITS) == []


def test_no_landlock_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels.landlock, "abi", lambda: 0)
    assert missing(Level.FULL) == missing(Level.NO_NAMESPACES) == ["Landlock (Linux 5.13, enabled at boot)"]
    monkeypatch.setattr(levels.landlock, "abi", lambda: 3)
    assert missing(Level.FULL) == [] and "ABI 6" in missing(Level.NO_NAMESPACES)[0]


def test_an_unknown_level_and_a_missing_interpreter_are_refused() -> None:
    with pytest.raises(ValueError, match="fulll"):
        Sandbox("fulll")
    with pytest.raises(SandboxError, match="/no/python cannot be started"):
        Sandbox(Level.RLIMITS, python="/no/python")


def test_an_interpreter_that_the_programs_user_cannot_read_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: programs have this user's rights")
    home = tmp_path / "python"
    shutil.copytree(Path(sys.base_prefix) / "bin", home / "bin", symlinks=True)
    (home / "lib").symlink_to(Path(sys.base_prefix) / "lib")
    tmp_path.chmod(0o700)
    with pytest.raises(SandboxError, match="Permission denied"):
        Sandbox(Level.RLIMITS, python=str(home / "bin" / Path(sys._base_executable).resolve().name))


@pytest.mark.parametrize("level", list(Level))
def test_every_level_survives_its_fork_server(sandbox: Sandbox, level: Level) -> None:
    if level is Level.NO_NAMESPACES and abi() < SCOPES_SIGNALS:
        pytest.skip("Landlock here does not keep signals inside")
    source = "import cmath, os\nif os.fork(): print(cmath.pi > 3, flush=True)\nos.open('x', os.O_CREAT)"
    if level is not Level.FULL and not Path(SYSTEM_PYTHON).exists():
        pytest.skip(f"there is no {SYSTEM_PYTHON}, which any user could run")
    with Sandbox(level, python="" if level is Level.FULL else SYSTEM_PYTHON, servers=2) as own:
        folders = len(list(Path("/tmp").glob("rl-reason-sandbox-*")))
        assert [one.stdout for one in own.run_many([Job({"kind": "python", "source": source})] * 4)] == [b"True\n"] * 4
        assert len(list(Path("/tmp").glob("rl-reason-sandbox-*"))) == folders
        waits = own.start(Job({"kind": "python", "source": "import time; time.sleep(9)"}))
        os.kill(own.server_pids[0], signal.SIGKILL)
        while waits.done is None:
            drive([waits])
        assert waits.done.status is Status.FAULT  # the machine's, never the program's
        assert own.run(Job({"kind": "python", "source": source})).stdout == b"True\n"


@pytest.mark.skipif(not Path(SYSTEM_PYTHON).exists(), reason=f"there is no {SYSTEM_PYTHON}, which any user could run")
@pytest.mark.parametrize("user", ["root", "nobody"])
@pytest.mark.parametrize("level", list(Level))
def test_the_core_works_as_root_and_as_nobody_at_every_level(
    sandbox: Sandbox, tmp_path: Path, level: Level, user: str
) -> None:
    if level is Level.NO_NAMESPACES and abi() < SCOPES_SIGNALS:
        pytest.skip("Landlock here does not keep signals inside")
    if user == "root" and os.geteuid() != 0:
        pytest.skip("not root")
    folder = Path("/tmp") / f"rl-reason-core-{os.getpid()}"  # pytest's own is not for other users' eyes
    shutil.copytree(ROOT / "rl_reason" / "sandbox", folder / "rl_reason" / "sandbox")
    for name in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "rl_reason" / name, folder / "rl_reason")
    other = 0 if user == "root" or os.geteuid() != 0 else 65534
    who = {"user": other, "group": other, "extra_groups": []} if other else {}
    try:
        done = subprocess.run(
            [SYSTEM_PYTHON, "-c", CORE.format(level=level.value, uid=other or os.geteuid())],
            cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=120, **who,
        )  # fmt: skip
    finally:
        shutil.rmtree(folder)
    network = "ok" if level is Level.RLIMITS else "forbidden system call"
    expected = f"ok, time-out, out of memory\n{network}, runtime error\ntime-out\n3\npassed\nTrue\n"
    assert done.stdout == expected, done.stderr
