"""The file that carries weights from a learner to engines: safetensors layout, written atomically, read by mmap.

The header of a safetensors file precedes the data, and the learner hands tensors over one at a time (a ZeRO-3 gather
holds only one bucket). So the data goes to the temporary file as it comes, behind a gap kept for the header, which is
written last. safetensors allows padding at the header's end (spaces), so the result is an ordinary file that any
reader of the format opens. The bytes of one tensor at a time are in memory.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch

from rl_reason.errors import SyncError
from rl_reason.policy.learner_weights import LearnerWeights
from rl_reason.types import PolicyVersion, WeightUpdate

FILE_TRANSPORTS = ("shared_memory", "disk")
"""The transports that such a file carries."""
SHARED_MEMORY = Path("/dev/shm")
_GAP_BYTES = 1 << 20
"""Room kept for the header at first; a model with more tensors gets its data moved once (see `_seal`)."""
_COPY_BYTES = 1 << 24

_DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_ITEM_BYTES = {
    name: dtype.itemsize for code, dtype in _DTYPES.items() for name in (code, str(dtype).removeprefix("torch."))
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


class FilePublisher:
    """Implements `learner_weights.WeightPublisher`: rank 0 writes a file, the others help to put the tensors together.

    Args:
        path: the file; always the same one, so that nothing piles up.
        transport: `shared_memory` or `disk`, for the engines to check.
    """

    def __init__(self, *, path: Path, transport: str) -> None:
        self._path, self._transport = path, transport

    def publish(self, weights: LearnerWeights, version: PolicyVersion) -> WeightUpdate:
        """The file is whole when rank 0 returns.

        Raises:
            SyncError: see `write_weights`.
        """
        gathered = weights.gathered(torch.device("cpu"))
        if weights.rank == 0:
            written = write_weights(self._path, gathered)
        else:
            shapes = {name: tuple(tensor.shape) for name, tensor in gathered}
            written = Written(tuple(shapes), tuple(shapes.values()), ())
        return WeightUpdate(version, self._transport, str(self._path), *written)

    def settle(self) -> None:
        """Nothing is ever under way."""


class Written(NamedTuple):
    """What a file holds: the last three fields of a `WeightUpdate`, in the order the tensors came."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    """safetensors' codes: `F32`, `BF16`, …"""


def write_weights(path: Path, tensors: Iterable[tuple[str, torch.Tensor]]) -> Written:
    """Write (name, tensor) pairs to `path`, by way of a temporary file in the same folder and a rename.

    A reader that has the old file mapped keeps it whole; a crash leaves the old file. Not flushed to the disk: the
    file carries weights between live processes, checkpoints are another matter.

    Raises:
        SyncError: a name came twice, a dtype that the format lacks, no tensor at all, or the file cannot be written.
    """
    header: dict[str, dict[str, Any]] = {}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb+") as file:
            file.seek(_GAP_BYTES)
            end = 0
            for name, tensor in tensors:
                if name in header:
                    raise SyncError(f"the weights for {path} name {name!r} twice; make the source yield each once")
                size = _append(file, name, tensor, path)
                header[name] = {
                    "dtype": _CODES[tensor.dtype],
                    "shape": list(tensor.shape),
                    "data_offsets": [end, end + size],
                }
                end += size
            if not header:
                raise SyncError(f"no weights came for {path}: the learner's source is empty")
            _seal(file, header, end)
        temporary.replace(path)
    except OSError as error:
        raise SyncError(
            f"cannot write weights to {path}: {error}; free space there, or choose another transport or folder"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return Written(
        names=tuple(header),
        shapes=tuple(tuple(entry["shape"]) for entry in header.values()),
        dtypes=tuple(entry["dtype"] for entry in header.values()),
    )


def read_weights(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor) pairs in the order written; the tensors are views of a private map of the file.

    Nothing is copied until it is touched, and writing into a tensor (copy-on-write) never reaches the file. The map
    lives as long as one of its tensors. Reads any safetensors file.

    Raises:
        SyncError: the file is missing, cut short, or no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header, begin = _read_header(file, path, size)
    except OSError as error:
        raise SyncError(f"cannot read weights from {path}: {error}; publish the weights again") from error
    mapped = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
    for name, entry in header.items():
        first, last = (begin + offset for offset in entry["data_offsets"])
        if not begin <= first <= last <= size:
            raise SyncError(f"{path} is cut short: {name!r} ends at byte {last} of {size}; publish the weights again")
        dtype = _DTYPES[entry["dtype"]]
        data = mapped[first:last]
        if first % dtype.itemsize:
            # The format packs tensors without gaps; a view needs its dtype's alignment.
            data = data.clone()
        yield name, data.view(dtype).view(entry["shape"])


def weight_path(folder: Path | None, owner: str) -> Path:
    """Where a learner called `owner` puts its weights: in `folder`, or with None in the machine's shared memory."""
    return (folder if folder is not None else SHARED_MEMORY) / f"rl-reason-{owner}.safetensors"


def weight_bytes(shapes: Iterable[tuple[int, ...]], dtypes: Iterable[str]) -> int:
    """Bytes of all tensors together; dtypes by safetensors' codes or by torch's names (`BF16` or `bfloat16`)."""
    return sum(math.prod(shape) * _ITEM_BYTES[dtype] for shape, dtype in zip(shapes, dtypes, strict=True))


def _append(file: BinaryIO, name: str, tensor: torch.Tensor, path: Path) -> int:
    """Write one tensor's bytes at the file's position; returns their number."""
    if tensor.dtype not in _CODES:
        raise SyncError(f"{name!r} for {path} has dtype {tensor.dtype}; a weight file holds {', '.join(_DTYPES)}")
    data = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
    file.write(data.numpy().data)
    return data.numel()


def _seal(file: BinaryIO, header: Mapping[str, Any], data_bytes: int) -> None:
    """Write the header into the gap; move the data first, from its end backwards, should the gap be too small."""
    text = json.dumps(header, separators=(",", ":")).encode()
    room = _GAP_BYTES - 8
    if len(text) > room:
        room = -(-len(text) // 64) * 64 + 56
        _shift(file, data_bytes, room + 8 - _GAP_BYTES)
    file.seek(0)
    file.write(struct.pack("<Q", room))
    file.write(text.ljust(room, b" "))


def _shift(file: BinaryIO, data_bytes: int, by: int) -> None:
    """Move the data, which begins after the gap, `by` bytes further on."""
    left = data_bytes
    while left:
        size = min(left, _COPY_BYTES)
        left -= size
        file.seek(_GAP_BYTES + left)
        block = file.read(size)
        file.seek(_GAP_BYTES + left + by)
        file.write(block)


def _read_header(file: BinaryIO, path: Path, size: int) -> tuple[dict[str, Any], int]:
    """The header's entries and where the data begins."""
    prefix = file.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
    if 8 + length > size:
        raise SyncError(f"{path} is no whole safetensors file ({size} bytes); publish the weights again")
    # Not json.loads, which would go through a mebibyte of padding blank by blank.
    header: dict[str, Any] = json.JSONDecoder().raw_decode(file.read(length).decode())[0]
    header.pop("__metadata__", None)
    return header, 8 + length
