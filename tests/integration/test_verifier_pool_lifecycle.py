"""What a verifier pool leaves behind (nothing), where it may live, and that responses are scored while others come."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rl_reason.rewards.pool import VerifierPool, VerifierSpec
from rl_reason.rewards.scorer import PoolScorer
from rl_reason.rollout.phase import RolloutPhase
from rl_reason.types import Completion, Prompt, Request, Sampling, Segment, StopReason, Verdict

PLUGIN = '''
import os, time
from pathlib import Path
from rl_reason.types import Score, Verdict

class Noting:
    """Leaves a file for each response in a folder."""

    def __init__(self, *, folder=""):
        self.folder = folder

    def verify(self, prompt, response):
        if self.folder:
            Path(self.folder, response).write_text(str(os.getpid()))
        while response == "hang":
            time.sleep(1)
        return Score(Verdict.RIGHT, 1.0)
'''
PROMPT = Prompt("p", "", "4", tokens=(1,))


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "noting.py"
    path.write_text(PLUGIN)
    return f"{path}:Noting"


def wait_for(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def children(pid: int) -> set[int]:
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return {int(child) for text in lists for child in text.split()}


def held() -> tuple[int, set[int], set[str], set[str]]:
    """Open files, child processes, threads, and names in shared memory and the temporary folder."""
    names = in_shared_memory() | set(os.listdir(tempfile.gettempdir()))
    return len(os.listdir("/proc/self/fd")), children(os.getpid()), {t.name for t in threading.enumerate()}, names


def in_shared_memory() -> set[str]:
    """Names of ours, but for weights: a learner of another test, which runs beside this one, may have its own there."""
    return {name for name in os.listdir("/dev/shm") if "rl-reason" in name and ".safetensors" not in name}


def judge(pool: VerifierPool, count: int) -> int:
    """How many of so many are right."""
    for index in range(count):
        pool.submit(index, PROMPT, f"r{index % 50}")
    right = 0
    while pool.outstanding:
        right += sum(outcome.scores[0].verdict is Verdict.RIGHT for _, outcome in pool.take(timeout_s=30.0))
    return right


def test_after_ten_thousand_responses_nothing_is_left(
    plugin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with VerifierPool([VerifierSpec("it", plugin)], workers=1):
        pass  # what the first use loads for good
    before = held()
    with VerifierPool([VerifierSpec("it", plugin)], workers=2, recycle_after=1_000, deadline_s=0.3) as pool:
        assert judge(pool, 10_000) == 10_000
        pool.submit("guilty", PROMPT, "hang")
        assert pool.take(timeout_s=30.0)[0][1].failure == "timeout"
    assert held() == before


def test_a_killed_owner_leaves_no_worker(plugin: str, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from rl_reason.rewards.pool import VerifierPool, VerifierSpec\n"
        "from rl_reason.types import Prompt\n"
        f"spec = VerifierSpec('it', {plugin!r}, {{'folder': {str(tmp_path)!r}}})\n"
        "pool = VerifierPool([spec], workers=2, deadline_s=600, recycle_after=500)\n"
        "for index in range(2000): pool.submit(index, Prompt('p', '', ''), f'r{index % 9}')\n"
        "while pool.outstanding: pool.take()\n"
        "pool.submit('hang', Prompt('p', '', ''), 'hang')\n"
        "pool.take()\n"
    )
    names = in_shared_memory()
    owner = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_for(lambda: (tmp_path / "hang").exists() or owner.poll() is not None)
        workers = children(owner.pid)
        assert len(workers) == 2
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in workers))
    assert in_shared_memory() - names == set()


class SlowEngine:
    """Gives its responses one by one, the last only when the first has been scored."""

    def __init__(self, first_is_scored: Callable[[], bool]) -> None:
        self._first_is_scored = first_is_scored

    def generate(self, requests: list[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        for position, request in enumerate(requests):
            if position == len(requests) - 1:
                wait_for(self._first_is_scored)
            segment = Segment(np.array([position], np.int32), np.zeros(1, np.float32), 0)
            yield [Completion(request.id, segment, StopReason.STOP)]


def test_responses_are_scored_while_others_are_still_being_written(plugin: str, tmp_path: Path) -> None:
    pool = VerifierPool([VerifierSpec("it", plugin, {"folder": str(tmp_path)})], workers=1)
    engine = SlowEngine(lambda: (tmp_path / "response 0").exists())

    def decode(batch):
        return [f"response {tokens[0]}" for tokens in batch]

    scorer = PoolScorer(pool, [1.0])
    try:
        phase = RolloutPhase(engine, scorer, decode, Sampling(), 4, 0)  # type: ignore[arg-type]
        rolled_out = phase.start([PROMPT], iteration=0).finish()
    finally:
        scorer.close()
    assert [score.verdict for score in rolled_out.groups[0].scores] == [Verdict.RIGHT] * 4


def test_several_threads_share_a_pool_and_lose_nothing(plugin: str) -> None:
    with VerifierPool([VerifierSpec("it", plugin)], workers=2) as pool:

        def submit(start: int) -> None:
            for index in range(start, start + 500):
                pool.submit(index, PROMPT, "r")

        threads = [threading.Thread(target=submit, args=(500 * k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        keys: list[object] = []
        while pool.outstanding:
            keys += [key for key, _ in pool.take(timeout_s=30.0)]
    assert sorted(map(str, keys)) == sorted(map(str, range(2000)))


@pytest.mark.skipif(os.geteuid() != 0, reason="all the other tests run unprivileged then")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv, of util-linux")
def test_root_without_any_capability_has_the_same_pool(plugin: str) -> None:
    program = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from rl_reason.rewards.pool import VerifierPool, VerifierSpec\n"
        "from rl_reason.types import Prompt\n"
        f"with VerifierPool([VerifierSpec('it', {plugin!r})], workers=1, deadline_s=0.3) as pool:\n"
        "    for index, response in enumerate(['hang', '4']): pool.submit(index, Prompt('p', '', '4'), response)\n"
        "    found = {}\n"
        "    while pool.outstanding: found.update(pool.take(timeout_s=30))\n"
        "    print([found[index].scores[0].verdict.value for index in (0, 1)])\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('CapEff')).split()[1])\n"
    )
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "['unjudged', 'right']\n0000000000000000\n", done.stderr
