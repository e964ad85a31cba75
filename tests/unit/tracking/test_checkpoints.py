from __future__ import annotations

import json
import shutil

import pytest

from rl_reason.errors import CheckpointError
from rl_reason.tracking.checkpoints import CheckpointStore, find_damage


def writer(content):
    def write(folder):
        (folder / "rank0").mkdir()
        (folder / "rank0" / "weights.bin").write_bytes(content)
        (folder / "optimizer.bin").write_bytes(content[::-1])

    return write


def save(store, *steps):
    for step in steps:
        store.save(step, writer(bytes([step % 256]) * 50), {"step": step, "sampler": {"seen": [1, 2], "rate": 0.1}})


def names(store):
    return sorted(path.name for path in store.folder.iterdir())


def flip(path, at=10):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_nothing_saved_nothing_found(tmp_path):
    assert CheckpointStore(tmp_path / "new", keep=2).newest() is None


def test_what_is_saved_is_found_again_with_its_state(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    save(store, 3)
    found = store.newest()
    assert found is not None
    assert (found.step, found.path, found.damaged) == (3, tmp_path / "step-000003", ())
    assert found.state == {"step": 3, "sampler": {"seen": [1, 2], "rate": 0.1}}
    assert (found.path / "rank0" / "weights.bin").read_bytes() == b"\3" * 50


def test_the_newest_ones_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    save(store, 1, 2, 3, 1000000)
    assert names(store) == ["step-000003", "step-1000000"]
    found = store.newest()
    assert found is not None and found.step == 1000000


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: flip(folder / "rank0" / "weights.bin"), "rank0/weights.bin has changed since it was written"),
        (lambda folder: (folder / "optimizer.bin").write_bytes(b"short"), "optimizer.bin has 5 bytes, not 50"),
        (lambda folder: (folder / "optimizer.bin").unlink(), "optimizer.bin is missing"),
        (lambda folder: (folder / "state.json").unlink(), "state.json is missing"),
        (lambda folder: (folder / "extra").write_text(""), "extra is not in the manifest"),
        (lambda folder: flip(folder / "manifest.json", 13), "manifest.json does not match its own checksum"),
        (lambda folder: (folder / "manifest.json").write_text('{"form'), "manifest.json cannot be read as JSON"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json cannot be read as JSON"),
        (lambda folder: shutil.copy(folder / "../step-000001/manifest.json", folder), "manifest.json is of step 1"),
    ],
)
def test_a_damaged_newest_is_named_and_the_one_before_is_used(tmp_path, caplog, harm, said):
    store = CheckpointStore(tmp_path, keep=2)
    save(store, 1, 2)
    harm(tmp_path / "step-000002")
    found = store.newest()
    assert found is not None and found.step == 1
    assert [damage.folder.name for damage in found.damaged] == ["step-000002"]
    assert said in str(found.damaged[0])
    assert said in caplog.text and "step-000002" in caplog.text


def test_every_flipped_bit_of_every_file_is_noticed(tmp_path):
    store = CheckpointStore(tmp_path, keep=1)
    save(store, 1)
    folder = tmp_path / "step-000001"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 4
    for path in files:
        whole = path.read_bytes()
        for at in range(0, len(whole), 7):
            flip(path, at)
            # A space of the manifest's layout may become another blank character: then its content is unharmed.
            same_content = path.name == "manifest.json" and _loads(path) == json.loads(whole)
            assert bool(find_damage(folder, 1)) is not same_content, (path.name, at)
            path.write_bytes(whole)
    assert find_damage(folder, 1) == []


def _loads(path):
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


def test_when_all_are_damaged_the_error_lists_each(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    save(store, 1, 2)
    (tmp_path / "step-000001" / "optimizer.bin").unlink()
    flip(tmp_path / "step-000002" / "optimizer.bin")
    with pytest.raises(CheckpointError) as caught:
        store.newest()
    message = str(caught.value)
    assert "all 2 checkpoints" in message
    assert "step-000001: optimizer.bin is missing" in message
    assert "step-000002: optimizer.bin has changed" in message
    assert "delete" in message


def test_a_damaged_later_one_never_crowds_out_the_good_ones(tmp_path):
    store = CheckpointStore(tmp_path, keep=1)
    save(store, 10)
    shutil.copytree(tmp_path / "step-000010", tmp_path / "step-000014")  # its manifest says 10: damaged
    found = store.newest()
    assert found is not None and found.step == 10
    save(store, 12)
    assert names(store) == ["step-000012"]


def test_a_step_saved_again_replaces_the_damaged_one(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    save(store, 1, 2)
    flip(tmp_path / "step-000002" / "optimizer.bin")
    save(store, 2)
    found = store.newest()
    assert found is not None and (found.step, found.damaged) == (2, ())


def test_a_writer_that_fails_leaves_no_trace_and_its_error_is_its_own(tmp_path):
    store = CheckpointStore(tmp_path, keep=1)
    save(store, 1)

    def fail(folder):
        (folder / "half").write_text("x")
        raise KeyError("no such parameter")

    with pytest.raises(KeyError, match="no such parameter"):
        store.save(2, fail, {})
    assert names(store) == ["step-000001"]


def test_the_stores_own_names_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"state\.json"):
        CheckpointStore(tmp_path, keep=1).save(1, lambda folder: (folder / "state.json").write_text("{}"), {})


def test_leftovers_of_a_killed_process_are_cleared(tmp_path):
    store = CheckpointStore(tmp_path, keep=1)
    save(store, 1)
    (tmp_path / ".tmp-step-000002-4711").mkdir()
    found = store.newest()
    assert found is not None and found.step == 1
    assert names(store) == ["step-000001"]


def test_keep_none_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="at least 1"):
        CheckpointStore(tmp_path, keep=0)
