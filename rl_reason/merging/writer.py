"""A model folder in the making: shards laid out beforehand, written by position from several threads, moved into place.

Everything is written beside the destination, in `.NAME.merging`; a journal there names the tensors that are on disk, so
that an interrupted merge goes on where it stopped. The destination appears at the end, whole.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rl_reason.errors import MergeError
from rl_reason.merging.checkpoint import INDEX, SINGLE
from rl_reason.merging.dtypes import STORED
from rl_reason.merging.plan import Output

_JOURNAL = "journal.jsonl"
_JOURNAL_EVERY_BYTES = 1 << 30
_ALIGN = 64
_SYNC_FILE_RANGE_WRITE = 2  # fcntl.h
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of the result."""

    file: str
    header: bytes
    places: Mapping[str, tuple[int, int]]
    """Tensor -> (offset in the file, bytes)."""
    size: int


def nbytes(output: Output) -> int:
    """Bytes of a tensor of the result."""
    if output.method is None:
        return output.models[0].tensor.nbytes
    return math.prod(output.shape) * STORED[output.dtype].itemsize


def lay_out(outputs: Sequence[Output], shard_bytes: int) -> list[Shard]:
    """Tensors in their order, as many to a file as fit; at least one."""
    groups: list[list[Output]] = [[]]
    filled = 0
    for output in outputs:
        size = nbytes(output)
        if groups[-1] and filled + size > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(output)
        filled += size
    shards: list[Shard] = []
    for number, group in enumerate(groups, start=1):
        entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        at = 0
        for output in group:
            entries[output.name] = {
                "dtype": output.dtype, "shape": list(output.shape), "data_offsets": [at, at + nbytes(output)],
            }  # fmt: skip
            at += nbytes(output)
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % _ALIGN)
        header = struct.pack("<Q", len(text)) + text
        places = {
            name: (len(header) + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
            for name, entry in entries.items()
            if name != "__metadata__"
        }
        file = SINGLE if len(groups) == 1 else f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        shards.append(Shard(file, header, places, len(header) + at))
    return shards


class ModelWriter:
    """Writes the tensors of one merge. A context manager; `finish` moves the folder into place.

    Args:
        destination: must not exist, or be empty.
        shards: from `lay_out`.
        fingerprint: of the plan; an interrupted merge with another one is begun anew.

    Raises:
        MergeError: the destination is taken, another merge is writing to it, or the disk has no room for it.
    """

    def __init__(self, destination: Path, shards: Sequence[Shard], fingerprint: str) -> None:
        self._destination, self._shards = destination, shards
        self.folder = destination.parent / f".{destination.name}.merging"
        self._lock = threading.Lock()
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            raise MergeError(f"{destination} is there already; name another folder or remove it")
        self._places = {name: (shard.file, *place) for shard in shards for name, place in shard.places.items()}
        self._handles: dict[str, int] = {}
        self._claim = self._claimed()
        self._fresh: list[str] = []
        self._fresh_bytes = 0
        layout = hashlib.sha256(b"\0".join(shard.header for shard in shards)).hexdigest()
        try:
            self.done = self._begin(f"{fingerprint} {layout}")
        except BaseException:
            self._close()
            raise
        """Tensors that an interrupted merge has finished."""

    def write(self, name: str, offset: int, data: memoryview) -> None:
        """Put bytes of a tensor at an offset in it. From any thread."""
        file, start, _ = self._places[name]
        with _saying(self.folder):
            at = start + offset
            while data:
                count = os.pwrite(self._handles[file], data, at)
                data, at = data[count:], at + count

    def finished(self, name: str) -> None:
        """All of a tensor is written. From any thread."""
        file, start, count = self._places[name]
        _write_back(self._handles[file], start, count)
        with self._lock:
            self._fresh.append(name)
            self._fresh_bytes += self._places[name][2]
            if self._fresh_bytes >= _JOURNAL_EVERY_BYTES:
                self.journal()

    def journal(self) -> None:
        """What is finished survives from here on, whatever happens."""
        with _saying(self.folder):
            for handle in self._handles.values():
                os.fdatasync(handle)
            with (self.folder / _JOURNAL).open("a", encoding="utf-8") as file:
                file.writelines(map(_line, self._fresh))
                file.flush()
                os.fsync(file.fileno())
        self.done |= set(self._fresh)
        self._fresh, self._fresh_bytes = [], 0

    def finish(self, config: Mapping[str, Any], files: Mapping[str, Path], texts: Mapping[str, str]) -> None:
        """Write what else belongs to the model and move the folder into place, when all of it is on the disk."""
        texts = {"config.json": json.dumps(config, indent=2) + "\n", **texts}
        if len(self._shards) > 1:
            placed = {name: shard.file for shard in self._shards for name in shard.places}
            total = sum(size for shard in self._shards for _, size in shard.places.values())
            index = {"metadata": {"total_size": total}, "weight_map": placed}
            texts[INDEX] = json.dumps(index, indent=2) + "\n"
        with _saying(self.folder):
            for handle in self._handles.values():
                os.fdatasync(handle)
            for name, text in texts.items():
                _write(self.folder / name, text)
            for name, path in files.items():
                shutil.copyfile(path, self.folder / name)
            (self.folder / _JOURNAL).unlink(missing_ok=True)
            if self._destination.exists():
                self._destination.rmdir()
            os.replace(self.folder, self._destination)

    def __enter__(self) -> ModelWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._fresh:
            self.journal()
        self._close()

    def _close(self) -> None:
        for handle in (self._claim, *self._handles.values()):
            os.close(handle)

    def _claimed(self) -> int:
        """The folder, made if need be, and locked for as long as its descriptor is open."""
        with _saying(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise MergeError(
                f"another merge is writing to {self._destination} now; wait for its end, or name another folder"
            ) from error
        return handle

    def _begin(self, fingerprint: str) -> set[str]:
        done = self._resumed(fingerprint)
        with _saying(self.folder):
            if done is None:
                self._make(fingerprint)
            else:  # written anew, as the last line may be cut off
                _write(self.folder / _JOURNAL, _line({"fingerprint": fingerprint}) + "".join(map(_line, sorted(done))))
            for shard in self._shards:
                self._handles[shard.file] = os.open(self.folder / shard.file, os.O_RDWR)
        return done or set()

    def _make(self, fingerprint: str) -> None:
        """Empty shards in full size; nothing is left of the folder when there is no room."""
        for path in self.folder.iterdir():
            path.unlink()
        try:
            free, needed = shutil.disk_usage(self.folder).free, sum(shard.size for shard in self._shards)
            if free < needed:
                raise MergeError(
                    f"{self._destination.parent} has {free / 1e9:.2f} GB free and the merged model needs "
                    f"{needed / 1e9:.2f} GB"
                )
            for shard in self._shards:
                with (self.folder / shard.file).open("wb") as file:
                    _reserve(file.fileno(), shard.size)
                    os.pwrite(file.fileno(), shard.header, 0)
            _write(self.folder / _JOURNAL, _line({"fingerprint": fingerprint}))
        except (OSError, MergeError):
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _resumed(self, fingerprint: str) -> set[str] | None:
        try:
            first, *lines = (self.folder / _JOURNAL).read_text(encoding="utf-8").splitlines()
            if json.loads(first) != {"fingerprint": fingerprint} or not all(map(self._whole, self._shards)):
                return None
            return {json.loads(line) for line in lines if line.endswith('"')}  # the last one may be cut off
        except (OSError, ValueError):
            return None

    def _whole(self, shard: Shard) -> bool:
        """Whether a file of an interrupted merge is there, in full size and with its header."""
        path = self.folder / shard.file
        with path.open("rb") as file:
            return path.stat().st_size == shard.size and file.read(len(shard.header)) == shard.header


def _line(value: Any) -> str:
    return json.dumps(value) + "\n"


def _write(path: Path, text: str) -> None:
    """To the disk itself."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _write_back(handle: int, start: int, count: int) -> None:
    """Let the disk begin with these bytes and do not wait, so that little is left for the sync at the end. Linux only;
    elsewhere that sync does it all, and it is the one that tells errors.
    """
    if _sync_file_range is not None:
        _sync_file_range(handle, ctypes.c_int64(start), ctypes.c_int64(count), _SYNC_FILE_RANGE_WRITE)


def _reserve(handle: int, size: int) -> None:
    """Take the room on the disk now, where the file system can, so that its lack is found before the work."""
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.ftruncate(handle, size)


@contextmanager
def _saying(folder: Path) -> Iterator[None]:
    """Turns an error of the disk into one that says what to do."""
    try:
        yield
    except OSError as error:
        raise MergeError(
            f"cannot write {folder}: {error.strerror}; make room and call the same again, it goes on where it stopped"
        ) from error
