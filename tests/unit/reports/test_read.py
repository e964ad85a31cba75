from __future__ import annotations

import shutil

import pytest

from rl_reason.errors import DataError
from rl_reason.reports.headline import headline_rows
from rl_reason.reports.read import Evaluation, read_run
from rl_reason.reports.responses import HEAD_CHARS, TAIL_CHARS, choose, shorten, spread


def test_finished_and_unfinished_stages(run):
    found = read_run(run.path)
    sft, rl = found.stages
    assert (sft.label, sft.finished, sft.iterations, sft.seconds) == ("01-sft", True, 3, 41.2)
    assert sft.evaluation == Evaluation(0.481, 0.459, 0.503, 512, 4, 92.4, so_far=False)
    assert (rl.label, rl.finished, rl.iterations, rl.seconds, rl.rollout_tokens) == ("02-rl", False, 7, 14.0, 7000)
    assert rl.evaluation == Evaluation(0.61, 0.59, 0.63, None, None, None, so_far=True)
    assert [row["iteration"] for row in found.rows["02-rl"]] == list(range(7))
    assert found.notes == []


def test_headline_rows(run):
    sft, rl = headline_rows(read_run(run.path).stages)
    assert sft == {
        "stage": "01-sft",
        "state": "finished",
        "iterations": "3",
        "accuracy": "48.1%",
        "95% interval": "45.9 to 50.3",
        "change": "",
        "held-out": "512 x 4",
        "tokens each": "92",
        "tokens in all": "",
        "time": "41 s",
    }
    assert (rl["state"], rl["accuracy"], rl["change"], rl["time"]) == (
        "under way",
        "61.0% so far",
        "+12.9 points",
        "14 s",
    )


def test_lines_that_cannot_be_read_are_named_but_the_torn_last_is_not(run):
    content = run.metrics.read_text()
    run.metrics.write_text("rubbish\n" + content + '{"iteration": 7, "sta')
    found = read_run(run.path)
    assert len(found.rows["02-rl"]) == 7
    assert len(found.notes) == 1 and found.notes[0].startswith("metrics.jsonl:1 was left out")


def test_metrics_without_stage_folders_are_stages_too(run):
    shutil.rmtree(run.stages_folder)
    assert [stage.label for stage in read_run(run.path).stages] == ["01-sft", "02-rl"]


def test_another_folder_is_refused_with_what_a_run_folder_looks_like(tmp_path):
    with pytest.raises(DataError, match=r"not a run folder.*rl-reason run RECIPE\.yaml.*metrics\.jsonl"):
        read_run(tmp_path)


def test_responses_within_the_limit_are_all_there_in_order(run):
    found = choose(run.trajectories, limit=100, limit_chars=10**6)
    assert [(row["stage"], row["iteration"]) for row in found.rows] == [
        ("02-rl", k) for k in (0, 2, 4, 6) for _ in range(5)
    ]
    assert found.kept_in_run == 20 and found.notes == []


def test_over_the_limit_the_ends_of_the_run_come_first_and_groups_stay_whole(run):
    found = choose(run.trajectories, limit=11, limit_chars=10**6)
    assert found.kept_in_run == 20
    assert [row["iteration"] for row in found.rows] == [0] * 5 + [6] * 5
    tight = choose(run.trajectories, limit=9, limit_chars=10**6)
    assert [(row["prompt_id"], row["index"]) for row in tight.rows] == [
        ("p0", 0), ("p0", 1), ("q0", 0), ("q0", 1), ("q0", 2), ("p2", 0), ("p2", 1), ("p6", 0), ("p6", 1),
    ]  # fmt: skip
    assert choose(run.trajectories, limit=100, limit_chars=10).rows == []


def test_an_unreadable_file_is_named_and_the_others_are_shown(run):
    (run.trajectories / "02-rl-000002.parquet").write_bytes(b"PAR1 but not really")
    (run.trajectories / ".tmp-02-rl-000008.parquet-5").write_bytes(b"half")
    found = choose(run.trajectories, limit=100, limit_chars=10**6)
    assert len(found.rows) == 15
    assert len(found.notes) == 1 and "02-rl-000002.parquet cannot be read" in found.notes[0]


def test_no_responses_yet(tmp_path):
    assert choose(tmp_path / "none", limit=5, limit_chars=5).rows == []


@pytest.mark.parametrize(
    ("count", "order"), [(0, []), (1, [0]), (2, [0, 1]), (3, [0, 2, 1]), (9, [0, 8, 4, 2, 6, 1, 3, 5, 7])]
)
def test_spread(count, order):
    assert spread(count) == order


def test_very_long_text_loses_its_middle_and_says_so():
    text = "a" * HEAD_CHARS + "b" * 12_345 + "c" * TAIL_CHARS
    short = shorten(text)
    assert short.startswith("a" * HEAD_CHARS + "\n") and short.endswith("\n" + "c" * TAIL_CHARS)
    assert "12,345 characters left out" in short and "b" * 10 not in short
    assert shorten("x" * 20_000) == "x" * 20_000
