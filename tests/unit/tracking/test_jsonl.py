from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rl_reason.errors import CheckpointError
from rl_reason.tracking import trajectories
from rl_reason.tracking.jsonl import JsonlTracker, repair
from rl_reason.types import Group, Prompt, Score, Segment, StopReason, Trajectory, Verdict


def tracker(folder, stage="02-rl", **how):
    return JsonlTracker(folder / "metrics.jsonl", folder / "trajectories", stage=stage, **how)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def group(name="a", verdicts=(Verdict.RIGHT, Verdict.UNJUDGED), text="<think>1</think> \\boxed{1}"):
    prompt = Prompt(name, "1 + 0 = ?", "1")
    segments = (
        Segment(np.array([5, 6], np.int32), np.array([-0.5, -1.5], np.float32), 4),
        Segment(np.array([7], np.int32), np.array([-1.0], np.float32), 5),
    )
    made = tuple(Trajectory(prompt, k, segments, StopReason.STOP, text) for k in range(len(verdicts)))
    scores = tuple(
        Score(verdict, None if verdict is Verdict.UNJUDGED else 1.0, {"boxed_math": 1.0}, "equal", 0.25)
        for verdict in verdicts
    )
    return Group(prompt, made, scores)


def test_a_line_has_iteration_and_stage_first_and_plain_numbers(tmp_path):
    tracker(tmp_path).log(
        {
            "stage": "rl",
            "reward/mean": np.float32(0.5),
            "iteration": 3,
            "policy/kl": math.nan,
            "learner/steps": np.int64(4),
        }
    )
    expected = '{"iteration": 3, "stage": "02-rl", "learner/steps": 4, "policy/kl": null, "reward/mean": 0.5}\n'
    assert (tmp_path / "metrics.jsonl").read_text() == expected


def test_rewind_leaves_what_an_uninterrupted_run_would_have_had(tmp_path):
    sft, rl = tracker(tmp_path, "01-sft"), tracker(tmp_path)
    for iteration in range(4):
        sft.log({"iteration": iteration, "stage": "sft", "learner/loss": 1.0})
    for iteration in range(2):
        rl.log({"iteration": iteration, "stage": "rl", "reward/mean": iteration / 3})
        rl.log_groups(iteration, [group()], [[0.5, math.nan]])
    uninterrupted = (tmp_path / "metrics.jsonl").read_bytes()
    for iteration in range(2, 5):
        rl.log({"iteration": iteration, "stage": "rl", "reward/mean": 9.0})
        rl.log_groups(iteration, [group()], [[0.5, math.nan]])
    (tmp_path / "trajectories" / ".tmp-02-rl-000005.parquet-77").write_bytes(b"half")
    rl.rewind(2)
    assert (tmp_path / "metrics.jsonl").read_bytes() == uninterrupted
    assert sorted(path.name for path in (tmp_path / "trajectories").iterdir()) == [
        "02-rl-000000.parquet",
        "02-rl-000001.parquet",
    ]


def test_rewind_names_a_line_damaged_from_outside(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 0, "stage": "a"}\nrubbish\n{"iteration": 1, "stage": "a"}\n')
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl:2 is not JSON.*Delete that line"):
        tracker(tmp_path).rewind(0)


@pytest.mark.parametrize("torn", [b'{"iteration": 2, "sta', b"\0" * 40, b'{"iteration": 2}', b"17\n", b"\xff\xfe\n"])
def test_a_torn_last_line_is_dropped_when_the_tracker_opens(tmp_path, torn):
    whole = b'{"iteration": 0, "stage": "a"}\n{"iteration": 1, "stage": "a"}\n'
    (tmp_path / "metrics.jsonl").write_bytes(whole + torn)
    tracker(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == whole
    assert repair(tmp_path / "metrics.jsonl") == 0


def test_a_whole_file_is_not_rewritten(tmp_path):
    tracker(tmp_path).log({"iteration": 0, "stage": "rl"})
    before = (tmp_path / "metrics.jsonl").stat().st_ino
    tracker(tmp_path).rewind(1)
    assert (tmp_path / "metrics.jsonl").stat().st_ino == before


def test_every_column_of_a_response_is_kept(tmp_path):
    tracker(tmp_path).log_groups(12, [group()], [[0.5, math.nan]])
    right, unjudged = trajectories.read(tmp_path / "trajectories" / "02-rl-000012.parquet")
    assert right == {
        "iteration": 12,
        "prompt_id": "a",
        "prompt": "1 + 0 = ?",
        "answer": "1",
        "index": 0,
        "response": "<think>1</think> \\boxed{1}",
        "tokens": 3,
        "logprob_mean": -1.0,
        "stop_reason": "stop",
        "verdict": "right",
        "reward": 1.0,
        "parts": {"boxed_math": 1.0},
        "reason": "equal",
        "advantage": 0.5,
        "policy_version": 4,
        "segments": 2,
        "seconds": 0.25,
    }
    assert (unjudged["verdict"], unjudged["reward"], unjudged["advantage"]) == ("unjudged", None, None)


def test_whole_groups_up_to_the_limit_and_only_every_so_often(tmp_path):
    one = tracker(tmp_path, every=2, responses=5)
    groups = [group(name) for name in "abc"]  # 2 responses each: two groups fit into 5
    for iteration in range(4):
        one.log_groups(iteration, groups, [[0.0, 0.0]] * 3)
    files = sorted((tmp_path / "trajectories").iterdir())
    assert [path.name for path in files] == ["02-rl-000000.parquet", "02-rl-000002.parquet"]
    assert [row["prompt_id"] for row in trajectories.read(files[0])] == ["a", "a", "b", "b"]


def test_a_group_larger_than_the_limit_is_kept_whole_and_zero_keeps_none(tmp_path):
    tracker(tmp_path, responses=1).log_groups(0, [group(), group("b")], [[0.0, 0.0]] * 2)
    assert len(trajectories.read(tmp_path / "trajectories" / "02-rl-000000.parquet")) == 2
    tracker(tmp_path, stage="03-off", every=0).log_groups(0, [group()], [[0.0, 0.0]])
    assert not (tmp_path / "trajectories" / "03-off-000000.parquet").exists()


def test_hostile_text_survives_storage(tmp_path):
    text = "\ud800 \0 </script> \u2028 \u202e"
    tracker(tmp_path).log_groups(0, [group(text=text)], [[0.0, 0.0]])
    (row, _) = trajectories.read(tmp_path / "trajectories" / "02-rl-000000.parquet")
    assert row["response"] == text.replace("\ud800", "?")
