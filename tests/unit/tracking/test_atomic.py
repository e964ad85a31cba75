from __future__ import annotations

import errno

import pytest
from safetensors import SafetensorError

from rl_reason.errors import CheckpointError, SyncError
from rl_reason.tracking.atomic import (
    folder_written_whole,
    full_disk_named,
    read_json,
    replace_folder,
    sweep,
    write_json_atomic,
    write_text_atomic,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    write_text_atomic(tmp_path / "a.txt", "one")
    write_text_atomic(tmp_path / "a.txt", "zwei ü")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "zwei ü"
    assert names(tmp_path) == ["a.txt"]


def test_an_unwritable_value_leaves_the_old_file(tmp_path):
    write_json_atomic(tmp_path / "a.json", {"x": 1.5})
    with pytest.raises(TypeError):
        write_json_atomic(tmp_path / "a.json", {"x": object()})
    assert read_json(tmp_path / "a.json") == {"x": 1.5}


def test_a_folder_appears_only_when_its_block_ends_well(tmp_path):
    with folder_written_whole(tmp_path / "model") as folder:
        (folder / "weights").write_text("old")
        assert not (tmp_path / "model").exists()
    with pytest.raises(ZeroDivisionError), folder_written_whole(tmp_path / "model") as folder:
        (folder / "weights").write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "model" / "weights").read_text() == "old"
    with folder_written_whole(tmp_path / "model") as folder:
        (folder / "other").write_text("new")
    assert names(tmp_path) == ["model"] and names(tmp_path / "model") == ["other"]


def test_sweep_mends_a_crash_between_the_two_renames_of_a_replacement(tmp_path):
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "x").write_text("old")
    (tmp_path / "step").rename(tmp_path / ".old-step")  # … and here the process died
    (tmp_path / ".tmp-step-1").mkdir()
    (tmp_path / ".tmp-file-1").write_text("half")
    (tmp_path / ".tmp-link-1").symlink_to(tmp_path)
    assert sweep(tmp_path) == [".tmp-file-1", ".tmp-link-1", ".tmp-step-1", ".old-step"]
    assert names(tmp_path) == ["step"] and (tmp_path / "step" / "x").read_text() == "old"


def test_sweep_deletes_the_retired_folder_when_its_successor_came(tmp_path):
    for name in ("new", "step", ".old-step"):
        (tmp_path / name).mkdir()
    replace_folder(tmp_path / "new", tmp_path / "step")
    assert names(tmp_path) == ["step"]
    (tmp_path / ".old-step").mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == ["step"]


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EFBIG, "File too large"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_every_shape_of_a_full_disk_becomes_one_message(tmp_path, fault):
    with (
        pytest.raises(CheckpointError, match=r"could not write thing: no space left.*MB are free.*step-000003 is good"),
        full_disk_named("thing", tmp_path, "step-000003 is good"),
    ):
        raise fault


@pytest.mark.parametrize(
    "fault", [OSError(errno.EACCES, "no"), RuntimeError("shape mismatch"), SyncError("No space left")]
)
def test_other_faults_pass_unchanged(tmp_path, fault):
    with pytest.raises(type(fault)) as caught, full_disk_named("thing", tmp_path):
        raise fault
    assert caught.value is fault


@pytest.mark.parametrize("content", ["{", "[1]", "\xff"])
def test_read_json_names_the_file(tmp_path, content):
    (tmp_path / "state.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"state\.json"):
        read_json(tmp_path / "state.json")
