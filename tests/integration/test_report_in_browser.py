"""The report in a real browser: hostile responses show as text and run nothing."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from rl_reason.reports.page import write_report
from rl_reason.tracking.jsonl import JsonlTracker
from rl_reason.tracking.run_folder import RunFolder
from rl_reason.types import Group, Prompt, Score, Segment, StopReason, Trajectory, Verdict

BROWSER = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
HOSTILE = "</script><script>document.title='HACKED'</script><img src=x onerror=\"document.title='HACKED'\">"


@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_a_hostile_response_shows_as_text_and_runs_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_resolved("name: x\n")
    stage = folder.stage(1, "rl")
    tracker = JsonlTracker(folder.metrics, folder.trajectories, stage=stage.label)
    prompt = Prompt("p", f"prompt {HOSTILE}", f"answer {HOSTILE}")
    segment = Segment(np.array([1], np.int32), np.array([-0.5], np.float32), 0)
    trajectory = Trajectory(prompt, 0, (segment,), StopReason.STOP, f"response {HOSTILE}")
    score = Score(Verdict.RIGHT, 1.0, {f"part {HOSTILE}": 1.0}, f"reason {HOSTILE}")
    tracker.log_groups(0, [Group(prompt, (trajectory,), (score,))], [[0.0]])
    report = write_report(folder.path)
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([*command, report.as_uri()], capture_output=True, text=True, timeout=60, check=True, env=home)
    title = done.stdout.split("<title>", 1)[1].split("</title>", 1)[0]
    assert title == "run · rl-reason"
    shown = "&lt;/script&gt;&lt;script&gt;document.title='HACKED'&lt;/script&gt;&lt;img src=x onerror="
    for what in ("prompt", "answer", "response", "part", "reason"):
        assert f"{what} {shown}" in done.stdout, what
