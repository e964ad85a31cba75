"""Checkpoints against the ways that machines fail: kill -9 while saving, a full disk."""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import save_file

from rl_reason.errors import CheckpointError
from rl_reason.tracking.atomic import write_text_atomic
from rl_reason.tracking.checkpoints import CheckpointStore
from rl_reason.tracking.jsonl import JsonlTracker

SAVE_FOR_EVER = """
import sys
from pathlib import Path
from rl_reason.tracking.checkpoints import CheckpointStore
from rl_reason.tracking.jsonl import JsonlTracker

folder = Path(sys.argv[1])
store = CheckpointStore(folder / "checkpoints", keep=2)
tracker = JsonlTracker(folder / "metrics.jsonl", folder / "trajectories", stage="01-rl")
found = store.newest()
start = found.step if found else 0
tracker.rewind(start)

def write(step):
    def into(folder):
        for part in range(4):
            (folder / f"part{part}.bin").write_bytes(bytes([step % 256]) * 150_000)
    return into

for iteration in range(start, 10**6):
    tracker.log({"iteration": iteration, "stage": "rl", "value": iteration / 3})
    store.save(iteration + 1, write(iteration + 1), {"double": 2 * (iteration + 1)})
    print(iteration, flush=True)
"""


def test_kill_9_at_any_moment_leaves_a_whole_checkpoint_and_the_uninterrupted_runs_metrics(tmp_path):
    rng = random.Random(0)
    reached = 0
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # it has begun to save
        time.sleep(rng.uniform(0, 0.06))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        found = CheckpointStore(tmp_path / "checkpoints", keep=2).newest()
        assert found is not None and found.damaged == ()
        assert found.step >= reached
        assert found.state == {"double": 2 * found.step}
        assert (found.path / "part3.bin").read_bytes() == bytes([found.step % 256]) * 150_000
        reached = found.step
    assert reached >= 12
    tracker = JsonlTracker(tmp_path / "metrics.jsonl", tmp_path / "trajectories", stage="01-rl")
    tracker.rewind(reached)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"iteration": k, "stage": "01-rl", "value": k / 3} for k in range(reached)
    ]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder, megabytes):
    (folder / "ballast").write_bytes(bytes(int(megabytes * 1e6)))


WRITERS = {
    "plain": lambda folder: (folder / "a.bin").write_bytes(bytes(1_500_000)),
    "torch.save": lambda folder: torch.save({"a": torch.zeros(375_000)}, folder / "a.pt"),
    "safetensors": lambda folder: save_file({"a": torch.zeros(375_000)}, folder / "a.safetensors"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_named_and_the_last_checkpoint_stays_good(small_disk, kind):
    store = CheckpointStore(small_disk, keep=2)
    store.save(1, lambda folder: (folder / "a.bin").write_bytes(b"small"), {"n": 1})
    fill(small_disk, 1)
    with pytest.raises(CheckpointError, match=r"step-000002: no space left.*MB are free.*step-000001, is good"):
        store.save(2, WRITERS[kind], {"n": 2})
    assert sorted(path.name for path in small_disk.iterdir()) == ["ballast", "step-000001"]
    (small_disk / "ballast").unlink()
    found = store.newest()
    assert found is not None and found.state == {"n": 1}
    store.save(2, WRITERS[kind], {"n": 2})
    found = store.newest()
    assert found is not None and found.step == 2


def test_a_disk_that_is_full_to_the_last_byte_stops_metrics_and_reports_with_a_message(small_disk):
    tracker = JsonlTracker(small_disk / "metrics.jsonl", small_disk / "trajectories", stage="01-rl")
    tracker.log({"iteration": 0, "stage": "rl"})
    write_text_atomic(small_disk / "report.html", "old")
    with pytest.raises(OSError, match="No space left"):
        fill(small_disk, 3)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: no space left"):
        for iteration in range(1, 200):
            tracker.log({"iteration": iteration, "stage": "rl", "filler": "x" * 100})
    with pytest.raises(CheckpointError, match=r"report\.html: no space left"):
        write_text_atomic(small_disk / "report.html", "new" * 10_000)
    assert (small_disk / "report.html").read_text() == "old"
    (small_disk / "ballast").unlink()
    reopened = JsonlTracker(small_disk / "metrics.jsonl", small_disk / "trajectories", stage="01-rl")
    reopened.rewind(1)
    assert (small_disk / "metrics.jsonl").read_text() == '{"iteration": 0, "stage": "01-rl"}\n'


def test_a_file_size_limit_is_named_too(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    store.save(1, lambda folder: (folder / "a.bin").write_bytes(b"small"), {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"step-000002: no space left.*step-000001, is good"):
            store.save(2, WRITERS["plain"], {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]
