"""The weight file: a true safetensors file, atomic, bounded, and errors that name the file."""

import gc

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rl_reason.errors import SyncError
from rl_reason.policy import weight_file
from rl_reason.policy.weight_file import read_weights, weight_bytes, weight_path, write_weights


def tensors():
    torch.manual_seed(0)
    return {
        "a": torch.randn(3, 4),
        "b.bias": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "c": torch.arange(3, dtype=torch.uint8),
        "d": torch.randn(6, 2)[::2].T,
        "empty": torch.zeros(0, 5),
        "scalar": torch.tensor(7.25, dtype=torch.float64),
    }


def same(read, expected):
    assert list(read) == list(expected)
    for name, tensor in expected.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_what_is_written_is_read_and_safetensors_agrees(tmp_path):
    written = write_weights(tmp_path / "w", tensors().items())
    same(dict(read_weights(tmp_path / "w")), tensors())
    theirs = load_file(tmp_path / "w")
    assert set(theirs) == set(tensors())
    assert all(torch.equal(theirs[name], tensor) for name, tensor in tensors().items())
    assert written.names == ("a", "b.bias", "c", "d", "empty", "scalar")
    assert written.shapes == ((3, 4), (2,), (3,), (2, 3), (0, 5), ())
    assert written.dtypes == ("F32", "BF16", "U8", "F32", "F32", "F64")
    assert weight_bytes(written.shapes, written.dtypes) == 48 + 4 + 3 + 24 + 0 + 8
    assert weight_bytes([(2, 3)], ["bfloat16"]) == 12


def test_reads_files_of_safetensors(tmp_path):
    save_file({"x": torch.ones(2, 2), "y": torch.zeros(3)}, tmp_path / "w", metadata={"format": "pt"})
    same(dict(sorted(read_weights(tmp_path / "w"))), {"x": torch.ones(2, 2), "y": torch.zeros(3)})


def test_a_header_larger_than_its_gap_moves_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(weight_file, "_GAP_BYTES", 64)
    monkeypatch.setattr(weight_file, "_COPY_BYTES", 16)
    write_weights(tmp_path / "w", tensors().items())
    same(dict(read_weights(tmp_path / "w")), tensors())


def test_a_failure_half_way_leaves_the_old_file_and_no_other(tmp_path):
    write_weights(tmp_path / "w", [("a", torch.ones(2))])

    def broken():
        yield "a", torch.zeros(2)
        raise RuntimeError("the gather failed")

    with pytest.raises(RuntimeError, match="gather"):
        write_weights(tmp_path / "w", broken())
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    same(dict(read_weights(tmp_path / "w")), {"a": torch.ones(2)})


def test_a_mapped_file_stays_whole_when_it_is_replaced_and_is_never_written_through(tmp_path):
    write_weights(tmp_path / "w", [("a", torch.ones(4))])
    (_, old), *_ = read_weights(tmp_path / "w")
    write_weights(tmp_path / "w", [("a", torch.zeros(4))])
    gc.collect()
    np.testing.assert_array_equal(old.numpy(), np.ones(4))
    (_, new), *_ = read_weights(tmp_path / "w")
    new.fill_(9)
    assert dict(read_weights(tmp_path / "w"))["a"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot read"), (b"abc", "3 bytes"), (b"\xff" * 8 + b"{}", "10 bytes"), ("cut", "cut short")],
)
def test_unreadable_files_are_named(tmp_path, content, said):
    path = tmp_path / "w"
    if content == "cut":
        write_weights(path, [("a", torch.ones(100))])
        path.write_bytes(path.read_bytes()[:-4])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(SyncError, match=said) as caught:
        list(read_weights(path))
    assert str(path) in str(caught.value)


def test_wrong_sources_are_refused(tmp_path):
    with pytest.raises(SyncError, match="twice"):
        write_weights(tmp_path / "w", [("a", torch.ones(1)), ("a", torch.ones(1))])
    with pytest.raises(SyncError, match="complex64"):
        write_weights(tmp_path / "w", [("a", torch.ones(1, dtype=torch.complex64))])
    with pytest.raises(SyncError, match="empty"):
        write_weights(tmp_path / "w", [])
    with pytest.raises(SyncError, match="cannot write"):
        write_weights(tmp_path / "missing" / "w", [("a", torch.ones(1))])


def test_where_a_learner_puts_its_weights(tmp_path):
    assert str(weight_path(None, "run1")) == "/dev/shm/rl-reason-run1.safetensors"
    assert weight_path(tmp_path, "run1") == tmp_path / "rl-reason-run1.safetensors"
