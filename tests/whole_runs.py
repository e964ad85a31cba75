"""Whole recipes in processes of their own: started, waited for, and what they leave."""

import json
import subprocess
import sys
import time

from rl_reason.tracking.metric_names import depends_on_clock


def start(recipe, out, verb="run", *words):
    command = [sys.executable, "-m", "rl_reason.cli.main", verb, *words, str(recipe), "--out", str(out)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=recipe.parent, start_new_session=True
    )


def finish(process):
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output[-4000:]
    return output


def rows(out):
    path = out / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def without_times(out):
    return [{name: value for name, value in row.items() if not depends_on_clock(name)} for row in rows(out)]


def wait_for(out, stage, iteration, process):
    end = time.monotonic() + 200
    while not any(row["stage"] == stage and row["iteration"] >= iteration for row in rows(out)):
        assert process.poll() is None and time.monotonic() < end, process.stdout.read()[-4000:]
        time.sleep(0.02)
