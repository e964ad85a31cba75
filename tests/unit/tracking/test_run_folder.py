from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rl_reason.errors import ConfigError, RlReasonError
from rl_reason.tracking.atomic import read_json
from rl_reason.tracking.run_folder import RunFolder

HOLD = """
import os, sys, time
from pathlib import Path
from rl_reason.tracking.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    if os.fork() == 0:  # an orphan to be, as a verifier's worker is
        time.sleep(30)
        os._exit(0)
    print("held", flush=True)
    time.sleep(30)
"""


def test_create_makes_the_layout_and_takes_its_own_folder_again(tmp_path):
    run = RunFolder(tmp_path / "out")
    run.create()
    run.write_resolved("a: 1\n")
    run.create()
    assert run.exists()
    assert sorted(path.name for path in run.path.iterdir()) == [".lock", "resolved.yaml", "stages", "trajectories"]


def test_create_refuses_a_file_and_a_folder_of_other_things(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds other things \(notes\.txt\)"):
        RunFolder(tmp_path).create()
    with pytest.raises(ConfigError, match="is a file"):
        RunFolder(tmp_path / "notes.txt").create()


@pytest.mark.parametrize("path", ["/proc/rl-reason-run", "/dev/null/run"])
def test_a_place_that_cannot_be_written_to_is_named(path):
    with pytest.raises(ConfigError, match=rf"--out {path} cannot be written to \(.*; give another folder"):
        RunFolder(Path(path)).create()


def test_another_recipe_is_taken_where_the_first_came_to_nothing(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.create()
    run.write_resolved("tau: 0.1\n")
    run.stage(1, "sft")
    run.scratch_model.mkdir()
    run.write_resolved("tau: 0.2\n")
    assert run.resolved.read_text() == "tau: 0.2\n"
    assert not run.scratch_model.exists() and run.stages() == []


@pytest.mark.parametrize("made", ["metrics.jsonl", "stages/01-sft/checkpoints/step-000001/state.json"])
def test_another_recipe_is_refused_as_soon_as_anything_is_done(tmp_path, made):
    run = RunFolder(tmp_path / "run")
    run.create()
    run.write_resolved("tau: 0.1\n")
    (run.path / made).parent.mkdir(parents=True, exist_ok=True)
    (run.path / made).write_text("{}\n")
    with pytest.raises(ConfigError, match="begun with another recipe"):
        run.write_resolved("tau: 0.2\n")


def test_another_recipe_is_refused_with_the_lines_that_differ(tmp_path):
    run = RunFolder(tmp_path)
    run.write_resolved("name: a\ntau: 0.1\n")
    run.write_resolved("name: a\ntau: 0.1\n")
    run.metrics.write_text("{}\n")
    with pytest.raises(ConfigError) as caught:
        run.write_resolved("name: a\ntau: 0.2\n")
    assert "  -tau: 0.1\n  +tau: 0.2\n" in str(caught.value) and "name" not in str(caught.value).split("lines", 1)[-1]
    assert run.resolved.read_text() == "name: a\ntau: 0.1\n"


def test_provenance_keeps_every_start(tmp_path):
    run = RunFolder(tmp_path)
    for _ in range(2):
        run.record_start(recipe="a: 1\n", seeds={"run": 7}, parents=[Path("/models/base")])
    found = read_json(run.provenance)
    assert found["recipe_sha256"] == "37b128c59f1f5097f73f82691cb519f1f568667faab5ced1b4ab979d36837eae"
    assert found["seeds"] == {"run": 7} and found["parents"] == ["/models/base"]
    assert [start["pid"] for start in found["starts"]] == [os.getpid()] * 2
    assert found["starts"][0]["packages"]["numpy"] and found["starts"][0]["python"].startswith("3.")


def test_stages_links_and_results(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.create()
    sft, rl = run.stage(1, "sft"), run.stage(2, "rl")
    with sft.model_written_whole() as folder:
        (folder / "config.json").write_text("{}")
    run.link_to(sft)
    sft.finish({"seconds": 1.5})
    run.link_to(rl)
    assert [stage.label for stage in run.stages()] == ["01-sft", "02-rl"]
    assert [stage.finished() for stage in run.stages()] == [True, False]
    assert sft.result() == {"seconds": 1.5}
    moved = run.path.rename(tmp_path / "moved")
    assert (moved / "model" / "config.json").read_text() == "{}"
    assert (moved / "checkpoints").resolve() == moved / "stages" / "02-rl" / "checkpoints"


def test_a_stage_entered_again_loses_its_unfinished_model(tmp_path):
    run = RunFolder(tmp_path)
    run.create()
    (run.stage(1, "sft").path / ".tmp-model-999").mkdir()
    assert [path.name for path in run.stage(1, "sft").path.iterdir()] == ["checkpoints"]


def test_the_lock_keeps_a_second_process_out_and_dies_with_its_holder(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RlReasonError, match=rf"in use by pid={holder.pid} host=\S+ since="),
            RunFolder(tmp_path).lock(),
        ):
            pytest.fail("two processes hold one run folder")
        holder.kill()  # kill -9: only the driver, its forked worker lives on
        holder.wait()
        with RunFolder(tmp_path).lock():
            assert f"pid={os.getpid()}" in (tmp_path / ".lock").read_text()
    finally:
        os.killpg(holder.pid, signal.SIGKILL)


def test_the_lock_excludes_this_process_too_and_can_be_taken_again(tmp_path):
    run = RunFolder(tmp_path)
    with (
        run.lock(),
        pytest.raises(RlReasonError, match="already in use by this process"),
        RunFolder(tmp_path / ".").lock(),
    ):
        pytest.fail("locked twice")
    with run.lock():
        pass
