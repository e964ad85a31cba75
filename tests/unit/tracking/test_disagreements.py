"""disagreements.jsonl: which responses are in it, how large it gets, and what a resumed run leaves of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rl_reason.tracking import disagreements
from rl_reason.tracking.disagreements import DisagreementTracker
from rl_reason.types import Group, Prompt, Score, Segment, StopReason, Trajectory, Verdict

RIGHT = Score(Verdict.RIGHT, 1.0)
WRONG = Score(Verdict.WRONG, 0.0, reason="differs")
UNJUDGED = Score(Verdict.UNJUDGED, None, reason="timed out")


def group(pairs: list[tuple[Score, Score]], text: str = "it is 5 \ud800") -> Group:
    prompt = Prompt("p7", "2 + 3?", "5")
    segment = Segment(np.zeros(1, np.int32), np.zeros(1, np.float32), 0)
    trajectories = tuple(Trajectory(prompt, k, (segment,), StopReason.STOP, text) for k in range(len(pairs)))
    scores = tuple(
        Score(first.verdict, first.reward, judgements={"math": first, "form": WRONG, "mine": second})
        for first, second in pairs
    )
    return Group(prompt, trajectories, scores)


def tracker(path: Path, stage: str = "02-rl") -> DisagreementTracker:
    return DisagreementTracker(path, stage=stage, compared=["mine"])


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_all_that_one_wants_to_see(tmp_path: Path) -> None:
    path = tmp_path / "disagreements.jsonl"
    pairs = [(RIGHT, RIGHT), (RIGHT, WRONG), (RIGHT, UNJUDGED), (UNJUDGED, WRONG), (WRONG, RIGHT), (WRONG, WRONG)]
    tracker(path).log_groups(3, [group(pairs)], [[]])
    rows = read(path)
    assert [row["index"] for row in rows] == [1, 4]  # the unjudged contradict nothing; `form` is not compared
    assert rows[0] == {
        "iteration": 3,
        "stage": "02-rl",
        "prompt_id": "p7",
        "index": 1,
        "prompt": "2 + 3?",
        "answer": "5",
        "response": "it is 5 \ud800",
        "verifiers": {
            "math": {"verdict": "right", "reward": 1.0, "reason": ""},
            "mine": {"verdict": "wrong", "reward": 0.0, "reason": "differs"},
        },
    }


def test_no_disagreement_no_file(tmp_path: Path) -> None:
    kept = tracker(tmp_path / "d.jsonl")
    kept.rewind(0)
    kept.log_groups(0, [group([(RIGHT, RIGHT)]), Group(Prompt("a", "", ""), (), ())], [[], []])
    assert not (tmp_path / "d.jsonl").exists()


def test_a_resumed_run_leaves_no_line_twice(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    tracker(path, "01-rl").log_groups(2, [group([(RIGHT, WRONG)])], [[]])
    first = tracker(path)
    for iteration in range(4):
        first.log_groups(iteration, [group([(RIGHT, WRONG)])], [[]])
    before = path.read_bytes()
    path.write_bytes(before + b'{"iteration": 4, "sta')  # killed while writing
    again = tracker(path)
    again.rewind(2)
    assert [(row["stage"], row["iteration"]) for row in read(path)] == [("01-rl", 2), ("02-rl", 0), ("02-rl", 1)]
    for iteration in (2, 3):
        again.log_groups(iteration, [group([(RIGHT, WRONG)])], [[]])
    assert path.read_bytes() == before


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "d.jsonl"
    kept = tracker(path)
    kept.log_groups(0, [group([(RIGHT, WRONG)] * 101)], [[]])
    assert len(read(path)) == 100
    monkeypatch.setattr(disagreements, "MAX_BYTES", path.stat().st_size + 1000)
    kept.log_groups(1, [group([(RIGHT, WRONG)], text="x" * 1000)], [[]])
    assert len(read(path)) == 100 and "1 disagreements of iteration 1 left out" in caplog.text
    kept.log_groups(2, [group([(RIGHT, WRONG)])], [[]])
    assert len(read(path)) == 101
