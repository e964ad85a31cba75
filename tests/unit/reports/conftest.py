from __future__ import annotations

import math

import numpy as np
import pytest

from rl_reason.tracking.jsonl import JsonlTracker
from rl_reason.tracking.run_folder import RunFolder
from rl_reason.types import Group, Prompt, Score, Segment, StopReason, Trajectory, Verdict

HOSTILE = (
    "</script><script>document.title='HACKED'</script><img src=x onerror=\"document.title='HACKED'\">\u2028\u2029&amp;"
)


def make_group(name: str, texts: list[str]) -> Group:
    prompt = Prompt(name, f"question {name} <b>", "42")
    segments = (Segment(np.array([1, 2], np.int32), np.array([-0.5, -0.5], np.float32), 0),)
    trajectories = tuple(Trajectory(prompt, k, segments, StopReason.STOP, text) for k, text in enumerate(texts))
    scores = tuple(
        Score(Verdict.UNJUDGED, None, {}, "timed out")
        if k == 1
        else Score(Verdict.RIGHT, 1.0, {"exact": 1.0}, "<i>equal</i>")
        for k in range(len(texts))
    )
    return Group(prompt, trajectories, scores)


@pytest.fixture
def run(tmp_path):
    """A run of two stages, the second under way: 01-sft finished, 02-rl at iteration 6, responses every other one."""
    folder = RunFolder(tmp_path / "run <1>")
    folder.create()
    folder.write_resolved("name: <script>alert(1)</script>\n")
    folder.record_start(recipe="x", seeds={"run": 1}, parents=[])
    sft, rl = folder.stage(1, "sft"), folder.stage(2, "rl")
    tracker = JsonlTracker(folder.metrics, folder.trajectories, stage=sft.label)
    for iteration in range(3):
        tracker.log({"iteration": iteration, "stage": "sft", "learner/loss": 2.0 - iteration, "time/iteration_s": 0.5})
    evaluation = {"accuracy": 0.481, "low": 0.459, "high": 0.503, "problems": 512, "samples": 4, "tokens_mean": 92.4}
    sft.finish({"kind": "sft", "seconds": 41.2, "iterations": 3, "evaluation": evaluation})
    tracker = JsonlTracker(folder.metrics, folder.trajectories, stage=rl.label, every=2)
    for iteration in range(7):
        metrics = {"iteration": iteration, "stage": "rl", "reward/mean": 0.5 + iteration / 20, "time/iteration_s": 2.0}
        metrics |= {"accuracy/train": 0.5, "policy/logprob_gap_max": 1e-6, "response/tokens_total": 1000}
        if iteration == 4:
            metrics |= {"accuracy/eval": 0.61, "accuracy/eval_low": 0.59, "accuracy/eval_high": 0.63}
        tracker.log(metrics)
        groups = [make_group(f"p{iteration}", ["fine", HOSTILE]), make_group(f"q{iteration}", ["a", "b", "c"])]
        tracker.log_groups(iteration, groups, [[0.5, math.nan], [0.0, math.nan, 0.0]])
    return folder
